//! Layers of TOML: built-in values, the file, each `--set`. Unknown keys and wrong types are found here, key by key, so
//! that an error can name the key and who wrote it. Which values make sense is checked elsewhere.

use std::path::Path;

use bioverse_core::ProjectorConfig;
use serde_json::Value as Json;
use toml::{Table, Value};

use super::{Origin, RunConfig, suggest};
use crate::error::{Error, Result};

/// One leaf that somebody wrote.
#[derive(Debug, Clone)]
pub(super) struct Given {
    /// Dotted path.
    pub key: Vec<String>,
    /// What it was set to.
    pub value: Value,
    /// By whom.
    pub origin: Origin,
    /// `--set` only: the right-hand side as typed, which is the value where text is wanted.
    pub typed: Option<String>,
}

impl Given {
    /// An error about this leaf, beginning with who wrote it.
    pub fn refuse(&self, problem: impl std::fmt::Display) -> Error {
        Error::Input(match (&self.origin, &self.typed) {
            (Origin::File(file), _) => format!("{}: {problem}", file.display()),
            (_, Some(typed)) => format!("--set {}={typed}: {problem}", self.dotted()),
            _ => problem.to_string(),
        })
    }

    /// `a.b.c`
    pub fn dotted(&self) -> String {
        self.key.join(".")
    }

    /// With the text that was typed as its value, where that is another one.
    pub fn as_text(&self) -> Option<Self> {
        let text = Value::String(self.typed.clone()?);
        (text != self.value).then(|| Self {
            value: text,
            ..self.clone()
        })
    }
}

/// The leaves of a file.
pub(super) fn file(path: &Path) -> Result<Vec<Given>> {
    let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::Input(format!(
            "there is no config file {}; give `--config` a TOML file, for example one of `configs/`",
            path.display()
        )),
        _ => Error::io(path, error),
    })?;
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.map_or(1, |before| before.matches('\n').count() + 1);
        let problem = error.message().replace('\n', ", ");
        Error::Input(format!(
            "{}: line {line} is not TOML: {problem}",
            path.display()
        ))
    })?;
    let mut leaves = vec![];
    flatten(&known_keys(), &mut vec![], table, &mut leaves);
    Ok(leaves
        .into_iter()
        .map(|(key, value)| Given {
            key,
            value,
            origin: Origin::File(path.into()),
            typed: None,
        })
        .collect())
}

/// The leaves of `key=value`: one, unless the value is an inline table.
pub(super) fn set(argument: &str) -> Result<Vec<Given>> {
    let refuse = || {
        Error::Input(format!(
            "--set {argument}: write `--set section.key=value`, for example `--set align.lr=1e-3`"
        ))
    };
    let (key, typed) = argument.split_once('=').ok_or_else(refuse)?;
    let key: Vec<String> = key
        .trim()
        .split('.')
        .map(|part| part.trim().into())
        .collect();
    if key.iter().any(String::is_empty) {
        return Err(refuse());
    }
    let typed = typed.trim();
    let parsed = format!("value = {typed}").parse::<Table>().ok();
    let value = parsed
        .filter(|table| table.len() == 1)
        .and_then(|mut table| table.remove("value"));
    let value = value.unwrap_or_else(|| Value::String(typed.into()));
    let mut leaves = vec![];
    flatten_at(&known_keys(), &mut key.clone(), value, &mut leaves);
    Ok(leaves
        .into_iter()
        .map(|(key, value)| Given {
            key,
            value,
            origin: Origin::Set,
            typed: Some(typed.into()),
        })
        .collect())
}

/// Splits tables into leaves. Tables of plugins and empty tables are leaves or vanish as the known keys say.
fn flatten(
    known: &Json,
    at: &mut Vec<String>,
    table: Table,
    leaves: &mut Vec<(Vec<String>, Value)>,
) {
    for (key, value) in table {
        at.push(key);
        flatten_at(known, at, value, leaves);
        at.pop();
    }
}

fn flatten_at(
    known: &Json,
    at: &mut Vec<String>,
    value: Value,
    leaves: &mut Vec<(Vec<String>, Value)>,
) {
    let opens = match at.as_slice() {
        // A plugin's own keys are leaves whatever they hold; an empty table is kept, for it configures a modality.
        [section, _] if section == "modality" => {
            value.as_table().is_some_and(|table| !table.is_empty())
        }
        [section, _, _, ..] if section == "modality" => false,
        path if path == FREE => false,
        path => lookup(known, path).is_some_and(Json::is_object),
    };
    match value {
        Value::Table(table) if opens => flatten(known, at, table, leaves),
        value => leaves.push((at.clone(), value)),
    }
}

/// Every key there is, with its default; keys without a default are null. TOML could not hold those.
fn known_keys() -> Json {
    let mut known = serde_json::to_value(RunConfig::default()).unwrap_or_default();
    known["projector"] = serde_json::to_value(ProjectorConfig::default()).unwrap_or_default();
    known
}

/// A table whose keys the user names.
const FREE: [&str; 2] = ["finetune", "modality_weights"];

fn lookup<'a>(known: &'a Json, path: &[String]) -> Option<&'a Json> {
    if path.len() > FREE.len() && path[..FREE.len()] == FREE {
        return Some(&Json::Null);
    }
    path.iter().try_fold(known, |value, key| value.get(key))
}

