//! General-domain texts that belong to no record: extra wrong answers. Which of them stand in a batch is a function of seed
//! and step. It does not know how a text becomes a vector.

use std::collections::HashSet;
use std::path::Path;

use burn::prelude::*;
use rand::{SeedableRng, seq::index::sample};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::config::{AlignSection, DataSection, suggest};
use crate::data::read_rows_with;
use crate::data::rows::{Object, row_error};
use crate::error::{Error, Result};
use crate::train::seed::{mix, mix_name};

/// Vectors to draw from.
#[derive(Debug, Clone)]
pub struct Negatives {
    /// `[G, d]`, in the metric.
    texts: Tensor<2>,
    per_step: usize,
    seed: u64,
}

impl Negatives {
    /// `seed` is that of the run: every modality draws the same texts.
    pub fn new(texts: Tensor<2>, per_step: usize, seed: u64) -> Self {
        let per_step = per_step.min(texts.dims()[0]);
        Self {
            texts,
            per_step,
            seed: mix_name(seed, "negatives"),
        }
    }

    /// Those of a step, each at most once, `[per_step, d]`.
    pub fn draw(&self, step: usize, device: &Device) -> Tensor<2> {
        let mut rng = ChaCha8Rng::seed_from_u64(mix(self.seed, step as u64));
        let drawn = sample(&mut rng, self.texts.dims()[0], self.per_step);
        let drawn: Vec<i64> = drawn.into_iter().map(|row| row as i64).collect();
        let index = Tensor::<1, Int>::from_data(TensorData::new(drawn, [self.per_step]), device);
        self.texts.clone().select(0, index)
    }
}

/// The texts of `align.negatives`, each once, without those that some pair has: such a text is no wrong answer.
pub(super) fn read(
    align: &AlignSection,
    data: &DataSection,
    paired: &[String],
) -> Result<Option<Vec<String>>> {
    let Some(path) = &align.negatives else {
        return Ok(None);
    };
    let mut seen: HashSet<String> = paired.iter().cloned().collect();
    let mut texts = vec![];
    for (number, row) in read_rows_with(path, &data.options())? {
        let text = text_of(&row, data.text_field.as_deref())
            .map_err(|problem| row_error(path, number, problem))?;
        if !text.is_empty() && seen.insert(text.clone()) {
            texts.push(text);
        }
    }
    match texts.is_empty() {
        true => Err(none_left(path)),
        false => Ok(Some(texts)),
    }
}

fn none_left(path: &Path) -> Error {
    Error::Input(format!(
        "{}: no text is left as a negative, for all are empty or stand in a pair; give texts about something else as \
         `align.negatives`",
        path.display()
    ))
}

/// The text of a row: `data.text_field`, or else `text`.
fn text_of(row: &Object, field: Option<&str>) -> Result<String, String> {
    let named = field.and_then(|field| row.get(field));
    match named.or_else(|| row.get("text")) {
        Some(Value::String(text)) => Ok(text.trim().to_string()),
        Some(Value::Null) => Ok(String::new()),
        Some(other) => Ok(other.to_string()),
        None => {
            let fields: Vec<&str> = row.keys().map(String::as_str).collect();
            Err(format!(
                "there is neither the `data.text_field` nor a field `text` to take a negative from (there are: {})",
                suggest::quoted(&fields)
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn negatives(per_step: usize, seed: u64) -> Negatives {
        let values: Vec<f32> = (0..20).map(|x| x as f32).collect();
        let texts = Tensor::from_data(TensorData::new(values, [20, 1]), &Device::flex());
        Negatives::new(texts, per_step, seed)
    }

    fn drawn(per_step: usize, seed: u64, step: usize) -> Vec<i64> {
        let drawn = negatives(per_step, seed).draw(step, &Device::flex());
        drawn.into_data().iter::<i64>().collect()
    }

    #[test]
    fn a_step_draws_the_same_texts_always_and_none_twice() {
        assert_eq!(drawn(8, 1, 5), drawn(8, 1, 5));
        assert_ne!(drawn(8, 1, 5), drawn(8, 1, 6));
        assert_ne!(drawn(8, 1, 5), drawn(8, 2, 5));
        let mut all = drawn(100, 1, 0);
        all.sort_unstable();
        assert_eq!(all, (0..20).collect::<Vec<_>>(), "no more than there are");
        let seen: HashSet<i64> = (0..20).flat_map(|step| drawn(8, 1, step)).collect();
        assert_eq!(seen.len(), 20, "in time every text is drawn");
    }

    fn read_file(name: &str, content: &str, field: Option<&str>) -> Result<Option<Vec<String>>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        let align = AlignSection {
            negatives: Some(path),
            ..AlignSection::default()
        };
        let data = DataSection {
            text_field: field.map(String::from),
            ..DataSection::default()
        };
        read(&align, &data, &["paired".to_string()])
    }

    #[test]
    fn texts_are_read_once_each_and_those_of_pairs_are_left_out() {
        let lines = "a train\npaired\n\na train\nthe sea \n";
        let texts = read_file("n.txt", lines, Some("caption")).unwrap();
        assert_eq!(texts.unwrap(), ["a train", "the sea"]);
        let csv = read_file("n.csv", "caption,text\nx,y\n", Some("caption")).unwrap();
        assert_eq!(csv.unwrap(), ["x"]);
        let none = read(&AlignSection::default(), &DataSection::default(), &[]);
        assert!(none.unwrap().is_none());
    }

    #[test]
    fn what_is_no_text_is_named() {
        let error = read_file("n.csv", "a,b\nx,y\n", Some("caption")).unwrap_err();
        assert!(error.to_string().contains("n.csv row 1"), "{error}");
        assert!(error.to_string().contains("`a`"), "{error}");
        let error = read_file("n.txt", "paired\n", None).unwrap_err();
        assert!(error.to_string().contains("no text is left"), "{error}");
    }
}
