//! What a line means: a message, or a command that begins with `/`. What commands do is unknown here.

use std::path::PathBuf;

use crate::config::suggest;
use crate::error::{Error, Result};

/// One line of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// Nothing.
    Empty,
    /// A message.
    Say(String),
    /// `/<modality> VALUE`
    Attach {
        /// The modality.
        modality: String,
        /// The record, a file, or `FILE#ID`.
        value: String,
    },
    /// `/records`
    Records,
    /// `/forget [N]`: one record or all of them.
    Forget(Option<usize>),
    /// `/reset`
    Reset,
    /// `/explain [FILE]`
    Explain(Option<PathBuf>),
    /// `/save FILE`
    Save(PathBuf),
    /// `/help`
    Help,
    /// `/quit`
    Quit,
}

/// Every command but those that attach a record.
const COMMANDS: [&str; 9] = [
    "record", "records", "forget", "reset", "explain", "save", "help", "quit", "exit",
];

/// Reads a line. A message that begins with `/` is written with two of them; `modality` gives the name of the modality that a
/// word stands for, `names` are those that exist.
///
/// # Errors
/// A command that does not exist or lacks its value.
pub fn parse(
    line: &str,
    modality: impl Fn(&str) -> Option<String>,
    names: &[&str],
) -> Result<Line> {
    let line = line.trim();
    let Some(command) = line.strip_prefix('/') else {
        return Ok(match line.is_empty() {
            true => Line::Empty,
            false => Line::Say(line.to_owned()),
        });
    };
    if command.starts_with('/') {
        return Ok(Line::Say(command.to_owned()));
    }
    let (word, rest) = command
        .split_once(char::is_whitespace)
        .unwrap_or((command, ""));
    let rest = rest.trim();
    let path = || (!rest.is_empty()).then(|| PathBuf::from(rest));
    match word {
        "records" => alone(word, rest, Line::Records),
        "reset" => alone(word, rest, Line::Reset),
        "help" => Ok(Line::Help),
        "quit" | "exit" => Ok(Line::Quit),
        "explain" => Ok(Line::Explain(path())),
        "forget" => forget(rest),
        "save" => path().map(Line::Save).ok_or_else(|| {
            Error::Input("`/save` needs a file, such as `/save conversation.jsonl`".into())
        }),
        "record" => match rest.split_once('=') {
            Some((name, value)) => attach(&modality, name.trim(), value.trim(), names),
            None => Err(Error::Input(format!(
                "`/record {rest}` has no `=`; write `/record NAME=VALUE`, such as `/record molecule=CCO`"
            ))),
        },
        _ => attach(&modality, word, rest, names),
    }
}

fn alone(word: &str, rest: &str, line: Line) -> Result<Line> {
    match rest {
        "" => Ok(line),
        _ => Err(Error::Input(format!(
            "`/{word}` takes nothing behind it, but has `{rest}`"
        ))),
    }
}

fn forget(rest: &str) -> Result<Line> {
    match (rest, rest.parse()) {
        ("", _) => Ok(Line::Forget(None)),
        (_, Ok(number)) if number > 0 => Ok(Line::Forget(Some(number))),
        _ => Err(Error::Input(format!(
            "`/forget {rest}` names no record; give its number in `/records`, or nothing for all"
        ))),
    }
}

fn attach(
    modality: &impl Fn(&str) -> Option<String>,
    word: &str,
    value: &str,
    names: &[&str],
) -> Result<Line> {
    let Some(modality) = modality(word) else {
        let all = COMMANDS.iter().chain(names).copied();
        let near = suggest::nearest(word, all);
        let near = near.map_or(String::new(), |near| format!("; did you mean `/{near}`?"));
        let known: Vec<String> = names.iter().map(|name| format!("/{name}")).collect();
        return Err(Error::Input(format!(
            "`/{word}` is neither a command nor a modality of this bundle ({}){near}; `/help` lists the commands, and a \
             message that begins with a slash is written with two",
            known.join(", ")
        )));
    };
    match value {
        "" => Err(Error::Input(format!(
            "`/{word}` needs a record: itself, a file, or FILE#ID for one of several"
        ))),
        value => Ok(Line::Attach {
            modality,
            value: value.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn read(line: &str) -> Result<Line> {
        let modality = |word: &str| match word {
            "single-cell" | "cell" => Some("cell".to_owned()),
            "molecule" => Some("molecule".to_owned()),
            _ => None,
        };
        parse(line, modality, &["cell", "molecule"])
    }

    #[test]
    fn lines_mean_what_they_say() {
        let attach = |modality: &str, value: &str| Line::Attach {
            modality: modality.into(),
            value: value.into(),
        };
        for (line, wanted) in [
            ("  ", Line::Empty),
            (" What is it? ", Line::Say("What is it?".into())),
            ("//etc is a folder", Line::Say("/etc is a folder".into())),
            ("/molecule CCO", attach("molecule", "CCO")),
            (
                "/single-cell my file.h5ad#17",
                attach("cell", "my file.h5ad#17"),
            ),
            ("/record molecule=C=O", attach("molecule", "C=O")),
            ("/forget", Line::Forget(None)),
            ("/forget 2", Line::Forget(Some(2))),
            ("/explain", Line::Explain(None)),
            ("/explain why.html", Line::Explain(Some("why.html".into()))),
            ("/save a b.jsonl", Line::Save("a b.jsonl".into())),
            ("/exit", Line::Quit),
        ] {
            assert_eq!(read(line).unwrap(), wanted, "{line}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_the_way_out() {
        for (line, wanted) in [
            ("/molecul CCO", "did you mean `/molecule`?"),
            (
                "/rna ACGU",
                "neither a command nor a modality of this bundle (/cell, /molecule)",
            ),
            ("/molecule", "`/molecule` needs a record"),
            ("/forget all", "`/forget all` names no record"),
            ("/forget 0", "names no record"),
            ("/save", "`/save` needs a file"),
            ("/record CCO", "has no `=`"),
            ("/reset now", "takes nothing behind it"),
        ] {
            let error = read(line).unwrap_err().to_string();
            assert!(error.contains(wanted), "{line}: {error}");
        }
    }
}
