//! Compares what the readers find with `expected.json`, which `tests/python/make_files.py` writes beside the files it makes.

use std::{fs, path::Path};

use bioverse_formats::{Error, Options, Rows, anndata, open};
use serde_json::Value;

/// Compares every case of a folder; says how many there were.
pub fn check(folder: &Path) -> usize {
    let text = fs::read_to_string(folder.join("expected.json")).unwrap();
    let expected: Value = serde_json::from_str(&text).unwrap();
    let mut wrong = vec![];
    let mut cases = 0;
    for (kind, check) in [
        ("rows", rows as fn(&Path, &Value) -> Result<(), String>),
        ("obsm", obsm),
        ("errors", errors),
    ] {
        for case in expected[kind].as_array().unwrap() {
            cases += 1;
            let path = folder.join(case["file"].as_str().unwrap());
            if let Err(problem) = check(&path, case) {
                wrong.push(format!(
                    "{kind} {} {}: {problem}",
                    case["file"], case["options"]
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {cases}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    cases
}

fn opened(path: &Path, case: &Value) -> bioverse_formats::Result<Rows> {
    let text = |name: &str| case["options"][name].as_str().map(str::to_owned);
    let options = Options {
        layer: text("layer"),
        gene_field: text("gene_field"),
        ..Options::default()
    };
    open(path, &options)
}

fn rows(path: &Path, case: &Value) -> Result<(), String> {
    let rows = opened(path, case).map_err(|error| error.to_string())?;
    let hint = rows.len_hint();
    let rows: Result<Vec<_>, _> = rows.collect();
    let rows = rows.map_err(|error| error.to_string())?;
    let count = case["count"].as_u64().unwrap() as usize;
    if rows.len() != count || hint.is_some_and(|hint| hint != count) {
        return Err(format!(
            "{} rows (hint {hint:?}), expected {count}",
            rows.len()
        ));
    }
    for (row, expected) in rows.iter().zip(case["rows"].as_array().unwrap()) {
        for (name, value) in expected.as_object().unwrap() {
            let found = row.object.get(name).unwrap_or(&Value::Null);
            if !row.object.contains_key(name) || !same(found, value) {
                return Err(format!(
                    "row {} {name}: {found}, expected {value}",
                    row.number
                ));
            }
        }
    }
    Ok(())
}

/// Equal, where 3 and 3.0 are.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

fn obsm(path: &Path, case: &Value) -> Result<(), String> {
    let found =
        anndata::read_obsm(path, case["key"].as_str()).map_err(|error| error.to_string())?;
    let expected = case["values"].as_array().unwrap();
    let width = expected
        .first()
        .map_or(0, |row| row.as_array().unwrap().len());
    let values: Vec<f32> = expected
        .iter()
        .flat_map(|row| row.as_array().unwrap())
        .map(|value| value.as_f64().unwrap() as f32)
        .collect();
    match found.width == width && found.values == values && found.ids.len() == expected.len() {
        true => Ok(()),
        false => Err(format!("{} differs", case["key"])),
    }
}

fn errors(path: &Path, case: &Value) -> Result<(), String> {
    let errors: Vec<Error> = match opened(path, case) {
        Err(error) => vec![error],
        Ok(rows) => rows.filter_map(Result::err).collect(),
    };
    let Some(first) = errors.first() else {
        return Err("no error".into());
    };
    if let Some(bad) = case["bad"].as_array() {
        let numbers = errors.iter().map(|error| match error {
            Error::Row { number, .. } => Some(*number as u64),
            _ => None,
        });
        if !numbers.eq(bad.iter().map(Value::as_u64)) {
            return Err(format!("{errors:?} should be of rows {bad:?}"));
        }
    }
    let error = first.to_string();
    let words = case["words"].as_array().unwrap();
    let said = words
        .iter()
        .all(|word| error.contains(word.as_str().unwrap()));
    match said && !error.contains('\n') {
        true => Ok(()),
        false => Err(format!("`{error}` should contain {words:?}")),
    }
}
