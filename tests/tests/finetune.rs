//! Stage 2 with the real program: what learns and what stands still, how rows are drawn and packed, what is measured on the
//! way, and what is refused.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bioverse_nn::weights::Weights;
use bioverse_tests::{Ended, root, run, stage};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A tiny bundle of stage 1 below `dir`.
fn aligned(dir: &Path, sets: &[&str]) -> PathBuf {
    let run_dir = dir.join("align");
    let mut all = vec![
        format!("run.dir={}", run_dir.display()),
        "align.steps=2".into(),
        "align.warmup_steps=1".into(),
    ];
    all.extend(sets.iter().map(|set| set.to_string()));
    run(stage("align", &all)).ok();
    run_dir
}

/// Arguments of the tiny stage 2 from `from` with its results in `dir`.
fn tuning(from: &Path, dir: &Path, sets: &[&str]) -> Vec<String> {
    let mut all = vec![
        format!("run.dir={}", dir.display()),
        format!("finetune.from={}", from.display()),
        "finetune.steps=2".into(),
        "finetune.warmup_steps=1".into(),
        "finetune.audit=false".into(),
    ];
    all.extend(sets.iter().map(|set| set.to_string()));
    stage("finetune", &all)
}

fn tuned(from: &Path, dir: PathBuf, sets: &[&str]) -> PathBuf {
    run(tuning(from, &dir, sets)).ok();
    dir
}

fn dry(from: &Path, dir: &Path, sets: &[&str]) -> Ended {
    let mut args = tuning(from, dir, sets);
    args.push("--dry-run".into());
    run(args)
}

fn scratch() -> TempDir {
    tempfile::tempdir().expect("a scratch directory")
}

/// Every tensor of a bundle that can learn: `projector/<name>`, `adapter/<name>`.
fn learnable(run_dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let bundle = run_dir.join("bundle");
    let mut found = BTreeMap::new();
    for (kind, file) in [
        ("projector", "projectors/molecule.safetensors"),
        ("adapter", "adapter/adapter_model.safetensors"),
    ] {
        let path = bundle.join(file);
        if !path.is_file() {
            continue;
        }
        let weights = Weights::open_file(&path).expect("a readable file");
        for name in weights.names() {
            let bytes = weights.bytes(name).expect("a tensor").into_owned();
            found.insert(format!("{kind}/{name}"), bytes);
        }
    }
    found
}

