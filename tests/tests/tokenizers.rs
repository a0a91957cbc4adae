//! Tokenizer files that nobody would write on purpose: loading ends in a tokenizer or in an error that names a file, never in
//! a panic, and every id that a tokenizer gives is one of its own.

use std::path::Path;

use bioverse_nn::Tokenizer;
use proptest::prelude::*;

/// A line of a vocabulary: mostly the tokens that matter, in any order and number.
fn line() -> impl Strategy<Value = String> {
    let known = [
        "<cls>", "<pad>", "<eos>", "<unk>", "<mask>", "[CLS]", "[SEP]", "[UNK]", "[PAD]", "[MASK]",
        "", " ", "##a", "a", "A", "K", ".", "(", "[", "\\", "^$", "|", "é", "\u{301}",
    ];
    prop_oneof![
        6 => proptest::sample::select(known.to_vec()).prop_map(str::to_owned),
        1 => "\\PC{0,4}",
    ]
}

fn vocabulary() -> impl Strategy<Value = Vec<u8>> {
    let complete = [
        "<cls>\n<pad>\n<eos>\n<unk>\n<mask>\nK\n",
        "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n",
        "",
    ];
    let lines = proptest::collection::vec(line(), 0..30);
    prop_oneof![
        8 => (proptest::sample::select(complete.to_vec()), lines)
            .prop_map(|(first, lines)| format!("{first}{}", lines.join("\n")).into_bytes()),
        1 => proptest::collection::vec(any::<u8>(), 0..200),
    ]
}

/// A value where a special token, a length or a flag is expected.
fn value() -> impl Strategy<Value = serde_json::Value> {
    let values = [
        "null",
        "true",
        "-1",
        "1e30",
        "7",
        "\"\"",
        "\"<cls>\"",
        "\"[SEP]\"",
        "\"K\"",
        "\"a b\"",
        "[]",
        "[\"K\", 3, {}]",
        "{}",
        "{\"content\": \"K\", \"lstrip\": true, \"normalized\": 3}",
        "{\"content\": 5}",
        "\"EsmTokenizer\"",
        "\"BertTokenizerFast\"",
        "{\"5\": {\"content\": \"K\"}}",
        "{\"x\": {}, \"99999999999\": {\"content\": \"q\"}}",
        "{\"K\": 5, \"z\": 6}",
    ];
    let value = |text: &str| serde_json::from_str(text).expect("JSON");
    proptest::sample::select(values.map(value).to_vec())
}

fn settings() -> impl Strategy<Value = String> {
    let keys = [
        "cls_token",
        "eos_token",
        "sep_token",
        "unk_token",
        "mask_token",
        "pad_token",
        "bos_token",
        "tokenizer_class",
        "model_max_length",
        "max_len",
        "do_lower_case",
        "strip_accents",
        "tokenize_chinese_chars",
        "added_tokens_decoder",
        "additional_special_tokens",
        "extra_special_tokens",
        "model_type",
        "q",
        "K",
    ];
    let entries =
        proptest::collection::vec((proptest::sample::select(keys.to_vec()), value()), 0..5);
    prop_oneof![
        9 => entries.prop_map(|entries| {
            let entries = entries.into_iter().map(|(key, value)| (key.to_owned(), value));
            serde_json::Value::Object(entries.collect()).to_string()
        }),
        1 => "\\PC{0,10}",
    ]
}

fn check(dir: &Path, text: &str) -> Result<(), TestCaseError> {
    let tokenizer = match Tokenizer::load(dir) {
        Ok(tokenizer) => tokenizer,
        Err(error) => {
            let named = error.to_string().contains(&dir.display().to_string());
            prop_assert!(named, "the error names no file: {error}");
            return Ok(());
        }
    };
    let pair = tokenizer.encode_pair(text, "K a");
    let rows = [
        tokenizer.encode(text),
        tokenizer.encode_with_special(text),
        pair.map(|pair| pair.ids),
    ];
    for ids in rows {
        let ids = ids.map_err(|error| TestCaseError::fail(error.to_string()))?;
        for (id, token) in ids.iter().zip(tokenizer.tokens(&ids)) {
            prop_assert!(!token.is_empty(), "{text:?}: the id {id} is no token");
        }
        prop_assert!(tokenizer.decode(&ids).is_ok());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_vocabulary_gives_a_tokenizer_or_an_error_that_names_a_file(
        vocabulary in vocabulary(),
        config in settings(),
        map in settings(),
        added in settings(),
        text in "[KaA .(<>\\[\\]\\\\|é\\u{301}蛋]{0,12}|\\PC{0,12}",
    ) {
        let dir = tempfile::tempdir()?;
        let write = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes);
        write("vocab.txt", &vocabulary)?;
        write("tokenizer_config.json", config.as_bytes())?;
        write("special_tokens_map.json", map.as_bytes())?;
        write("added_tokens.json", added.as_bytes())?;
        check(dir.path(), &text)?;
    }
}
