//! `vocab.txt` alone: ids worked out by hand from the line numbers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use crate::Tokenizer;
use crate::tokenizer::tests::folder;

/// ESM-2's vocabulary, all 33 of it.
const ESM: &str = "<cls>\n<pad>\n<eos>\n<unk>\nL\nA\nG\nV\nS\nE\nR\nT\nI\nD\nP\nK\nQ\nN\nF\nY\nM\nH\nW\nC\nX\nB\nU\nZ\nO\n.\n-\n<null_1>\n<mask>";
/// 0 [PAD], 1 [UNK], 2 [CLS], 3 [SEP], 4 [MASK], 5 the, 6 protein, 7 ##s, 8 ',', 9 cafe, 10 Café, 11 蛋, 12 白, 13 蛋白
const BERT: &str =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\nprotein\n##s\n,\ncafe\nCafé\n蛋\n白\n蛋白\n";

fn tokenizer(files: &[(&str, &str)]) -> Tokenizer {
    Tokenizer::load(folder(files).path()).unwrap()
}

fn ids(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    tokenizer.encode(text).unwrap()
}

#[test]
fn residues_are_tokens_and_a_run_of_anything_else_is_one_unknown() {
    let esm = tokenizer(&[("vocab.txt", ESM)]);
    for (text, wanted) in [
        ("MKT", &[20, 15, 11][..]),
        ("M K\tT\n", &[20, 15, 11]),
        ("mkt", &[3]),
        ("mk t", &[3, 3]),
        ("MJJK", &[20, 3, 15]),
        ("MJ JK", &[20, 3, 3, 15]),
        ("BUZOX.-", &[25, 26, 27, 28, 24, 29, 30]),
        ("M<mask>K<null_1>", &[20, 32, 15, 31]),
        ("<MASK>", &[3, 20, 5, 8, 15, 3]),
        ("", &[]),
    ] {
        assert_eq!(ids(&esm, text), wanted, "{text:?}");
    }
    assert_eq!(esm.encode_with_special("MK").unwrap(), [0, 20, 15, 2]);
    assert_eq!(esm.encode_with_special("").unwrap(), [0, 2]);
    assert_eq!(esm.decode(&[0, 20, 32, 15, 2]).unwrap(), "M K");
    let special = (esm.bos(), esm.eos(), esm.pad(), esm.unk());
    assert_eq!(special, (None, Some(2), Some(1), Some(3)));
    assert_eq!(esm.vocab_size(), 33);
}

#[test]
fn words_are_lower_cased_stripped_of_accents_and_cut_into_pieces() {
    let bert = tokenizer(&[("vocab.txt", BERT)]);
    for (text, wanted) in [
        ("The proteins, the", &[5, 6, 7, 8, 5][..]),
        ("CAFÉ", &[9]),
        ("蛋白", &[11, 12]),
        ("whale [MASK] [mask]", &[1, 4, 1, 1, 1]),
        (" \n", &[]),
    ] {
        assert_eq!(ids(&bert, text), wanted, "{text:?}");
    }
    assert_eq!(ids(&bert, &"s".repeat(101)), [1], "too long a word");
    assert_eq!(bert.encode_with_special("the").unwrap(), [2, 5, 3]);
    assert_eq!(bert.decode(&[2, 5, 6, 7, 8, 3]).unwrap(), "the proteins,");
    assert_eq!(
        (bert.eos(), bert.pad(), bert.unk()),
        (None, Some(0), Some(1))
    );
}

