//! Checkpoints put together byte by byte: what `torch.save` writes, what an attacker would, and what breaks on the way.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use bioverse_nn::Weights;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// Opcodes of protocol 2 as they are needed here.
#[derive(Default, Clone)]
struct Pickle(Vec<u8>);

impl Pickle {
    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn text(self, text: &str) -> Self {
        let length = (text.len() as u32).to_le_bytes();
        self.raw(b"X").raw(&length).raw(text.as_bytes())
    }

    fn int(self, value: i64) -> Self {
        self.raw(b"\x8a\x08").raw(&value.to_le_bytes())
    }

    fn ints(self, values: &[i64]) -> Self {
        let open = self.raw(b"(");
        values
            .iter()
            .fold(open, |pickle, value| pickle.int(*value))
            .raw(b"t")
    }

    /// A f32 tensor on the storage `key` of `numel` values.
    fn tensor(self, key: &str, numel: i64, shape: &[i64], stride: &[i64]) -> Self {
        self.raw(b"ctorch._utils\n_rebuild_tensor_v2\n((")
            .text("storage")
            .raw(b"ctorch\nFloatStorage\n")
            .text(key)
            .text("cpu")
            .int(numel)
            .raw(b"tQ")
            .int(0)
            .ints(shape)
            .ints(stride)
            .raw(b"\x89ccollections\nOrderedDict\n)RtR")
    }

    /// The value that follows belongs to `key` of the dictionary below it.
    fn entry(self, key: &str, value: impl FnOnce(Self) -> Self) -> Self {
        value(self.text(key)).raw(b"s")
    }

    fn dict(self) -> Self {
        self.raw(b"}")
    }
}

fn pickle() -> Pickle {
    Pickle(b"\x80\x02".to_vec())
}

/// A dictionary of one vector of four values on storage `0`.
fn one(name: &str) -> Pickle {
    pickle()
        .dict()
        .entry(name, |p| p.tensor("0", 4, &[4], &[1]))
}

fn four() -> Vec<u8> {
    [1.0f32, 2.0, 3.0, 4.0]
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect()
}

