//! The path end to end with toy models: align → finetune → eval → ask, twice. What must be frozen is, what must be
//! reproducible is, and the report's numbers follow from its predictions.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use bioverse_tests::{bioverse, files_below, root, run, tiny_align, tiny_finetune};
use serde_json::Value;

/// Both stages in `dir`; the directories of their runs.
fn both_stages(dir: &Path) -> (PathBuf, PathBuf) {
    let (align, finetune) = (dir.join("align"), dir.join("finetune"));
    run(tiny_align(&align)).ok();
    run(tiny_finetune(&align, &finetune)).ok();
    (align, finetune)
}

/// Every file of a folder with its bytes.
fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = files_below(dir).into_iter();
    files
        .map(|file| {
            let bytes = fs::read(dir.join(&file)).expect("a readable file");
            (file, bytes)
        })
        .collect()
}

/// Names of files whose bytes differ, or that only one side has.
fn differences(a: &Path, b: &Path) -> Vec<PathBuf> {
    let (a, b) = (contents(a), contents(b));
    let mut names: Vec<PathBuf> = a.iter().chain(&b).map(|(name, _)| name.clone()).collect();
    names.sort();
    names.dedup();
    let of = |side: &[(PathBuf, Vec<u8>)], name: &PathBuf| {
        side.iter()
            .find(|(other, _)| other == name)
            .map(|(_, bytes)| bytes.clone())
    };
    names.retain(|name| of(&a, name) != of(&b, name));
    names
}

fn json_lines(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).expect("a readable file");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

#[test]
fn from_pairs_to_an_answer() {
    let models = ["tests/golden/llama", "tests/golden/chemberta"].map(|model| root().join(model));
    let before = models.each_ref().map(|model| contents(model));
    let dir = tempfile::tempdir().expect("a scratch directory");
    let (align, finetune) = both_stages(dir.path());

    loss_falls(&align.join("metrics.jsonl"));
    let report = dir.path().join("report");
    let numbers = dir.path().join("numbers.json");
    let bundle = finetune.display().to_string();
    let shown = run([
        "eval",
        "--bundle",
        &bundle,
        "--suite",
        "all",
        "--max-new-tokens",
        "8",
        "--report",
        &report.display().to_string(),
        "--json",
        &numbers.display().to_string(),
    ])
    .ok()
    .stdout;
    for expected in [
        "substrings",
        "morgan",
        "chance",
        "swapped",
        "majority",
        "win",
    ] {
        assert!(shown.contains(expected), "{shown}");
    }
    assert!(
        shown.lines().all(|line| line.chars().count() <= 80),
        "{shown}"
    );
    numbers_follow_from_predictions(&report, &numbers);

    let question = [
        "ask",
        "--bundle",
        &bundle,
        "--molecule",
        "CCO",
        "What is it?",
        "--max-new-tokens",
        "6",
    ];
    let answer = run(question).ok().stdout;
    assert!(answer.ends_with('\n'), "{answer:?}");
    assert_eq!(
        answer,
        run(question).ok().stdout,
        "greedy answers are repeatable"
    );

    let after = models.each_ref().map(|model| contents(model));
    assert!(before == after, "a frozen model's files changed");
}

/// Mean of the last lines below the mean of the first.
fn loss_falls(metrics: &Path) {
    let losses: Vec<f64> = json_lines(metrics)
        .iter()
        .filter_map(|line| line["loss"].as_f64())
        .collect();
    let third = losses.len() / 3;
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let (first, last) = (
        mean(&losses[..third]),
        mean(&losses[losses.len() - third..]),
    );
    assert!(last < first, "the loss did not fall: {losses:?}");
}

