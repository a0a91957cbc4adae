//! LoRA as a side path: `s · drop(x) A B` beside a frozen weight.
//!
//! The path never composes the dense product, so a step costs what its two thin matrices cost. Files are the business
//! of the adapter module.

mod config;
mod selection;

use burn::{
    module::Param,
    nn::{Dropout, DropoutConfig},
    prelude::*,
    tensor::Distribution,
};

use crate::dropout::dropout_mask;
use crate::params::parameter;

pub use config::{LoraConfig, Modules, Patterns};
pub(crate) use selection::{Rank, Selection};

/// PEFT's word for every linear layer but the head.
pub(crate) const ALL_LINEAR: &str = "all-linear";

/// One adapter: `A [d_in, r]`, `B [r, d_out]` (PEFT stores both transposed).
#[derive(Module, Debug)]
pub struct Lora {
    /// Down-projection.
    pub lora_a: Param<Tensor<2>>,
    /// Up-projection, zero at start.
    pub lora_b: Param<Tensor<2>>,
    /// Dropout on the input.
    pub dropout: Dropout,
    /// `lora_alpha / r`, or over the root of `r`.
    #[module(skip)]
    pub scaling: f64,
}

impl Lora {
    /// Fresh: `A` Kaiming-uniform with `a = sqrt(5)`, that is within `±1/sqrt(d_in)`; `B` zero.
    pub(crate) fn init(
        rank: Rank,
        dropout: f64,
        [d_in, d_out]: [usize; 2],
        device: &Device,
    ) -> Self {
        let bound = (d_in as f64).powf(-0.5);
        let a = Tensor::random([d_in, rank.r], Distribution::Uniform(-bound, bound), device);
        Self::new(rank, dropout, a, Tensor::zeros([rank.r, d_out], device))
    }

    /// From values; trainable exactly if they live on an autodiff device.
    pub(crate) fn new(rank: Rank, dropout: f64, lora_a: Tensor<2>, lora_b: Tensor<2>) -> Self {
        let mut dropout = DropoutConfig::new(dropout).init();
        // The flag alone decides: a pass of a training that keeps no graph has to draw what the one with a graph draws.
        dropout.training = Param::from_bool(lora_a.is_autodiff());
        Self {
            lora_a: parameter(lora_a),
            lora_b: parameter(lora_b),
            dropout,
            scaling: rank.scaling,
        }
    }

    /// What the adapter adds, `[N, d_in] → [N, d_out]`.
    pub(crate) fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let (a, b) = (self.lora_a.val(), self.lora_b.val());
        // What learns stays in single precision beside a frozen weight of half.
        let x = x.cast(a.dtype());
        let x = match self.dropout.training.is_enabled() {
            true => dropped(x, self.dropout.prob),
            false => x,
        };
        x.matmul(a).matmul(b).mul_scalar(self.scaling)
    }

    /// The dense change of the weight, `[d_in, d_out]`, outside any graph.
    pub(crate) fn delta(&self) -> Tensor<2> {
        let (a, b) = (self.lora_a.val().inner(), self.lora_b.val().inner());
        a.matmul(b).mul_scalar(self.scaling)
    }
}

/// Burn's own layer asks the device of its *input*, which is plain in the first layer of a frozen model.
fn dropped(x: Tensor<2>, prob: f64) -> Tensor<2> {
    if prob == 0.0 {
        return x;
    }
    let mask = dropout_mask(&x, prob);
    x * mask
}

#[cfg(test)]
mod tests;
