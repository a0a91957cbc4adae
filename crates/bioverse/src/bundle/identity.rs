//! Which model is this? Its files, hashed. Two folders hold the same model when the same files have the same bytes,
//! wherever the folders are.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use bioverse_core::Registry;
use rayon::prelude::*;

use super::Identity;
use crate::{
    cache::Cache,
    config::RunConfig,
    encoders,
    error::{Error, Result},
    hub::{self, Located},
};

/// What decides how text becomes tokens and prompts.
const TOKENIZER: [&str; 3] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
];

/// What decides it where there is no `tokenizer.json`.
const OLDER_TOKENIZER: [&str; 4] = [
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
];

/// The hashes of everything a run reads. They are taken before anything is loaded: a model that is replaced while training
/// runs must not pass for the one that was trained on.
#[derive(Debug, Clone)]
pub struct Identities {
    /// The LLM's config and weights.
    pub llm: Identity,
    /// The tokenizer's files.
    pub tokenizer: Identity,
    /// Encoders by modality.
    pub encoders: BTreeMap<String, Identity>,
}

impl Identities {
    /// Every file's hash, by what it belongs to: what a training that is resumed must find unchanged.
    pub fn hashes(&self) -> impl Iterator<Item = (String, String)> {
        let models = [("LLM", &self.llm), ("tokenizer", &self.tokenizer)]
            .map(|(name, model)| (name.to_string(), model));
        let encoders = self
            .encoders
            .iter()
            .map(|(name, model)| (format!("{name} encoder"), model));
        models
            .into_iter()
            .chain(encoders)
            .flat_map(|(name, model)| {
                let files = model.files.iter();
                files.map(move |(file, hash)| {
                    (format!("sha256 of {file} of the {name}"), hash.clone())
                })
            })
    }

    /// Hashes the LLM, its tokenizer and the encoder of every configured modality.
    pub fn of(config: &RunConfig, registry: &Registry) -> Result<Self> {
        let cache = &Cache::of(&config.run);
        let encoders = config.modality.iter().map(|(name, table)| {
            let files = encoders::weights(registry, name, table)?;
            let encoder = match path_of(table).map(hub::locate).transpose()? {
                // Files of a snapshot are named from its root, wherever the plugin's lie in it.
                Some(Located {
                    dir,
                    source: Some(source),
                }) => identity(&dir, &files, cache)?.from(Some(source)),
                _ => Identity::of_encoder(&files, cache)?,
            };
            Ok((name.clone(), encoder))
        });
        let Located { dir, source } = hub::locate(&config.llm.path)?;
        Ok(Self {
            llm: llm(&dir, cache)?.from(source.clone()),
            tokenizer: tokenizer(&dir, cache)?.from(source),
            encoders: encoders.collect::<Result<_>>()?,
        })
    }
}

/// What `[modality.<name>]` gives as its model, if anything.
pub(super) fn path_of(table: &toml::Table) -> Option<&Path> {
    let path = table.get("path")?.as_str()?;
    (!path.is_empty()).then(|| Path::new(path))
}

/// sha256 of `files` (those that exist; of a folder, the files in it), by name relative to `folder`.
pub fn identity(folder: &Path, files: &[PathBuf], cache: &Cache) -> Result<Identity> {
    let mut found = vec![];
    for file in files {
        match file.is_dir() {
            true => found.extend(listing(file)?),
            false => found.push(file.clone()),
        }
    }
    found.retain(|file| file.is_file());
    found.sort();
    found.dedup();
    let hashed = found.par_iter().map(|file| {
        let name = file.strip_prefix(folder).unwrap_or(file);
        Ok((name.to_string_lossy().into_owned(), cache.sha256(file)?))
    });
    Ok(Identity {
        path: folder.into(),
        source: None,
        files: hashed.collect::<Result<BTreeMap<_, _>>>()?,
    })
}

/// The configuration and weights of a Hugging Face folder. Where it has safetensors, those are loaded and other weights are
/// copies; a cache that is shared may get them later.
pub(super) fn llm(folder: &Path, cache: &Cache) -> Result<Identity> {
    let ends = |path: &Path, endings: &[&str]| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        endings.iter().any(|ending| name.ends_with(ending))
    };
    let all = listing(folder)?;
    let mut files: Vec<PathBuf> = all
        .iter()
        .filter(|path| ends(path, &[".safetensors", ".safetensors.index.json"]))
        .cloned()
        .collect();
    if files.is_empty() {
        files = all
            .into_iter()
            .filter(|path| ends(path, &[".bin", ".bin.index.json", ".pt"]))
            .collect();
    }
    files.push(folder.join("config.json"));
    identity(folder, &files, cache)
}

