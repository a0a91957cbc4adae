//! Splits through the real program: sides, what stands on both, and scaffolds beside RDKit's.

use std::collections::BTreeSet;
use std::path::Path;

use bioverse_molecule::scaffold::scaffold;
use bioverse_tests::{Ended, python, root, run, tiny_align};
use serde_json::Value;

const POCKET: &str = "datasets/pocket/molecules.jsonl";

/// `bioverse split` of the tiny stage 1 with its rows replaced.
fn split(dir: &Path, sets: &[&str], json: bool) -> Ended {
    let mut args: Vec<String> = ["split", "--config", "configs/tiny-align.toml"]
        .map(String::from)
        .to_vec();
    let own = format!("run.dir={}", dir.display());
    for set in sets.iter().copied().chain([own.as_str()]) {
        args.extend(["--set".to_owned(), set.to_owned()]);
    }
    args.extend(json.then(|| "--json".to_owned()));
    run(args)
}

fn refused(sets: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let ended = split(dir.path(), sets, false);
    assert_eq!(ended.code, 2, "{ended:#?}");
    ended.error().to_owned()
}

#[test]
fn the_split_is_told_and_written() {
    let dir = tempfile::tempdir().unwrap();
    let told = split(dir.path(), &[], false).ok();
    for expected in [
        "to learn from",
        "to measure on",
        "equal records on both sides: ",
    ] {
        assert!(told.stdout.contains(expected), "{}", told.stdout);
    }
    let written = std::fs::read_to_string(dir.path().join("split.json")).unwrap();
    let printed = split(dir.path(), &[], true).ok().stdout;
    let (written, printed): (Value, Value) = (
        serde_json::from_str(&written).unwrap(),
        serde_json::from_str(&printed).unwrap(),
    );
    assert_eq!(written, printed);
    let rows = |side: &str| printed[side]["rows"].as_u64().unwrap();
    assert_eq!(rows("train") + rows("held_out"), 64);
    assert_eq!(printed["by"], serde_json::json!(["data.split_field"]));
}

