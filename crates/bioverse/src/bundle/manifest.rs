//! `bundle.json`: what a bundle holds and what it was trained on. No times and no host names, so that the same run gives
//! the same bytes.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use bioverse_core::ProjectorConfig;
use bioverse_nn::LoraConfig;
use serde::{Deserialize, Serialize};

use super::identity::path_of;
use crate::{
    align::readout::Readout,
    error::{Error, Result},
    hub,
};

/// The newest format this program reads. What an older program would misread is written as that, anything else as 1.
pub(super) const FORMAT: u32 = 2;

/// Where a model was, and the sha256 of its files (file name → hash).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Folder at training time.
    pub path: PathBuf,
    /// `org/name@commit` of a model of the Hub, which is looked for when the folder is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
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
    /// Where the vectors of both sides come from.
    #[serde(default, skip_serializing_if = "Readout::is_default")]
    pub readout: Readout,
    /// The user's turn around a record, where records were aligned by what the LLM makes of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
}

impl ModalityEntry {
    /// `[modality.<name>]` as it can be opened here: what came from the Hub and is not where the configuration says is named
    /// by its source.
    pub fn table(&self) -> toml::Table {
        let mut table = self.config.clone();
        let gone = path_of(&table).is_some_and(|path| !path.exists());
        if let Some(source) = self.encoder.source.as_ref().filter(|_| gone) {
            let here = hub::is_here(Path::new(source)) || !self.encoder.path.is_dir();
            let path = if here {
                source.clone()
            } else {
                self.encoder.path.to_string_lossy().into_owned()
            };
            table.insert("path".into(), path.into());
        }
        table
    }

    /// The model's path, if nothing is there and nothing says where else it is. A path of this machine is not taken for a
    /// name of the Hub.
    pub(super) fn gone(&self) -> Option<&Path> {
        let path = path_of(&self.config).filter(|path| !path.exists());
        path.filter(|_| self.encoder.source.is_none())
    }

    /// The folder of the encoder now.
    pub(super) fn folder(&self) -> Result<PathBuf> {
        match path_of(&self.table()).filter(|_| self.encoder.source.is_some()) {
            Some(path) => Ok(hub::locate(path)?.dir),
            None => Ok(self.encoder.path.clone()),
        }
    }
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
    /// The oldest format that says all that `modalities` need.
    pub(super) fn format_of(modalities: &BTreeMap<String, ModalityEntry>) -> u32 {
        let plain = modalities.values().all(|entry| entry.readout.is_default());
        if plain { 1 } else { FORMAT }
    }

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
