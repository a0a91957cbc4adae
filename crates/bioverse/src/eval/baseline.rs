//! What retrieval reaches without any model: ridge regression from a record's substrings to the words of its text.
//!
//! An honest baseline must be able to win: its strength is chosen on held-out training rows, and it learns from the same
//! training rows as the model it stands beside.

use tracing::debug;

use super::{
    linear::{Matrix, Ridge},
    metrics::{Retrieval, words},
    retrieval::{Pair, ranks},
    tfidf::{TfIdf, substrings},
};
use crate::error::{Error, Result};

/// Most frequent substrings kept.
const SUBSTRINGS: usize = 8192;
/// Most frequent words kept.
const WORDS: usize = 4096;
/// Candidate strengths of the penalty.
const LAMBDAS: [f32; 6] = [0.03, 0.1, 0.3, 1.0, 3.0, 10.0];
/// Every n-th training row is held out while the strength is chosen.
const HELD_OUT: usize = 5;

/// Scores of the baseline: cosine of predicted and actual word vectors, `[eval, eval]`, and the strength it chose.
pub fn scores(train: &[Pair], eval: &[Pair]) -> Result<(Matrix, f32)> {
    let x = inputs(train);
    let y = texts(train);
    let (substrings, words) = (
        TfIdf::fit(&x, SUBSTRINGS, substrings),
        TfIdf::fit(&y, WORDS, words),
    );
    let (x, y) = (substrings.transform(&x), words.transform(&y));
    let lambda = choose(&x, &y);
    let queries = substrings.transform(&inputs(eval));
    let predicted = Ridge::new(&x)
        .predict(&y, lambda, &queries)
        .ok_or_else(|| {
            Error::Run(format!(
                "the substring baseline cannot be solved at lambda {lambda} on {} rows; please report the data",
                train.len()
            ))
        })?;
    let actual = words.transform(&texts(eval));
    Ok((predicted.normalized().times_transposed(&actual), lambda))
}

fn inputs(pairs: &[Pair]) -> Vec<&str> {
    pairs.iter().map(|pair| pair.input.as_str()).collect()
}

fn texts(pairs: &[Pair]) -> Vec<&str> {
    pairs.iter().map(|pair| pair.text.as_str()).collect()
}

/// The strength with the best mean reciprocal rank, both ways, on the held-out training rows; 1 when there are too few.
fn choose(x: &Matrix, y: &Matrix) -> f32 {
    let held: Vec<usize> = (0..x.rows).filter(|i| i % HELD_OUT == 0).collect();
    let used: Vec<usize> = (0..x.rows).filter(|i| i % HELD_OUT != 0).collect();
    if held.len() < 2 || used.len() < 2 {
        return 1.0;
    }
    let ridge = Ridge::new(&x.select(&used));
    let (targets, queries, actual) = (y.select(&used), x.select(&held), y.select(&held));
    let mut best = (f64::NEG_INFINITY, 1.0);
    for lambda in LAMBDAS {
        let Some(predicted) = ridge.predict(&targets, lambda, &queries) else {
            continue;
        };
        let (there, back) = ranks(&predicted.normalized().times_transposed(&actual));
        let mrr = Retrieval::from_ranks(&there).mrr + Retrieval::from_ranks(&back).mrr;
        debug!(lambda, mrr, "substring baseline");
        if mrr > best.0 {
            best = (mrr, lambda);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
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

    #[test]
    fn it_learns_what_substrings_say() {
        let eval = pairs(24, 5);
        let (scores, lambda) = scores(&pairs(120, 0), &eval).unwrap();
        let (there, _) = ranks(&scores);
        let (got, chance) = (Retrieval::from_ranks(&there), Retrieval::chance(eval.len()));
        assert!(got.mrr > 2.0 * chance.mrr, "{got:?} at {lambda}");
        assert!(LAMBDAS.contains(&lambda));
    }

    #[test]
    fn it_is_deterministic() {
        let (train, eval) = (pairs(60, 0), pairs(12, 3));
        assert_eq!(
            scores(&train, &eval).unwrap().0,
            scores(&train, &eval).unwrap().0
        );
    }

    #[test]
    fn few_rows_do_not_break_it() {
        assert!(scores(&pairs(1, 0), &pairs(2, 1)).is_ok());
    }
}