fn metrics(dir: &Path) -> Vec<Value> {
    let text = fs::read_to_string(dir.join("metrics.jsonl")).expect("metrics");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

#[test]
fn every_set_learns_alone_and_the_others_stay_bit_for_bit() {
    let dir = scratch();
    let first = aligned(dir.path(), &["projector.task_token=true"]);
    let start = tuned(&first, dir.path().join("start"), &[]);
    let before = learnable(&start);
    assert!(before.keys().any(|name| name.starts_with("adapter/")));
    assert!(before.contains_key("projector/task_token"));
    for chosen in 1..8u8 {
        let names = ["projectors", "task_tokens", "lora"].iter().enumerate();
        let names: Vec<&str> = names
            .filter(|(bit, _)| chosen & (1 << bit) != 0)
            .map(|(_, name)| *name)
            .collect();
        let set = format!("finetune.trainable={}", json!(names));
        let after = learnable(&tuned(
            &start,
            dir.path().join(format!("{chosen}")),
            &[&set],
        ));
        assert_eq!(before.len(), after.len());
        for (name, old) in &before {
            let of = match name.as_str() {
                "projector/task_token" => "task_tokens",
                name if name.starts_with("projector/") => "projectors",
                _ => "lora",
            };
            assert_eq!(
                *old != after[name],
                names.contains(&of),
                "{name} with {names:?}"
            );
        }
    }
}

#[test]
fn a_projector_without_a_task_token_gets_one_where_task_tokens_learn() {
    let dir = scratch();
    let start = aligned(dir.path(), &[]);
    let set = "finetune.trainable=[\"task_tokens\"]";
    let shown = dry(&start, &dir.path().join("dry"), &[set]).ok().stdout;
    assert!(shown.contains("‹molecule ×3›"), "{shown}");
    assert!(
        shown.contains("task_tokens: 64 parameters in 1 tensors"),
        "{shown}"
    );
    assert!(
        !shown.contains("lora:") && !shown.contains("  projectors:"),
        "{shown}"
    );
    let (before, after) = (
        learnable(&start),
        learnable(&tuned(&start, dir.path().join("tuned"), &[set])),
    );
    let new: Vec<&String> = after
        .keys()
        .filter(|name| !before.contains_key(*name))
        .collect();
    assert_eq!(new, ["projector/task_token"]);
    assert!(before.iter().all(|(name, old)| after[name] == *old));
    let again = dry(&dir.path().join("tuned"), &dir.path().join("dry"), &[])
        .ok()
        .stdout;
    assert!(again.contains("‹molecule ×3›"), "{again}");
}

#[test]
fn adapters_are_what_the_configuration_says() {
    let dir = scratch();
    let start = aligned(dir.path(), &[]);
    let sets = [
        "finetune.lora.r=3",
        "finetune.lora.lora_alpha=5",
        "finetune.lora.lora_dropout=0.2",
        "finetune.lora.use_rslora=true",
        "finetune.lora.target_modules=[\"k_proj\", \"down_proj\"]",
    ];
    let end = tuned(&start, dir.path().join("tuned"), &sets);
    let config = fs::read_to_string(end.join("bundle/adapter/adapter_config.json")).unwrap();
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!(
        (&config["r"], &config["use_rslora"]),
        (&json!(3), &json!(true))
    );
    assert_eq!(
        (
            config["lora_alpha"].as_f64(),
            config["lora_dropout"].as_f64()
        ),
        (Some(5.0), Some(0.2))
    );
    let names = learnable(&end)
        .into_keys()
        .filter(|name| name.starts_with("adapter/"));
    let names: Vec<String> = names.collect();
    assert!(
        names
            .iter()
            .all(|name| name.contains("k_proj") || name.contains("down_proj")),
        "{names:?}"
    );
    assert!(names.iter().any(|name| name.contains("down_proj")) && names.len().is_multiple_of(4));
    // Another scale is another function: the same steps end elsewhere.
    let other = tuned(
        &start,
        dir.path().join("other"),
        &[&sets[..3], &sets[4..]].concat(),
    );
    assert_ne!(learnable(&end), learnable(&other));
}

#[test]
fn rates_are_told_and_used() {
    let dir = scratch();
    let start = aligned(dir.path(), &["projector.task_token=true"]);
    let all = "finetune.trainable=[\"projectors\", \"task_tokens\", \"lora\"]";
    let rates = [
        "finetune.lr_lora=5e-4",
        "finetune.layer_decay=0.5",
        "finetune.lr_task_tokens=2e-3",
    ];
    let text = dry(
        &start,
        &dir.path().join("dry"),
        &[&[all], &rates[..]].concat(),
    )
    .ok()
    .stdout;
    assert!(
        text.contains("lora: ") && text.contains("(bottom) to 5e-4 (top)"),
        "{text}"
    );
    assert!(
        text.contains("learning rate 2e-3") && text.contains("learning rate 1e-3"),
        "{text}"
    );
    // A rate so small that nothing moves stands for one that is not used.
    let tiny = tuned(
        &start,
        dir.path().join("tiny"),
        &[all, "finetune.lr_projectors=1e-30"],
    );
    let (before, after) = (learnable(&start), learnable(&tiny));
    assert_eq!(
        before["projector/fc1.weight"],
        after["projector/fc1.weight"]
    );
    assert_ne!(
        before["projector/task_token"],
        after["projector/task_token"]
    );
}

/// The largest difference between two runs' tensors.
fn farthest(a: &Path, b: &Path) -> f32 {
    let (a, b) = (learnable(a), learnable(b));
    let floats = |bytes: &[u8]| -> Vec<f32> {
        let words = bytes.chunks_exact(4);
        words
            .map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]]))
            .collect()
    };
    let pairs = a
        .iter()
        .flat_map(|(name, values)| floats(values).into_iter().zip(floats(&b[name])));
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn recomputing_layers_changes_memory_and_nothing_else() {
    let dir = scratch();
    let start = aligned(dir.path(), &[]);
    let sets = ["finetune.lora.lora_dropout=0", "finetune.accumulation=1"];
    let whole = tuned(&start, dir.path().join("whole"), &sets);
    let with = [&sets[..], &["finetune.gradient_checkpointing=true"]].concat();
    let recomputed = tuned(&start, dir.path().join("recomputed"), &with);
    let off = farthest(&whole, &recomputed);
    assert!(off < 1e-5, "{off}");
    let dropout = [
        &sets[1..],
        &[
            "finetune.gradient_checkpointing=true",
            "finetune.lora.lora_dropout=0.3",
        ],
    ]
    .concat();
    let [first, second] = ["one", "two"].map(|name| tuned(&start, dir.path().join(name), &dropout));
    assert_eq!(
        learnable(&first),
        learnable(&second),
        "dropout is a function of the seed"
    );
    assert!(farthest(&first, &recomputed) > 0.0, "dropout acts");
}

