//! Tensors between the two sides, as safetensors. Knows no stage.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use bioverse_nn::Weights;
use bioverse_nn::weights::{StoredDtype, save_safetensors};
use burn::prelude::*;

/// Writes f32 tensors.
pub fn write(path: &Path, tensors: Vec<(String, TensorData)>) -> Result<()> {
    save_safetensors(path, tensors, StoredDtype::F32, BTreeMap::new())
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Reads all tensors of a file.
pub fn read(path: &Path) -> Result<BTreeMap<String, TensorData>> {
    let file = Weights::open_file(path)?;
    let one = |name: &str| Ok((name.to_owned(), file.data(name)?));
    file.names().into_iter().map(one).collect()
}

/// Takes one tensor out of what was read.
pub fn take(tensors: &mut BTreeMap<String, TensorData>, name: &str) -> Result<TensorData> {
    let found = tensors.remove(name);
    found.with_context(|| format!("the prepared folder has no `{name}`; prepare it again"))
}
