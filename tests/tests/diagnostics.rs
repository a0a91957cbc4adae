//! What stage 1 measures on held-out pairs, through the real program: against numpy and scikit-learn on the vectors that it
//! leaves behind.

use std::path::Path;

use bioverse_tests::{python, root, run, tiny_align};
use safetensors::SafeTensors;
use serde_json::{Value, json};

/// Cosines are f32 in one program and f64 in the other.
const TOLERANCE: f64 = 2e-4;

fn align(dir: &Path, sets: &[&str]) -> bioverse_tests::Ended {
    let mut args = tiny_align(dir);
    for set in sets {
        args.extend(["--set".to_owned(), set.to_string()]);
    }
    run(args)
}

fn metrics(dir: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(dir.join("metrics.jsonl")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// A stored matrix as rows.
fn rows(file: &SafeTensors<'_>, name: &str) -> Vec<Vec<f32>> {
    let view = file.tensor(name).unwrap();
    let values: Vec<f32> = view
        .data()
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect();
    values
        .chunks(view.shape()[1])
        .map(<[f32]>::to_vec)
        .collect()
}

/// Records of the held-out rows by number, as the vectors are ordered.
fn held_out_records() -> Vec<usize> {
    let text = std::fs::read_to_string(root().join("tests/data/molecules.jsonl")).unwrap();
    let rows = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let smiles: Vec<String> = rows
        .filter(|row| row["split"] == "test")
        .map(|row| row["smiles"].to_string())
        .collect();
    smiles
        .iter()
        .map(|one| smiles.iter().position(|other| other == one).unwrap())
        .collect()
}

#[test]
fn what_is_logged_is_what_numpy_finds_in_the_vectors() {
    let dir = tempfile::tempdir().unwrap();
    align(dir.path(), &["align.eval_every=10"]).ok();
    let lines = metrics(dir.path());
    let measured: Vec<&Value> = lines
        .iter()
        .filter(|line| line.get("held_out_mrr").is_some())
        .collect();
    let steps: Vec<u64> = measured
        .iter()
        .map(|line| line["step"].as_u64().unwrap())
        .collect();
    assert_eq!(steps, [0, 10, 20]);
    let bytes = std::fs::read(dir.path().join("vectors/molecule.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let numbers = file.tensor("text_numbers").unwrap();
    let texts: Vec<i64> = numbers
        .data()
        .chunks_exact(8)
        .map(|b| i64::from_le_bytes(b.try_into().unwrap()))
        .collect();
    let records = held_out_records();
    assert_eq!(
        (texts.len(), rows(&file, "after.bio").len()),
        (records.len(), records.len())
    );
    for (when, line) in [("before", measured[0]), ("after", measured[2])] {
        let given = json!({
            "bio": rows(&file, &format!("{when}.bio")), "text": rows(&file, &format!("{when}.text")),
            "texts": texts, "records": records, "temperature": 0.07,
        });
        let expected = match python::answer::<&str>("diagnostics.py", &[], &given.to_string()) {
            Ok(expected) => expected,
            Err(why) => {
                eprintln!("skipped: the measures are not compared with numpy's, for {why}");
                return;
            }
        };
        for (name, expected) in expected.as_object().unwrap() {
            let (expected, found) = (
                expected.as_f64().unwrap(),
                line[&format!("held_out_{name}")].as_f64().unwrap(),
            );
            let off = (found - expected).abs() / expected.abs().max(1.0);
            assert!(off < TOLERANCE, "{when} {name}: {found}, numpy {expected}");
        }
        for name in ["r1", "r5", "r10", "mrr"] {
            let of = |way: &str| line[&format!("held_out_{name}{way}")].as_f64().unwrap();
            assert!((of("") - (of("_to_text") + of("_to_bio")) / 2.0).abs() < 1e-12);
        }
    }
}

#[test]
fn the_raw_encoder_is_measured_once_before_the_first_step() {
    let dir = tempfile::tempdir().unwrap();
    align(dir.path(), &["align.eval_every=10"]).ok();
    let lines = metrics(dir.path());
    for name in [
        "raw_cka",
        "raw_mutual_knn",
        "raw_mrr",
        "raw_r1_to_text",
        "raw_r10_to_bio",
        "raw_foscttm",
    ] {
        let with: Vec<u64> = lines
            .iter()
            .filter(|line| line.get(name).is_some())
            .map(|line| line["step"].as_u64().unwrap())
            .collect();
        assert_eq!(with, [0], "{name}");
        assert!(lines[0][name].as_f64().unwrap().is_finite());
    }
}

#[test]
fn a_run_that_no_longer_improves_stops_early() {
    let dir = tempfile::tempdir().unwrap();
    let sets = [
        "align.lr=1e-12",
        "align.steps=60",
        "align.eval_every=2",
        "align.early_stopping=foscttm",
        "align.patience=2",
    ];
    align(dir.path(), &sets).ok();
    let last = metrics(dir.path()).last().unwrap()["step"]
        .as_u64()
        .unwrap();
    assert!(last < 60, "{last}");
    assert!(dir.path().join("bundle/bundle.json").is_file());
}

#[test]
fn what_cannot_stop_a_run_is_refused_before_it_starts() {
    let say = |sets: &[&str]| {
        let dir = tempfile::tempdir().unwrap();
        let dry: Vec<String> = tiny_align(dir.path())
            .into_iter()
            .chain(["--dry-run".to_owned()])
            .collect();
        let mut said = vec![];
        for args in [tiny_align(dir.path()), dry] {
            let sets = sets
                .iter()
                .flat_map(|set| ["--set".to_owned(), set.to_string()]);
            let ended = run(args.into_iter().chain(sets));
            assert_eq!(ended.code, 2, "{ended:#?}");
            said.push(ended.error().to_owned());
        }
        assert_eq!(said[0], said[1], "the dry run says the same");
        assert!(!dir.path().join("bundle").exists());
        said.remove(0)
    };
    let unknown = say(&["align.early_stopping=mmr"]);
    assert!(
        unknown.contains("did you mean `mrr`?") && unknown.contains("`foscttm`"),
        "{unknown}"
    );
    let none = say(&[
        "align.early_stopping=mrr",
        "data.eval_split=train",
        "align.eval_pairs=1",
    ]);
    assert!(
        none.contains("fewer than two `molecule` pairs are held out"),
        "{none}"
    );
}
