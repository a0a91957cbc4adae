//! Folders as they are published: `pytorch_model.bin` with `vocab.txt` and nothing else, shards, byte-level BPE in two files,
//! what sentence-transformers writes. Each with a real vocabulary or size and random weights, through its plugin, against
//! `transformers` and `sentence-transformers` (`tests/python/published_layouts.py`).
//!
//! `BIOVERSE_PYTHON` names the Python that has them and torch (default `python3`). Without, the check says so and passes.

use std::path::PathBuf;

use bioverse_core::{Encoder, Hidden, Pooling, Record};
use bioverse_tests::python;
use burn::prelude::*;
use serde::Deserialize;

/// `|got - want| <= TOLERANCE · max(1, |want|)`.
const TOLERANCE: f32 = 1e-4;

#[derive(Deserialize)]
struct Case {
    modality: String,
    folder: PathBuf,
    records: Vec<Record>,
    pooling: Pooling,
    vectors: Vec<Vec<f32>>,
}

fn load(case: &Case) -> Encoder {
    let mut table = toml::Table::new();
    table.insert("path".into(), case.folder.display().to_string().into());
    if case.modality == "molecule" {
        // The reference is given the strings as they are.
        table.insert("canonicalize".into(), false.into());
    }
    let registry = bioverse::registry::standard();
    registry
        .load(&case.modality, &table, &Device::flex())
        .unwrap()
}

/// One vector a record: the mean of what the mask counts, or state 0.
fn pooled(hidden: Hidden, pooling: Pooling) -> Vec<Vec<f32>> {
    let [_, _, width] = hidden.states.dims();
    let vectors: Tensor<2> = match pooling {
        Pooling::First => hidden.states.narrow(1, 0, 1).squeeze_dim(1),
        Pooling::Mean => {
            let weights: Tensor<3> = hidden.mask.float().unsqueeze_dim(2);
            let sum: Tensor<2> = (hidden.states * weights.clone()).sum_dim(1).squeeze_dim(1);
            sum / weights.sum_dim(1).squeeze_dim(1)
        }
    };
    let values: Vec<f32> = vectors.into_data().iter::<f32>().collect();
    values.chunks(width).map(<[f32]>::to_vec).collect()
}

#[test]
fn published_layouts_load_and_give_the_references_vectors() {
    let dir = tempfile::tempdir().unwrap();
    let answer = match python::answer("published_layouts.py", &[dir.path()], "") {
        Ok(answer) => answer,
        Err(why) => {
            println!(
                "skipped: no reference for published layouts ({why}); `pip install torch transformers`"
            );
            return;
        }
    };
    let cases: Vec<Case> = serde_json::from_value(answer).unwrap();
    assert!(cases.len() >= 4);
    for case in cases {
        let name = case
            .folder
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned();
        let encoder = load(&case);
        assert_eq!(encoder.pooling(), case.pooling, "{name}");
        let got = pooled(encoder.encode(&case.records).unwrap(), case.pooling);
        let pairs = got.iter().flatten().zip(case.vectors.iter().flatten());
        let gap = pairs.map(|(got, want)| (got - want).abs() / want.abs().max(1.0));
        let gap = gap.fold(0.0, f32::max);
        assert_eq!(got.len(), case.vectors.len(), "{name}");
        assert!(gap <= TOLERANCE, "{name}: {gap}");
        println!(
            "{name}: {} records of `{}`, largest difference {gap:.1e}",
            got.len(),
            case.modality
        );
    }
}
