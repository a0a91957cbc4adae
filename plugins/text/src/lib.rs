//! Biomedical text through a BERT encoder: PubMedBERT, MiniLM sentence encoders, ModernBERT.
//!
//! A record is one text. How its states become one vector (mean or `[CLS]`), and how much of a text the model was trained to
//! read, is taken from the files that sentence-transformers writes beside the model; without them it is the mean, and all
//! the positions there are. The crate knows no other modality, no LLM and no training loop.
//!
//! ```toml
//! [modality.text]
//! path = "models/all-MiniLM-L6-v2"   # config.json, tokenizer.json or vocab.txt, weights; modules.json if there is one
//! ```

pub mod sentence;

use std::{ops::Range, path::PathBuf};

use bioverse_core::{BoxError, Hidden, Modality, Pooling, fingerprint, pad_ids};
use bioverse_nn::SequenceEncoder;
use burn::prelude::*;
use serde::{Deserialize, Serialize};

pub use sentence::{Sentence, SentenceError};

/// Values of `model_type` that read text.
const FAMILIES: &[&str] = &["bert", "roberta", "modernbert"];

/// `[modality.text]`
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folder of a BERT, RoBERTa or ModernBERT model in Hugging Face or sentence-transformers layout.
    pub path: PathBuf,
    /// Longest record in tokens, the two special ones included; a longer one is refused. Not set = a record that is longer
    /// than the model's `max_seq_length` (else `model_max_length`, else its positions) is cut to that, and the first one cut
    /// is reported.
    pub max_length: Option<usize>,
    /// How many of the encoder's last hidden states are joined to one wide state; `num_hidden_layers` + 1 takes all, the
    /// embeddings with them. Not set = the last one alone.
    pub hidden_layers: Option<usize>,
    /// How the states of a text become one vector, in place of what the folder says.
    pub pooling: Option<Pool>,
}

/// How the states of a text become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pool {
    /// The mean over all tokens, `[CLS]` and `[SEP]` included.
    Mean,
    /// The state of `[CLS]`.
    Cls,
}

/// A text without a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the text is empty; leave the record out")]
pub struct EmptyText;

/// A text encoder.
pub struct Text {
    encoder: SequenceEncoder,
    sentence: Sentence,
}

impl Modality for Text {
    const NAME: &'static str = "text";
    type Config = Config;
    type Input = String;
    type Tokens = Vec<u32>;

    fn load(config: &Config, device: &Device) -> Result<Self, BoxError> {
        let sentence = Sentence::read(&config.path, config.pooling)?;
        let encoder = SequenceEncoder::load(&sentence.model, FAMILIES, device)?;
        let encoder = encoder
            .with_max_length(config.max_length)?
            .with_hidden_layers(config.hidden_layers)?;
        let trained = sentence.max_seq_length;
        let encoder = match trained.or(encoder.tokenizer().max_length()) {
            // Who names a length gets every token up to it.
            Some(length) if config.max_length.is_none() => encoder.cut_at(length),
            _ => encoder,
        };
        Ok(Self { encoder, sentence })
    }

    fn tokenize(&self, input: &String) -> Result<Vec<u32>, BoxError> {
        if input.trim().is_empty() {
            return Err(EmptyText.into());
        }
        Ok(self.encoder.tokenize(&self.sentence.prepared(input))?)
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

    fn pooling(&self) -> Pooling {
        match self.sentence.pool {
            Pool::Mean => Pooling::Mean,
            Pool::Cls => Pooling::First,
        }
    }

    fn normalized(&self) -> bool {
        self.sentence.normalized
    }

    /// Pairs of neighbouring words, in lower case and without punctuation; the word itself where there is one only.
    fn fingerprint(input: &String) -> Option<Result<Vec<u64>, BoxError>> {
        Some(Ok(shingles(input)))
    }

    fn weights(config: &Config) -> Vec<PathBuf> {
        let mut files = SequenceEncoder::files(&sentence::model_folder(&config.path));
        if !files.is_empty() {
            files.extend(sentence::files(&config.path));
        }
        files
    }
}

/// Hashes of the pairs of neighbouring words of a text.
fn shingles(text: &str) -> Vec<u64> {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let of = |words: &[&str]| fingerprint::hash(words.join(" ").as_bytes());
    match words.len() {
        0 | 1 => vec![of(&words)],
        _ => words.windows(2).map(of).collect(),
    }
}

#[cfg(test)]
mod tests;
