//! Every format there and back, and everything that can be wrong with a file of vectors.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{fs, path::Path};

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// Records with their vectors, as a program would hand them over.
struct Rows {
    ids: Vec<String>,
    rows: Vec<Vec<f32>>,
    width: usize,
}

impl Rows {
    fn new(width: usize, rows: &[(&str, &[f32])]) -> Self {
        Self {
            ids: rows.iter().map(|(id, _)| id.to_string()).collect(),
            rows: rows.iter().map(|(_, row)| row.to_vec()).collect(),
            width,
        }
    }

    fn table(&self, per: Per) -> Table {
        Table {
            records: self.ids.len(),
            width: self.width,
            per,
            dtype: Dtype::F32,
            about: vec![("modality".into(), "glycan".into())],
        }
    }
}

impl Source for Rows {
    fn heads(&self) -> Box<dyn Iterator<Item = Result<(String, usize)>> + '_> {
        let lengths = self.rows.iter().map(|row| row.len() / self.width);
        Box::new(self.ids.iter().cloned().zip(lengths).map(Ok))
    }

    fn vectors(&self) -> Box<dyn Iterator<Item = Result<Vec<f32>>> + '_> {
        Box::new(self.rows.iter().cloned().map(Ok))
    }
}

fn three() -> Rows {
    Rows::new(
        2,
        &[
            ("P1", &[1.0, -2.5]),
            ("Ω 2", &[0.25, 3.0]),
            ("a,b", &[7.0, 1e-3]),
        ],
    )
}

fn read_file(path: &Path) -> Result<Vectors> {
    read(path, &Choice::default())
}

/// What is said about a file of these bytes.
fn refused(bytes: &[u8], choice: &Choice) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("v.bin");
    fs::write(&path, bytes).unwrap();
    let error = read(&path, choice).unwrap_err().to_string();
    assert!(error.contains("v.bin"), "{error}");
    error
}

/// A safetensors file with this header and data.
fn safetensors_of(header: &serde_json::Value, data: &[u8]) -> Vec<u8> {
    let header = header.to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

fn npy_of(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

fn floats(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

#[test]
fn what_is_written_is_read_back_from_every_format() {
    let dir = tempfile::tempdir().unwrap();
    let rows = three();
    for (name, container) in [
        ("v.safetensors", Container::Safetensors),
        ("v.npy", Container::Npy),
        ("v.parquet", Container::Parquet),
    ] {
        let path = dir.path().join(name);
        write(&path, &container, &rows.table(Per::One), &rows).unwrap();
        let read = read_file(&path).unwrap();
        assert_eq!(
            (read.ids(), read.width()),
            (rows.ids.as_slice(), 2),
            "{name}"
        );
        assert!(read.one_each());
        for (at, id) in rows.ids.iter().enumerate() {
            assert_eq!(read.find(id), Some(at), "{name}: {id}");
            assert_eq!(read.get(at), Some(rows.rows[at].as_slice()), "{name}: {id}");
        }
        assert_eq!((read.find("P3"), read.get(3)), (None, None));
    }
    let mut left: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["v.ids.txt", "v.npy", "v.parquet", "v.safetensors"]);
    assert_eq!(files(&dir.path().join("v.npy")).len(), 2);
    assert_eq!(files(&dir.path().join("v.parquet")).len(), 1);
}

#[test]
fn half_precision_is_stored_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let rows = three();
    let table = Table {
        dtype: Dtype::F16,
        ..rows.table(Per::One)
    };
    for (name, container) in [
        ("v.safetensors", Container::Safetensors),
        ("v.npy", Container::Npy),
        ("v.parquet", Container::Parquet),
    ] {
        let path = dir.path().join(name);
        write(&path, &container, &table, &rows).unwrap();
        let read = read_file(&path).unwrap();
        assert_eq!(read.get(0), Some([1.0, -2.5].as_slice()), "{name}");
        let small = read.get(2).unwrap()[1];
        assert!(
            small != 1e-3 && (small - 1e-3).abs() < 1e-6,
            "{name}: {small}"
        );
    }
    let large = Rows::new(1, &[("x", &[65520.0])]);
    let table = Table {
        dtype: Dtype::F16,
        ..large.table(Per::One)
    };
    let path = dir.path().join("large.npy");
    let error = write(&path, &Container::Npy, &table, &large).unwrap_err();
    assert!(error.to_string().contains("half precision"), "{error}");
    assert!(!path.exists());
}

#[test]
fn a_record_may_have_several_vectors() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("v.safetensors");
    let rows = Rows::new(2, &[("a", &[1.0, 2.0]), ("b", &[3.0, 4.0, 5.0, 6.0])]);
    write(
        &path,
        &Container::Safetensors,
        &rows.table(Per::Varying { total: 3 }),
        &rows,
    )
    .unwrap();
    let read = read_file(&path).unwrap();
    assert!(!read.one_each());
    assert_eq!(read.get(0), Some([1.0, 2.0].as_slice()));
    assert_eq!(read.get(1), Some([3.0, 4.0, 5.0, 6.0].as_slice()));
    assert_eq!(read.get(2), None);
    let error = write(
        &path,
        &Container::Parquet,
        &rows.table(Per::Varying { total: 3 }),
        &rows,
    );
    assert!(error.unwrap_err().to_string().contains("write safetensors"));

    let rows = Rows::new(2, &[("a", &[1.0, 2.0, 3.0, 4.0])]);
    for (name, container, key) in [
        ("k.npy", Container::Npy, None),
        (
            "k.safetensors",
            Container::Safetensors,
            Some("soft_tokens".to_string()),
        ),
    ] {
        let path = dir.path().join(name);
        write(&path, &container, &rows.table(Per::Fixed(2)), &rows).unwrap();
        let choice = Choice {
            key,
            ..Choice::default()
        };
        let read = super::read(&path, &choice).unwrap();
        assert_eq!(
            (read.width(), read.get(0)),
            (2, Some(rows.rows[0].as_slice())),
            "{name}"
        );
    }
}

