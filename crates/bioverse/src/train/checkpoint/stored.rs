//! One checkpoint on disk, `step-000200`: parameters, moments and where the run stands, with a checksum of each file. It
//! does not know which checkpoints stay.

use std::collections::BTreeMap;
use std::path::Path;

use bioverse_nn::weights::{StoredDtype, save_safetensors};
use burn::module::{Module, ModuleVisitor, Param};
use burn::prelude::*;
use serde::{Deserialize, Serialize};

use super::Standing;
use crate::error::{Error, Result};
use crate::files::{StagedDir, write_atomic};
use crate::train::fingerprint::Fingerprint;
use crate::train::optimizer::Trainer;

const PARAMS: &str = "params.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const STATE: &str = "state.json";

/// `state.json`
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct State {
    /// Steps done.
    pub step: usize,
    /// How the run stands beside that.
    pub standing: Standing,
    /// What it belongs to.
    pub fingerprint: Fingerprint,
    /// CRC-32C of the other files: a disk that lost power may hold a file of the right length and other content.
    checksums: BTreeMap<String, u32>,
}

/// Everything in a checkpoint.
pub(super) struct Stored {
    pub state: State,
    pub params: BTreeMap<String, TensorData>,
    pub moments: BTreeMap<String, TensorData>,
}

/// Writes a checkpoint to `dir`, whole or not at all.
pub(super) fn write<M: Module>(
    dir: &Path,
    module: &M,
    trainer: &Trainer,
    standing: &Standing,
    fingerprint: &Fingerprint,
) -> Result<()> {
    let staged = StagedDir::new(dir)?;
    let mut checksums = BTreeMap::new();
    let parts = [
        (PARAMS, trainable_params(module)),
        (OPTIMIZER, trainer.optimizer.to_tensors()),
    ];
    for (name, tensors) in parts {
        let path = staged.path().join(name);
        save_safetensors(&path, tensors, StoredDtype::F32, BTreeMap::new())?;
        checksums.insert(name.to_string(), crc32c::crc32c(&bytes(&path)?));
    }
    let state = State {
        step: trainer.step,
        standing: standing.clone(),
        fingerprint: fingerprint.clone(),
        checksums,
    };
    let text = serde_json::to_string_pretty(&state)
        .map_err(|error| Error::Run(format!("{STATE} cannot be written: {error}")))?;
    write_atomic(&staged.path().join(STATE), text.as_bytes())?;
    staged.commit().map(drop)
}

/// Only where the run stood.
///
/// # Errors
/// What is wrong with the file, in words.
pub(super) fn state(dir: &Path) -> Result<State, String> {
    let text = std::fs::read(dir.join(STATE)).map_err(|error| format!("{STATE}: {error}"))?;
    serde_json::from_slice(&text).map_err(|error| format!("{STATE}: {error}"))
}

/// All of it, compared with its checksums.
///
/// # Errors
/// What is damaged, in words.
pub(super) fn read(dir: &Path) -> Result<Stored, String> {
    let state = state(dir)?;
    let tensors = |name: &str| {
        let bytes = std::fs::read(dir.join(name)).map_err(|error| format!("{name}: {error}"))?;
        if state.checksums.get(name) != Some(&crc32c::crc32c(&bytes)) {
            return Err(format!("{name} is not what was written"));
        }
        tensors(&bytes).map_err(|problem| format!("{name}: {problem}"))
    };
    let (params, moments) = (tensors(PARAMS)?, tensors(OPTIMIZER)?);
    Ok(Stored {
        state,
        params,
        moments,
    })
}

fn bytes(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Error::io(path, error))
}

/// All tensors of an f32 safetensors file.
fn tensors(bytes: &[u8]) -> Result<BTreeMap<String, TensorData>, String> {
    let file = safetensors::SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.tensors() {
        if view.dtype() != safetensors::Dtype::F32 {
            return Err(format!("tensor `{name}` is not f32"));
        }
        let (words, _) = view.data().as_chunks::<4>();
        let values: Vec<f32> = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
        tensors.insert(name, TensorData::new(values, view.shape().to_vec()));
    }
    Ok(tensors)
}

/// Every trainable parameter by path, as Burn holds it.
pub fn trainable_params<M: Module>(module: &M) -> Vec<(String, TensorData)> {
    let mut visitor = Trainable::default();
    module.visit(&mut visitor);
    visitor.found
}

#[derive(Default)]
struct Trainable {
    path: Vec<String>,
    found: Vec<(String, TensorData)>,
}

impl ModuleVisitor for Trainable {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        if value.is_require_grad() {
            self.found.push((self.path.join("."), value.into_data()));
        }
    }
}
