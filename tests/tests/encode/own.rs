//! Vectors in place of an encoder: encode → align with `embeddings` → retrieval and an answer, with the numbers that the
//! encoder itself leads to.

use std::{fs, path::Path};

use bioverse_tests::run;
use serde_json::Value;

use super::{TINY, encode, refused, root, scratch};

const DATA: &str = "tests/data/molecules.jsonl";

/// A stage-1 run of the tiny models in `dir` with this table of one modality.
fn align(dir: &Path, name: &str, table: &str, field: &str, tokens: usize) -> Vec<String> {
    let config = dir.join("align.toml");
    let text = format!(
        "[run]\ndir = '{}'\nseed = 7\nlog_every = 1\ncheckpoint_every = 0\n[llm]\npath = 'tests/golden/llama'\n\
         [modality.{name}]\n{table}\n[projector]\nhidden_sizes = [64, 64]\nnum_soft_tokens = {tokens}\n\
         [data]\ntrain = '{DATA}'\ninput_field = '{field}'\ntext_field = 'text'\nsplit_field = 'split'\n\
         [align]\nbatch_size = 16\nsteps = 20\nwarmup_steps = 4\n",
        dir.join("run").display()
    );
    fs::create_dir_all(dir).expect("a folder");
    fs::write(&config, text).expect("a config");
    vec![
        "align".into(),
        "--config".into(),
        config.display().to_string(),
    ]
}

fn losses(dir: &Path) -> Vec<f64> {
    let text = fs::read_to_string(dir.join("run/metrics.jsonl")).expect("metrics");
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines.filter_map(|line| line["loss"].as_f64()).collect()
}

fn retrieval(dir: &Path) -> Vec<f64> {
    let json = dir.join("eval.json");
    let bundle = dir.join("run").display().to_string();
    run([
        "eval",
        "--bundle",
        &bundle,
        "--suite",
        "retrieval",
        "--json",
        &json.display().to_string(),
    ])
    .ok();
    let report: Value = serde_json::from_slice(&fs::read(json).expect("a report")).expect("JSON");
    // Baselines learn from the records' texts, which are ids here.
    let numbers = report.as_object().expect("numbers").iter();
    numbers
        .filter(|(key, _)| key.contains(".model."))
        .filter_map(|(_, number)| number.as_f64())
        .collect()
}

fn near(a: &[f64], b: &[f64]) -> bool {
    !a.is_empty() && a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4)
}

#[test]
fn vectors_lead_to_the_numbers_of_the_encoder_that_made_them() {
    let dir = scratch();
    // One soft token needs one vector of each record; two need the states.
    for (tokens, output, extra) in [
        (1, "mean.parquet", ""),
        (2, "states.safetensors", "--pool none"),
    ] {
        let file = dir.path().join(output);
        run(encode(TINY, &root().join(DATA), &file, extra)).ok();
        let (by_encoder, by_file) = (
            dir.path().join(format!("encoder{tokens}")),
            dir.path().join(format!("file{tokens}")),
        );
        run(align(
            &by_encoder,
            "molecule",
            &format!("path = '{TINY}'"),
            "smiles",
            tokens,
        ))
        .ok();
        run(align(
            &by_file,
            "molecule",
            &format!("embeddings = '{}'", file.display()),
            "id",
            tokens,
        ))
        .ok();
        let (a, b) = (losses(&by_encoder), losses(&by_file));
        assert!(near(&a, &b), "{tokens} tokens: {a:?}\n{b:?}");
        let (a, b) = (retrieval(&by_encoder), retrieval(&by_file));
        assert!(near(&a, &b), "{tokens} tokens: {a:?}\n{b:?}");
    }
}