#[test]
fn what_leaks_is_warned_of_when_a_run_starts() {
    let dir = tempfile::tempdir().unwrap();
    let rows = dir.path().join("leaky.csv");
    let text: String = (0..24)
        .map(|n| {
            format!(
                "C{},alcohol {n},{}\n",
                "C".repeat(n % 12) + "O",
                if n < 12 { "train" } else { "test" }
            )
        })
        .collect();
    std::fs::write(&rows, format!("smiles,text,split\n{text}")).unwrap();
    let run_dir = dir.path().join("run");
    let mut args = tiny_align(&run_dir);
    let train = format!("data.train={}", rows.display());
    for set in [train.as_str(), "align.steps=2", "align.warmup_steps=1"] {
        args.extend(["--set".to_owned(), set.to_owned()]);
    }
    let ended = run(args).ok();
    assert!(
        ended
            .stderr
            .contains("of 12 held-out rows 12 have a record that training rows have too"),
        "{}",
        ended.stderr
    );
    let report: Value =
        serde_json::from_str(&std::fs::read_to_string(run_dir.join("split.json")).unwrap())
            .unwrap();
    assert_eq!(report["exact_duplicates"]["rows"], 12);
    assert_eq!(
        report["exact_duplicates"]["examples"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
}

/// A configuration without a split of its own.
fn plain(dir: &Path, train: &str) -> std::path::PathBuf {
    let text = std::fs::read_to_string(root().join("configs/tiny-align.toml")).unwrap();
    let kept = text.lines().filter(|line| !line.starts_with("split_field"));
    let text: String = kept
        .map(|line| match line.starts_with("train =") {
            true => format!("train = '{train}'\n"),
            false => format!("{line}\n"),
        })
        .collect();
    let file = dir.join("plain.toml");
    std::fs::write(&file, text).unwrap();
    file
}

fn by(way: &str, sets: &[&str]) -> Ended {
    let dir = tempfile::tempdir().unwrap();
    let config = plain(dir.path(), POCKET);
    let own = [
        format!("run.dir={}", dir.path().display()),
        format!("data.split_by={way}"),
    ];
    let mut args = vec![
        "split".to_owned(),
        "--config".into(),
        config.display().to_string(),
        "--json".into(),
    ];
    let sets = own.into_iter().chain(sets.iter().map(ToString::to_string));
    for set in sets {
        args.extend(["--set".to_owned(), set]);
    }
    run(args)
}

#[test]
fn pocket_molecules_are_divided_by_scaffold_and_by_likeness() {
    let report = |ended: Ended| -> Value { serde_json::from_str(&ended.ok().stdout).unwrap() };
    let near = |report: &Value| report["near_duplicates"]["rows"].as_u64().unwrap();
    let random = report(by("random", &[]));
    assert!(
        (0.08..0.12).contains(&random["share"].as_f64().unwrap()),
        "{random}"
    );
    let scaffold = report(by("scaffold", &[]));
    assert_eq!(scaffold["groups_on_both_sides"], 0);
    assert!(near(&scaffold) < near(&random), "{scaffold}\n{random}");
    let cluster = report(by("cluster", &["data.cluster_similarity=0.89"]));
    assert_eq!(near(&cluster), 0, "{cluster}");
    let column = report(by("group", &["data.group_field=group"]));
    assert_eq!(column["groups_on_both_sides"], 0);
}

#[test]
fn what_cannot_be_divided_says_what_to_do() {
    let none = by("grup", &[]);
    assert_eq!(none.code, 2);
    assert!(
        none.error().contains("did you mean `group`?"),
        "{}",
        none.error()
    );
    let two = refused(&["data.split_by=scaffold"]);
    assert!(
        two.contains("`data.split_by` and `data.split_field`"),
        "{two}"
    );
    let dir = tempfile::tempdir().unwrap();
    let config = plain(dir.path(), POCKET);
    let ended = run(["split", "--config", &config.display().to_string()]);
    assert!(
        ended.error().contains("nothing is held out"),
        "{}",
        ended.error()
    );
}

/// At least this share of scaffolds is RDKit's, letter by letter.
const AGREEMENT: f64 = 0.99;

#[test]
fn scaffolds_are_those_of_rdkit() {
    let mut molecules = vec![];
    for line in std::fs::read_to_string(root().join(POCKET))
        .unwrap()
        .lines()
    {
        let row: Value = serde_json::from_str(line).unwrap();
        molecules.push(row["smiles"].as_str().unwrap().to_owned());
    }
    let found = match python::answer::<&str>("scaffolds.py", &[], &molecules.join("\n")) {
        Ok(found) => found,
        Err(why) => {
            eprintln!("skipped: scaffolds are not compared with RDKit's, for {why}");
            return;
        }
    };
    let found = found.as_array().unwrap();
    assert!(found.len() >= 1000, "{} molecules", found.len());
    let mut wrong = vec![];
    for row in found {
        let (smiles, expected) = (
            row["smiles"].as_str().unwrap(),
            row["scaffold"].as_str().unwrap(),
        );
        let ours = scaffold(smiles).unwrap();
        if ours != expected {
            wrong.push(format!("{smiles}: {ours}, RDKit {expected}"));
        }
    }
    let agree = 1.0 - wrong.len() as f64 / found.len() as f64;
    eprintln!(
        "{} of {} scaffolds are RDKit's",
        found.len() - wrong.len(),
        found.len()
    );
    assert!(agree >= AGREEMENT, "{agree}:\n{}", wrong.join("\n"));
    // What matters for a split: the same molecules are together.
    let distinct: BTreeSet<&str> = found
        .iter()
        .map(|row| row["scaffold"].as_str().unwrap())
        .collect();
    assert!(distinct.len() > 100);
}
