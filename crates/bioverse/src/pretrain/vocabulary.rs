//! The two tokenizers, learnt from their corpus and written as Hugging Face files. Nothing here knows a model.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde_json::json;
use tokenizers::decoders::byte_level::ByteLevel as ByteLevelDecoder;
use tokenizers::decoders::wordpiece::WordPiece as JoinPieces;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::models::wordlevel::WordLevel;
use tokenizers::models::wordpiece::{WordPiece, WordPieceTrainerBuilder};
use tokenizers::models::{ModelWrapper, TrainerWrapper};
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::processors::bert::BertProcessing;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{
    AddedToken, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
    SplitDelimiterBehavior, Tokenizer,
};

use super::config::TokenizerSection;
use crate::error::{Error, Result};
use crate::files::write_atomic;

/// One token of a SMILES: a bracket atom, a two-digit ring closure, a two-letter halogen, or any one sign.
const SMILES_TOKEN: &str = r"\[[^\]]*\]|%\d\d|Br|Cl|.";

/// Special tokens of the molecule encoder at the ids RoBERTa gives them.
const ROBERTA: [&str; 5] = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"];
/// Special tokens of the text encoder, in the order of their ids.
const BERT: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// Special tokens of the language model, in the order of their ids.
pub(super) const LM: [&str; 6] = [
    "<|pad|>",
    "<|bos|>",
    "<|eos|>",
    "<|user|>",
    "<|assistant|>",
    "<|system|>",
];
/// End of a document or of a turn.
pub(super) const LM_EOS: u32 = 2;

/// Every turn is its role's token, its words and the end token.
pub(super) const CHAT_TEMPLATE: &str = "{{ bos_token }}{% for message in messages %}\
{{ '<|' + message['role'] + '|>' + message['content'] | trim + eos_token }}{% endfor %}\
{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}";

fn failed(error: tokenizers::Error) -> Error {
    Error::Run(format!("the tokenizer could not be made: {error}"))
}

/// One token per atom, bond, branch or ring closure; rarer tokens than `min_count` become `<unk>`.
pub(super) fn molecules(smiles: &[&str], section: &TokenizerSection) -> Result<Tokenizer> {
    let pattern = SplitPattern::Regex(SMILES_TOKEN.into());
    let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false).map_err(failed)?;
    let mut counts: HashMap<String, u64> = HashMap::new();
    for text in smiles {
        let mut pieces = PreTokenizedString::from(*text);
        split.pre_tokenize(&mut pieces).map_err(failed)?;
        for (token, ..) in pieces.get_splits(OffsetReferential::Original, OffsetType::Byte) {
            *counts.entry(token.to_string()).or_default() += 1;
        }
    }
    let mut known: Vec<(String, u64)> = counts
        .into_iter()
        .filter(|(_, count)| *count >= section.min_count)
        .collect();
    known.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    known.truncate(section.vocab_size.saturating_sub(ROBERTA.len()));
    let tokens = ROBERTA
        .iter()
        .map(|token| token.to_string())
        .chain(known.into_iter().map(|(token, _)| token));
    let model = WordLevel::builder()
        .vocab(tokens.zip(0..).collect())
        .unk_token("<unk>".into())
        .build()
        .map_err(failed)?;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(split));
    let special = ROBERTA.map(|token| AddedToken::from(token, true));
    tokenizer.add_special_tokens(special).map_err(failed)?;
    let around = TemplateProcessing::builder()
        .try_single("<s> $A </s>")
        .and_then(|builder| {
            builder
                .special_tokens(vec![("<s>", 0), ("</s>", 2)])
                .build()
                .map_err(|e| e.to_string())
        })
        .map_err(|error| Error::Run(format!("the tokenizer could not be made: {error}")))?;
    tokenizer.with_post_processor(Some(around));
    Ok(tokenizer)
}