/// Refuses keys that do not exist, with the likely one.
pub(super) fn refuse_unknown(given: &[Given]) -> Result<()> {
    let known = known_keys();
    for leaf in given {
        let key = leaf.key.as_slice();
        if key[0] == "modality" {
            if key.len() < 2 || (key.len() == 2 && !leaf.value.is_table()) {
                let problem =
                    "modalities are tables: write `[modality.<name>]` and its keys below it";
                return Err(leaf.refuse(format!("`{}` is not a table; {problem}", leaf.dotted())));
            }
            continue;
        }
        let depth = (1..=key.len()).find(|&n| lookup(&known, &key[..n]).is_none());
        if let Some(depth) = depth {
            return Err(leaf.refuse(unknown(&known, &key[..depth])));
        }
        let table = lookup(&known, key).is_some_and(Json::is_object);
        if table && !leaf.value.is_table() {
            let key = leaf.dotted();
            return Err(leaf.refuse(format!(
                "`{key}` is a table; write `[{key}]` and its keys below it"
            )));
        }
    }
    Ok(())
}

/// The sentence about a path of which only the last part does not exist.
fn unknown(known: &Json, path: &[String]) -> String {
    let (dotted, last) = (path.join("."), &path[path.len() - 1]);
    let above = &path[..path.len() - 1];
    let siblings = keys(lookup(known, above));
    if let Some(near) = suggest::nearest(last, siblings.iter().copied()) {
        let near = [above, &[near.to_owned()]].concat().join(".");
        return format!("unknown key `{dotted}`; did you mean `{near}`?");
    }
    let elsewhere = keys(Some(known))
        .into_iter()
        .find(|section| known[*section].get(last).is_some());
    match elsewhere {
        Some(section) => format!("unknown key `{dotted}`; did you mean `{section}.{last}`?"),
        None if siblings.is_empty() => {
            format!(
                "unknown key `{dotted}`; `{}` is a value, not a table",
                above.join(".")
            )
        }
        None => format!(
            "unknown key `{dotted}`; the keys there are {}",
            suggest::quoted(&siblings)
        ),
    }
}

fn keys(value: Option<&Json>) -> Vec<&str> {
    let object = value.and_then(Json::as_object);
    object.map_or(vec![], |object| object.keys().map(String::as_str).collect())
}

/// Refuses values of the wrong type, by trying each alone on the defaults; typed text becomes text where that fits.
pub(super) fn settle_types(given: &mut [Given]) -> Result<()> {
    for leaf in given.iter_mut().filter(|leaf| leaf.key[0] != "modality") {
        let Err(problem) = fits(leaf) else { continue };
        match leaf.as_text().filter(|text| fits(text).is_ok()) {
            Some(text) => *leaf = text,
            None => return Err(leaf.refuse(format!("`{}`: {}", leaf.dotted(), plain(&problem)))),
        }
    }
    Ok(())
}

fn fits(leaf: &Given) -> Result<(), String> {
    let said = |error: toml::de::Error| error.message().to_owned();
    if leaf.key[0] == "projector" {
        let alone = Table::from_iter([(leaf.key[1].clone(), leaf.value.clone())]);
        return alone.try_into::<ProjectorConfig>().map(drop).map_err(said);
    }
    let mut table = Table::try_from(RunConfig::default()).map_err(|error| error.to_string())?;
    lay(&mut table, &leaf.key, leaf.value.clone());
    table.try_into::<RunConfig>().map(drop).map_err(said)
}

/// serde's words for people who do not write Rust.
fn plain(problem: &str) -> String {
    const WORDS: [(&str, &str); 7] = [
        ("expected usize", "expected a whole number from 0"),
        ("expected u64", "expected a whole number from 0"),
        ("expected f64", "expected a number"),
        ("expected a boolean", "expected true or false"),
        ("expected a sequence", "expected a list [..]"),
        ("expected path string", "expected a path in quotes"),
        ("expected a string", "expected text in quotes"),
    ];
    WORDS.iter().fold(problem.to_owned(), |text, (from, to)| {
        text.replace(from, to)
    })
}

/// Puts `value` at the dotted `key`, making tables on the way.
pub(super) fn lay(table: &mut Table, key: &[String], value: Value) {
    let [first, rest @ ..] = key else { return };
    if rest.is_empty() {
        table.insert(first.clone(), value);
        return;
    }
    let inner = table
        .entry(first.clone())
        .or_insert_with(|| Value::Table(Table::new()));
    if !inner.is_table() {
        *inner = Value::Table(Table::new());
    }
    if let Value::Table(inner) = inner {
        lay(inner, rest, value);
    }
}

/// Every leaf of a table with its dotted key.
pub(crate) fn leaves(table: &Table) -> Vec<(String, Value)> {
    let mut found = vec![];
    for (key, value) in table {
        match value {
            Value::Table(inner) if !inner.is_empty() => {
                let inner = leaves(inner).into_iter();
                found.extend(inner.map(|(rest, value)| (format!("{key}.{rest}"), value)));
            }
            Value::Table(_) => {}
            value => found.push((key.clone(), value.clone())),
        }
    }
    found
}