/// The archive that `torch.save` writes.
fn archive(pickle: Pickle, storage: &[u8], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let packed = SimpleFileOptions::default().compression_method(method);
    let pickle = pickle.raw(b".").0;
    for (name, bytes, options) in [
        ("x/data.pkl", pickle.as_slice(), stored),
        ("x/byteorder", b"little", stored),
        ("x/data/0", storage, packed),
        ("x/version", b"3\n", stored),
    ] {
        zip.start_file(name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn saved(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn open(pickle: Pickle) -> Result<Weights, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = saved(
        dir.path(),
        "model.pt",
        &archive(pickle, &four(), CompressionMethod::Stored),
    );
    // The file stays open; its folder may go.
    Weights::open_file(&path).map_err(|error| error.to_string())
}

fn values(weights: &Weights, name: &str) -> Vec<f32> {
    weights.data(name).unwrap().iter::<f32>().collect()
}

#[test]
fn state_dicts_are_found_wherever_they_are() {
    let nested = |keys: &[&str]| {
        let open = keys
            .iter()
            .fold(pickle().dict(), |p, key| p.text(key).dict());
        let filled = open.entry("w", |p| p.tensor("0", 4, &[2, 2], &[2, 1]));
        keys.iter().fold(filled, |p, _| p.raw(b"s"))
    };
    for keys in [
        &[][..],
        &["state_dict"],
        &["model"],
        &["checkpoint", "model_state_dict"],
    ] {
        assert_eq!(open(nested(keys)).unwrap().names(), ["w"], "{keys:?}");
    }
    // A parameter of that name is no wrapper, and other dictionaries keep their names.
    assert_eq!(open(one("model")).unwrap().names(), ["model"]);
    assert_eq!(open(nested(&["ema"])).unwrap().names(), ["ema.w"]);
    let wrapped =
        one("module._orig_mod.w").entry("module._orig_mod.b", |p| p.tensor("0", 4, &[4], &[1]));
    assert_eq!(open(wrapped).unwrap().names(), ["b", "w"]);
}

#[test]
fn tensors_may_share_a_storage_and_be_turned() {
    let dir = tempfile::tempdir().unwrap();
    let pickle = one("a").entry("b", |p| p.tensor("0", 4, &[2, 2], &[1, 2]));
    let path = saved(
        dir.path(),
        "x.pt",
        &archive(pickle, &four(), CompressionMethod::Stored),
    );
    let weights = Weights::open_file(&path).unwrap();
    assert_eq!(values(&weights, "a"), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(values(&weights, "b"), [1.0, 3.0, 2.0, 4.0]);
}

#[test]
fn data_of_other_libraries_may_stand_beside_the_weights() {
    let beside = one("w").entry("args", |p| p.raw(b"cargparse\nNamespace\n)R"));
    assert_eq!(open(beside).unwrap().names(), ["w"]);
}

#[test]
fn whatever_asks_for_code_is_refused_by_name() {
    let cases: [(Pickle, &str); 7] = [
        (
            one("w").entry("x", |p| p.raw(b"cposix\nsystem\n(").text("id").raw(b"tR")),
            "posix.system",
        ),
        // Thrown away at once: torch would still have run it.
        (
            pickle()
                .raw(b"cos\nsystem\n(")
                .text("id")
                .raw(b"tR0")
                .raw(&one("w").0[2..]),
            "os.system",
        ),
        (
            one("w").entry("x", |p| p.text("os").text("system").raw(b"\x93)R")),
            "os.system",
        ),
        (
            one("w").entry("x", |p| p.raw(b"cbuiltins\ngetattr\n")),
            "builtins.getattr",
        ),
        (
            one("w").entry("x", |p| p.raw(b"c__main__\nNet\n)\x81")),
            "__main__.Net",
        ),
        (
            one("w").entry("x", |p| p.raw(b"ctorch\nload\n")),
            "torch.load",
        ),
        (
            one("w").entry("x", |p| {
                p.raw(b"cnumpy.testing._private.utils\nrunstring\n")
            }),
            "runstring",
        ),
    ];
    for (pickle, class) in cases {
        let text = open(pickle).unwrap_err();
        assert!(
            text.contains(class) && text.contains("nothing was run"),
            "{text}"
        );
        assert!(text.contains("model.pt"), "{text}");
    }
}

#[test]
fn sizes_that_lie_are_errors_and_reserve_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let first = |pickle: Pickle, storage: &[u8], method| {
        let path = saved(dir.path(), "x.pt", &archive(pickle, storage, method));
        let weights = Weights::open_file(&path)?;
        weights.data("w").map(drop)
    };
    let stored = CompressionMethod::Stored;
    let tensor = |numel, shape: &[i64], stride: &[i64]| {
        pickle()
            .dict()
            .entry("w", |p| p.tensor("0", numel, shape, stride))
    };
    let zeros = vec![0; 64 << 20];
    let cases = [
        // One value repeated 2³⁰ times.
        (
            first(tensor(4, &[1 << 30], &[0]), &four(), stored),
            "more than its whole file has",
        ),
        (
            first(tensor(4, &[1 << 40, 1 << 40], &[0, 0]), &four(), stored),
            "x.pt",
        ),
        (first(tensor(4, &[-1], &[1]), &four(), stored), "x.pt"),
        (
            first(tensor(1 << 20, &[1 << 10], &[1]), &four(), stored),
            "x.pt",
        ),
        (first(tensor(4, &[5], &[1]), &four(), stored), "x.pt"),
        // 64 MB that take a few kB.
        (
            first(
                tensor(16 << 20, &[16 << 20], &[1]),
                &zeros,
                CompressionMethod::Deflated,
            ),
            "more than its whole file has",
        ),
    ];
    for (i, (result, says)) in cases.into_iter().enumerate() {
        let text = result.unwrap_err().to_string();
        assert!(text.contains(says), "case {i}: {text}");
    }
}

#[test]
fn shards_of_pickles_are_one_model() {
    let dir = tempfile::tempdir().unwrap();
    let shard = |i, name| {
        let bytes = archive(one(name), &four(), CompressionMethod::Stored);
        saved(
            dir.path(),
            &format!("pytorch_model-0000{i}-of-00002.bin"),
            &bytes,
        )
    };
    let (_, second) = (shard(1, "a"), shard(2, "b"));
    let index = r#"{"metadata": {"total_size": 32}, "weight_map": {"a": "pytorch_model-00001-of-00002.bin", "b": "pytorch_model-00002-of-00002.bin"}}"#;
    saved(dir.path(), "pytorch_model.bin.index.json", index.as_bytes());
    let weights = Weights::open(dir.path()).unwrap();
    assert_eq!(weights.names(), ["a", "b"]);
    assert_eq!(values(&weights, "b"), [1.0, 2.0, 3.0, 4.0]);
    std::fs::remove_file(second).unwrap();
    let text = Weights::open(dir.path()).unwrap_err().to_string();
    assert!(text.contains("00002-of-00002.bin"), "{text}");
}

#[test]
fn what_is_no_checkpoint_is_told_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let whole = archive(one("w"), &four(), CompressionMethod::Stored);
    let mut tar = vec![0; 512];
    tar[257..262].copy_from_slice(b"ustar");
    let cases: [(&[u8], &str); 7] = [
        (&whole[..whole.len() / 2], "download it again"),
        (&whole[..60], "download it again"),
        (b"", "download it again"),
        (
            b"\x10\0\0\0\0\0\0\0{\"a\": 1}",
            "rename it to *.safetensors",
        ),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "git lfs pull",
        ),
        (&tar, "before 0.1.10"),
        (b"<!DOCTYPE html>", "download it again"),
    ];
    for (bytes, says) in cases {
        let path = saved(dir.path(), "pytorch_model.bin", bytes);
        let text = Weights::open_file(&path).unwrap_err().to_string();
        assert!(
            text.contains(says) && text.contains("pytorch_model.bin"),
            "{text}"
        );
    }
    let missing = Weights::open_file(&dir.path().join("none.pt")).unwrap_err();
    assert!(missing.to_string().contains("none.pt"), "{missing}");
}
