//! Hyper-parameters of a bidirectional encoder: one struct for all families, and what must hold between its values.
//!
//! Does not know how a family spells them in `config.json`; that is the business of the files below.

mod bert;
mod esm;
mod modernbert;

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{Activation, check_model_type, read_json, require};
use crate::error::{Error, Result};
use crate::weights::StoredDtype;

pub use esm::{EsmOptions, PositionEmbedding};
pub use modernbert::{LayerType, ModernBertOptions};

/// What distinguishes the encoder families beyond numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncoderFamily {
    /// Post-norm blocks. Positions count from `pad_token_id + 1`, keys start with `roberta.`.
    Roberta,
    /// Post-norm blocks. Positions count from 0, keys start with `bert.` or with nothing.
    Bert,
    /// ESM-2 and ESM-1b: pre-norm blocks, rotary or learned positions, scaled embeddings.
    Esm,
    /// ModernBERT: pre-norm blocks, rotary positions, local and global attention, gated feed-forward layers.
    ModernBert,
}

/// Bidirectional encoder hyper-parameters, with Hugging Face names.
///
/// ```no_run
/// let config = bioverse_nn::EncoderConfig::load("models/esm2_t6_8M_UR50D".as_ref())?;
/// assert_eq!((config.hidden_size, config.max_tokens()), (320, 1024));
/// # Ok::<_, bioverse_nn::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct EncoderConfig {
    /// One of [`EncoderConfig::SUPPORTED`].
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
    /// Positions the model was made for; with learned positions, the rows of their table.
    pub max_position_embeddings: usize,
    /// Padding id.
    pub pad_token_id: u32,
    /// LayerNorm epsilon (ModernBERT: `norm_eps`).
    pub layer_norm_eps: f64,
    /// Rows of the token-type embedding (BERT and RoBERTa).
    pub type_vocab_size: usize,
    /// The non-linearity of the feed-forward layer (ModernBERT: `hidden_activation`).
    pub hidden_act: Activation,
    /// Standard deviation of fresh weights.
    pub initializer_range: f64,
    /// Whether the language-model head shares the token embedding.
    pub tie_word_embeddings: bool,
    /// What only ESM has; the other families leave it at its default.
    pub esm: EsmOptions,
    /// What only ModernBERT has; the other families leave it at its default.
    pub modernbert: ModernBertOptions,
}

/// The keys that every family writes, and writes alike.
#[derive(serde::Deserialize)]
struct Sizes {
    model_type: String,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    vocab_size: usize,
    max_position_embeddings: usize,
    initializer_range: Option<f64>,
    tie_word_embeddings: Option<bool>,
    is_decoder: Option<bool>,
}

/// A table of rotary parameters, as `rope_scaling` or `rope_parameters`.
#[derive(Default, serde::Deserialize)]
struct Rope {
    rope_theta: Option<f64>,
    #[serde(alias = "type")]
    rope_type: Option<String>,
}

impl Rope {
    fn check(&self, path: &Path) -> Result<()> {
        match self.rope_type.as_deref() {
            None | Some("default") => Ok(()),
            Some(other) => Err(refusal(path, "rope_type", other, "default")),
        }
    }
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
            layer_norm_eps: 1e-12,
            type_vocab_size: 1,
            hidden_act: Activation::Gelu,
            initializer_range: 0.02,
            tie_word_embeddings: true,
            esm: EsmOptions::default(),
            modernbert: ModernBertOptions::default(),
        }
    }
}

/// No published encoder comes near either; a file that claims more is damaged, and must not decide what we allocate.
const LARGEST_SIZE: usize = 1 << 31;
const MOST_LAYERS: usize = 4096;

impl EncoderConfig {
    /// Values of `model_type` that [`TransformerEncoder`](crate::TransformerEncoder) runs.
    pub const SUPPORTED: &[&str] = &["roberta", "bert", "esm", "modernbert"];

    /// Reads `dir/config.json`, in the style of transformers 4 or 5.
    ///
    /// # Errors
    /// If the file cannot be read, lacks a size, contradicts itself, or asks for something that is not run here; the
    /// error names the file and the key.
    pub fn load(dir: &Path) -> Result<Self> {
        let path = dir.join("config.json");
        check_model_type(&path, Self::SUPPORTED)?;
        let sizes: Sizes = read_json(&path)?;
        sizes.check(&path)?;
        let base = sizes.resolve();
        let config = match base.family() {
            EncoderFamily::Bert | EncoderFamily::Roberta => bert::read(&path, base)?,
            EncoderFamily::Esm => esm::read(&path, base)?,
            EncoderFamily::ModernBert => modernbert::read(&path, base)?,
        };
        config.check(&path)?;
        Ok(config)
    }

    /// The family, from `model_type`.
    pub fn family(&self) -> EncoderFamily {
        match self.model_type.as_str() {
            "bert" => EncoderFamily::Bert,
            "esm" => EncoderFamily::Esm,
            "modernbert" => EncoderFamily::ModernBert,
            _ => EncoderFamily::Roberta,
        }
    }

    /// Width of one attention head.
    pub fn head_dim(&self) -> usize {
        self.hidden_size
            .checked_div(self.num_attention_heads)
            .unwrap_or_default()
    }

