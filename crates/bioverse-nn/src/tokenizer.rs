//! The tokenizer of a folder (`tokenizer.json`, or the vocabulary files of RoBERTa, ESM-2 and BERT), its special tokens and
//! the chat template.
//!
//! It reads a folder and turns text into ids and back. It does not know which model the ids are for.

mod files;
mod settings;
mod vocabulary;

use std::path::{Path, PathBuf};

use crate::chat::ChatTemplate;
use crate::error::{Error, Result};

/// The tokenizer of a Hugging Face folder.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    bos: Option<u32>,
    eos: Option<u32>,
    pad: Option<u32>,
    unk: Option<u32>,
    max_length: Option<usize>,
    chat_template: Option<ChatTemplate>,
}

/// Two texts in one row of ids, as a model for sentence pairs reads them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// `[CLS] A [SEP] B [SEP]`.
    pub ids: Vec<u32>,
    /// 0 up to the end of A, 1 from there on; as long as `ids`.
    pub token_type_ids: Vec<u32>,
}

impl Tokenizer {
    /// Reads the tokenizer of a Hugging Face folder: `tokenizer.json`; where there is none, `vocab.json` with `merges.txt`
    /// (RoBERTa), or `vocab.txt` (ESM-2 and BERT, told apart by `tokenizer_class`, else `model_type`, else by the tokens).
    /// `tokenizer_config.json`, `special_tokens_map.json`, `added_tokens.json` and `chat_template.jinja` are read where they
    /// are.
    ///
    /// ```no_run
    /// let tokenizer = bioverse_nn::Tokenizer::load("models/esm2_t6_8M_UR50D".as_ref())?;
    /// assert_eq!(tokenizer.encode_with_special("MKT")?, [0, 20, 15, 11, 2]);
    /// # Ok::<(), bioverse_nn::Error>(())
    /// ```
    ///
    /// # Errors
    /// Names the file that is missing, broken or of an unknown kind.
    pub fn load(dir: &Path) -> Result<Self> {
        let mut settings = settings::Settings::read(dir)?;
        let mut inner = files::tokenizer(dir, &mut settings)?;
        // Saved truncation and padding are habits of one training script; here they would silently change every id list.
        inner.with_padding(None);
        inner
            .with_truncation(None)
            .map_err(|error| Error::format(dir, format!("tokenizer: {error}")))?;
        let id = |name: &str| {
            settings
                .special
                .get(name)
                .and_then(|token| inner.token_to_id(token))
        };
        let (bos, eos, pad) = (id("bos_token"), id("eos_token"), id("pad_token"));
        let unk = id("unk_token");
        let chat_template = settings
            .chat_template
            .as_deref()
            .map(|source| ChatTemplate::new(source, settings.special))
            .transpose()
            .map_err(|error| Error::format(dir, error.to_string()))?;
        Ok(Self {
            inner,
            bos,
            eos,
            pad: pad.or(eos),
            unk,
            max_length: settings.max_length,
            chat_template,
        })
    }

    /// The files of `dir` that decide which ids a text gets, of those that are there: `tokenizer.json` alone, or the
    /// vocabulary files with what stands beside them.
    pub fn files(dir: &Path) -> Vec<PathBuf> {
        files::found(dir)
    }

