//! Files that other programs write, made afresh with random content, read value by value; and what is written for those
//! programs, read by them. Needs a Python with anndata (`BIOVERSE_PYTHON`, by default `python3`), and is skipped without.
//! `BIOVERSE_FILES_OUT` names a folder to keep the files in.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

#[path = "../../crates/bioverse-formats/tests/expected/mod.rs"]
mod expected;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use bioverse_formats::anndata::{read_obsm, write_obsm};

fn python() -> Option<String> {
    let python = env::var("BIOVERSE_PYTHON").unwrap_or_else(|_| "python3".into());
    let found = Command::new(&python)
        .args(["-c", "import anndata, h5py"])
        .output();
    let found = found.is_ok_and(|output| output.status.success());
    if !found {
        println!(
            "skipped: `{python}` has no anndata; `pip install anndata`, or set BIOVERSE_PYTHON"
        );
    }
    found.then_some(python)
}

fn run(python: &str, script: &str, args: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("python")
        .join(script);
    let output = Command::new(python)
        .arg(script)
        .args(args)
        .output()
        .unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{out}{err}");
    out.into_owned()
}

fn vector(cell: usize) -> Option<Vec<f32>> {
    (cell % 5 != 3).then(|| (0..6).map(|i| cell as f32 + i as f32 / 8.0).collect())
}

/// Adds `X_bioverse` to copies of every AnnData file of a folder.
fn write_all(folder: &Path) -> usize {
    let written = folder.join("written");
    fs::create_dir(&written).unwrap();
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut count = 0;
    for path in files.filter(|path| path.extension().is_some_and(|end| end == "h5ad")) {
        let unread = ["short", "not_anndata", "blosc", "no_x", "arrays"];
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if unread.contains(&name.as_str()) {
            continue;
        }
        let cells = bioverse_formats::open(&path, &Default::default())
            .unwrap()
            .len_hint()
            .unwrap();
        let output = written.join(path.file_name().unwrap());
        let mut vectors = (0..cells).map(|cell| Ok(vector(cell)));
        match write_obsm(&path, &output, "X_bioverse", 6, &mut vectors) {
            Ok(()) => count += 1,
            // HDF5 files with other structures may be refused, with a sentence that says what to do.
            Err(error) => {
                println!("{error}");
                assert!(error.to_string().contains("write_h5ad"), "{error}");
                assert!(
                    ["latest", "ordered", "userblock"].contains(&name.as_str()),
                    "{error}"
                );
                assert!(!output.exists());
            }
        }
    }
    count
}

#[test]
fn files_of_other_programs_are_read_and_written() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let folder: PathBuf =
        env::var_os("BIOVERSE_FILES_OUT").map_or(dir.path().join("files"), PathBuf::from);
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    let seed = (since.as_secs() % 1_000_000).to_string();
    println!("seed {seed}");
    let place = folder.to_str().unwrap();
    print!(
        "{}",
        run(&python, "make_files.py", &[place, "--seed", &seed])
    );
    let cases = expected::check(&folder);
    let count = write_all(&folder);
    let compared = run(&python, "check_obsm.py", &[place]);
    assert_eq!(compared.trim(), count.to_string());
    println!("{cases} cases read, {count} copies written");
}

#[test]
fn vectors_survive_the_way_through_a_file() {
    let input = Path::new(env!("CARGO_MANIFEST_DIR"));
    let input = input.join("../crates/bioverse-formats/tests/files/modern.h5ad");
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out.h5ad");
    let cells = read_obsm(&input, Some("X_pca")).unwrap().ids.len();
    let mut vectors = (0..cells).map(|cell| Ok(vector(cell)));
    write_obsm(&input, &output, "X_bioverse", 6, &mut vectors).unwrap();
    let read = read_obsm(&output, Some("X_bioverse")).unwrap();
    let expected = (0..cells).flat_map(|cell| vector(cell).unwrap_or(vec![f32::NAN; 6]));
    assert!(
        read.values
            .iter()
            .map(|x| x.to_bits())
            .eq(expected.map(f32::to_bits))
    );
}
