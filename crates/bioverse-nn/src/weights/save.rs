//! Writing safetensors, byte for byte the same from the same values.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use burn::tensor::TensorData;
use safetensors::Dtype;
use serde_json::{Map, Value, json};

use super::{encode_floats, fits, tensor_error};
use crate::atomic::write_atomically;
use crate::error::Result;

/// How floats are stored in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredDtype {
    /// 32 bits.
    F32,
    /// 16 bits, IEEE half.
    F16,
    /// 16 bits with the exponent of f32.
    BF16,
}

impl StoredDtype {
    fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
        }
    }

    /// As the headers of files name it.
    pub(super) fn element(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::F16 => Dtype::F16,
            Self::BF16 => Dtype::BF16,
        }
    }

    /// PyTorch's name, as `torch_dtype` of `config.json` has it.
    pub fn torch_name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::BF16 => "bfloat16",
        }
    }
}

/// Writes tensors atomically (temporary file, fsync, rename), in name order. `metadata` goes into the header
/// (`format = "pt"` is added).
///
/// The header is made here rather than by the `safetensors` crate because that one orders metadata by a random hash.
pub fn save_safetensors(
    path: &Path,
    mut tensors: Vec<(String, TensorData)>,
    dtype: StoredDtype,
    metadata: BTreeMap<String, String>,
) -> Result<()> {
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    if let Some(pair) = tensors.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(tensor_error(path, &pair[0].0, "was given twice".to_owned()));
    }
    for (name, data) in &tensors {
        check(data, dtype).map_err(|problem| tensor_error(path, name, problem))?;
    }
    let header = header(&tensors, dtype, metadata);
    write_atomically(path, |out| {
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(header.as_bytes())?;
        tensors
            .iter()
            .try_for_each(|(_, data)| write_values(out, data, dtype))
    })
}

/// Refuses what the file could not give back.
fn check(data: &TensorData, dtype: StoredDtype) -> Result<(), String> {
    let values = data
        .as_slice::<f32>()
        .map_err(|e| format!("cannot be stored as floats: {e:?}"))?;
    match values.iter().find(|value| !fits(**value, dtype.element())) {
        Some(value) => Err(format!(
            "holds {value}, which {} cannot represent; store the model as f32",
            dtype.element().to_string().to_lowercase()
        )),
        None => Ok(()),
    }
}

fn header(
    tensors: &[(String, TensorData)],
    dtype: StoredDtype,
    mut metadata: BTreeMap<String, String>,
) -> String {
    metadata.insert("format".to_owned(), "pt".to_owned());
    let mut fields = Map::new();
    fields.insert("__metadata__".to_owned(), json!(metadata));
    let mut offset = 0;
    for (name, data) in tensors {
        let end = offset + data.num_elements() * dtype.bytes();
        let entry = json!({
            "dtype": dtype.element().to_string(),
            "shape": data.shape().as_slice(),
            "data_offsets": [offset, end],
        });
        fields.insert(name.clone(), entry);
        offset = end;
    }
    let mut text = Value::Object(fields).to_string();
    // Readers that map the file want the values aligned.
    while !text.len().is_multiple_of(8) {
        text.push(' ');
    }
    text
}

fn write_values(out: &mut dyn Write, data: &TensorData, dtype: StoredDtype) -> std::io::Result<()> {
    let values = data
        .as_slice::<f32>()
        .map_err(|e| std::io::Error::other(format!("{e:?}")))?;
    for chunk in values.chunks(4096) {
        let bytes = encode_floats(chunk, dtype.element()).map_err(std::io::Error::other)?;
        out.write_all(&bytes)?;
    }
    Ok(())
}
