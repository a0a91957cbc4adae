//! `tokenizer.json`, special tokens and the chat template.
//!
//! It reads a folder and turns text into ids and back. It does not know which model the ids are for.

mod files;

use std::path::Path;

use crate::chat::ChatTemplate;
use crate::error::{Error, Result};

/// The tokenizer of a Hugging Face folder.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    bos: Option<u32>,
    eos: Option<u32>,
    pad: Option<u32>,
    chat_template: Option<ChatTemplate>,
}

impl Tokenizer {
    /// Reads `tokenizer.json`, `tokenizer_config.json`, `chat_template.jinja`, `special_tokens_map.json` (all but the first
    /// optional). A folder of RoBERTa style may have `vocab.json` and `merges.txt` in place of `tokenizer.json`.
    pub fn load(dir: &Path) -> Result<Self> {
        let mut settings = files::Settings::read(dir)?;
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
            chat_template,
        })
    }

    /// Ids of `text`; special tokens written in the text are recognised, none are added.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.ids(text, false)
    }

    /// Ids of `text` with the tokenizer's own special tokens around it (`<s> … </s>`).
    pub fn encode_with_special(&self, text: &str) -> Result<Vec<u32>> {
        self.ids(text, true)
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

    /// The chat template; `None` for a base model.
    pub fn chat_template(&self) -> Option<&ChatTemplate> {
        self.chat_template.as_ref()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::chat::ChatMessage;

    /// A folder whose byte-level BPE knows the letters a–f, the space mark and two merges.
    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        dir
    }

    const VOCAB: &str = r#"{"<s>":0,"<pad>":1,"</s>":2,"<unk>":3,"<mask>":4,"a":5,"b":6,"c":7,"Ġ":8,"ab":9,"abc":10}"#;
    const MERGES: &str = "#version: 0.2\na b\nab c\n";

    #[test]
    fn a_vocabulary_with_merges_becomes_a_roberta_tokenizer() {
        let dir = folder(&[("vocab.json", VOCAB), ("merges.txt", MERGES)]);
        let tokenizer = Tokenizer::load(dir.path()).unwrap();
        assert_eq!(tokenizer.encode("abcab c").unwrap(), [10, 9, 8, 7]);
        assert_eq!(tokenizer.encode_with_special("ab").unwrap(), [0, 9, 2]);
        assert_eq!(tokenizer.encode("a<mask>b").unwrap(), [5, 4, 6]);
        assert_eq!(tokenizer.decode(&[0, 10, 8, 7, 2]).unwrap(), "abc c");
        assert_eq!(
            tokenizer.decode_with_special(&[0, 10, 2]).unwrap(),
            "<s>abc</s>"
        );
        assert_eq!(tokenizer.tokens(&[9, 999]), ["ab", ""]);
        assert_eq!(
            (tokenizer.bos(), tokenizer.eos(), tokenizer.pad()),
            (Some(0), Some(2), Some(1))
        );
        assert_eq!(tokenizer.vocab_size(), 11);
        assert!(tokenizer.chat_template().is_none());
    }

    #[test]
    fn added_tokens_keep_their_ids() {
        let dir = folder(&[
            ("vocab.json", VOCAB),
            ("merges.txt", MERGES),
            ("added_tokens.json", r#"{"<z>": 12, "<y>": 11}"#),
        ]);
        let tokenizer = Tokenizer::load(dir.path()).unwrap();
        assert_eq!(tokenizer.encode("a<z><y>").unwrap(), [5, 12, 11]);
    }

    #[test]
    fn special_tokens_may_be_objects_and_pad_falls_back_to_eos() {
        let dir = folder(&[("vocab.json", VOCAB), ("merges.txt", MERGES)]);
        let inner = Tokenizer::load(dir.path()).unwrap().inner;
        let dir = folder(&[
            (
                "special_tokens_map.json",
                r#"{"eos_token":"</s>","pad_token":"<nowhere>"}"#,
            ),
            (
                "tokenizer_config.json",
                r#"{"bos_token":{"content":"<s>","lstrip":false},"eos_token":null}"#,
            ),
        ]);
        inner
            .save(dir.path().join("tokenizer.json"), false)
            .unwrap();
        let tokenizer = Tokenizer::load(dir.path()).unwrap();
        let ids = (tokenizer.bos(), tokenizer.eos(), tokenizer.pad());
        assert_eq!(ids, (Some(0), Some(2), Some(2)));
    }

    #[test]
    fn saved_truncation_and_padding_are_ignored() {
        let dir = folder(&[("vocab.json", VOCAB), ("merges.txt", MERGES)]);
        let mut inner = Tokenizer::load(dir.path()).unwrap().inner;
        let short = tokenizers::TruncationParams {
            max_length: 3,
            ..Default::default()
        };
        inner.with_truncation(Some(short)).unwrap();
        inner.with_padding(Some(tokenizers::PaddingParams {
            strategy: tokenizers::PaddingStrategy::Fixed(9),
            ..Default::default()
        }));
        inner
            .save(dir.path().join("tokenizer.json"), false)
            .unwrap();
        let tokenizer = Tokenizer::load(dir.path()).unwrap();
        assert_eq!(
            tokenizer.encode_with_special("cabc").unwrap(),
            [0, 7, 10, 2]
        );
    }

    #[test]
    fn templates_are_found_in_all_three_places() {
        let base = [("vocab.json", VOCAB), ("merges.txt", MERGES)];
        let say = |extra: &[(&str, &str)]| {
            let dir = folder(&[&base[..], extra].concat());
            let tokenizer = Tokenizer::load(dir.path()).unwrap();
            tokenizer
                .chat_template()
                .unwrap()
                .render(&[ChatMessage::new("user", "x")], false)
                .unwrap()
        };
        assert_eq!(
            say(&[(
                "tokenizer_config.json",
                r#"{"chat_template":"1{{ eos_token }}"}"#
            )]),
            "1</s>"
        );
        let list = r#"{"chat_template":[{"name":"tool_use","template":"no"},{"name":"default","template":"2"}]}"#;
        assert_eq!(say(&[("tokenizer_config.json", list)]), "2");
        assert_eq!(
            say(&[
                ("tokenizer_config.json", r#"{"chat_template":"1"}"#),
                ("chat_template.jinja", "3")
            ]),
            "3"
        );
    }

    #[test]
    fn what_is_missing_or_broken_is_named() {
        let dir = folder(&[]);
        let error = Tokenizer::load(dir.path()).unwrap_err().to_string();
        assert!(
            error.contains("tokenizer.json") && error.contains(dir.path().to_str().unwrap()),
            "{error}"
        );
        let dir = folder(&[("tokenizer.json", "{}")]);
        assert!(
            Tokenizer::load(dir.path())
                .unwrap_err()
                .to_string()
                .contains("tokenizer.json")
        );
        let dir = folder(&[
            ("vocab.json", VOCAB),
            ("merges.txt", MERGES),
            ("tokenizer_config.json", "["),
        ]);
        assert!(
            Tokenizer::load(dir.path())
                .unwrap_err()
                .to_string()
                .contains("tokenizer_config.json")
        );
    }
}