#[test]
fn a_modality_nobody_wrote_needs_no_plugin() {
    let dir = scratch();
    let file = dir.path().join("glycans.npy");
    run(encode(TINY, &root().join(DATA), &file, "")).ok();
    let args = align(
        dir.path(),
        "glycan",
        &format!("embeddings = '{}'", file.display()),
        "id",
        1,
    );
    run([args.clone(), vec!["--dry-run".into()]].concat()).ok();
    run(&args).ok();
    let bundle = dir.path().join("run").display().to_string();
    run(["inspect", &bundle]).ok();
    let ask = |record: &str| {
        let record = format!("glycan={record}");
        [
            "ask",
            "--bundle",
            &bundle,
            "--record",
            &record,
            "What is <glycan>?",
            "--max-new-tokens",
            "4",
        ]
        .map(String::from)
        .to_vec()
    };
    assert!(run(ask("CID:29")).ok().stdout.ends_with('\n'));
    refused(
        &ask("CID:2999999"),
        &["CID:2999999", "glycans.npy", "64 ids", "did you mean `CID:"],
    );
    // Stage 2 starts from the bundle.
    let tuned = dir.path().join("tuned");
    let rows = dir.path().join("questions.jsonl");
    let row = |id: &str, answer: &str| {
        format!(
            "{{\"messages\":[{{\"role\":\"user\",\"content\":\"What is <glycan>?\"}},{{\"role\":\"assistant\",\"content\":\"{answer}\"}}],\
             \"records\":[[\"glycan\",\"{id}\"]]}}\n"
        )
    };
    fs::write(
        &rows,
        row("CID:29", "An acid.") + &row("CID:279", "An amide."),
    )
    .expect("rows");
    let sets = [
        format!("run.dir={}", tuned.display()),
        format!("finetune.from={bundle}"),
        format!("data.train={}", rows.display()),
        "finetune.steps=2".into(),
        "finetune.warmup_steps=0".into(),
    ];
    let config = dir.path().join("finetune.toml");
    fs::write(&config, "[llm]\npath = 'tests/golden/llama'\n[finetune]\nbatch_size = 2\n[run]\ncheckpoint_every = 0\n").expect("a config");
    let mut finetune = vec![
        "finetune".to_owned(),
        "--config".into(),
        config.display().to_string(),
    ];
    finetune.extend(sets.into_iter().flat_map(|set| ["--set".to_owned(), set]));
    run(&finetune).ok();

    // Another file is another encoder.
    let ids = dir.path().join("glycans.ids.txt");
    let text = fs::read_to_string(&ids).expect("ids");
    fs::write(&ids, text.replacen("CID:29", "CID:30", 1)).expect("other ids");
    refused(&ask("CID:29"), &["glycan encoder", "glycans.ids.txt"]);
}

#[test]
fn soft_tokens_are_those_of_the_bundle() {
    let dir = scratch();
    run(align(
        dir.path(),
        "molecule",
        &format!("path = '{TINY}'"),
        "smiles",
        2,
    ))
    .ok();
    let bundle = dir.path().join("run").display().to_string();
    let output = dir.path().join("soft.safetensors");
    let mut args = encode(TINY, &root().join(DATA), &output, "");
    args.drain(3..5);
    args.extend(["--projector".into(), bundle]);
    assert!(run(&args).ok().stdout.contains("soft_tokens [64, 2, "));
    let bytes = fs::read(&output).expect("the output");
    let tensors = safetensors::SafeTensors::deserialize(&bytes).expect("a whole file");
    let soft = tensors.tensor("soft_tokens").expect("soft tokens");
    assert_eq!(&soft.shape()[..2], [64, 2]);
    args.extend([
        "--model".into(),
        "models/pocket/molecule".into(),
        "--force".into(),
    ]);
    refused(&args, &["molecule", "another encoder"]);
}

#[test]
fn a_file_of_vectors_that_is_wrong_is_told_in_one_sentence() {
    let dir = scratch();
    let file = dir.path().join("v.npy");
    let table = format!("embeddings = '{}'", file.display());
    let args = |table: &str| align(dir.path(), "glycan", table, "id", 1);
    refused(&args(&table), &["v.npy"]);
    fs::write(&file, b"\x93NUMPY\x01\x00").expect("a file");
    refused(&args(&table), &["v.npy", "cut short"]);
    refused(
        &args(&format!("{table}\npath = 'x'")),
        &["glycan", "remove `path` or `embeddings`"],
    );
    refused(&args("path = 'x'"), &["glycan", "registered", "embeddings"]);
    run(encode(TINY, &root().join(DATA), &file, "--force")).ok();
    refused(
        &align(dir.path(), "glycan", &table, "smiles", 1),
        &["row 1", "v.npy", "64 ids"],
    );
}
