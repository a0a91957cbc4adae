//! `bioverse eval` on a file of the user's own and on two bundles: what is measured where there is nothing to learn from,
//! filtered ranks, contests, and refusals.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bioverse_tests::{root, run, tiny_align};

/// A bundle of two steps, aligned on a copy of the tiny molecules that lies in `dir`.
fn bundle(dir: &Path, name: &str, seed: u32) -> PathBuf {
    let data = dir.join("molecules.jsonl");
    fs::copy(root().join("tests/data/molecules.jsonl"), &data).expect("a copy");
    let place = dir.join(name);
    let mut args = tiny_align(&place);
    for set in [
        format!("data.train={}", data.display()),
        format!("run.seed={seed}"),
        "align.steps=2".into(),
        "align.warmup_steps=1".into(),
    ] {
        args.extend(["--set".into(), set]);
    }
    run(args).ok();
    place
}

/// Six pairs; two texts are alike but for case, and two records are the same molecule.
fn own_file(dir: &Path) -> PathBuf {
    let rows = [
        ("OCC", "Ethanol, an alcohol."),
        ("CCO", "A small alcohol with two carbon atoms."),
        ("CC(=O)O", "A carboxylic acid."),
        ("CCC(=O)O", "a carboxylic  ACID"),
        ("c1ccccc1", "An aromatic ring."),
        ("CCN", "A primary amine."),
    ];
    let line = |(smiles, text): &(&str, &str)| format!(r#"{{"s": "{smiles}", "t": "{text}"}}"#);
    let text: Vec<String> = rows.iter().map(line).collect();
    let file = dir.join("own.jsonl");
    fs::write(&file, text.join("\n")).expect("written");
    file
}

fn eval(args: &[&str], own: &Path, out: &Path) -> (String, BTreeMap<String, f64>) {
    let (own, out) = (own.display().to_string(), out.display().to_string());
    let rows = [
        "--data",
        &own,
        "--input-field",
        "s",
        "--text-field",
        "t",
        "--json",
        &out,
    ];
    let all = ["eval", "--suite", "retrieval", "--modality", "molecule"];
    let ended = run(all.iter().chain(args).chain(&rows)).ok();
    let text = fs::read_to_string(&out).expect("numbers");
    let numbers = serde_json::from_str(&text).expect("one flat object of numbers");
    assert!(
        ended.stdout.lines().all(|line| line.chars().count() <= 80),
        "{}",
        ended.stdout
    );
    (ended.stdout, numbers)
}

#[test]
fn a_file_of_ones_own_is_measured_as_a_whole() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let (a, own) = (bundle(dir.path(), "a", 7), own_file(dir.path()));
    let path = a.display().to_string();
    let out = dir.path().join("n.json");
    let (shown, numbers) = eval(&["--bundle", &path], &own, &out);
    let number = |name: &str| numbers[&format!("retrieval.molecule.{name}")];
    assert_eq!(number("n"), 6.0);
    assert!(
        number("n_train") > 20.0,
        "baselines learnt where the bundle did"
    );
    // Four of six pairs have one twin: (4 · H(5)/5 + 2 · H(6)/6) / 6 with H(5)/5 = .456667, H(6)/6 = .408333.
    let chance = number("chance.record_to_text.filtered.mrr");
    assert!(
        (chance - (4.0 * 0.456_666_67 + 2.0 * 0.408_333_33) / 6.0).abs() < 1e-6,
        "{chance}"
    );
    for method in ["model", "substrings", "morgan", "encoder", "base_llm"] {
        for direction in ["record_to_text", "text_to_record"] {
            let [raw, filtered] =
                ["mrr", "filtered.mrr"].map(|m| number(&format!("{method}.{direction}.{m}")));
            assert!(
                filtered >= raw && raw > 0.0,
                "{method} {direction}: {raw} {filtered}"
            );
        }
    }
    // One molecule has one vector, so its two texts share their ranks, and the filter must raise it.
    assert!(number("model.text_to_record.filtered.mrr") > number("model.text_to_record.mrr"));
    assert!(shown.contains("4 of 6 pairs"), "{shown}");

    // What the bundle was aligned on is gone: no baseline can learn, and that is said.
    fs::remove_file(dir.path().join("molecules.jsonl")).expect("removed");
    let (shown, numbers) = eval(&["--bundle", &path], &own, &out);
    assert!(
        shown.contains("Baselines that learn were left out"),
        "{shown}"
    );
    let there =
        |name: &str| numbers.contains_key(&format!("retrieval.molecule.{name}.record_to_text.mrr"));
    assert!(there("model") && there("base_llm") && there("chance") && !there("morgan"));
}

#[test]
fn two_bundles_are_compared_row_by_row() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let own = own_file(dir.path());
    let [a, b] = [("a", 7), ("b", 8)].map(|(name, seed)| bundle(dir.path(), name, seed));
    let [a, b] = [a, b].map(|bundle| bundle.display().to_string());
    let (out, report) = (dir.path().join("n.json"), dir.path().join("report"));
    let place = report.display().to_string();
    let (shown, numbers) = eval(&["--compare", &a, &b, "--report", &place], &own, &out);
    let number = |name: &str| numbers[&format!("retrieval.molecule.{name}")];
    let metric = "record_to_text.mrr";
    let difference = number(&format!("a.{metric}")) - number(&format!("b.{metric}"));
    assert!((difference - number(&format!("difference.{metric}"))).abs() < 1e-12);
    let counts = ["wins", "ties", "losses"].map(|c| number(&format!("difference.{metric}.{c}")));
    assert_eq!(counts.iter().sum::<f64>(), 6.0);
    assert!(
        shown.contains("win/tie/loss") && shown.contains(metric),
        "{shown}"
    );
    for file in [
        "report.html",
        "report.md",
        "metrics.json",
        "predictions/retrieval.molecule.jsonl",
    ] {
        assert!(report.join(file).is_file(), "{file}");
    }

    // A bundle beside itself: nothing differs.
    let (_, numbers) = eval(&["--compare", &a, &a], &own, &out);
    assert_eq!(
        numbers["retrieval.molecule.difference.text_to_record.mrr.ties"],
        6.0
    );

    let refused = run(["eval", "--compare", &a, &b, "--bundle", &a]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
}
