//! PyTorch checkpoints as training programs save them, and as they should not be. `tests/python/make_checkpoints.py` made
//! the files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use bioverse_nn::Weights;
use burn::prelude::*;
use proptest::prelude::*;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/files")
        .join(name)
}

fn values(weights: &Weights, name: &str) -> Vec<f32> {
    weights.data(name).unwrap().iter::<f32>().collect()
}

#[test]
fn every_form_holds_the_same_tensors() {
    for name in ["nested.pt", "legacy.pt", "wrapped.pt"] {
        let weights = Weights::open_file(&file(name)).unwrap();
        assert_eq!(
            values(&weights, "a"),
            [0.0, 1.0, 2.0, 3.0, 4.0, 5.0],
            "{name}"
        );
        assert_eq!(values(&weights, "b"), [1.5, -2.0], "{name}");
        assert_eq!(values(&weights, "c"), [0.5, 3.0], "{name}");
        assert_eq!(values(&weights, "d"), [0.25], "{name}");
        assert_eq!(weights.shape("turned").unwrap(), [3, 2], "{name}");
        assert_eq!(values(&weights, "turned"), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(weights.dtype("c").unwrap(), "BF16");
        let a = weights.transposed("a", [3, 2], &Device::flex()).unwrap();
        assert_eq!(a.dims(), [3, 2]);
    }
}

#[test]
fn counters_beside_the_parameters_are_no_floats() {
    let weights = Weights::open_file(&file("legacy.pt")).unwrap();
    let text = weights.data("n").unwrap_err().to_string();
    assert!(text.contains("`n`") && text.contains("I64"), "{text}");
}

#[test]
fn code_in_a_pickle_is_named_and_never_run() {
    let text = Weights::open_file(&file("dangerous.pt"))
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("system") && text.contains("nothing was run"),
        "{text}"
    );
    assert!(!Path::new("it_ran").exists());
}

#[test]
fn a_folder_falls_back_to_its_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let copy = |from: &str, to: &str| std::fs::copy(file(from), dir.path().join(to)).unwrap();
    copy("legacy.pt", "best_model.pt");
    assert!(Weights::open(dir.path()).unwrap().contains("a"));
    copy("nested.pt", "other.pt");
    let text = Weights::open(dir.path()).unwrap_err().to_string();
    assert!(text.contains("best_model.pt, other.pt"), "{text}");
    copy("wrapped.pt", "pytorch_model.bin");
    assert!(
        !Weights::open(dir.path()).unwrap().contains("n"),
        "the usual name wins"
    );
    let index = r#"{"weight_map": {"a": "../legacy.pt"}}"#;
    std::fs::remove_file(dir.path().join("pytorch_model.bin")).unwrap();
    std::fs::write(dir.path().join("pytorch_model.bin.index.json"), index).unwrap();
    let text = Weights::open(dir.path()).unwrap_err().to_string();
    assert!(text.contains("is not a file name"), "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damage_is_an_error_or_harmless(
        which in 0..3usize,
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        keep in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let name = ["nested.pt", "legacy.pt", "wrapped.pt"][which];
        let mut bytes = std::fs::read(file(name)).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if cut {
            bytes.truncate(keep.index(bytes.len()));
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, &bytes).unwrap();
        if let Ok(weights) = Weights::open_file(&path) {
            for name in weights.names() {
                if let Err(error) = weights.data(name) {
                    prop_assert!(error.to_string().contains(name), "{error}");
                }
            }
        }
    }
}