/// Computes the metrics again from what is stored for each row.
fn numbers_follow_from_predictions(report: &Path, numbers: &Path) {
    let text = fs::read_to_string(numbers).expect("the numbers");
    let numbers: Value = serde_json::from_str(&text).expect("JSON");
    let flat = numbers.as_object().expect("one object");
    assert!(flat.values().all(Value::is_number), "{numbers}");
    let number = |name: &str| {
        numbers[name]
            .as_f64()
            .unwrap_or_else(|| panic!("no {name}"))
    };

    let predictions = report.join("predictions");
    let retrieval = json_lines(&predictions.join("retrieval.molecule.jsonl"));
    assert_eq!(retrieval.len() as f64, number("retrieval.molecule.n"));
    for (method, rank, name) in [
        ("model", "text", "record_to_text.mrr"),
        ("model", "record", "text_to_record.mrr"),
        ("model", "text_filtered", "record_to_text.filtered.mrr"),
        ("substrings", "text", "record_to_text.mrr"),
        ("morgan", "record", "text_to_record.mrr"),
        ("encoder", "text", "record_to_text.mrr"),
        ("base_llm", "record_filtered", "text_to_record.filtered.mrr"),
    ] {
        let ranks = retrieval
            .iter()
            .map(|row| row["ranks"][method][rank].as_f64().expect("a rank"));
        let mrr = ranks.map(|rank| 1.0 / rank).sum::<f64>() / retrieval.len() as f64;
        let name = format!("retrieval.molecule.{method}.{name}");
        assert!((mrr - number(&name)).abs() < 1e-9, "{name}: {mrr}");
    }

    let answers = json_lines(&predictions.join("answers.jsonl"));
    let plain = |value: &Value| {
        let text = value.as_str().expect("a text").to_lowercase();
        let words: Vec<&str> = text.split_whitespace().collect();
        words
            .join(" ")
            .trim_matches(|c: char| c.is_ascii_punctuation() || c == ' ')
            .to_owned()
    };
    let share = |field: &str| {
        let right = answers
            .iter()
            .filter(|row| plain(&row[field]) == plain(&row["reference"]));
        right.count() as f64 / answers.len() as f64
    };
    for (field, name) in [
        ("prediction", "answers.model.accuracy"),
        ("swapped_prediction", "answers.swapped.accuracy"),
        ("base_llm", "answers.base_llm.accuracy"),
        ("majority", "answers.majority.accuracy"),
    ] {
        assert!((share(field) - number(name)).abs() < 1e-9, "{name}");
    }
    for row in &answers {
        assert_ne!(row["records"], row["swapped_records"], "{row}");
    }
    let metrics = fs::read_to_string(report.join("metrics.json")).expect("metrics.json");
    assert!(metrics.contains("split_sha256"));
    let page = fs::read_to_string(report.join("report.html")).expect("report.html");
    for part in ["R@k, molecule to text", "t-SNE", "against", "Definitions"] {
        assert!(page.contains(part), "no {part} on the page");
    }
    assert!(!page.contains("http"), "the page refers to the network");
}

#[test]
fn the_same_seed_gives_the_same_bundle_bit_for_bit() {
    // The directory is part of a bundle's configuration, so both runs use the same one, one after the other.
    let dir = tempfile::tempdir().expect("a scratch directory");
    let place = dir.path().join("run");
    let kept = ["first", "second"].map(|name| dir.path().join(name));
    for kept in &kept {
        both_stages(&place);
        fs::rename(&place, kept).expect("moved");
    }
    for stage in ["align", "finetune"] {
        let [a, b] = kept.each_ref().map(|kept| kept.join(stage).join("bundle"));
        assert!(files_below(&a).len() >= 4, "{stage}: an empty bundle");
        assert_eq!(differences(&a, &b), Vec::<PathBuf>::new(), "{stage}");
    }
}

#[test]
fn another_seed_gives_another_bundle() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let [a, b] = ["a", "b"].map(|name| dir.path().join(name));
    run(tiny_align(&a)).ok();
    let mut args = tiny_align(&b);
    args.extend(["--set".into(), "run.seed=8".into()]);
    run(args).ok();
    let projector = "bundle/projectors/molecule.safetensors";
    let [a, b] = [a, b].map(|run| fs::read(run.join(projector)).expect("a projector"));
    assert!(a != b, "the seed decides nothing");
}

/// Stops after some steps and goes on: nothing may differ from a run that was never stopped.
#[cfg(unix)]
#[test]
fn resuming_equals_not_having_stopped() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let (align, place) = (dir.path().join("align"), dir.path().join("finetune"));
    run(tiny_align(&align)).ok();
    let mut args = tiny_finetune(&align, &place);
    args.extend(["--set".into(), "finetune.steps=40".into()]);
    run(&args).ok();
    let straight = dir.path().join("straight");
    fs::rename(&place, &straight).expect("moved");

    interrupt(&args, &place.join("metrics.jsonl"), 5);
    assert!(
        !place.join("bundle").exists(),
        "it was too fast to be stopped"
    );
    args.push("--resume".into());
    run(&args).ok();
    let [a, b] = [straight, place].map(|run| run.join("bundle"));
    assert_eq!(differences(&a, &b), Vec::<PathBuf>::new());
}

/// Presses Ctrl-C once there are `lines` of metrics.
#[cfg(unix)]
fn interrupt(args: &[String], metrics: &Path, lines: usize) {
    let mut child = bioverse(args)
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let start = Instant::now();
    while fs::read_to_string(metrics).map_or(0, |text| text.lines().count()) < lines {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "training never began"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
    let id = child.id().to_string();
    let pressed = std::process::Command::new("kill")
        .args(["-INT", &id])
        .status();
    assert!(pressed.is_ok_and(|status| status.success()));
    assert_eq!(child.wait().expect("it ends").code(), Some(1));
}
