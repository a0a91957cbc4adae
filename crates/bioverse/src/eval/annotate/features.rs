//! What there is to learn from a record without any model: logarithms of normalised counts of a cell, substrings of a record
//! that is text. It knows no label.

use std::collections::BTreeMap;

use bioverse_core::Record;
use rayon::prelude::*;
use serde_json::Value;

use crate::eval::{
    components::Sparse,
    tfidf::{TfIdf, substrings},
};

/// Counts that a cell is scaled to (scanpy's `normalize_total(target_sum=1e4)`).
const TOTAL: f64 = 1e4;
/// Most frequent substrings kept.
const SUBSTRINGS: usize = 4096;

/// Features of training and measured records, in the same columns.
pub struct Features {
    /// What they are.
    pub what: &'static str,
    /// Number of columns.
    pub columns: usize,
    /// Of the rows to learn from.
    pub train: Vec<Sparse>,
    /// Of the rows to measure on.
    pub eval: Vec<Sparse>,
}

/// Features of records that are all cells or all text; nothing for others.
pub fn of(train: &[&Record], eval: &[&Record]) -> Option<Features> {
    cells(train, eval).or_else(|| texts(train, eval))
}

/// `ln(1 + 10⁴ · count / total)` of every gene that a training cell has. Values that are not all whole numbers were
/// normalised before and are taken as they are.
fn cells(train: &[&Record], eval: &[&Record]) -> Option<Features> {
    let read = |records: &[&Record]| -> Option<Vec<Vec<(String, f64)>>> {
        records.par_iter().map(|record| cell(record)).collect()
    };
    let (train, eval) = (read(train)?, read(eval)?);
    let cells = || train.iter().chain(&eval).flatten();
    let counts = cells().all(|(_, value)| value.fract() == 0.0);
    let mut columns: BTreeMap<&str, usize> = BTreeMap::new();
    for (gene, value) in train.iter().flatten() {
        let next = columns.len();
        if *value > 0.0 {
            columns.entry(gene).or_insert(next);
        }
    }
    let row = |cell: &Vec<(String, f64)>| -> Sparse {
        let total: f64 = cell.iter().map(|(_, value)| value).sum();
        let scale = TOTAL / total.max(f64::MIN_POSITIVE);
        let kept = cell.iter().filter_map(|(gene, value)| {
            let value = if counts {
                (scale * value).ln_1p()
            } else {
                *value
            };
            Some((*columns.get(gene.as_str())?, value as f32))
        });
        let mut row: Sparse = kept.filter(|(_, value)| *value != 0.0).collect();
        row.sort_unstable_by_key(|(column, _)| *column);
        row
    };
    Some(Features {
        what: "log-normalised counts",
        columns: columns.len(),
        train: train.par_iter().map(row).collect(),
        eval: eval.par_iter().map(row).collect(),
    })
}

/// `{"genes": […], "values": […]}`
fn cell(record: &Record) -> Option<Vec<(String, f64)>> {
    let genes = record.get("genes")?.as_array()?.iter();
    let values = record.get("values")?.as_array()?.iter();
    let pair = |(gene, value): (&Value, &Value)| Some((gene.as_str()?.to_owned(), value.as_f64()?));
    genes.zip(values).map(pair).collect()
}

fn texts(train: &[&Record], eval: &[&Record]) -> Option<Features> {
    let read = |records: &[&Record]| -> Option<Vec<String>> {
        let texts = records
            .iter()
            .map(|record| record.as_str().map(str::to_owned));
        texts.collect()
    };
    let (train, eval) = (read(train)?, read(eval)?);
    let fitted = TfIdf::fit(&train, SUBSTRINGS, substrings);
    let rows = |texts: &[String]| -> (usize, Vec<Sparse>) {
        let matrix = fitted.transform(texts);
        let row = |i: usize| {
            let cells = matrix.row(i).iter().copied().enumerate();
            cells.filter(|(_, value)| *value != 0.0).collect()
        };
        (matrix.cols, (0..matrix.rows).map(row).collect())
    };
    let (columns, train) = rows(&train);
    Some(Features {
        what: "TF-IDF of substrings",
        columns,
        train,
        eval: rows(&eval).1,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn cells_by_hand() {
        let a = json!({"genes": ["X", "Y", "Z"], "values": [1, 3, 0]});
        let b = json!({"genes": ["Z", "X"], "values": [5, 5]});
        let got = of(&[&a], &[&b]).unwrap();
        // Z is expressed in no training cell.
        assert_eq!(got.columns, 2);
        let ln = |x: f64| (x.ln_1p()) as f32;
        assert_eq!(got.train[0], [(0, ln(2500.0)), (1, ln(7500.0))]);
        assert_eq!(got.eval[0], [(0, ln(5000.0))]);
        let normalised = json!({"genes": ["X"], "values": [1.5]});
        assert_eq!(of(&[&normalised], &[&b]).unwrap().train[0], [(0, 1.5)]);
    }

    #[test]
    fn texts_are_substrings_and_others_are_nothing() {
        let (a, b) = (json!("CCO"), json!("CCN"));
        let got = of(&[&a], &[&b]).unwrap();
        assert!(!got.train[0].is_empty() && got.eval[0].len() < got.columns);
        assert!(of(&[&json!(1)], &[&a]).is_none());
    }
}
