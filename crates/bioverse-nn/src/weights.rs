//! Safetensors by parameter name.
//!
//! Reads single and sharded files, f32, f16 and bf16. Knows no model: names and shapes come from the caller.

mod save;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use burn::prelude::*;
use half::{bf16, f16};
use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};

use crate::error::{Error, Result};

pub use save::{StoredDtype, save_safetensors};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// The tensors of one Hugging Face folder (single or sharded), memory-mapped, converted to f32 when asked for.
#[derive(Debug)]
pub struct Weights {
    /// What errors name when a tensor is nowhere: the folder or the only file.
    root: PathBuf,
    files: Vec<(PathBuf, Mmap)>,
    entries: BTreeMap<String, Entry>,
}

/// Where one tensor lies.
#[derive(Debug)]
struct Entry {
    file: usize,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: std::ops::Range<usize>,
}

impl Weights {
    /// `dir/model.safetensors`, or the shards named by `dir/model.safetensors.index.json`.
    pub fn open(dir: &Path) -> Result<Self> {
        let (single, index) = (dir.join(SINGLE), dir.join(INDEX));
        let mut weights = Self {
            root: dir.to_path_buf(),
            files: Vec::new(),
            entries: BTreeMap::new(),
        };
        if single.is_file() {
            weights.add(&single)?;
        } else if index.is_file() {
            let promised = read_index(&index)?;
            let mut shards: Vec<&String> = promised.values().collect();
            shards.sort();
            shards.dedup();
            for shard in shards {
                weights.add(&shard_path(dir, &index, shard)?)?;
            }
            weights.check_promises(&index, &promised)?;
        } else {
            return Err(Error::format(dir, missing_weights(dir)));
        }
        Ok(weights)
    }

    /// One safetensors file.
    pub fn open_file(file: &Path) -> Result<Self> {
        let mut weights = Self {
            root: file.to_path_buf(),
            files: Vec::new(),
            entries: BTreeMap::new(),
        };
        weights.add(file)?;
        Ok(weights)
    }

    /// All tensor names, sorted.
    pub fn names(&self) -> Vec<&str> {
        self.entries.keys().map(String::as_str).collect()
    }

    /// Whether the tensor exists.
    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// Stored shape of a tensor.
    pub fn shape(&self, name: &str) -> Result<Vec<usize>> {
        Ok(self.entry(name)?.shape.clone())
    }

    /// The tensor's values as f32, in the stored shape and order.
    pub fn data(&self, name: &str) -> Result<TensorData> {
        let entry = self.entry(name)?;
        Ok(TensorData::new(
            self.floats(name, entry)?,
            entry.shape.clone(),
        ))
    }

    /// The tensor as f32 on `device`; refuses another shape than `shape`.
    pub fn tensor<const D: usize>(
        &self,
        name: &str,
        shape: [usize; D],
        device: &Device,
    ) -> Result<Tensor<D>> {
        let values = self.checked(name, &shape)?;
        Ok(Tensor::from_data(TensorData::new(values, shape), device))
    }

    /// A linear weight stored `[d_out, d_in]`, as the `[d_in, d_out]` this crate computes with.
    pub fn transposed(
        &self,
        name: &str,
        [d_in, d_out]: [usize; 2],
        device: &Device,
    ) -> Result<Tensor<2>> {
        let values = self.checked(name, &[d_out, d_in])?;
        let values = transpose(&values, d_out, d_in);
        Ok(Tensor::from_data(
            TensorData::new(values, [d_in, d_out]),
            device,
        ))
    }

    fn add(&mut self, path: &Path) -> Result<()> {
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        // SAFETY: the mapping is only read. Writers of this crate replace files by renaming and never change one in
        // place, so the mapped bytes stay what was validated here.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| Error::io(path, e))?;
        let (header, metadata) =
            SafeTensors::read_metadata(&map).map_err(|e| Error::format(path, damaged(&e)))?;
        let start = header + size_of::<u64>();
        let index = self.files.len();
        for (name, info) in metadata.tensors() {
            let entry = Entry {
                file: index,
                dtype: info.dtype,
                shape: info.shape.clone(),
                bytes: start + info.data_offsets.0..start + info.data_offsets.1,
            };
            if let Some(other) = self.entries.get(&name) {
                let other = self.files[other.file].0.display();
                return Err(tensor_error(
                    path,
                    &name,
                    format!("is also in {other}; one of the shards is from another model"),
                ));
            }
            self.entries.insert(name, entry);
        }
        self.files.push((path.to_path_buf(), map));
        Ok(())
    }

