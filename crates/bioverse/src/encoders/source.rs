//! An encoder that is loaded when it is first needed, and what its encodings are known by in the cache. With every encoding
//! in the cache, it never is.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use bioverse_core::{Encoder, ProjectorConfig, Registry};
use burn::prelude::Device;
use toml::{Table, Value};

use super::{EMBEDDINGS, is_own, load, located_if_named, weights};
use crate::{
    bundle,
    cache::{About, Cache, Shelf},
    error::{Error, Result},
};

/// The frozen encoder of a modality.
#[derive(Debug)]
pub struct EncoderSource {
    name: String,
    origin: Option<Origin>,
    loaded: OnceLock<Encoder>,
}

/// What an encoder is loaded from.
#[derive(Debug)]
struct Origin {
    registry: Registry,
    table: Table,
    device: Device,
}

impl From<Encoder> for EncoderSource {
    fn from(encoder: Encoder) -> Self {
        Self {
            name: encoder.name().to_string(),
            origin: None,
            loaded: OnceLock::from(encoder),
        }
    }
}

impl EncoderSource {
    /// The encoder that `[modality.<name>]` describes; nothing is read yet.
    pub fn new(registry: &Registry, name: &str, table: &Table, device: &Device) -> Self {
        Self {
            name: name.to_string(),
            origin: Some(Origin {
                registry: registry.clone(),
                table: table.clone(),
                device: device.clone(),
            }),
            loaded: OnceLock::new(),
        }
    }

    /// Its modality.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The encoder, loaded by the first who asks.
    ///
    /// # Errors
    /// As [`load`].
    pub fn get(&self) -> Result<&Encoder> {
        if let (None, Some(origin)) = (self.loaded.get(), &self.origin) {
            let Origin {
                registry,
                table,
                device,
            } = origin;
            let encoder = load(registry, &self.name, table, device)?;
            // Of two that load it at once, one is kept.
            let _ = self.loaded.set(encoder);
        }
        self.loaded.get().ok_or_else(|| {
            Error::Run(format!(
                "the `{}` encoder was not loaded; this is an error of bioverse",
                self.name
            ))
        })
    }

    /// Whether it was loaded.
    pub fn is_loaded(&self) -> bool {
        self.loaded.get().is_some()
    }

    /// Where encodings pooled as `recipe` says are kept. Encoders whose bytes cannot be told from others' keep nothing, and
    /// neither do files of vectors, which are as good as a cache.
    ///
    /// # Errors
    /// When the files of the encoder cannot be read.
    pub fn shelf(&self, cache: &Cache, recipe: &ProjectorConfig) -> Result<Shelf> {
        let Some(origin) = self.origin.as_ref().filter(|_| cache.is_on()) else {
            return Ok(Shelf::none());
        };
        if is_own(&origin.table) {
            return Ok(Shelf::none());
        }
        Ok(match origin.about(&self.name, cache, recipe)? {
            Some(about) => cache.shelf(&about),
            None => Shelf::none(),
        })
    }
}

impl Origin {
    fn about(&self, name: &str, cache: &Cache, recipe: &ProjectorConfig) -> Result<Option<About>> {
        let files = weights(&self.registry, name, &self.table)?;
        let table = located_if_named(&self.table)?;
        let Some(mut identity) = settings(&table, &files, cache)? else {
            tracing::debug!(
                "encodings of `{name}` are not kept: a folder it names is not among its files"
            );
            return Ok(None);
        };
        let encoder = bundle::Identity::of_encoder(&files, cache)?;
        let hashes = encoder.files.into_iter();
        identity.extend(hashes.map(|(file, sha256)| (format!("file {file}"), sha256)));
        let canonical = self.registry.canonical(name).unwrap_or(name);
        identity.insert("modality".into(), canonical.into());
        identity.insert("pooling".into(), format!("{:?}", recipe.pooling));
        identity.insert("states".into(), recipe.num_soft_tokens.to_string());
        program(&mut identity, &self.device, cache)?;
        let model = self.table.get("path").and_then(Value::as_str);
        Ok(Some(About {
            kind: "records".into(),
            name: name.into(),
            model: model.unwrap_or_default().into(),
            identity,
        }))
    }
}

/// What computes is part of what is computed: another build of this program may differ in the last bit, or in a plugin.
///
/// # Errors
/// When the program cannot be read.
pub fn program(
    identity: &mut BTreeMap<String, String>,
    device: &Device,
    cache: &Cache,
) -> Result<()> {
    let program = std::env::current_exe().map_err(|error| Error::io("this program", error))?;
    identity.insert("program".into(), cache.sha256(&program)?);
    identity.insert("device".into(), format!("{device:?}"));
    Ok(())
}

/// The keys of the table as the cache knows them: a file stands for its content. `None` where a folder is named that `files`
/// says nothing about.
fn settings(
    table: &Table,
    files: &[PathBuf],
    cache: &Cache,
) -> Result<Option<BTreeMap<String, String>>> {
    let mut identity = BTreeMap::new();
    for (key, value) in table {
        let named = value.as_str().map(Path::new);
        let path = named.filter(|path| !path.as_os_str().is_empty() && path.exists());
        let said = match path {
            Some(path) if path.is_dir() && files.iter().any(|file| file.starts_with(path)) => {
                // Its files are known by their names and hashes, wherever the folder is.
                "a folder".into()
            }
            Some(path) if path.is_dir() => return Ok(None),
            Some(path) => cache.sha256(path)?,
            None => value.to_string(),
        };
        debug_assert!(key != EMBEDDINGS, "files of vectors are not kept");
        identity.insert(format!("key {key}"), said);
    }
    Ok(Some(identity))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_named_file_counts_by_content_and_an_unknown_folder_prevents_keeping() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("names.tsv");
        let text = |path: &Path| Value::String(path.to_string_lossy().into_owned());
        let table = Table::from_iter([
            ("aliases".to_string(), text(&file)),
            ("max_length".to_string(), Value::Integer(7)),
        ]);
        let of = |files: &[PathBuf], table: &Table| settings(table, files, &Cache::off()).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for content in ["a", "b"] {
            std::fs::write(&file, content).unwrap();
            assert!(seen.insert(of(&[], &table).unwrap()), "{content}");
        }
        let mut longer = table.clone();
        longer.insert("max_length".into(), Value::Integer(8));
        assert!(seen.insert(of(&[], &longer).unwrap()));
        let mut folder = table.clone();
        folder.insert("path".into(), text(dir.path()));
        assert_eq!(of(&[], &folder), None);
        assert!(of(&[dir.path().join("model")], &folder).is_some());
    }
}