    /// Whether LayerNorms have a bias.
    pub(crate) fn norm_bias(&self) -> bool {
        self.family() != EncoderFamily::ModernBert || self.modernbert.norm_bias
    }

    /// The longest row of tokens, special tokens included, that the model was made for.
    ///
    /// Rotary positions go on beyond it (ESM-2: 1024), learned ones do not exist there.
    pub fn max_tokens(&self) -> usize {
        match self.family() {
            EncoderFamily::Bert | EncoderFamily::ModernBert => self.max_position_embeddings,
            EncoderFamily::Roberta | EncoderFamily::Esm => self
                .max_position_embeddings
                .saturating_sub(self.pad_token_id as usize + 1),
        }
    }

    /// `config.json` of a masked-language model as transformers reads it.
    pub fn to_json(&self, dtype: StoredDtype) -> Value {
        let (architecture, own) = match self.family() {
            EncoderFamily::Bert => ("Bert", bert::keys(self)),
            EncoderFamily::Roberta => ("Roberta", bert::keys(self)),
            EncoderFamily::Esm => ("Esm", esm::keys(self)),
            EncoderFamily::ModernBert => ("ModernBert", modernbert::keys(self)),
        };
        let shared = json!({
            "architectures": [format!("{architecture}ForMaskedLM")],
            "model_type": self.model_type,
            "torch_dtype": dtype.torch_name(),
            "hidden_size": self.hidden_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "intermediate_size": self.intermediate_size,
            "vocab_size": self.vocab_size,
            "max_position_embeddings": self.max_position_embeddings,
            "pad_token_id": self.pad_token_id,
            "initializer_range": self.initializer_range,
            "tie_word_embeddings": self.tie_word_embeddings,
        });
        Value::Object(entries(shared).into_iter().chain(entries(own)).collect())
    }

    fn check(&self, path: &Path) -> Result<()> {
        require(
            path,
            self.max_tokens() > 0 && self.type_vocab_size > 0,
            "max_position_embeddings leaves no room for a token, or type_vocab_size is 0",
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
        require(
            path,
            self.layer_norm_eps.is_finite() && self.layer_norm_eps >= 0.0,
            "the epsilon of LayerNorm must be a number from 0",
        )?;
        match self.family() {
            EncoderFamily::Bert | EncoderFamily::Roberta => Ok(()),
            EncoderFamily::Esm => esm::check(path, self),
            EncoderFamily::ModernBert => modernbert::check(path, self),
        }
    }
}

impl Sizes {
    fn check(&self, path: &Path) -> Result<()> {
        let sizes = [
            ("hidden_size", self.hidden_size, LARGEST_SIZE),
            (
                "num_attention_heads",
                self.num_attention_heads,
                LARGEST_SIZE,
            ),
            ("intermediate_size", self.intermediate_size, LARGEST_SIZE),
            ("vocab_size", self.vocab_size, LARGEST_SIZE),
            (
                "max_position_embeddings",
                self.max_position_embeddings,
                LARGEST_SIZE,
            ),
            // No layer at all is a model, if an odd one.
            (
                "num_hidden_layers",
                self.num_hidden_layers.max(1),
                MOST_LAYERS + 1,
            ),
        ];
        if let Some((key, size, _)) = sizes
            .into_iter()
            .find(|(_, size, above)| *size == 0 || size >= above)
        {
            return Err(Error::format(
                path,
                format!("`{key}` is {size}, which is no plausible size; is the file damaged?"),
            ));
        }
        match self.is_decoder {
            Some(true) => Err(refusal(path, "is_decoder", "true", "false")),
            _ => Ok(()),
        }
    }

    fn resolve(self) -> EncoderConfig {
        let defaults = EncoderConfig::default();
        EncoderConfig {
            model_type: self.model_type,
            hidden_size: self.hidden_size,
            num_hidden_layers: self.num_hidden_layers,
            num_attention_heads: self.num_attention_heads,
            intermediate_size: self.intermediate_size,
            vocab_size: self.vocab_size,
            max_position_embeddings: self.max_position_embeddings,
            initializer_range: self.initializer_range.unwrap_or(defaults.initializer_range),
            tie_word_embeddings: self.tie_word_embeddings.unwrap_or(true),
            ..defaults
        }
    }
}

/// A value that the format allows and this crate does not run.
fn refusal(path: &Path, key: &str, value: &str, supported: &str) -> Error {
    Error::Unsupported(format!(
        "{}: {key} `{value}` is not supported, only `{supported}`",
        path.display()
    ))
}

/// Rotary positions turn pairs of elements by powers of `theta`.
fn check_rotary(path: &Path, config: &EncoderConfig, thetas: &[f64]) -> Result<()> {
    require(
        path,
        config.head_dim().is_multiple_of(2),
        "rotary positions need an even head size (hidden_size / num_attention_heads)",
    )?;
    require(
        path,
        thetas.iter().all(|theta| theta.is_finite() && *theta > 0.0),
        "the base of rotary positions (rope_theta) must be a number above 0",
    )
}

fn entries(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(entries) => entries,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests;
