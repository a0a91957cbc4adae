//! The non-linearities of feed-forward layers, together with the bias before them.
//!
//! The error function is that of Abramowitz and Stegun, formula 7.1.26, which is off by 1.5e-7 at most.

use std::f32::consts::FRAC_1_SQRT_2;

use super::exp::exp;
use super::simd::{fma, vectorised};
use crate::config::Activation;

/// `rows = act(rows + bias)`; `rows [m, width]`, `bias [width]`.
pub(super) fn apply(act: Activation, rows: &mut [f32], bias: &[f32]) {
    match act {
        Activation::Gelu => gelu(rows, bias),
        Activation::GeluTanh => gelu_tanh(rows, bias),
        Activation::Relu => relu(rows, bias),
        Activation::Silu => silu(rows, bias),
    }
}

/// The second half of every row, times the first: `[m, 2 · width]` → the first `m · width` numbers.
pub(super) fn gate(rows: &mut [f32], bias: &[f32], act: Activation) {
    let width = bias.len() / 2;
    let (gate_bias, up_bias) = bias.split_at(width);
    for i in 0..rows.len() / bias.len() {
        let (gate, up) = rows[i * 2 * width..][..2 * width].split_at_mut(width);
        apply(act, gate, gate_bias);
        weigh(gate, up, up_bias);
        rows.copy_within(i * 2 * width..i * 2 * width + width, i * width);
    }
}

vectorised! {
    fn gelu(rows: &mut [f32], bias: &[f32]) = gelu_body
}

vectorised! {
    fn gelu_tanh(rows: &mut [f32], bias: &[f32]) = gelu_tanh_body
}

vectorised! {
    fn relu(rows: &mut [f32], bias: &[f32]) = relu_body
}

vectorised! {
    fn silu(rows: &mut [f32], bias: &[f32]) = silu_body
}

vectorised! {
    /// `gate = gate · (up + bias)`.
    fn weigh(gate: &mut [f32], up: &[f32], bias: &[f32]) = weigh_body
}

#[inline(always)]
fn each(rows: &mut [f32], bias: &[f32], act: impl Fn(f32) -> f32) {
    for row in rows.chunks_exact_mut(bias.len()) {
        for (value, bias) in row.iter_mut().zip(bias) {
            *value = act(*value + bias);
        }
    }
}

#[inline(always)]
fn gelu_body<const FMA: bool>(rows: &mut [f32], bias: &[f32]) {
    each(rows, bias, |x| {
        let half = 0.5 * x;
        fma::<FMA>(half, erf::<FMA>(x * FRAC_1_SQRT_2), half)
    });
}

/// `x/2 · (1 + tanh u) = x / (1 + e^(-2u))` with `u = √(2/π) · (x + 0.044715 x³)`.
#[inline(always)]
fn gelu_tanh_body<const FMA: bool>(rows: &mut [f32], bias: &[f32]) {
    const TWICE_ROOT: f32 = 1.595_769;
    each(rows, bias, |x| {
        let inner = fma::<FMA>(0.044_715 * x * x, x, x);
        x / (1.0 + exp::<FMA>(-TWICE_ROOT * inner))
    });
}

#[inline(always)]
fn relu_body<const FMA: bool>(rows: &mut [f32], bias: &[f32]) {
    each(rows, bias, |x| if x < 0.0 { 0.0 } else { x });
}

#[inline(always)]
fn silu_body<const FMA: bool>(rows: &mut [f32], bias: &[f32]) {
    each(rows, bias, |x| x / (1.0 + exp::<FMA>(-x)));
}

#[inline(always)]
fn weigh_body<const FMA: bool>(gate: &mut [f32], up: &[f32], bias: &[f32]) {
    for ((gate, up), bias) in gate.iter_mut().zip(up).zip(bias) {
        *gate *= up + bias;
    }
}

/// `erf x = sign x · (1 - (a₁t + … + a₅t⁵) · e^(-x²))` with `t = 1 / (1 + p|x|)`.
#[inline(always)]
fn erf<const FMA: bool>(x: f32) -> f32 {
    let size = x.abs();
    let t = 1.0 / fma::<FMA>(size, 0.327_591_1, 1.0);
    let sum = fma::<FMA>(1.061_405_4, t, -1.453_152);
    let sum = fma::<FMA>(sum, t, 1.421_413_7);
    let sum = fma::<FMA>(sum, t, -0.284_496_74);
    let sum = fma::<FMA>(sum, t, 0.254_829_6);
    let below_one = sum * t * exp::<FMA>(-size * size);
    (1.0 - below_one).copysign(x)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use burn::prelude::*;

    use super::*;

    #[test]
    fn they_are_what_burn_computes() {
        let values: Vec<f32> = (-600..600).map(|i| i as f32 * 0.013).collect();
        let bias: Vec<f32> = (0..8).map(|i| i as f32 * 0.1).collect();
        let sums = values.iter().enumerate().map(|(i, v)| v + bias[i % 8]);
        let sums: Vec<f32> = sums.collect();
        for act in [
            Activation::Gelu,
            Activation::GeluTanh,
            Activation::Relu,
            Activation::Silu,
        ] {
            let want = act.forward(Tensor::<1>::from_data(&sums[..], &Device::flex()));
            let want: Vec<f32> = want.into_data().try_to_vec().unwrap();
            let mut got = values.clone();
            apply(act, &mut got, &bias);
            let apart = |(got, want): (&f32, &f32)| (got - want).abs();
            let worst = got.iter().zip(&want).map(apart).fold(0.0, f32::max);
            assert!(worst < 1.5e-6, "{act:?} {worst}");
        }
    }

    #[test]
    fn a_gate_takes_the_first_half_of_a_row() {
        let mut rows = [1.0, -2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
        gate(&mut rows, &[0.0, 0.0, 1.0, 0.0], Activation::Relu);
        assert_eq!(rows[..4], [4.0, 0.0, 40.0, 48.0]);
    }
}
