//! Objectives of stage 1 through the real program: what they learn, what the dry run tells, what is refused.

use std::path::{Path, PathBuf};

use bioverse_nn::weights::Weights;
use bioverse_tests::{root, run, stage};
use serde_json::{Value, json};

fn sets(dir: &Path, more: &[&str]) -> Vec<String> {
    let own = format!("run.dir={}", dir.display());
    let more = more.iter().map(|set| set.to_string());
    [own].into_iter().chain(more).collect()
}

fn metrics(dir: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(dir.join("metrics.jsonl")).expect("metrics");
    let lines = text.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().expect("JSON lines")
}

fn losses(dir: &Path) -> Vec<f64> {
    let lines = metrics(dir);
    lines
        .iter()
        .filter_map(|line| line["loss"].as_f64())
        .collect()
}

fn projector(dir: &Path) -> Vec<u8> {
    let file = dir.join("bundle/projectors/molecule.safetensors");
    std::fs::read(file).expect("a projector")
}

/// Runs the tiny stage 1 with values replaced.
fn aligned(name: &str, more: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let dir = scratch.path().join(name);
    run(stage("align", &sets(&dir, more))).ok();
    (scratch, dir)
}

fn refused(more: &[&str]) -> String {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let ended = run(stage("align", &sets(&scratch.path().join("run"), more)));
    assert_eq!(ended.code, 2, "{ended:#?}");
    assert!(!scratch.path().join("run/bundle").exists());
    ended.error().to_string()
}

fn dry(more: &[&str]) -> String {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let mut args = stage("align", &sets(&scratch.path().join("run"), more));
    args.push("--dry-run".into());
    let ended = run(args).ok();
    assert!(
        !scratch.path().join("run").exists(),
        "a dry run writes nothing"
    );
    ended.stdout
}

#[test]
fn every_contrastive_objective_learns_and_leaves_a_plain_projector() {
    let texts = root().join("tests/data/molecules.jsonl");
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let general = scratch.path().join("general.txt");
    let lines = [
        "The train is late.",
        "Rain fell on the sea.",
        "He sold the house.",
        "",
    ];
    std::fs::write(&general, lines.join("\n")).expect("a file");
    let negatives = format!("align.negatives={}", general.display());
    let cases: [(&str, &[&str]); 4] = [
        (
            "temperature",
            &["align.learn_temperature=true", "align.lr=1e-2"],
        ),
        ("one way", &["align.direction=bio-to-text", &negatives]),
        (
            "siglip",
            &[
                "align.objective=siglip",
                "align.learn_temperature=true",
                "align.lr=1e-2",
            ],
        ),
        (
            "chunks",
            &[
                "align.micro_batch_size=5",
                "align.positives=group",
                "data.group_field=group",
            ],
        ),
    ];
    assert!(texts.is_file());
    for (name, more) in cases {
        let (_scratch, dir) = aligned(name, more);
        let losses = losses(&dir);
        let (first, last) = (losses[0], losses[losses.len() - 1]);
        assert!(last < first - 0.05, "{name}: {first} to {last}");
        if name == "one way" {
            let (_again, other) = aligned(name, more);
            assert_eq!(
                projector(&dir),
                projector(&other),
                "the same seed, the same bytes"
            );
        }
        let stored = Weights::open_file(&dir.join("bundle/projectors/molecule.safetensors"));
        let stored = stored.expect("safetensors");
        let names = stored.names();
        assert!(
            names
                .iter()
                .all(|name| name.starts_with("fc") || name.starts_with("ln")),
            "{names:?}"
        );
    }
}

#[test]
fn a_learnt_temperature_is_told() {
    let more = [
        "align.learn_temperature=true",
        "align.lr=1e-2",
        "align.steps=12",
        "run.log_every=1",
    ];
    let (_scratch, dir) = aligned("whole", &more);
    let told = |line: &Value| line["temperature"].as_f64();
    let temperatures: Vec<f64> = metrics(&dir).iter().filter_map(told).collect();
    assert_eq!(temperatures.len(), 12, "one on every line of a step");
    assert!((temperatures[0] - 0.07).abs() < 1e-6, "{temperatures:?}");
    assert!((temperatures[11] - 0.07).abs() > 1e-3, "{temperatures:?}");
    let (_fixed, fixed) = aligned("fixed", &["align.steps=4"]);
    assert!(
        metrics(&fixed)
            .iter()
            .all(|line| line.get("temperature").is_none())
    );
}