#[test]
fn packed_rows_are_shown_and_trained_on_and_the_course_is_measured() {
    let dir = scratch();
    let start = aligned(dir.path(), &[]);
    let sets = [
        "finetune.packing=true",
        "finetune.batch_size=2",
        "finetune.eval_every=1",
        "finetune.eval_rows=5",
    ];
    let text = dry(&start, &dir.path().join("dry"), &sets).ok().stdout;
    assert!(
        text.contains("2 × 2 sequences") && text.contains("(5 held out)"),
        "{text}"
    );
    let packed = text.split("packed: ").nth(1).expect("what is packed");
    let numbers: Vec<f64> = packed
        .split(|c: char| !c.is_ascii_digit() && c != '.')
        .filter_map(|n| n.parse().ok())
        .collect();
    let [rows, sequences, room, full] = numbers[..4] else {
        panic!("{packed}")
    };
    assert!(
        rows == 64.0 && sequences < rows / 2.0 && room == 256.0 && full > 75.0,
        "{packed}"
    );
    assert!(packed.contains("\n┃\n"), "{packed}");
    let end = tuned(&start, dir.path().join("tuned"), &sets);
    let lines = metrics(&end);
    let steps: Vec<u64> = lines
        .iter()
        .filter_map(|line| line["step"].as_u64())
        .collect();
    assert_eq!(steps, [0, 1, 2]);
    for line in &lines {
        let (loss, accuracy) = (
            line["held_out_loss"].as_f64(),
            line["held_out_accuracy"].as_f64(),
        );
        assert!(loss.is_some_and(|loss| loss > 0.0), "{line}");
        assert!(
            accuracy.is_some_and(|share| (0.0..=1.0).contains(&share)),
            "{line}"
        );
        assert_eq!(line["held_out_rows"], 5);
    }
    assert_ne!(lines[0]["held_out_loss"], lines[2]["held_out_loss"]);
}

#[test]
fn training_stops_when_nothing_improves() {
    let dir = scratch();
    let start = aligned(dir.path(), &[]);
    // A rate at which nothing moves: the first measurement stays the best.
    let sets = [
        "finetune.steps=12",
        "finetune.lr=1e-30",
        "finetune.eval_every=1",
        "finetune.early_stopping=true",
        "finetune.patience=2",
    ];
    let end = tuned(&start, dir.path().join("tuned"), &sets);
    let last = metrics(&end).last().and_then(|line| line["step"].as_u64());
    assert!(last.is_some_and(|step| step < 12), "{last:?}");
}

