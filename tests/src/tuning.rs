//! The tiny stage 2 with values replaced, for tests of what it can be told. It tests nothing itself.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{Ended, run, stage};

/// A tiny bundle of stage 1 below `dir`.
pub fn aligned(dir: &Path, sets: &[&str]) -> PathBuf {
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
pub fn tuning(from: &Path, dir: &Path, sets: &[&str]) -> Vec<String> {
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

/// Runs it; the directory of the run.
pub fn tuned(from: &Path, dir: PathBuf, sets: &[&str]) -> PathBuf {
    run(tuning(from, &dir, sets)).ok();
    dir
}

/// Its dry run.
pub fn dry(from: &Path, dir: &Path, sets: &[&str]) -> Ended {
    let mut args = tuning(from, dir, sets);
    args.push("--dry-run".into());
    run(args)
}

/// The lines of a run's `metrics.jsonl`.
pub fn metrics(dir: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(dir.join("metrics.jsonl")).expect("metrics");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}
