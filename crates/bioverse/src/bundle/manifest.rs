//! `bundle.json`: what a bundle holds and what it was trained on. No times and no host names, so that the same run gives
//! the same bytes.

use std::{collections::BTreeMap, path::Path, path::PathBuf};

use bioverse_core::ProjectorConfig;
use bioverse_nn::LoraConfig;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The format this program writes, and the newest it reads.
pub(super) const FORMAT: u32 = 1;

/// Where a model was, and the sha256 of its files (file name → hash).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Folder at training time, as the configuration gave it.
    pub path: PathBuf,
    /// File name → sha256.
    pub files: BTreeMap<String, String>,
}

/// One aligned modality.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ModalityEntry {
    /// `[modality.<name>]` as resolved.
    pub config: toml::Table,
    /// Projector hyper-parameters.
    pub projector: ProjectorConfig,
    /// Width of the encoder.
    pub d_hidden: usize,
    /// The encoder's files.
    pub encoder: Identity,
}

/// `bundle.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    /// Format version.
    pub format: u32,
    /// Version of this program.
    pub bioverse: String,
    /// Width of the LLM's input embeddings.
    pub d_model: usize,
    /// The LLM's config and weights.
    pub llm: Identity,
    /// The tokenizer's files.
    pub tokenizer: Identity,
    /// Aligned modalities.
    pub modalities: BTreeMap<String, ModalityEntry>,
    /// The adapter, after stage 2.
    pub lora: Option<LoraConfig>,
}

impl Manifest {
    /// Reads `bundle.json`.
    pub(super) fn read(file: &Path) -> Result<Self> {
        let refuse = |problem: String| Error::Input(format!("{}: {problem}", file.display()));
        let bytes = std::fs::read(file).map_err(|error| Error::io(file, error))?;
        let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(|error| {
            refuse(format!(
                "is not JSON ({error}); make the bundle again with `bioverse align`"
            ))
        })?;
        let format = value.get("format").and_then(serde_json::Value::as_u64);
        if format.is_some_and(|format| format > u64::from(FORMAT)) {
            let version = &value["bioverse"];
            return Err(refuse(format!(
                "was written by a newer bioverse ({version}); update this program"
            )));
        }
        let manifest: Self = serde_json::from_value(value)
            .map_err(|error| refuse(format!("is not the description of a bundle ({error}); make the bundle again with `bioverse align`")))?;
        // Names become file names; one that leaves the bundle is no name.
        let plain = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        match manifest.modalities.keys().find(|name| !plain(name)) {
            Some(name) => Err(refuse(format!(
                "names a modality `{name}`, which no modality can be called"
            ))),
            None => Ok(manifest),
        }
    }

    /// Writes `bundle.json`.
    pub(super) fn write(&self, file: &Path) -> Result<()> {
        let mut bytes = serde_json::to_vec_pretty(self)
            .map_err(|error| Error::Run(format!("{}: {error}", file.display())))?;
        bytes.push(b'\n');
        crate::files::write_atomic(file, &bytes)
    }
}
