//! Data files: fields, how often they are filled, sides and kinds, and rows that no stage would take.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use bioverse_core::{Example, Registry};
use serde_json::{Map, Value};

use super::{Findings, counted};
use crate::{data::read::read_rows, error::Result, files};

/// Problems that are listed one by one.
const SHOWN: usize = 5;
/// Fields with at most so many values are taken for categories.
const CATEGORIES: usize = 12;

type Row = (usize, Map<String, Value>);

/// A data file.
pub fn look(file: &Path, registry: &Registry, findings: &mut Findings) -> Result<()> {
    let rows = read_rows(file)?;
    findings.fact("data", file.display());
    findings.fact("sha256", files::sha256(file)?);
    findings.fact("rows", rows.len());
    if rows.is_empty() {
        findings.problem(format!("{} holds no row", file.display()));
    }
    for (name, values) in by_field(&rows) {
        findings
            .lines
            .push(format!("  {name:<16} {}", summary(&values, rows.len())));
    }
    if rows.iter().any(|(_, row)| row.contains_key("messages")) {
        findings.fact("form", "instruction rows");
        instructions(file, &rows, registry, findings);
    } else {
        findings.fact(
            "form",
            "plain rows; name the record and its text with data.input_field and data.text_field",
        );
    }
    Ok(())
}

fn by_field(rows: &[Row]) -> BTreeMap<&str, Vec<&Value>> {
    let mut fields: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for (_, row) in rows {
        for (name, value) in row {
            let filled = !value.is_null() && value.as_str() != Some("");
            let values = fields.entry(name).or_default();
            if filled {
                values.push(value);
            }
        }
    }
    fields
}

fn summary(values: &[&Value], rows: usize) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for value in values {
        *counts.entry(value.to_string()).or_default() += 1;
    }
    let kinds: BTreeSet<&str> = values.iter().map(|value| kind(value)).collect();
    let kinds: Vec<&str> = kinds.into_iter().collect();
    let missing = match rows - values.len() {
        0 => String::new(),
        n => format!(", missing in {n}"),
    };
    let distinct = if counts.len() <= CATEGORIES && counts.len() < values.len() {
        let each = counts.iter().map(|(value, n)| {
            let value: String = value.trim_matches('"').chars().take(24).collect();
            format!("{value} × {n}")
        });
        each.collect::<Vec<_>>().join(", ")
    } else {
        format!("{} distinct", counts.len())
    };
    format!("{}: {distinct}{missing}", kinds.join(" or "))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

fn instructions(file: &Path, rows: &[Row], registry: &Registry, findings: &mut Findings) {
    let names = registry.names();
    let mut refused = 0;
    for (number, row) in rows {
        let checked = serde_json::from_value::<Example>(Value::Object(row.clone()))
            .map_err(|error| error.to_string())
            .and_then(|example| example.check(&names).map_err(|error| error.to_string()));
        if let Err(problem) = checked {
            refused += 1;
            if refused <= SHOWN {
                findings.problem(format!("{} row {number}: {problem}", file.display()));
            }
        }
    }
    if refused > SHOWN {
        findings.problem(format!("{} in all", counted(refused, "refused row")));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn fields_are_summarised() {
        let (a, b, c) = (
            Value::from("train"),
            Value::from("test"),
            Value::from("train"),
        );
        assert_eq!(
            summary(&[&a, &b, &c], 4),
            "text: test × 1, train × 2, missing in 1"
        );
        let (x, y) = (Value::from(1), Value::from("y"));
        assert_eq!(summary(&[&x, &y], 2), "number or text: 2 distinct");
    }

    #[test]
    fn rows_that_no_stage_takes_are_named() {
        let row = |text: &str| {
            let value = serde_json::json!({"messages": [{"role": "user", "content": text}]});
            value.as_object().cloned().unwrap()
        };
        let rows = [(1, row("plain")), (2, row("what is <molecule>?"))];
        let mut findings = Findings::default();
        instructions(Path::new("q.jsonl"), &rows, &Registry::new(), &mut findings);
        assert_eq!(findings.problems.len(), 1, "{findings:?}");
        assert!(findings.problems[0].starts_with("q.jsonl row 2: "));
    }
}