#[test]
fn the_configuration_decides_on_case_accents_and_ideographs() {
    let with = |config: &str| tokenizer(&[("vocab.txt", BERT), ("tokenizer_config.json", config)]);
    let cased = with(r#"{"do_lower_case": false}"#);
    assert_eq!(ids(&cased, "Café cafe The"), [10, 9, 1]);
    let accents = with(r#"{"do_lower_case": true, "strip_accents": false}"#);
    assert_eq!(ids(&accents, "CAFÉ CAFE"), [1, 9]);
    let stripped = with(r#"{"do_lower_case": false, "strip_accents": true}"#);
    assert_eq!(ids(&stripped, "café"), [9]);
    let together = with(r#"{"tokenize_chinese_chars": false}"#);
    assert_eq!(ids(&together, "蛋白"), [13]);
}

#[test]
fn a_pair_has_one_start_two_ends_and_two_types() {
    let pair = tokenizer(&[("vocab.txt", BERT)]).encode_pair("the", "proteins");
    let pair = pair.unwrap();
    assert_eq!(pair.ids, [2, 5, 3, 6, 7, 3]);
    assert_eq!(pair.token_type_ids, [0, 0, 0, 1, 1, 1]);
    let pair = tokenizer(&[("vocab.txt", ESM)])
        .encode_pair("M", "K")
        .unwrap();
    assert_eq!(pair.ids, [0, 20, 2, 15, 2]);
}

#[test]
fn line_endings_a_byte_order_mark_and_blank_lines_do_not_move_ids() {
    let windows = BERT.replace('\n', "\r\n");
    let bert = tokenizer(&[("vocab.txt", &format!("\u{feff}{windows}"))]);
    assert_eq!(bert.encode_with_special("protein").unwrap(), [2, 6, 3]);
    let esm = tokenizer(&[("vocab.txt", &format!("{}\n\nJ\n", ESM.replace('\n', " \n")))]);
    assert_eq!(ids(&esm, "MJ"), [20, 34]);
}

#[test]
fn which_tokenizer_it_is_comes_from_the_class_then_the_model_then_the_tokens() {
    // Both sets of special tokens, so that either tokenizer can be built.
    let both = format!("{ESM}\n[CLS]\n[SEP]\n[PAD]\n[UNK]\n[MASK]\nmk\n");
    let is_esm = |config: &str, model: &str| {
        let files = [
            ("vocab.txt", both.as_str()),
            ("tokenizer_config.json", config),
            ("config.json", model),
        ];
        ids(&tokenizer(&files), "MK") == [20, 15]
    };
    let (esm, bert) = (r#"{"model_type":"esm"}"#, r#"{"model_type":"bert"}"#);
    assert!(is_esm(r#"{"tokenizer_class":"EsmTokenizer"}"#, bert));
    assert!(!is_esm(r#"{"tokenizer_class":"BertTokenizerFast"}"#, esm));
    assert!(is_esm(
        r#"{"tokenizer_class":"PreTrainedTokenizerFast"}"#,
        esm
    ));
    assert!(!is_esm("{}", bert));
    assert!(is_esm("{}", r#"{"model_type":"whale"}"#), "by its tokens");
    assert!(!is_esm("{}", r#"{"tokenizer_class":"BertTokenizer"}"#));
}

#[test]
fn a_vocabulary_that_cannot_be_used_is_refused_by_name() {
    let without = |vocab: &str, token: &str| vocab.replace(token, "x");
    for (vocab, config, wanted) in [
        (
            "A\nB\n".to_owned(),
            "{}",
            "neither `<cls>` (ESM) nor `[CLS]`",
        ),
        (String::new(), "{}", "neither"),
        (
            without(ESM, "<eos>"),
            "{}",
            "no `<eos>`, which should be the eos_token",
        ),
        (without(ESM, "<unk>"), "{}", "no `<unk>`"),
        (without(BERT, "[SEP]"), "{}", "no `[SEP]`"),
        (without(BERT, "[UNK]"), "{}", "no `[UNK]`"),
        (
            BERT.to_owned(),
            r#"{"tokenizer_class":"BertJapaneseTokenizer"}"#,
            "belongs to a `BertJapaneseTokenizer`",
        ),
        (
            BERT.to_owned(),
            r#"{"added_tokens_decoder":{"99":{"content":"[X]"}}}"#,
            "gives `[X]` the id 14, but",
        ),
    ] {
        let dir = folder(&[("vocab.txt", &vocab), ("tokenizer_config.json", config)]);
        let error = Tokenizer::load(dir.path()).unwrap_err().to_string();
        assert!(
            error.contains("vocab.txt") && error.contains(wanted),
            "{error}"
        );
    }
    let dir = folder(&[]);
    std::fs::write(dir.path().join("vocab.txt"), b"[CLS]\n\xff\xfe").unwrap();
    let error = Tokenizer::load(dir.path()).unwrap_err().to_string();
    assert!(error.contains("is not UTF-8"), "{error}");
}
