//! What the blocks of BERT, RoBERTa and ESM share: self-attention and the plain feed-forward layer.
//!
//! Does not know where the norms stand, which is where the families differ.

use burn::prelude::*;

use super::frozen::dense;
use super::source::Source;
use crate::{
    attention::{attend, split_heads},
    config::{Activation, EncoderConfig},
    fused::{self, Dense},
    linear::Linear,
    rope::Rotary,
};

/// Attention of every token to every other, several heads.
#[derive(Module, Debug)]
pub(super) struct SelfAttention {
    pub(super) query: Linear,
    pub(super) key: Linear,
    value: Linear,
    output: Linear,
    #[module(skip)]
    heads: usize,
}

impl SelfAttention {
    pub(super) fn build<S: Source>(
        source: &S,
        path: &str,
        config: &EncoderConfig,
    ) -> Result<Self, S::Problem> {
        let d = config.hidden_size;
        let linear = |part: &str| source.linear(&format!("{path}.{part}"), [d, d], true);
        Ok(Self {
            query: linear("query")?,
            key: linear("key")?,
            value: linear("value")?,
            output: linear("output")?,
            heads: config.num_attention_heads,
        })
    }

    /// `hidden [B, T, d]`, `bias [B, 1, 1, T]` → `[B, T, d]`; queries and keys are turned where there are rotary
    /// positions.
    pub(super) fn forward(
        &self,
        hidden: Tensor<3>,
        bias: Tensor<4>,
        rotary: Option<&Rotary>,
    ) -> Tensor<3> {
        let heads = |linear: &Linear| split_heads(linear.forward(hidden.clone()), self.heads);
        let turned = |x: Tensor<4>| match rotary {
            Some(rotary) => rotary.apply(x),
            None => x,
        };
        let query = turned(heads(&self.query));
        let key = turned(heads(&self.key));
        let scale = (query.dims()[3] as f64).powf(-0.5);
        let mixed = attend(query, key, heads(&self.value), bias, scale);
        self.output.forward(mixed)
    }

    /// The same for [`crate::fused`].
    pub(super) fn frozen(&self, rotary: Option<usize>) -> Option<fused::SelfAttention> {
        let qkv = [dense(&self.query)?, dense(&self.key)?, dense(&self.value)?];
        Some(fused::SelfAttention {
            qkv: Dense::beside(qkv),
            output: dense(&self.output)?,
            heads: self.heads,
            rotary,
            reach: None,
        })
    }
}

/// `output(act(intermediate(x)))`.
#[derive(Module, Debug)]
pub(super) struct FeedForward {
    intermediate: Linear,
    output: Linear,
    #[module(skip)]
    act: Activation,
}

impl FeedForward {
    pub(super) fn build<S: Source>(
        source: &S,
        path: &str,
        config: &EncoderConfig,
    ) -> Result<Self, S::Problem> {
        let (d, ffn) = (config.hidden_size, config.intermediate_size);
        Ok(Self {
            intermediate: source.linear(&format!("{path}.intermediate"), [d, ffn], true)?,
            output: source.linear(&format!("{path}.output"), [ffn, d], true)?,
            act: config.hidden_act,
        })
    }

    /// `[B, T, d] → [B, T, d]`.
    pub(super) fn forward(&self, hidden: Tensor<3>) -> Tensor<3> {
        self.output
            .forward(self.act.forward(self.intermediate.forward(hidden)))
    }

    /// The same for [`crate::fused`].
    pub(super) fn frozen(&self) -> Option<fused::FeedForward> {
        Some(fused::FeedForward {
            up: dense(&self.intermediate)?,
            down: dense(&self.output)?,
            act: self.act,
            gated: false,
        })
    }
}
