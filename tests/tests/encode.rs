//! `bioverse encode` as people run it: every kind of input to every kind of output, in order; killed and gone on with; bad
//! records; and the vectors it wrote in place of the encoder that made them.

#[path = "encode/own.rs"]
mod own;
#[path = "encode/stopped.rs"]
mod stopped;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use bioverse_formats::embeddings::{Choice, Vectors, read};
use bioverse_tests::{Ended, files_below, python, root, run};
use serde_json::Value;
use tempfile::TempDir;

const POCKET: &str = "models/pocket/molecule";
/// Its `hidden_size`.
const WIDTH: usize = 320;
const TINY: &str = "tests/golden/chemberta";

fn scratch() -> TempDir {
    tempfile::tempdir().expect("a scratch directory")
}

/// Arguments of `encode`; `extra` is split at spaces.
fn encode(model: &str, input: &Path, output: &Path, extra: &str) -> Vec<String> {
    let mut args: Vec<String> = ["encode", "--modality", "molecule", "--model", model]
        .map(String::from)
        .into();
    args.extend(["--input".into(), input.display().to_string()]);
    args.extend(["--output".into(), output.display().to_string()]);
    args.extend(extra.split_whitespace().map(String::from));
    args
}

fn vectors(path: &Path) -> Vectors {
    read(path, &Choice::default()).expect("a table of vectors")
}

fn refused(args: &[String], names: &[&str]) -> Ended {
    let ended = run(args);
    assert_eq!(ended.code, 2, "{ended:#?}");
    for name in names {
        assert!(
            ended.error().contains(name),
            "no `{name}` in: {}",
            ended.error()
        );
    }
    ended
}

/// The largest difference of two tables with the same ids in the same order.
fn gap(a: &Vectors, b: &Vectors) -> f32 {
    assert_eq!((a.ids(), a.width()), (b.ids(), b.width()));
    let rows = (0..a.len()).map(|at| (a.get(at).expect("a row"), b.get(at).expect("a row")));
    rows.flat_map(|(a, b)| a.iter().zip(b).map(|(a, b)| (a - b).abs()))
        .fold(0.0, f32::max)
}

const MOLECULES: [(&str, &str); 5] = [
    ("ethanol", "CCO"),
    ("a long one", "CC(C)Cc1ccc(cc1)C(C)C(=O)O"),
    ("phenol", "c1ccccc1O"),
    ("water", "O"),
    ("aspirin", "CC(=O)Oc1ccccc1C(=O)O"),
];

/// The molecules above in a format.
fn written(dir: &Path, name: &str) -> PathBuf {
    let rows = MOLECULES.iter();
    let lines = |line: &dyn Fn(&str, &str) -> String| {
        rows.clone()
            .map(|(id, smiles)| line(id, smiles))
            .collect::<String>()
    };
    let text = match name.split('.').nth(1) {
        Some("csv") => format!(
            "id,smiles\n{}",
            lines(&|id, smiles| format!("{id},{smiles}\n"))
        ),
        Some("tsv") => format!(
            "name\tcanonical_smiles\n{}",
            lines(&|id, smiles| format!("{id}\t{smiles}\n"))
        ),
        Some("smi") => lines(&|id, smiles| format!("{smiles} {id}\n")),
        Some("jsonl") => {
            lines(&|id, smiles| format!("{{\"id\":\"{id}\",\"smiles\":\"{smiles}\"}}\n"))
        }
        _ => lines(&|_, smiles| format!("{smiles}\n")),
    };
    let path = dir.join(name);
    let mut bytes = text.into_bytes();
    if name.ends_with(".gz") {
        let mut packed = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
        packed.write_all(&bytes).expect("packed");
        bytes = packed.finish().expect("packed");
    }
    fs::write(&path, bytes).expect("an input file");
    path
}

