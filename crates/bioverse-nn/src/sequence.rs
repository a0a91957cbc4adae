//! A tokenizer and a bidirectional encoder of one folder: text in, hidden states out. What every modality whose records are
//! strings needs, once: which families it takes, how long a row may be, what happens to longer ones.
//!
//! It does not know what the text means, nor how its states are pooled.

mod parts;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use burn::prelude::*;

use crate::config::{EncoderConfig, EncoderFamily, PositionEmbedding};
use crate::encoder::TransformerEncoder;
use crate::error::{Error, Result};
use crate::tokenizer::Tokenizer;
use crate::weights::Weights;

/// The shortest row: one token between the two special ones.
const SHORTEST: usize = 3;

/// A frozen encoder with its tokenizer.
///
/// ```no_run
/// use bioverse_nn::SequenceEncoder;
/// # fn main() -> bioverse_nn::Result<()> {
/// let device = burn::prelude::Device::flex();
/// let encoder = SequenceEncoder::load("models/esm2_t6_8M_UR50D".as_ref(), &["esm"], &device)?;
/// let row = encoder.tokenize("MKTAYIAKQR")?;
/// assert_eq!(row.len(), 12);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SequenceEncoder {
    tokenizer: Tokenizer,
    encoder: TransformerEncoder,
    /// A longer row is cut to this.
    cut: usize,
    /// A longer row is refused.
    refuse: Option<usize>,
    /// How many of the last hidden states are joined.
    hidden_layers: usize,
    device: Device,
    /// Whether a cut was reported.
    reported: AtomicBool,
}

impl SequenceEncoder {
    /// Loads the folder `dir`. `families` are the values of `model_type` that make sense for the caller's records.
    ///
    /// # Errors
    /// An empty path, another family, and whatever is wrong with the folder's files.
    pub fn load(dir: &Path, families: &[&str], device: &Device) -> Result<Self> {
        let listed = families.join("`, `");
        if dir.as_os_str().is_empty() {
            return Err(Error::Unsupported(format!(
                "`path` is not set; it names the folder of a model of the family `{listed}`"
            )));
        }
        let config = EncoderConfig::load(dir)?;
        if !families.contains(&config.model_type.as_str()) {
            return Err(Error::format(
                dir.join("config.json"),
                format!(
                    "is a model of the family `{}`, which is not made for such records; taken are `{listed}`",
                    config.model_type
                ),
            ));
        }
        let encoder = TransformerEncoder::load(dir, device)?;
        Ok(Self {
            tokenizer: Tokenizer::load(dir)?,
            cut: encoder.config().max_tokens(),
            refuse: None,
            hidden_layers: 1,
            encoder,
            device: device.clone(),
            reported: AtomicBool::new(false),
        })
    }

    /// Refuses rows of more than `max_length` tokens, special ones included, in place of cutting what is longer than the
    /// model was made for. `None` changes nothing.
    ///
    /// Where positions are rotary (ESM-2, ModernBERT) the length may go beyond what the model was made for; memory grows
    /// with its square.
    ///
    /// # Errors
    /// A length that the model cannot read, or that leaves no room for a token.
    pub fn with_max_length(mut self, max_length: Option<usize>) -> Result<Self> {
        let Some(length) = max_length else {
            return Ok(self);
        };
        let longest = longest(self.config());
        if length < SHORTEST || longest.is_some_and(|longest| length > longest) {
            let lengths = match longest {
                Some(longest) => format!("from {SHORTEST} to {longest} tokens"),
                None => format!("from {SHORTEST} tokens on"),
            };
            return Err(Error::Unsupported(format!(
                "`max_length` is {length}; this model takes {lengths}, special ones included"
            )));
        }
        self.refuse = max_length;
        self.cut = self.cut.max(length);
        Ok(self)
    }

    /// Cuts rows at `tokens`, where that is less than the model could read: the length its authors trained it for.
    pub fn cut_at(mut self, tokens: usize) -> Self {
        self.cut = tokens.max(SHORTEST).min(self.cut);
        self
    }

