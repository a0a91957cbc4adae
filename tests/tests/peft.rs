//! Adapters that PEFT wrote, ours in PEFT, and merged and converted folders in transformers. Runs when `BIOVERSE_PYTHON`
//! (default `python3`) has torch, transformers and peft, and says so when not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use bioverse::convert::{Conversion, Replace, merge::AdapterMerge};
use bioverse_nn::{
    CausalLm, DecoderConfig, LoraConfig, Weights,
    lora::{Modules, Patterns},
    params::{load_params, named_params},
    weights::StoredDtype,
};
use bioverse_tests::{python, run as run_program};
use burn::{prelude::*, tensor::TensorData};
use serde_json::{Value, json};

const IDS: [[i64; 4]; 2] = [[1, 5, 2, 9], [3, 3, 12, 0]];
const TOLERANCE: f32 = 1e-4;

type Logits = Vec<f32>;

/// A tiny model, saved; `tied` as the small models of today are.
fn model(dir: &Path, tied: bool) -> PathBuf {
    let config = DecoderConfig {
        hidden_size: 16,
        intermediate_size: 24,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 4,
        vocab_size: 13,
        initializer_range: 0.3,
        tie_word_embeddings: tied,
        ..Default::default()
    };
    let dir = dir.join(if tied { "tied" } else { "untied" });
    CausalLm::init(&config, &Device::flex())
        .save(&dir, StoredDtype::F32)
        .unwrap();
    dir
}

fn logits(lm: &CausalLm) -> Logits {
    let ids = Tensor::<2, Int>::from_data(IDS, &Device::flex());
    let mask = Tensor::from_data([[true; 4]; 2], &Device::flex());
    let logits = lm.logits(lm.forward(lm.embed(ids), mask, None));
    logits.inner().into_data().iter::<f32>().collect()
}

/// Nested lists of numbers, flattened.
fn numbers(value: &Value) -> Logits {
    match value {
        Value::Array(items) => items.iter().flat_map(numbers).collect(),
        number => vec![number.as_f64().expect("a number") as f32],
    }
}

fn close(what: &str, ours: &[f32], theirs: &[f32]) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let pairs = ours.iter().zip(theirs);
    let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < TOLERANCE, "{what}: logits differ by {worst}");
}

/// What Python computes for cases of a model and perhaps an adapter.
fn run(cases: &BTreeMap<String, (PathBuf, Option<PathBuf>)>) -> Result<Value, String> {
    let case = |(model, adapter): &(PathBuf, Option<PathBuf>)| json!({"model": model, "adapter": adapter, "ids": IDS});
    let cases: BTreeMap<_, _> = cases.iter().map(|(name, c)| (name, case(c))).collect();
    python::answer("peft_roundtrip.py", &["run"], &json!(cases).to_string())
}

fn merged(model: &Path, adapter: &Path, output: PathBuf, dtype: Option<StoredDtype>) -> PathBuf {
    let merge = AdapterMerge {
        model: model.to_owned(),
        adapter: adapter.to_owned(),
        output: output.clone(),
        dtype,
    };
    merge.run(Replace::Never).unwrap();
    output
}

