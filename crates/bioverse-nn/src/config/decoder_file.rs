//! The keys of a decoder's files as the two styles and all families write them, and what they mean.

use std::path::Path;

use serde::Deserialize;

use super::Activation;
use super::decoder::{DecoderConfig, RopeScaling};
use crate::error::{Error, Result};

/// One id or several.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Ids {
    One(u32),
    Many(Vec<u32>),
}

impl Ids {
    pub(super) fn list(self) -> Vec<u32> {
        match self {
            Self::One(id) => vec![id],
            Self::Many(ids) => ids,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct GenerationIds {
    pub(super) eos_token_id: Option<Ids>,
}

/// The keys as files have them, of both styles and all families.
#[derive(Deserialize)]
pub(super) struct RawConfig {
    model_type: String,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    vocab_size: usize,
    max_position_embeddings: usize,
    rms_norm_eps: f64,
    rope_theta: Option<f64>,
    rope_scaling: Option<RawRope>,
    rope_parameters: Option<RawRope>,
    partial_rotary_factor: Option<f64>,
    tie_word_embeddings: Option<bool>,
    attention_bias: Option<bool>,
    mlp_bias: Option<bool>,
    hidden_act: Option<Activation>,
    initializer_range: Option<f64>,
    sliding_window: Option<usize>,
    use_sliding_window: Option<bool>,
    max_window_layers: Option<usize>,
    layer_types: Option<Vec<String>>,
    embedding_multiplier: Option<f64>,
    attention_multiplier: Option<f64>,
    residual_multiplier: Option<f64>,
    logits_scaling: Option<f64>,
    bos_token_id: Option<u32>,
    eos_token_id: Option<Ids>,
    pad_token_id: Option<u32>,
}

/// `rope_scaling` of transformers 4 or `rope_parameters` of transformers 5.
#[derive(Deserialize)]
struct RawRope {
    #[serde(alias = "type")]
    rope_type: Option<String>,
    rope_theta: Option<f64>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<usize>,
    partial_rotary_factor: Option<f64>,
}

impl RawConfig {
    pub(super) fn resolve(self, path: &Path) -> Result<DecoderConfig> {
        let head_dim = self
            .head_dim
            .or_else(|| self.hidden_size.checked_div(self.num_attention_heads))
            .unwrap_or_default();
        let (rope_theta, rope_scaling) = self.rope(path)?;
        let sliding_windows = self.windows();
        let defaults = DecoderConfig::default();
        Ok(DecoderConfig {
            head_dim,
            rope_theta,
            rope_scaling,
            sliding_windows,
            num_key_value_heads: self.num_key_value_heads.unwrap_or(self.num_attention_heads),
            tie_word_embeddings: self.tie_word_embeddings.unwrap_or(false),
            attention_bias: self.attention_bias.unwrap_or(false),
            mlp_bias: self.mlp_bias.unwrap_or(false),
            hidden_act: self.hidden_act.unwrap_or(defaults.hidden_act),
            initializer_range: self.initializer_range.unwrap_or(defaults.initializer_range),
            embedding_multiplier: self.embedding_multiplier.unwrap_or(1.0),
            // Granite replaces the usual scale even when its file does not say by what.
            attention_multiplier: (self.model_type == "granite")
                .then(|| self.attention_multiplier.unwrap_or(1.0)),
            residual_multiplier: self.residual_multiplier.unwrap_or(1.0),
            logits_scaling: self.logits_scaling.unwrap_or(1.0),
            eos_token_id: self.eos_token_id.map(Ids::list).unwrap_or_default(),
            model_type: self.model_type,
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            num_hidden_layers: self.num_hidden_layers,
            num_attention_heads: self.num_attention_heads,
            vocab_size: self.vocab_size,
            max_position_embeddings: self.max_position_embeddings,
            rms_norm_eps: self.rms_norm_eps,
            bos_token_id: self.bos_token_id,
            pad_token_id: self.pad_token_id,
        })
    }

    /// RoPE base and scaling from whichever of the two tables there is.
    fn rope(&self, path: &Path) -> Result<(f64, RopeScaling)> {
        let table = self.rope_parameters.as_ref().or(self.rope_scaling.as_ref());
        let theta = self.rope_parameters.as_ref().and_then(|t| t.rope_theta);
        let theta = theta.or(self.rope_theta).unwrap_or(10_000.0);
        let partial = table.and_then(|t| t.partial_rotary_factor);
        if partial
            .or(self.partial_rotary_factor)
            .is_some_and(|part| part != 1.0)
        {
            let problem = "partial_rotary_factor is not supported";
            return Err(Error::Unsupported(format!("{}: {problem}", path.display())));
        }
        match table {
            Some(table) => Ok((theta, table.scaling(path, self.max_position_embeddings)?)),
            None => Ok((theta, RopeScaling::None)),
        }
    }

    /// The window of each layer: from `layer_types` where the file has them, else by the rules of the family.
    fn windows(&self) -> Vec<Option<usize>> {
        let switched_off = match self.model_type.as_str() {
            "qwen2" | "qwen3" => !self.use_sliding_window.unwrap_or(false),
            "mistral" => false,
            _ => true,
        };
        let first = match self.model_type.as_str() {
            "mistral" => 0,
            _ => self.max_window_layers.unwrap_or(0),
        };
        let windowed = |layer: usize| match &self.layer_types {
            Some(types) => types.get(layer).is_some_and(|t| t == "sliding_attention"),
            None => layer >= first,
        };
        (0..self.num_hidden_layers)
            .map(|layer| {
                self.sliding_window
                    .filter(|_| !switched_off && windowed(layer))
            })
            .collect()
    }
}

impl RawRope {
    fn scaling(&self, path: &Path, max_position_embeddings: usize) -> Result<RopeScaling> {
        let needed = |key: &str, value: Option<f64>| {
            value.ok_or_else(|| Error::format(path, format!("rope scaling lacks `{key}`")))
        };
        match self.rope_type.as_deref() {
            None | Some("default") => Ok(RopeScaling::None),
            Some("linear") => Ok(RopeScaling::Linear {
                factor: needed("factor", self.factor)?,
            }),
            Some("llama3") => Ok(RopeScaling::Llama3 {
                factor: needed("factor", self.factor)?,
                low_freq_factor: needed("low_freq_factor", self.low_freq_factor)?,
                high_freq_factor: needed("high_freq_factor", self.high_freq_factor)?,
                original_max_position_embeddings: self
                    .original_max_position_embeddings
                    .unwrap_or(max_position_embeddings),
            }),
            Some(other) => Err(Error::Unsupported(format!(
                "{}: rope type `{other}` is not supported; supported are default, linear, llama3",
                path.display()
            ))),
        }
    }
}
