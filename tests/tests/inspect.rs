//! `bioverse inspect`: what it says of models, adapters, checkpoints and vectors, and what it finds wrong with them.

use std::fs;

use bioverse_nn::{
    Weights,
    weights::{StoredDtype, save_safetensors},
};
use bioverse_tests::{root, run};

#[test]
fn every_model_and_adapter_here_is_whole() {
    let mut models = 0;
    for entry in fs::read_dir(root().join("tests/golden")).expect("golden folders") {
        let path = entry.expect("a readable entry").path();
        let has = |name: &str| path.join(name).is_file();
        if !has("config.json") && !has("adapter_config.json") {
            continue;
        }
        let said = run(["inspect", &path.display().to_string()]).ok().stdout;
        assert!(said.contains("sha256"), "{said}");
        assert!(said.contains("problems     none"), "{said}");
        models += 1;
    }
    assert!(models >= 14, "only {models} were found");
}

#[test]
fn tensors_that_do_not_fit_the_configuration_are_named() {
    let golden = root().join("tests/golden/esm2");
    let dir = tempfile::tempdir().expect("a scratch directory");
    for name in ["config.json", "vocab.txt", "tokenizer_config.json"] {
        fs::copy(golden.join(name), dir.path().join(name)).expect("a copy");
    }
    let weights = Weights::open(&golden).expect("weights");
    let gone = "esm.encoder.layer.0.attention.self.query.weight";
    let tensors = weights.names().into_iter().filter(|name| *name != gone);
    let tensors = tensors.filter_map(|name| Some((name.to_owned(), weights.data(name).ok()?)));
    let more = burn::tensor::TensorData::new(vec![f32::NAN], [1]);
    let tensors = tensors.chain([("classifier.weight".to_owned(), more)]);
    save_safetensors(
        &dir.path().join("model.safetensors"),
        tensors.collect(),
        StoredDtype::F32,
        Default::default(),
    )
    .expect("written");
    let ended = run(["inspect", &dir.path().display().to_string()]);
    assert_eq!(ended.code, 2);
    assert!(ended.stdout.contains(gone), "{ended:?}");
    let unused = ended.stdout.lines().find(|line| line.starts_with("unused"));
    assert!(
        unused.is_some_and(|line| line.contains("`classifier.weight`")),
        "{ended:?}"
    );
    assert!(ended.stdout.contains("not finite"), "{ended:?}");
}

#[test]
fn checkpoints_and_vectors_are_files_too() {
    let files = root().join("crates/bioverse-nn/tests/files");
    let path = |name: &str| files.join(name).display().to_string();
    let said = run(["inspect", &path("legacy.pt")]).ok().stdout;
    assert!(said.contains("BF16 × 1"), "{said}");
    let ended = run(["inspect", &path("dangerous.pt")]);
    assert_eq!(ended.code, 2);
    assert!(ended.error().contains("system"), "{ended:?}");
    let dir = tempfile::tempdir().expect("a scratch directory");
    fs::write(dir.path().join("m.smi"), "CCO ethanol\nCCN amine\n").expect("molecules");
    let (input, output) = (dir.path().join("m.smi"), dir.path().join("m.npy"));
    run([
        "encode",
        "--modality",
        "molecule",
        "--model",
        "tests/golden/chemberta",
        "--input",
        &input.display().to_string(),
        "--output",
        &output.display().to_string(),
    ])
    .ok();
    let said = run(["inspect", &output.display().to_string()]).ok().stdout;
    assert!(said.contains("ethanol") && said.contains("48"), "{said}");
}
