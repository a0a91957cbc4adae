//! Copies with vectors: added, replaced, refused. Whether anndata reads them is checked with it, in `tests/tests/foreign.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::anndata::read_obsm;

fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/files")
        .join(name)
}

fn vectors(cells: usize, width: usize, salt: f32) -> Vec<Option<Vec<f32>>> {
    let vector = |cell: usize| (0..width).map(move |i| salt + (cell * width + i) as f32 / 8.0);
    (0..cells)
        .map(|cell| (cell % 5 != 3).then(|| vector(cell).collect()))
        .collect()
}

fn flat(vectors: &[Option<Vec<f32>>], width: usize) -> Vec<u32> {
    let row = |row: &Option<Vec<f32>>| row.clone().unwrap_or_else(|| vec![f32::NAN; width]);
    vectors.iter().flat_map(row).map(f32::to_bits).collect()
}

fn write(
    input: &Path,
    output: &Path,
    key: &str,
    width: usize,
    all: &[Option<Vec<f32>>],
) -> Result<()> {
    write_obsm(input, output, key, width, &mut all.iter().cloned().map(Ok))
}

fn bits(path: &Path, key: &str) -> Vec<u32> {
    let read = read_obsm(path, Some(key)).unwrap();
    read.values.into_iter().map(f32::to_bits).collect()
}

#[test]
fn vectors_are_added_replaced_and_leave_the_rest_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["modern.h5ad", "old.h5ad", "legacy.h5ad"] {
        let input = kept(name);
        let before = fs::read(&input).unwrap();
        let (pca, umap) = (bits(&input, "X_pca"), bits(&input, "X_umap"));
        let cells = read_obsm(&input, Some("X_pca")).unwrap().ids.len();
        let first = dir.path().join("first.h5ad");
        let second = dir.path().join("second.h5ad");
        let third = dir.path().join("third.h5ad");
        let one = vectors(cells, 7, 0.5);
        write(&input, &first, "X_bioverse", 7, &one).unwrap();
        assert_eq!(bits(&first, "X_bioverse"), flat(&one, 7), "{name}");
        let other = vectors(cells, 3, -1.0);
        write(&first, &second, "X_bioverse", 3, &other).unwrap();
        assert_eq!(bits(&second, "X_bioverse"), flat(&other, 3), "{name}");
        write(&second, &third, "X_pca", 7, &one).unwrap();
        assert_eq!(bits(&third, "X_pca"), flat(&one, 7), "{name}");
        assert_eq!(bits(&third, "X_bioverse"), flat(&other, 3), "{name}");
        assert_eq!(bits(&second, "X_pca"), pca, "{name}");
        assert_eq!(bits(&third, "X_umap"), umap, "{name}");
        assert_eq!(fs::read(&input).unwrap(), before, "{name} is only read");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3, "nothing else");
}

#[test]
fn many_keys_fill_several_nodes() {
    let dir = tempfile::tempdir().unwrap();
    let (mut from, mut to) = (dir.path().join("a.h5ad"), dir.path().join("b.h5ad"));
    fs::copy(kept("modern.h5ad"), &from).unwrap();
    let cells = read_obsm(&from, Some("X_pca")).unwrap().ids.len();
    for i in 0..20 {
        let all = vectors(cells, 2, i as f32);
        write(&from, &to, &format!("key {i}"), 2, &all).unwrap();
        std::mem::swap(&mut from, &mut to);
    }
    for i in 0..20 {
        let expected = flat(&vectors(cells, 2, i as f32), 2);
        assert_eq!(bits(&from, &format!("key {i}")), expected);
    }
}

#[test]
fn wrong_vectors_and_places_leave_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let input = kept("modern.h5ad");
    let output = dir.path().join("out.h5ad");
    let cells = read_obsm(&input, Some("X_pca")).unwrap().ids.len();
    let all = vectors(cells, 2, 0.0);
    let refused = |output: &Path, key: &str, width, all: &[_]| {
        write(&input, output, key, width, all)
            .unwrap_err()
            .to_string()
    };
    let few = refused(&output, "k", 2, &all[1..]);
    assert!(few.contains("encode all cells"), "{few}");
    let many = refused(&output, "k", 2, &[all.clone(), all.clone()].concat());
    assert!(many.contains("more vectors"), "{many}");
    let wide = refused(&output, "k", 3, &all);
    assert!(wide.contains("cell 1 has 2 numbers"), "{wide}");
    let name = refused(&output, "a/b", 2, &all);
    assert!(name.contains("X_bioverse"), "{name}");
    let same = refused(&input, "k", 2, &all);
    assert!(same.contains("another place"), "{same}");
    let mut broken = all
        .into_iter()
        .map(Ok)
        .take(2)
        .chain([Err(Error::file("elsewhere", "failed"))]);
    let error = write_obsm(&input, &output, "k", 2, &mut broken).unwrap_err();
    assert_eq!(error.to_string(), "elsewhere: failed");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