#[test]
fn what_makes_no_run_is_refused_in_one_sentence() {
    let dir = scratch();
    let start = aligned(dir.path(), &[]);
    for (sets, parts) in [
        (
            &["finetune.early_stopping=true"][..],
            &["finetune.early_stopping", "finetune.eval_every"][..],
        ),
        (
            &["finetune.dtype=bf16"],
            &["finetune.dtype", "run.device", "f32"],
        ),
        (
            &[
                "finetune.trainable=[\"projectors\"]",
                "finetune.lr_lora=1e-4",
            ],
            &["finetune.lr_lora", "finetune.trainable"],
        ),
        (
            &[
                "finetune.trainable=[\"projectors\"]",
                "finetune.layer_decay=0.9",
            ],
            &["finetune.layer_decay"],
        ),
        (
            &["finetune.modality_weights.molecul=2"],
            &["finetune.modality_weights", "molecul", "molecule"],
        ),
        (
            &["finetune.trainable=[\"projector\"]"],
            &["projector", "projectors"],
        ),
        (&["finetune.trainable=[]"], &["finetune.trainable", "lora"]),
        (
            &["finetune.layer_decay=0"],
            &["finetune.layer_decay", "above 0"],
        ),
        (
            &["finetune.modality_weights.molecule=-1"],
            &["finetune.modality_weights.molecule"],
        ),
    ] {
        for ended in [
            dry(&start, &dir.path().join("refused"), sets),
            run(tuning(&start, &dir.path().join("refused"), sets)),
        ] {
            assert_eq!(ended.code, 2, "{sets:?}: {ended:?}");
            for part in parts {
                assert!(ended.error().contains(part), "{part}: {}", ended.error());
            }
        }
        assert!(!dir.path().join("refused/bundle").exists());
    }
}

/// A copy of the tiny LLM with another chat template.
fn llm_with(dir: &Path, template: &str) -> PathBuf {
    let (from, to) = (root().join("tests/golden/llama"), dir.join("llm"));
    fs::create_dir_all(&to).unwrap();
    for file in [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
    ] {
        fs::copy(from.join(file), to.join(file)).unwrap();
    }
    let settings = fs::read_to_string(from.join("tokenizer_config.json")).unwrap();
    let mut settings: Value = serde_json::from_str(&settings).unwrap();
    settings["chat_template"] = json!(template);
    fs::write(to.join("tokenizer_config.json"), settings.to_string()).unwrap();
    to
}

#[test]
fn a_wrong_chat_template_is_refused_by_the_dry_run() {
    let turn = "<|start_header_id|>{{ m.role }}<|end_header_id|>{{ '\\n\\n' + m.content | trim }}<|eot_id|>";
    let prompt = "<|start_header_id|>assistant<|end_header_id|>{{ '\\n\\n' }}";
    let style = |turn: &str, prompt: &str| {
        format!(
            "{{% for m in messages %}}{turn}{{% endfor %}}{{% if add_generation_prompt %}}{prompt}{{% endif %}}"
        )
    };
    let changed = |to: &str| style(&turn.replace("m.content | trim", to), prompt);
    for (name, template, reason) in [
        ("good", style(turn, prompt), None),
        (
            "upper",
            changed("m.content | upper"),
            Some("drops or changes the text of turn 1 (user)"),
        ),
        (
            "drops",
            changed("('' if m.role == 'assistant' else m.content)"),
            Some("drops or changes the text of turn 2 (assistant)"),
        ),
        ("twice", changed("m.content + m.content"), Some("2 times")),
        ("no-prompt", style(turn, ""), Some("in front of the answer")),
        (
            "other-prompt",
            style(turn, "<|start_header_id|>model<|end_header_id|>"),
            Some("ends a question with"),
        ),
        (
            "alike",
            style("{{ m.content }}<|eot_id|>", ""),
            Some("user and assistant turns alike"),
        ),
        (
            "endless",
            style(&turn.replace("<|eot_id|>", "."), prompt),
            Some("does not end a text for this LLM"),
        ),
    ] {
        let dir = scratch();
        let llm = format!("llm.path={}", llm_with(dir.path(), &template).display());
        let start = aligned(dir.path(), &[&llm]);
        let ended = dry(&start, &dir.path().join("dry"), &[&llm]);
        match reason {
            None => assert_eq!(ended.code, 0, "{name}: {ended:?}"),
            Some(reason) => {
                assert_eq!(ended.code, 2, "{name}: {ended:?}");
                assert!(ended.error().contains(reason), "{name}: {}", ended.error());
                assert!(
                    ended.error().contains("questions.jsonl row"),
                    "{}",
                    ended.error()
                );
            }
        }
    }
}

