//! The suite `annotate` of the real program: labels scored from the cache against labels scored one by one, and numbers that
//! follow from the stored predictions. What the numbers mean is tested beside their formulas.

use std::fs;

use bioverse::Session;
use bioverse::eval::annotate::closed::{Asked, likelihoods};
use bioverse::eval::likelihood::{self, Closed};
use bioverse_core::{Example, Message, Record};
use bioverse_tests::{root, run, tiny_align, tiny_finetune};
use burn::prelude::*;
use serde_json::{Value, json};

#[test]
fn labels_read_from_the_cache_are_those_read_one_by_one() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    run(tiny_align(dir.path())).ok();
    let registry = bioverse::registry::standard();
    // Models are named from the root of the workspace.
    std::env::set_current_dir(root()).expect("the root");
    let session = Session::open(dir.path(), &registry, &Device::flex()).expect("a session");
    let question = "What kind of compound is <molecule>?";
    let examples: Vec<Example> = ["CCO", "c1ccccc1O", "CC(=O)N"]
        .map(|smiles| Example {
            messages: vec![Message {
                role: "user".into(),
                content: question.into(),
            }],
            records: vec![("molecule".into(), smiles.into())],
            group: None,
        })
        .into();
    let answers = ["It is an alcohol.", "A phenol", "It is an amide."].map(str::to_owned);
    let encoded = session.encode_examples(&examples).expect("encodings");
    let asked: Vec<Closed<'_>> = examples
        .iter()
        .map(|example| Closed {
            example,
            answers: &answers,
        })
        .collect();
    let expected =
        likelihood::likelihoods(&session, &asked, &encoded, 4, "test").expect("likelihoods");

    let records: Vec<Record> = examples
        .iter()
        .map(|row| row.records[0].1.clone())
        .collect();
    let pooled = encoded["molecule"].get(&records, &session.device);
    let projector = session.model.projector("molecule").expect("a projector");
    let soft = projector.project(pooled.expect("states")).embeds;
    let asked = Asked {
        session: &session,
        modality: "molecule",
        question,
        answers: &answers,
        batch_size: 2,
    };
    let got = likelihoods(&asked, &soft).expect("likelihoods");
    for (got, expected) in got.iter().flatten().zip(expected.iter().flatten()) {
        assert_eq!(got.tokens, expected.tokens);
        let (a, b) = (got.log_probability, expected.log_probability);
        assert!((a - b).abs() < 1e-3 * b.abs(), "{a} {b}");
    }
}

/// The molecules of the toy bundle with a label, as rows beside it.
fn labelled() -> Vec<Value> {
    let text = fs::read_to_string(root().join("tests/data/molecules.jsonl")).expect("molecules");
    let rows = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    rows.enumerate()
        .map(|(i, row)| {
            let smiles = row["smiles"].as_str().expect("SMILES");
            let label = if smiles.contains('N') {
                "amine"
            } else {
                "other"
            };
            let side = if i % 3 == 0 { "test" } else { "train" };
            // As Seurat numbers clusters: it goes with the labels one to one, and is no name of them.
            let cluster = if label == "amine" { "3" } else { "0" };
            json!({"id": format!("m{i}"), "smiles": smiles, "kind": label, "cluster": cluster, "side": side})
        })
        .collect()
}

