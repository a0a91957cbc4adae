//! Tensors of one small safetensors file as plain data. What they mean is for their owners to say.

use std::{collections::BTreeMap, path::Path};

use burn::tensor::TensorData;
use safetensors::{Dtype, SafeTensors};

use crate::error::{Error, Result};

/// All tensors of a file that a bundle wrote: f32, by name.
pub(super) fn load(file: &Path) -> Result<BTreeMap<String, TensorData>> {
    let refuse = |problem: String| Error::Input(format!("{}: {problem}", file.display()));
    let bytes = std::fs::read(file).map_err(|error| Error::io(file, error))?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| {
        refuse(format!(
            "is not a whole safetensors file ({error}); copy the bundle again, or make it anew with `bioverse align`"
        ))
    })?;
    let read = tensors.iter().map(|(name, view)| {
        if view.dtype() != Dtype::F32 {
            return Err(refuse(format!(
                "tensor `{name}` is {:?}, but F32 is needed",
                view.dtype()
            )));
        }
        let values = view
            .data()
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let data = TensorData::new(values.collect::<Vec<f32>>(), view.shape().to_vec());
        Ok((name.to_owned(), data))
    });
    read.collect()
}
