//! The keys of `config.json` that are peculiar to ESM.

use std::path::Path;

use serde_json::{Value, json};

use super::{EncoderConfig, Rope, check_rotary, refusal};
use crate::config::{Activation, read_json, require};
use crate::error::{Error, Result};

/// How ESM tells positions apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PositionEmbedding {
    /// Queries and keys are turned (ESM-2).
    Rotary,
    /// A learned vector per position, counted as RoBERTa does (ESM-1b).
    Absolute,
}

/// What distinguishes one ESM from another beyond sizes.
#[derive(Debug, Clone, PartialEq)]
pub struct EsmOptions {
    /// Rotary or learned positions.
    pub position_embedding_type: PositionEmbedding,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Whether embeddings of `<mask>` are zeroed and all embeddings are rescaled, as in training.
    pub token_dropout: bool,
    /// The id of `<mask>`; needed for `token_dropout`.
    pub mask_token_id: Option<u32>,
    /// Whether embeddings are normalised before the first layer.
    pub emb_layer_norm_before: bool,
}

impl Default for EsmOptions {
    /// ESM-2.
    fn default() -> Self {
        Self {
            position_embedding_type: PositionEmbedding::Rotary,
            rope_theta: 10_000.0,
            token_dropout: true,
            mask_token_id: Some(32),
            emb_layer_norm_before: false,
        }
    }
}

#[derive(serde::Deserialize)]
struct File {
    pad_token_id: Option<u32>,
    mask_token_id: Option<u32>,
    layer_norm_eps: Option<f64>,
    position_embedding_type: Option<String>,
    rope_theta: Option<f64>,
    rope_parameters: Option<Rope>,
    token_dropout: Option<bool>,
    emb_layer_norm_before: Option<bool>,
    is_folding_model: Option<bool>,
}

/// Fills in what `base` does not know yet. What a file leaves out has the default of transformers.
///
/// `hidden_act` is not read: ESM computes the exact gelu whatever the file says.
pub(super) fn read(path: &Path, base: EncoderConfig) -> Result<EncoderConfig> {
    let file: File = read_json(path)?;
    let Some(pad_token_id) = file.pad_token_id else {
        return Err(Error::format(path, "pad_token_id is missing"));
    };
    if file.is_folding_model == Some(true) {
        return Err(refusal(path, "is_folding_model", "true", "false"));
    }
    let rope = file.rope_parameters.unwrap_or_default();
    rope.check(path)?;
    let position_embedding_type = match file.position_embedding_type.as_deref() {
        Some("rotary") => PositionEmbedding::Rotary,
        None | Some("absolute") => PositionEmbedding::Absolute,
        Some(other) => {
            let key = "position_embedding_type";
            return Err(refusal(path, key, other, "rotary` or `absolute"));
        }
    };
    Ok(EncoderConfig {
        pad_token_id,
        layer_norm_eps: file.layer_norm_eps.unwrap_or(1e-12),
        type_vocab_size: 1,
        hidden_act: Activation::Gelu,
        esm: EsmOptions {
            position_embedding_type,
            rope_theta: rope.rope_theta.or(file.rope_theta).unwrap_or(10_000.0),
            token_dropout: file.token_dropout.unwrap_or(false),
            mask_token_id: file.mask_token_id,
            emb_layer_norm_before: file.emb_layer_norm_before.unwrap_or(false),
        },
        ..base
    })
}

/// What must hold between the keys.
pub(super) fn check(path: &Path, config: &EncoderConfig) -> Result<()> {
    let esm = &config.esm;
    let known = |id: u32| (id as usize) < config.vocab_size;
    require(
        path,
        esm.mask_token_id.map_or(!esm.token_dropout, known),
        "token_dropout needs a mask_token_id below vocab_size",
    )?;
    match esm.position_embedding_type {
        PositionEmbedding::Absolute => Ok(()),
        PositionEmbedding::Rotary => check_rotary(path, config, &[esm.rope_theta]),
    }
}

/// The same keys, for writing.
pub(super) fn keys(config: &EncoderConfig) -> Value {
    let esm = &config.esm;
    json!({
        "layer_norm_eps": config.layer_norm_eps,
        "hidden_act": config.hidden_act,
        "position_embedding_type": match esm.position_embedding_type {
            PositionEmbedding::Rotary => "rotary",
            PositionEmbedding::Absolute => "absolute",
        },
        "rope_theta": esm.rope_theta,
        "token_dropout": esm.token_dropout,
        "mask_token_id": esm.mask_token_id,
        "emb_layer_norm_before": esm.emb_layer_norm_before,
        "is_folding_model": false,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    })
}
