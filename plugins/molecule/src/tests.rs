//! The plugin on a tiny RoBERTa with random weights.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use bioverse_core::{Record, Registry};

use super::*;

const ASPIRIN: &str = "CC(=O)Oc1ccccc1C(=O)O";

fn tiny() -> Config {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/chemberta");
    Config {
        path: path.into(),
        ..Config::default()
    }
}

fn loaded(config: &Config) -> Molecule {
    Molecule::load(config, &Device::flex()).unwrap()
}

fn ids(molecule: &Molecule, smiles: &str) -> Vec<u32> {
    molecule.tokenize(&smiles.to_string()).unwrap()
}

fn refusal(molecule: &Molecule, smiles: &str) -> String {
    molecule
        .tokenize(&smiles.to_string())
        .unwrap_err()
        .to_string()
}

#[test]
fn conforms() {
    bioverse_core::testing::check::<Molecule>(
        &tiny(),
        &["CCO".into(), ASPIRIN.into(), "C[C@@H](N)C(=O)O".into()],
    );
}

#[test]
fn one_molecule_has_one_encoding_unless_asked_otherwise() {
    let molecule = loaded(&tiny());
    assert_eq!(ids(&molecule, "OCC"), ids(&molecule, "CCO"));
    assert_eq!(ids(&molecule, "C1=CC=CC=C1"), ids(&molecule, "c1ccccc1"));
    let verbatim = loaded(&Config {
        canonicalize: false,
        ..tiny()
    });
    assert_ne!(ids(&verbatim, "OCC"), ids(&verbatim, "CCO"));
    assert!(
        refusal(&verbatim, "C1CC").contains("`C1CC` is not a valid SMILES string"),
        "checked either way"
    );
}

#[test]
fn a_record_too_long_is_cut_to_what_the_model_reads_and_keeps_its_end_token() {
    let molecule = loaded(&tiny());
    let tokens = |smiles: &str| molecule.tokenize(&smiles.to_owned()).unwrap();
    let end = tokens(ASPIRIN).last().copied();
    let cut = tokens(&"C=N".repeat(60));
    assert_eq!(cut.len(), 64);
    assert_eq!(cut.last().copied(), end);
    assert!(molecule.encode(&[cut]).is_ok());
}

#[test]
fn with_max_length_a_longer_record_is_refused() {
    let short = loaded(&Config {
        max_length: Some(5),
        ..tiny()
    });
    let refused = refusal(&short, ASPIRIN);
    assert!(
        refused.contains("is 15 tokens long, more than the 5 of `max_length`"),
        "{refused}"
    );
}

#[test]
fn a_configuration_that_cannot_work_is_refused() {
    let refused = |config: Config| {
        Molecule::load(&config, &Device::flex())
            .err()
            .unwrap()
            .to_string()
    };
    assert!(refused(Config::default()).contains("`path` is not set"));
    let long = refused(Config {
        max_length: Some(65),
        ..tiny()
    });
    assert!(long.contains("takes from 3 to 64 tokens"), "{long}");
    assert!(
        refused(Config {
            path: "no/such/folder".into(),
            ..Config::default()
        })
        .contains("no/such/folder")
    );
}

#[test]
fn weights_are_the_files_that_identify_the_encoder() {
    let names: Vec<_> = Molecule::weights(&tiny())
        .iter()
        .map(|file| file.file_name().unwrap().to_owned())
        .collect();
    assert_eq!(
        names,
        ["config.json", "tokenizer.json", "model.safetensors"]
    );
    assert!(Molecule::weights(&Config::default()).is_empty());
}

/// The published layouts have no tokenizer.json: byte-level BPE in two files, and weights that may be a pickle.
#[test]
fn a_folder_with_vocabulary_files_gives_the_same_ids_and_names_them() {
    let golden = tiny().path;
    let dir = tempfile::tempdir().unwrap();
    for file in [
        "config.json",
        "vocab.json",
        "merges.txt",
        "tokenizer_config.json",
        "model.safetensors",
    ] {
        std::fs::copy(golden.join(file), dir.path().join(file)).unwrap();
    }
    let config = Config {
        path: dir.path().into(),
        ..Config::default()
    };
    for smiles in [ASPIRIN, "C[C@@H](N)C(=O)O", "[Na+].[Cl-]"] {
        assert_eq!(ids(&loaded(&config), smiles), ids(&loaded(&tiny()), smiles));
    }
    std::fs::rename(
        dir.path().join("model.safetensors"),
        dir.path().join("pytorch_model.bin"),
    )
    .unwrap();
    let files = Molecule::weights(&config);
    let names: Vec<_> = files
        .iter()
        .map(|file| file.file_name().unwrap().to_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "config.json",
            "vocab.json",
            "merges.txt",
            "tokenizer_config.json",
            "pytorch_model.bin"
        ]
    );
}

#[test]
fn a_bad_record_is_named_by_the_registry() {
    let table = toml_of(&tiny());
    let encoder = Registry::new()
        .with::<Molecule>()
        .load("molecule", &table, &Device::flex())
        .unwrap();
    let records: [Record; 2] = ["CCO".into(), "C(C)(C)(C)(C)C".into()];
    let message = encoder.encode(&records).unwrap_err().to_string();
    assert!(message.starts_with(
        "modality `molecule`: record 1 does not parse: `C(C)(C)(C)(C)C` is not a valid SMILES"
    ));
}

fn toml_of(config: &Config) -> toml::Table {
    toml::Table::try_from(config).unwrap()
}
