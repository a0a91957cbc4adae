//! Tokenizers that a folder gives as `vocab.txt` alone, one token a line: ESM-2's residues and BERT's WordPiece. Built so
//! that they give the ids of `transformers`' `EsmTokenizer` and `BertTokenizer`.

use std::path::Path;

use serde_json::{Map, Value, json};
use tokenizers::decoders::wordpiece::WordPiece as JoinPieces;
use tokenizers::models::{wordlevel::WordLevel, wordpiece::WordPiece};
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::{
    PreTokenizerWrapper, bert::BertPreTokenizer, sequence::Sequence, split::Split,
    split::SplitPattern, whitespace::WhitespaceSplit,
};
use tokenizers::processors::bert::BertProcessing;
use tokenizers::{SplitDelimiterBehavior, Tokenizer};

use super::files::{add_tokens, end};
use super::settings::{Settings, read_json};
use crate::error::{Error, Result};

/// What the lines of a `vocab.txt` are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Residues and special tokens.
    Esm,
    /// Words and `##` continuations.
    WordPiece,
}

/// The tokenizer of `path`, a `vocab.txt`.
pub(super) fn tokenizer(path: &Path, settings: &mut Settings) -> Result<Tokenizer> {
    let text = std::fs::read(path).map_err(|error| Error::io(path, error))?;
    let text = String::from_utf8(text).map_err(|error| {
        let problem = format!("is not UTF-8 text ({error}); download the file again");
        Error::format(path, problem)
    })?;
    let lines: Vec<&str> = text.trim_start_matches('\u{feff}').lines().collect();
    match kind(path, &lines, settings)? {
        Kind::Esm => esm(path, &lines, settings),
        Kind::WordPiece => word_piece(path, &lines, settings),
    }
}

/// By the tokenizer's class, else by the model's family, else by the vocabulary itself.
fn kind(path: &Path, lines: &[&str], settings: &Settings) -> Result<Kind> {
    match settings.class.as_deref() {
        Some("EsmTokenizer") => return Ok(Kind::Esm),
        Some("BertTokenizer" | "DistilBertTokenizer" | "ElectraTokenizer") => {
            return Ok(Kind::WordPiece);
        }
        // Names of the machinery, which say nothing about the tokenizer.
        None | Some("PreTrainedTokenizer" | "TokenizersBackend" | "PythonBackend") => {}
        Some(class) => {
            return Err(Error::format(
                path,
                format!(
                    "belongs to a `{class}`, which is not one that is built from vocab.txt alone (EsmTokenizer, \
                     BertTokenizer); write a tokenizer.json with `AutoTokenizer.from_pretrained(…).save_pretrained(…)`"
                ),
            ));
        }
    }
    let model = read_json(&path.with_file_name("config.json"))?;
    let has = |token: &str| lines.iter().any(|line| line.trim() == token);
    match model.get("model_type").and_then(Value::as_str) {
        Some("esm") => Ok(Kind::Esm),
        Some("bert") => Ok(Kind::WordPiece),
        _ if has("<cls>") => Ok(Kind::Esm),
        _ if has("[CLS]") => Ok(Kind::WordPiece),
        _ => Err(Error::format(
            path,
            "has neither `<cls>` (ESM) nor `[CLS]` (BERT); write a tokenizer.json with \
             `AutoTokenizer.from_pretrained(…).save_pretrained(…)`",
        )),
    }
}

const ESM_SPECIAL: [(&str, &str); 5] = [
    ("cls_token", "<cls>"),
    ("eos_token", "<eos>"),
    ("mask_token", "<mask>"),
    ("pad_token", "<pad>"),
    ("unk_token", "<unk>"),
];

