//! Weights by parameter name, whatever file they are in.
//!
//! Reads safetensors and PyTorch checkpoints, single and sharded. Knows no model: names and shapes come from the caller.

mod checkpoint;
mod classes;
mod files;
mod probe;
mod save;
mod write;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use burn::prelude::*;
use half::{bf16, f16};
use memmap2::Mmap;
use safetensors::SafeTensors;

use crate::error::{Error, Result};

pub use probe::Audit;
pub use safetensors::Dtype;
pub use save::{StoredDtype, save_safetensors};
pub use write::{Outgoing, SHARD_BYTES, save_model};
pub(crate) use write::{encode_floats, fits};

/// The tensors of one Hugging Face folder (single or sharded), converted to f32 when asked for. Safetensors are
/// memory-mapped; of a PyTorch checkpoint each tensor is read when it is asked for. No pickled code is ever run.
#[derive(Debug)]
pub struct Weights {
    /// What errors name when a tensor is nowhere: the folder or the only file.
    root: PathBuf,
    files: Vec<(PathBuf, Source)>,
    entries: BTreeMap<String, Entry>,
    /// Set: tensors are zeros, and what is asked for is written down.
    probe: Option<probe::Probe>,
}

/// The bytes of one file.
#[derive(Debug)]
enum Source {
    Mapped(Mmap),
    /// By the name that the entry has.
    Checkpoint(BTreeMap<String, pytorch_reader::Tensor>),
}

/// Where one tensor lies.
#[derive(Debug)]
struct Entry {
    file: usize,
    dtype: Dtype,
    shape: Vec<usize>,
    /// In a mapped file; unused for a checkpoint.
    bytes: std::ops::Range<usize>,
}

impl Weights {
    /// The weights of a folder: `model.safetensors`, else the shards named by `model.safetensors.index.json`, else
    /// `pytorch_model.bin` or the shards of its index, else the only `*.pt` or `*.pth` file.
    pub fn open(dir: &Path) -> Result<Self> {
        let mut weights = Self::empty(dir);
        match files::find(dir)? {
            files::Found::Single(file) => weights.add(&file)?,
            files::Found::Sharded { index, promised } => {
                for shard in files::shards(&index, &promised)? {
                    weights.add(&shard)?;
                }
                weights.check_promises(&index, &promised)?;
            }
        }
        Ok(weights)
    }

    /// The files that [`open`](Self::open) reads, the index of shards among them, of those that are there. Nothing is said
    /// about what is wrong with a folder; opening it does that.
    pub fn files(dir: &Path) -> Vec<PathBuf> {
        match files::find(dir) {
            Ok(files::Found::Single(file)) => vec![file],
            Ok(files::Found::Sharded { index, promised }) => {
                let shards = files::shards(&index, &promised).unwrap_or_default();
                shards.into_iter().chain([index]).collect()
            }
            Err(_) => vec![],
        }
    }

    /// One file: `.bin`, `.pt`, `.pth` and `.ckpt` are PyTorch checkpoints, anything else is safetensors.
    pub fn open_file(file: &Path) -> Result<Self> {
        let mut weights = Self::empty(file);
        weights.add(file)?;
        Ok(weights)
    }