/// Eight labels with four molecules each. Every text is unlike every other, those of one label too.
fn labelled(dir: &Path) -> PathBuf {
    let pool =
        std::fs::read_to_string(root().join("tests/data/molecules.jsonl")).expect("molecules");
    let rows = pool.lines().take(32).enumerate().map(|(i, line)| {
        let row: Value = serde_json::from_str(line).expect("JSON");
        json!({"smiles": row["smiles"], "text": row["text"], "family": format!("family {}", i % 8)})
    });
    let file = dir.join("labelled.jsonl");
    let lines: Vec<String> = rows.map(|row| row.to_string()).collect();
    std::fs::write(&file, lines.join("\n")).expect("a file");
    file
}

/// Mean cosine of records with other texts of their own label, before and after.
fn own_label(dir: &Path) -> (f64, f64) {
    let file = dir.join("vectors/molecule.safetensors");
    let stored = Weights::open_file(&file).expect("vectors");
    let of = |when: &str| {
        let read = |side: &str| -> Vec<Vec<f64>> {
            let data = stored.data(&format!("{when}.{side}")).expect("a matrix");
            let width = data.shape()[1];
            let values: Vec<f64> = data.iter::<f64>().collect();
            values.chunks(width).map(<[f64]>::to_vec).collect()
        };
        let (bio, text) = (read("bio"), read("text"));
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let cosine = |a: &[f64], b: &[f64]| dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
        let (mut sum, mut count) = (0.0, 0);
        for i in 0..bio.len() {
            for j in (0..bio.len()).filter(|j| *j != i && j % 8 == i % 8) {
                sum += cosine(&bio[i], &text[j]);
                count += 1;
            }
        }
        sum / f64::from(count)
    };
    (of("before"), of("after"))
}

#[test]
fn labels_that_repeat_in_a_batch_are_not_pushed_apart() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let file = labelled(scratch.path());
    let measured = |positives: &str| {
        let dir = scratch.path().join(positives);
        let file = file.display();
        let more = [
            format!("run.dir={}", dir.display()),
            format!("data.train={file}"),
            format!("data.eval={file}"),
            format!("align.positives={positives}"),
            "data.label_field=family".into(),
            "align.batch_size=32".into(),
            "align.steps=40".into(),
            "align.lr=3e-3".into(),
            "projector.dropout=0.0".into(),
        ];
        let mut args = vec!["align".into(), "--config".into(), unsplit(scratch.path())];
        for set in more {
            args.extend(["--set".to_string(), set]);
        }
        run(args).ok();
        own_label(&dir)
    };
    let (before, text) = measured("text");
    let (_, label) = measured("label");
    assert!(label > before + 0.05, "{before} before, {label} after");
    assert!(
        label > text + 0.1,
        "{text} without labels, {label} with them"
    );
}

/// The tiny configuration without its split.
fn unsplit(dir: &Path) -> String {
    let text = std::fs::read_to_string(root().join("configs/tiny-align.toml")).expect("a config");
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("split_field"))
        .collect();
    let file = dir.join("unsplit.toml");
    std::fs::write(&file, lines.join("\n")).expect("a file");
    file.display().to_string()
}

#[test]
fn prediction_aligns_a_projector_with_its_task_token_and_changes_no_model() {
    let model =
        std::fs::read(root().join("tests/golden/llama/model.safetensors")).expect("a model");
    let more = [
        "align.objective=autoregressive",
        "projector.task_token=true",
        "align.batch_size=8",
        "align.lr=1e-2",
        "align.steps=15",
        "align.eval_every=15",
    ];
    let (_scratch, dir) = aligned("ar", &more);
    let lines = metrics(&dir);
    let held: Vec<f64> = lines
        .iter()
        .filter_map(|line| line["held_out_loss"].as_f64())
        .collect();
    assert!(
        held.len() >= 2 && held[held.len() - 1] < held[0] - 0.05,
        "{held:?}"
    );
    let after =
        std::fs::read(root().join("tests/golden/llama/model.safetensors")).expect("a model");
    assert!(model == after, "the LLM's file is as it was");
    let bundle: Value = serde_json::from_str(
        &std::fs::read_to_string(dir.join("bundle/bundle.json")).expect("a manifest"),
    )
    .expect("JSON");
    assert!(
        bundle["lora"].is_null(),
        "nothing of the LLM is in the bundle: {bundle}"
    );
    let start = aligned(
        "start",
        &[&more[..4], &["align.steps=4", "align.lr=1e-9"]].concat(),
    );
    let token = |dir: &Path| {
        let stored = Weights::open_file(&dir.join("bundle/projectors/molecule.safetensors"))
            .expect("weights");
        let token = stored.data("task_token").expect("a task token");
        token.iter::<f32>().collect::<Vec<_>>()
    };
    assert_ne!(token(&dir), token(&start.1), "the task token learns too");
}

