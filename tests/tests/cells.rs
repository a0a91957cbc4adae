//! Single-cell encoders as they are published: scGPT and Geneformer folders that Python wrote, through the registry, against
//! the computation of their authors (`tests/python/cells.py`).
//!
//! `BIOVERSE_PYTHON` names the Python that has torch and transformers (default `python3`). Without, the check says so and passes.

use bioverse_core::{Hidden, Pooling, Record};
use bioverse_tests::python;
use burn::prelude::*;
use serde::Deserialize;

/// `|got - want| <= TOLERANCE · max(1, |want|)`.
const TOLERANCE: f32 = 1e-4;

#[derive(Deserialize)]
struct Case {
    name: String,
    config: toml::Table,
    records: Vec<Record>,
    vectors: Vec<Vec<f32>>,
}

/// One vector a cell: state 0, or the mean of what the mask counts.
fn pooled(hidden: Hidden, pooling: Pooling) -> Vec<f32> {
    let vectors: Tensor<2> = match pooling {
        Pooling::First => hidden.states.narrow(1, 0, 1).squeeze_dim(1),
        Pooling::Mean => {
            let weights: Tensor<3> = hidden.mask.float().unsqueeze_dim(2);
            let sum: Tensor<2> = (hidden.states * weights.clone()).sum_dim(1).squeeze_dim(1);
            sum / weights.sum_dim(1).squeeze_dim(1)
        }
    };
    vectors.into_data().iter::<f32>().collect()
}

#[test]
fn published_folders_give_the_vectors_of_their_authors() {
    let dir = tempfile::tempdir().unwrap();
    let answer = match python::answer("cells.py", &[dir.path()], "") {
        Ok(answer) => answer,
        Err(why) => {
            println!("skipped: no reference for cells ({why}); `pip install torch transformers`");
            return;
        }
    };
    let cases: Vec<Case> = serde_json::from_value(answer).unwrap();
    assert_eq!(cases.len(), 5);
    let registry = bioverse::registry::standard();
    for Case {
        name,
        config,
        records,
        vectors,
    } in cases
    {
        let encoder = registry.load("cell", &config, &Device::flex()).unwrap();
        let scgpt = name.starts_with("scgpt");
        let pooling = if scgpt { Pooling::First } else { Pooling::Mean };
        assert_eq!(encoder.pooling(), pooling, "{name}");
        let got = pooled(encoder.encode(&records).unwrap(), pooling);
        let want: Vec<f32> = vectors.into_iter().flatten().collect();
        assert_eq!(got.len(), want.len(), "{name}");
        let gaps = got.iter().zip(&want);
        let gap = gaps.map(|(got, want)| (got - want).abs() / want.abs().max(1.0));
        let gap = gap.fold(0.0, f32::max);
        assert!(gap <= TOLERANCE, "{name}: {gap}");
        let summary = encoder.summary().unwrap();
        assert!(summary.contains("unknown (first: X"), "{name}: {summary}");
        println!(
            "{name}: {} cells, largest difference {gap:.1e}",
            records.len()
        );
    }
}