    fn empty(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
            files: Vec::new(),
            entries: BTreeMap::new(),
            probe: None,
        }
    }

    /// Answers every request with zeros from now on and takes it down for [`audit`](Self::audit).
    pub(crate) fn probing(self) -> Self {
        Self {
            probe: Some(probe::Probe::default()),
            ..self
        }
    }

    /// What was asked for since [`probing`](Self::probing), beside what there is.
    pub(crate) fn audit(&self) -> Audit {
        match &self.probe {
            Some(probe) => probe.audit(self.entries.keys()),
            None => Audit::default(),
        }
    }

    /// All tensor names, sorted.
    pub fn names(&self) -> Vec<&str> {
        self.entries.keys().map(String::as_str).collect()
    }

    /// Whether the tensor exists.
    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// How a tensor is stored, in the words of safetensors (`F32`, `BF16`, `I64`).
    pub fn dtype(&self, name: &str) -> Result<String> {
        Ok(self.entry(name)?.dtype.to_string())
    }

    /// Stored element type of a tensor.
    pub fn element(&self, name: &str) -> Result<Dtype> {
        Ok(self.entry(name)?.dtype)
    }

    /// The tensor's bytes as stored: little-endian, row-major, of the stored shape.
    pub fn bytes(&self, name: &str) -> Result<Cow<'_, [u8]>> {
        self.stored(name, self.entry(name)?)
    }

    /// Stored shape of a tensor.
    pub fn shape(&self, name: &str) -> Result<Vec<usize>> {
        Ok(self.entry(name)?.shape.clone())
    }

    /// Whether every value of a tensor is a number: no NaN, no infinity. Integers always are.
    pub fn is_finite(&self, name: &str) -> Result<bool> {
        let entry = self.entry(name)?;
        let bytes = self.stored(name, entry)?;
        let mut pieces = bytes.chunks(1 << 20);
        Ok(pieces.all(|piece| {
            let values = decode_floats(piece, entry.dtype);
            values.into_iter().all(f32::is_finite)
        }))
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
        if self.probed(name, &shape) {
            return Ok(Tensor::zeros(shape, device));
        }
        let values = self.values(name, &shape)?;
        Ok(Tensor::from_data(TensorData::new(values, shape), device))
    }

    /// A linear weight stored `[d_out, d_in]`, as the `[d_in, d_out]` this crate computes with.
    pub fn transposed(
        &self,
        name: &str,
        [d_in, d_out]: [usize; 2],
        device: &Device,
    ) -> Result<Tensor<2>> {
        if self.probed(name, &[d_out, d_in]) {
            return Ok(Tensor::zeros([d_in, d_out], device));
        }
        let values = self.values(name, &[d_out, d_in])?;
        let values = transpose(&values, d_out, d_in);
        Ok(Tensor::from_data(
            TensorData::new(values, [d_in, d_out]),
            device,
        ))
    }

    /// Takes down a request when probing; says whether it did.
    fn probed(&self, name: &str, expected: &[usize]) -> bool {
        let Some(probe) = &self.probe else {
            return false;
        };
        let entry = self.entries.get(name);
        probe.note(name, expected, entry.map(|entry| entry.shape.as_slice()));
        if let Some(dtype) = entry
            .map(|entry| entry.dtype)
            .filter(|dtype| !is_float(*dtype))
        {
            probe.refuse(
                name,
                format!("is stored as {dtype}, but the model needs floats"),
            );
        }
        true
    }

    fn add(&mut self, path: &Path) -> Result<()> {
        match checkpoint::is_one(path) {
            true => self.add_checkpoint(path),
            false => self.add_safetensors(path),
        }
    }

    fn add_safetensors(&mut self, path: &Path) -> Result<()> {
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        // SAFETY: the mapping is only read. Writers of this crate replace files by renaming and never change one in
        // place, so the mapped bytes stay what was validated here.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| Error::io(path, e))?;
        let (header, metadata) =
            SafeTensors::read_metadata(&map).map_err(|e| Error::format(path, damaged(&map, &e)))?;
        let start = header + size_of::<u64>();
        files::refuse_twice(path, map.get(size_of::<u64>()..start).unwrap_or_default())?;
        for (name, info) in metadata.tensors() {
            let entry = Entry {
                file: self.files.len(),
                dtype: info.dtype,
                shape: info.shape.clone(),
                bytes: start + info.data_offsets.0..start + info.data_offsets.1,
            };
            self.enter(path, name, entry)?;
        }
        self.files.push((path.to_path_buf(), Source::Mapped(map)));
        Ok(())
    }

    fn add_checkpoint(&mut self, path: &Path) -> Result<()> {
        let tensors = checkpoint::open(path)?;
        for (name, tensor) in &tensors {
            let entry = Entry {
                file: self.files.len(),
                dtype: checkpoint::dtype(tensor.dtype()),
                shape: tensor.shape().to_vec(),
                bytes: 0..0,
            };
            self.enter(path, name.clone(), entry)?;
        }
        self.files
            .push((path.to_path_buf(), Source::Checkpoint(tensors)));
        Ok(())
    }

    fn enter(&mut self, path: &Path, name: String, entry: Entry) -> Result<()> {
        if let Some(other) = self.entries.get(&name) {
            let other = self.files[other.file].0.display();
            return Err(tensor_error(
                path,
                &name,
                format!("is also in {other}; one of the shards is from another model"),
            ));
        }
        self.entries.insert(name, entry);
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

    /// The values as f32; refuses another shape than `expected`.
    pub(crate) fn values(&self, name: &str, expected: &[usize]) -> Result<Vec<f32>> {
        let entry = self.entry(name)?;
        if entry.shape != expected {
            let problem = format!("expected shape {expected:?}, found {:?}", entry.shape);
            return Err(tensor_error(&self.files[entry.file].0, name, problem));
        }
        self.floats(name, entry)
    }

    fn floats(&self, name: &str, entry: &Entry) -> Result<Vec<f32>> {
        let path = &self.files[entry.file].0;
        let bytes = self.stored(name, entry)?;
        match is_float(entry.dtype) {
            true => Ok(decode_floats(&bytes, entry.dtype)),
            false => {
                let found = entry.dtype;
                let problem = format!("is stored as {found}; only F64, F32, F16 and BF16 are read");
                Err(tensor_error(path, name, problem))
            }
        }
    }

    fn stored(&self, name: &str, entry: &Entry) -> Result<Cow<'_, [u8]>> {
        let (path, source) = &self.files[entry.file];
        match source {
            Source::Mapped(map) => Ok(Cow::Borrowed(&map[entry.bytes.clone()])),
            Source::Checkpoint(tensors) => {
                let read = tensors
                    .get(name)
                    .map(|tensor| checkpoint::read(path, tensor));
                let read = read.unwrap_or_else(|| Err("is not there any more".to_owned()));
                read.map(Cow::Owned)
                    .map_err(|problem| tensor_error(path, name, problem))
            }
        }
    }
}

