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
    config::RunConfig,
    error::{Error, Result},
    files,
};

/// What decides how text becomes tokens and prompts.
const TOKENIZER: [&str; 3] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
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
    /// Hashes the LLM, its tokenizer and the encoder of every configured modality.
    pub fn of(config: &RunConfig, registry: &Registry) -> Result<Self> {
        let encoders = config.modality.iter().map(|(name, table)| {
            let weights = registry.weights(name, table)?;
            Ok((name.clone(), encoder(&weights)?))
        });
        Ok(Self {
            llm: llm(&config.llm.path)?,
            tokenizer: tokenizer(&config.llm.path)?,
            encoders: encoders.collect::<Result<_>>()?,
        })
    }
}

/// sha256 of `files` (those that exist; of a folder, the files in it), by name relative to `folder`.
pub fn identity(folder: &Path, files: &[PathBuf]) -> Result<Identity> {
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
        Ok((name.to_string_lossy().into_owned(), files::sha256(file)?))
    });
    Ok(Identity {
        path: folder.into(),
        files: hashed.collect::<Result<BTreeMap<_, _>>>()?,
    })
}

/// The configuration and weights of a Hugging Face folder.
pub(super) fn llm(folder: &Path) -> Result<Identity> {
    let weights = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name == "config.json"
            || name.ends_with(".safetensors")
            || name.ends_with(".safetensors.index.json")
    };
    let files: Vec<PathBuf> = listing(folder)?.into_iter().filter(weights).collect();
    identity(folder, &files)
}

/// The tokenizer of a Hugging Face folder.
pub(super) fn tokenizer(folder: &Path) -> Result<Identity> {
    identity(folder, &TOKENIZER.map(|name| folder.join(name)))
}

/// An encoder, from the files that its plugin names.
pub(super) fn encoder(files: &[PathBuf]) -> Result<Identity> {
    identity(&folder_of(files), files)
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
        let added = now
            .files
            .keys()
            .find(|name| !self.files.contains_key(*name));
        added.map(|name| format!("`{name}` was not there then"))
    }
}