/// Writes a configuration with two modalities; `data` is its last table and `rest` what follows.
fn two_modalities(dir: &Path, name: &str, rest: &str) -> PathBuf {
    let golden = root().join("tests/golden").display().to_string();
    let text = format!(
        "[run]\ndir = '{run}'\nseed = 3\nlog_every = 1\ncheckpoint_every = 0\n[llm]\npath = '{golden}/llama'\n\
         [modality.molecule]\npath = '{golden}/chemberta'\n[modality.protein]\npath = '{golden}/esm2'\n\
         [projector]\nhidden_sizes = [24, 24]\nnum_soft_tokens = 2\n{rest}",
        run = dir.join(name).display(),
    );
    let file = dir.join(format!("{name}.toml"));
    fs::write(&file, text).unwrap();
    file
}

fn write_lines(file: &Path, rows: impl IntoIterator<Item = Value>) -> String {
    let text: String = rows.into_iter().map(|row| format!("{row}\n")).collect();
    fs::write(file, text).unwrap();
    file.display().to_string()
}

const PROTEINS: [&str; 4] = ["MKTAYIAKQR", "GSHMLEDPAA", "MVLSPADKTN", "MNIFEMLRID"];
const MOLECULES: [&str; 4] = ["CCO", "c1ccccc1", "CC(=O)C", "NCC(=O)O"];

/// Stage 1 for both modalities.
fn both_aligned(dir: &Path) -> PathBuf {
    let pair = |(record, text): (&&str, usize)| json!({"record": record, "text": format!("number {text}")});
    let file = |name: &str, records: [&str; 4]| {
        write_lines(&dir.join(name), records.iter().zip(0..).map(pair))
    };
    let (molecules, proteins) = (file("m.jsonl", MOLECULES), file("p.jsonl", PROTEINS));
    let config = two_modalities(
        dir,
        "align",
        &format!(
            "[data]\ninput_field = 'record'\ntext_field = 'text'\n[[data.mixture]]\ntrain = '{molecules}'\nmodality = \
             'molecule'\n[[data.mixture]]\ntrain = '{proteins}'\nmodality = 'protein'\n[align]\nbatch_size = 4\nsteps = \
             2\nwarmup_steps = 1\n"
        ),
    );
    run(["align", "--config", &config.display().to_string()]).ok();
    dir.join("align")
}

#[test]
fn conversations_with_records_of_two_modalities_learn_every_answer_and_nothing_else() {
    let dir = scratch();
    let start = both_aligned(dir.path());
    let answers = ["It binds.", "That one too, like \u{3c}protein>.", "No."];
    let rows = MOLECULES.iter().zip(PROTEINS).map(|(molecule, protein)| {
        json!({
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Does <molecule> bind <protein>?"},
                {"role": "assistant", "content": answers[0]},
                {"role": "user", "content": "And <molecule>?"},
                {"role": "assistant", "content": answers[1]},
                {"role": "user", "content": "Both?"},
                {"role": "assistant", "content": answers[2]},
            ],
            "records": [["molecule", molecule], ["protein", protein], ["molecule", "CCO"], ["protein", "GSHM"]],
        })
    });
    let rows = write_lines(&dir.path().join("talk.jsonl"), rows);
    let config = |name: &str, more: &str| {
        let rest = format!(
            "[data]\ntrain = '{rows}'\n[finetune]\nfrom = '{}'\nlr = 1e-2\nbatch_size = 2\nsteps = 3\nwarmup_steps = 1\n\
             audit = false\n{more}",
            start.display()
        );
        two_modalities(dir.path(), name, &rest)
            .display()
            .to_string()
    };
    let file = config("tuned", "");
    let text = run(["finetune", "--config", &file, "--dry-run"])
        .ok()
        .stdout;
    let row = text
        .split("talk.jsonl row 1: ")
        .nth(1)
        .and_then(|row| row.split("\n\n").next());
    let (counts, row) = text
        .split("talk.jsonl row 1: ")
        .nth(1)
        .and_then(|row| row.split_once('\n'))
        .unwrap_or_else(|| panic!("{row:?}"));
    assert!(counts.contains(" 8 soft "), "{counts}");
    let row = row.split("talk.jsonl row 2").next().unwrap_or(row);
    let learnt: Vec<&str> = row
        .split('⟦')
        .skip(1)
        .filter_map(|part| part.split('⟧').next())
        .collect();
    assert_eq!(
        learnt,
        [
            "It binds.<|eot_id|>",
            "That one too, like ",
            ".<|eot_id|>",
            "No.<|eot_id|>"
        ]
    );
    let soft: Vec<&str> = row
        .split('‹')
        .skip(1)
        .filter_map(|part| part.split(' ').next())
        .collect();
    assert_eq!(soft, ["molecule", "protein", "molecule", "protein"]);

    run(["finetune", "--config", &file]).ok();
    for modality in ["molecule", "protein"] {
        let file = format!("bundle/projectors/{modality}.safetensors");
        let [before, after] =
            [&start, &dir.path().join("tuned")].map(|run| fs::read(run.join(&file)).unwrap());
        assert_ne!(before, after, "{modality}");
    }
    let packed = config(
        "packed",
        "packing = true\nmax_length = 400\ngradient_checkpointing = true\n",
    );
    run(["finetune", "--config", &packed]).ok();
    let losses: Vec<f64> = metrics(&dir.path().join("packed"))
        .iter()
        .filter_map(|line| line["loss"].as_f64())
        .collect();
    assert!(losses.len() == 3 && losses[2] < losses[0], "{losses:?}");
}

