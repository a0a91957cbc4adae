//! LayerNorm of rows, in place. Two passes over a row that is in cache: mean, then deviations from it.

use super::simd::{fma, vectorised};

/// `(x - mean) / sqrt(var + eps) · weight + bias`.
#[derive(Debug)]
pub(crate) struct Norm {
    /// `[width]`.
    pub(crate) weight: Vec<f32>,
    /// `[width]`; zeros where the norm has none.
    pub(crate) bias: Vec<f32>,
    pub(crate) eps: f32,
}

impl Norm {
    /// `rows [m, width]`.
    pub(super) fn apply(&self, rows: &mut [f32]) {
        normalise(rows, &self.weight, &self.bias, self.eps);
    }
}

/// Sums that are kept apart, so that they fill the widest registers; fixed, so that every machine adds in one order.
const LANES: usize = 32;

vectorised! {
    fn normalise(rows: &mut [f32], weight: &[f32], bias: &[f32], eps: f32) = normalise_body
}

#[inline(always)]
fn normalise_body<const FMA: bool>(rows: &mut [f32], weight: &[f32], bias: &[f32], eps: f32) {
    let width = weight.len();
    for row in rows.chunks_exact_mut(width) {
        let mean = sum(row, |x, sum| sum + x) / width as f32;
        let squares = sum(row, |x, sum| fma::<FMA>(x - mean, x - mean, sum));
        let scale = 1.0 / (squares / width as f32 + eps).sqrt();
        for ((x, weight), bias) in row.iter_mut().zip(weight).zip(bias) {
            *x = fma::<FMA>((*x - mean) * scale, *weight, *bias);
        }
    }
}

#[inline(always)]
fn sum(row: &[f32], add: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let chunks = row.chunks_exact(LANES);
    let mut rest = 0.0;
    for x in chunks.remainder() {
        rest = add(*x, rest);
    }
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane = add(*x, *lane);
        }
    }
    lanes.iter().sum::<f32>() + rest
}