/// The tokenizer of a Hugging Face folder.
pub(super) fn tokenizer(folder: &Path, cache: &Cache) -> Result<Identity> {
    let mut files = TOKENIZER.map(|name| folder.join(name)).to_vec();
    if !folder.join(TOKENIZER[0]).is_file() {
        files.extend(OLDER_TOKENIZER.map(|name| folder.join(name)));
    }
    identity(folder, &files, cache)
}

/// The deepest folder that all files are in.
fn folder_of(files: &[PathBuf]) -> PathBuf {
    let folder = |file: &PathBuf| match file.is_dir() {
        true => file.clone(),
        false => file.parent().map(PathBuf::from).unwrap_or_default(),
    };
    let folders = files.iter().map(folder);
    let common = folders.reduce(|a, b| {
        let same = a
            .components()
            .zip(b.components())
            .take_while(|(a, b)| a == b);
        same.map(|(part, _)| part).collect()
    });
    common.unwrap_or_default()
}

/// Files of a folder, sorted.
fn listing(folder: &Path) -> Result<Vec<PathBuf>> {
    let here = |error| Error::io(folder, error);
    let entries = std::fs::read_dir(folder).map_err(here)?;
    let paths: std::io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
    let mut paths = paths.map_err(here)?;
    paths.sort();
    Ok(paths)
}

impl Identity {
    /// An encoder, from the files that its plugin names.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn of_encoder(files: &[PathBuf], cache: &Cache) -> Result<Self> {
        identity(&folder_of(files), files, cache)
    }

    /// An LLM: the configuration and weights of a Hugging Face folder.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn of_llm(folder: &Path, cache: &Cache) -> Result<Self> {
        llm(folder, cache)
    }

    /// The tokenizer of a Hugging Face folder.
    ///
    /// # Errors
    /// When one of its files cannot be read.
    pub fn of_tokenizer(folder: &Path, cache: &Cache) -> Result<Self> {
        tokenizer(folder, cache)
    }

    /// The same files, with where they came from.
    fn from(self, source: Option<String>) -> Self {
        Self { source, ..self }
    }

    /// Where the model is now: where it was, else what its source leads to.
    pub fn folder(&self) -> Result<PathBuf> {
        match &self.source {
            Some(source) if !self.path.is_dir() => Ok(hub::locate(Path::new(source))?.dir),
            _ => Ok(self.path.clone()),
        }
    }

    /// Refuses another model in place of this one. `what` names its part (`LLM`), `now` is what was found.
    pub(super) fn expect(&self, what: &str, now: &Self) -> Result<()> {
        let Some(difference) = self.difference(now) else {
            return Ok(());
        };
        Err(Error::Input(format!(
            "the {what} at {} is not the one this bundle was trained on: {difference}; give the {what} it was trained on, or \
             run `bioverse align` with this one",
            now.path.display()
        )))
    }

    /// The first file that tells two models apart.
    fn difference(&self, now: &Self) -> Option<String> {
        let short = |hash: &String| format!("{}…", hash.get(..12).unwrap_or(hash));
        for (name, expected) in &self.files {
            match now.files.get(name) {
                None => return Some(format!("`{name}` is missing")),
                Some(found) if found != expected => {
                    let (expected, found) = (short(expected), short(found));
                    return Some(format!(
                        "`{name}` differs (expected sha256 {expected}, found {found})"
                    ));
                }
                Some(_) => {}
            }
        }
        // A snapshot of the Hub is shared: other programs may add weights to it that are not loaded here.
        let copies = |name: &str| {
            let weights = [".safetensors", ".bin", ".pt"];
            self.source.is_some() && weights.iter().any(|ending| name.ends_with(ending))
        };
        let added = now
            .files
            .keys()
            .find(|name| !self.files.contains_key(*name) && !copies(name));
        added.map(|name| format!("`{name}` was not there then"))
    }
}