#[test]
fn sources_and_modalities_are_drawn_by_their_weights() {
    let dir = scratch();
    let start = both_aligned(dir.path());
    let ask = |modality: &str, record: &str| {
        json!({
            "messages": [{"role": "user", "content": format!("<{modality}>?")}, {"role": "assistant", "content": "Yes."}],
            "records": [[modality, record]],
        })
    };
    let many = (0..40).map(|n| ask("molecule", MOLECULES[n % 4]));
    let many = write_lines(&dir.path().join("many.jsonl"), many);
    let few = write_lines(
        &dir.path().join("few.jsonl"),
        (0..8).map(|n| ask("protein", PROTEINS[n % 4])),
    );
    let shares = |weights: [f64; 2], more: &str| -> Vec<f64> {
        let [heavy, light] = weights;
        let rest = format!(
            "[[data.mixture]]\ntrain = '{many}'\nweight = {heavy}\n[[data.mixture]]\ntrain = '{few}'\nweight = {light}\n\
             [finetune]\nfrom = '{}'\nbatch_size = 4\nsteps = 4\nwarmup_steps = 1\n{more}",
            start.display()
        );
        let config = two_modalities(dir.path(), "mixed", &rest)
            .display()
            .to_string();
        let text = run(["finetune", "--config", &config, "--dry-run"])
            .ok()
            .stdout;
        let drawn = text.lines().filter(|line| line.contains(" rows, drawn "));
        let count = |line: &str| line.split("drawn ").nth(1)?.split(' ').next()?.parse().ok();
        drawn
            .map(|line| count(line).unwrap_or_else(|| panic!("{line}")))
            .collect()
    };
    // In the order of their names: few (proteins), many (molecules).
    let near = |got: Vec<f64>, want: [f64; 2]| {
        assert_eq!(got.len(), 2);
        let sum: f64 = got.iter().sum();
        // What does not fill a batch of four waits for the next epoch, and every row may be one off.
        for (got, want) in got.iter().zip(want) {
            assert!(
                (got / sum - want).abs() < 0.13,
                "{got} of {sum}, not {want}"
            );
        }
    };
    near(shares([1.0, 1.0], ""), [8.0 / 48.0, 40.0 / 48.0]);
    near(shares([1.0, 5.0], ""), [0.5, 0.5]);
    near(
        shares([1.0, 1.0], "modality_weights = { protein = 5.0 }\n"),
        [0.5, 0.5],
    );
    near(shares([1.0, 1.0], "sampling = 'balanced'\n"), [0.5, 0.5]);
    near(
        shares(
            [1.0, 1.0],
            "sampling = 'balanced'\nmodality_weights = { molecule = 3.0 }\npacking = true\n",
        ),
        [0.25, 0.75],
    );
}
