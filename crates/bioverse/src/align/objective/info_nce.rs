//! InfoNCE, with any number of right answers to a record.
//!
//! With one right answer this is the usual cross-entropy over a batch (van den Oord et al. 2018, eq. 4; both directions as
//! in CLIP, Radford et al. 2021). With several, the loss of row i is the mean over its right answers P(i), which stands
//! outside the logarithm as in eq. 2 of Khosla et al. 2020 (SupCon):
//!
//! ```text
//! L_i = -1/|P(i)| Σ_{p ∈ P(i)} log  exp(s_ip) / ( exp(s_ip) + Σ_{n ∈ N(i)} exp(s_in) )
//! ```
//!
//! N(i) are the wrong answers only. SupCon's denominator also holds the other right answers, and then a right answer whose
//! share is above 1/|P(i)| is pushed away. Leaving them out is the correction of Feeney and Hughes (2023, SINCERE, eq. 1):
//! here ∂L_i/∂s_ip = -(1 - q_ip)/|P(i)| is never positive, so equal things are never pushed apart.

use burn::prelude::*;
use burn::tensor::activation::{log_sigmoid, log_softmax};

use super::{Logits, Relations, Scale};

/// What a right answer gets for a logit where wrong ones are summed: its share is exactly zero in f32.
const NEVER: f64 = -1e9;

/// InfoNCE over a batch of pairs, as (bio→text, text→bio); the loss is their mean.
///
/// `bio` and `text` are normalised here; `negatives` are extra columns of the bio→text term only.
///
/// # Shapes
/// `bio, text [N, d]`, `negatives [G, d]` → two times `[1]`
pub fn info_nce(
    bio: Tensor<2>,
    text: Tensor<2>,
    negatives: Option<Tensor<2>>,
    temperature: f64,
) -> (Tensor<1>, Tensor<1>) {
    let relations = Relations::apart(bio.dims()[0]);
    let logits = Logits::new(bio, text, negatives, &Scale::Fixed(temperature));
    let text_to_bio = text_to_bio(&logits, &relations);
    (bio_to_text(logits, &relations), text_to_bio)
}

/// Each record must find its texts among all texts.
pub fn bio_to_text(logits: Logits, relations: &Relations) -> Tensor<1> {
    contrast(logits.columns(), relations)
}

/// Each text must find its records among all records.
pub fn text_to_bio(logits: &Logits, relations: &Relations) -> Tensor<1> {
    contrast(logits.pairs.clone().transpose(), relations)
}

/// Mean over rows of `L_i` above. `[N, M]`, M ≥ N → `[1]`.
fn contrast(columns: Tensor<2>, relations: &Relations) -> Tensor<1> {
    if relations.are_apart() {
        return diagonal_cross_entropy(columns);
    }
    several_right_answers(columns, relations)
}

fn several_right_answers(columns: Tensor<2>, relations: &Relations) -> Tensor<1> {
    let ([n, width], device) = (columns.dims(), columns.device());
    let not_wrong = relations.matrix(width, |cell| cell != super::Cell::Negative);
    let not_wrong = Tensor::<2, Bool>::from_data(not_wrong, &device);
    let wrong = log_sum_exp(columns.clone().mask_fill(not_wrong, NEVER));
    let right = relations.positives(width, &device);
    let logits = columns.reshape([n * width]).select(0, right.cells);
    let shares = log_sigmoid(logits - wrong.select(0, right.rows));
    (shares * right.weights).sum().neg()
}

/// `[N, M] → [N]`
fn log_sum_exp(x: Tensor<2>) -> Tensor<1> {
    let largest = x.clone().max_dim(1).detach();
    let sum = (x - largest.clone()).exp().sum_dim(1);
    (sum.log() + largest).squeeze_dim(1)
}

/// Mean over rows of `-log softmax` at the diagonal. `[N, M]`, M ≥ N → `[1]`.
fn diagonal_cross_entropy(logits: Tensor<2>) -> Tensor<1> {
    let [n, _] = logits.dims();
    let diagonal = Tensor::<1, Int>::arange(0..n as i64, &logits.device()).unsqueeze_dim(1);
    log_softmax(logits, 1).gather(1, diagonal).mean().neg()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn with_one_right_answer_both_ways_of_computing_agree() {
        let device = Device::flex();
        let values: Vec<f32> = (0..15u64)
            .map(|n| (crate::train::seed::mix(4, n) >> 58) as f32 / 8.0)
            .collect();
        let columns = Tensor::<2>::from_data(TensorData::new(values, [3, 5]), &device);
        let apart = Relations::apart(3);
        let a = diagonal_cross_entropy(columns.clone()).into_data();
        let b = several_right_answers(columns, &apart).into_data();
        let (a, b) = (
            a.iter::<f64>().next().unwrap(),
            b.iter::<f64>().next().unwrap(),
        );
        assert!((a - b).abs() < 1e-6, "{a} {b}");
    }
}
