//! The plugin on a tiny ModernBERT with random weights and a tokenizer of letters and two longer words.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use bioverse_core::{Record, Registry};
use bioverse_nn::{EncoderConfig, TransformerEncoder, weights::StoredDtype};

use super::*;

/// 0 [UNK], 1 [CLS], 2 [SEP], 3 [PAD], 4 A, 5 C, 6 G, 7 T, 8 N, 9 AC, 10 ACG
const TOKENIZER: &str = r#"{
    "version": "1.0",
    "added_tokens": [
        {"id": 0, "content": "[UNK]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
        {"id": 1, "content": "[CLS]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
        {"id": 2, "content": "[SEP]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
        {"id": 3, "content": "[PAD]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}
    ],
    "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]},
    "model": {
        "type": "BPE", "unk_token": "[UNK]",
        "vocab": {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "[PAD]": 3, "A": 4, "C": 5, "G": 6, "T": 7, "N": 8, "AC": 9, "ACG": 10},
        "merges": ["A C", "AC G"]
    }
}"#;

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let config = EncoderConfig {
        model_type: "modernbert".into(),
        hidden_size: 16,
        num_hidden_layers: 4,
        num_attention_heads: 2,
        intermediate_size: 24,
        vocab_size: 11,
        max_position_embeddings: 32,
        pad_token_id: 3,
        ..EncoderConfig::default()
    };
    let encoder = TransformerEncoder::init(&config, &Device::flex());
    encoder.save(dir.path(), StoredDtype::F32).unwrap();
    std::fs::write(dir.path().join("tokenizer.json"), TOKENIZER).unwrap();
    std::fs::write(
        dir.path().join("tokenizer_config.json"),
        r#"{"unk_token": "[UNK]"}"#,
    )
    .unwrap();
    dir
}

fn config(dir: &Path) -> Config {
    Config {
        path: dir.into(),
        ..Config::default()
    }
}

fn loaded(config: &Config) -> Dna {
    Dna::load(config, &Device::flex()).unwrap()
}

fn ids(dna: &Dna, record: &str) -> Vec<u32> {
    dna.tokenize(&record.to_owned()).unwrap()
}

#[test]
fn conforms() {
    let dir = folder();
    bioverse_core::testing::check::<Dna>(
        &config(dir.path()),
        &[
            "ACGTACGT".into(),
            "GGGTTTAACCAGTNNACG".into(),
            "augg".into(),
        ],
    );
}

#[test]
fn sequences_become_the_tokens_of_the_folder_however_they_are_written() {
    let dir = folder();
    let dna = loaded(&config(dir.path()));
    for record in ["ACGTN", "acgtn", "AC\nG TN", "ACGUN"] {
        assert_eq!(ids(&dna, record), [1, 10, 7, 8, 2], "{record:?}");
    }
    assert_eq!(
        ids(&dna, "ARC"),
        [1, 4, 0, 5, 2],
        "a code that the vocabulary lacks"
    );
}

#[test]
fn the_mask_counts_every_token() {
    let dir = folder();
    let dna = loaded(&config(dir.path()));
    let hidden = dna.encode(&[ids(&dna, "A"), ids(&dna, "TTG")]).unwrap();
    let mask: Vec<bool> = hidden.mask.to_data().iter::<bool>().collect();
    assert_eq!(
        mask,
        [
            true, true, true, false, false, /**/ true, true, true, true, true
        ]
    );
    assert_eq!(hidden.states.dims(), [2, 5, 16]);
}

#[test]
fn long_sequences_are_cut_and_keep_their_end_or_are_refused() {
    let dir = folder();
    let dna = loaded(&config(dir.path()));
    let cut = ids(&dna, &"GT".repeat(40));
    assert_eq!((cut.len(), cut.last()), (32, Some(&2)));
    assert!(dna.encode(&[cut]).is_ok());
    let strict = loaded(&Config {
        max_length: Some(5),
        ..config(dir.path())
    });
    assert_eq!(ids(&strict, "ACGTT").len(), 5);
    let refused = strict.tokenize(&"GGTT".to_owned()).unwrap_err().to_string();
    assert!(
        refused.contains("is 6 tokens long, more than the 5 of `max_length`"),
        "{refused}"
    );
}

#[test]
fn bad_records_and_configurations_are_refused() {
    let dir = folder();
    let table = toml::Table::try_from(config(dir.path())).unwrap();
    let registry = Registry::new().with::<Dna>();
    let encoder = registry.load("dna", &table, &Device::flex()).unwrap();
    let records: [Record; 2] = ["ACGT".into(), "ACXT".into()];
    let message = encoder.encode(&records).unwrap_err().to_string();
    let wanted = "modality `dna`: record 1 does not parse: 'X' at position 3 is no nucleotide";
    assert!(message.starts_with(wanted), "{message}");
    let unknown = encoder.check(&"RYK".into()).unwrap_err().to_string();
    assert!(
        unknown.contains("knows no part of the sequence"),
        "{unknown}"
    );

    let refused = |config: Config| {
        let refused = Dna::load(&config, &Device::flex());
        refused.err().unwrap().to_string()
    };
    assert!(refused(Config::default()).contains("`path` is not set"));
    assert!(refused(config(Path::new("no/such/folder"))).contains("no/such/folder"));
}

#[test]
fn weights_are_the_files_that_identify_the_encoder() {
    let dir = folder();
    let files = Dna::weights(&config(dir.path()));
    let names: Vec<_> = files
        .iter()
        .map(|file| file.file_name().unwrap().to_str().unwrap())
        .collect();
    assert_eq!(
        names,
        ["config.json", "tokenizer.json", "model.safetensors"]
    );
    assert!(Dna::weights(&Config::default()).is_empty());
}
