//! Proteins: amino-acid sequences through an ESM-2 encoder.
//!
//! A record is one sequence in one-letter code. It is cleaned as sequence files need it (see [`mod@residues`]) and tokenised by
//! the model's own vocabulary; a real repository has `vocab.txt` and nothing else for that. The crate knows no other
//! modality, no LLM and no training loop.
//!
//! States come for `<cls>`, every residue and `<eos>`; the mask is true on residues alone, so that a mean over it is the mean
//! over residues, as ESM's authors take it. State 0 is `<cls>`.
//!
//! ```toml
//! [modality.protein]
//! path = "models/esm2_t6_8M_UR50D"   # config.json, vocab.txt or tokenizer.json, weights
//! ```

pub mod composition;
pub mod residues;

use std::sync::atomic::{AtomicBool, Ordering};
use std::{ops::Range, path::PathBuf};

use bioverse_core::{BoxError, Hidden, Modality, fingerprint, pad_ids};
use bioverse_nn::SequenceEncoder;
use burn::{prelude::*, tensor::TensorData};
use serde::{Deserialize, Serialize};

pub use composition::{COMPOSITION_LEN, composition};
pub use residues::{ResidueError, residues};

/// Residues of a k-mer: three occur by chance in any two long proteins, five are lost to one exchange in five.
const KMER: usize = 4;
/// Values of `model_type` that read residues.
const FAMILIES: &[&str] = &["esm"];

/// `[modality.protein]`
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folder of an ESM-2 model in Hugging Face layout.
    pub path: PathBuf,
    /// Longest record in tokens, `<cls>` and `<eos>` included; a longer one is refused. Not set = a record that is longer
    /// than the model takes is cut to that, and the first one cut is reported.
    pub max_length: Option<usize>,
    /// How many of the encoder's last hidden states are joined to one wide state; `num_hidden_layers` + 1 takes all, the
    /// embeddings with them. Not set = the last one alone.
    pub hidden_layers: Option<usize>,
}

/// A protein encoder.
pub struct Protein {
    encoder: SequenceEncoder,
    /// Whether gaps were reported.
    reported: AtomicBool,
}

impl Modality for Protein {
    const NAME: &'static str = "protein";
    type Config = Config;
    type Input = String;
    type Tokens = Vec<u32>;

    fn load(config: &Config, device: &Device) -> Result<Self, BoxError> {
        let encoder = SequenceEncoder::load(&config.path, FAMILIES, device)?;
        Ok(Self {
            encoder: encoder
                .with_max_length(config.max_length)?
                .with_hidden_layers(config.hidden_layers)?,
            reported: AtomicBool::new(false),
        })
    }

    fn tokenize(&self, input: &String) -> Result<Vec<u32>, BoxError> {
        let residues = residues(input)?;
        if residues::has_gaps(&residues) && !self.reported.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "a sequence has gaps (`-` or `.`), for which the encoder has tokens that it hardly saw in training; take the gaps \
                 out if the records are rows of an alignment"
            );
        }
        Ok(self.encoder.tokenize(&residues)?)
    }

    fn encode(&self, batch: &[Vec<u32>]) -> Result<Hidden, BoxError> {
        let device = self.encoder.device();
        let (input_ids, attention_mask) =
            pad_ids(batch, self.encoder.config().pad_token_id, device);
        Ok(Hidden {
            states: self.encoder.forward(input_ids, attention_mask),
            mask: residue_mask(batch, device),
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

    /// k-mers of four residues. Of two sequences that are equal in a share p of their residues, about p⁴ of the k-mers are
    /// shared.
    fn fingerprint(input: &String) -> Option<Result<Vec<u64>, BoxError>> {
        let residues = residues(input).map_err(Into::into);
        Some(residues.map(|residues| fingerprint::windows(residues.as_bytes(), KMER)))
    }

    fn weights(config: &Config) -> Vec<PathBuf> {
        SequenceEncoder::files(&config.path)
    }
}

/// True between the first and the last token of a row.
///
/// # Shapes
/// B rows → `[B, T]`, T = the longest row.
fn residue_mask(rows: &[Vec<u32>], device: &Device) -> Tensor<2, Bool> {
    let width = rows.iter().map(Vec::len).max().unwrap_or(0).max(1);
    let row = |row: &Vec<u32>| {
        let last = row.len().saturating_sub(1);
        (0..width).map(move |t| t > 0 && t < last)
    };
    let mask: Vec<bool> = rows.iter().flat_map(row).collect();
    Tensor::from_data(TensorData::new(mask, [rows.len(), width]), device)
}

#[cfg(test)]
mod tests;