/// WordPiece on lower-case words, as BERT's uncased models cut them.
pub(super) fn word_pieces(texts: &[&str], section: &TokenizerSection) -> Result<Tokenizer> {
    let mut tokenizer = Tokenizer::new(WordPiece::default());
    let lower = Some(BertNormalizer::default());
    tokenizer.with_normalizer(lower).map_err(failed)?;
    tokenizer
        .with_pre_tokenizer(Some(BertPreTokenizer))
        .with_post_processor(Some(BertProcessing::new(
            ("[SEP]".into(), 3),
            ("[CLS]".into(), 2),
        )))
        .with_decoder(Some(JoinPieces::default()));
    let trainer = WordPieceTrainerBuilder::new()
        .show_progress(false)
        .vocab_size(section.vocab_size)
        .min_frequency(section.min_count)
        .special_tokens(BERT.map(|token| AddedToken::from(token, true)).to_vec())
        .build();
    let mut trainer = TrainerWrapper::from(trainer);
    tokenizer
        .train::<TrainerWrapper, _, _>(&mut trainer, texts.iter().copied())
        .map_err(failed)?;
    Ok(tokenizer)
}

/// Byte-level BPE with single digits.
pub(super) fn text(documents: &[&str], section: &TokenizerSection) -> Result<Tokenizer> {
    let mut tokenizer = Tokenizer::new(BPE::default());
    let parts = vec![
        PreTokenizerWrapper::Digits(Digits::new(true)),
        PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, true, true)),
    ];
    tokenizer
        .with_pre_tokenizer(Some(Sequence::new(parts)))
        .with_decoder(Some(ByteLevelDecoder::default()));
    let mut alphabet: Vec<char> = ByteLevel::alphabet().into_iter().collect();
    alphabet.sort_unstable();
    let trainer = BpeTrainerBuilder::new()
        .show_progress(false)
        .vocab_size(section.vocab_size)
        .min_frequency(section.min_count)
        .initial_alphabet(alphabet.into_iter().collect())
        .special_tokens(LM.map(|token| AddedToken::from(token, true)).to_vec())
        .build();
    let mut trainer = TrainerWrapper::from(trainer);
    tokenizer
        .train::<TrainerWrapper, _, _>(&mut trainer, documents.iter().copied())
        .map_err(failed)?;
    debug_assert!(matches!(tokenizer.get_model(), ModelWrapper::BPE(_)));
    Ok(tokenizer)
}

/// `bos_token`, `eos_token`, … of the language model.
pub(super) fn lm_special() -> BTreeMap<String, String> {
    [("pad_token", 0), ("bos_token", 1), ("eos_token", 2)]
        .map(|(name, id): (&str, usize)| (name.to_string(), LM[id].to_string()))
        .into()
}

/// Writes `tokenizer.json` and `tokenizer_config.json`.
pub(super) fn write(dir: &Path, tokenizer: &Tokenizer, config: &serde_json::Value) -> Result<()> {
    let text = tokenizer.to_string(true).map_err(failed)?;
    write_atomic(&dir.join("tokenizer.json"), text.as_bytes())?;
    let config = serde_json::to_vec_pretty(config).map_err(|error| {
        Error::Run(format!(
            "tokenizer_config.json could not be written: {error}"
        ))
    })?;
    write_atomic(&dir.join("tokenizer_config.json"), &config)
}

/// `tokenizer_config.json` of the molecule encoder.
pub(super) fn molecule_config(max_length: usize) -> serde_json::Value {
    json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_length,
        "bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>",
        "pad_token": "<pad>", "unk_token": "<unk>", "mask_token": "<mask>",
        "clean_up_tokenization_spaces": false,
    })
}

/// `tokenizer_config.json` of the text encoder.
pub(super) fn word_config(max_length: usize) -> serde_json::Value {
    json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_length,
        "do_lower_case": true,
        "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]",
        "unk_token": "[UNK]", "mask_token": "[MASK]",
        "clean_up_tokenization_spaces": false,
    })
}

