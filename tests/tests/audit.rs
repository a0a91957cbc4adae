//! The modality-use audit of the real program: its numbers against the same computed here by other means, its two doors
//! (the end of stage 2 and `bioverse audit`), several modalities, and what it refuses. Whether its verdicts are right is
//! tested on planted data.

use std::collections::BTreeMap;
use std::path::Path;

use bioverse::data::{EncodedStore, Split, read::read_examples};
use bioverse::{Bundle, Session, session::prompt_of};
use bioverse_core::{Layout, PadSide, Prompt, Record, SoftTokens};
use bioverse_tests::planted::{CLASSES, Planted, rows};
use bioverse_tests::run;
use burn::prelude::*;
use serde_json::{Value, json};

/// A model that has learnt a little, with everything `audit` needs beside it.
fn trained(more: &[(&str, &str)]) -> Planted {
    let planted = Planted::new(1.0);
    let mut keys = vec![("steps", "12")];
    keys.extend(more);
    let rows = rows(160, |class, _| CLASSES[class].into());
    planted.finetune(&rows, &keys).ok();
    planted
}

fn audit(planted: &Planted, more: &[&str]) -> Value {
    let bundle = planted.run_dir("finetune").display().to_string();
    let mut args = vec!["audit", "--bundle", &bundle, "--json"];
    args.extend(more);
    serde_json::from_str(&run(args).ok().stdout).expect("one JSON object")
}

fn close(a: &Value, b: f64, what: &str) {
    let a = a.as_f64().expect("a number");
    assert!(
        (a - b).abs() < 2e-4 * b.abs().max(1.0),
        "{what}: {a} and {b}"
    );
}

#[test]
fn the_losses_are_what_the_model_gives() {
    let planted = trained(&[]);
    let report = planted.audit();
    let metrics = std::fs::read_to_string(planted.run_dir("finetune").join("metrics.jsonl"))
        .expect("metrics");
    let last: Value = serde_json::from_str(metrics.lines().last().expect("a line")).expect("JSON");
    let held_out = last["held_out_loss"].as_f64().expect("held-out loss");
    close(
        &report["conditions"]["true"]["loss"],
        held_out,
        "metrics.jsonl",
    );

    let own = Own::open(&planted);
    let mean = own.mean(&own.records(Split::Train));
    close(
        &report["conditions"]["mean"]["loss"],
        own.loss(&mean),
        "mean",
    );
    close(
        &report["conditions"]["zeroed"]["loss"],
        own.loss(&mean.zeros_like()),
        "zeroed",
    );
    let rise = &report["modalities"]["glycan"]["effects"]["mean"]["rise"];
    close(rise, own.loss(&mean) - held_out, "rise");
}

/// The model, opened through other doors than the audit's.
struct Own {
    session: Session,
    device: Device,
    train: Vec<bioverse_core::Example>,
    held_out: Vec<bioverse_core::Example>,
}

impl Own {
    fn open(planted: &Planted) -> Self {
        let (dir, device) = (planted.run_dir("finetune"), Device::flex());
        let registry = bioverse::registry::standard();
        let data = Bundle::open(&dir)
            .and_then(|bundle| bundle.config())
            .expect("a bundle")
            .data;
        let read = |split| read_examples(&data, split, &["glycan"], &registry).expect("rows");
        Self {
            session: Session::open(&dir, &registry, &device).expect("a session"),
            train: read(Split::Train),
            held_out: read(Split::Eval),
            device,
        }
    }

    fn records(&self, split: Split) -> Vec<Record> {
        let rows = match split {
            Split::Train => &self.train,
            Split::Eval => &self.held_out,
        };
        rows.iter().map(|row| row.records[0].1.clone()).collect()
    }