    fn check_promises(&self, index: &Path, promised: &BTreeMap<String, String>) -> Result<()> {
        for (name, shard) in promised {
            let found = self
                .entries
                .get(name)
                .map(|e| self.files[e.file].0.as_path());
            if found.and_then(Path::file_name) != Some(std::ffi::OsStr::new(shard)) {
                return Err(tensor_error(
                    index,
                    name,
                    format!("is not in {shard}; download the folder again"),
                ));
            }
        }
        Ok(())
    }

    fn entry(&self, name: &str) -> Result<&Entry> {
        self.entries
            .get(name)
            .ok_or_else(|| tensor_error(&self.root, name, self.missing(name)))
    }

    /// Names a tensor that differs in its prefix only: the most frequent reason for a missing one.
    fn missing(&self, name: &str) -> String {
        let ending = format!(".{name}");
        match self.entries.keys().find(|k| k.ends_with(&ending)) {
            Some(similar) => format!("is missing (there is `{similar}`)"),
            None => "is missing; is this the right model folder?".to_owned(),
        }
    }

    fn checked(&self, name: &str, expected: &[usize]) -> Result<Vec<f32>> {
        let entry = self.entry(name)?;
        if entry.shape != expected {
            let problem = format!("expected shape {expected:?}, found {:?}", entry.shape);
            return Err(tensor_error(&self.files[entry.file].0, name, problem));
        }
        self.floats(name, entry)
    }

    fn floats(&self, name: &str, entry: &Entry) -> Result<Vec<f32>> {
        let (path, map) = &self.files[entry.file];
        let bytes = &map[entry.bytes.clone()];
        Ok(match entry.dtype {
            Dtype::F32 => decode(bytes, f32::from_le_bytes),
            Dtype::F16 => decode(bytes, |b| f16::from_le_bytes(b).to_f32()),
            Dtype::BF16 => decode(bytes, |b| bf16::from_le_bytes(b).to_f32()),
            other => {
                let problem = format!("is stored as {other}; only F32, F16 and BF16 are read");
                return Err(tensor_error(path, name, problem));
            }
        })
    }
}

fn decode<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    let (chunks, _) = bytes.as_chunks::<N>();
    chunks.iter().map(|chunk| value(*chunk)).collect()
}

/// Row-major `[rows, cols]` → row-major `[cols, rows]`, in blocks that stay in the cache.
pub(crate) fn transpose(values: &[f32], rows: usize, cols: usize) -> Vec<f32> {
    const BLOCK: usize = 32;
    let mut out = vec![0.0; values.len()];
    for top in (0..rows).step_by(BLOCK) {
        for left in (0..cols).step_by(BLOCK) {
            for row in top..(top + BLOCK).min(rows) {
                for col in left..(left + BLOCK).min(cols) {
                    out[col * rows + row] = values[row * cols + col];
                }
            }
        }
    }
    out
}

fn tensor_error(path: &Path, name: &str, problem: String) -> Error {
    Error::Tensor {
        path: path.to_path_buf(),
        name: name.to_owned(),
        problem,
    }
}

fn damaged(error: &safetensors::SafeTensorError) -> String {
    format!("is truncated or not a safetensors file ({error}); download it again")
}

fn missing_weights(dir: &Path) -> String {
    if !dir.is_dir() {
        return "is not a folder; give the path of a Hugging Face model folder".to_owned();
    }
    if dir.join("pytorch_model.bin").is_file() {
        return format!("holds pytorch_model.bin but no {SINGLE}; convert it to safetensors first");
    }
    format!("holds neither {SINGLE} nor {INDEX}; is the download complete?")
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

/// Shards lie beside their index; a name that leads elsewhere is refused.
fn shard_path(dir: &Path, index: &Path, shard: &str) -> Result<PathBuf> {
    if Path::new(shard).file_name() != Some(std::ffi::OsStr::new(shard)) {
        return Err(Error::format(
            index,
            format!("`{shard}` is not a file name"),
        ));
    }
    let path = dir.join(shard);
    if !path.is_file() {
        let problem = format!("names the shard {shard}, which is not there; download it again");
        return Err(Error::format(index, problem));
    }
    Ok(path)
}

#[cfg(test)]
mod tests;
