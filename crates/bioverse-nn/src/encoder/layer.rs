//! One post-norm encoder block: attention, then feed-forward, each followed by add and LayerNorm.

use burn::prelude::*;

use super::names::Names;
use crate::{
    attention::{attend, split_heads},
    config::{Activation, EncoderConfig},
    error::Result,
    linear::Linear,
    norm::LayerNorm,
    weights::Weights,
};

/// One block. Fields are renamed to the checkpoint's words by [`Names`].
#[derive(Module, Debug)]
pub(super) struct EncoderLayer {
    query: Linear,
    key: Linear,
    value: Linear,
    attention_output: Linear,
    attention_norm: LayerNorm,
    intermediate: Linear,
    output: Linear,
    output_norm: LayerNorm,
    #[module(skip)]
    heads: usize,
    #[module(skip)]
    act: Activation,
}

impl EncoderLayer {
    /// Reads block `i`.
    pub(super) fn load(
        w: &Weights,
        names: &Names,
        i: usize,
        config: &EncoderConfig,
        device: &Device,
    ) -> Result<Self> {
        let file = |part: &str| names.file(&format!("layers.{i}.{part}"));
        let linear =
            |part: &str, d_in, d_out| Linear::load(w, &file(part), d_in, d_out, true, device);
        let (d, ffn, eps) = (
            config.hidden_size,
            config.intermediate_size,
            config.layer_norm_eps,
        );
        let norm = |part: &str| LayerNorm::load(w, &file(part), d, eps, device);
        Ok(Self {
            query: linear("query", d, d)?,
            key: linear("key", d, d)?,
            value: linear("value", d, d)?,
            attention_output: linear("attention_output", d, d)?,
            attention_norm: norm("attention_norm")?,
            intermediate: linear("intermediate", d, ffn)?,
            output: linear("output", ffn, d)?,
            output_norm: norm("output_norm")?,
            heads: config.num_attention_heads,
            act: config.hidden_act,
        })
    }

    /// Fresh.
    pub(super) fn init(config: &EncoderConfig, device: &Device) -> Self {
        let (d, ffn, eps) = (
            config.hidden_size,
            config.intermediate_size,
            config.layer_norm_eps,
        );
        let linear =
            |d_in, d_out| Linear::init(d_in, d_out, true, config.initializer_range, device);
        let norm = || LayerNorm::init(d, eps, device);
        Self {
            query: linear(d, d),
            key: linear(d, d),
            value: linear(d, d),
            attention_output: linear(d, d),
            attention_norm: norm(),
            intermediate: linear(d, ffn),
            output: linear(ffn, d),
            output_norm: norm(),
            heads: config.num_attention_heads,
            act: config.hidden_act,
        }
    }

    /// `hidden [B, T, hidden_size]`, `bias [B, 1, 1, T]` → `[B, T, hidden_size]`.
    pub(super) fn forward(&self, hidden: Tensor<3>, bias: Tensor<4>) -> Tensor<3> {
        let heads = |linear: &Linear| split_heads(linear.forward(hidden.clone()), self.heads);
        let query = heads(&self.query);
        let scale = (query.dims()[3] as f64).powf(-0.5);
        let mixed = attend(query, heads(&self.key), heads(&self.value), bias, scale);
        let hidden = self
            .attention_norm
            .forward(self.attention_output.forward(mixed) + hidden);
        let inner = self.act.forward(self.intermediate.forward(hidden.clone()));
        self.output_norm
            .forward(self.output.forward(inner) + hidden)
    }
}
