//! Which files of a folder hold its weights, and whether an index keeps its promises. Nothing here reads a tensor.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::{checkpoint, tensor_error};
use crate::error::{Error, Result};

pub(super) const SINGLE: &str = "model.safetensors";
pub(super) const INDEX: &str = "model.safetensors.index.json";
const TORCH: &str = "pytorch_model.bin";
const TORCH_INDEX: &str = "pytorch_model.bin.index.json";

/// Where the weights of a folder are.
pub(super) enum Found {
    /// In one file.
    Single(PathBuf),
    /// In the files that an index names.
    Sharded {
        index: PathBuf,
        /// Tensor → file name.
        promised: BTreeMap<String, String>,
    },
}

/// In the order in which people prefer them: safetensors before pickles, whole files before shards.
pub(super) fn find(dir: &Path) -> Result<Found> {
    for (single, index) in [(SINGLE, INDEX), (TORCH, TORCH_INDEX)] {
        let (single, index) = (dir.join(single), dir.join(index));
        if single.is_file() {
            return Ok(Found::Single(single));
        }
        if index.is_file() {
            let promised = read_index(&index)?;
            return Ok(Found::Sharded { index, promised });
        }
    }
    match checkpoints(dir)?.as_slice() {
        [only] => Ok(Found::Single(only.clone())),
        [] => Err(Error::format(dir, missing(dir))),
        several => {
            let names = several.iter().filter_map(|path| path.file_name());
            let names: Vec<_> = names.map(|name| name.to_string_lossy()).collect();
            let problem = format!(
                "holds several checkpoints ({}) and none that is called {SINGLE} or {TORCH}; keep the one to use",
                names.join(", ")
            );
            Err(Error::format(dir, problem))
        }
    }
}

/// `*.pt` and `*.pth`, sorted.
fn checkpoints(dir: &Path) -> Result<Vec<PathBuf>> {
    if !dir.is_dir() {
        return Err(Error::format(dir, missing(dir)));
    }
    let entries = std::fs::read_dir(dir).map_err(|e| Error::io(dir, e))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| Error::io(dir, e))?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if matches!(extension, Some("pt" | "pth")) && checkpoint::is_one(&path) && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn missing(dir: &Path) -> String {
    match dir.is_dir() {
        false => "is not a folder; give the path of a Hugging Face model folder".to_owned(),
        true => {
            format!("holds neither {SINGLE} nor {INDEX}, nor {TORCH}; is the download complete?")
        }
    }
}

fn read_index(path: &Path) -> Result<BTreeMap<String, String>> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
    let index: Index =
        serde_json::from_str(&text).map_err(|e| Error::format(path, e.to_string()))?;
    Ok(index.weight_map)
}

/// The files that an index names. Shards lie beside their index; a name that leads elsewhere is refused.
pub(super) fn shards(index: &Path, promised: &BTreeMap<String, String>) -> Result<Vec<PathBuf>> {
    let names: BTreeSet<&String> = promised.values().collect();
    let dir = index.parent().unwrap_or(Path::new(""));
    let shard = |name: &String| {
        if Path::new(name).file_name() != Some(std::ffi::OsStr::new(name)) {
            let problem = format!("`{name}` is not a file name; shards lie beside their index");
            return Err(Error::format(index, problem));
        }
        let path = dir.join(name);
        match path.is_file() {
            true => Ok(path),
            false => {
                let problem =
                    format!("names the shard {name}, which is not there; download it again");
                Err(Error::format(index, problem))
            }
        }
    };
    names.into_iter().map(shard).collect()
}

/// Refuses a header that describes a tensor twice: the `safetensors` crate takes the last one, Python's the first or last
/// depending on its version, so nobody can say which is meant.
pub(super) fn refuse_twice(path: &Path, header: &[u8]) -> Result<()> {
    struct Keys;
    impl<'de> Visitor<'de> for Keys {
        type Value = Option<String>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a header")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let (mut seen, mut twice) = (BTreeSet::new(), None);
            while let Some((key, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
                if !seen.insert(key.clone()) {
                    twice = Some(key);
                }
            }
            Ok(twice)
        }
    }
    let mut json = serde_json::Deserializer::from_slice(header);
    let twice = json.deserialize_map(Keys);
    match twice.map_err(|e| Error::format(path, format!("its header is damaged: {e}")))? {
        None => Ok(()),
        Some(name) => Err(tensor_error(
            path,
            &name,
            "is described twice in the header; the file cannot be trusted, fetch it again".into(),
        )),
    }
}
