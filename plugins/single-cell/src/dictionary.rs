//! Dictionaries beside a model, as JSON or as a Python pickle, of which no code is run. What the entries mean is unknown here.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use pytorch_reader::{PickleValue, PytorchReader};
use serde_json::Value;

/// A dictionary that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DictionaryError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no dictionary.
    #[error("{}: {problem}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
}

/// Whether the name is one of a dictionary.
pub(crate) fn is_dictionary(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    extension == "json" || is_pickle(path)
}

/// From text to numbers.
pub fn numbers(path: &Path) -> Result<Vec<(String, f64)>, DictionaryError> {
    let number = |value: &Entry| match value {
        Entry::Number(number) => Some(*number),
        _ => None,
    };
    entries(path, "numbers", number)
}

/// From text to text.
pub fn strings(path: &Path) -> Result<Vec<(String, String)>, DictionaryError> {
    let text = |value: &Entry| match value {
        Entry::Text(text) => Some(text.clone()),
        _ => None,
    };
    entries(path, "text", text)
}

/// What a dictionary may hold.
enum Entry {
    Number(f64),
    Text(String),
    /// By its type.
    Other(String),
}

fn entries<T>(
    path: &Path,
    kind: &str,
    convert: impl Fn(&Entry) -> Option<T>,
) -> Result<Vec<(String, T)>, DictionaryError> {
    let all = match is_pickle(path) {
        true => pickled(path)?,
        false => json(path)?,
    };
    let mut converted = Vec::with_capacity(all.len());
    for (key, entry) in all {
        let Some(value) = convert(&entry) else {
            let found = match entry {
                Entry::Number(number) => number.to_string(),
                Entry::Text(text) => format!("{text:?}"),
                Entry::Other(kind) => format!("a value of the type {kind}"),
            };
            return Err(format_error(
                path,
                format!("`{key}` is {found}; a dictionary from names to {kind} is read"),
            ));
        };
        converted.push((key, value));
    }
    Ok(converted)
}

fn is_pickle(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    extension == "pkl" || extension == "pickle"
}

fn json(path: &Path) -> Result<Vec<(String, Entry)>, DictionaryError> {
    let text = std::fs::read_to_string(path).map_err(|source| DictionaryError::Io {
        path: path.into(),
        source,
    })?;
    let all: HashMap<String, Value> = serde_json::from_str(&text)
        .map_err(|e| format_error(path, format!("is no JSON object ({e})")))?;
    let entry = |value| match value {
        Value::Number(number) => Entry::Number(number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => Entry::Text(text),
        Value::Null => Entry::Other("null".to_owned()),
        Value::Bool(_) => Entry::Other("boolean".to_owned()),
        Value::Array(_) => Entry::Other("list".to_owned()),
        Value::Object(_) => Entry::Other("object".to_owned()),
    };
    Ok(all
        .into_iter()
        .map(|(key, value)| (key, entry(value)))
        .collect())
}

fn pickled(path: &Path) -> Result<Vec<(String, Entry)>, DictionaryError> {
    let as_json = "write it as JSON: python -c \"import json, pickle, sys; json.dump(pickle.load(open(sys.argv[1], 'rb')), \
                   open(sys.argv[2], 'w'), default=float)\" FILE.pkl FILE.json";
    let root = match PytorchReader::read_pickle_data(path, None) {
        Ok(root) => root,
        Err(e) => {
            return Err(format_error(
                path,
                format!("cannot be read as a pickled dictionary ({e}); {as_json}"),
            ));
        }
    };
    let PickleValue::Dict(all) = root else {
        return Err(format_error(
            path,
            format!("does not hold a dictionary from names; {as_json}"),
        ));
    };
    let entry = |value| match value {
        PickleValue::Int(number) => Entry::Number(number as f64),
        PickleValue::Float(number) => Entry::Number(number),
        PickleValue::String(text) => Entry::Text(text),
        PickleValue::Unsupported(kind) => Entry::Other(format!("{kind} ({as_json})")),
        PickleValue::None => Entry::Other("None".to_owned()),
        PickleValue::Bool(_) => Entry::Other("bool".to_owned()),
        PickleValue::List(_) => Entry::Other("list".to_owned()),
        PickleValue::Dict(_) => Entry::Other("dict".to_owned()),
        PickleValue::Bytes(_) => Entry::Other("bytes".to_owned()),
    };
    Ok(all
        .into_iter()
        .map(|(key, value)| (key, entry(value)))
        .collect())
}

fn format_error(path: &Path, problem: String) -> DictionaryError {
    DictionaryError::Format {
        path: path.into(),
        problem,
    }
}
