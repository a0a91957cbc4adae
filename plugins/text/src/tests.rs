//! The plugin on a tiny BERT with random weights and a vocabulary of a few words.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use bioverse_core::Registry;
use bioverse_nn::{EncoderConfig, TransformerEncoder, weights::StoredDtype};

use super::*;

const VOCAB: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\ncell\nprotein\nbinds\n##s\n.\n";

fn folder(more: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let config = EncoderConfig {
        model_type: "bert".into(),
        hidden_size: 16,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        intermediate_size: 32,
        vocab_size: 11,
        max_position_embeddings: 12,
        pad_token_id: 0,
        ..EncoderConfig::default()
    };
    let encoder = TransformerEncoder::init(&config, &Device::flex());
    encoder.save(dir.path(), StoredDtype::F32).unwrap();
    for (name, text) in [("vocab.txt", VOCAB)].iter().chain(more) {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

fn config(dir: &Path) -> Config {
    Config {
        path: dir.into(),
        ..Config::default()
    }
}

fn loaded(config: &Config) -> Text {
    Text::load(config, &Device::flex()).unwrap()
}

fn refusal(config: &Config) -> String {
    let refused = Text::load(config, &Device::flex());
    refused.err().unwrap().to_string()
}

fn ids(text: &Text, record: &str) -> Vec<u32> {
    text.tokenize(&record.to_owned()).unwrap()
}

#[test]
fn conforms() {
    let dir = folder(&[]);
    bioverse_core::testing::check::<Text>(
        &config(dir.path()),
        &[
            "The cell.".into(),
            "The proteins binds the cell.".into(),
            "protein".into(),
        ],
    );
}

#[test]
fn the_mask_counts_every_token_and_padding_none() {
    let dir = folder(&[]);
    let text = loaded(&config(dir.path()));
    let rows = [ids(&text, "the cell"), ids(&text, "protein")];
    assert_eq!(rows, [vec![2, 5, 6, 3], vec![2, 7, 3]]);
    let hidden = text.encode(&rows).unwrap();
    let mask: Vec<bool> = hidden.mask.to_data().iter::<bool>().collect();
    assert_eq!(mask, [true, true, true, true, /**/ true, true, true, false]);
    assert_eq!(hidden.states.dims(), [2, 4, text.d_hidden()]);
}

#[test]
fn pooling_is_the_models_own_or_the_chosen_one() {
    let cls = [(
        "1_Pooling/config.json",
        r#"{"pooling_mode_cls_token": true}"#,
    )];
    let plain = folder(&[]);
    assert_eq!(loaded(&config(plain.path())).pooling(), Pooling::Mean);
    let dir = folder(&cls);
    assert_eq!(loaded(&config(dir.path())).pooling(), Pooling::First);
    let chosen = Config {
        pooling: Some(Pool::Mean),
        ..config(dir.path())
    };
    assert_eq!(loaded(&chosen).pooling(), Pooling::Mean);
    let table: toml::Table = toml::from_str("path = 'x'\npooling = 'max'").unwrap();
    let refused = Registry::new().with::<Text>().resolve("text", &table);
    let refused = refused.unwrap_err().to_string();
    assert!(
        refused.contains("`max`") && refused.contains("`cls`"),
        "{refused}"
    );
}

#[test]
fn long_texts_are_cut_to_what_the_model_was_made_for() {
    let long = "the cell binds the protein binds the cell binds the protein binds the cell";
    let cut = |more: &[(&str, &str)], max_length| {
        let dir = folder(more);
        let text = loaded(&Config {
            max_length,
            ..config(dir.path())
        });
        text.tokenize(&long.to_owned())
            .map(|ids| (ids.len(), ids.last().copied()))
    };
    let (sentence, tokenizer) = (
        ("sentence_bert_config.json", r#"{"max_seq_length": 8}"#),
        ("tokenizer_config.json", r#"{"model_max_length": 10}"#),
    );
    assert_eq!(cut(&[], None).unwrap(), (12, Some(3)));
    assert_eq!(cut(&[tokenizer], None).unwrap(), (10, Some(3)));
    assert_eq!(cut(&[sentence, tokenizer], None).unwrap(), (8, Some(3)));
    let refused = cut(&[sentence], Some(12)).unwrap_err().to_string();
    assert!(
        refused.contains("is 16 tokens long, more than the 12 of `max_length`"),
        "{refused}"
    );
}

#[test]
fn bad_records_and_configurations_are_refused() {
    let dir = folder(&[]);
    let text = loaded(&config(dir.path()));
    for empty in ["", " ", "\n\t"] {
        let refused = text.tokenize(&empty.to_owned()).unwrap_err().to_string();
        assert!(refused.contains("the text is empty"), "{refused}");
    }
    assert!(refusal(&Config::default()).contains("`path` is not set"));
    assert!(refusal(&config(Path::new("no/such/folder"))).contains("no/such/folder"));
    let long = Config {
        max_length: Some(13),
        ..config(dir.path())
    };
    assert!(refusal(&long).contains("takes from 3 to 12 tokens"));
    let broken = folder(&[("modules.json", "{")]);
    assert!(refusal(&config(broken.path())).contains("modules.json"));
}

#[test]
fn weights_are_the_files_that_identify_the_encoder() {
    let dir = folder(&[
        ("modules.json", "[]"),
        ("1_Pooling/config.json", "{}"),
        ("sentence_bert_config.json", "{}"),
        ("README.md", ""),
    ]);
    let files = Text::weights(&config(dir.path()));
    let names: Vec<_> = files
        .iter()
        .map(|file| file.strip_prefix(dir.path()).unwrap().to_str().unwrap())
        .collect();
    let sentence = [
        "modules.json",
        "1_Pooling/config.json",
        "sentence_bert_config.json",
    ];
    assert_eq!(
        names[..3],
        ["config.json", "vocab.txt", "model.safetensors"]
    );
    assert_eq!(names[3..], sentence);
    assert!(Text::weights(&Config::default()).is_empty());
}

#[test]
fn a_bad_record_is_named_by_the_registry() {
    let dir = folder(&[]);
    let table = toml::Table::try_from(config(dir.path())).unwrap();
    let registry = Registry::new().with::<Text>();
    let encoder = registry.load("text", &table, &Device::flex()).unwrap();
    let message = encoder
        .encode(&["the cell".into(), " ".into()])
        .unwrap_err();
    let message = message.to_string();
    assert!(
        message.starts_with("modality `text`: record 1 does not parse: the text is empty"),
        "{message}"
    );
}

#[test]
fn like_texts_share_most_of_their_fingerprint() {
    let of = |text: &str| fingerprint::set(Text::fingerprint(&text.into()).unwrap().unwrap());
    assert_eq!(of("The cell divides."), of("the  CELL divides"));
    assert_eq!(
        fingerprint::jaccard(&of("a b c d"), &of("a b c e")),
        2.0 / 4.0
    );
    assert_eq!(of("ethanol").len(), 1);
}