    /// Ids of `text`; special tokens written in the text are recognised, none are added.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.ids(text, false)
    }

    /// Whether conversations of these roles can be trained on through the chat template, if there is one: every text comes
    /// out once and as it went in, in order; user and assistant differ; a question ends as its answer begins, an answer is
    /// followed by no words of the template's own, and nothing is rewritten by what follows.
    ///
    /// # Errors
    /// What is wrong with the template; also when it refuses such a conversation.
    pub fn check_template(&self, roles: &[&str]) -> Result<()> {
        let Some(template) = &self.chat_template else {
            return Ok(());
        };
        let added = self.inner.get_added_tokens_decoder();
        let special = added.values().filter(|token| token.special);
        let mut special: Vec<String> = special.map(|token| token.content.clone()).collect();
        special.extend(self.tokens(&self.eos.into_iter().collect::<Vec<_>>()));
        let first = |text: &str| {
            special
                .iter()
                .filter_map(|token| text.find(token.as_str()))
                .min()
        };
        template.check(roles, &first)
    }

    /// Ids of texts that stand directly behind one another, tokenised as one text and divided again. A token belongs to the
    /// text it begins in.
    pub fn encode_run(&self, texts: &[&str]) -> Result<Vec<Vec<u32>>> {
        let whole = texts.concat();
        let encoding = self
            .inner
            .encode(whole.as_str(), false)
            .map_err(|error| Error::Text(format!("{whole:?} cannot be tokenised: {error}")))?;
        let mut ends = vec![];
        for text in texts {
            ends.push(ends.last().copied().unwrap_or(0) + text.len());
        }
        let mut ids = vec![vec![]; texts.len()];
        for (id, (start, _)) in encoding.get_ids().iter().zip(encoding.get_offsets()) {
            let of = ends.iter().position(|end| start < end);
            if let Some(of) = of.or(texts.len().checked_sub(1)) {
                ids[of].push(*id);
            }
        }
        Ok(ids)
    }

    /// Ids of `text` with the tokenizer's own special tokens around it (`<s> … </s>`).
    pub fn encode_with_special(&self, text: &str) -> Result<Vec<u32>> {
        self.ids(text, true)
    }

    /// Ids and token types of two texts, with the tokenizer's own special tokens around and between them.
    pub fn encode_pair(&self, first: &str, second: &str) -> Result<Pair> {
        let encoding = self.inner.encode_fast((first, second), true);
        let encoding = encoding.map_err(|error| {
            Error::Text(format!(
                "{first:?} and {second:?} cannot be tokenised: {error}"
            ))
        })?;
        Ok(Pair {
            ids: encoding.get_ids().to_vec(),
            token_type_ids: encoding.get_type_ids().to_vec(),
        })
    }

    fn ids(&self, text: &str, add_special_tokens: bool) -> Result<Vec<u32>> {
        self.inner
            .encode_fast(text, add_special_tokens)
            .map(|encoding| encoding.get_ids().to_vec())
            .map_err(|error| Error::Text(format!("{text:?} cannot be tokenised: {error}")))
    }

    /// Text of `ids`, special tokens dropped.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.text(ids, true)
    }

    /// Text of `ids`, special tokens kept.
    pub fn decode_with_special(&self, ids: &[u32]) -> Result<String> {
        self.text(ids, false)
    }

    fn text(&self, ids: &[u32], skip_special_tokens: bool) -> Result<String> {
        self.inner
            .decode(ids, skip_special_tokens)
            .map_err(|error| Error::Text(format!("ids {ids:?} cannot be decoded: {error}")))
    }

    /// Token strings of `ids`; an id outside the vocabulary gives an empty string.
    pub fn tokens(&self, ids: &[u32]) -> Vec<String> {
        ids.iter()
            .map(|id| self.inner.id_to_token(*id).unwrap_or_default())
            .collect()
    }

    /// Id of one token string.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Size including added tokens.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Beginning of sequence.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// End of sequence.
    pub fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// Padding; falls back to eos.
    pub fn pad(&self) -> Option<u32> {
        self.pad
    }

    /// What stands for text that the vocabulary does not have.
    pub fn unk(&self) -> Option<u32> {
        self.unk
    }

    /// The longest row, special tokens included, that the folder says its model takes; `None` where it says nothing, or
    /// that there is no limit. Nothing is cut here.
    pub fn max_length(&self) -> Option<usize> {
        self.max_length
    }

    /// The chat template; `None` for a base model.
    pub fn chat_template(&self) -> Option<&ChatTemplate> {
        self.chat_template.as_ref()
    }
}

#[cfg(test)]
mod tests;