    /// Soft tokens of the mean record, `[1, 1, d_model]`.
    fn mean(&self, records: &[Record]) -> Tensor<3> {
        let projector = self.session.model.projector("glycan").expect("a projector");
        let table = self.session.bundle.manifest.modalities["glycan"].table();
        let registry = bioverse::registry::standard();
        let encoder = bioverse::encoders::load(&registry, "glycan", &table, &self.device)
            .expect("an encoder");
        let store = EncodedStore::build(&encoder, projector, records, &|_| String::new())
            .expect("encodings");
        let soft = projector.project(store.get(records, &self.device).expect("states"));
        soft.embeds.mean_dim(0)
    }

    /// Mean loss per answer token over the held-out rows, one by one, each record having these soft tokens.
    fn loss(&self, soft: &Tensor<3>) -> f64 {
        let (mut sum, mut count) = (0.0, 0);
        for example in &self.held_out {
            let prompt =
                prompt_of(&self.session.tokenizer, example, &["glycan"], true).expect("a prompt");
            let layout = self.layout(&prompt);
            let soft = SoftTokens {
                embeds: soft.clone(),
            };
            let model = &self.session.model;
            let embeds = model.inputs_embeds_with(&layout, vec![soft], &self.device);
            let hidden = model
                .llm
                .forward(embeds, layout.attention_mask(&self.device), None);
            let loss = model
                .target_loss(hidden, &layout.targets())
                .expect("a loss")
                .into_data();
            sum += loss.iter::<f64>().sum::<f64>() * layout.targets().len() as f64;
            count += layout.targets().len();
        }
        sum / count as f64
    }

    fn layout(&self, prompt: &Prompt) -> Layout {
        let tokenize = |text: &str| {
            self.session
                .tokenizer
                .encode(text)
                .map_err(bioverse_core::BoxError::from)
        };
        Layout::new(
            std::slice::from_ref(prompt),
            0,
            PadSide::Right,
            tokenize,
            |_| Ok(1),
        )
        .expect("a layout")
    }
}

#[test]
fn the_command_finds_what_the_training_found() {
    let planted = trained(&[("eval_rows", "512")]);
    let first = audit(&planted, &[]);
    assert_eq!(first, audit(&planted, &[]), "the same every time");
    let own = planted.audit();
    for condition in ["true", "shuffled", "mean", "zeroed"] {
        for key in ["loss", "accuracy", "exact"] {
            let wanted = own["conditions"][condition][key]
                .as_f64()
                .expect("a number");
            close(&first["conditions"][condition][key], wanted, condition);
        }
    }
    assert_eq!(first["uses_records"], own["uses_records"]);
    assert_eq!(first["rows"], own["rows"]);
    assert_eq!(audit(&planted, &["--rows", "9"])["rows"], json!(9));
}

#[test]
fn other_rows_can_be_audited() {
    let planted = trained(&[]);
    let file = planted.write_rows("others.jsonl", &rows(24, |class, _| CLASSES[class].into()));
    let file = file.display().to_string();
    let report = audit(&planted, &["--data", &file]);
    assert_eq!(
        report["rows"],
        json!(24),
        "the whole file, whatever its rows say of a split"
    );
    let few = planted.write_rows("few.jsonl", &rows(3, |class, _| CLASSES[class].into()));
    // Training rows stand in for so few.
    assert_eq!(
        audit(&planted, &["--data", &few.display().to_string()])["modalities"]["glycan"]["side"],
        json!("training")
    );
    // Gone are the rows it was trained on: then the mean is that of the audited rows.
    std::fs::remove_file(planted.path("rows.jsonl")).expect("removed");
    let alone = audit(&planted, &["--data", &file]);
    assert_eq!(alone["conditions"]["true"], report["conditions"]["true"]);
    assert_ne!(alone["conditions"]["mean"], report["conditions"]["mean"]);
}

#[test]
fn it_can_be_left_out() {
    let planted = trained(&[("audit", "false")]);
    assert!(!planted.run_dir("finetune").join("audit.json").exists());
}

