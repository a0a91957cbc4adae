//! Both training stages as functions, on tiny real models: what is frozen stays bit for bit, the same seed gives the same
//! bytes, and a run that was interrupted ends like one that was not. The programs around them are tested elsewhere.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bioverse::align::{self, StageOptions, space::TextMetric};
use bioverse::config::{Resolved, RunConfig, TextSpace};
use bioverse::data::EncodedStore;
use bioverse::train::{Schedule, Trainer, gradients};
use bioverse::{Bundle, Error, Session, finetune, model::Bioverse, session::prompt_of};
use bioverse_core::{Example, Layout, PadSide, Registry};
use bioverse_nn::params::named_params;
use bioverse_nn::{CausalLm, GenerationConfig, LoraConfig, Tokenizer};
use burn::prelude::*;

/// Dropout draws from one generator per process, so trainings that are compared must not run side by side.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

fn registry() -> Registry {
    bioverse::registry::standard()
}

const MOLECULES: [(&str, &str); 8] = [
    ("CC(=O)Oc1ccccc1C(=O)O", "an acid that eases pain"),
    ("CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "a stimulant found in tea"),
    ("CCO", "an alcohol"),
    ("CC(C)O", "an alcohol"),
    ("C[C@@H](N)C(=O)O", "an amino acid"),
    ("c1ccccc1", "a ring of six carbons"),
    ("CC(=O)C", "a ketone and a solvent"),
    ("OC(=O)CC(O)(CC(=O)O)C(=O)O", "the acid of lemons"),
];

/// Ten rows: eight pairs, one row with three molecules (one of them in the answer), one without any.
fn write_rows(dir: &Path) -> PathBuf {
    let row = |question: &str, answer: &str, records: &[&str], split: &str| {
        let records: Vec<_> = records.iter().map(|smiles| ("molecule", smiles)).collect();
        serde_json::json!({
            "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}],
            "records": records, "split": split,
        })
    };
    let mut rows: Vec<_> = MOLECULES
        .iter()
        .map(|(smiles, text)| row("What is <molecule>?", text, &[smiles], "train"))
        .collect();
    let both = row(
        "Is <molecule> like <molecule>?",
        "Yes, unlike <molecule>.",
        &["CCO", "CC(C)O", "c1ccccc1"],
        "train",
    );
    rows.push(both);
    rows.push(row("Hello?", "Hello.", &[], "train"));
    rows.push(row("What is <molecule>?", "an alcohol", &["CCCO"], "test"));
    rows.push(row(
        "What is <molecule>?",
        "a ketone",
        &["CCC(=O)C"],
        "test",
    ));
    let path = dir.join("rows.jsonl");
    let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
    std::fs::write(&path, text).unwrap();
    path
}

fn config(dir: &Path, rows: &Path) -> RunConfig {
    let mut config = RunConfig::default();
    config.run.dir = dir.into();
    config.run.log_every = 1;
    config.run.checkpoint_every = 0;
    config.llm.path = models().join("llama");
    let encoder = models().join("chemberta").display().to_string();
    config.modality.insert(
        "molecule".into(),
        toml::Table::from_iter([("path".to_string(), toml::Value::String(encoder))]),
    );
    config.projector = toml::toml! {
        hidden_sizes = [24, 24]
        num_soft_tokens = 2
        dropout = 0.2
    };
    // The cache of whoever runs the tests is none of theirs.
    config.run.cache = false;
    config.data.train = rows.into();
    config.data.split_field = Some("split".into());
    config.align.batch_size = 6;
    config.align.steps = 6;
    config.align.warmup_steps = 2;
    config.finetune.steps = 4;
    config.finetune.warmup_steps = 1;
    config.finetune.batch_size = 3;
    config.finetune.accumulation = 2;
    config.finetune.max_length = 200;
    config.finetune.lora.lora_dropout = 0.1;
    config
}

fn resolved(config: &RunConfig) -> Resolved {
    Resolved {
        config: config.clone(),
        origins: BTreeMap::new(),
    }
}

fn go(stage: &str, config: &RunConfig, resume: bool) -> Result<Bundle, Error> {
    let options = StageOptions { resume };
    match stage {
        "align" => align::run(&resolved(config), &registry(), options),
        _ => finetune::run(&resolved(config), &registry(), options),
    }
}

/// What was trained, byte for byte. The copy of the configuration is left out: it names the run's directory.
fn trained_bytes(bundle: &Bundle) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![bundle.dir.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "safetensors") {
                let name = path.strip_prefix(&bundle.dir).unwrap().to_path_buf();
                files.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    files
}

fn metrics(dir: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(dir.join("metrics.jsonl")).unwrap();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    // What was measured before the first step has no loss of a step.
    lines.filter(|line| line["loss"].is_number()).collect()
}

#[test]
fn both_stages_learn_write_a_bundle_and_answer() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let rows = write_rows(dir.path());
    let mut first = config(&dir.path().join("align"), &rows);
    first.align.steps = 60;
    first.align.lr = 5e-3;
    let bundle = go("align", &first, false).unwrap();
    assert!(!first.run.dir.join("checkpoint").exists());
    let lines = metrics(&first.run.dir);
    let loss = |line: &serde_json::Value| line["loss"].as_f64().unwrap();
    assert_eq!(lines.len(), 60);
    assert!(
        loss(&lines[59]) < 0.7 * loss(&lines[0]),
        "{} {}",
        lines[0],
        lines[59]
    );
    assert!(lines[59]["held_out_mrr"].as_f64().unwrap() > 0.0);

    let mut second = config(&dir.path().join("finetune"), &rows);
    second.finetune.from = bundle.dir.clone();
    second.finetune.steps = 12;
    second.finetune.lr = 1e-2;
    let tuned = go("finetune", &second, false).unwrap();
    let lines = metrics(&second.run.dir);
    assert!(loss(&lines[11]) < loss(&lines[0]));
    assert!(lines[11]["held_out_loss"].as_f64().unwrap().is_finite());
    let (before, after) = (trained_bytes(&bundle), trained_bytes(&tuned));
    let projector = Path::new("projectors/molecule.safetensors");
    assert_ne!(before[projector], after[projector]);
    assert!(
        after
            .keys()
            .any(|file| file.ends_with("adapter_model.safetensors"))
    );

    let session = Session::open(&tuned.dir, &registry(), &Device::flex()).unwrap();
    let ask = |smiles: &str, question: &str| -> Example {
        let messages = serde_json::json!([{"role": "user", "content": question}]);
        let row = serde_json::json!({"messages": messages, "records": [["molecule", smiles]]});
        serde_json::from_value(row).unwrap()
    };
    let examples = [
        ask(
            "CCO",
            "What is <molecule>, and is it anything like what is found in tea?",
        ),
        ask("c1ccccc1", "What is <molecule>?"),
        ask("CC(=O)C", "Is <molecule> an acid?"),
    ];
    let generation = GenerationConfig {
        max_new_tokens: 8,
        ..GenerationConfig::default()
    };
    let together = session.answer(&examples, &generation, 2).unwrap();
    for (example, answer) in examples.iter().zip(&together) {
        let mut streamed = String::new();
        let alone = session
            .answer_streaming(example, &generation, &mut |text| streamed.push_str(text))
            .unwrap();
        assert_eq!(&alone, answer, "a batch must not change an answer");
        assert_eq!(streamed, alone);
    }
}

