//! The benchmark runs, on shapes from which nothing is learnt: so that it does not rot between measurements.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::process::Command;

fn run(words: &[&str], dir: &Path, flags: &[&str]) -> String {
    let program = env!("CARGO_BIN_EXE_bioverse-benches");
    let output = Command::new(program)
        .args(words)
        .arg(dir)
        .args(flags)
        .output();
    let output = output.expect("the program starts");
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?} {flags:?}: {problem}");
    String::from_utf8(output.stdout).unwrap()
}

/// Values of the lines that begin with a word.
fn values(text: &str, word: &str) -> Vec<f64> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(word));
    lines.map(|rest| rest.trim().parse().unwrap()).collect()
}

const OFTEN: [&str; 5] = ["--losses", "--warmup", "1", "--steps", "3"];

#[test]
fn stage_1_learns_and_measures() {
    let dir = tempfile::tempdir().unwrap();
    let shape = [
        "--rows",
        "16",
        "--d-hidden",
        "6",
        "--inner",
        "8",
        "--d-model",
        "12",
    ];
    run(&["prepare", "stage1"], dir.path(), &shape);
    let flags = [&OFTEN[..3], &["--steps", "30", "--batch", "16"]].concat();
    let text = run(&["stage1"], dir.path(), &flags);
    let losses = values(&text, "loss ");
    assert_eq!(losses.len(), 31);
    assert!(losses[30] < losses[0], "{losses:?}");
    assert_eq!(text, known_lines(&text));
    assert!(values(&text, "median_ms ")[0] > 0.0);
}

/// The lines that `cargo xtask bench` knows how to read.
fn known_lines(text: &str) -> String {
    let known = ["loss ", "median_ms ", "min_ms ", "peak_mib "];
    let lines = text
        .lines()
        .filter(|line| known.iter().any(|word| line.starts_with(word)));
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn stage_2_computes_the_same_with_and_without_checkpointing() {
    let dir = tempfile::tempdir().unwrap();
    let shape = [
        "--layers",
        "2",
        "--hidden",
        "16",
        "--heads",
        "2",
        "--kv-heads",
        "1",
        "--mlp",
        "24",
        "--vocab",
        "64",
        "--rank",
        "2",
        "--batch",
        "2",
        "--tokens",
        "24",
        "--d-hidden",
        "6",
        "--inner",
        "8",
    ];
    run(&["prepare", "stage2"], dir.path(), &shape);
    let losses = |extra: &[&str]| {
        let flags = [&OFTEN, &["--answer", "6"][..], extra].concat();
        values(&run(&["stage2"], dir.path(), &flags), "loss ")
    };
    let (once, twice) = (losses(&[]), losses(&["--checkpointing"]));
    assert!(once[3] < once[0], "{once:?}");
    for (a, b) in once.iter().zip(&twice) {
        assert!((a - b).abs() < 1e-4, "{once:?} {twice:?}");
    }
    // With dropout there is nothing to compare, but it must run too.
    let dropped = run(
        &["stage2"],
        dir.path(),
        &["--steps", "1", "--warmup", "0", "--dropout", "0.05"],
    );
    assert!(values(&dropped, "min_ms ")[0] > 0.0);
}
