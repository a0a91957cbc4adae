//! Which text belongs to which record? The whole eval side is the set of candidates, in both directions.

use bioverse_core::Record;
use rayon::prelude::*;
use serde::Serialize;

pub use super::rows::Pair;
use super::{
    baseline,
    linear::Matrix,
    metrics::{self, Retrieval},
    rows,
};
use crate::{Session, error::Result};

/// Ids of the best candidates that a prediction keeps.
const KEPT: usize = 10;

/// Both directions of one method.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Directions {
    /// A record looks for its text.
    pub record_to_text: Retrieval,
    /// A text looks for its record.
    pub text_to_record: Retrieval,
}

/// One eval row as it was ranked; the metrics can be computed again from these.
#[derive(Debug, Clone, Serialize)]
pub struct Prediction {
    /// Id of the pair.
    pub id: String,
    /// Modality of the record.
    pub modality: String,
    /// The record.
    pub record: Record,
    /// Its text.
    pub reference: String,
    /// The model's rank of the right text.
    pub rank_text: f64,
    /// The model's rank of the right record.
    pub rank_record: f64,
    /// Ids of the texts it ranks best.
    pub top_texts: Vec<String>,
    /// Ids of the records it ranks best.
    pub top_records: Vec<String>,
    /// The baseline's rank of the right text.
    pub baseline_rank_text: f64,
    /// The baseline's rank of the right record.
    pub baseline_rank_record: f64,
}

/// What the suite found.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// Modality of the records.
    pub modality: String,
    /// Candidates.
    pub n: usize,
    /// Rows the baseline learnt from.
    pub n_train: usize,
    /// sha256 of the eval rows.
    pub split_sha256: String,
    /// The bundle's projector.
    pub model: Directions,
    /// Substrings to words, see [`baseline`].
    pub baseline: Directions,
    /// Its penalty.
    pub baseline_lambda: f32,
    /// Guessing, exactly.
    pub chance: Directions,
    /// Row by row.
    #[serde(skip)]
    pub predictions: Vec<Prediction>,
}

/// Ranks the whole eval side with the bundle and with the baseline.
pub fn run(session: &Session, modality: &str, train: &[Pair], eval: &[Pair]) -> Result<Outcome> {
    let model = similarity(session, modality, eval)?;
    let (baseline, lambda) = baseline::scores(train, eval)?;
    let (ours, theirs) = (ranks(&model), ranks(&baseline));
    let chance = Retrieval::chance(eval.len());
    Ok(Outcome {
        modality: modality.into(),
        n: eval.len(),
        n_train: train.len(),
        split_sha256: rows::fingerprint(
            eval.iter()
                .map(|pair| (pair.id.as_str(), format!("{}\t{}", pair.input, pair.text))),
        ),
        model: directions(&ours),
        baseline: directions(&theirs),
        baseline_lambda: lambda,
        chance: Directions {
            record_to_text: chance,
            text_to_record: chance,
        },
        predictions: predictions(modality, eval, &model, &ours, &theirs),
    })
}

/// Cosine of soft vectors and text vectors, both in the bundle's metric, `[records, texts]`.
fn similarity(session: &Session, modality: &str, pairs: &[Pair]) -> Result<Matrix> {
    let records: Vec<Record> = pairs.iter().map(|pair| pair.record.clone()).collect();
    let texts: Vec<String> = pairs.iter().map(|pair| pair.text.clone()).collect();
    let metric = session.text_metric(modality)?;
    let name = |i: usize| format!("`{}`", pairs[i].id);
    let soft = metric.apply(session.embed_records(modality, &records, &name)?);
    let text = metric.apply(session.embed_texts(modality, &texts, &name)?);
    let (soft, text) = (Matrix::from_tensor(soft), Matrix::from_tensor(text));
    Ok(soft.normalized().times_transposed(&text.normalized()))
}

/// Rank of the diagonal in each row, and in each column.
pub fn ranks(scores: &Matrix) -> (Vec<f64>, Vec<f64>) {
    let of = |scores: &Matrix| -> Vec<f64> {
        let rank = |i: usize| metrics::rank_of(scores.row(i), i);
        (0..scores.rows).into_par_iter().map(rank).collect()
    };
    (of(scores), of(&scores.transposed()))
}

fn directions((there, back): &(Vec<f64>, Vec<f64>)) -> Directions {
    Directions {
        record_to_text: Retrieval::from_ranks(there),
        text_to_record: Retrieval::from_ranks(back),
    }
}

fn predictions(
    modality: &str,
    eval: &[Pair],
    scores: &Matrix,
    ours: &(Vec<f64>, Vec<f64>),
    theirs: &(Vec<f64>, Vec<f64>),
) -> Vec<Prediction> {
    let back = scores.transposed();
    let best = |scores: &Matrix, i: usize| -> Vec<String> {
        let top = metrics::top(scores.row(i), KEPT);
        top.into_iter().map(|at| eval[at].id.clone()).collect()
    };
    let one = |(i, pair): (usize, &Pair)| Prediction {
        id: pair.id.clone(),
        modality: modality.into(),
        record: pair.record.clone(),
        reference: pair.text.clone(),
        rank_text: ours.0[i],
        rank_record: ours.1[i],
        top_texts: best(scores, i),
        top_records: best(&back, i),
        baseline_rank_text: theirs.0[i],
        baseline_rank_record: theirs.1[i],
    };
    eval.par_iter().enumerate().map(one).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn ranks_go_along_rows_and_along_columns() {
        let scores = Matrix {
            rows: 2,
            cols: 2,
            data: vec![0.9, 0.1, 0.95, 0.2],
        };
        // Row 1 prefers text 0; text 0 prefers record 1.
        assert_eq!(ranks(&scores), (vec![1.0, 2.0], vec![2.0, 1.0]));
    }
}
