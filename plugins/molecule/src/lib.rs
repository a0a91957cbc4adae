//! Small molecules: SMILES through a RoBERTa (ChemBERTa) encoder.
//!
//! A record is one SMILES string. It is checked, brought into canonical form and tokenised; the encoder is any Hugging
//! Face folder of that family. The crate knows no other modality, no LLM and no training loop.
//!
//! ```toml
//! [modality.molecule]
//! path = "models/chemberta"   # config.json, tokenizer.json (or vocab.json with merges.txt), weights
//! ```

pub mod fingerprint;
pub mod scaffold;
pub mod smiles;

use std::{ops::Range, path::PathBuf};

use bioverse_core::{BoxError, Hidden, Modality, pad_ids};
use bioverse_nn::SequenceEncoder;
use burn::prelude::*;
use serde::{Deserialize, Serialize};

pub use fingerprint::{DESCRIPTOR_LEN, descriptors};
pub use smiles::{SmilesError, canonical};

/// Values of `model_type` that read SMILES, with a tokenizer of their own.
const FAMILIES: &[&str] = &["roberta", "bert", "modernbert"];

/// `[modality.molecule]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folder of a RoBERTa (or BERT, ModernBERT) model in Hugging Face layout.
    pub path: PathBuf,
    /// Longest record in tokens, the two special ones included; a longer one is refused. Not set = a record that is longer
    /// than the model takes is cut to that, and the first one cut is reported.
    pub max_length: Option<usize>,
    /// How many of the encoder's last hidden states are joined to one wide state; `num_hidden_layers` + 1 takes all, the
    /// embeddings with them. Not set = the last one alone.
    pub hidden_layers: Option<usize>,
    /// Rewrite every SMILES string into its canonical form first, so that one molecule has one encoding.
    pub canonicalize: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            max_length: None,
            hidden_layers: None,
            canonicalize: true,
        }
    }
}

/// A molecule encoder.
pub struct Molecule {
    encoder: SequenceEncoder,
    canonicalize: bool,
}

impl Modality for Molecule {
    const NAME: &'static str = "molecule";
    type Config = Config;
    type Input = String;
    type Tokens = Vec<u32>;

    fn load(config: &Config, device: &Device) -> Result<Self, BoxError> {
        let encoder = SequenceEncoder::load(&config.path, FAMILIES, device)?;
        Ok(Self {
            encoder: encoder
                .with_max_length(config.max_length)?
                .with_hidden_layers(config.hidden_layers)?,
            canonicalize: config.canonicalize,
        })
    }

    fn tokenize(&self, input: &String) -> Result<Vec<u32>, BoxError> {
        // Checked either way.
        let canonical = canonical(input)?;
        Ok(self.encoder.tokenize(match self.canonicalize {
            true => &canonical,
            false => input,
        })?)
    }

    fn encode(&self, batch: &[Vec<u32>]) -> Result<Hidden, BoxError> {
        let pad = self.encoder.config().pad_token_id;
        let (input_ids, mask) = pad_ids(batch, pad, self.encoder.device());
        Ok(Hidden {
            states: self.encoder.forward(input_ids, mask.clone()),
            mask,
        })
    }

    fn d_hidden(&self) -> usize {
        self.encoder.d_hidden()
    }

    fn token_count(tokens: &Vec<u32>) -> Option<usize> {
        Some(tokens.len())
    }

    fn labels(&self, tokens: &Vec<u32>) -> Option<Vec<String>> {
        Some(self.encoder.labels(tokens))
    }

    fn occluded(&self, tokens: &Vec<u32>, span: Range<usize>) -> Option<Vec<u32>> {
        self.encoder.occluded(tokens, &span)
    }

    /// Circular environments of radius 0 to 2 (ECFP4, Rogers & Hahn 2010).
    fn fingerprint(input: &String) -> Option<Result<Vec<u64>, BoxError>> {
        Some(fingerprint::substructures(input).map_err(Into::into))
    }

    /// The Bemis–Murcko scaffold; see [`scaffold`](scaffold::scaffold).
    fn scaffold(input: &String) -> Option<Result<String, BoxError>> {
        Some(scaffold::scaffold(input).map_err(Into::into))
    }

    fn weights(config: &Config) -> Vec<PathBuf> {
        SequenceEncoder::files(&config.path)
    }
}

#[cfg(test)]
mod tests;
