//! Small molecules: SMILES through a RoBERTa (ChemBERTa) encoder.
//!
//! A record is one SMILES string. It is checked, brought into canonical form and tokenised; the encoder is any Hugging
//! Face folder of that family. The crate knows no other modality, no LLM and no training loop.
//!
//! ```toml
//! [modality.molecule]
//! path = "models/chemberta"   # config.json, tokenizer.json, model.safetensors
//! ```

pub mod fingerprint;
pub mod smiles;

use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

use bioverse_core::{BoxError, Hidden, Modality, pad_ids};
use bioverse_nn::{Tokenizer, TransformerEncoder};
use burn::prelude::*;
use serde::{Deserialize, Serialize};

pub use fingerprint::{DESCRIPTOR_LEN, descriptors};
pub use smiles::{SmilesError, canonical};

/// `[modality.molecule]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folder of a RoBERTa model in Hugging Face layout.
    pub path: PathBuf,
    /// Longest record in tokens, the two special ones included; a longer one is refused. Not set = a record that is longer
    /// than the model has positions for is cut to them, and the first one cut is reported.
    pub max_length: Option<usize>,
    /// Rewrite every SMILES string into its canonical form first, so that one molecule has one encoding.
    pub canonicalize: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            max_length: None,
            canonicalize: true,
        }
    }
}

/// A molecule encoder.
pub struct Molecule {
    tokenizer: Tokenizer,
    encoder: TransformerEncoder,
    /// `None`: as many tokens as the model has positions for, the rest is cut.
    max_length: Option<usize>,
    canonicalize: bool,
    device: Device,
    /// Whether a cut was reported.
    reported: AtomicBool,
}

impl Modality for Molecule {
    const NAME: &'static str = "molecule";
    type Config = Config;
    type Input = String;
    type Tokens = Vec<u32>;

    fn load(config: &Config, device: &Device) -> Result<Self, BoxError> {
        if config.path.as_os_str().is_empty() {
            return Err("`path` is not set; it names the folder of a RoBERTa model".into());
        }
        let encoder = TransformerEncoder::load(&config.path, device)?;
        let limit = encoder.config().max_tokens();
        if let Some(length) = config
            .max_length
            .filter(|length| !(3..=limit).contains(length))
        {
            return Err(format!(
                "`max_length` is {length}; the model in {} takes from 3 to {limit} tokens, special ones included",
                config.path.display()
            )
            .into());
        }
        Ok(Self {
            tokenizer: Tokenizer::load(&config.path)?,
            encoder,
            max_length: config.max_length,
            canonicalize: config.canonicalize,
            device: device.clone(),
            reported: AtomicBool::new(false),
        })
    }

    fn tokenize(&self, input: &String) -> Result<Vec<u32>, BoxError> {
        let canonical = canonical(input)?;
        let ids = self.tokenizer.encode_with_special(if self.canonicalize {
            &canonical
        } else {
            input
        })?;
        match self.max_length {
            Some(max) if ids.len() > max => Err(format!(
                "`{input}` is {} tokens long, more than the {max} of `max_length`; raise it, or leave it out to have long \
                 records cut",
                ids.len()
            )
            .into()),
            _ => Ok(self.cut(input, ids)),
        }
    }

    fn encode(&self, batch: &[Vec<u32>]) -> Result<Hidden, BoxError> {
        let (input_ids, mask) = pad_ids(batch, self.encoder.config().pad_token_id, &self.device);
        Ok(Hidden {
            states: self.encoder.forward(input_ids, mask.clone()),
            mask,
        })
    }

    fn d_hidden(&self) -> usize {
        self.encoder.config().hidden_size
    }

    fn weights(config: &Config) -> Vec<PathBuf> {
        let files = ["config.json", "tokenizer.json", "model.safetensors"];
        files
            .iter()
            .map(|file| config.path.join(file))
            .filter(|file| file.is_file())
            .collect()
    }
}

impl Molecule {
    /// As many tokens as the model has positions for; the end token stays last.
    fn cut(&self, input: &str, mut ids: Vec<u32>) -> Vec<u32> {
        let (length, limit) = (ids.len(), self.encoder.config().max_tokens());
        if length > limit
            && let Some(end) = ids.last().copied()
        {
            ids.truncate(limit - 1);
            ids.push(end);
            if !self.reported.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    "a molecule of {length} tokens is cut to the {limit} that the encoder reads, and so is every longer \
                     one; `max_length` refuses them instead. It begins `{}`",
                    input.chars().take(40).collect::<String>()
                );
            }
        }
        ids
    }
}

#[cfg(test)]
mod tests;
