//! Rows → pairs of one record and one text. Knows no vector.

use std::collections::HashMap;

use bioverse_core::{Example, Message, Record};
use serde_json::Value;

use crate::config::{DataSection, suggest};
use crate::data::Row;
use crate::error::{Error, Result};

/// The pairs of one modality.
#[derive(Debug, Clone, Default)]
pub struct Pairs {
    /// What to encode.
    pub records: Vec<Record>,
    /// What it should come to lie beside.
    pub texts: Vec<String>,
    /// What to call each pair in a message.
    pub rows: Vec<String>,
    /// Its `data.label_field`, as text.
    pub labels: Vec<Option<String>>,
    /// What it belongs to.
    pub groups: Vec<Option<String>>,
    /// The conversation it was taken from.
    pub messages: Vec<Vec<Message>>,
    /// How often it is drawn, relative to the others: the weight of its source.
    pub weights: Vec<f64>,
}

impl Pairs {
    /// The rows with exactly one record, if it is of `modality` and an assistant says something about it. What several
    /// records have in common with one text cannot be told, so such rows are left to stage 2.
    ///
    /// # Errors
    /// When a row lacks the `data.label_field` of its source.
    pub fn of(rows: &[Row], modality: &str, data: &DataSection) -> Result<Self> {
        let mut pairs = Self::default();
        let sources = data.sources();
        for row in rows {
            let [(name, record)] = row.example.records.as_slice() else {
                continue;
            };
            let text = row.example.answer();
            if name == modality && !text.trim().is_empty() {
                let called = row.name();
                let source = sources.get(row.source);
                let field = source.and_then(|(source, _)| source.label_field.as_deref());
                pairs
                    .weights
                    .push(source.map_or(1.0, |(_, weight)| *weight));
                pairs.labels.push(label(row, field, &called)?);
                pairs.groups.push(row.example.group.clone());
                pairs.messages.push(row.example.messages.clone());
                pairs.records.push(record.clone());
                pairs.texts.push(text.trim().to_string());
                pairs.rows.push(called);
            }
        }
        Ok(pairs)
    }

