//! Where the vectors of stage 1 come from: hidden states beside those of transformers, and every read-out through align, bundle
//! and retrieval with the real program.

use std::path::Path;

use bioverse::{
    align::{readout::Readout, texts::Texts},
    cache::Cache,
    config::{BioSource, TextPool, TextSource},
};
use bioverse_tests::{Ended, python, root, run, stage};
use burn::prelude::*;
use serde_json::{Value, json};

/// Of a short and of longer texts, so that padding has something to spoil.
const TEXTS: [&str; 4] = [
    "acid",
    "The molecule is an alcohol that is soluble in water.",
    "It smells.",
    "a yellow solid",
];

#[test]
fn vectors_of_hidden_states_are_those_of_transformers() {
    let mut compared = 0;
    for folder in ["llama", "qwen3", "granite"] {
        let llm = root().join("tests/golden").join(folder);
        let layers = [0, 1, -2, -1];
        let asked = json!({"llm": llm, "texts": TEXTS, "layers": layers});
        let answer = match python::answer::<&str>("readouts.py", &[], &asked.to_string()) {
            Ok(answer) => answer,
            Err(why) => {
                eprintln!("skipped: {why}");
                return;
            }
        };
        for layer in layers {
            let pools = [
                (TextPool::Mean, "mean"),
                (TextPool::MeanStd, "mean-std"),
                (TextPool::LastToken, "last-token"),
            ];
            for (pool, name) in pools {
                let readout = Readout {
                    source: TextSource::HiddenStates,
                    layer,
                    pool,
                    records: BioSource::SoftTokens,
                };
                let reader = Texts::new(llm.clone(), readout, Cache::off(), &Device::flex());
                let texts = TEXTS.map(String::from);
                let vectors = reader.embed(&texts, &|i| i.to_string()).expect("embedded");
                let vectors: Vec<f64> = vectors.into_data().iter::<f64>().collect();
                let expected = answer[layer.to_string()][name].as_array().expect("rows");
                let expected: Vec<f64> = expected.iter().flat_map(numbers).collect();
                assert_eq!(vectors.len(), expected.len(), "{folder} {layer} {name}");
                let size = expected.iter().fold(1.0f64, |size, x| size.max(x.abs()));
                for (ours, theirs) in vectors.iter().zip(&expected) {
                    assert!(
                        (ours - theirs).abs() < 2e-4 * size,
                        "{folder} {layer} {name}: {ours} {theirs}"
                    );
                }
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 3 * 4 * 3);
}

fn numbers(row: &Value) -> Vec<f64> {
    let row = row.as_array().expect("a row");
    row.iter().map(|x| x.as_f64().expect("a number")).collect()
}

fn align(dir: &Path, sets: &[&str]) -> Vec<String> {
    let mut all = vec![
        format!("run.dir={}", dir.display()),
        "align.steps=12".into(),
        "align.lr=5e-3".into(),
        "align.text_space=centered".into(),
    ];
    all.extend(sets.iter().map(|set| set.to_string()));
    stage("align", &all)
}

/// The numbers of `eval --suite retrieval`.
fn retrieval(bundle: &Path) -> Value {
    let file = bundle.join("numbers.json");
    let (bundle, json) = (bundle.display().to_string(), file.display().to_string());
    run([
        "eval",
        "--bundle",
        &bundle,
        "--suite",
        "retrieval",
        "--json",
        &json,
    ])
    .ok();
    let text = std::fs::read_to_string(file).expect("numbers");
    serde_json::from_str(&text).expect("JSON")
}

fn last_line(dir: &Path) -> Value {
    let text = std::fs::read_to_string(dir.join("metrics.jsonl")).expect("metrics");
    serde_json::from_str(text.lines().last().expect("a line")).expect("JSON")
}

#[test]
fn every_read_out_goes_through_align_bundle_and_retrieval() {
    let readouts: [&[&str]; 5] = [
        &["align.text_pool=\"mean-std\""],
        &["align.text_from=\"hidden-states\"", "align.text_layer=1"],
        &[
            "align.text_from=\"hidden-states\"",
            "align.text_pool=\"mean-std\"",
        ],
        &[
            "align.text_from=\"hidden-states\"",
            "align.text_pool=\"last-token\"",
        ],
        &[
            "align.text_from=\"hidden-states\"",
            "align.bio_from=\"hidden-states\"",
        ],
    ];
    for sets in readouts {
        let dir = tempfile::tempdir().expect("a folder");
        run(align(dir.path(), sets)).ok();
        let bundle =
            std::fs::read_to_string(dir.path().join("bundle/bundle.json")).expect("a bundle");
        let bundle: Value = serde_json::from_str(&bundle).expect("JSON");
        let readout = &bundle["modalities"]["molecule"]["readout"];
        assert_eq!(
            bundle["format"], 2,
            "older programs would compare other vectors"
        );
        assert_eq!(
            readout["pool"] == "mean-std",
            sets.iter().any(|set| set.contains("mean-std")),
            "{readout}"
        );
        // The program measures while it trains what it measures on the bundle: pairs, vectors and metric are the same.
        let (numbers, line) = (retrieval(dir.path()), last_line(dir.path()));
        let found = numbers["retrieval.molecule.model.record_to_text.mrr"]
            .as_f64()
            .expect("an MRR");
        let measured = line["held_out_mrr_to_text"]
            .as_f64()
            .expect("a measurement");
        assert!(
            (found - measured).abs() < 1e-3,
            "{sets:?}: {found} {measured}"
        );
    }
}

#[test]
fn read_outs_that_could_not_be_compared_are_refused() {
    let refuse = |sets: &[&str], said: &str| {
        let dir = tempfile::tempdir().expect("a folder");
        let ended: Ended = run(align(dir.path(), sets));
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.error().contains(said), "{}", ended.error());
        assert!(!dir.path().join("bundle").exists());
    };
    refuse(
        &["align.text_from=\"hidden-states\"", "align.text_layer=9"],
        "align.text_layer is 9",
    );
    refuse(
        &[
            "align.text_pool=\"mean-std\"",
            "projector.num_soft_tokens=1",
        ],
        "num_soft_tokens",
    );
}

#[test]
fn bundles_of_the_mean_of_input_embeddings_are_what_they_were() {
    let dir = tempfile::tempdir().expect("a folder");
    run(align(dir.path(), &[])).ok();
    let text = std::fs::read_to_string(dir.path().join("bundle/bundle.json")).expect("a bundle");
    assert!(
        !text.contains("readout") && text.contains("\"format\": 1"),
        "{text}"
    );
}
