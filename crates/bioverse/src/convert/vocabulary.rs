//! Tokenizers of llama2.c (`tok*.bin`): a token's text and score by id → `tokenizer.json`.
//!
//! llama2.c joins, again and again, the two neighbours whose union has the best score. That is byte-pair encoding whose
//! merges are all ways of writing a token as two tokens, best score first. A character without a token is written as its
//! bytes, and a text begins with a space, as in SentencePiece.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{
    error::{Error, Result},
    files::write_atomic,
};

/// Ids of unknown, begin and end.
const SPECIAL: [&str; 3] = ["<unk>", "<s>", "</s>"];

/// SentencePiece's sign for a space.
const SPACE: &str = "▁";

/// The tokens by id, with their scores.
#[derive(Debug)]
pub struct Vocabulary {
    path: PathBuf,
    tokens: Vec<(String, f32)>,
}

impl Vocabulary {
    /// Reads `vocab_size` tokens.
    pub fn read(path: &Path, vocab_size: usize) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|error| Error::io(path, error))?;
        let tokens = parse(&bytes, vocab_size).map_err(|problem| {
            Error::Input(format!(
                "{}: {problem}; give the tokenizer that the model was trained with",
                path.display()
            ))
        })?;
        Ok(Self {
            path: path.into(),
            tokens,
        })
    }

    /// Writes `tokenizer.json` and `tokenizer_config.json`.
    pub(super) fn write(&self, dir: &Path, max_length: usize) -> Result<()> {
        let tokenizer = self.tokenizer();
        let text = tokenizer.to_string();
        // Read back before it is written: what the library refuses must not become a folder.
        tokenizers::Tokenizer::from_bytes(text.as_bytes()).map_err(|error| {
            Error::Input(format!(
                "{} makes no tokenizer: {error}",
                self.path.display()
            ))
        })?;
        write_atomic(&dir.join("tokenizer.json"), text.as_bytes())?;
        let config = json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": max_length,
            "unk_token": SPECIAL[0], "bos_token": SPECIAL[1], "eos_token": SPECIAL[2],
            "clean_up_tokenization_spaces": false,
        });
        let config = format!("{config:#}\n");
        write_atomic(&dir.join("tokenizer_config.json"), config.as_bytes())
    }

    fn tokenizer(&self) -> Value {
        let vocab: serde_json::Map<String, Value> = self
            .tokens
            .iter()
            .enumerate()
            .map(|(id, (token, _))| (token.clone(), json!(id)))
            .collect();
        let special = SPECIAL.iter().enumerate().map(|(id, token)| {
            json!({"id": id, "content": token, "special": true, "single_word": false, "lstrip": false,
                   "rstrip": false, "normalized": false})
        });
        json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": special.collect::<Vec<Value>>(),
            "normalizer": {"type": "Sequence", "normalizers": [
                {"type": "Prepend", "prepend": SPACE},
                {"type": "Replace", "pattern": {"String": " "}, "content": SPACE},
            ]},
            "pre_tokenizer": null,
            "post_processor": {"type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": SPECIAL[1], "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [{"SpecialToken": {"id": SPECIAL[1], "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                         {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {SPECIAL[1]: {"id": SPECIAL[1], "ids": [1], "tokens": [SPECIAL[1]]}}},
            "decoder": {"type": "Sequence", "decoders": [
                {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ]},
            "model": {"type": "BPE", "dropout": null, "unk_token": SPECIAL[0], "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
                "vocab": vocab, "merges": self.merges()},
        })
    }

    /// Every way of writing a token as two tokens; the best token first, and of equal ones the first.
    fn merges(&self) -> Vec<[&str; 2]> {
        let tokens = self.tokens.iter().enumerate();
        let ids: HashMap<&str, usize> = tokens
            .skip(SPECIAL.len())
            .map(|(id, (token, _))| (token.as_str(), id))
            .collect();
        let mut order: Vec<usize> = (SPECIAL.len()..self.tokens.len()).collect();
        order.sort_by(|a, b| {
            let score = |id: &usize| self.tokens[*id].1;
            score(b).total_cmp(&score(a)).then(a.cmp(b))
        });
        let splits = |id: usize| {
            let token = self.tokens[id].0.as_str();
            let cuts = token
                .char_indices()
                .skip(1)
                .map(|(at, _)| token.split_at(at));
            cuts.filter(|(left, right)| {
                ids.contains_key(left) && ids.contains_key(right) && !is_byte(token)
            })
            .map(|(left, right)| [left, right])
            .collect::<Vec<_>>()
        };
        order.into_iter().flat_map(splits).collect()
    }
}

/// `<0x0A>`: a byte, not a text.
fn is_byte(token: &str) -> bool {
    token.len() == 6 && token.starts_with("<0x") && token.ends_with('>')
}

