//! DNA: nucleotide sequences through a ModernBERT encoder (BMFM-DNA's architecture).
//!
//! A record is one sequence in IUPAC letters. It is cleaned (see [`mod@nucleotides`]) and cut into tokens by the `tokenizer.json`
//! of the model's folder. The crate knows no other modality, no LLM and no training loop.
//!
//! ```toml
//! [modality.dna]
//! path = "models/bmfm-dna"   # config.json, tokenizer.json, weights
//! ```

pub mod nucleotides;

use std::{ops::Range, path::PathBuf};

use bioverse_core::{BoxError, Hidden, Modality, pad_ids};
use bioverse_nn::SequenceEncoder;
use burn::prelude::*;
use serde::{Deserialize, Serialize};

pub use nucleotides::{NucleotideError, nucleotides};

/// Nucleotides of a k-mer: of so many letters few words occur twice by chance, even in a long sequence.
const KMER: usize = 11;
/// Values of `model_type` that read nucleotides, with a tokenizer of their own.
const FAMILIES: &[&str] = &["modernbert", "bert", "roberta"];

/// `[modality.dna]`
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folder of a ModernBERT (or BERT, RoBERTa) model in Hugging Face layout.
    pub path: PathBuf,
    /// Longest record in tokens, the two special ones included; a longer one is refused. Not set = a record that is longer
    /// than the model takes is cut to that, and the first one cut is reported.
    pub max_length: Option<usize>,
    /// How many of the encoder's last hidden states are joined to one wide state; `num_hidden_layers` + 1 takes all, the
    /// embeddings with them. Not set = the last one alone.
    pub hidden_layers: Option<usize>,
}

/// A record of which the model's tokenizer knows nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the model's tokenizer knows no part of the sequence; it cuts DNA in another way than this plugin does (a model of \
     k-mers separated by spaces?)"
)]
pub struct UnknownToTokenizer;

/// A DNA encoder.
pub struct Dna {
    encoder: SequenceEncoder,
}

impl Modality for Dna {
    const NAME: &'static str = "dna";
    type Config = Config;
    type Input = String;
    type Tokens = Vec<u32>;

    fn load(config: &Config, device: &Device) -> Result<Self, BoxError> {
        let encoder = SequenceEncoder::load(&config.path, FAMILIES, device)?;
        let encoder = encoder
            .with_max_length(config.max_length)?
            .with_hidden_layers(config.hidden_layers)?;
        Ok(Self { encoder })
    }

    fn tokenize(&self, input: &String) -> Result<Vec<u32>, BoxError> {
        let ids = self.encoder.tokenize(&nucleotides(input)?)?;
        let unknown = self.encoder.tokenizer().unk();
        let inner = ids.get(1..ids.len().saturating_sub(1)).unwrap_or_default();
        match inner.iter().any(|id| Some(*id) != unknown) {
            true => Ok(ids),
            false => Err(UnknownToTokenizer.into()),
        }
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

    /// k-mers of eleven nucleotides, those of the opposite strand with them: a sequence and its reverse complement are alike.
    fn fingerprint(input: &String) -> Option<Result<Vec<u64>, BoxError>> {
        let sequence = nucleotides(input).map_err(Into::into);
        Some(sequence.map(|sequence| nucleotides::both_strands(&sequence, KMER)))
    }

    fn weights(config: &Config) -> Vec<PathBuf> {
        SequenceEncoder::files(&config.path)
    }
}

#[cfg(test)]
mod tests;