/// Two modalities in each row: one decides the answer, the other is noise.
#[test]
fn each_modality_is_judged_alone() {
    let planted = Planted::new(1.0);
    add_modality(&planted, "lipid");
    let mut rows = rows(160, |class, _| CLASSES[class].into());
    for (n, row) in rows.iter_mut().enumerate() {
        row["messages"][0]["content"] = json!("Beside <lipid>, what is <glycan>?");
        let glycan = row["records"][0].clone();
        row["records"] = json!([["lipid", (n / 16 + 4 * (n % 7)) % 64], glycan]);
    }
    let ended = planted.finetune(&rows, &[("steps", "80")]).ok();
    let report = planted.audit();
    let (glycan, lipid) = (
        &report["modalities"]["glycan"],
        &report["modalities"]["lipid"],
    );
    assert_eq!(glycan["uses_records"], json!(true), "{report:#}");
    assert_eq!(lipid["uses_records"], json!(false), "{report:#}");
    assert_eq!(report["uses_records"], json!(false), "not all are used");
    assert_eq!(
        glycan["conditions"]["true"], lipid["conditions"]["true"],
        "the same rows"
    );
    let warnings: Vec<&str> = ended
        .stderr
        .lines()
        .filter(|line| line.starts_with("WARNING"))
        .collect();
    assert!(
        matches!(&warnings[..], [one] if one.contains("LIPID")),
        "{warnings:?}"
    );
}

/// Aligns the same vectors once more under another name, into the same bundle.
fn add_modality(planted: &Planted, name: &str) {
    let file = planted.path("align.toml");
    let text = std::fs::read_to_string(&file).expect("a configuration");
    let text = text.replace("[modality.glycan]", &format!("[modality.{name}]"));
    std::fs::write(&file, text).expect("a configuration");
    run(["align", "--config", &file.display().to_string()]).ok();
}

#[test]
fn rows_without_records_leave_nothing_to_audit() {
    let planted = Planted::new(1.0);
    let bare: Vec<Value> = (0..12)
        .map(|n| json!({"messages": [{"role": "user", "content": format!("Say {n}.")}, {"role": "assistant", "content": "red"}]}))
        .collect();
    planted.finetune(&bare, &[("steps", "2")]).ok();
    let report = planted.audit();
    assert_eq!(report["uses_records"], Value::Null, "{report:#}");
    assert!(
        report["verdict"].to_string().contains("nothing to audit"),
        "{report:#}"
    );
}

#[test]
fn what_is_wrong_is_said_in_a_sentence() {
    let planted = Planted::new(1.0);
    let bundle = planted.run_dir("align").display().to_string();
    let bad = planted.write_rows("bad.jsonl", &[json!({"id": 3, "text": ""})]);
    let refused = |args: &[&str], names: &[&str]| {
        let ended = run(args.iter().copied());
        assert_eq!(ended.code, 2, "{ended:#?}");
        for name in names {
            assert!(ended.error().contains(name), "{name}: {ended:#?}");
        }
    };
    refused(
        &["audit", "--bundle", "nowhere"],
        &["nowhere", "does not exist"],
    );
    refused(
        &["audit", "--bundle", &bundle, "--data", "none.jsonl"],
        &["none.jsonl"],
    );
    refused(
        &[
            "audit",
            "--bundle",
            &bundle,
            "--data",
            &bad.display().to_string(),
        ],
        &["bad.jsonl row 1", "empty"],
    );
    assert!(Path::new(&bundle).exists());
}

/// Stage 1 learns from pairs; the frozen LLM of an aligned bundle can be asked about them too.
#[test]
fn a_bundle_of_stage_1_is_audited_on_its_pairs() {
    let planted = Planted::new(1.0);
    let bundle = planted.run_dir("align").display().to_string();
    let report = run(["audit", "--bundle", &bundle, "--json"]).ok();
    let report: BTreeMap<String, Value> = serde_json::from_str(&report.stdout).expect("JSON");
    assert_eq!(report["rows"], json!(64), "{report:#?}");
    assert_eq!(
        report["uses_records"],
        json!(false),
        "an untrained LLM reads nothing: {report:#?}"
    );
}
