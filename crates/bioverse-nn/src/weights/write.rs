//! Whole models as safetensors, written tensor by tensor: what a conversion or a merge leaves behind.
//!
//! Values are made when they are written, so memory holds one tensor at a time whatever the size of the model. Knows no
//! model and makes no folder.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::Dtype;
use serde_json::{Map, Value, json};

use super::files::{INDEX, SINGLE};
use super::{StoredDtype, Weights, decode_floats, is_float, tensor_error};
use crate::atomic::{write_atomically, write_json};
use crate::error::Result;

/// Largest file of a model, 5 GB as transformers has it; what is larger becomes shards.
pub const SHARD_BYTES: u64 = 5_000_000_000;

type Bytes<'a> = Box<dyn Fn() -> Result<Cow<'a, [u8]>> + 'a>;

/// A tensor that will be written: its header, and what makes its bytes.
pub struct Outgoing<'a> {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Bytes<'a>,
}

impl std::fmt::Debug for Outgoing<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {:?}", self.name, self.dtype, self.shape)
    }
}

impl<'a> Outgoing<'a> {
    /// A tensor of `shape` whose little-endian, row-major bytes `bytes` gives.
    pub fn new(
        name: String,
        dtype: Dtype,
        shape: Vec<usize>,
        bytes: impl Fn() -> Result<Cow<'a, [u8]>> + 'a,
    ) -> Self {
        Self {
            name,
            dtype,
            shape,
            bytes: Box::new(bytes),
        }
    }

    /// The tensor's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of values.
    pub fn elements(&self) -> u64 {
        self.shape.iter().map(|n| *n as u64).product()
    }

    /// Its size once written, in bytes.
    pub fn size(&self, dtype: Option<StoredDtype>) -> u64 {
        self.elements() * self.stored(dtype).bitsize() as u64 / 8
    }

    /// Floats take the type that was asked for, everything else stays as it is.
    fn stored(&self, dtype: Option<StoredDtype>) -> Dtype {
        match dtype {
            Some(dtype) if is_float(self.dtype) => dtype.element(),
            _ => self.dtype,
        }
    }
}

impl Weights {
    /// Every tensor as it is stored, to be written elsewhere.
    pub fn outgoing(&self) -> Result<Vec<Outgoing<'_>>> {
        let one = |name: &str| {
            let owned = name.to_owned();
            let bytes = move || self.bytes(&owned);
            Ok(Outgoing::new(
                name.to_owned(),
                self.element(name)?,
                self.shape(name)?,
                bytes,
            ))
        };
        self.names().into_iter().map(one).collect()
    }
}

/// Writes a model into the folder `dir`: `model.safetensors`, or shards with `model.safetensors.index.json` where it is
/// larger than `shard_bytes` (see [`SHARD_BYTES`]). Floats become `dtype`, or stay as they are. `written` hears of every
/// tensor's size once it is on the disk. Returns the files.
///
/// # Errors
/// A tensor cannot be read, a value does not fit `dtype`, or the disk refuses.
pub fn save_model(
    dir: &Path,
    tensors: &[Outgoing<'_>],
    dtype: Option<StoredDtype>,
    shard_bytes: u64,
    written: &mut dyn FnMut(u64),
) -> Result<Vec<PathBuf>> {
    let shards = shards(tensors, dtype, shard_bytes);
    let [only] = shards.as_slice() else {
        return save_shards(dir, &shards, dtype, written);
    };
    let file = dir.join(SINGLE);
    save_file(&file, only, dtype, written)?;
    Ok(vec![file])
}

/// Tensors in name order, cut where a file would grow beyond the limit.
fn shards<'t, 'a>(
    tensors: &'t [Outgoing<'a>],
    dtype: Option<StoredDtype>,
    limit: u64,
) -> Vec<Vec<&'t Outgoing<'a>>> {
    let mut sorted: Vec<&Outgoing> = tensors.iter().collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    let (mut shards, mut size) = (vec![Vec::new()], 0);
    for tensor in sorted {
        let length = tensor.size(dtype);
        if size + length > limit && size > 0 {
            shards.push(Vec::new());
            size = 0;
        }
        size += length;
        if let Some(last) = shards.last_mut() {
            last.push(tensor);
        }
    }
    shards
}