/// Longest token, then score (f32), length (i32) and bytes of each.
fn parse(bytes: &[u8], vocab_size: usize) -> Result<Vec<(String, f32)>, String> {
    let mut rest = bytes.get(4..).ok_or("is too short to be a tokenizer")?;
    let mut tokens: Vec<(String, f32)> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    while tokens.len() < vocab_size {
        let id = tokens.len();
        let (score, after) = rest
            .split_first_chunk()
            .ok_or_else(|| format!("ends after {id} tokens, but the model has {vocab_size}"))?;
        let (length, after) = after
            .split_first_chunk()
            .ok_or_else(|| format!("ends within token {id}"))?;
        let length = usize::try_from(i32::from_le_bytes(*length)).ok();
        let text = length.and_then(|length| after.split_at_checked(length));
        let (text, after) = text.ok_or_else(|| format!("ends within token {id}"))?;
        let text = std::str::from_utf8(text).map_err(|_| format!("token {id} is not UTF-8"))?;
        let score = f32::from_le_bytes(*score);
        if score.is_nan() {
            return Err(format!("the score of token {id} is not a number"));
        }
        tokens.push((named(id, text, &mut seen), score));
        rest = after;
    }
    match rest.is_empty() {
        true => Ok(tokens),
        false => Err(format!(
            "holds more tokens than the {vocab_size} of the model"
        )),
    }
}

/// The text under which a token goes into the vocabulary: each once, spaces as SentencePiece writes them.
fn named(id: usize, text: &str, seen: &mut std::collections::HashSet<String>) -> String {
    let text = match SPECIAL.get(id) {
        Some(special) => (*special).to_owned(),
        None => text.replace(' ', SPACE),
    };
    // The library finds a token by its text; one that is written like an earlier one is never produced.
    match seen.insert(text.clone()) && !text.is_empty() {
        true => text,
        false => format!("<unused_{id}>"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn file(tokens: &[(&str, f32)]) -> Vec<u8> {
        let mut bytes = 5i32.to_le_bytes().to_vec();
        for (token, score) in tokens {
            bytes.extend(score.to_le_bytes());
            bytes.extend((token.len() as i32).to_le_bytes());
            bytes.extend(token.as_bytes());
        }
        bytes
    }

    fn tokens() -> Vec<(&'static str, f32)> {
        let mut tokens = vec![("<unk>", 0.0), ("\n<s>\n", 0.0), ("\n</s>\n", 0.0)];
        let bytes: Vec<String> = (0..256).map(|b| format!("<0x{b:02X}>")).collect();
        tokens.extend(bytes.into_iter().map(|b| (&*b.leak(), 0.0)));
        tokens.extend([
            (" ", -10.0),
            ("a", -11.0),
            ("b", -12.0),
            ("ab", -2.0),
            (" a", -1.0),
            ("bb", -3.0),
            (" ab", -4.0),
        ]);
        tokens
    }

    fn tokenizer() -> tokenizers::Tokenizer {
        let tokens = parse(&file(&tokens()), 266).unwrap();
        let vocabulary = Vocabulary {
            path: "tok.bin".into(),
            tokens,
        };
        let text = vocabulary.tokenizer().to_string();
        tokenizers::Tokenizer::from_bytes(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_best_pair_is_joined_first() {
        let tokenizer = tokenizer();
        let tokens = |text: &str| tokenizer.encode(text, true).unwrap().get_tokens().to_vec();
        // "▁a" (-1) beats "ab" (-2), then "▁ab" joins what is left.
        assert_eq!(tokens("ab"), ["<s>", "▁ab"]);
        assert_eq!(tokens("bab"), ["<s>", "▁", "b", "ab"]);
        assert_eq!(tokens("é"), ["<s>", "▁", "<0xC3>", "<0xA9>"]);
    }

    #[test]
    fn what_is_encoded_decodes() {
        let tokenizer = tokenizer();
        for text in ["ab a bb", "  a", "naïve b", "b\n"] {
            let ids = tokenizer.encode(text, true).unwrap().get_ids().to_vec();
            assert_eq!(tokenizer.decode(&ids, true).unwrap(), text);
        }
    }

    #[test]
    fn what_is_no_tokenizer_says_why() {
        let whole = file(&tokens());
        for (bytes, n, says) in [
            (&whole[..2], 266, "too short"),
            (&whole[..whole.len() - 1], 266, "ends within token 265"),
            (&whole[..], 300, "ends after 266 tokens"),
            (&whole[..], 200, "more tokens than the 200"),
        ] {
            let text = parse(bytes, n).unwrap_err();
            assert!(text.contains(says), "{text}");
        }
        let mut long = file(&[("a", 0.0)]);
        long[8..12].copy_from_slice(&i32::MAX.to_le_bytes());
        assert!(parse(&long, 1).is_err());
    }
}
