//! Hyper-parameters of a decoder, gathered from `config.json` and `generation_config.json`.

use std::path::Path;

use serde_json::{Value, json};

use super::decoder_file::{GenerationIds, Ids, RawConfig};
use super::{Activation, check_model_type, read_json, require};
use crate::atomic::write_json;
use crate::error::Result;
use crate::weights::StoredDtype;

/// What distinguishes the decoder families beyond numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecoderFamily {
    /// The plain recipe.
    Llama,
    /// Llama with a sliding window.
    Mistral,
    /// Bias on q, k and v.
    Qwen2,
    /// RMSNorm over each head of q and k.
    Qwen3,
    /// Four multipliers.
    Granite,
}

/// How rotary frequencies are stretched for contexts longer than the model was first trained on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// All frequencies divided by `factor`.
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// Low frequencies divided, high ones kept, those between interpolated.
    Llama3 {
        /// The divisor of low frequencies.
        factor: f64,
        /// Wavelengths above `original / low_freq_factor` are divided.
        low_freq_factor: f64,
        /// Wavelengths below `original / high_freq_factor` are kept.
        high_freq_factor: f64,
        /// Context length of the first training.
        original_max_position_embeddings: usize,
    },
}

/// Decoder hyper-parameters, with Hugging Face names.
#[derive(Debug, Clone, PartialEq)]
pub struct DecoderConfig {
    /// `llama`, `mistral`, `qwen2`, `qwen3` or `granite`.
    pub model_type: String,
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads.
    pub num_key_value_heads: usize,
    /// Width of one head; need not be `hidden_size / num_attention_heads`.
    pub head_dim: usize,
    /// Rows of the token embedding; may exceed the tokenizer's size.
    pub vocab_size: usize,
    /// Longest context.
    pub max_position_embeddings: usize,
    /// RMSNorm epsilon.
    pub rms_norm_eps: f64,
    /// RoPE base.
    pub rope_theta: f64,
    /// RoPE scaling.
    pub rope_scaling: RopeScaling,
    /// Whether the head shares the token embedding.
    pub tie_word_embeddings: bool,
    /// Bias on q, k, v and o (qwen2 has it on q, k and v whatever this says).
    pub attention_bias: bool,
    /// Bias in the feed-forward layer.
    pub mlp_bias: bool,
    /// The non-linearity of the feed-forward layer.
    pub hidden_act: Activation,
    /// Standard deviation of fresh weights.
    pub initializer_range: f64,
    /// Per layer: how many keys, itself included, a query sees; `None` for all before it.
    pub sliding_windows: Vec<Option<usize>>,
    /// Factor on `inputs_embeds` (granite).
    pub embedding_multiplier: f64,
    /// Factor on attention scores; `None` is `head_dim^-0.5`.
    pub attention_multiplier: Option<f64>,
    /// Factor on what each block adds (granite).
    pub residual_multiplier: f64,
    /// Divisor of the logits (granite).
    pub logits_scaling: f64,
    /// Beginning-of-sequence id.
    pub bos_token_id: Option<u32>,
    /// End-of-sequence ids (config.json and generation_config.json).
    pub eos_token_id: Vec<u32>,
    /// Padding id.
    pub pad_token_id: Option<u32>,
}

impl Default for DecoderConfig {
    /// A small Llama: a base for `..Default::default()`.
    fn default() -> Self {
        Self {
            model_type: "llama".to_owned(),
            hidden_size: 192,
            intermediate_size: 512,
            num_hidden_layers: 6,
            num_attention_heads: 6,
            num_key_value_heads: 3,
            head_dim: 32,
            vocab_size: 4096,
            max_position_embeddings: 512,
            rms_norm_eps: 1e-5,
            rope_theta: 10_000.0,
            rope_scaling: RopeScaling::None,
            tie_word_embeddings: true,
            attention_bias: false,
            mlp_bias: false,
            hidden_act: Activation::Silu,
            initializer_range: 0.02,
            sliding_windows: Vec::new(),
            embedding_multiplier: 1.0,
            attention_multiplier: None,
            residual_multiplier: 1.0,
            logits_scaling: 1.0,
            bos_token_id: None,
            eos_token_id: Vec::new(),
            pad_token_id: None,
        }
    }
}

impl DecoderConfig {
    /// Values of `model_type` that [`CausalLm`](crate::CausalLm) runs.
    pub const SUPPORTED: &[&str] = &["llama", "mistral", "qwen2", "qwen3", "granite"];

    /// Reads `dir/config.json`, and more end-of-sequence ids from `dir/generation_config.json` if there is one.
    pub fn load(dir: &Path) -> Result<Self> {
        let path = dir.join("config.json");
        check_model_type(&path, Self::SUPPORTED)?;
        let mut config = read_json::<RawConfig>(&path)?.resolve(&path)?;
        config.check(&path)?;
        let generation = dir.join("generation_config.json");
        if generation.is_file() {
            let more: GenerationIds = read_json(&generation)?;
            config
                .eos_token_id
                .extend(more.eos_token_id.map(Ids::list).unwrap_or_default());
        }
        let mut seen = std::collections::BTreeSet::new();
        config.eos_token_id.retain(|id| seen.insert(*id));
        Ok(config)
    }

