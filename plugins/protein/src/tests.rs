//! The plugin on a tiny ESM-2 with random weights and the real vocabulary.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use bioverse_core::{Record, Registry};
use bioverse_nn::{EncoderConfig, TransformerEncoder, weights::StoredDtype};

use super::*;

const VOCAB: &str =
    "<cls> <pad> <eos> <unk> L A G V S E R T I D P K Q N F Y M H W C X B U Z O . - <null_1> <mask>";

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let config = EncoderConfig {
        model_type: "esm".into(),
        hidden_size: 16,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        intermediate_size: 32,
        vocab_size: 33,
        max_position_embeddings: 26,
        pad_token_id: 1,
        ..EncoderConfig::default()
    };
    let encoder = TransformerEncoder::init(&config, &Device::flex());
    encoder.save(dir.path(), StoredDtype::F32).unwrap();
    std::fs::write(dir.path().join("vocab.txt"), VOCAB.replace(' ', "\n")).unwrap();
    dir
}

fn config(dir: &Path) -> Config {
    Config {
        path: dir.into(),
        ..Config::default()
    }
}

fn loaded(config: &Config) -> Protein {
    Protein::load(config, &Device::flex()).unwrap()
}

fn ids(protein: &Protein, record: &str) -> Vec<u32> {
    protein.tokenize(&record.to_owned()).unwrap()
}

#[test]
fn conforms() {
    let dir = folder();
    bioverse_core::testing::check::<Protein>(
        &config(dir.path()),
        &[
            "MKTAYIAKQR".into(),
            "GXBUZOW".into(),
            "A".into(),
            "mvlspadktnvkaawgk*".into(),
        ],
    );
}

#[test]
fn residues_become_their_tokens_however_they_are_written() {
    let dir = folder();
    let protein = loaded(&config(dir.path()));
    for record in ["MKT", "mkt", "M K\nT", "MKT*"] {
        assert_eq!(ids(&protein, record), [0, 20, 15, 11, 2], "{record:?}");
    }
    assert_eq!(ids(&protein, "BUZOX"), [0, 25, 26, 27, 28, 24, 2]);
    assert_eq!(
        ids(&protein, "MJK"),
        [0, 20, 3, 15, 2],
        "J is unknown to ESM-2"
    );
    assert_eq!(ids(&protein, "m<mask>-."), [0, 20, 32, 30, 29, 2]);
}

#[test]
fn the_mask_is_true_on_residues_and_state_0_is_the_start() {
    let dir = folder();
    let protein = loaded(&config(dir.path()));
    let rows = [ids(&protein, "MK"), ids(&protein, "MKTA")];
    let hidden = protein.encode(&rows).unwrap();
    let mask: Vec<bool> = hidden.mask.to_data().iter::<bool>().collect();
    let (yes, no) = (true, false);
    assert_eq!(
        mask,
        [
            no, yes, yes, no, no, no, /**/ no, yes, yes, yes, yes, no
        ]
    );
    assert_eq!(hidden.states.dims(), [2, 6, 16]);
    assert_eq!(protein.pooling(), bioverse_core::Pooling::Mean);
}

#[test]
fn long_sequences_are_cut_and_keep_their_end_or_are_refused() {
    let dir = folder();
    let protein = loaded(&config(dir.path()));
    let longest = protein.encoder.config().max_tokens();
    let cut = ids(&protein, &"MK".repeat(40));
    assert_eq!((cut.len(), cut.last()), (longest, Some(&2)));
    assert!(protein.encode(&[cut]).is_ok());
    // Positions are rotary: who asks for more gets more.
    let wide = loaded(&Config {
        max_length: Some(82),
        ..config(dir.path())
    });
    let whole = ids(&wide, &"MK".repeat(40));
    assert_eq!(whole.len(), 82);
    assert!(wide.encode(&[whole]).is_ok());
    let strict = loaded(&Config {
        max_length: Some(5),
        ..config(dir.path())
    });
    assert_eq!(ids(&strict, "MKT").len(), 5);
    let refused = strict.tokenize(&"MKTA".to_owned()).unwrap_err().to_string();
    assert!(
        refused.contains("is 6 tokens long, more than the 5 of `max_length`"),
        "{refused}"
    );
}

#[test]
fn bad_records_and_configurations_are_refused() {
    let dir = folder();
    let table = toml::Table::try_from(config(dir.path())).unwrap();
    let registry = Registry::new().with::<Protein>();
    let encoder = registry.load("protein", &table, &Device::flex()).unwrap();
    let records: [Record; 2] = ["MKT".into(), "MK7T".into()];
    let message = encoder.encode(&records).unwrap_err().to_string();
    let wanted = "modality `protein`: record 1 does not parse: '7' at position 3 is no amino acid";
    assert!(message.starts_with(wanted), "{message}");

    let refused = |config: Config| {
        let refused = Protein::load(&config, &Device::flex());
        refused.err().unwrap().to_string()
    };
    let short = Config {
        max_length: Some(2),
        ..config(dir.path())
    };
    assert!(refused(short).contains("takes from 3 tokens on"));
    assert!(refused(Config::default()).contains("`path` is not set"));
    assert!(refused(config(Path::new("no/such/folder"))).contains("no/such/folder"));
    let roberta = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/chemberta");
    assert!(refused(config(Path::new(roberta))).contains("family `roberta`"));
}

#[test]
fn weights_are_the_files_that_identify_the_encoder() {
    let dir = folder();
    let files = Protein::weights(&config(dir.path()));
    let names: Vec<_> = files
        .iter()
        .map(|file| file.file_name().unwrap().to_str().unwrap())
        .collect();
    assert_eq!(names, ["config.json", "vocab.txt", "model.safetensors"]);
    assert!(Protein::weights(&Config::default()).is_empty());
}

#[test]
fn like_sequences_share_most_of_their_fingerprint() {
    let of =
        |record: &str| fingerprint::set(Protein::fingerprint(&record.into()).unwrap().unwrap());
    let (a, b) = (of("MKTAYIAKQRQISFVKSHFSRQ"), of("mkt AYIAKQRQISFVKSHFSRQ*"));
    assert_eq!(a, b, "cleaned as for the encoder");
    // One exchange in 22 residues: 4 of 19 k-mers differ.
    let c = of("MKTAYIAKQRQWSFVKSHFSRQ");
    assert_eq!(fingerprint::jaccard(&a, &c), 15.0 / 23.0);
    assert!(Protein::fingerprint(&"MK1".into()).unwrap().is_err());
    assert!(Protein::scaffold(&"MK".into()).is_none());
}
