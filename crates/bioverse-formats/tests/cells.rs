//! The files kept in `tests/files`, and any folder that `make_files.py` made and `BIOVERSE_FILES` names, value by value.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod expected;

use std::path::Path;

use bioverse_formats::{Format, Options, Row, open};

fn kept() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files")
}

#[test]
fn kept_files_hold_what_their_writers_put_there() {
    assert!(expected::check(&kept()) >= 30);
}

#[test]
fn a_named_folder_holds_what_its_writers_put_there() {
    match std::env::var_os("BIOVERSE_FILES") {
        Some(folder) => assert!(expected::check(Path::new(&folder)) > 0),
        None => {
            println!("skipped: BIOVERSE_FILES names no folder made by tests/python/make_files.py")
        }
    }
}

const FILES: [(&str, Format); 6] = [
    ("modern.h5ad", Format::H5ad),
    ("old.h5ad", Format::H5ad),
    ("legacy.h5ad", Format::H5ad),
    ("tenx_v2.h5", Format::TenxH5),
    ("tenx_v3.h5", Format::TenxH5),
    ("tenx_mtx", Format::TenxMtx),
];

#[test]
fn one_of_several_obsm_is_named_with_a_key() {
    let error = bioverse_formats::anndata::read_obsm(&kept().join("modern.h5ad"), None);
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("with `embeddings_key`; `obsm` has: "),
        "{error}"
    );
}

#[test]
fn formats_are_told_by_content() {
    for (name, format) in FILES {
        assert_eq!(
            Format::detect(&kept().join(name)).unwrap(),
            format,
            "{name}"
        );
    }
}

#[test]
fn rows_that_are_skipped_are_those_that_would_have_come() {
    for (name, _) in FILES {
        let path = kept().join(name);
        let all: Vec<Row> = open(&path, &Options::default())
            .unwrap()
            .map(Result::unwrap)
            .collect();
        for start in 0..all.len() {
            let mut rows = open(&path, &Options::default()).unwrap();
            assert_eq!(rows.nth(start).unwrap().unwrap(), all[start], "{name}");
            let after = rows.nth(1).map(Result::unwrap);
            assert_eq!(after.as_ref(), all.get(start + 2), "{name}");
        }
        let mut rows = open(&path, &Options::default()).unwrap();
        assert!(rows.nth(all.len()).is_none(), "{name}");
        assert!(rows.next().is_none(), "{name}");
    }
}

#[test]
fn fields_stand_in_their_order() {
    let row = open(&kept().join("modern.h5ad"), &Options::default())
        .unwrap()
        .next();
    let names: Vec<String> = row.unwrap().unwrap().object.keys().cloned().collect();
    assert_eq!(names[..4], ["id", "cell", "kind", "grade"]);
    assert!(names.contains(&"obs.id".to_owned()) && names.contains(&"obs.cell".to_owned()));
}

#[test]
fn a_folder_that_is_not_sorted_by_cell_gives_the_same_cells() {
    let dir = tempfile::tempdir().unwrap();
    let head = "%%MatrixMarket matrix coordinate real general\n3 2 4\n";
    std::fs::write(dir.path().join("barcodes.tsv"), "c1\nc2\n").unwrap();
    std::fs::write(dir.path().join("genes.tsv"), "E1\tA\nE2\tB\nE3\tC\n").unwrap();
    let mut found = vec![];
    for body in [
        "1 1 1.5\n3 1 2\n1 2 4\n2 2 0\n",
        "1 2 4\n1 1 1.5\n2 2 0\n3 1 2\n",
    ] {
        std::fs::write(dir.path().join("matrix.mtx"), format!("{head}{body}")).unwrap();
        let rows = open(dir.path(), &Options::default()).unwrap();
        found.push(rows.map(Result::unwrap).collect::<Vec<_>>());
    }
    assert_eq!(found[0], found[1]);
    let expected = serde_json::json!({"genes": ["A", "C"], "values": [1.5, 2.0]});
    assert_eq!(found[0][0].object["cell"], expected);
    assert_eq!(
        found[0][1].object["cell"]["genes"],
        serde_json::json!(["A"])
    );
}
