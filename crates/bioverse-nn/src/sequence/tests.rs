//! A tiny BERT with a vocabulary of letters.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::weights::StoredDtype;

const VOCAB: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\n";

fn config() -> EncoderConfig {
    EncoderConfig {
        model_type: "bert".into(),
        hidden_size: 8,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        intermediate_size: 16,
        vocab_size: 8,
        max_position_embeddings: 6,
        pad_token_id: 0,
        ..Default::default()
    }
}

fn folder(config: &EncoderConfig, vocab: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let encoder = TransformerEncoder::init(config, &Device::flex());
    encoder.save(dir.path(), StoredDtype::F32).unwrap();
    std::fs::write(dir.path().join("vocab.txt"), vocab).unwrap();
    dir
}

fn load(dir: &Path) -> Result<SequenceEncoder> {
    SequenceEncoder::load(dir, &["bert"], &Device::flex())
}

#[test]
fn a_row_too_long_is_cut_and_keeps_its_end_or_is_refused() {
    let dir = folder(&config(), VOCAB);
    let encoder = load(dir.path()).unwrap();
    assert_eq!(encoder.tokenize("a b").unwrap(), [2, 5, 6, 3]);
    assert_eq!(encoder.tokenize("a b c a b").unwrap(), [2, 5, 6, 7, 5, 3]);
    let short = load(dir.path()).unwrap().cut_at(4);
    assert_eq!(short.tokenize("a b c").unwrap(), [2, 5, 6, 3]);
    let wide = load(dir.path()).unwrap().cut_at(99);
    assert_eq!(wide.tokenize("a b c a b").unwrap().len(), 6);

    let strict = load(dir.path()).unwrap().with_max_length(Some(4)).unwrap();
    assert_eq!(strict.tokenize("a b").unwrap().len(), 4);
    let long = format!("a{}", " b".repeat(30));
    let refused = strict.tokenize(&long).unwrap_err().to_string();
    let begins = format!("`{}…` is 33 tokens long, more than the 4 of", &long[..40]);
    assert!(refused.starts_with(&begins), "{refused}");
    for length in [0, 2, 7] {
        let refused = load(dir.path()).unwrap().with_max_length(Some(length));
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("takes from 3 to 6 tokens"), "{refused}");
    }
}

#[test]
fn hidden_states_are_joined_side_by_side() {
    let dir = folder(&config(), VOCAB);
    let load = |layers| load(dir.path()).unwrap().with_hidden_layers(layers);
    let ids = || Tensor::<2, Int>::from_data([[2, 5, 6, 3]], &Device::flex());
    let run = |encoder: &SequenceEncoder| encoder.forward(ids(), ids().greater_elem(0));
    let (last, both) = (load(None).unwrap(), load(Some(2)).unwrap());
    assert_eq!((last.d_hidden(), both.d_hidden()), (8, 16));
    let (alone, joined) = (run(&last), run(&both));
    assert_eq!(joined.dims(), [1, 4, 16]);
    let lower = joined.clone().narrow(2, 0, 8).into_data();
    assert_eq!(joined.narrow(2, 8, 8).into_data(), alone.into_data());
    let embedded = both.encoder.hidden_states(ids(), ids().greater_elem(0));
    assert_eq!(lower, embedded[0].clone().into_data());
    for wrong in [0, 3] {
        let refused = load(Some(wrong)).unwrap_err().to_string();
        assert!(refused.contains("has 1 to 2 hidden states"), "{refused}");
    }
}

#[test]
fn a_token_without_a_row_is_refused_before_it_reaches_the_model() {
    let dir = folder(&config(), &format!("{VOCAB}d\n"));
    let encoder = load(dir.path()).unwrap();
    assert!(encoder.tokenize("a c").is_ok());
    let refused = encoder.tokenize("a d").unwrap_err().to_string();
    assert!(
        refused.contains("`a d` has the token \"d\" with the id 8, but the model has 8 rows"),
        "{refused}"
    );
}

#[test]
fn a_folder_of_another_family_or_none_at_all_is_refused() {
    let dir = folder(&config(), VOCAB);
    let refuse = |dir: &Path, families: &[&str]| {
        let refused = SequenceEncoder::load(dir, families, &Device::flex());
        refused.unwrap_err().to_string()
    };
    let other = refuse(dir.path(), &["esm", "roberta"]);
    assert!(
        other.contains("config.json") && other.contains("family `bert`"),
        "{other}"
    );
    assert!(other.contains("taken are `esm`, `roberta`"), "{other}");
    assert!(refuse(Path::new(""), &["esm"]).contains("`path` is not set"));
    assert!(refuse(Path::new("no/such"), &["esm"]).contains("no/such"));
}

/// The index of the shards among `files`, for a file that is called one.
fn index(file: &str, files: &[&str]) -> String {
    let shards = files.iter().filter(|file| file.contains("-of-"));
    let map: serde_json::Map<_, _> = shards
        .enumerate()
        .map(|(i, shard)| (format!("tensor.{i}"), (*shard).into()))
        .collect();
    match file.ends_with(".index.json") {
        true => serde_json::json!({"weight_map": map}).to_string(),
        false => String::new(),
    }
}

#[test]
fn files_are_those_that_are_read_in_every_layout() {
    let listed = |files: &[&str]| {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            std::fs::write(dir.path().join(file), index(file, files)).unwrap();
        }
        let found = SequenceEncoder::files(dir.path());
        let name = |path: &PathBuf| path.strip_prefix(dir.path()).unwrap().display().to_string();
        found.iter().map(name).collect::<Vec<_>>()
    };
    for (there, wanted) in [
        (
            &[
                "config.json",
                "tokenizer.json",
                "vocab.txt",
                "model.safetensors",
                "pytorch_model.bin",
                "README.md",
            ][..],
            &["config.json", "tokenizer.json", "model.safetensors"][..],
        ),
        (
            &[
                "config.json",
                "vocab.txt",
                "tokenizer_config.json",
                "pytorch_model.bin",
                "training_args.bin",
            ],
            &[
                "config.json",
                "vocab.txt",
                "tokenizer_config.json",
                "pytorch_model.bin",
            ],
        ),
        (
            &[
                "model.safetensors.index.json",
                "model-00001-of-00002.safetensors",
                "model-00002-of-00002.safetensors",
            ],
            &[
                "model-00001-of-00002.safetensors",
                "model-00002-of-00002.safetensors",
                "model.safetensors.index.json",
            ],
        ),
        (
            &[
                "pytorch_model.bin.index.json",
                "pytorch_model-00001-of-00001.bin",
                "other.pt",
            ],
            &[
                "pytorch_model-00001-of-00001.bin",
                "pytorch_model.bin.index.json",
            ],
        ),
        (
            &["config.json", "best_model.pt"],
            &["config.json", "best_model.pt"],
        ),
        (&[], &[]),
    ] {
        assert_eq!(listed(there), wanted);
    }
    assert!(SequenceEncoder::files(Path::new("no/such")).is_empty());
}
