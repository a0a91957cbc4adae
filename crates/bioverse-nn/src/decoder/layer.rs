//! One decoder block: attention and feed-forward, each behind its RMSNorm, each added to the stream.

use burn::prelude::*;

use super::cache::LayerCache;
use crate::{
    attention::{attend, split_heads},
    config::{DecoderConfig, DecoderFamily},
    error::Result,
    linear::Linear,
    mlp::GatedMlp,
    norm::RmsNorm,
    rope::Rotary,
    weights::Weights,
};

/// One block.
#[derive(Module, Debug)]
pub struct DecoderLayer {
    /// Before attention.
    pub input_layernorm: RmsNorm,
    /// Attention.
    pub self_attn: SelfAttention,
    /// Before the feed-forward layer.
    pub post_attention_layernorm: RmsNorm,
    /// Feed-forward.
    pub mlp: GatedMlp,
    #[module(skip)]
    residual_multiplier: f64,
}

/// Grouped-query attention with rotary positions.
#[derive(Module, Debug)]
pub struct SelfAttention {
    /// `hidden_size → heads · head_dim`.
    pub q_proj: Linear,
    /// `hidden_size → kv_heads · head_dim`.
    pub k_proj: Linear,
    /// `hidden_size → kv_heads · head_dim`.
    pub v_proj: Linear,
    /// `heads · head_dim → hidden_size`.
    pub o_proj: Linear,
    /// Over each query head (qwen3).
    pub q_norm: Option<RmsNorm>,
    /// Over each key head (qwen3).
    pub k_norm: Option<RmsNorm>,
    #[module(skip)]
    heads: usize,
    #[module(skip)]
    kv_heads: usize,
    #[module(skip)]
    scale: f64,
}

impl DecoderLayer {
    /// Reads the block below `name`.
    pub fn load(w: &Weights, name: &str, config: &DecoderConfig, device: &Device) -> Result<Self> {
        let norm = |part: &str| {
            let name = format!("{name}.{part}");
            RmsNorm::load(w, &name, config.hidden_size, config.rms_norm_eps, device)
        };
        Ok(Self {
            input_layernorm: norm("input_layernorm")?,
            self_attn: SelfAttention::load(w, &format!("{name}.self_attn"), config, device)?,
            post_attention_layernorm: norm("post_attention_layernorm")?,
            mlp: GatedMlp::load(w, &format!("{name}.mlp"), config, device)?,
            residual_multiplier: config.residual_multiplier,
        })
    }

    /// Fresh.
    pub fn init(config: &DecoderConfig, device: &Device) -> Self {
        let norm = || RmsNorm::init(config.hidden_size, config.rms_norm_eps, device);
        Self {
            input_layernorm: norm(),
            self_attn: SelfAttention::init(config, device),
            post_attention_layernorm: norm(),
            mlp: GatedMlp::init(config, device),
            residual_multiplier: config.residual_multiplier,
        }
    }

    /// `hidden [B, T, hidden_size]`, `bias [B, 1, T, S]` → `[B, T, hidden_size]`.
    pub(super) fn forward(
        &self,
        hidden: Tensor<3>,
        rotary: &Rotary,
        bias: Tensor<4>,
        cache: Option<&mut LayerCache>,
    ) -> Tensor<3> {
        let normed = self.input_layernorm.forward(hidden.clone());
        let hidden = self.add(hidden, self.self_attn.forward(normed, rotary, bias, cache));
        let normed = self.post_attention_layernorm.forward(hidden.clone());
        self.add(hidden, self.mlp.forward(normed))
    }

    fn add(&self, stream: Tensor<3>, branch: Tensor<3>) -> Tensor<3> {
        match self.residual_multiplier {
            1.0 => stream + branch,
            factor => stream + branch.mul_scalar(factor),
        }
    }
}

/// Bias on q, k and v; bias on o.
fn biases(config: &DecoderConfig) -> (bool, bool) {
    match config.family() {
        DecoderFamily::Qwen2 => (true, false),
        DecoderFamily::Mistral => (false, false),
        _ => (config.attention_bias, config.attention_bias),
    }
}

impl SelfAttention {
    fn load(w: &Weights, name: &str, config: &DecoderConfig, device: &Device) -> Result<Self> {
        let (d, width) = (config.hidden_size, config.head_dim);
        let q = config.num_attention_heads * width;
        let kv = config.num_key_value_heads * width;
        let (qkv_bias, o_bias) = biases(config);
        let linear = |part: &str, d_in, d_out, bias| {
            Linear::load(w, &format!("{name}.{part}"), d_in, d_out, bias, device)
        };
        let norm = |part: &str| match config.family() {
            DecoderFamily::Qwen3 => {
                let name = format!("{name}.{part}");
                RmsNorm::load(w, &name, width, config.rms_norm_eps, device).map(Some)
            }
            _ => Ok(None),
        };
        Ok(Self {
            q_proj: linear("q_proj", d, q, qkv_bias)?,
            k_proj: linear("k_proj", d, kv, qkv_bias)?,
            v_proj: linear("v_proj", d, kv, qkv_bias)?,
            o_proj: linear("o_proj", q, d, o_bias)?,
            q_norm: norm("q_norm")?,
            k_norm: norm("k_norm")?,
            heads: config.num_attention_heads,
            kv_heads: config.num_key_value_heads,
            scale: config.attention_scale(),
        })
    }

    fn init(config: &DecoderConfig, device: &Device) -> Self {
        let (d, width, std) = (
            config.hidden_size,
            config.head_dim,
            config.initializer_range,
        );
        let q = config.num_attention_heads * width;
        let kv = config.num_key_value_heads * width;
        let (qkv_bias, o_bias) = biases(config);
        let norm = || {
            let normed = config.family() == DecoderFamily::Qwen3;
            normed.then(|| RmsNorm::init(width, config.rms_norm_eps, device))
        };
        Self {
            q_proj: Linear::init(d, q, qkv_bias, std, device),
            k_proj: Linear::init(d, kv, qkv_bias, std, device),
            v_proj: Linear::init(d, kv, qkv_bias, std, device),
            o_proj: Linear::init(q, d, o_bias, std, device),
            q_norm: norm(),
            k_norm: norm(),
            heads: config.num_attention_heads,
            kv_heads: config.num_key_value_heads,
            scale: config.attention_scale(),
        }
    }

    fn forward(
        &self,
        x: Tensor<3>,
        rotary: &Rotary,
        bias: Tensor<4>,
        cache: Option<&mut LayerCache>,
    ) -> Tensor<3> {
        let heads = |x: Tensor<3>, heads: usize, norm: &Option<RmsNorm>| {
            let x = split_heads(x, heads);
            let x = match norm {
                Some(norm) => norm.forward(x),
                None => x,
            };
            rotary.apply(x)
        };
        let query = heads(self.q_proj.forward(x.clone()), self.heads, &self.q_norm);
        let key = heads(self.k_proj.forward(x.clone()), self.kv_heads, &self.k_norm);
        let value = split_heads(self.v_proj.forward(x), self.kv_heads);
        let [key, value] = match cache {
            Some(cache) => cache.append(key, value),
            None => [key, value],
        };
        self.o_proj
            .forward(attend(query, key, value, bias, self.scale))
    }
}