#[test]
fn a_source_that_breaks_its_word_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let rows = three();
    let wrong = Table {
        records: 4,
        ..rows.table(Per::One)
    };
    for (name, container) in [
        ("v.safetensors", Container::Safetensors),
        ("v.npy", Container::Npy),
        ("v.parquet", Container::Parquet),
    ] {
        let path = dir.path().join(name);
        let error = write(&path, &container, &wrong, &rows).unwrap_err();
        assert!(error.to_string().contains("3 records"), "{error}");
        assert!(!path.exists(), "{name}");
    }
    let broken = Rows::new(1, &[("a\nb", &[1.0])]);
    let path = dir.path().join("b.safetensors");
    assert!(
        write(
            &path,
            &Container::Safetensors,
            &broken.table(Per::One),
            &broken
        )
        .is_err()
    );
}

#[test]
fn safetensors_of_other_programs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("v.safetensors");
    // The only table of numbers, half precision in both kinds, without ids: rows by number.
    let f16 = [0x00, 0x3c, 0x00, 0xc0]; // 1, -2
    let bf16 = [0x80, 0x3f, 0x00, 0xc0]; // 1, -2
    for (dtype, data) in [("F16", f16), ("BF16", bf16)] {
        let header = json!({"mean": {"dtype": dtype, "shape": [2, 1], "data_offsets": [0, 4]}});
        fs::write(&path, safetensors_of(&header, &data)).unwrap();
        let read = read_file(&path).unwrap();
        assert_eq!(
            read.find("1").and_then(|at| read.get(at)),
            Some([-2.0].as_slice()),
            "{dtype}"
        );
    }
    // A last line break is no id, and Windows' line breaks are line breaks.
    let header = json!({
        "embeddings": {"dtype": "F32", "shape": [2, 1], "data_offsets": [0, 8]},
        "ids": {"dtype": "U8", "shape": [6], "data_offsets": [8, 14]},
    });
    let data = [floats(&[1.0, 2.0]), b"a\r\nb\r\n".to_vec()].concat();
    fs::write(&path, safetensors_of(&header, &data)).unwrap();
    assert_eq!(read_file(&path).unwrap().ids(), ["a", "b"]);
}

