//! Encoders of a run: a registered modality by its table, or a file of vectors made elsewhere in place of one
//! (`embeddings = "protein.safetensors"`). Everything that configures, loads or identifies an encoder asks here. What the
//! vectors mean is unknown.

mod source;
mod vectors;

use std::path::{Path, PathBuf};

use bioverse_core::{Encoder, ProjectorConfig, Registry};
use burn::prelude::Device;
use toml::{Table, Value};

pub use source::{EncoderSource, program};
pub use vectors::OwnVectors;

use crate::{
    config::suggest,
    error::{Error, Result},
    hub::{self, RepoName},
};

/// The key that puts a file of vectors in place of an encoder.
pub const EMBEDDINGS: &str = "embeddings";

/// Whether `[modality.<name>]` names a file of vectors in place of an encoder.
pub fn is_own(table: &Table) -> bool {
    table.contains_key(EMBEDDINGS)
}

/// Whether this program can open the modality: it is registered, or its table names a file of vectors.
pub fn is_known(registry: &Registry, name: &str, table: &Table) -> bool {
    registry.contains(name) || is_own(table)
}

/// Loads the encoder that `[modality.<name>]` describes.
///
/// # Errors
/// An unknown modality; a table that its plugin refuses; a model or file of vectors that cannot be found or read.
pub fn load(registry: &Registry, name: &str, table: &Table, device: &Device) -> Result<Encoder> {
    match is_own(table) {
        true => OwnVectors::of(name, table)?.encoder(name, device),
        false => {
            known(registry, name)?;
            Ok(registry.load(name, &located(table)?, device)?)
        }
    }
}

/// The table with defaults filled in. Paths stay as they were written.
pub fn resolve(registry: &Registry, name: &str, table: &Table) -> Result<Table> {
    match is_own(table) {
        true => OwnVectors::of(name, table)?.table(),
        false => {
            known(registry, name)?;
            Ok(registry.resolve(name, table)?)
        }
    }
}

/// Files that identify the encoder.
pub fn weights(registry: &Registry, name: &str, table: &Table) -> Result<Vec<PathBuf>> {
    match is_own(table) {
        true => Ok(OwnVectors::of(name, table)?.files()),
        false => {
            known(registry, name)?;
            Ok(registry.weights(name, &located_if_named(table)?)?)
        }
    }
}

/// The recommended projector; a file of vectors takes the default one, with one soft token for the one vector of a record.
pub fn projector(registry: &Registry, name: &str, table: &Table) -> Result<ProjectorConfig> {
    match is_own(table) {
        true => Ok(ProjectorConfig::default()),
        false => Ok(registry.projector(name)?),
    }
}

/// A modality that can be opened is registered; the error says what there is, and what was likely meant.
fn known(registry: &Registry, name: &str) -> Result<()> {
    if registry.contains(name) {
        return Ok(());
    }
    let names = registry.names();
    let registered = match names.is_empty() {
        true => "none".into(),
        false => suggest::quoted(&names),
    };
    let near = suggest::nearest(name, names.iter().copied());
    let near = near.map_or_else(
        || format!("; for vectors made elsewhere give it `{EMBEDDINGS} = FILE`"),
        |near| format!("; did you mean `[modality.{near}]`?"),
    );
    Err(Error::Input(format!(
        "`[modality.{name}]` names a modality that is not registered (registered: {registered}){near}"
    )))
}

/// As [`located`]; a path that is gone stays as it is, for whoever compares files says which of them is missing.
fn located_if_named(table: &Table) -> Result<Table> {
    let path = table.get("path").and_then(Value::as_str);
    match path.is_some_and(|path| RepoName::of(Path::new(path)).is_some()) {
        true => located(table),
        false => Ok(table.clone()),
    }
}

/// The table with the folder of the model in place of its name on the Hub.
fn located(table: &Table) -> Result<Table> {
    let mut table = table.clone();
    if let Some(Value::String(path)) = table
        .get_mut("path")
        .filter(|path| path.as_str() != Some(""))
    {
        let dir = hub::locate(Path::new(path.as_str()))?.dir;
        *path = dir.to_string_lossy().into_owned();
    }
    Ok(table)
}
