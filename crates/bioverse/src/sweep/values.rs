//! `--vary key=v1,v2`: a key and the values that it takes, as they are typed. What the key means is unknown.

use crate::error::{Error, Result};

/// A key and its values, each as text that `--set` reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axis {
    /// Dotted key.
    pub key: String,
    /// As TOML, or as plain text.
    pub values: Vec<String>,
}

impl Axis {
    /// Reads `key=v1,v2`.
    ///
    /// Values are separated by commas; a comma within quotes, brackets or braces separates nothing. One TOML list alone is the
    /// list of the values, so that values which are lists themselves are written `key=[["a"],["b"]]`.
    pub fn read(argument: &str) -> Result<Self> {
        let refuse = |problem: &str| {
            Error::Input(format!(
                "--vary {argument}: {problem}; write `--vary section.key=first,second`, for example `--vary align.lr=1e-3,3e-3`"
            ))
        };
        let (key, typed) = argument
            .split_once('=')
            .ok_or_else(|| refuse("there is no `=`"))?;
        let (key, typed) = (key.trim(), typed.trim());
        if key.is_empty() {
            return Err(refuse("there is no key"));
        }
        let mut values: Vec<String> = match list(typed) {
            Some(items) => items.iter().map(ToString::to_string).collect(),
            None => pieces(typed).into_iter().map(str::to_owned).collect(),
        };
        if values.iter().any(String::is_empty) || values.is_empty() {
            return Err(refuse("a value is empty"));
        }
        let mut seen = vec![];
        values.retain(|value| {
            let new = !seen.contains(value);
            seen.push(value.clone());
            new
        });
        Ok(Self {
            key: key.to_owned(),
            values,
        })
    }

    /// The last part of the key, which is enough to tell most keys apart.
    pub fn short(&self) -> &str {
        self.key.rsplit('.').next().unwrap_or(&self.key)
    }
}

/// The items of a text that is one TOML list.
fn list(typed: &str) -> Option<Vec<toml::Value>> {
    let table = format!("v = {typed}").parse::<toml::Table>().ok()?;
    match table.get("v") {
        Some(toml::Value::Array(items)) if table.len() == 1 => Some(items.clone()),
        _ => None,
    }
}

/// Text between commas that stand outside quotes, brackets and braces.
fn pieces(typed: &str) -> Vec<&str> {
    let (mut pieces, mut from, mut depth, mut quote) = (vec![], 0, 0usize, None);
    for (at, c) in typed.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => {
                pieces.push(typed[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    pieces.push(typed[from..].trim());
    pieces
}

/// Every combination, the last key changing fastest; each as one value for each key.
pub fn combinations(axes: &[Axis]) -> Vec<Vec<String>> {
    axes.iter().fold(vec![vec![]], |begun, axis| {
        let with = |start: &Vec<String>| {
            let start = start.clone();
            axis.values
                .iter()
                .map(move |value| [start.as_slice(), std::slice::from_ref(value)].concat())
        };
        begun.iter().flat_map(with).collect()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn values_may_hold_commas() {
        for (typed, expected) in [
            (
                "raw,centered , whitened",
                &["raw", "centered", "whitened"][..],
            ),
            ("1e-3,3e-3,1e-3", &["1e-3", "3e-3"]),
            ("[1e-3, 3e-3]", &["0.001", "0.003"]),
            ("[[\"a\"],[\"b\", \"c\"]]", &["[\"a\"]", "[\"b\", \"c\"]"]),
            ("[\"a\"],[\"b\",\"c\"]", &["[\"a\"]", "[\"b\",\"c\"]"]),
            ("'a, b','c'", &["'a, b'", "'c'"]),
            ("{x = 1, y = 2},{}", &["{x = 1, y = 2}", "{}"]),
            ("only", &["only"]),
        ] {
            let axis = Axis::read(&format!("align.x = {typed}")).unwrap();
            assert_eq!((axis.key.as_str(), axis.short()), ("align.x", "x"));
            assert_eq!(axis.values, expected, "{typed}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for typed in [
            "align.lr",
            "=1",
            "align.lr=",
            "align.lr=1,,2",
            "align.lr=[]",
        ] {
            let error = Axis::read(typed).unwrap_err();
            assert!(
                error
                    .to_string()
                    .contains("--vary section.key=first,second"),
                "{error}"
            );
        }
    }

    #[test]
    fn every_value_meets_every_other() {
        let axes = [Axis::read("a=1,2").unwrap(), Axis::read("b=x,y").unwrap()];
        let expected = [["1", "x"], ["1", "y"], ["2", "x"], ["2", "y"]];
        assert_eq!(combinations(&axes), expected);
        assert_eq!(combinations(&[]), [Vec::<String>::new()]);
    }
}
