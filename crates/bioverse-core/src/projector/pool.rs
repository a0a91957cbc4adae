//! T hidden states → k vectors, as one weighted sum per vector. Which states are real is read from the mask alone, so
//! padding has no influence wherever it stands.

use std::ops::Range;

use burn::{prelude::*, tensor::TensorData};

use super::Pooling;
use crate::Hidden;

/// # Shapes
/// states `[B, T, d]`, mask `[B, T]` → `[B, k, d]`; a record without real states gives zeros.
pub(super) fn pool(hidden: Hidden, pooling: Pooling, k: usize) -> Tensor<3> {
    let Hidden { states, mask } = hidden;
    let [b, t, d] = states.dims();
    if t == 0 {
        return Tensor::zeros([b, k, d], (&states.device(), states.dtype()));
    }
    let real: Vec<bool> = mask.to_data().iter::<bool>().collect();
    let weights: Vec<f32> = real
        .chunks(t)
        .flat_map(|row| weights(row, pooling, k))
        .collect();
    let weights = TensorData::new(weights, [b, k, t]);
    let weights = Tensor::<3>::from_data(weights, &states.device()).cast(states.dtype());
    // A weight of zero does not silence a NaN at padding; replacing the state does.
    let padding = mask.bool_not().unsqueeze_dim::<3>(2).expand([b, t, d]);
    weights.matmul(states.mask_fill(padding, 0.0))
}

/// `[k, T]` weights of one record, row by row.
fn weights(real: &[bool], pooling: Pooling, k: usize) -> Vec<f32> {
    let positions: Vec<usize> = (0..real.len()).filter(|&t| real[t]).collect();
    let mut weights = vec![0.0; k * real.len()];
    if positions.is_empty() {
        return weights;
    }
    for (j, row) in weights.chunks_mut(real.len()).enumerate() {
        let span = span(pooling, j, k, positions.len());
        for &position in &positions[span.clone()] {
            row[position] = 1.0 / span.len() as f32;
        }
    }
    weights
}

/// Which of `len` real states vector `j` of `k` averages; never empty, `len` is at least 1.
fn span(pooling: Pooling, j: usize, k: usize, len: usize) -> Range<usize> {
    match pooling {
        Pooling::Mean => j * len / k..((j + 1) * len).div_ceil(k),
        Pooling::First => {
            let at = j.min(len - 1);
            at..at + 1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_cover_everything_in_order_and_are_never_empty() {
        for k in 1..7 {
            for len in 1..12 {
                let spans: Vec<_> = (0..k).map(|j| span(Pooling::Mean, j, k, len)).collect();
                assert_eq!(
                    (spans[0].start, spans[k - 1].end),
                    (0, len),
                    "k {k}, {len} states"
                );
                assert!(spans.iter().all(|s| !s.is_empty()));
                assert!(
                    spans
                        .windows(2)
                        .all(|w| w[0].start <= w[1].start && w[1].start <= w[0].end)
                );
                if len % k == 0 {
                    assert!(
                        spans.iter().all(|s| s.len() == len / k),
                        "equal spans do not overlap"
                    );
                }
            }
        }
    }

    #[test]
    fn first_repeats_the_last_real_state() {
        let weights = weights(&[false, true, true, false], Pooling::First, 3);
        assert_eq!(
            weights,
            [
                0., 1., 0., 0., /**/ 0., 0., 1., 0., /**/ 0., 0., 1., 0.
            ]
        );
    }

    #[test]
    fn mean_of_three_in_two_overlaps_in_the_middle() {
        let weights = weights(&[true, false, true, true], Pooling::Mean, 2);
        assert_eq!(weights, [0.5, 0., 0.5, 0., /**/ 0., 0., 0.5, 0.5]);
    }
}