    /// The row that a pair was taken from.
    pub fn example(&self, index: usize, modality: &str) -> Example {
        Example {
            messages: self.messages[index].clone(),
            records: vec![(modality.to_string(), self.records[index].clone())],
            group: self.groups[index].clone(),
        }
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Only these, in this order.
    pub fn keep(&mut self, rows: &[usize]) {
        fn of<T: Clone>(items: &[T], rows: &[usize]) -> Vec<T> {
            rows.iter().map(|row| items[*row].clone()).collect()
        }
        self.records = of(&self.records, rows);
        self.texts = of(&self.texts, rows);
        self.rows = of(&self.rows, rows);
        self.labels = of(&self.labels, rows);
        self.groups = of(&self.groups, rows);
        self.messages = of(&self.messages, rows);
        self.weights = of(&self.weights, rows);
    }

    /// At least two different texts, or nothing could be told apart.
    /// `files` is what to call where they were looked for.
    pub fn check(&self, modality: &str, files: &str) -> Result<()> {
        if self.is_empty() {
            return Err(Error::Input(format!(
                "{files}: no row has exactly one `{modality}` record and an answer, which is what stage 1 learns from; give \
                 rows with one record, or leave `{modality}` out of `align.modalities`"
            )));
        }
        if numbered(&self.texts).1.len() < 2 {
            return Err(Error::Input(format!(
                "{files}: all {} `{modality}` rows have the same text; contrastive alignment needs at least two different ones",
                self.len()
            )));
        }
        Ok(())
    }
}

/// The label of a row as text; none where no field is named or the field is empty.
fn label(row: &Row, field: Option<&str>, called: &str) -> Result<Option<String>> {
    let Some(field) = field else {
        return Ok(None);
    };
    match row.extra.get(field) {
        Some(Value::String(text)) => Ok(Some(text.trim().to_string()).filter(|x| !x.is_empty())),
        Some(Value::Null) => Ok(None),
        Some(other) => Ok(Some(other.to_string())),
        None => {
            let hint = suggest::hint(field, row.extra.keys().map(String::as_str));
            Err(Error::Input(format!(
                "{called}: there is no field `{field}`, which `data.label_field` names{hint}"
            )))
        }
    }
}

/// Gives equal items equal numbers, in order of appearance; with the distinct items in that order.
pub fn numbered<T: ToString>(items: &[T]) -> (Vec<usize>, Vec<String>) {
    let mut numbers = HashMap::new();
    let mut distinct = vec![];
    let of = items.iter().map(|item| {
        let key = item.to_string();
        *numbers.entry(key.clone()).or_insert_with(|| {
            distinct.push(key);
            distinct.len() - 1
        })
    });
    (of.collect(), distinct)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use serde_json::json;
    use std::path::Path;

    fn row(number: usize, records: &[(&str, &str)], answer: &str) -> Row {
        let say = |role: &str, content: &str| Message {
            role: role.into(),
            content: content.into(),
        };
        let records = records
            .iter()
            .map(|(name, record)| (name.to_string(), json!(record)));
        Row {
            source: 0,
            file: Path::new("f.jsonl").into(),
            number,
            example: Example {
                messages: vec![say("user", "?"), say("assistant", answer)],
                records: records.collect(),
                group: None,
            },
            extra: serde_json::Map::new(),
        }
    }

    fn pairs(rows: &[Row]) -> Pairs {
        Pairs::of(rows, "dna", &DataSection::default()).unwrap()
    }

    #[test]
    fn only_rows_with_one_record_of_the_modality_and_a_text_are_pairs() {
        let pairs = pairs(&[
            row(1, &[("dna", "A")], " one "),
            row(2, &[("dna", "A"), ("dna", "C")], "two"),
            row(3, &[("rna", "U")], "other"),
            row(4, &[("dna", "G")], "  "),
            row(7, &[("dna", "T")], "three"),
        ]);
        assert_eq!(pairs.texts, ["one", "three"]);
        assert_eq!(pairs.records, [json!("A"), json!("T")]);
        assert_eq!(pairs.rows, ["f.jsonl row 1", "f.jsonl row 7"]);
    }

    #[test]
    fn nothing_to_contrast_is_refused() {
        let check = |rows: &[Row]| pairs(rows).check("dna", "f.jsonl");
        let none = check(&[]).unwrap_err();
        assert!(none.to_string().contains("dna"), "{none}");
        let (a, c) = (&[("dna", "A")], &[("dna", "C")]);
        assert!(check(&[row(1, a, "x"), row(2, c, "x")]).is_err());
        assert!(check(&[row(1, a, "x"), row(2, c, "y")]).is_ok());
    }

    #[test]
    fn labels_are_text_and_a_missing_one_is_named_by_its_row() {
        let label = |value: serde_json::Value| {
            let mut row = row(3, &[("dna", "A")], "one");
            row.extra.insert("cell_type".into(), value);
            row
        };
        let data = DataSection {
            label_field: Some("cell_type".into()),
            ..DataSection::default()
        };
        let of = |rows: &[Row]| Pairs::of(rows, "dna", &data);
        let rows = [json!("B cell "), json!(7), json!(null), json!(" ")].map(label);
        let (b, seven) = (Some("B cell".to_string()), Some("7".to_string()));
        assert_eq!(of(&rows).unwrap().labels, [b, seven, None, None]);
        let error = of(&[row(3, &[("dna", "A")], "one")]).unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with("f.jsonl row 3: there is no field `cell_type`"),
            "{text}"
        );
    }

    #[test]
    fn equal_items_share_a_number() {
        let (numbers, distinct) = numbered(&["b", "a", "b"]);
        assert_eq!(numbers, [0, 1, 0]);
        assert_eq!(distinct, ["b", "a"]);
    }
}