#[test]
fn adapters_of_peft_compute_the_same_here_attached_and_merged() {
    let device = Device::flex();
    let dir = tempfile::tempdir().unwrap();
    for tied in [false, true] {
        let base = model(dir.path(), tied);
        let out = dir.path().join(format!("peft-{tied}"));
        let args = [Path::new("make"), &base, &out];
        let answer = match python::answer("peft_roundtrip.py", &args, "") {
            Ok(answer) => answer,
            Err(missing) => return eprintln!("skipped: {missing}"),
        };
        let mut cases = BTreeMap::new();
        let mut expected = BTreeMap::new();
        let adapters = answer["adapters"].as_object().unwrap();
        assert_eq!(adapters.len(), 13);
        assert!(out.join("pickled/adapter_model.bin").is_file());
        for (name, case) in adapters {
            let what = format!("{name}, tied {tied}");
            let adapter = PathBuf::from(case["adapter"].as_str().unwrap());
            let theirs = numbers(&case["logits"]);
            let lm = CausalLm::load(&base, &device).unwrap();
            let lm = lm
                .load_adapter(&adapter, &device)
                .unwrap_or_else(|error| panic!("{what}: {error}"));
            close(&what, &logits(&lm), &theirs);
            close(
                &format!("{what}, folded"),
                &logits(&lm.merge_lora()),
                &theirs,
            );
            let output = merged(
                &base,
                &adapter,
                dir.path().join(format!("merged-{tied}-{name}")),
                None,
            );
            let lm = CausalLm::load(&output, &device).unwrap();
            close(&format!("{what}, merged"), &logits(&lm), &theirs);
            cases.insert(name.clone(), (output, None));
            expected.insert(name.clone(), theirs);
        }
        let converted = dir.path().join(format!("converted-{tied}"));
        let conversion = Conversion {
            input: PathBuf::from(answer["pickled_model"]["model"].as_str().unwrap()),
            output: converted.clone(),
            tokenizer: None,
            dtype: None,
        };
        conversion.run(Replace::Never).unwrap();
        cases.insert("converted".into(), (converted, None));
        expected.insert(
            "converted".into(),
            numbers(&answer["pickled_model"]["logits"]),
        );
        let theirs = run(&cases).unwrap();
        for (name, expected) in expected {
            close(
                &format!("transformers, {name}"),
                &numbers(&theirs[&name]),
                &expected,
            );
        }
    }
}

fn lora(targets: &[&str]) -> LoraConfig {
    LoraConfig {
        r: 3,
        lora_alpha: 6.0,
        target_modules: targets.iter().map(|name| (*name).to_owned()).collect(),
        ..LoraConfig::default()
    }
}

fn variants() -> BTreeMap<String, LoraConfig> {
    let list = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>()
    };
    let variants = [
        ("plain", lora(&["q_proj", "v_proj"])),
        ("all", lora(&["all-linear"])),
        (
            "rslora",
            LoraConfig {
                use_rslora: true,
                r: 5,
                ..lora(&["k_proj", "mlp.down_proj"])
            },
        ),
        (
            "regex",
            LoraConfig {
                target_modules: vec![],
                target_pattern: Some(r".*\.0\.self_attn\.(q|k)_proj".into()),
                ..lora(&[])
            },
        ),
        (
            "patterns",
            LoraConfig {
                rank_pattern: Patterns::from_iter([
                    ("layers.1.self_attn.q_proj".into(), 2),
                    ("q_proj".into(), 4),
                ]),
                alpha_pattern: Patterns::from_iter([("up_proj".into(), 1.5)]),
                exclude_modules: Some(Modules::List(list(&["layers.0.mlp.up_proj"]))),
                ..lora(&["q_proj", "up_proj"])
            },
        ),
        (
            "layers",
            LoraConfig {
                layers_to_transform: Some(vec![1]),
                ..lora(&["o_proj"])
            },
        ),
        ("head", lora(&["q_proj", "lm_head"])),
        (
            "saved",
            LoraConfig {
                modules_to_save: list(&["lm_head", "norm"]),
                ..lora(&["q_proj"])
            },
        ),
        (
            "embeddings",
            LoraConfig {
                modules_to_save: list(&["embed_tokens"]),
                ..lora(&["q_proj"])
            },
        ),
    ];
    variants
        .into_iter()
        .map(|(name, config)| (name.to_owned(), config))
        .collect()
}

