//! Sweeps by the real program: every combination is a run, what has ended is not run again, what was killed goes on, what
//! fails keeps its row, and what is wrong is refused before anything runs.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

use bioverse_tests::{bioverse, run};

/// Arguments of a sweep over the tiny stage 1.
fn sweep(dir: &Path, more: &[&str]) -> Vec<String> {
    let mut args: Vec<String> = ["sweep", "align", "--config", "configs/tiny-align.toml"]
        .map(String::from)
        .to_vec();
    args.extend(["--set".to_owned(), format!("run.dir={}", dir.display())]);
    args.extend(more.iter().map(|word| (*word).to_owned()));
    args
}

fn json(dir: &Path) -> serde_json::Value {
    let text = fs::read_to_string(dir.join("sweep/sweep.json")).expect("sweep.json");
    serde_json::from_str(&text).expect("JSON")
}

fn written(file: &Path) -> SystemTime {
    let meta = file
        .metadata()
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    meta.modified().expect("a time")
}

#[test]
fn every_combination_is_a_run_and_is_run_once() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let dir = scratch.path().join("runs");
    let more = [
        "--set",
        "align.steps=4",
        "--vary",
        "align.text_space=raw,whitened",
        "--seeds",
        "2",
    ];
    let ended = run(sweep(&dir, &more)).ok();
    assert!(
        ended
            .stdout
            .lines()
            .all(|line| line.chars().count() <= 80 || line.starts_with("sweep: ")),
        "{}",
        ended.stdout
    );
    assert!(
        ended.stdout.contains("| whitened   |") && ended.stdout.contains(" ± "),
        "{}",
        ended.stdout
    );
    let summary = json(&dir);
    assert_eq!(summary["rows"].as_array().map(Vec::len), Some(2));
    let best: Vec<&serde_json::Value> = summary["rows"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|row| row["best"] == true)
        .collect();
    assert_eq!(best.len(), 1);
    let mut values = vec![];
    for seed in [7, 8] {
        let run = dir.join(format!("sweep/text_space=raw,seed={seed}"));
        assert!(run.join("bundle/bundle.json").is_file());
        let text = fs::read_to_string(run.join("metrics.jsonl")).expect("metrics");
        let last: serde_json::Value =
            serde_json::from_str(text.lines().last().expect("a line")).expect("JSON");
        values.push(last["held_out_mrr"].as_f64().expect("a number"));
    }
    let mean = summary["rows"][0]["measured"][0]["mean"]
        .as_f64()
        .expect("a number");
    assert!((mean - (values[0] + values[1]) / 2.0).abs() < 1e-12);
    for file in ["sweep.md", "sweep.html"] {
        assert!(dir.join("sweep").join(file).is_file(), "{file}");
    }
    let metrics = dir.join("sweep/text_space=whitened,seed=8/metrics.jsonl");
    let before = written(&metrics);
    let again = run(sweep(&dir, &more)).ok();
    assert_eq!(written(&metrics), before, "what has ended was run again");
    assert_eq!(again.stdout, ended.stdout);
    let listed = run(sweep(&dir, &[&more[..], &["--dry-run"]].concat())).ok();
    assert_eq!(
        listed.stdout.matches("(finished)").count(),
        4,
        "{}",
        listed.stdout
    );
}

#[test]
fn what_fails_keeps_its_row_and_the_others_run() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let dir = scratch.path().join("runs");
    let more = [
        "--set",
        "align.steps=2",
        "--set",
        "align.warmup_steps=1",
        "--vary",
        "llm.path=tests/golden/llama,tests/golden/nowhere",
    ];
    let ended = run(sweep(&dir, &more));
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.error().contains("1 of 2 runs failed"), "{ended:?}");
    assert!(
        ended.stdout.contains("failed: path=tests-golden-nowhere: ")
            && ended.stdout.contains("nowhere"),
        "{}",
        ended.stdout
    );
    let rows = json(&dir)["rows"].clone();
    assert!(rows[0]["measured"][0]["mean"].is_number() && rows[1]["measured"][0].is_null());
}

#[test]
fn what_is_wrong_is_refused_before_anything_runs() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let dir = scratch.path().join("runs");
    for (vary, said) in [
        (
            "align.text_spaec=raw,whitened",
            "did you mean `align.text_space`?",
        ),
        ("align.text_space=raw,wightened", "wightened"),
        ("align.text_space", "--vary section.key=first,second"),
    ] {
        let ended = run(sweep(&dir, &["--vary", vary]));
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.error().contains(said), "{ended:?}");
    }
    let ended = run(sweep(
        &dir,
        &["--vary", "align.lr=1e-3,1e-2", "--metric", "held_out_mmr"],
    ));
    assert!(ended.error().contains("held_out_mrr"), "{ended:?}");
    assert!(!dir.exists(), "something was written");
}

#[cfg(unix)]
#[test]
fn a_killed_sweep_goes_on_and_ends_as_if_it_had_not_been() {
    use std::os::unix::process::CommandExt;

    let scratch = tempfile::tempdir().expect("a scratch folder");
    let more = [
        "--set",
        "align.steps=60",
        "--set",
        "run.checkpoint_every=1",
        "--vary",
        "align.lr=1e-3,3e-3",
    ];
    let whole = scratch.path().join("whole");
    run(sweep(&whole, &more)).ok();
    let killed = scratch.path().join("killed");
    let mut command = bioverse(sweep(&killed, &more));
    command
        .process_group(0)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut process = command.spawn().expect("the program starts");
    let first = killed.join("sweep/lr=1e-3");
    wait(|| {
        fs::read_to_string(first.join("metrics.jsonl")).is_ok_and(|text| text.lines().count() > 10)
    });
    // The sweep and the run it started.
    let group = format!("-{}", process.id());
    let kill = Command::new("kill").args(["-9", "--", &group]).status();
    assert!(kill.expect("kill starts").success());
    process.wait().expect("it ends");
    assert!(
        !first.join("bundle").exists(),
        "it ended before it was killed"
    );
    let listed = run(sweep(&killed, &[&more[..], &["--dry-run"]].concat())).ok();
    assert!(
        listed
            .stdout
            .contains("lr=1e-3  (goes on from its checkpoint)"),
        "{}",
        listed.stdout
    );
    run(sweep(&killed, &more)).ok();
    for name in ["lr=1e-3", "lr=3e-3"] {
        let file = |dir: &Path| {
            let file = dir
                .join("sweep")
                .join(name)
                .join("bundle/projectors/molecule.safetensors");
            fs::read(file).expect("a projector")
        };
        assert!(file(&whole) == file(&killed), "{name} differs");
    }
}

#[cfg(unix)]
fn wait(done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited in vain");
        std::thread::sleep(Duration::from_millis(5));
    }
}