/// The modules of stage 2, as it builds them.
fn stage_2_model(device: &Device) -> Bioverse {
    let training = device.clone().autodiff();
    let lora = LoraConfig {
        target_modules: vec!["q_proj".into(), "v_proj".into()],
        ..RunConfig::default().finetune.lora
    };
    let llm = CausalLm::load(&models().join("llama"), device).unwrap();
    let llm = llm.apply_lora(&lora, &training).unwrap();
    let projector = registry().projector("molecule").unwrap();
    Bioverse::new(
        llm,
        vec![("molecule".into(), projector.init(48, 64, &training))],
    )
}

#[test]
fn steps_of_stage_2_change_projector_and_adapters_and_not_a_bit_of_the_llm() {
    let _alone = alone();
    let device = Device::flex();
    let tokenizer = Tokenizer::load(&models().join("llama")).unwrap();
    let mut model = stage_2_model(&device);
    let registry = registry();
    let config = config(Path::new("unused"), Path::new("unused"));
    let encoder = registry
        .load("molecule", &config.modality["molecule"], &device)
        .unwrap();
    let row = serde_json::json!({
        "messages": [{"role": "user", "content": "<molecule>?"}, {"role": "assistant", "content": "an alcohol"}],
        "records": [["molecule", "CCO"]],
    });
    let example: Example = serde_json::from_value(row).unwrap();
    let prompt = prompt_of(&tokenizer, &example, &["molecule"], true).unwrap();
    let soft_len = model.projector("molecule").unwrap().soft_len();
    let tokenize = |text: &str| tokenizer.encode(text).map_err(Into::into);
    let layout = Layout::new(&[prompt], 0, PadSide::Right, tokenize, |_| Ok(soft_len)).unwrap();
    let records = ["CCO".into()];
    let projector = model.projector("molecule").unwrap();
    let store = EncodedStore::build(&encoder, projector, &records, &|_| String::new()).unwrap();
    let encoded = BTreeMap::from([("molecule".to_string(), store)]);

    let before = named_params(&model);
    let mut trainer = Trainer::new(Schedule::Constant { lr: 1e-2 }, 0.1, Some(1.0));
    for _ in 0..3 {
        let loss = model
            .loss(&layout, &encoded, &device.clone().autodiff())
            .unwrap();
        let grads = gradients(loss, &model);
        model = trainer.step(model, grads).unwrap().0;
    }
    let after = named_params(&model);
    assert_eq!(before.len(), after.len());
    let (mut frozen, mut learnt) = (0, 0);
    for (old, new) in before.iter().zip(&after) {
        let learns = old.path.contains("lora_") || old.path.starts_with("projectors");
        assert_eq!(old.trainable, learns, "{}", old.path);
        assert_eq!(new.trainable, learns, "{} after training", old.path);
        assert_eq!(old.data != new.data, learns, "{}", old.path);
        frozen += usize::from(!learns);
        learnt += usize::from(learns);
    }
    assert!(
        frozen > 20 && learnt > 10,
        "{frozen} frozen, {learnt} learnt"
    );
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_does_not() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let rows = write_rows(dir.path());
    let run = |name: &str, seed: u64| {
        let mut config = config(&dir.path().join(name), &rows);
        config.run.seed = seed;
        let bundle = go("align", &config, false).unwrap();
        config.run.dir = config.run.dir.join("2");
        config.finetune.from = bundle.dir.clone();
        let tuned = go("finetune", &config, false).unwrap();
        (trained_bytes(&bundle), trained_bytes(&tuned))
    };
    let (a, b, c) = (run("a", 1), run("b", 1), run("c", 2));
    assert_eq!(a, b);
    assert_ne!(a.0, c.0);
    assert_ne!(a.1, c.1);
}