/// Whether values of this type are read as f32.
pub(crate) fn is_float(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16 | Dtype::F64)
}

/// Stored floats as f32; nothing for a type that is not [`is_float`].
pub(crate) fn decode_floats(bytes: &[u8], dtype: Dtype) -> Vec<f32> {
    match dtype {
        Dtype::F32 => decode(bytes, f32::from_le_bytes),
        Dtype::F16 => decode(bytes, |b| f16::from_le_bytes(b).to_f32()),
        Dtype::BF16 => decode(bytes, |b| bf16::from_le_bytes(b).to_f32()),
        Dtype::F64 => decode(bytes, |b| f64::from_le_bytes(b) as f32),
        _ => Vec::new(),
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

fn damaged(bytes: &[u8], error: &safetensors::SafeTensorError) -> String {
    if bytes.starts_with(b"version https://git-lfs") {
        return "is a pointer of Git LFS and not the weights; fetch them with `git lfs pull`"
            .to_owned();
    }
    let length = bytes.first_chunk().map(|b| u64::from_le_bytes(*b));
    let header = length
        .and_then(|length| usize::try_from(length).ok())
        .and_then(|length| bytes.get(size_of::<u64>()..size_of::<u64>().checked_add(length)?));
    if header.is_some_and(|header| header.ends_with(&[0])) {
        return "has a header padded with NUL bytes, which the format does not allow (spaces are); load it in Python and \
                save it again with `safetensors.torch.save_file`"
            .to_owned();
    }
    format!("is truncated or not a safetensors file ({error}); download it again")
}

#[cfg(test)]
mod tests;
