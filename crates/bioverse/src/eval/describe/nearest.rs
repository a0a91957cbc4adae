//! What is said about the most similar training record, or about the most ordinary one: descriptions that need no language
//! model. How good they are is measured elsewhere.

use bioverse_core::{Record, Registry, fingerprint};
use rayon::prelude::*;

use crate::Session;
use crate::error::Result;
use crate::eval::linear::Matrix;
use crate::eval::metrics::words;
use crate::eval::scale::Scale;
use crate::eval::states;
use crate::eval::tfidf::TfIdf;

/// Most frequent words that decide which text is ordinary.
const WORDS: usize = 4096;

/// For each record of `eval` the place of the training record whose pooled encoder state is nearest, by cosine after the mean
/// training state was taken away: states of one encoder have a large part in common.
pub fn by_encoder(
    session: &Session,
    modality: &str,
    train: &[Record],
    eval: &[Record],
) -> Result<Vec<usize>> {
    let name = |record: usize| format!("record {}", record + 1);
    let known = states::means(session, modality, train, &name)?;
    let asked = states::means(session, modality, eval, &name)?;
    let scale = Scale::fit(&known);
    let (known, asked) = (scale.centre(&known), scale.centre(&asked));
    let likeness = asked.normalized().times_transposed(&known.normalized());
    Ok((0..eval.len())
        .map(|row| first_largest(likeness.row(row)))
        .collect())
}

fn mean(matrix: &Matrix) -> Vec<f32> {
    let mut sums = vec![0.0f64; matrix.cols];
    for row in 0..matrix.rows {
        let values = sums.iter_mut().zip(matrix.row(row));
        values.for_each(|(sum, x)| *sum += f64::from(*x));
    }
    let rows = matrix.rows.max(1) as f64;
    sums.into_iter().map(|sum| (sum / rows) as f32).collect()
}

/// Ties go to the first.
fn first_largest(values: &[f32]) -> usize {
    let places = 0..values.len();
    places
        .rev()
        .max_by(|a, b| values[*a].total_cmp(&values[*b]))
        .unwrap_or(0)
}

/// The same by what records are made of (circular environments of molecules, k-mers of sequences): Jaccard index. Nothing
/// where the modality has no fingerprints.
pub fn by_fingerprint(
    registry: &Registry,
    modality: &str,
    train: &[Record],
    eval: &[Record],
) -> Option<Vec<usize>> {
    let set = |record: &Record| {
        let features = registry.fingerprint(modality, record).ok().flatten()?;
        Some(fingerprint::set(features))
    };
    let known: Vec<Vec<u64>> = train.par_iter().map(set).collect::<Option<_>>()?;
    let asked: Vec<Vec<u64>> = eval.par_iter().map(set).collect::<Option<_>>()?;
    let nearest = |own: &Vec<u64>| {
        let likeness = known
            .iter()
            .map(|other| fingerprint::jaccard(own, other) as f32);
        first_largest(&likeness.collect::<Vec<_>>())
    };
    Some(asked.par_iter().map(nearest).collect())
}

/// The medoid: the text whose TF-IDF vector has the largest mean cosine with all others. A text that is repeated often is
/// near many, so this is the most frequent one where texts repeat.
pub fn most_ordinary(texts: &[&str]) -> Option<usize> {
    if texts.is_empty() {
        return None;
    }
    let vectors = TfIdf::fit(texts, WORDS, words).transform(texts);
    let centre = Matrix {
        rows: 1,
        cols: vectors.cols,
        data: mean(&vectors),
    };
    let likeness = centre.times_transposed(&vectors);
    Some(first_largest(likeness.row(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_in_the_middle_is_the_ordinary_one() {
        let texts = [
            "a small acid",
            "a small acid with a ring",
            "steroid",
            "a large base with a ring",
        ];
        assert_eq!(most_ordinary(&texts), Some(1));
        assert_eq!(
            most_ordinary(&["x y", "z", "z"]),
            Some(1),
            "the first of equals"
        );
        assert_eq!(most_ordinary(&[]), None);
    }

    #[test]
    fn means_and_ties() {
        let matrix = Matrix {
            rows: 2,
            cols: 2,
            data: vec![1.0, 2.0, 3.0, 6.0],
        };
        assert_eq!(mean(&matrix), [2.0, 4.0]);
        assert_eq!(first_largest(&[0.5, 0.9, 0.9]), 1);
    }
}
