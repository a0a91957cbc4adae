//! Encoders against `transformers`, both ways: models that it saved give the same numbers here, and models saved here load
//! there without a missing or an unexpected tensor and give the same numbers (`tests/python/encoders.py`).
//!
//! `BIOVERSE_PYTHON` names the Python that has `torch` and `transformers` (default `python3`). Without them the check says
//! so and passes.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use bioverse_nn::TransformerEncoder;
use bioverse_nn::weights::StoredDtype;
use burn::prelude::*;
use serde::Deserialize;

/// `|got - want| <= TOLERANCE · max(1, |want|)`.
const TOLERANCE: f32 = 1e-4;

/// What the script prints.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Missing(String),
    Cases(Vec<String>),
}

#[derive(Deserialize)]
struct Reference {
    input_ids: Vec<Vec<i64>>,
    attention_mask: Vec<Vec<i64>>,
    token_type_ids: Option<Vec<Vec<i64>>>,
    outputs: BTreeMap<String, Vec<f32>>,
}

/// `Err` says why there is no reference; a script that fails for another reason than a missing package is a failed test.
fn script(verb: &str, dir: &Path) -> Result<Vec<String>, String> {
    let python = std::env::var("BIOVERSE_PYTHON").unwrap_or_else(|_| "python3".into());
    let script = bioverse_tests::root().join("tests/python/encoders.py");
    let mut command = Command::new(&python);
    let started = command.arg(script).arg(verb).arg(dir).output();
    let output = started.map_err(|error| format!("{python} does not start: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{verb} failed:\n{said}");
    match serde_json::from_slice(&output.stdout).unwrap() {
        Answer::Missing(package) => Err(format!("{python}: {package}")),
        Answer::Cases(cases) => Ok(cases),
    }
}

fn table(rows: &[Vec<i64>]) -> Tensor<2, Int> {
    let shape = [rows.len(), rows[0].len()];
    Tensor::from_data(TensorData::new(rows.concat(), shape), &Device::flex())
}

/// Every output of the reference, computed here. States of padding are left out of both.
fn compare(case: &str, encoder: &TransformerEncoder, reference: &Reference) -> f32 {
    let (ids, mask) = (
        table(&reference.input_ids),
        table(&reference.attention_mask),
    );
    let mask = mask.not_equal_elem(0);
    let states = match &reference.token_type_ids {
        None => encoder.hidden_states(ids, mask),
        Some(types) => encoder
            .hidden_states_with_types(ids, mask, table(types))
            .unwrap(),
    };
    let last = states.last().unwrap().clone();
    let mut outputs: BTreeMap<String, TensorData> = BTreeMap::new();
    for (i, states) in states.into_iter().enumerate() {
        outputs.insert(format!("hidden.{i}"), states.into_data());
    }
    if let Some(pooled) = encoder.pooler_output(last.clone()) {
        outputs.insert("pooler_output".into(), pooled.into_data());
    }
    if let Some(logits) = encoder.mlm_logits(last) {
        outputs.insert("mlm_logits".into(), logits.into_data());
    }
    let names = |map: Vec<&String>| map.into_iter().cloned().collect::<Vec<_>>();
    assert_eq!(
        names(outputs.keys().collect()),
        names(reference.outputs.keys().collect()),
        "{case}"
    );
    let tokens: Vec<bool> = reference
        .attention_mask
        .iter()
        .flatten()
        .map(|token| *token != 0)
        .collect();
    let mut worst = 0.0;
    for (name, want) in &reference.outputs {
        let got: Vec<f32> = outputs[name].iter::<f32>().collect();
        assert_eq!(got.len(), want.len(), "{case}, {name}");
        let width = match name.as_str() {
            "pooler_output" => usize::MAX,
            _ => want.len() / tokens.len(),
        };
        for (i, (got, want)) in got.iter().zip(want).enumerate() {
            if tokens[i / width] {
                let gap = (got - want).abs() / want.abs().max(1.0);
                assert!(gap <= TOLERANCE, "{case}, {name}[{i}]: {got} {want}");
                worst = f32::max(worst, gap);
            }
        }
    }
    worst
}

fn reference(dir: &Path) -> Reference {
    let text = std::fs::read_to_string(dir.join("reference.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn encoders_agree_with_transformers_in_both_directions() {
    let dir = tempfile::tempdir().unwrap();
    let (theirs, ours) = (dir.path().join("theirs"), dir.path().join("ours"));
    std::fs::create_dir(&theirs).unwrap();
    let cases = match script("write", &theirs) {
        Ok(cases) => cases,
        Err(why) => {
            println!(
                "skipped: encoders are not compared with transformers ({why}); `pip install torch transformers`"
            );
            return;
        }
    };
    let device = Device::flex();
    assert!(cases.len() > 10);
    for case in &cases {
        let encoder = TransformerEncoder::load(&theirs.join(case), &device).unwrap();
        let gap = compare(case, &encoder, &reference(&theirs.join(case)));
        println!("{case}: {gap:.1e} from transformers at worst");
        std::fs::create_dir_all(ours.join(case)).unwrap();
        encoder.save(&ours.join(case), StoredDtype::F32).unwrap();
    }
    script("read", &ours).unwrap();
    for case in &cases {
        // Another class computes it now, which may not have the pooler; what it has must be the same.
        let mut found = reference(&ours.join(case));
        let encoder = TransformerEncoder::load(&ours.join(case), &device).unwrap();
        let pooler = reference(&theirs.join(case))
            .outputs
            .remove("pooler_output");
        match pooler {
            Some(pooler) => found.outputs.insert("pooler_output".into(), pooler),
            None => found.outputs.remove("pooler_output"),
        };
        compare(case, &encoder, &found);
    }
}
