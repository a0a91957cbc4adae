//! Hyper-parameters of a bidirectional encoder.

use std::path::Path;

use serde_json::json;

use super::{Activation, check_model_type, read_json, require};
use crate::error::{Error, Result};
use crate::weights::StoredDtype;

/// What distinguishes the encoder families beyond numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncoderFamily {
    /// Positions count from `pad_token_id + 1`, keys start with `roberta.`.
    Roberta,
    /// Positions count from 0, keys start with `bert.` or with nothing.
    Bert,
}

/// Bidirectional encoder hyper-parameters, with Hugging Face names.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct EncoderConfig {
    /// `roberta` or `bert`.
    pub model_type: String,
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Rows of the token embedding.
    pub vocab_size: usize,
    /// Rows of the position embedding.
    pub max_position_embeddings: usize,
    /// Padding id.
    pub pad_token_id: u32,
    /// LayerNorm epsilon.
    #[serde(default = "default_eps")]
    pub layer_norm_eps: f64,
    /// Rows of the token-type embedding.
    #[serde(default = "default_type_vocab")]
    pub type_vocab_size: usize,
    /// The non-linearity of the feed-forward layer.
    #[serde(default = "default_act")]
    pub hidden_act: Activation,
    /// Standard deviation of fresh weights.
    #[serde(default = "default_range")]
    pub initializer_range: f64,
    /// Whether the language-model head shares the token embedding.
    #[serde(default = "default_tied")]
    pub tie_word_embeddings: bool,
    /// Only `absolute` is supported.
    #[serde(default = "default_positions")]
    pub position_embedding_type: String,
}

fn default_eps() -> f64 {
    1e-12
}
fn default_type_vocab() -> usize {
    2
}
fn default_act() -> Activation {
    Activation::Gelu
}
fn default_range() -> f64 {
    0.02
}
fn default_tied() -> bool {
    true
}
fn default_positions() -> String {
    "absolute".to_owned()
}

impl Default for EncoderConfig {
    /// ChemBERTa's shape: a base for `..Default::default()`.
    fn default() -> Self {
        Self {
            model_type: "roberta".to_owned(),
            hidden_size: 384,
            num_hidden_layers: 3,
            num_attention_heads: 12,
            intermediate_size: 464,
            vocab_size: 600,
            max_position_embeddings: 515,
            pad_token_id: 1,
            layer_norm_eps: default_eps(),
            type_vocab_size: 1,
            hidden_act: default_act(),
            initializer_range: default_range(),
            tie_word_embeddings: default_tied(),
            position_embedding_type: default_positions(),
        }
    }
}

impl EncoderConfig {
    /// Values of `model_type` that [`TransformerEncoder`](crate::TransformerEncoder) runs.
    pub const SUPPORTED: &[&str] = &["roberta", "bert"];

    /// Reads `dir/config.json`.
    pub fn load(dir: &Path) -> Result<Self> {
        let path = dir.join("config.json");
        check_model_type(&path, Self::SUPPORTED)?;
        let config: Self = read_json(&path)?;
        config.check(&path)?;
        Ok(config)
    }

    /// The family, from `model_type`.
    pub fn family(&self) -> EncoderFamily {
        match self.model_type.as_str() {
            "bert" => EncoderFamily::Bert,
            _ => EncoderFamily::Roberta,
        }
    }

    /// The longest row of tokens, special tokens included, that has positions.
    pub fn max_tokens(&self) -> usize {
        match self.family() {
            EncoderFamily::Bert => self.max_position_embeddings,
            EncoderFamily::Roberta => self
                .max_position_embeddings
                .saturating_sub(self.pad_token_id as usize + 1),
        }
    }

    /// `config.json` as transformers reads it.
    pub fn to_json(&self, dtype: StoredDtype) -> serde_json::Value {
        let architecture = match self.family() {
            EncoderFamily::Bert => "BertForMaskedLM",
            EncoderFamily::Roberta => "RobertaForMaskedLM",
        };
        let mut value = json!({"architectures": [architecture], "torch_dtype": dtype.torch_name()});
        if let (Some(all), Ok(serde_json::Value::Object(own))) =
            (value.as_object_mut(), serde_json::to_value(self))
        {
            all.extend(own);
            all.insert("hidden_dropout_prob".to_owned(), json!(0.0));
            all.insert("attention_probs_dropout_prob".to_owned(), json!(0.0));
        }
        value
    }

    fn check(&self, path: &Path) -> Result<()> {
        let sizes = [
            self.hidden_size,
            self.num_attention_heads,
            self.intermediate_size,
            self.vocab_size,
            self.max_tokens(),
            self.type_vocab_size,
        ];
        require(
            path,
            sizes.iter().all(|size| *size > 0),
            "every size must be above 0, and max_position_embeddings above pad_token_id + 1",
        )?;
        require(
            path,
            self.hidden_size.is_multiple_of(self.num_attention_heads),
            "hidden_size is not a multiple of num_attention_heads",
        )?;
        require(
            path,
            (self.pad_token_id as usize) < self.vocab_size,
            "pad_token_id is not below vocab_size",
        )?;
        if self.position_embedding_type != "absolute" {
            return Err(Error::Unsupported(format!(
                "{}: position_embedding_type `{}` is not supported, only `absolute`",
                path.display(),
                self.position_embedding_type
            )));
        }
        Ok(())
    }
}
