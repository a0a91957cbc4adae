//! Whole runs with an encoder of letters: order, windows, runs that end early and are gone on with.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use bioverse_core::{BoxError, Hidden, Modality, pad_ids};
use bioverse_formats::{
    Options,
    embeddings::{Choice, Dtype, Vectors, read},
};
use burn::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Which of [`LEFT`] counts its batches.
    counter: usize,
}

/// Batches left, by counter; tests run side by side.
static LEFT: [AtomicUsize; 4] = [const { AtomicUsize::new(usize::MAX) }; 4];

/// Every letter is a state: its byte, and 1.
struct Letters(usize);

impl Modality for Letters {
    const NAME: &'static str = "letters";
    type Config = Config;
    type Input = String;
    type Tokens = Vec<u32>;

    fn load(config: &Config, _: &Device) -> std::result::Result<Self, BoxError> {
        Ok(Self(config.counter))
    }

    fn tokenize(&self, input: &String) -> std::result::Result<Vec<u32>, BoxError> {
        match input.contains('!') {
            true => Err("it shouts".into()),
            false => Ok(input.bytes().map(u32::from).collect()),
        }
    }

    fn encode(&self, batch: &[Vec<u32>]) -> std::result::Result<Hidden, BoxError> {
        let left =
            LEFT[self.0].fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        left.map_err(|_| "the power is gone")?;
        let (ids, mask) = pad_ids(batch, 0, &Device::flex());
        let bytes = ids.float().unsqueeze_dim::<3>(2);
        let ones = bytes.ones_like();
        Ok(Hidden {
            states: Tensor::cat(vec![bytes, ones], 2),
            mask,
        })
    }

    fn d_hidden(&self) -> usize {
        2
    }

    fn summary(&self) -> Option<String> {
        Some("all letters are known".into())
    }
}

fn registry() -> Registry {
    Registry::new().with::<Letters>()
}

fn request(dir: &Path, output: &str, counter: usize) -> Request {
    Request {
        modality: "letters".into(),
        table: format!("counter = {counter}").parse().unwrap(),
        input: dir.join("in.jsonl"),
        options: Options::default(),
        input_field: Some("text".into()),
        id_field: None,
        output: dir.join(output),
        obsm_key: "X_bioverse".into(),
        pool: Pool::Auto,
        projector: None,
        dtype: Dtype::F32,
        batch_size: 2,
        skip_bad: false,
        force: false,
        device_name: "cpu".into(),
        device: Device::flex(),
    }
}

/// Rows of letters, some of them long.
fn input(dir: &Path, rows: usize) {
    let row = |i: usize| {
        let letter = char::from(b'a' + (i % 26) as u8);
        let text: String = std::iter::repeat_n(letter, 1 + i * 7 % 90).collect();
        format!("{{\"id\":\"r{i}\",\"text\":\"{text}\"}}\n")
    };
    fs::write(dir.join("in.jsonl"), (0..rows).map(row).collect::<String>()).unwrap();
}

fn vectors(path: &Path) -> Vectors {
    read(path, &Choice::default()).unwrap()
}

#[test]
fn vectors_stand_in_the_order_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    input(dir.path(), 100);
    let done = run(&request(dir.path(), "out.safetensors", 0), &registry()).unwrap();
    assert_eq!(done.shape, "embeddings [100, 2]");
    assert_eq!(done.summary.as_deref(), Some("all letters are known"));
    let vectors = vectors(&done.output);
    for i in 0..100 {
        let letter = f32::from(b'a' + (i % 26) as u8);
        assert_eq!(vectors.ids()[i], format!("r{i}"));
        assert_eq!(
            vectors.get(i),
            Some([letter, 1.0].as_slice()),
            "the mean of equal letters is the letter"
        );
    }
    assert!(!dir.path().join("out.safetensors.partial").exists());
}

#[test]
fn a_run_that_ends_after_any_batch_is_gone_on_with_to_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    input(dir.path(), 70);
    let whole = Request {
        pool: Pool::None,
        ..request(dir.path(), "whole.safetensors", 1)
    };
    run(&whole, &registry()).unwrap();
    let whole = fs::read(&whole.output).unwrap();
    for batches in [1, 2, 15, 16, 17, 18, 30] {
        let request = Request {
            pool: Pool::None,
            ..request(dir.path(), &format!("out{batches}.safetensors"), 1)
        };
        LEFT[1].store(batches, Ordering::SeqCst);
        let error = run(&request, &registry()).unwrap_err().to_string();
        assert!(error.contains("the power is gone"), "{error}");
        assert!(!request.output.exists());
        LEFT[1].store(usize::MAX, Ordering::SeqCst);
        run(&request, &registry()).unwrap();
        assert!(
            fs::read(&request.output).unwrap() == whole,
            "{batches} batches"
        );
    }
}

