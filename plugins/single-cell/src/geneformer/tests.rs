//! Ranks by hand, and dictionaries as they are published.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use serde_json::{Value, json};

use super::*;

const FIRST: &str = "ENSG00000000003";
const SECOND: &str = "ENSG00000000005";

#[test]
fn genes_are_ranked_by_how_far_they_are_above_their_median() {
    let median = |id: u32| {
        [None, Some(2.0), Some(0.5), Some(1.0), Some(1.0)]
            .get(id as usize)
            .copied()?
    };
    // 10 / 2 = 5, 4 / 0.5 = 8, 1, 1: of the last two the lower id; id 0 has no median.
    let ids = [4, 1, 0, 2, 3];
    assert_eq!(
        ranked(&ids, &[1.0, 10.0, 99.0, 4.0, 1.0], 115.0, median),
        [2, 1, 3, 4]
    );
    assert!(ranked(&[], &[], 0.0, median).is_empty());
}

/// A plain pickle, protocol 4, as `pickle.dump({...}, file)` writes it: `None` for a value that is a numpy scalar.
fn pickle(entries: &[(&str, f64)]) -> Vec<u8> {
    let mut bytes = vec![0x80, 4, b'}', b'('];
    for (key, value) in entries {
        bytes.extend([0x8c, key.len() as u8]);
        bytes.extend(key.as_bytes());
        match value.fract() == 0.0 {
            true => bytes.extend([b'K', *value as u8]),
            false => {
                bytes.push(b'G');
                bytes.extend(value.to_be_bytes());
            }
        }
    }
    bytes.extend(b"u.");
    bytes
}

fn read(tokens: &Value, medians: &Value) -> Result<Dictionaries, String> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("token_dictionary.json"), tokens.to_string()).unwrap();
    std::fs::write(
        dir.path().join("gene_median_dictionary_gc30M.json"),
        medians.to_string(),
    )
    .unwrap();
    load(dir.path())
}

fn load(dir: &Path) -> Result<Dictionaries, String> {
    let config = Config {
        path: dir.into(),
        ..Config::default()
    };
    Dictionaries::load(&config, 10).map_err(|e| e.to_string())
}

#[test]
fn both_versions_and_both_kinds_of_files_are_read() {
    let first = read(
        &json!({"<pad>": 0, "<mask>": 1, FIRST: 2, SECOND: 3}),
        &json!({FIRST: 1.5, "ENSG00000000009": 2}),
    );
    let first = first.unwrap();
    assert_eq!(
        (first.cls_eos, first.genes.len(), first.medians[&2]),
        (None, 1, 1.5)
    );
    let dir = tempfile::tempdir().unwrap();
    let tokens = pickle(&[("<pad>", 0.0), ("<cls>", 2.0), ("<eos>", 3.0), (FIRST, 4.0)]);
    std::fs::write(dir.path().join("token_dictionary_gc104M.pkl"), tokens).unwrap();
    std::fs::write(
        dir.path().join("gene_median_dictionary_gc104M.pkl"),
        pickle(&[(FIRST, 2.25)]),
    )
    .unwrap();
    let second = load(dir.path()).unwrap();
    assert_eq!((second.cls_eos, second.medians[&4]), (Some((2, 3)), 2.25));
    std::fs::write(dir.path().join("token_dictionary.json"), "{}").unwrap();
    let several = load(dir.path()).unwrap_err();
    assert!(
        several.contains("2 files token_dictionary*; name the model's in `token_dictionary`"),
        "{several}"
    );
}

#[test]
fn dictionaries_that_are_of_no_use_are_refused() {
    for (tokens, medians, wanted) in [
        (
            json!({FIRST: 10}),
            json!({FIRST: 1}),
            "has the id 10, but the model has 10 rows",
        ),
        (json!({FIRST: -1}), json!({FIRST: 1}), "has the id -1"),
        (json!({FIRST: 1.5}), json!({FIRST: 1}), "has the id 1.5"),
        (
            json!({FIRST: "x"}),
            json!({FIRST: 1}),
            "is \"x\"; a dictionary from names to numbers is read",
        ),
        (
            json!({FIRST: 1}),
            json!({FIRST: 0}),
            "the median of `ENSG00000000003` is 0, which is not above 0",
        ),
        (
            json!({FIRST: 1}),
            json!({FIRST: null}),
            "a value of the type null",
        ),
        (
            json!({FIRST: 1}),
            json!({SECOND: 1}),
            "the two do not belong together",
        ),
        (
            json!({FIRST: 1, "<cls>": 2}),
            json!({FIRST: 1}),
            "has `<cls>` but no `<eos>`",
        ),
        (json!([FIRST]), json!({FIRST: 1}), "is no JSON object"),
    ] {
        let refused = read(&tokens, &medians).unwrap_err();
        assert!(refused.contains(wanted), "{refused}");
    }
    let nothing = load(tempfile::tempdir().unwrap().path()).unwrap_err();
    assert!(
        nothing.contains("holds no token_dictionary*.pkl or .json"),
        "{nothing}"
    );
}

#[test]
fn a_pickle_that_is_no_dictionary_of_numbers_says_how_to_write_it_as_json() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token_dictionary.pkl");
    std::fs::write(dir.path().join("gene_median_dictionary.json"), "{}").unwrap();
    let scalar = b"\x80\x02}X\x01\x00\x00\x00Acnumpy.core.multiarray\nscalar\nU\x02f8U\x08\x00\x00\x00\x00\x00\x00\xe0?\x86Rs.";
    let system = b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.";
    for bytes in [
        &scalar[..],
        system,
        b"\x80\x04]\x94.",
        b"\x80\x04",
        b"",
        b"\x80\x04}(\x8c\xff",
    ] {
        std::fs::write(&path, bytes).unwrap();
        let refused = load(dir.path()).unwrap_err();
        assert!(refused.contains("write it as JSON: python -c"), "{refused}");
    }
}
