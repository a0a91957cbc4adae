//! Models written tensor by tensor: the same bits, other widths, several files.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

fn floats(name: &str, values: &[f32], dtype: Dtype) -> Outgoing<'static> {
    let bytes = encode_floats(values, dtype).unwrap();
    let shape = vec![values.len()];
    Outgoing::new(name.to_owned(), dtype, shape, move || {
        Ok(Cow::Owned(bytes.clone()))
    })
}

fn counter() -> Outgoing<'static> {
    let bytes = || Ok(Cow::Owned(7i64.to_le_bytes().to_vec()));
    Outgoing::new("steps".to_owned(), Dtype::I64, vec![], bytes)
}

fn model() -> Vec<Outgoing<'static>> {
    vec![
        floats("b", &[0.5, -2.0, 3.25], Dtype::F16),
        floats("a", &[1.0, 2.0], Dtype::F32),
        counter(),
        floats("c", &[1.5], Dtype::F64),
    ]
}

fn saved(dir: &Path, dtype: Option<StoredDtype>, limit: u64) -> Weights {
    save_model(dir, &model(), dtype, limit, &mut |_| {}).unwrap();
    Weights::open(dir).unwrap()
}

#[test]
fn every_tensor_keeps_its_type_and_bits() {
    let dir = tempfile::tempdir().unwrap();
    let weights = saved(dir.path(), None, SHARD_BYTES);
    assert_eq!(weights.names(), ["a", "b", "c", "steps"]);
    for tensor in model() {
        assert_eq!(weights.element(tensor.name()).unwrap(), tensor.dtype);
        assert_eq!(
            weights.bytes(tensor.name()).unwrap(),
            (tensor.bytes)().unwrap()
        );
    }
    // Once more from what was written: the same file.
    let again = tempfile::tempdir().unwrap();
    save_model(
        again.path(),
        &weights.outgoing().unwrap(),
        None,
        SHARD_BYTES,
        &mut |_| {},
    )
    .unwrap();
    let read = |dir: &Path| std::fs::read(dir.join(SINGLE)).unwrap();
    assert_eq!(read(dir.path()), read(again.path()));
}

#[test]
fn another_width_is_for_floats_only() {
    for (dtype, element) in [
        (StoredDtype::F32, Dtype::F32),
        (StoredDtype::F16, Dtype::F16),
        (StoredDtype::BF16, Dtype::BF16),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let weights = saved(dir.path(), Some(dtype), SHARD_BYTES);
        assert_eq!(weights.element("steps").unwrap(), Dtype::I64);
        for (name, values) in [
            ("a", vec![1.0, 2.0]),
            ("b", vec![0.5, -2.0, 3.25]),
            ("c", vec![1.5]),
        ] {
            assert_eq!(weights.element(name).unwrap(), element);
            assert_eq!(
                weights.values(name, &[values.len()]).unwrap(),
                values,
                "{name}"
            );
        }
    }
}

#[test]
fn what_is_larger_than_a_file_becomes_shards() {
    let dir = tempfile::tempdir().unwrap();
    let mut heard = 0;
    let files = save_model(dir.path(), &model(), None, 16, &mut |bytes| heard += bytes).unwrap();
    let names = files
        .iter()
        .map(|file| file.file_name().unwrap().to_str().unwrap());
    // a + b = 14 bytes, c + steps = 16.
    let expected = [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        INDEX,
    ];
    assert_eq!(names.collect::<Vec<_>>(), expected);
    assert_eq!(heard, 30);
    let index: Value =
        serde_json::from_slice(&std::fs::read(dir.path().join(INDEX)).unwrap()).unwrap();
    assert_eq!(index["metadata"]["total_size"], 30);
    assert_eq!(index["weight_map"]["c"], expected[1]);
    let weights = Weights::open(dir.path()).unwrap();
    assert_eq!(weights.values("b", &[3]).unwrap(), [0.5, -2.0, 3.25]);
}

#[test]
fn what_does_not_fit_is_named_and_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let short = Outgoing::new("short".to_owned(), Dtype::F32, vec![2], || {
        Ok(Cow::Borrowed(&[0; 4]))
    });
    for (tensors, dtype, says) in [
        (
            vec![floats("big", &[1e6], Dtype::F32)],
            Some(StoredDtype::F16),
            "`big`: holds 1000000",
        ),
        (vec![short], None, "`short`: has 4 bytes, not the 8"),
        (vec![counter(), counter()], None, "`steps`: was given twice"),
    ] {
        let error = save_model(dir.path(), &tensors, dtype, SHARD_BYTES, &mut |_| {});
        let text = error.unwrap_err().to_string();
        assert!(text.contains(says), "{text}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