#[test]
fn a_bad_row_is_found_before_the_first_batch_and_may_be_skipped_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    input(dir.path(), 80);
    let mut text = fs::read_to_string(dir.path().join("in.jsonl")).unwrap();
    text += "{\"id\":\"loud\",\"text\":\"no!\"}\n\nnot JSON\n{\"id\":\"last\",\"text\":\"z\"}\n{\"id\":\"none\"}\n";
    fs::write(dir.path().join("in.jsonl"), text).unwrap();
    let request = request(dir.path(), "out.safetensors", 2);
    LEFT[2].store(0, Ordering::SeqCst);
    let error = run(&request, &registry()).unwrap_err();
    assert!(
        error.to_string().contains("in.jsonl row 81: it shouts"),
        "{error}"
    );
    assert_eq!(error.exit_code(), 2);
    LEFT[2].store(usize::MAX, Ordering::SeqCst);
    let skipping = Request {
        skip_bad: true,
        ..request
    };
    let done = run(&skipping, &registry()).unwrap();
    let (count, list) = done.rejected.unwrap();
    assert_eq!((count, done.shape.as_str()), (3, "embeddings [81, 2]"));
    let rows: Vec<serde_json::Value> = fs::read_to_string(list)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let found: Vec<_> = rows
        .iter()
        .map(|row| (row["row"].as_u64().unwrap(), row["id"].as_str()))
        .collect();
    let none = "a row that cannot be read has no id";
    assert_eq!(
        found,
        [(81, Some("loud")), (83, None), (85, Some("none"))],
        "{none}"
    );
    assert_eq!(vectors(&skipping.output).find("last"), Some(80));
}

#[test]
fn a_folder_with_other_files_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    input(dir.path(), 3);
    let partial = dir.path().join("out.safetensors.partial");
    fs::create_dir(&partial).unwrap();
    fs::write(partial.join("thesis.tex"), "x").unwrap();
    let error = run(&request(dir.path(), "out.safetensors", 0), &registry()).unwrap_err();
    assert!(error.to_string().contains("thesis.tex"), "{error}");
    assert!(partial.join("thesis.tex").exists());
}

#[test]
fn a_window_holds_no_more_than_its_budget() {
    let dir = tempfile::tempdir().unwrap();
    input(dir.path(), 300);
    let request = request(dir.path(), "out.safetensors", 0);
    let sizes = |budget| {
        let mut windows = Windows::new(Input::open(&request).unwrap(), budget);
        let mut sizes = vec![];
        while let Some(window) = windows.next().unwrap() {
            sizes.push(window.len());
        }
        sizes
    };
    let budget = request.budget(2, false);
    assert_eq!((budget.records, budget.units), (32, 16 * 128));
    let found = sizes(budget);
    assert_eq!(found.iter().sum::<usize>(), 300);
    assert!(found.iter().all(|n| *n <= 32));
    // Where states are kept, they may not take more than 64 MB: 8 states of this width.
    let narrow = request.budget(1 << 21, true);
    assert_eq!(narrow.units, 8);
    assert!(sizes(narrow).len() > 100);
}

#[test]
fn a_dry_run_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    input(dir.path(), 5);
    let text = dry_run(&request(dir.path(), "out.safetensors", 0), &registry()).unwrap();
    assert!(text.contains("records in `text`, ids in `id`"), "{text}");
    assert!(text.contains("row 1 `r0`: \"a\""), "{text}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn cells_keep_their_rows_in_a_copy_of_the_h5ad() {
    let dir = tempfile::tempdir().unwrap();
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bioverse-formats/tests/files");
    let request = Request {
        input: files.join("old.h5ad"),
        input_field: Some("kind".into()),
        skip_bad: true,
        ..request(dir.path(), "out.h5ad", 0)
    };
    let done = run(&request, &registry()).unwrap();
    assert_eq!(done.shape, "obsm[\"X_bioverse\"] [14, 2]");
    assert!(done.rejected.unwrap().0 > 0, "some cells have no kind");
    let choice = Choice {
        key: Some("X_bioverse".into()),
        id_field: None,
    };
    let vectors = read(&done.output, &choice).unwrap();
    assert!(
        vectors.lacks("AAC0-1"),
        "a cell without a kind has a row of NaN"
    );
    let mean = "B cell".bytes().map(f32::from).sum::<f32>() / 6.0;
    let found = vectors
        .find("AAC1-1")
        .and_then(|at| vectors.get(at))
        .unwrap();
    assert!((found[0] - mean).abs() < 1e-4, "{found:?}");
    let error = read(&done.output, &Choice::default())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("X_pca") && error.contains("X_bioverse"),
        "{error}"
    );
    let half = Request {
        dtype: Dtype::F16,
        output: dir.path().join("half.h5ad"),
        ..request
    };
    assert!(
        run(&half, &registry())
            .unwrap_err()
            .to_string()
            .contains("single precision")
    );
}