#[test]
fn bad_safetensors_are_refused_in_one_sentence() {
    let table = |shape: serde_json::Value, end: usize| json!({"embeddings": {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}});
    let good = floats(&[1.0, 2.0, 3.0, 4.0]);
    let two = |name: &str| json!({"dtype": "F32", "shape": [1, 2], "data_offsets": if name == "a" { [0, 8] } else { [8, 16] }});
    let lengths = |numbers: [i64; 2]| {
        let header = json!({
            "states": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
            "lengths": {"dtype": "I64", "shape": [2], "data_offsets": [16, 32]},
        });
        let numbers: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        safetensors_of(&header, &[good.clone(), numbers].concat())
    };
    let cases = [
        (
            safetensors_of(&table(json!([2, 2]), 16), &good[..12]),
            "claims the shape",
        ),
        (
            safetensors_of(
                &table(json!([9_000_000_000_u64, 9_000_000_000_u64]), 16),
                &good,
            ),
            "no whole safetensors file",
        ),
        (safetensors_of(&table(json!([4]), 16), &good), "shape [4]"),
        (
            safetensors_of(&table(json!([0, 2]), 0), &[]),
            "at least one vector",
        ),
        (
            safetensors_of(&table(json!([5, 0]), 0), &[]),
            "at least one vector",
        ),
        (
            safetensors_of(&table(json!([u32::MAX, 3, 0]), 0), &[]),
            "empty",
        ),
        (
            safetensors_of(
                &table(json!([2, 2]), 16),
                &floats(&[1.0, 2.0, f32::NAN, 4.0]),
            ),
            "row 2 (`1`) holds NaN",
        ),
        (
            safetensors_of(
                &table(json!([2, 2]), 16),
                &floats(&[1.0, f32::INFINITY, 3.0, 4.0]),
            ),
            "row 1 (`0`) holds inf at place 2",
        ),
        (
            safetensors_of(&json!({"a": two("a"), "b": two("b")}), &good),
            "a, b; name one with `embeddings_key`",
        ),
        (
            safetensors_of(
                &json!({"x": {"dtype": "I32", "shape": [2, 2], "data_offsets": [0, 16]}}),
                &good,
            ),
            "(it has: x)",
        ),
        (
            safetensors_of(
                &json!({"embeddings": {"dtype": "I32", "shape": [2, 2], "data_offsets": [0, 16]}}),
                &good,
            ),
            "I32",
        ),
        (lengths([0, 2]), "row 1 has no vector"),
        (lengths([3, 2]), "do not fit"),
        (lengths([-1, 2]), "do not fit"),
        (
            safetensors_of(&json!({"states": two("a")}), &good[..8]),
            "without `lengths`",
        ),
        (vec![255; 9], "no table of vectors"),
        ([&u64::MAX.to_le_bytes()[..], b"{"].concat(), "claims"),
        (vec![], "no table of vectors"),
        (b"PK\x03\x04 and so on".to_vec(), "zip archive"),
    ];
    for (bytes, expected) in cases {
        let said = refused(&bytes, &Choice::default());
        assert!(
            said.contains(expected),
            "{said}\nshould contain: {expected}"
        );
    }
    let ids = |text: &[u8]| {
        let header = json!({
            "embeddings": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
            "ids": {"dtype": "U8", "shape": [text.len()], "data_offsets": [16, 16 + text.len()]},
        });
        refused(
            &safetensors_of(&header, &[good.clone(), text.to_vec()].concat()),
            &Choice::default(),
        )
    };
    assert!(ids(b"x\nx").contains("rows 1 and 2 have the same id `x`"));
    assert!(ids(b"x").contains("2 vectors, but its tensor `ids` has 1"));
    assert!(ids(b"\xff\n\xff").contains("UTF-8"));
    let named = Choice {
        key: Some("other".into()),
        id_field: None,
    };
    assert!(
        refused(&safetensors_of(&table(json!([2, 2]), 16), &good), &named)
            .contains("has no tensor `other` (it has: embeddings)")
    );
    let field = Choice {
        key: None,
        id_field: Some("id".into()),
    };
    assert!(
        refused(&safetensors_of(&table(json!([2, 2]), 16), &good), &field)
            .contains("leave `id_field` out")
    );
}

#[test]
fn npy_in_every_order_and_precision() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("v.npy");
    // [[1, 2, 3], [4, 5, 6]]
    let columns = [1.0_f32, 4.0, 2.0, 5.0, 3.0, 6.0];
    let rows = [1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0];
    let doubles: Vec<u8> = rows
        .iter()
        .flat_map(|value| f64::from(*value).to_be_bytes())
        .collect();
    let halves = [0x3c00_u16, 0x4000, 0x4200, 0x4400, 0x4500, 0x4600];
    let halves: Vec<u8> = halves.iter().flat_map(|half| half.to_le_bytes()).collect();
    for (descr, fortran, data) in [
        ("<f4", "False", floats(&rows)),
        ("<f4", "True", floats(&columns)),
        (">f8", "False", doubles),
        ("<f2", "False", halves),
    ] {
        let header =
            format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': (2, 3), }}\n");
        fs::write(&path, npy_of(&header, &data)).unwrap();
        let read = read_file(&path).unwrap();
        assert_eq!(
            read.get(0),
            Some([1.0, 2.0, 3.0].as_slice()),
            "{descr} {fortran}"
        );
        assert_eq!(
            read.find("1").and_then(|at| read.get(at)),
            Some([4.0, 5.0, 6.0].as_slice()),
            "{descr} {fortran}"
        );
    }
    fs::write(ids_file(&path), "x\ny\n").unwrap();
    assert_eq!(read_file(&path).unwrap().find("y"), Some(1));
    fs::write(ids_file(&path), "x\n").unwrap();
    let error = read_file(&path).unwrap_err().to_string();
    assert!(
        error.contains("2 vectors") && error.contains("v.ids.txt"),
        "{error}"
    );
}