/// White space separates and is dropped; what is left is cut at every token of the vocabulary, the longest first, and
/// each piece between two of them is one unknown token.
fn esm(path: &Path, lines: &[&str], settings: &mut Settings) -> Result<Tokenizer> {
    settings.default_special(&ESM_SPECIAL);
    let broken = |error: tokenizers::Error| Error::format(path, error.to_string());
    let tokens = lines.iter().map(|line| line.trim()).zip(0_u32..);
    let tokens = tokens.filter(|(token, _)| !token.is_empty());
    let mut pattern: Vec<&str> = tokens.clone().map(|(token, _)| token).collect();
    pattern.sort_by_key(|token| std::cmp::Reverse(token.len()));
    let pattern: Vec<String> = pattern.into_iter().map(literal).collect();
    let unknown = settings.special.get("unk_token").cloned();
    let model = WordLevel::builder()
        .vocab(tokens.map(|(token, id)| (token.to_owned(), id)).collect())
        .unk_token(unknown.unwrap_or_default())
        .build()
        .map_err(broken)?;
    let split = Split::new(
        SplitPattern::Regex(pattern.join("|")),
        SplitDelimiterBehavior::Isolated,
        false,
    )
    .map_err(broken)?;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(Sequence::new(vec![
        PreTokenizerWrapper::WhitespaceSplit(WhitespaceSplit),
        PreTokenizerWrapper::Split(split),
    ])));
    finish(tokenizer, path, settings, "eos_token")
}

/// A pattern that matches exactly `token`, whatever its characters mean in a pattern.
fn literal(token: &str) -> String {
    let code = |c: char| format!("\\x{{{:x}}}", u32::from(c));
    token.chars().map(code).collect()
}

const BERT_SPECIAL: [(&str, &str); 5] = [
    ("cls_token", "[CLS]"),
    ("mask_token", "[MASK]"),
    ("pad_token", "[PAD]"),
    ("sep_token", "[SEP]"),
    ("unk_token", "[UNK]"),
];

/// Longer words are one unknown token, as in the original.
const MAX_CHARS_PER_WORD: usize = 100;

/// BERT's normaliser, words and punctuation, then the longest pieces from the left.
fn word_piece(path: &Path, lines: &[&str], settings: &mut Settings) -> Result<Tokenizer> {
    settings.default_special(&BERT_SPECIAL);
    let broken = |error: String| Error::format(path, error);
    let lower_case = settings.lower_case.unwrap_or_else(|| {
        warn_of_case(path, lines);
        true
    });
    let ids = lines.iter().map(|line| (*line).to_owned()).zip(0_u32..);
    let vocab: Map<String, Value> = ids.map(|(token, id)| (token, id.into())).collect();
    let model: WordPiece = serde_json::from_value(json!({
        "unk_token": settings.special.get("unk_token"),
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": MAX_CHARS_PER_WORD,
        "vocab": vocab,
    }))
    .map_err(|error| broken(error.to_string()))?;
    let clean = BertNormalizer::new(
        true,
        settings.chinese_chars,
        settings.strip_accents,
        lower_case,
    );
    let mut tokenizer = Tokenizer::new(model);
    tokenizer
        .with_normalizer(Some(clean))
        .map_err(|error| broken(error.to_string()))?;
    tokenizer
        .with_pre_tokenizer(Some(BertPreTokenizer))
        .with_decoder(Some(JoinPieces::default()));
    finish(tokenizer, path, settings, "sep_token")
}

/// Cased models whose folder forgets to say so are lower-cased by `transformers`, and here; their owner should know.
fn warn_of_case(path: &Path, lines: &[&str]) {
    let cased =
        |line: &&&str| !line.starts_with('[') && line.contains(|c: char| c.is_ascii_uppercase());
    if let Some(token) = lines.iter().find(cased) {
        tracing::warn!(
            "{}: has the cased token `{token}`, but no tokenizer_config.json sets `do_lower_case`; text is lower-cased, as \
             transformers does. For a cased model write {{\"do_lower_case\": false}} there",
            path.display()
        );
    }
}

/// Adds the special tokens and puts them around a text: `cls A last`, and of a pair `cls A last B last`, with token type 1
/// from B on.
fn finish(
    mut tokenizer: Tokenizer,
    path: &Path,
    settings: &Settings,
    last: &str,
) -> Result<Tokenizer> {
    add_tokens(&mut tokenizer, path, settings, "")?;
    end(&tokenizer, path, settings, "unk_token")?;
    let around = BertProcessing::new(
        end(&tokenizer, path, settings, last)?,
        end(&tokenizer, path, settings, "cls_token")?,
    );
    tokenizer.with_post_processor(Some(around));
    Ok(tokenizer)
}

#[cfg(test)]
mod tests;