/// The environment variables by which a test hands a run to a copy of its own program.
const CHILD: [&str; 3] = [
    "STAGES_TEST_STAGE",
    "STAGES_TEST_CONFIG",
    "STAGES_TEST_RESUME",
];

/// Not a test of its own: the process that [`interrupted_runs_end_like_others`] interrupts.
#[test]
#[ignore = "runs as a child process of another test"]
fn child() {
    let [stage, config, resume] = CHILD.map(|name| std::env::var(name).unwrap_or_default());
    if stage.is_empty() {
        return;
    }
    let config: RunConfig = toml::from_str(&config).unwrap();
    match go(&stage, &config, resume == "yes") {
        Ok(_) => println!("finished"),
        Err(error) => println!("error: {error}"),
    }
}

fn spawn(stage: &str, config: &RunConfig, resume: &str) -> std::process::Child {
    let text = toml::to_string(config).unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "child",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .envs(CHILD.into_iter().zip([stage, text.as_str(), resume]))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Starts a run and presses Ctrl-C once `lines` lines of metrics are there; what the run said.
fn interrupt(stage: &str, config: &RunConfig, lines: usize, resume: &str) -> String {
    let child = spawn(stage, config, resume);
    let file = config.run.dir.join("metrics.jsonl");
    let deadline = Instant::now() + Duration::from_secs(60);
    let written = || std::fs::read_to_string(&file).map_or(0, |text| text.lines().count());
    while written() < lines && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
    let pid = child.id().to_string();
    Command::new("kill").args(["-INT", &pid]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs one stage without a break and once in pieces.
fn compare(stage: &str, mut config: RunConfig, dir: &Path) {
    config.run.dir = dir.join(format!("{stage}-whole"));
    let whole = go(stage, &config, false).unwrap();
    let whole_steps: Vec<_> = steps_of(&config.run.dir);
    config.run.dir = dir.join(format!("{stage}-pieces"));
    let said = interrupt(stage, &config, 3, "no");
    assert!(
        said.contains("--resume") && said.contains("interrupted at step"),
        "{said}"
    );
    assert!(!config.run.dir.join("bundle").exists());

    let mut other = config.clone();
    (other.align.lr, other.finetune.lr) = (0.5, 0.5);
    let refused = go(stage, &other, true).unwrap_err();
    assert!(
        refused.to_string().contains(&format!("{stage}.lr")),
        "{refused}"
    );
    assert_eq!(refused.exit_code(), 2);

    let before = metrics(&config.run.dir);
    let resumed = go(stage, &config, true).unwrap();
    // Lines hold measured rates: had the run started anew, the first ones would differ.
    assert_eq!(metrics(&config.run.dir)[..before.len()], before);
    assert!(before.len() < whole_steps.len());
    assert_eq!(trained_bytes(&resumed), trained_bytes(&whole));
    assert_eq!(
        steps_of(&config.run.dir),
        whole_steps,
        "metrics have a gap or a repeat"
    );
}

/// Step and loss of every line of metrics.
fn steps_of(dir: &Path) -> Vec<(u64, f64)> {
    let lines = metrics(dir);
    let pair = |line: &serde_json::Value| {
        (
            line["step"].as_u64().unwrap(),
            line["loss"].as_f64().unwrap(),
        )
    };
    lines.iter().map(pair).collect()
}

#[test]
fn interrupted_runs_end_like_others() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let rows = write_rows(dir.path());
    let mut config = config(&dir.path().join("unused"), &rows);
    config.align.steps = 1000;
    config.finetune.steps = 40;
    compare("align", config.clone(), dir.path());
    config.finetune.from = dir.path().join("align-whole/bundle");
    compare("finetune", config, dir.path());
}

#[test]
fn dry_runs_show_rows_and_train_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let rows = write_rows(dir.path());
    let mut config = config(&dir.path().join("align"), &rows);
    let text = align::dry_run(&resolved(&config), &registry()).unwrap();
    assert!(text.contains("molecule: 8 pairs (2 held out)"), "{text}");
    assert!(text.contains("an alcohol"), "{text}");
    assert!(!config.run.dir.exists());
    config.finetune.from = go_quick(&config);
    config.run.dir = dir.path().join("finetune");
    let text = finetune::dry_run(&resolved(&config), &registry()).unwrap();
    assert!(
        text.contains("‹molecule ×2›") && text.contains("⟦an acid that eases pain"),
        "{text}"
    );
    assert!(text.contains("2 soft"), "{text}");
    assert!(!config.run.dir.exists());
}

/// A bundle after one step.
fn go_quick(config: &RunConfig) -> PathBuf {
    let _alone = alone();
    let mut quick = config.clone();
    quick.align.steps = 1;
    go("align", &quick, false).unwrap().dir
}

#[test]
fn mistakes_end_in_one_sentence_that_names_them() {
    let dir = tempfile::tempdir().unwrap();
    let rows = write_rows(dir.path());
    let good = config(&dir.path().join("align"), &rows);
    let bundle = go_quick(&good);
    let fails = |stage: &str, change: &dyn Fn(&mut RunConfig), parts: &[&str]| {
        let mut config = good.clone();
        config.run.dir = dir.path().join("failing");
        config.finetune.from = bundle.clone();
        change(&mut config);
        let error = go(stage, &config, false)
            .map(|bundle| bundle.dir)
            .unwrap_err();
        for part in parts {
            assert!(error.to_string().contains(part), "{part}: {error}");
        }
        assert!(!config.run.dir.join("bundle").exists());
        error.exit_code()
    };
    let bad = |name: &str, question: &str, answer: &str, record: &str| {
        let row = serde_json::json!({
            "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}],
            "records": [["molecule", record]], "split": "train",
        });
        let path = dir.path().join(name);
        let old = std::fs::read_to_string(&rows).unwrap();
        std::fs::write(&path, format!("{old}{row}\n")).unwrap();
        path
    };
    let smiles = bad("smiles.jsonl", "<molecule>?", "x", "C1CC(");
    for stage in ["align", "finetune"] {
        let code = fails(
            stage,
            &|c| c.data.train = smiles.clone(),
            &["smiles.jsonl", "13"],
        );
        assert_eq!(code, 2);
    }
    let align = |change: &dyn Fn(&mut RunConfig), parts: &[&str]| fails("align", change, parts);
    assert_eq!(
        align(
            &|c| c.align.modalities = vec!["rna".into()],
            &["rna", "align.modalities"]
        ),
        2
    );
    assert_eq!(align(&|c| c.align.lr = 1e30, &["align.lr"]), 1);
    let tune = |change: &dyn Fn(&mut RunConfig), parts: &[&str]| fails("finetune", change, parts);
    assert_eq!(
        tune(&|c| c.finetune.from = PathBuf::new(), &["finetune.from"]),
        2
    );
    assert_eq!(
        tune(
            &|c| c.finetune.trainable = vec!["llm".into()],
            &["llm", "lora"]
        ),
        2
    );
    assert_eq!(
        tune(
            &|c| c.finetune.max_length = 12,
            &["row 1", "finetune.max_length"]
        ),
        2
    );
    let other_llm = |c: &mut RunConfig| c.llm.path = models().join("llama_tied");
    assert_eq!(tune(&other_llm, &["llama_tied"]), 2);
    // It was finished with one step.
    let error = go("align", &good, true).unwrap_err();
    assert!(error.to_string().contains("align.steps"), "{error}");
}

#[test]
fn projectors_can_be_frozen_and_modalities_are_carried_over() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let rows = write_rows(dir.path());
    let mut config = config(&dir.path().join("align"), &rows);
    let aligned = go("align", &config, false).unwrap();
    config.finetune.from = aligned.dir.clone();
    config.run.dir = dir.path().join("lora");
    config.finetune.trainable = vec!["lora".into()];
    let tuned = go("finetune", &config, false).unwrap();
    let projector = Path::new("projectors/molecule.safetensors");
    assert_eq!(
        trained_bytes(&aligned)[projector],
        trained_bytes(&tuned)[projector]
    );
    config.run.dir = dir.path().join("projectors");
    config.finetune.trainable = vec!["projectors".into()];
    let tuned = go("finetune", &config, false).unwrap();
    assert_ne!(
        trained_bytes(&aligned)[projector],
        trained_bytes(&tuned)[projector]
    );
    assert!(tuned.adapter_dir().is_none());
}

#[test]
fn the_metric_of_a_bundle_is_the_fitted_one() {
    let dir = tempfile::tempdir().unwrap();
    let rows = write_rows(dir.path());
    let config = config(&dir.path().join("align"), &rows);
    let bundle = Bundle::open(&go_quick(&config)).unwrap();
    let device = Device::flex();
    let session = Session::open(&bundle.dir, &registry(), &device).unwrap();
    let texts: Vec<String> = MOLECULES.iter().map(|(_, text)| text.to_string()).collect();
    let vectors = session
        .embed_texts("molecule", &texts, &|i| i.to_string())
        .unwrap();
    let fitted = TextMetric::fit(TextSpace::Whitened, vectors.clone()).unwrap();
    let stored = session.text_metric("molecule").unwrap();
    let difference = fitted.apply(vectors.clone()) - stored.apply(vectors);
    assert!(difference.abs().max().into_scalar::<f32>() < 1e-3);
    let records = MOLECULES.map(|(smiles, _)| smiles.into());
    let soft = session
        .embed_records("molecule", &records, &|i| i.to_string())
        .unwrap();
    assert_eq!(soft.dims(), [8, 64]);
}
