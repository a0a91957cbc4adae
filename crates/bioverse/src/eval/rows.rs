//! Rows to measure on, with the names they carry in their file. Which rows belong to a side of the split is decided by
//! [`data::read`](crate::data::read) alone.

use bioverse_core::{Example, Record};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::{
    config::DataSection,
    data::read,
    error::{Error, Result},
};

/// The kind of rows that do not name one.
const NO_KIND: &str = "answer";

/// An example with its names.
#[derive(Debug, Clone)]
pub struct Row {
    /// Field `id`, or `row <number>`.
    pub id: String,
    /// Field `kind`: what is asked.
    pub kind: String,
    /// The row as every command reads it.
    pub example: Example,
}

/// A record and its text.
#[derive(Debug, Clone)]
pub struct Pair {
    /// As in [`Row::id`].
    pub id: String,
    /// The record as the encoder gets it.
    pub record: Record,
    /// The record as text: itself when it is a string, JSON otherwise.
    pub input: String,
    /// What is written about it.
    pub text: String,
}

/// Rows with their names.
pub fn named(rows: Vec<read::Row>) -> Vec<Row> {
    let rows = rows.into_iter().map(|row| Row {
        id: id_of(row.number, &row.extra),
        kind: kind_of(&row.extra),
        example: row.example,
    });
    rows.collect()
}

/// Pairs of `modality` among rows of `data`.
///
/// # Errors
/// Where there is none.
pub fn pairs(rows: Vec<read::Row>, modality: &str, data: &DataSection) -> Result<Vec<Pair>> {
    let pairs: Vec<Pair> = named(rows)
        .into_iter()
        .filter_map(|row| pair_of(row, modality))
        .collect();
    if pairs.is_empty() {
        return Err(Error::Input(format!(
            "{} has no row with one `{modality}` record and a text to retrieve; name the columns with --input-field and --text-field",
            data.train.display()
        )));
    }
    Ok(pairs)
}

fn pair_of(row: Row, modality: &str) -> Option<Pair> {
    let text = row.example.answer();
    let [(name, record)] = row.example.records.as_slice() else {
        return None;
    };
    (name == modality && !text.trim().is_empty()).then(|| Pair {
        id: row.id,
        input: text_of(record),
        record: record.clone(),
        text,
    })
}

/// A record as text.
pub fn text_of(record: &Record) -> String {
    record
        .as_str()
        .map_or_else(|| record.to_string(), str::to_owned)
}

/// sha256 over one line `id <tab> content` per row: what a number was measured on.
pub fn fingerprint<'a>(rows: impl Iterator<Item = (&'a str, String)>) -> String {
    let mut hash = Sha256::new();
    for (id, content) in rows {
        hash.update(format!("{id}\t{content}\n"));
    }
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// What a row asks.
pub(super) fn kind_of(row: &Map<String, Value>) -> String {
    let kind = row.get("kind").and_then(Value::as_str);
    kind.unwrap_or(NO_KIND).into()
}

/// What a row is called.
pub(super) fn id_of(number: usize, row: &Map<String, Value>) -> String {
    match row.get("id") {
        Some(id) if !id.is_null() => text_of(id),
        _ => format!("row {number}"),
    }
}

#[cfg(test)]
pub(in crate::eval) mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::data::Split;
    use bioverse_core::Message;
    use bioverse_core::Registry;

    /// A question without records and its answer; the question is its id.
    pub fn row(kind: &str, question: &str, answer: &str) -> Row {
        let message = |role: &str, content: &str| Message {
            role: role.into(),
            content: content.into(),
        };
        Row {
            id: question.into(),
            kind: kind.into(),
            example: Example {
                messages: vec![message("user", question), message("assistant", answer)],
                records: vec![],
                group: None,
            },
        }
    }

    fn data(file: &std::path::Path) -> DataSection {
        DataSection {
            train: file.to_owned(),
            split_field: Some("split".into()),
            ..DataSection::default()
        }
    }

    #[test]
    fn instruction_rows_keep_id_and_kind() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("q.jsonl");
        let row = |id: &str, split: &str| {
            format!(
                r#"{{"id":"{id}","kind":"class","split":"{split}","records":[["molecule","CCO"]],"messages":[{{"content":"What is <molecule>?","role":"user"}},{{"role":"assistant","content":"An alcohol."}}]}}"#
            )
        };
        std::fs::write(&file, [row("a", "train"), row("b", "test")].join("\n")).unwrap();
        let rows = named(eval_side(&data(&file)));
        assert_eq!(rows.len(), 1);
        assert_eq!(
            (rows[0].kind.as_str(), &rows[0].example.answer()),
            ("class", &"An alcohol.".to_string())
        );
    }

    fn eval_side(data: &DataSection) -> Vec<read::Row> {
        read::read_split(data, Split::Eval, &["molecule"], &Registry::new()).unwrap()
    }

    #[test]
    fn pairs_keep_their_id_even_when_contents_repeat() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("m.jsonl");
        let row = |id: &str| {
            format!(r#"{{"id":"{id}","smiles":"CCO","text":"An <b> alcohol.","split":"test"}}"#)
        };
        std::fs::write(&file, [row("a"), row("b")].join("\n")).unwrap();
        let data = DataSection {
            input_field: Some("smiles".into()),
            text_field: Some("text".into()),
            ..data(&file)
        };
        let pairs = pairs(eval_side(&data), "molecule", &data).unwrap();
        let ids: Vec<&str> = pairs.iter().map(|pair| pair.id.as_str()).collect();
        assert_eq!(ids, ["a", "b"]);
        assert_eq!(
            (pairs[0].input.as_str(), pairs[0].text.as_str()),
            ("CCO", "An <b> alcohol.")
        );
    }

    #[test]
    fn the_fingerprint_sees_order_and_content() {
        let of = |rows: &[(&'static str, &str)]| {
            fingerprint(rows.iter().map(|(id, text)| (*id, (*text).to_string())))
        };
        assert_eq!(of(&[("a", "x")]).len(), 64);
        assert_ne!(of(&[("a", "x"), ("b", "y")]), of(&[("b", "y"), ("a", "x")]));
    }
}