    /// Ids of `text` with the special tokens around it, at most as many as the model takes.
    ///
    /// # Errors
    /// Text that cannot be tokenised, that is longer than [`with_max_length`](Self::with_max_length) allows, or that has a
    /// token for which the model has no row.
    pub fn tokenize(&self, text: &str) -> Result<Vec<u32>> {
        let ids = self.tokenizer.encode_with_special(text)?;
        if let Some(max) = self.refuse.filter(|max| ids.len() > *max) {
            return Err(Error::Text(format!(
                "`{}` is {} tokens long, more than the {max} of `max_length`; raise it, or leave it out to have long records \
                 cut",
                beginning(text),
                ids.len()
            )));
        }
        let rows = self.encoder.config().vocab_size;
        match ids.iter().find(|id| **id as usize >= rows) {
            Some(id) => Err(Error::Text(format!(
                "`{}` has the token {:?} with the id {id}, but the model has {rows} rows; tokenizer and weights do not belong \
                 together",
                beginning(text),
                self.tokenizer.tokens(&[*id]).concat()
            ))),
            None => Ok(self.shortened(text, ids)),
        }
    }

    /// The end token stays last.
    fn shortened(&self, text: &str, mut ids: Vec<u32>) -> Vec<u32> {
        let length = ids.len();
        if length > self.cut
            && let Some(end) = ids.last().copied()
        {
            ids.truncate(self.cut - 1);
            ids.push(end);
            if !self.reported.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    "a record of {length} tokens is cut to the {} that the encoder reads, and so is every longer one; \
                     `max_length` refuses them instead. It begins `{}`",
                    self.cut,
                    beginning(text)
                );
            }
        }
        ids
    }

    /// Joins the last `hidden_layers` hidden states of a token into one, the deepest one last. What lower layers know of a
    /// record is partly gone from the last one, which predicts masked tokens; as features, the last four layers side by side
    /// did best for BERT (Devlin et al. 2019, table 7). `None` changes nothing.
    ///
    /// # Errors
    /// None, or more than the model has: its layers and the embeddings below them.
    pub fn with_hidden_layers(mut self, hidden_layers: Option<usize>) -> Result<Self> {
        let Some(count) = hidden_layers else {
            return Ok(self);
        };
        let most = self.config().num_hidden_layers + 1;
        if count == 0 || count > most {
            return Err(Error::Unsupported(format!(
                "`hidden_layers` is {count}; this model has 1 to {most} hidden states to join, its embeddings among them"
            )));
        }
        self.hidden_layers = count;
        Ok(self)
    }

    /// Hidden states. `input_ids [B, T]`, `attention_mask [B, T]` (true = token) → `[B, T, d_hidden]`.
    pub fn forward(&self, input_ids: Tensor<2, Int>, attention_mask: Tensor<2, Bool>) -> Tensor<3> {
        if self.hidden_layers == 1 {
            return self.encoder.forward(input_ids, attention_mask);
        }
        let mut states = self.encoder.hidden_states(input_ids, attention_mask);
        Tensor::cat(states.split_off(states.len() - self.hidden_layers), 2)
    }

    /// Width of what [`forward`](Self::forward) gives: `hidden_size` times the joined layers.
    pub fn d_hidden(&self) -> usize {
        self.config().hidden_size * self.hidden_layers
    }

    /// The encoder's hyper-parameters.
    pub fn config(&self) -> &EncoderConfig {
        self.encoder.config()
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Where the parameters are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The files of `dir` that decide what the encoder computes, of those that are there: configuration, tokenizer, weights
    /// (all shards).
    pub fn files(dir: &Path) -> Vec<PathBuf> {
        // An empty path is one that is not set; it must not stand for the folder the program was started in.
        if dir.as_os_str().is_empty() {
            return vec![];
        }
        let config = Some(dir.join("config.json")).filter(|path| path.is_file());
        let mut files: Vec<PathBuf> = config.into_iter().collect();
        files.extend(Tokenizer::files(dir));
        files.extend(Weights::files(dir));
        files
    }
}

/// The longest row that can be computed at all: learned positions end, rotary ones do not.
fn longest(config: &EncoderConfig) -> Option<usize> {
    let rotary = match config.family() {
        EncoderFamily::ModernBert => true,
        EncoderFamily::Esm => config.esm.position_embedding_type == PositionEmbedding::Rotary,
        EncoderFamily::Bert | EncoderFamily::Roberta => false,
    };
    (!rotary).then(|| config.max_tokens())
}

/// Enough of a record to recognise it.
fn beginning(text: &str) -> String {
    const SHOWN: usize = 40;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
