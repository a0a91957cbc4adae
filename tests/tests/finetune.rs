//! Stage 2 with the real program: what learns and what stands still, at which rate, what is measured on the way, and what is
//! refused.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bioverse_nn::weights::Weights;
use bioverse_tests::run;
use bioverse_tests::tuning::{aligned, dry, metrics, tuned, tuning};
use serde_json::{Value, json};
use tempfile::TempDir;

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
