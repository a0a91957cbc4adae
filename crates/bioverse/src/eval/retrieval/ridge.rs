//! What retrieval reaches without any alignment: ridge regression from what a record is made of to the words of its text.
//!
//! An honest baseline must be able to win: its strength is chosen on training rows that are left out of the fit, never on
//! what is measured, and it learns from the same rows as the model it stands beside.

use tracing::debug;

use super::super::{
    heads::beside,
    linear::{Matrix, Ridge},
    metrics::words,
    scale::Scale,
    tfidf::TfIdf,
};
use super::Pair;
use super::same::Same;
use super::space::Space;
use crate::error::{Error, Result};

/// Most frequent terms of records that are kept.
const TERMS: usize = 8192;
/// Most frequent words of texts that are kept.
const WORDS: usize = 4096;
/// Candidate strengths of the penalty for unit vectors.
const LAMBDAS: [f32; 7] = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0];
/// Every n-th training row is left out while the strength is chosen.
const HELD_OUT: usize = 5;

/// Words of the texts of both sides, as TF-IDF vectors fitted on the training side.
pub struct Words {
    train: Matrix,
    eval: Matrix,
}

impl Words {
    /// Fits the weights.
    pub fn of(train: &[Pair], eval: &[Pair]) -> Self {
        let texts = |pairs: &[Pair]| -> Vec<String> {
            pairs.iter().map(|pair| pair.text.clone()).collect()
        };
        let (train, eval) = (texts(train), texts(eval));
        let words = TfIdf::fit(&train, WORDS, words);
        Self {
            train: words.transform(&train),
            eval: words.transform(&eval),
        }
    }

    /// From the terms of a record, as TF-IDF vectors, to the words. Nothing where records have no term in common (ids in
    /// place of molecules).
    pub fn terms_space(
        &self,
        train: &[String],
        eval: &[String],
        cut: fn(&str) -> Vec<String>,
    ) -> Result<Option<Space>> {
        let terms = TfIdf::fit(train, TERMS, cut);
        let (known, asked) = (terms.transform(train), terms.transform(eval));
        match known.cols {
            0 => Ok(None),
            _ => self.unit_space(&known, &asked).map(Some),
        }
    }

    /// From dense vectors, which are centred and brought to variance one first, to the words.
    ///
    /// # Shapes
    /// `train [n, d]`, `eval [m, d]`
    pub fn vectors_space(&self, train: &Matrix, eval: &Matrix) -> Result<Space> {
        let scale = Scale::fit(train);
        let unit = |x| with_constant(scale.apply(x));
        self.unit_space(&unit(train), &unit(eval))
    }

    /// From unit vectors: predicted words and actual ones.
    fn unit_space(&self, x: &Matrix, queries: &Matrix) -> Result<Space> {
        let lambda = choose(x, &self.train);
        let predicted = Ridge::new(x).predict(&self.train, lambda, queries);
        let predicted = predicted.ok_or_else(|| {
            Error::Run(format!(
                "a ridge baseline cannot be solved at lambda {lambda} on {} rows; please report the data",
                x.rows
            ))
        })?;
        Ok(Space::new(predicted, self.eval.clone()))
    }
}

/// Features as unit vectors, with a constant beside them that carries the mean of the texts.
fn with_constant(x: Matrix) -> Matrix {
    let constant = Matrix {
        rows: x.rows,
        cols: 1,
        data: vec![(x.cols as f32).sqrt(); x.rows],
    };
    beside(&[x, constant]).normalized()
}

/// The strength with the best mean reciprocal rank, both ways, on training rows that were left out; 1 when there are too few.
fn choose(x: &Matrix, y: &Matrix) -> f32 {
    let held: Vec<usize> = (0..x.rows).filter(|i| i % HELD_OUT == 0).collect();
    let used: Vec<usize> = (0..x.rows).filter(|i| i % HELD_OUT != 0).collect();
    if held.len() < 2 || used.len() < 2 {
        return 1.0;
    }
    let ridge = Ridge::new(&x.select(&used));
    let (targets, queries, actual) = (y.select(&used), x.select(&held), y.select(&held));
    let alone = Same::none(held.len());
    let mut best = (f64::NEG_INFINITY, 1.0);
    for lambda in LAMBDAS {
        let Some(predicted) = ridge.predict(&targets, lambda, &queries) else {
            continue;
        };
        let ranks = Space::new(predicted, actual.clone()).ranks(&alone);
        let mrr: f64 = ranks.mrr().iter().sum();
        debug!(lambda, mrr, "ridge baseline");
        if mrr > best.0 {
            best = (mrr, lambda);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::super::super::{metrics::Retrieval, tfidf::substrings};
    use super::*;

    /// Texts that follow from substrings: letters name words.
    fn pairs(n: usize, offset: usize) -> Vec<Pair> {
        let letters = ["C", "N", "O", "S", "P", "F"];
        let names = [
            "carbon",
            "nitrogen",
            "oxygen",
            "sulfur",
            "phosphorus",
            "fluorine",
        ];
        (0..n)
            .map(|i| {
                let code = i * 7 + offset;
                let picked = [code % 6, (code / 6) % 6, (code / 36) % 6];
                Pair {
                    id: i.to_string(),
                    record: picked.map(|p| letters[p]).concat().into(),
                    input: picked.map(|p| letters[p]).concat(),
                    text: picked.map(|p| names[p]).join(" "),
                }
            })
            .collect()
    }

    fn space(train: &[Pair], eval: &[Pair]) -> Space {
        let inputs = |pairs: &[Pair]| -> Vec<String> {
            pairs.iter().map(|pair| pair.input.clone()).collect()
        };
        let words = Words::of(train, eval);
        words
            .terms_space(&inputs(train), &inputs(eval), substrings)
            .unwrap()
            .unwrap()
    }

    #[test]
    fn it_learns_what_terms_say() {
        let eval = pairs(24, 5);
        let ranks = space(&pairs(120, 0), &eval).ranks(&Same::none(24));
        let chance = Retrieval::chance(eval.len());
        assert!(ranks.mrr()[0] > 2.0 * chance.mrr, "{ranks:?}");
    }

    #[test]
    fn it_learns_what_vectors_say() {
        // One number per letter and place says what the text says.
        let vectors = |pairs: &[Pair]| {
            let rows = pairs.iter().flat_map(|pair| {
                let letters: Vec<char> = pair.input.chars().collect();
                "CNOSPF"
                    .chars()
                    .map(move |c| letters.iter().filter(|l| **l == c).count() as f32)
            });
            Matrix {
                rows: pairs.len(),
                cols: 6,
                data: rows.collect(),
            }
        };
        let (train, eval) = (pairs(120, 0), pairs(24, 5));
        let space = Words::of(&train, &eval)
            .vectors_space(&vectors(&train), &vectors(&eval))
            .unwrap();
        let ranks = space.ranks(&Same::none(24));
        assert!(
            ranks.mrr()[0] > 2.0 * Retrieval::chance(24).mrr,
            "{ranks:?}"
        );
    }

    #[test]
    fn it_is_deterministic() {
        let (train, eval) = (pairs(60, 0), pairs(12, 3));
        assert_eq!(space(&train, &eval).records, space(&train, &eval).records);
    }

    #[test]
    fn few_rows_do_not_break_it() {
        assert_eq!(space(&pairs(1, 0), &pairs(2, 1)).records.rows, 2);
    }
}