#[test]
fn numbers_follow_from_the_predictions() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    run(tiny_align(dir.path())).ok();
    let (data, report) = (dir.path().join("kinds.jsonl"), dir.path().join("report"));
    let rows = labelled();
    let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
    fs::write(&data, lines.join("\n")).expect("rows");
    let text = |path: &std::path::Path| path.display().to_string();
    let (bundle, data, report) = (text(dir.path()), text(&data), text(&report));
    let args = [
        "eval",
        "--bundle",
        &bundle,
        "--suite",
        "annotate",
        "--data",
        &data,
        "--input-field",
        "smiles",
        "--label-field",
        "kind",
        "--split-field",
        "side",
        "--max-new-tokens",
        "4",
        "--report",
        &report,
    ];
    let shown = run(args).ok().stdout;
    assert!(
        shown.lines().all(|line| line.chars().count() <= 80),
        "{shown}"
    );
    for method in [
        "model",
        "similarity",
        "logistic_pca50",
        "linear_head",
        "base_llm",
        "majority",
    ] {
        assert!(shown.contains(method), "{shown}");
    }
    let read = |name: &str| fs::read_to_string(format!("{report}/{name}")).expect(name);
    let metrics: Value = serde_json::from_str(&read("metrics.json")).expect("JSON");
    let number = |name: &str| metrics["numbers"][format!("annotate.molecule.{name}")].as_f64();
    let predictions: Vec<Value> = read("predictions/annotate.molecule.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(
        predictions.len(),
        rows.iter().filter(|row| row["side"] == "test").count()
    );
    for method in ["model", "generated", "logistic_pca50", "majority"] {
        let right = predictions
            .iter()
            .filter(|row| row["methods"][method] == row["reference"]);
        let share = right.count() as f64 / predictions.len() as f64;
        assert_eq!(
            number(&format!("{method}.accuracy")),
            Some(share),
            "{method}"
        );
    }
    let sum: f64 = predictions[0]["probabilities"]
        .as_object()
        .expect("probabilities")
        .values()
        .filter_map(Value::as_f64)
        .sum();
    assert!((sum - 1.0).abs() < 1e-9, "{sum}");

    let wrong = run([
        "eval",
        "--bundle",
        &bundle,
        "--suite",
        "annotate",
        "--data",
        &data,
        "--input-field",
        "smiles",
        "--label-field",
        "cell_type",
    ]);
    assert_eq!(wrong.code, 2, "{wrong:#?}");
    let said = wrong.stderr;
    assert!(
        said.contains("no field `cell_type`") && said.contains("`kind`"),
        "{said}"
    );
}

/// A bundle tuned to answer plain pairs with their label is asked as it was tuned, and scores what it was tuned to say.
#[test]
fn plain_pairs_tell_question_and_answers() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let (aligned, tuned) = (dir.path().join("aligned"), dir.path().join("tuned"));
    run(tiny_align(&aligned)).ok();
    let data = dir.path().join("kinds.jsonl");
    let lines: Vec<String> = labelled().iter().map(Value::to_string).collect();
    fs::write(&data, lines.join("\n")).expect("rows");
    let mut args = tiny_finetune(&aligned, &tuned);
    for set in [
        &format!("data.train={}", data.display()),
        "data.input_field=smiles",
        "data.text_field=kind",
        "data.label_field=kind",
        "data.split_field=side",
        "data.question=Of what kind is {}?",
        "finetune.steps=2",
    ] {
        args.extend(["--set".into(), set.into()]);
    }
    run(args).ok();
    let report = dir.path().join("report");
    let (bundle, report) = (tuned.display().to_string(), report.display().to_string());
    run([
        "eval", "--bundle", &bundle, "--suite", "annotate", "--report", &report,
    ])
    .ok();
    let read = |name: &str| fs::read_to_string(format!("{report}/{name}")).expect(name);
    let metrics = read("metrics.json");
    for said in [
        "Asked: \\\"Of what kind is <molecule>?\\\" (the most frequent one the bundle was tuned with)",
        "2 of 2 labels are scored as the answers of its tuning name them",
    ] {
        assert!(metrics.contains(said), "{metrics}");
    }
    let first = read("predictions/annotate.molecule.jsonl");
    let first: Value = serde_json::from_str(first.lines().next().expect("a row")).expect("JSON");
    let names: Vec<&String> = first["probabilities"]
        .as_object()
        .expect("labels")
        .keys()
        .collect();
    assert_eq!(names, ["amine", "other"]);
}