/// The model as training might leave it: everything trainable has moved.
fn trained(lm: CausalLm) -> CausalLm {
    let params = named_params(&lm)
        .into_iter()
        .filter(|param| param.trainable);
    let moved = params.map(|param| {
        let wave = |(i, value): (usize, f32)| value + ((i * 7 % 11) as f32 - 5.0) * 0.05;
        let values: Vec<f32> = param.data.iter::<f32>().enumerate().map(wave).collect();
        (
            param.path,
            TensorData::new(values, param.data.shape().clone()),
        )
    });
    load_params(lm, moved.collect()).unwrap().0
}

#[test]
fn our_adapters_compute_the_same_in_peft_and_merged() {
    let device = Device::flex();
    let training = device.clone().autodiff();
    let dir = tempfile::tempdir().unwrap();
    let (mut cases, mut expected) = (BTreeMap::new(), BTreeMap::new());
    for tied in [false, true] {
        let base = model(dir.path(), tied);
        for (name, config) in variants() {
            let name = format!("{name}-{tied}");
            let lm = CausalLm::load(&base, &device).unwrap();
            let lm = trained(lm.apply_lora(&config, &training).unwrap());
            let adapter = dir.path().join(format!("ours-{name}"));
            lm.save_adapter(&adapter, &config, &base.to_string_lossy())
                .unwrap();
            let ours = logits(&lm);
            let plain = logits(&CausalLm::load(&base, &device).unwrap());
            let moved = ours.iter().zip(&plain).any(|(a, b)| (a - b).abs() > 1e-2);
            assert!(moved, "{name}: the adapter does nothing");
            let again = CausalLm::load(&base, &device).unwrap();
            let again = again.load_adapter(&adapter, &device).unwrap();
            close(&format!("{name}, read again"), &logits(&again), &ours);
            let output = merged(
                &base,
                &adapter,
                dir.path().join(format!("plain-{name}")),
                None,
            );
            close(
                &format!("{name}, merged"),
                &logits(&CausalLm::load(&output, &device).unwrap()),
                &ours,
            );
            cases.insert(name.clone(), (base.clone(), Some(adapter)));
            expected.insert(name, ours);
        }
    }
    let theirs = match run(&cases) {
        Ok(theirs) => theirs,
        Err(missing) => return eprintln!("skipped: {missing}"),
    };
    for (name, ours) in expected {
        close(&format!("peft, {name}"), &numbers(&theirs[&name]), &ours);
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn adapter(dir: &Path, base: &Path, config: &LoraConfig, named: &str) -> (PathBuf, Logits) {
    let training = Device::flex().autodiff();
    let lm = CausalLm::load(base, &Device::flex()).unwrap();
    let lm = trained(lm.apply_lora(config, &training).unwrap());
    let folder = dir.join("adapter");
    lm.save_adapter(&folder, config, named).unwrap();
    (folder, logits(&lm))
}

#[test]
fn the_command_writes_a_plain_folder() {
    let dir = tempfile::tempdir().unwrap();
    let base = model(dir.path(), true);
    std::fs::write(base.join("tokenizer_config.json"), "{}").unwrap();
    let config = LoraConfig {
        modules_to_save: vec!["lm_head".into()],
        ..lora(&["all-linear"])
    };
    let (folder, expected) = adapter(dir.path(), &base, &config, "some/other-model");
    let output = dir.path().join("plain");
    let merge = |more: &[&str]| {
        let (base, folder, output) = (text(&base), text(&folder), text(&output));
        let args = [
            "merge-adapter",
            "--model",
            &base,
            "--adapter",
            &folder,
            "--output",
            &output,
        ];
        run_program([&args, more].concat())
    };
    assert!(merge(&["--dry-run"]).ok().stdout.contains("would write"));
    assert!(!output.exists());
    let said = merge(&[]).ok();
    assert!(
        said.stdout.contains("bioverse generate --model"),
        "{said:?}"
    );
    assert!(
        said.stderr.contains("some/other-model"),
        "no word about another base: {said:?}"
    );
    let files = bioverse_tests::files_below(&output);
    let files: Vec<_> = files.iter().map(|file| text(file)).collect();
    let whole = [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer_config.json",
    ];
    assert_eq!(files, whole);
    let lm = CausalLm::load(&output, &Device::flex()).unwrap();
    assert!(
        !lm.config().tie_word_embeddings,
        "the head was trained alone"
    );
    close("merged by the command", &logits(&lm), &expected);

    let refused = merge(&[]);
    assert_eq!(refused.code, 2);
    assert!(refused.error().contains("--force"), "{refused:?}");
    merge(&["--force", "--dtype", "bf16"]).ok();
    let weights = Weights::open(&output).unwrap();
    assert_eq!(weights.dtype("model.norm.weight").unwrap(), "BF16");
    let config = std::fs::read_to_string(output.join("config.json")).unwrap();
    assert!(config.contains("bfloat16"), "{config}");
}

#[test]
fn what_does_not_fit_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let base = model(dir.path(), false);
    let (folder, _) = adapter(dir.path(), &base, &lora(&["q_proj"]), "base");
    let refuse = |model: &Path, adapter: &Path, says: &str| {
        let output = dir.path().join("no");
        let (model, adapter, output) = (text(model), text(adapter), text(&output));
        let args = [
            "merge-adapter",
            "--model",
            &model,
            "--adapter",
            &adapter,
            "--output",
            &output,
        ];
        let ended = run_program(args);
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.error().contains(says), "{ended:?}");
        assert!(!Path::new(&output).exists());
    };
    refuse(&base, &base, "adapter_config.json");
    let other = dir.path().join("other");
    let config = DecoderConfig {
        hidden_size: 8,
        ..CausalLm::load(&base, &Device::flex())
            .unwrap()
            .config()
            .clone()
    };
    CausalLm::init(&config, &Device::flex())
        .save(&other, StoredDtype::F32)
        .unwrap();
    refuse(&other, &folder, "lora_A.weight");
    let file = folder.join("adapter_config.json");
    let json = std::fs::read_to_string(&file).unwrap();
    std::fs::write(
        &file,
        json.replace(r#""use_dora": false"#, r#""use_dora": true"#),
    )
    .unwrap();
    refuse(&base, &folder, "use_dora");
}

/// What stage 2 leaves is a bundle; its LoRA becomes part of the model.
#[test]
fn a_tuned_bundle_is_an_adapter() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("align"), dir.path().join("finetune"));
    run_program(bioverse_tests::tiny_align(&first)).ok();
    let sets = [
        format!("run.dir={}", second.display()),
        format!("finetune.from={}", first.display()),
        r#"finetune.lora.modules_to_save=["norm", "lm_head"]"#.to_owned(),
    ];
    run_program(bioverse_tests::stage("finetune", &sets)).ok();
    let base = bioverse_tests::root().join("tests/golden/llama");
    let output = dir.path().join("plain");
    let merge = |adapter: &Path| {
        let (base, adapter, output) = (text(&base), text(adapter), text(&output));
        run_program([
            "merge-adapter",
            "--model",
            &base,
            "--adapter",
            &adapter,
            "--output",
            &output,
        ])
    };
    assert!(merge(&first).error().contains("bioverse finetune"));
    merge(&second).ok();
    let device = Device::flex();
    let lm = CausalLm::load(&base, &device).unwrap();
    let lm = lm
        .load_adapter(&second.join("bundle/adapter"), &device)
        .unwrap();
    let head = |weights: Weights, key: &str| weights.data(key).unwrap();
    let stored =
        Weights::open_file(&second.join("bundle/adapter/adapter_model.safetensors")).unwrap();
    let trained = head(stored, "base_model.model.lm_head.weight");
    let before = head(Weights::open(&base).unwrap(), "lm_head.weight");
    assert_eq!(trained.shape(), before.shape());
    assert_ne!(trained, before, "the head was to be trained");
    close(
        "tuned",
        &logits(&CausalLm::load(&output, &device).unwrap()),
        &logits(&lm),
    );
}
