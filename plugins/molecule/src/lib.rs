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

use std::path::PathBuf;

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
    /// Longest record in tokens, the two special ones included; not set = what the model has positions for.
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
    max_length: usize,
    canonicalize: bool,
    device: Device,
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
        let max_length = config.max_length.unwrap_or(limit);
        if !(3..=limit).contains(&max_length) {
            return Err(format!(
                "`max_length` is {max_length}; the model in {} takes from 3 to {limit} tokens, special ones included",
                config.path.display()
            )
            .into());
        }
        Ok(Self {
            tokenizer: Tokenizer::load(&config.path)?,
            encoder,
            max_length,
            canonicalize: config.canonicalize,
            device: device.clone(),
        })
    }

    fn tokenize(&self, input: &String) -> Result<Vec<u32>, BoxError> {
        let canonical = canonical(input)?;
        let ids = self.tokenizer.encode_with_special(if self.canonicalize {
            &canonical
        } else {
            input
        })?;
        let (length, max, limit) = (
            ids.len(),
            self.max_length,
            self.encoder.config().max_tokens(),
        );
        if length > max {
            let way_out = if length <= limit {
                "raise `max_length` or leave it out"
            } else {
                "leave it out of the data"
            };
            return Err(format!(
                "`{input}` is {length} tokens long, more than the {max} allowed (the model has positions for {limit}); \
                 {way_out}"
            )
            .into());
        }
        Ok(ids)
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

#[cfg(test)]
mod tests;
