//! Folders as they are found: which tokenizer they give, and which ids.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::chat::ChatMessage;

/// A folder whose byte-level BPE knows the letters a–f, the space mark and two merges.
pub(super) fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

const VOCAB: &str =
    r#"{"<s>":0,"<pad>":1,"</s>":2,"<unk>":3,"<mask>":4,"a":5,"b":6,"c":7,"Ġ":8,"ab":9,"abc":10}"#;
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

#[test]
fn special_tokens_are_found_as_the_folder_says() {
    // Names of BERT in a byte-level vocabulary, and a mask that takes the spaces before it: a published ChemBERTa.
    let vocab = r#"{"[PAD]":0,"[UNK]":1,"[CLS]":2,"[SEP]":3,"[MASK]":4,"C":5,"O":6,"Ġ":7}"#;
    let config = r#"{
        "added_tokens_decoder": {
            "4": {"content": "[MASK]", "lstrip": true, "special": true},
            "8": {"content": "<s>", "normalized": true, "special": true}
        },
        "bos_token": "<s>", "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "unk_token": "[UNK]",
        "mask_token": "[MASK]", "max_len": 512
    }"#;
    let load = |config: &str| {
        let files = [
            ("vocab.json", vocab),
            ("merges.txt", "#version: 0.2\n"),
            ("tokenizer_config.json", config),
            ("added_tokens.json", r#"{"<s>": 8}"#),
        ];
        Tokenizer::load(folder(&files).path()).unwrap()
    };
    let tokenizer = load(config);
    let ids = tokenizer.encode_with_special("C [MASK] O").unwrap();
    assert_eq!(ids, [2, 5, 4, 7, 6, 3]);
    assert_eq!(tokenizer.encode("C<s>").unwrap(), [5, 8]);
    assert_eq!(tokenizer.max_length(), Some(512));
    let eager = load(&config.replace("\"lstrip\": true", "\"lstrip\": false"));
    assert_eq!(eager.encode("C [MASK]").unwrap(), [5, 7, 4]);
}

#[test]
fn additional_special_tokens_come_as_lists_of_strings_or_objects_and_as_named_ones() {
    let vocab = VOCAB.replace("\"abc\":10", "\"abc\":10,\"<x>\":11,\"<y>\":12,\"<z>\":13");
    let config = r#"{"additional_special_tokens": ["<x>", {"content": "<y>", "rstrip": true}, "<nowhere>"],
        "extra_special_tokens": {"image_token": "<z>"}}"#;
    let dir = folder(&[
        ("vocab.json", &vocab),
        ("merges.txt", MERGES),
        ("tokenizer_config.json", config),
    ]);
    let tokenizer = Tokenizer::load(dir.path()).unwrap();
    assert_eq!(
        tokenizer.encode("a<x>b<y> <z>").unwrap(),
        [5, 11, 6, 12, 13]
    );
    assert_eq!(tokenizer.decode(&[5, 11, 6, 13]).unwrap(), "ab");
    assert_eq!(
        tokenizer.id("<nowhere>"),
        None,
        "the model has no row for it"
    );
}

#[test]
fn a_length_that_means_none_is_none() {
    for (config, wanted) in [
        ("{}", None),
        (r#"{"model_max_length": 512}"#, Some(512)),
        (r#"{"model_max_length": 512.0}"#, Some(512)),
        (
            r#"{"model_max_length": 1000000000000000019884624838656}"#,
            None,
        ),
        (r#"{"model_max_length": null}"#, None),
        (r#"{"model_max_length": -1}"#, None),
        (r#"{"model_max_length": "long"}"#, None),
    ] {
        let dir = folder(&[
            ("vocab.json", VOCAB),
            ("merges.txt", MERGES),
            ("tokenizer_config.json", config),
        ]);
        let got = Tokenizer::load(dir.path()).unwrap().max_length();
        assert_eq!(got, wanted, "{config}");
    }
}

#[test]
fn the_files_named_are_those_that_decide_on_ids() {
    let names = |files: &[&str]| {
        let files: Vec<_> = files.iter().map(|name| (*name, "")).collect();
        let dir = folder(&files);
        let found = Tokenizer::files(dir.path());
        let names = found
            .iter()
            .map(|path| path.file_name().unwrap().to_owned());
        names
            .map(|name| name.into_string().unwrap())
            .collect::<Vec<_>>()
    };
    let beside = "tokenizer_config.json";
    assert_eq!(
        names(&["tokenizer.json", "vocab.txt", beside]),
        ["tokenizer.json"]
    );
    assert_eq!(
        names(&["vocab.json", "merges.txt", "vocab.txt", beside]),
        ["vocab.json", "merges.txt", beside]
    );
    assert_eq!(
        names(&["vocab.txt", "special_tokens_map.json"]),
        ["vocab.txt", "special_tokens_map.json"]
    );
    assert!(names(&["vocab.json"]).is_empty());
}

#[test]
fn a_special_token_without_letters_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n\na\n");
    write(
        "tokenizer_config.json",
        r#"{"sep_token": "", "unk_token": ""}"#,
    );
    let tokenizer = Tokenizer::load(dir.path()).unwrap();
    let ids = tokenizer.encode_with_special("a b").unwrap();
    assert_eq!(tokenizer.tokens(&ids), ["[CLS]", "a", "[UNK]", "[SEP]"]);
}
