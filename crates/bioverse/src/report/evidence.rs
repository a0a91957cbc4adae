//! `audit.json` and `split.json` of a run as tables: does the model use its records, and is the split clean. Neither is
//! judged here; the verdicts are those of the files.

use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::axis::number;
use super::numbers::Cell;
use crate::error::{Error, Result};

/// What the model does without the true records.
#[derive(Debug, Clone, Serialize)]
pub struct Audit {
    /// Of the whole, or of one modality.
    name: Option<String>,
    rows: Option<u64>,
    /// In the words of the audit.
    pub verdict: String,
    /// The model ignores its records.
    pub ignores: bool,
    conditions: Vec<Condition>,
}

#[derive(Debug, Clone, Serialize)]
struct Condition {
    name: String,
    meaning: &'static str,
    cells: Vec<Cell>,
}

/// Measures of a condition, in the order of the columns.
const MEASURES: [&str; 3] = ["loss", "accuracy", "exact"];

/// The audits of `audit.json`: that of all records, and those of single modalities; none where there is no file.
pub fn audits(run: &Path) -> Result<Vec<Audit>> {
    let mut found = vec![];
    if let Some(value) = json(&run.join("audit.json"))? {
        collect(None, &value, &mut found);
    }
    // What is said of the only modality is said of the whole.
    if let [whole, only] = found.as_mut_slice()
        && whole.name.is_none()
        && whole.verdict == only.verdict
    {
        found.truncate(1);
    }
    Ok(found)
}

/// Every object that holds `conditions`, wherever it stands.
fn collect(name: Option<&str>, value: &Value, found: &mut Vec<Audit>) {
    let Some(object) = value.as_object() else {
        return;
    };
    if let Some(conditions) = object.get("conditions").and_then(Value::as_object) {
        let conditions = conditions.iter().map(|(name, measured)| Condition {
            name: name.clone(),
            meaning: meaning(name),
            cells: MEASURES
                .map(|measure| match (measure, measured[measure].as_f64()) {
                    ("loss", loss) => Cell::fixed(loss),
                    (_, share) => Cell::percent(share),
                })
                .to_vec(),
        });
        found.push(Audit {
            name: name.map(str::to_owned),
            rows: value["rows"].as_u64(),
            verdict: value["verdict"].as_str().unwrap_or_default().to_owned(),
            ignores: value["uses_records"].as_bool() == Some(false),
            conditions: conditions.collect(),
        });
    }
    for (name, inner) in object.iter().filter(|(key, _)| *key != "conditions") {
        let name = if name == "modalities" {
            None
        } else {
            Some(name.as_str())
        };
        collect(name, inner, found);
    }
}

fn meaning(condition: &str) -> &'static str {
    match condition {
        "true" => "each row with its own record",
        "shuffled" => "records swapped among the rows",
        "zeroed" => "soft tokens set to zero",
        "mean" => "every record replaced by the average one",
        _ => "",
    }
}

/// A fact of the split report.
#[derive(Debug, Clone, Serialize)]
pub struct Fact {
    name: String,
    text: String,
}

/// The split report as facts; none where there is no file.
pub fn split(run: &Path) -> Result<Vec<Fact>> {
    let mut facts = vec![];
    if let Some(value) = json(&run.join("split.json"))? {
        flatten("", &value, &mut facts);
    }
    Ok(facts)
}

fn flatten(name: &str, value: &Value, facts: &mut Vec<Fact>) {
    let words = |key: &str| key.replace('_', " ");
    let inner = |key: &str| match name {
        "" => words(key),
        name => format!("{name}, {}", words(key)),
    };
    match value {
        Value::Object(object) => object
            .iter()
            .for_each(|(key, value)| flatten(&inner(key), value, facts)),
        Value::Null => {}
        Value::Array(items) if items.is_empty() => {}
        Value::Array(items)
            if items
                .iter()
                .all(|item| !item.is_object() && !item.is_array()) =>
        {
            let text = items.iter().map(plain).collect::<Vec<_>>().join(" · ");
            facts.push(Fact {
                name: name.into(),
                text,
            });
        }
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                flatten(&inner(&(i + 1).to_string()), item, facts);
            }
        }
        value => facts.push(Fact {
            name: name.into(),
            text: plain(value),
        }),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(n) => n.as_f64().map_or_else(|| n.to_string(), number),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        other => other.to_string(),
    }
}

/// A JSON file; `None` where there is none.
fn json(file: &Path) -> Result<Option<Value>> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io(file, error)),
    };
    let parsed = serde_json::from_str(&text);
    parsed.map(Some).map_err(|error| {
        let file = file.display();
        Error::Input(format!(
            "{file} is not JSON ({error}); remove it, or run again what wrote it"
        ))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn the_whole_and_each_modality_are_found() {
        let dir = tempfile::tempdir().unwrap();
        assert!(audits(dir.path()).unwrap().is_empty() && split(dir.path()).unwrap().is_empty());
        let conditions = r#"{"true":{"loss":1.5,"accuracy":0.5},"zeroed":{"loss":2}}"#;
        let text = format!(
            r#"{{"rows":8,"conditions":{conditions},"uses_records":false,"verdict":"IGNORED","modalities":{{"cell":{{"conditions":{conditions},"uses_records":true,"verdict":"used"}}}}}}"#
        );
        std::fs::write(dir.path().join("audit.json"), text).unwrap();
        let audits = audits(dir.path()).unwrap();
        assert_eq!(audits.len(), 2);
        assert!(audits[0].ignores && !audits[1].ignores);
        assert_eq!(audits[1].name.as_deref(), Some("cell"));
        assert_eq!(audits[0].conditions[0].cells[1].exact, Some(0.5));
        assert_eq!(
            (
                audits[0].conditions[0].cells[0].text.as_str(),
                audits[0].conditions[1].cells[1].text.as_str()
            ),
            ("1.500", "")
        );
    }

    #[test]
    fn facts_are_flat_and_a_broken_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("split.json");
        std::fs::write(&file, r#"{"rows":{"train":30000},"near_duplicates":{"count":0,"examples":[],"asked":null},"pairs":[["a","b"]]}"#).unwrap();
        let facts = split(dir.path()).unwrap();
        let facts: Vec<(&str, &str)> = facts
            .iter()
            .map(|f| (f.name.as_str(), f.text.as_str()))
            .collect();
        let expected = [
            ("rows, train", "30,000"),
            ("near duplicates, count", "0"),
            ("pairs, 1", "a · b"),
        ];
        assert_eq!(facts, expected);
        std::fs::write(&file, "{").unwrap();
        assert!(
            split(dir.path())
                .unwrap_err()
                .to_string()
                .contains("split.json")
        );
    }
}
