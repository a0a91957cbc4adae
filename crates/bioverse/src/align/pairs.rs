//! Rows → pairs of one record and one text. Knows no vector.

use std::collections::HashMap;
use std::path::Path;

use bioverse_core::Record;

use crate::config::DataSection;
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
}

impl Pairs {
    /// The rows with exactly one record, if it is of `modality` and an assistant says something about it. What several
    /// records have in common with one text cannot be told, so such rows are left to stage 2.
    pub fn of(rows: &[Row], modality: &str, file: &Path) -> Self {
        let mut pairs = Self::default();
        for row in rows {
            let [(name, record)] = row.example.records.as_slice() else {
                continue;
            };
            let text = row.example.answer();
            if name == modality && !text.trim().is_empty() {
                pairs.records.push(record.clone());
                pairs.texts.push(text.trim().to_string());
                pairs
                    .rows
                    .push(format!("{} row {}", file.display(), row.number));
            }
        }
        pairs
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Only the first `count`.
    pub fn truncate(&mut self, count: usize) {
        self.records.truncate(count);
        self.texts.truncate(count);
        self.rows.truncate(count);
    }

    /// At least two different texts, or nothing could be told apart.
    pub fn check(&self, modality: &str, data: &DataSection) -> Result<()> {
        let file = data.train.display();
        if self.is_empty() {
            return Err(Error::Input(format!(
                "{file}: no row has exactly one `{modality}` record and an answer, which is what stage 1 learns from; give \
                 rows with one record, or leave `{modality}` out of `align.modalities`"
            )));
        }
        if numbered(&self.texts).1.len() < 2 {
            return Err(Error::Input(format!(
                "{file}: all {} `{modality}` rows have the same text; contrastive alignment needs at least two different ones",
                self.len()
            )));
        }
        Ok(())
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
    use bioverse_core::{Example, Message};
    use serde_json::json;

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
        Pairs::of(rows, "dna", Path::new("f.jsonl"))
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
        let check = |rows: &[Row]| pairs(rows).check("dna", &DataSection::default());
        let none = check(&[]).unwrap_err();
        assert!(none.to_string().contains("dna"), "{none}");
        let (a, c) = (&[("dna", "A")], &[("dna", "C")]);
        assert!(check(&[row(1, a, "x"), row(2, c, "x")]).is_err());
        assert!(check(&[row(1, a, "x"), row(2, c, "y")]).is_ok());
    }

    #[test]
    fn equal_items_share_a_number() {
        let (numbers, distinct) = numbered(&["b", "a", "b"]);
        assert_eq!(numbers, [0, 1, 0]);
        assert_eq!(distinct, ["b", "a"]);
    }
}