#[test]
fn what_an_earlier_run_skipped_is_not_skipped_by_one_that_must_not() {
    let dir = tempfile::tempdir().unwrap();
    input(dir.path(), 70);
    let rows = fs::read_to_string(dir.path().join("in.jsonl")).unwrap();
    let bad = "{\"id\":\"loud\",\"text\":\"no!\"}\n".to_owned();
    fs::write(dir.path().join("in.jsonl"), bad + &rows).unwrap();
    let strict = request(dir.path(), "out.parquet", 3);
    let skipping = Request {
        skip_bad: true,
        ..strict.clone()
    };
    LEFT[3].store(20, Ordering::SeqCst);
    run(&skipping, &registry()).unwrap_err();
    LEFT[3].store(usize::MAX, Ordering::SeqCst);
    let error = run(&strict, &registry()).unwrap_err().to_string();
    assert!(error.contains("row 1: it shouts"), "{error}");
    let done = run(&skipping, &registry()).unwrap();
    assert_eq!(done.shape, "embeddings [70, 2]");
}

#[test]
fn a_first_row_that_cannot_be_read_says_what_is_wrong_or_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let rows = "id,text\na,b,c\n1,abc\n2,de\n";
    fs::write(dir.path().join("in.csv"), rows).unwrap();
    let strict = Request {
        input: dir.path().join("in.csv"),
        input_field: None,
        modality: "letters".into(),
        ..request(dir.path(), "out.npy", 0)
    };
    let error = run(&strict, &registry()).unwrap_err().to_string();
    assert!(error.contains("in.csv row 1: has 3 fields"), "{error}");
    let skipping = Request {
        skip_bad: true,
        ..strict
    };
    let error = run(&skipping, &registry()).unwrap_err().to_string();
    assert!(error.contains("(it has: id, text)"), "{error}");
    let named = Request {
        input_field: Some("text".into()),
        ..skipping.clone()
    };
    let done = run(&named, &registry()).unwrap();
    assert_eq!(done.shape, "embeddings [2, 2]");
    fs::write(dir.path().join("in.csv"), "id,text\na,b,c\n").unwrap();
    let error = run(&skipping, &registry()).unwrap_err().to_string();
    assert!(error.contains("no row of it can be read"), "{error}");
}

#[test]
fn an_id_field_that_is_not_there_stops_the_run_at_once() {
    let dir = tempfile::tempdir().unwrap();
    input(dir.path(), 3);
    let request = Request {
        id_field: Some("idd".into()),
        skip_bad: true,
        ..request(dir.path(), "out.npy", 0)
    };
    let error = run(&request, &registry()).unwrap_err().to_string();
    assert!(
        error.contains("no field `idd`; did you mean `id`?"),
        "{error}"
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let rows = "{\"text\":\"a\"}\n{\"idd\":\"two\",\"text\":\"b\"}\n";
    fs::write(dir.path().join("in.jsonl"), rows).unwrap();
    let done = run(&request, &registry()).unwrap();
    assert_eq!(done.rejected.unwrap().0, 1, "only the row without an id");
}

#[test]
fn a_second_run_to_the_same_output_is_refused_while_the_first_writes() {
    let dir = tempfile::tempdir().unwrap();
    input(dir.path(), 3);
    let request = request(dir.path(), "out.npy", 0);
    let first = Partial::open(&request.output, &Default::default(), false).unwrap();
    let error = run(&request, &registry()).unwrap_err();
    assert!(
        error.to_string().contains("another run is writing"),
        "{error}"
    );
    assert_eq!(error.exit_code(), 2);
    drop(first);
    run(&request, &registry()).unwrap();
    assert!(!dir.path().join("out.npy.partial").exists());
}

#[test]
fn no_error_quotes_a_whole_record() {
    let dir = tempfile::tempdir().unwrap();
    let long = "y".repeat(1_000_000);
    let rows = format!("{{\"text\":[\"{long}\"]}}\n{{\"text\":\"z\"}}\n");
    fs::write(dir.path().join("in.jsonl"), rows).unwrap();
    let request = request(dir.path(), "out.npy", 0);
    let error = run(&request, &registry()).unwrap_err().to_string();
    assert!(
        error.contains("row 1: the record is a list, not a string; "),
        "{error}"
    );
    assert_eq!(error.matches("; ").count(), 1, "one next step: {error}");
    let rows = format!("{{\"text\":\"{long}\"}}\n");
    fs::write(dir.path().join("in.jsonl"), rows).unwrap();
    let shown = dry_run(&request, &registry()).unwrap();
    assert!(shown.len() < 1000 && shown.contains("yyy…"), "{shown}");
}