    /// The family, from `model_type`.
    pub fn family(&self) -> DecoderFamily {
        match self.model_type.as_str() {
            "mistral" => DecoderFamily::Mistral,
            "qwen2" => DecoderFamily::Qwen2,
            "qwen3" => DecoderFamily::Qwen3,
            "granite" => DecoderFamily::Granite,
            _ => DecoderFamily::Llama,
        }
    }

    /// The factor on attention scores.
    pub fn attention_scale(&self) -> f64 {
        self.attention_multiplier
            .unwrap_or_else(|| (self.head_dim as f64).powf(-0.5))
    }

    /// Writes `config.json` and `generation_config.json` as transformers reads them.
    pub fn save(&self, dir: &Path, dtype: StoredDtype) -> Result<()> {
        write_json(&dir.join("config.json"), &self.to_json(dtype))?;
        let ids = json!({
            "bos_token_id": self.bos_token_id,
            "eos_token_id": ids_json(&self.eos_token_id),
            "pad_token_id": self.pad_token_id,
        });
        write_json(&dir.join("generation_config.json"), &ids)
    }

    fn to_json(&self, dtype: StoredDtype) -> Value {
        let mut value = json!({
            "architectures": [format!("{:?}ForCausalLM", self.family())],
            "model_type": self.model_type,
            "attention_bias": self.attention_bias,
            "attention_dropout": 0.0,
            "bos_token_id": self.bos_token_id,
            "eos_token_id": ids_json(&self.eos_token_id),
            "head_dim": self.head_dim,
            "hidden_act": self.hidden_act,
            "hidden_size": self.hidden_size,
            "initializer_range": self.initializer_range,
            "intermediate_size": self.intermediate_size,
            "max_position_embeddings": self.max_position_embeddings,
            "mlp_bias": self.mlp_bias,
            "num_attention_heads": self.num_attention_heads,
            "num_hidden_layers": self.num_hidden_layers,
            "num_key_value_heads": self.num_key_value_heads,
            "pad_token_id": self.pad_token_id,
            "rms_norm_eps": self.rms_norm_eps,
            "rope_scaling": self.rope_json(),
            "rope_theta": self.rope_theta,
            "tie_word_embeddings": self.tie_word_embeddings,
            "torch_dtype": dtype.torch_name(),
            "use_cache": true,
            "vocab_size": self.vocab_size,
        });
        if let Some(keys) = value.as_object_mut() {
            keys.extend(self.family_json());
        }
        value
    }

    fn rope_json(&self) -> Value {
        match self.rope_scaling {
            RopeScaling::None => Value::Null,
            RopeScaling::Linear { factor } => json!({"rope_type": "linear", "factor": factor}),
            RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings,
            } => json!({
                "rope_type": "llama3",
                "factor": factor,
                "low_freq_factor": low_freq_factor,
                "high_freq_factor": high_freq_factor,
                "original_max_position_embeddings": original_max_position_embeddings,
            }),
        }
    }

    fn family_json(&self) -> serde_json::Map<String, Value> {
        let window = self.sliding_windows.iter().flatten().next();
        let kind = |w: &Option<usize>| match w {
            Some(_) => "sliding_attention",
            None => "full_attention",
        };
        let kinds: Vec<_> = self.sliding_windows.iter().map(kind).collect();
        let keys = match self.family() {
            DecoderFamily::Llama => Value::Null,
            DecoderFamily::Mistral => json!({"sliding_window": window, "layer_types": kinds}),
            DecoderFamily::Qwen2 | DecoderFamily::Qwen3 => json!({
                "sliding_window": window,
                "use_sliding_window": window.is_some(),
                "layer_types": kinds,
            }),
            DecoderFamily::Granite => json!({
                "embedding_multiplier": self.embedding_multiplier,
                "attention_multiplier": self.attention_scale(),
                "residual_multiplier": self.residual_multiplier,
                "logits_scaling": self.logits_scaling,
            }),
        };
        match keys {
            Value::Object(keys) => keys,
            _ => serde_json::Map::new(),
        }
    }

    fn check(&self, path: &Path) -> Result<()> {
        let sizes = [
            self.hidden_size,
            self.intermediate_size,
            self.num_attention_heads,
            self.num_key_value_heads,
            self.head_dim,
            self.vocab_size,
        ];
        require(
            path,
            sizes.iter().all(|size| *size > 0),
            "every size must be above 0",
        )?;
        require(
            path,
            self.num_attention_heads
                .is_multiple_of(self.num_key_value_heads),
            "num_attention_heads is not a multiple of num_key_value_heads",
        )?;
        require(
            path,
            self.head_dim.is_multiple_of(2),
            "head_dim must be even",
        )?;
        require(
            path,
            self.logits_scaling != 0.0,
            "logits_scaling must not be 0",
        )
    }
}

fn ids_json(ids: &[u32]) -> Value {
    match ids {
        [] => Value::Null,
        [one] => json!(one),
        more => json!(more),
    }
}
