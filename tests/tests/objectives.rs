//! Objectives of stage 1 through the real program, and gradient caching with dropout through the library.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use bioverse::align::aligner::Aligner;
use bioverse::align::gradient_cache::micro_batch;
use bioverse::align::objective::info_nce::{bio_to_text, text_to_bio};
use bioverse::align::objective::{self, Logits, Relations, siglip};
use bioverse::config::{AlignSection, Objective};
use bioverse::train::gradients;
use bioverse::train::seed::seeded;
use bioverse_core::ProjectorConfig;
use bioverse_nn::weights::Weights;
use bioverse_tests::{root, run, stage};
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::prelude::*;
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

/// Three vectors that dropout acts on, and gradients of everything that learns as one list.
fn flat(aligner: &Aligner, grads: &GradientsParams) -> Vec<f64> {
    struct All<'a>(&'a GradientsParams, Vec<f64>);
    impl ModuleVisitor for All<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(grad) = self.0.get::<D>(param.id) {
                self.1.extend(grad.into_data().iter::<f64>());
            }
        }
    }
    let mut all = All(grads, vec![]);
    aligner.visit(&mut all);
    all.1
}

/// The only test of this file that draws in this process.
#[test]
fn gradient_caching_equals_the_big_batch_with_dropout_and_a_learnt_temperature() {
    let plain = Device::flex();
    let device = plain.clone().autodiff();
    let (n, sizes) = (12, [5, 5, 2]);
    let recipe = ProjectorConfig {
        hidden_sizes: vec![16, 16],
        num_soft_tokens: 2,
        dropout: 0.5,
        ..ProjectorConfig::default()
    };
    device.seed(3);
    let random =
        |shape| Tensor::<3>::random(shape, burn::tensor::Distribution::Normal(0.0, 1.0), &plain);
    let pooled = random([n, 2, 6]);
    let text = random([n, 1, 8]).squeeze_dim::<2>(1);
    let extra = random([4, 1, 8]).squeeze_dim::<2>(1);
    let relations = Relations::new(n, |i, j| match (i % 4 == j % 4, j == 11) {
        (true, _) => objective::Cell::Positive,
        (_, true) => objective::Cell::LeftOut,
        _ => objective::Cell::Negative,
    });
    type Loss<'a> = &'a dyn Fn(&Aligner, Tensor<2>) -> Tensor<1>;
    let logits = |aligner: &Aligner, bio| {
        Logits::new(bio, text.clone(), Some(extra.clone()), &aligner.scale())
    };
    let both = |aligner: &Aligner, bio: Tensor<2>| {
        let logits = logits(aligner, bio);
        (text_to_bio(&logits, &relations) + bio_to_text(logits, &relations)) / 2.0
    };
    let one = |aligner: &Aligner, bio: Tensor<2>| bio_to_text(logits(aligner, bio), &relations);
    let pairwise =
        |aligner: &Aligner, bio| siglip(logits(aligner, bio), &aligner.bias(), &relations);
    let objectives: [(Objective, Loss<'_>); 3] = [
        (Objective::InfoNce, &both),
        (Objective::InfoNce, &one),
        (Objective::Siglip, &pairwise),
    ];
    for (objective, loss) in objectives {
        let align = AlignSection {
            objective,
            learn_temperature: true,
            ..AlignSection::default()
        };
        // Parameters are drawn before anything is compared, not where they are first read.
        let fresh = || Ok(Aligner::new(recipe.init(6, 8, &device), &align, &device));
        let aligner: Result<Aligner, bioverse::Error> = seeded(&device, 3, fresh);
        let aligner = aligner.expect("an aligner");
        let passes = Cell::new(0);
        let vectors = |chunk: usize| {
            plain.seed(100 + chunk as u64);
            passes.set(passes.get() + 1);
            let start: usize = sizes[..chunk].iter().sum();
            let rows = pooled.clone().narrow(0, start, sizes[chunk]);
            Ok(aligner.projector.embed(rows))
        };
        let whole: Result<Vec<_>, bioverse::Error> = (0..3).map(vectors).collect();
        let big = loss(&aligner, Tensor::cat(whole.expect("vectors"), 0));
        let value: f64 = big.clone().into_data().iter::<f64>().sum();
        let expected = flat(&aligner, &gradients(big * 0.25, &aligner));
        let batch = micro_batch(&aligner, &sizes, 0.25, vectors, |bio| loss(&aligner, bio));
        let batch = batch.expect("a micro-batch");
        assert_eq!((passes.get(), batch.rows), (9, n));
        assert!((batch.loss - value).abs() < 1e-5 * value.abs());
        let found = flat(&aligner, &batch.grads);
        assert_eq!(found.len(), expected.len());
        let length = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
        let off: Vec<f64> = found.iter().zip(&expected).map(|(a, b)| a - b).collect();
        let relative = length(&off) / length(&expected);
        assert!(relative < 1e-5, "{objective:?}: off by {relative}");
        // The gradients of temperature and bias come last, and they are not lost.
        assert!(expected[expected.len() - 1].abs() > 1e-6);
        // Other masks are another gradient: the agreement above is that of dropout too.
        let other = |chunk: usize| {
            plain.seed(900 + chunk as u64);
            let start: usize = sizes[..chunk].iter().sum();
            Ok(aligner
                .projector
                .embed(pooled.clone().narrow(0, start, sizes[chunk])))
        };
        let batch = micro_batch(&aligner, &sizes, 0.25, other, |bio| loss(&aligner, bio));
        let found = flat(&aligner, &batch.expect("a micro-batch").grads);
        let off: Vec<f64> = found.iter().zip(&expected).map(|(a, b)| a - b).collect();
        assert!(length(&off) / length(&expected) > 1e-2);
    }
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
        let sets = [
            format!("data.train={}", file.display()),
            format!("data.eval={}", file.display()),
            format!("align.positives={positives}"),
        ];
        let fixed = [
            "data.split_field=",
            "data.label_field=family",
            "align.batch_size=32",
            "align.steps=40",
            "align.lr=3e-3",
            "projector.dropout=0.0",
        ];
        let more: Vec<&str> = sets
            .iter()
            .map(String::as_str)
            .chain(fixed[1..].iter().copied())
            .collect();
        let dir = scratch.path().join(positives);
        let mut args = vec![
            "align".to_string(),
            "--config".into(),
            unsplit(scratch.path()),
        ];
        for set in self::sets(&dir, &more) {
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