/// `tokenizer_config.json` of the language model.
pub(super) fn lm_config(max_length: usize) -> serde_json::Value {
    json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_length,
        "bos_token": LM[1], "eos_token": LM[2], "pad_token": LM[0],
        "additional_special_tokens": &LM[3..],
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": false,
    })
}

/// Ids of one text, special tokens around it where the tokenizer adds any.
pub(super) fn ids(tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>> {
    let encoding = tokenizer.encode_fast(text, true).map_err(failed)?;
    Ok(encoding.get_ids().to_vec())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use bioverse_nn::chat::ChatMessage;

    fn section(vocab_size: usize, min_count: u64) -> TokenizerSection {
        TokenizerSection {
            vocab_size,
            min_count,
        }
    }

    #[test]
    fn molecules_are_cut_into_atoms_and_come_back() {
        let corpus = ["C[C@H](Cl)Br", "c1ccccc1%12C%12[NH3+]", "CCO"];
        let made = molecules(&corpus, &section(64, 1)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &made, &molecule_config(256)).unwrap();
        let read = bioverse_nn::Tokenizer::load(dir.path()).unwrap();
        let ids = read.encode_with_special("C[C@H](Cl)Br%12[NH3+]").unwrap();
        let tokens = [
            "<s>", "C", "[C@H]", "(", "Cl", ")", "Br", "%12", "[NH3+]", "</s>",
        ];
        assert_eq!(read.tokens(&ids), tokens);
        assert_eq!((ids[0], *ids.last().unwrap(), read.pad()), (0, 2, Some(1)));
        assert_eq!(read.id("<mask>"), Some(4));
        assert_eq!(
            read.encode("C[Zr]").unwrap()[1],
            3,
            "an unseen atom is <unk>"
        );
        let rare = molecules(&corpus, &section(64, 2)).unwrap();
        assert_eq!(rare.token_to_id("[C@H]"), None);
        assert!(rare.token_to_id("C").is_some());
    }

    #[test]
    fn text_and_conversations_come_back() {
        let corpus = [
            "binds ATP and binds GTP",
            "the binding of 2 ATP",
            "binds 12 ATP",
        ];
        let made = text(&corpus, &section(300, 2)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &made, &lm_config(256)).unwrap();
        let read = bioverse_nn::Tokenizer::load(dir.path()).unwrap();
        for (id, token) in LM.iter().enumerate() {
            assert_eq!(read.id(token), Some(id as u32));
        }
        assert!(
            read.encode(" ATP").unwrap().len() == 1,
            "a frequent word is one token"
        );
        assert_eq!(read.encode("12").unwrap().len(), 2, "digits stand alone");
        let talk = [
            ChatMessage::new("user", " Does it? "),
            ChatMessage::new("assistant", "Ö, ja."),
        ];
        let text = read.chat_template().unwrap().render(&talk, true).unwrap();
        assert_eq!(
            text,
            "<|bos|><|user|>Does it?<|eos|><|assistant|>Ö, ja.<|eos|><|assistant|>"
        );
        let ids = read.encode(&text).unwrap();
        assert_eq!(ids[..2], [1, 3]);
        assert_eq!(read.decode_with_special(&ids).unwrap(), text);
        assert_eq!(read.eos(), Some(LM_EOS));
    }

    #[test]
    fn words_are_cut_as_bert_cuts_them() {
        let corpus = ["binds ATP and binds GTP", "the binding of ATP", "binds ATP"];
        let made = word_pieces(&corpus, &section(120, 1)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &made, &word_config(64)).unwrap();
        let read = bioverse_nn::Tokenizer::load(dir.path()).unwrap();
        for (id, token) in BERT.iter().enumerate() {
            assert_eq!(read.id(token), Some(id as u32));
        }
        let ids = read.encode_with_special("Binds ATP!").unwrap();
        assert_eq!(
            read.tokens(&ids),
            ["[CLS]", "binds", "atp", "[UNK]", "[SEP]"]
        );
    }
}