fn save_shards(
    dir: &Path,
    shards: &[Vec<&Outgoing<'_>>],
    dtype: Option<StoredDtype>,
    written: &mut dyn FnMut(u64),
) -> Result<Vec<PathBuf>> {
    let (mut files, mut map, mut total) = (Vec::new(), Map::new(), 0);
    for (i, tensors) in shards.iter().enumerate() {
        let name = format!("model-{:05}-of-{:05}.safetensors", i + 1, shards.len());
        let file = dir.join(&name);
        save_file(&file, tensors, dtype, written)?;
        files.push(file);
        for tensor in tensors {
            map.insert(tensor.name.clone(), json!(name));
            total += tensor.size(dtype);
        }
    }
    let index = dir.join(INDEX);
    write_json(
        &index,
        &json!({"metadata": {"total_size": total}, "weight_map": map}),
    )?;
    files.push(index);
    Ok(files)
}

fn save_file(
    path: &Path,
    tensors: &[&Outgoing<'_>],
    dtype: Option<StoredDtype>,
    written: &mut dyn FnMut(u64),
) -> Result<()> {
    let mut tensors = tensors.to_vec();
    // Wide elements first, so that each lies at a multiple of its own size.
    tensors.sort_by_key(|tensor| {
        (
            std::cmp::Reverse(tensor.stored(dtype).bitsize()),
            &tensor.name,
        )
    });
    if let Some(pair) = tensors.windows(2).find(|pair| pair[0].name == pair[1].name) {
        return Err(tensor_error(
            path,
            &pair[0].name,
            "was given twice".to_owned(),
        ));
    }
    let header = header(&tensors, dtype);
    // What writing a tensor may fail with says more than an I/O error can carry.
    let mut failed = None;
    let done = write_atomically(path, |out| {
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(header.as_bytes())?;
        for tensor in &tensors {
            let bytes = match values(path, tensor, dtype) {
                Ok(bytes) => bytes,
                Err(error) => {
                    failed = Some(error);
                    return Err(io::Error::other("no values"));
                }
            };
            out.write_all(&bytes)?;
            written(bytes.len() as u64);
        }
        Ok(())
    });
    match failed {
        Some(error) => Err(error),
        None => done,
    }
}

fn values<'a>(
    path: &Path,
    tensor: &Outgoing<'a>,
    dtype: Option<StoredDtype>,
) -> Result<Cow<'a, [u8]>> {
    let bytes = (tensor.bytes)()?;
    let wanted = tensor.stored(dtype);
    let bytes = match wanted == tensor.dtype {
        true => bytes,
        false => {
            let encoded = encode_floats(&decode_floats(&bytes, tensor.dtype), wanted);
            Cow::Owned(encoded.map_err(|problem| tensor_error(path, &tensor.name, problem))?)
        }
    };
    match bytes.len() as u64 == tensor.size(dtype) {
        true => Ok(bytes),
        false => {
            let problem = format!(
                "has {} bytes, not the {} of its shape",
                bytes.len(),
                tensor.size(dtype)
            );
            Err(tensor_error(path, &tensor.name, problem))
        }
    }
}

fn header(tensors: &[&Outgoing<'_>], dtype: Option<StoredDtype>) -> String {
    let mut fields = Map::new();
    fields.insert(
        "__metadata__".to_owned(),
        json!(BTreeMap::from([("format", "pt")])),
    );
    let mut offset = 0;
    for tensor in tensors {
        let end = offset + tensor.size(dtype);
        let entry = json!({
            "dtype": tensor.stored(dtype).to_string(),
            "shape": tensor.shape,
            "data_offsets": [offset, end],
        });
        fields.insert(tensor.name.clone(), entry);
        offset = end;
    }
    let mut text = Value::Object(fields).to_string();
    // Readers that map the file want the values aligned.
    while !text.len().is_multiple_of(8) {
        text.push(' ');
    }
    text
}

/// f32 values as stored floats.
///
/// # Errors
/// A finite value is too large for `dtype`, or `dtype` is no float that is written.
pub(crate) fn encode_floats(values: &[f32], dtype: Dtype) -> Result<Vec<u8>, String> {
    if let Some(value) = values.iter().find(|value| !fits(**value, dtype)) {
        return Err(format!(
            "holds {value}, which {dtype} cannot represent; store the model as f32"
        ));
    }
    Ok(match dtype {
        Dtype::F32 => encode(values, f32::to_le_bytes),
        Dtype::F64 => encode(values, |v| f64::from(v).to_le_bytes()),
        Dtype::F16 => encode(values, |v| f16::from_f32(v).to_le_bytes()),
        Dtype::BF16 => encode(values, |v| bf16::from_f32(v).to_le_bytes()),
        other => return Err(format!("is stored as {other}, which cannot be changed")),
    })
}

fn encode<const N: usize>(values: &[f32], stored: impl Fn(f32) -> [u8; N]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len() * N);
    for value in values {
        bytes.extend_from_slice(&stored(*value));
    }
    bytes
}

/// Whether a value is stored as something finite if it is finite.
pub(crate) fn fits(value: f32, dtype: Dtype) -> bool {
    let stored = match dtype {
        Dtype::F16 => f16::from_f32(value).to_f32(),
        Dtype::BF16 => bf16::from_f32(value).to_f32(),
        _ => value,
    };
    stored.is_finite() || !value.is_finite()
}

#[cfg(test)]
mod tests;
