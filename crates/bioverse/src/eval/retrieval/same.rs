//! Which candidates are right beside the one that stands in the row: those with the same text, and those with the same
//! record. It knows no score.

use std::collections::HashMap;

use super::super::findings::Method;
use super::super::metrics::{Retrieval, mean, normalize};
use super::Pair;
use super::space::{DIRECTIONS, median};

/// Equal texts and equal records of a set of pairs, as numbers.
#[derive(Debug, Clone)]
pub struct Same {
    texts: Vec<usize>,
    records: Vec<usize>,
    /// Of each pair, how many others are right too.
    twins: Vec<usize>,
}

impl Same {
    /// Texts are compared in lower case, without outer punctuation and with single spaces; records as [`record_key`] says.
    pub fn of(modality: &str, pairs: &[Pair]) -> Self {
        let texts = numbers(pairs.iter().map(|pair| normalize(&pair.text)));
        let records = numbers(pairs.iter().map(|pair| record_key(modality, pair)));
        let (mut of_text, mut of_record, mut of_both) =
            (HashMap::new(), HashMap::new(), HashMap::new());
        for (text, record) in texts.iter().zip(&records) {
            *of_text.entry(*text).or_insert(0usize) += 1;
            *of_record.entry(*record).or_insert(0usize) += 1;
            *of_both.entry((*text, *record)).or_insert(0usize) += 1;
        }
        let each = texts.iter().zip(&records);
        let twins = each.map(|(text, record)| {
            // Pairs with the same text and those with the same record, each once, without the pair itself.
            of_text[text] + of_record[record] - of_both[&(*text, *record)] - 1
        });
        Self {
            twins: twins.collect(),
            texts,
            records,
        }
    }

    /// No text and no record occurs twice.
    pub fn none(n: usize) -> Self {
        Self {
            texts: (0..n).collect(),
            records: (0..n).collect(),
            twins: vec![0; n],
        }
    }

    /// Whether candidate `other` is as right for pair `own` as its own partner.
    pub fn is_right(&self, own: usize, other: usize) -> bool {
        self.texts[own] == self.texts[other] || self.records[own] == self.records[other]
    }

    /// A number per distinct text, for drawings.
    pub fn text_numbers(&self) -> &[usize] {
        &self.texts
    }

    /// Pairs.
    pub fn len(&self) -> usize {
        self.twins.len()
    }

    /// Without pairs.
    pub fn is_empty(&self) -> bool {
        self.twins.is_empty()
    }

    /// Pairs with another right candidate.
    pub fn repeated(&self) -> usize {
        self.twins.iter().filter(|twins| **twins > 0).count()
    }

    /// What guessing gives, exactly: of m candidates every rank from 1 to m is equally likely. Its rows are expectations, so
    /// they can stand in a contest; its median is that of the expected ranks.
    pub fn chance(&self, method: Method) -> Method {
        let n = self.len();
        let raw = vec![n; n];
        let filtered: Vec<usize> = self.twins.iter().map(|twins| n - twins).collect();
        DIRECTIONS.iter().fold(method, |method, direction| {
            let method = expected(method, &format!("{direction}."), &raw);
            expected(method, &format!("{direction}.filtered."), &filtered)
        })
    }
}

/// Chance among as many candidates as each row has.
fn expected(mut method: Method, prefix: &str, candidates: &[usize]) -> Method {
    let mut known: HashMap<usize, Retrieval> = HashMap::new();
    let rows: Vec<Retrieval> = candidates
        .iter()
        .map(|m| *known.entry(*m).or_insert_with(|| Retrieval::chance(*m)))
        .collect();
    for (at, metric) in ["r@1", "r@5", "r@10", "mrr"].iter().enumerate() {
        let values: Vec<f64> = rows.iter().map(|row| row.entries()[at].1).collect();
        let name = format!("{prefix}{metric}");
        method = method.number(&name, mean(values.iter().copied()), None);
        method.rows.insert(name, values);
    }
    let ranks: Vec<f64> = rows.iter().map(|row| row.median_rank).collect();
    method.number(&format!("{prefix}median_rank"), median(&ranks), None)
}

/// A record as it is compared: a molecule in its canonical SMILES, anything else without outer white space.
pub fn record_key(modality: &str, pair: &Pair) -> String {
    #[cfg(feature = "molecule")]
    if modality == "molecule"
        && let Ok(canonical) = bioverse_molecule::canonical(&pair.input)
    {
        return canonical;
    }
    let _ = modality;
    pair.input.trim().to_owned()
}

fn numbers(keys: impl Iterator<Item = String>) -> Vec<usize> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    keys.map(|key| {
        let next = seen.len();
        *seen.entry(key).or_insert(next)
    })
    .collect()
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::eval::findings::Role;

    pub fn pair(record: &str, text: &str) -> Pair {
        Pair {
            id: record.into(),
            record: record.into(),
            input: record.into(),
            text: text.into(),
        }
    }

    #[test]
    fn equal_texts_and_equal_records_are_right_too() {
        let pairs = [
            pair("A", "A kinase."),
            pair("B", "a  KINASE"),
            pair("A", "A protein."),
            pair("C", "A phosphatase."),
        ];
        let same = Same::of("protein", &pairs);
        assert!(same.is_right(0, 1) && same.is_right(0, 2) && !same.is_right(1, 2));
        assert_eq!(
            (same.twins.as_slice(), same.repeated()),
            (&[2, 1, 1, 0][..], 3)
        );
    }

    #[cfg(feature = "molecule")]
    #[test]
    fn one_molecule_is_one_record_however_it_is_written() {
        let same = Same::of("molecule", &[pair("OCC", "x"), pair("CCO", "y")]);
        assert!(same.is_right(0, 1));
    }

    #[test]
    fn chance_by_hand() {
        // Two of three texts are alike: rows 0 and 1 have two candidates when filtered, row 2 has three.
        let pairs = [pair("A", "x"), pair("B", "x"), pair("C", "y")];
        let same = Same::of("protein", &pairs);
        let chance = same.chance(Method::new("chance", Role::Baseline));
        let number = |name: &str| chance.numbers[name].value;
        assert!((number("record_to_text.r@1") - 1.0 / 3.0).abs() < 1e-12);
        // (1/2 + 1/2 + 1/3) / 3
        assert!((number("record_to_text.filtered.r@1") - 4.0 / 9.0).abs() < 1e-12);
        // H(2)/2 = 3/4 twice, H(3)/3 = 11/18 once.
        let mrr = (0.75 + 0.75 + 11.0 / 18.0) / 3.0;
        assert!((number("text_to_record.filtered.mrr") - mrr).abs() < 1e-12);
        assert_eq!(number("text_to_record.filtered.median_rank"), 1.5);
        assert_eq!(number("text_to_record.median_rank"), 2.0);
    }
}
