//! Files as they should be, and files as they should not.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::files::{INDEX, SINGLE};
use super::*;

fn two() -> Vec<(String, TensorData)> {
    vec![
        ("b".into(), TensorData::new(vec![0.5f32, -2.0, 3.25], [3])),
        (
            "a".into(),
            TensorData::new(vec![1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3]),
        ),
    ]
}

fn saved(dir: &Path, name: &str, dtype: StoredDtype) -> PathBuf {
    let path = dir.join(name);
    save_safetensors(&path, two(), dtype, BTreeMap::new()).unwrap();
    path
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

#[test]
fn both_dtypes_read_back() {
    let dir = tempfile::tempdir().unwrap();
    for dtype in [StoredDtype::F32, StoredDtype::F16] {
        let weights = Weights::open_file(&saved(dir.path(), "x.safetensors", dtype)).unwrap();
        let device = Device::flex();
        assert_eq!(weights.names(), ["a", "b"]);
        assert_eq!(weights.shape("a").unwrap(), [2, 3]);
        let a = weights.tensor("a", [2, 3], &device).unwrap();
        assert_eq!(values(a), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let turned = weights.transposed("a", [3, 2], &device).unwrap();
        assert_eq!(values(turned), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        assert_eq!(
            values(weights.tensor("b", [3], &device).unwrap()),
            [0.5, -2.0, 3.25]
        );
    }
}

#[test]
fn a_file_is_the_same_whatever_the_order_it_was_given_in() {
    let dir = tempfile::tempdir().unwrap();
    let metadata: BTreeMap<_, _> = (0..9).map(|i| (i.to_string(), "x".into())).collect();
    let mut reversed = two();
    reversed.reverse();
    let (one, other) = (dir.path().join("1"), dir.path().join("2"));
    save_safetensors(&one, two(), StoredDtype::F32, metadata.clone()).unwrap();
    save_safetensors(&other, reversed, StoredDtype::F32, metadata).unwrap();
    assert_eq!(std::fs::read(one).unwrap(), std::fs::read(other).unwrap());
}

#[test]
fn the_safetensors_crate_reads_what_we_write() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = std::fs::read(saved(dir.path(), "x", StoredDtype::F32)).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(metadata.metadata().as_ref().unwrap()["format"], "pt");
    assert_eq!(
        SafeTensors::deserialize(&bytes)
            .unwrap()
            .tensor("a")
            .unwrap()
            .shape(),
        [2, 3]
    );
}

#[test]
fn a_truncated_file_is_named_and_to_be_downloaded_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = saved(dir.path(), SINGLE, StoredDtype::F32);
    let bytes = std::fs::read(&path).unwrap();
    for keep in [0, 4, 20, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..keep]).unwrap();
        let text = Weights::open(dir.path()).unwrap_err().to_string();
        assert!(
            text.contains(SINGLE) && text.contains("download it again"),
            "{text}"
        );
    }
}

#[test]
fn errors_name_the_tensor_and_what_was_expected() {
    let dir = tempfile::tempdir().unwrap();
    let weights = Weights::open_file(&saved(dir.path(), "x", StoredDtype::F32)).unwrap();
    let device = Device::flex();
    let shape = weights
        .tensor("a", [3, 3], &device)
        .unwrap_err()
        .to_string();
    assert!(
        shape.contains("`a`: expected shape [3, 3], found [2, 3]"),
        "{shape}"
    );
    let missing = weights.tensor("c", [3], &device).unwrap_err().to_string();
    assert!(missing.contains("`c`: is missing"), "{missing}");
}

#[test]
fn a_folder_without_weights_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let text = Weights::open(dir.path()).unwrap_err().to_string();
    assert!(text.contains("holds neither model.safetensors"), "{text}");
    let text = Weights::open(&dir.path().join("no"))
        .unwrap_err()
        .to_string();
    assert!(text.contains("is not a folder"), "{text}");
}

#[test]
fn f16_refuses_values_it_cannot_hold() {
    let dir = tempfile::tempdir().unwrap();
    let tensors = vec![("big".into(), TensorData::new(vec![1e6f32], [1]))];
    let path = dir.path().join("x");
    let error = save_safetensors(&path, tensors, StoredDtype::F16, BTreeMap::new());
    let text = error.unwrap_err().to_string();
    assert!(text.contains("`big`") && text.contains("1000000"), "{text}");
    assert!(!path.exists());
}

fn sharded(dir: &Path, weight_map: &str) {
    saved(dir, "one.safetensors", StoredDtype::F32);
    let c = vec![("c".into(), TensorData::new(vec![7.0f32], [1]))];
    save_safetensors(
        &dir.join("two.safetensors"),
        c,
        StoredDtype::F32,
        BTreeMap::new(),
    )
    .unwrap();
    std::fs::write(dir.join(INDEX), format!("{{\"weight_map\": {weight_map}}}")).unwrap();
}

#[test]
fn shards_are_one_set_of_weights() {
    let dir = tempfile::tempdir().unwrap();
    sharded(
        dir.path(),
        r#"{"a": "one.safetensors", "b": "one.safetensors", "c": "two.safetensors"}"#,
    );
    let weights = Weights::open(dir.path()).unwrap();
    assert_eq!(weights.names(), ["a", "b", "c"]);
    assert_eq!(
        values(weights.tensor("c", [1], &Device::flex()).unwrap()),
        [7.0]
    );
}

#[test]
fn a_wrong_index_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (map, says) in [
        (
            r#"{"c": "one.safetensors", "a": "two.safetensors"}"#,
            "`a`: is not in two.safetensors",
        ),
        (
            r#"{"a": "three.safetensors"}"#,
            "three.safetensors, which is not there",
        ),
        (r#"{"a": "../one.safetensors"}"#, "is not a file name"),
    ] {
        sharded(dir.path(), map);
        let text = Weights::open(dir.path()).unwrap_err().to_string();
        assert!(text.contains(says), "{text}");
    }
    saved(dir.path(), "two.safetensors", StoredDtype::F32);
    std::fs::write(
        dir.path().join(INDEX),
        r#"{"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}"#,
    )
    .unwrap();
    let text = Weights::open(dir.path()).unwrap_err().to_string();
    assert!(text.contains("is also in"), "{text}");
}

/// A file whose header is given as it is.
fn with_header(dir: &Path, header: &[u8], data: usize) -> PathBuf {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header);
    bytes.resize(bytes.len() + data, 0);
    let path = dir.join("x.safetensors");
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn headers_that_lie_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let one = r#""a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#;
    for (header, data, says) in [
        (format!("{{{one},{one}}}"), 4, "is described twice"),
        (format!("{{{one}}}\0\0"), 4, "padded with NUL bytes"),
        (format!("{{{one}}}"), 9, "x.safetensors"),
        (
            one.replace("[1]", "[4611686018427387904]"),
            4,
            "x.safetensors",
        ),
    ] {
        let path = with_header(dir.path(), header.as_bytes(), data);
        let text = Weights::open_file(&path).unwrap_err().to_string();
        assert!(text.contains(says), "{header}: {text}");
    }
    let path = dir.path().join("x.safetensors");
    std::fs::write(&path, u64::MAX.to_le_bytes()).unwrap();
    assert!(Weights::open_file(&path).is_err());
}