#[test]
fn every_input_and_every_output_hold_the_same_vectors_in_the_order_of_the_file() {
    let dir = scratch();
    let reference = dir.path().join("reference.safetensors");
    let input = written(dir.path(), "m.csv");
    assert!(
        run(encode(POCKET, &input, &reference, ""))
            .ok()
            .stdout
            .contains(&format!("embeddings [5, {WIDTH}]"))
    );
    let reference = vectors(&reference);
    let ids: Vec<&str> = MOLECULES.iter().map(|(id, _)| *id).collect();
    assert_eq!(reference.ids(), ids);

    for (name, output, extra) in [
        ("m.csv", "a.parquet", ""),
        ("m.tsv", "b.npy", "--id-field name"),
        ("m.smi", "c.safetensors", ""),
        ("m.jsonl.gz", "d.parquet", "--batch-size 2"),
        ("m.csv.gz", "e.npy", "--input-field smiles"),
    ] {
        let output = dir.path().join(output);
        run(encode(POCKET, &written(dir.path(), name), &output, extra)).ok();
        assert!(gap(&reference, &vectors(&output)) < 1e-5, "{name}");
    }
    let output = dir.path().join("lines.safetensors");
    run(encode(
        POCKET,
        &written(dir.path(), "m.txt"),
        &output,
        "--format text",
    ))
    .ok();
    let numbered = vectors(&output);
    assert_eq!(
        numbered.ids(),
        ["0", "1", "2", "3", "4"],
        "rows without ids are numbered"
    );
    assert_eq!(numbered.get(3).map(<[f32]>::len), Some(WIDTH));

    // Each vector is that of its own record.
    let alone = dir.path().join("alone.smi");
    fs::write(&alone, "CC(=O)Oc1ccccc1C(=O)O aspirin\n").expect("an input file");
    let output = dir.path().join("alone.safetensors");
    run(encode(POCKET, &alone, &output, "")).ok();
    let (alone, among) = (vectors(&output), reference.get(4).expect("aspirin"));
    let far = alone
        .get(0)
        .expect("a row")
        .iter()
        .zip(among)
        .any(|(a, b)| (a - b).abs() > 1e-5);
    assert!(!far, "alone and among others differ");
    let left: Vec<_> = files_below(dir.path())
        .into_iter()
        .filter(|file| file.to_string_lossy().contains("partial"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn states_are_pooled_as_asked() {
    let dir = scratch();
    let input = written(dir.path(), "m.csv");
    let made = |pool: &str| {
        let output = dir.path().join(format!("{pool}.safetensors"));
        run(encode(POCKET, &input, &output, &format!("--pool {pool}"))).ok();
        vectors(&output)
    };
    let (auto, mean, cls, none) = (made("auto"), made("mean"), made("cls"), made("none"));
    assert_eq!(gap(&auto, &mean), 0.0, "the encoder's own way is the mean");
    assert!(!none.one_each());
    for at in 0..MOLECULES.len() {
        let states: Vec<&[f32]> = none.get(at).expect("states").chunks(WIDTH).collect();
        assert!(states.len() > 2);
        let (mean, cls) = (mean.get(at).expect("a row"), cls.get(at).expect("a row"));
        for i in 0..WIDTH {
            let sum: f32 = states.iter().map(|state| state[i]).sum();
            assert!((sum / states.len() as f32 - mean[i]).abs() < 1e-5);
            assert_eq!(states[0][i], cls[i]);
        }
    }
    refused(
        &encode(
            POCKET,
            &input,
            &dir.path().join("none.parquet"),
            "--pool none",
        ),
        &["none.parquet", "safetensors"],
    );
}

#[test]
fn half_precision_takes_half_the_room() {
    let dir = scratch();
    let input = written(dir.path(), "m.csv");
    let made = |dtype: &str| {
        let output = dir.path().join(format!("{dtype}.npy"));
        run(encode(TINY, &input, &output, &format!("--dtype {dtype}"))).ok();
        (
            fs::metadata(&output).expect("the output").len(),
            vectors(&output),
        )
    };
    let ((long, single), (short, half)) = (made("f32"), made("f16"));
    assert_eq!(long - 128, 2 * (short - 128));
    let far = gap(&single, &half);
    assert!(far > 0.0 && far < 1e-2, "{far}");
}

#[test]
fn bad_records_end_the_run_or_are_listed() {
    let dir = scratch();
    let input = dir.path().join("m.csv");
    fs::write(&input, "id,smiles\na,CCO\nb,C(\nc,\nd,CCN\ne,c1ccccc1\n").expect("an input file");
    let output = dir.path().join("m.safetensors");
    let args = encode(TINY, &input, &output, "");
    refused(&args, &["m.csv", "row 2", "C(", "--skip-bad"]);
    assert!(!output.exists());

    let skipping = [args, vec!["--skip-bad".into()]].concat();
    let ended = run(&skipping).ok();
    assert!(ended.stdout.contains("embeddings [3, 48]"), "{ended:#?}");
    assert!(
        ended.stderr.contains("2 records were left out"),
        "{ended:#?}"
    );
    assert_eq!(vectors(&output).ids(), ["a", "d", "e"]);
    let listed =
        fs::read_to_string(dir.path().join("m.safetensors.rejected.jsonl")).expect("the list");
    let listed: Vec<Value> = listed
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(
        (&listed[0]["row"], &listed[0]["id"]),
        (&2.into(), &"b".into())
    );
    assert_eq!(
        (&listed[1]["row"], &listed[1]["id"]),
        (&3.into(), &"c".into())
    );
    assert!(
        listed[0]["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("C(")),
        "{listed:?}"
    );

    // The list of an earlier run must not be taken for one of this.
    fs::write(&input, "id,smiles\na,CCO\n").expect("an input file");
    run([skipping.clone(), vec!["--force".into()]].concat()).ok();
    assert!(!dir.path().join("m.safetensors.rejected.jsonl").exists());

    fs::write(&input, "id,smiles\na,C(\n").expect("an input file");
    refused(
        &[skipping, vec!["--force".into()]].concat(),
        &["every row (1) was rejected"],
    );
    assert_eq!(
        vectors(&output).ids(),
        ["a"],
        "the earlier output is still there"
    );
}

#[test]
fn ids_that_repeat_are_said_once() {
    let dir = scratch();
    let input = dir.path().join("m.csv");
    fs::write(&input, "id,smiles\na,CCO\nb,CCN\na,CCC\na,CCCC\n").expect("an input file");
    let output = dir.path().join("m.safetensors");
    let said = run(encode(TINY, &input, &output, "")).ok().stderr;
    assert_eq!(
        said.matches("2 rows have the id of an earlier row").count(),
        1,
        "{said}"
    );
    let error = read(&output, &Choice::default())
        .expect_err("ids repeat")
        .to_string();
    assert!(
        error.contains("rows 1 and 3 have the same id `a`"),
        "{error}"
    );
}

#[test]
fn what_cannot_be_done_is_said_before_anything_is_written() {
    let dir = scratch();
    let input = written(dir.path(), "m.csv");
    let output = dir.path().join("m.safetensors");
    let with = |output: &str, extra: &str| encode(TINY, &input, &dir.path().join(output), extra);
    refused(
        &with("m.txt", ""),
        &["m.txt", ".safetensors, .parquet, .npy or .h5ad"],
    );
    refused(&with("m.h5ad", ""), &["m.h5ad", "CSV"]);
    refused(
        &with("m.npy", "--input-field smile"),
        &["smile", "did you mean `smiles`?"],
    );
    refused(
        &with("m.npy", "--set canonicalise=false"),
        &["canonicalise", "canonicalize"],
    );
    refused(&with("m.npy", "--max-length 3"), &["row 2", "max_length"]);
    let mut unknown = with("m.npy", "");
    unknown[2] = "molcule".into();
    refused(&unknown, &["molcule", "did you mean", "molecule"]);
    let table = dir.path().join("t.csv");
    fs::write(&table, "a,b\nCCO,x\n").expect("an input file");
    refused(
        &encode(TINY, &table, &output, ""),
        &["t.csv", "--input-field", "a, b"],
    );
    fs::write(&table, "smiles\n").expect("an input file");
    refused(&encode(TINY, &table, &output, ""), &["t.csv", "no rows"]);
    let shown = run(with("m.npy", "--dry-run")).ok().stdout;
    assert!(
        shown.contains("records in `smiles`") && shown.contains("`ethanol`: \"CCO\""),
        "{shown}"
    );
    let left = files_below(dir.path());
    assert!(
        left.iter()
            .all(|file| !file.to_string_lossy().starts_with("m.") || file == Path::new("m.csv")),
        "{left:?}"
    );

    run(encode(TINY, &input, &output, "")).ok();
    refused(
        &encode(TINY, &input, &output, ""),
        &["m.safetensors is already there", "--force"],
    );
    run(encode(TINY, &input, &output, "--force")).ok();
}

#[test]
fn python_reads_what_is_written() {
    let dir = scratch();
    let input = written(dir.path(), "m.csv");
    let outputs = ["m.safetensors", "m.parquet", "m.npy"].map(|name| dir.path().join(name));
    for output in &outputs {
        run(encode(TINY, &input, output, "")).ok();
    }
    let mut args = vec!["read".to_owned()];
    args.extend(outputs.iter().map(|output| output.display().to_string()));
    match python::answer("vectors.py", &args, "") {
        Err(why) => eprintln!("skipped: {why}"),
        Ok(answer) => {
            for output in &outputs {
                let name = output.file_name().expect("a name").to_string_lossy();
                holds(&answer[&*name], &vectors(output), 0.0);
            }
        }
    }
}

#[test]
fn what_python_writes_is_read() {
    let dir = scratch();
    let folder = dir.path().display().to_string();
    let answer = match python::answer("vectors.py", &["write".to_owned(), folder], "") {
        Err(why) => return eprintln!("skipped: {why}"),
        Ok(answer) => answer,
    };
    let files = answer.as_object().expect("files");
    assert!(files.len() >= 10);
    for (name, expected) in files {
        let vectors = read(&dir.path().join(name), &Choice::default());
        holds(
            expected,
            &vectors.unwrap_or_else(|error| panic!("{name}: {error}")),
            0.0,
        );
    }
}

/// A table holds what Python says.
fn holds(expected: &Value, vectors: &Vectors, tolerance: f64) {
    let ids = expected["ids"].as_array().expect("ids");
    assert_eq!(
        ids.iter().filter_map(Value::as_str).collect::<Vec<_>>(),
        vectors.ids()
    );
    for (at, row) in expected["vectors"]
        .as_array()
        .expect("rows")
        .iter()
        .enumerate()
    {
        let row: Vec<f64> = row
            .as_array()
            .expect("a row")
            .iter()
            .filter_map(Value::as_f64)
            .collect();
        let ours = vectors.get(at).expect("a row");
        assert_eq!(row.len(), ours.len());
        assert!(
            row.iter()
                .zip(ours)
                .all(|(a, b)| (a - f64::from(*b)).abs() <= tolerance),
            "row {at}"
        );
    }
}