#[test]
fn states_of_the_llm_can_stand_for_records() {
    let more = [
        "align.bio_from=hidden-states",
        "align.text_from=hidden-states",
        "align.direction=bio-to-text",
        "align.batch_size=8",
        "align.steps=15",
        "align.lr=3e-3",
    ];
    let (_scratch, dir) = aligned("states", &more);
    let losses = losses(&dir);
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let (first, last) = (mean(&losses[..3]), mean(&losses[losses.len() - 3..]));
    assert!(last < first - 0.02, "{first} to {last}");
}

#[test]
fn the_dry_run_tells_the_objective_and_what_belongs_together() {
    let plain = dry(&[]);
    assert!(
        plain.contains("objective: InfoNCE in both directions, temperature fixed at 0.07; a text is the mean of input embeddings\n"),
        "{plain}"
    );
    assert!(plain.contains("of the first batch of 16, "), "{plain}");
    assert!(
        plain.contains("with an equal text or record belong together"),
        "{plain}"
    );
    let group = dry(&[
        "align.positives=group",
        "data.group_field=group",
        "align.learn_temperature=true",
    ]);
    assert!(group.contains("temperature learnt from 0.07"), "{group}");
    assert!(
        group.contains("an equal text, record or group belong together"),
        "{group}"
    );
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let general = scratch.path().join("general.txt");
    std::fs::write(&general, "one\ntwo\nthree\n").expect("a file");
    let negatives = format!("align.negatives={}", general.display());
    let told = dry(&[
        &negatives,
        "align.negatives_per_step=2",
        "align.micro_batch_size=4",
        "align.positives=none",
    ]);
    assert!(
        told.contains("2 of 3 other texts are wrong answers too"),
        "{told}"
    );
    assert!(
        told.contains("4 go through the projector at a time"),
        "{told}"
    );
    assert!(told.contains("are left out"), "{told}");
    let predicted = dry(&["align.objective=autoregressive"]);
    assert!(
        predicted.contains("the frozen LLM predicts the answers; only the projector learns"),
        "{predicted}"
    );
    assert!(
        predicted.contains("‹molecule ×2›") && predicted.contains('⟦'),
        "{predicted}"
    );
    let states = dry(&[
        "align.bio_from=hidden-states",
        "align.text_from=hidden-states",
    ]);
    assert!(
        states.contains("‹molecule ×2›") && !states.contains('⟦'),
        "{states}"
    );
}

#[test]
fn what_cannot_be_is_refused_in_one_sentence() {
    for (more, expected) in [
        (
            vec!["align.positives=label"],
            "`data.label_field` is not set",
        ),
        (
            vec!["align.positives=label", "data.label_field=famly"],
            "no field `famly`",
        ),
        (
            vec!["align.positives=group"],
            "no `molecule` pair has a group",
        ),
        (
            vec!["align.objective=autoregressive", "align.negatives=x.txt"],
            "`align.negatives` is for contrastive",
        ),
        (
            vec!["align.objective=autoregressive", "finetune.max_length=8"],
            "`finetune.max_length` = 8",
        ),
        (
            vec!["align.objective=siglip", "align.direction=bio-to-text"],
            "has no direction",
        ),
        (
            vec!["align.micro_batch_size=17"],
            "more than the 16 of `align.batch_size`",
        ),
        (vec!["align.negatives=nowhere.txt"], "nowhere.txt"),
        (vec!["align.bio_from=hidden-states"], "`align.text_from`"),
        (
            vec![
                "align.bio_from=hidden-states",
                "align.text_from=hidden-states",
                "align.text_layer=9",
            ],
            "align.text_layer is 9",
        ),
    ] {
        let error = refused(&more);
        assert!(error.contains(expected), "{more:?}: {error}");
    }
}
