//! The keys of `config.json` that are peculiar to BERT and RoBERTa.

use std::path::Path;

use serde_json::{Value, json};

use super::{EncoderConfig, EncoderFamily, refusal};
use crate::config::{Activation, read_json};
use crate::error::Result;

#[derive(serde::Deserialize)]
struct File {
    pad_token_id: Option<u32>,
    layer_norm_eps: Option<f64>,
    type_vocab_size: Option<usize>,
    hidden_act: Option<Activation>,
    position_embedding_type: Option<String>,
}

/// Fills in what `base` does not know yet. What a file leaves out has the default of transformers.
pub(super) fn read(path: &Path, base: EncoderConfig) -> Result<EncoderConfig> {
    let file: File = read_json(path)?;
    if let Some(other) = file.position_embedding_type.filter(|t| t != "absolute") {
        return Err(refusal(path, "position_embedding_type", &other, "absolute"));
    }
    let padding = match base.family() {
        EncoderFamily::Bert => 0,
        _ => 1,
    };
    Ok(EncoderConfig {
        pad_token_id: file.pad_token_id.unwrap_or(padding),
        layer_norm_eps: file.layer_norm_eps.unwrap_or(1e-12),
        type_vocab_size: file.type_vocab_size.unwrap_or(2),
        hidden_act: file.hidden_act.unwrap_or(Activation::Gelu),
        ..base
    })
}

/// The same keys, for writing.
pub(super) fn keys(config: &EncoderConfig) -> Value {
    json!({
        "layer_norm_eps": config.layer_norm_eps,
        "type_vocab_size": config.type_vocab_size,
        "hidden_act": config.hidden_act,
        "position_embedding_type": "absolute",
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    })
}