#[test]
fn bad_npy_is_refused_in_one_sentence() {
    let good = floats(&[1.0, 2.0]);
    let header = |descr: &str, shape: &str| {
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n")
    };
    for (bytes, expected) in [
        (
            npy_of(&header("<f4", "(2, 1)"), &good[..4]),
            "claims the shape [2, 1]",
        ),
        (
            npy_of(&header("<f4", "(999999999, 99999999)"), &good),
            "claims the shape",
        ),
        (
            npy_of(&header("<f4", "(9999999999999, 9999999999999)"), &good),
            "does not describe",
        ),
        (npy_of(&header("<f4", "(2,)"), &good), "has the shape [2]"),
        (npy_of(&header("<f4", "(0, 3)"), &[]), "at least one vector"),
        (npy_of(&header("<i4", "(2, 1)"), &good), "float32"),
        (npy_of(&header("|O", "(2, 1)"), &good), "v.bin"),
        (npy_of(&"(".repeat(60_000), &good), "does not describe"),
        (npy_of("{'descr': '<f4'}", &good), "cannot be read"),
        (npy_of("garbage [", &good), "as numpy does"),
        (b"\x93NUMPY\x01".to_vec(), "cut short"),
        (
            b"\x93NUMPY\x02\x00\xff\xff\xff\xff{".to_vec(),
            "claims 4294967295 bytes",
        ),
        (
            b"\x93NUMPY\x09\x00\x00\x00\x00\x00".to_vec(),
            "version is 9",
        ),
    ] {
        let said = refused(&bytes, &Choice::default());
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(
            said.contains(expected),
            "{said}\nshould contain: {expected}"
        );
    }
}

#[test]
fn cells_without_a_vector_are_left_out_and_remembered() {
    let path = Path::new("cells.h5ad");
    let obsm = || anndata::Obsm {
        ids: vec!["c1".into(), "c2".into(), "c3".into()],
        width: 2,
        values: vec![1.0, 2.0, f32::NAN, f32::NAN, 3.0, 4.0],
    };
    let vectors = Vectors::of_cells(path, obsm()).unwrap();
    assert_eq!(vectors.ids(), ["c1", "c3"]);
    assert!(vectors.lacks("c2") && !vectors.lacks("c9"));
    let half = anndata::Obsm {
        values: vec![1.0, 2.0, f32::NAN, 0.0, 3.0, 4.0],
        ..obsm()
    };
    let error = Vectors::of_cells(path, half).unwrap_err().to_string();
    assert!(error.contains("row 2 (`c2`) holds NaN"), "{error}");
}

/// The files that the properties below damage.
fn whole_files() -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let rows = three();
    let containers = [Container::Safetensors, Container::Npy, Container::Parquet];
    let bytes = containers.iter().map(|container| {
        let path = dir.path().join("v");
        write(&path, container, &rows.table(Per::One), &rows).unwrap();
        fs::read(&path).unwrap()
    });
    bytes.collect()
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("v");
    for bytes in whole_files() {
        for length in 0..bytes.len() {
            fs::write(&path, &bytes[..length]).unwrap();
            assert!(
                read_file(&path).is_err(),
                "{length} of {} bytes",
                bytes.len()
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn damaged_bytes_never_panic(which in 0..3_usize, at in any::<prop::sample::Index>(), with in any::<[u8; 4]>()) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("v");
        let mut bytes = whole_files().swap_remove(which);
        let at = at.index(bytes.len());
        for (byte, new) in bytes.iter_mut().skip(at).zip(with) {
            *byte = new;
        }
        fs::write(&path, &bytes).unwrap();
        let _ = read_file(&path);
    }

    #[test]
    fn any_table_comes_back(rows in prop::collection::vec((prop::collection::vec(-1e6_f32..1e6, 3), "[a-zA-Z0-9 _|]{0,8}"), 1..20)) {
        let dir = tempfile::tempdir().unwrap();
        let rows = Rows {
            ids: rows.iter().enumerate().map(|(i, (_, id))| format!("{i} {id}")).collect(),
            rows: rows.into_iter().map(|(row, _)| row).collect(),
            width: 3,
        };
        for (name, container) in [("v.safetensors", Container::Safetensors), ("v.npy", Container::Npy), ("v.parquet", Container::Parquet)] {
            let path = dir.path().join(name);
            write(&path, &container, &rows.table(Per::One), &rows).unwrap();
            let read = read_file(&path).unwrap();
            prop_assert_eq!(read.ids(), rows.ids.as_slice());
            for (at, row) in rows.rows.iter().enumerate() {
                prop_assert_eq!(read.get(at), Some(row.as_slice()));
            }
        }
    }
}
