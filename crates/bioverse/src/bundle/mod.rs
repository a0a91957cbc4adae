//! One directory that holds what was trained, and what it was trained on. It refuses other models than those, and says
//! which file differs.
//!
//! | file | holds |
//! |---|---|
//! | `bundle.json` | [`Manifest`]: modalities, their projectors' hyper-parameters, hashes of encoders, LLM and tokenizer |
//! | `config.toml` | the resolved configuration of the run that wrote it |
//! | `projectors/<name>.safetensors` | a projector, task token included, as [`Projector::to_tensors`](bioverse_core::Projector::to_tensors) names it |
//! | `metrics/<name>.safetensors` | the text metric that stage 1 compared in |
//! | `adapter/` | after stage 2: the LoRA as a PEFT folder |
//!
//! How any of it was trained is unknown here.

mod identity;
mod manifest;
mod tensors;
#[cfg(test)]
mod tests;
mod write;

use std::path::{Path, PathBuf};

use bioverse_core::{LlmSpace, Projector, Registry};
use burn::prelude::*;

pub use identity::{Identities, identity};
pub use manifest::{Identity, Manifest, ModalityEntry};
pub use write::Contents;

use crate::{
    align::{readout::Readout, space::TextMetric},
    cache::Cache,
    config::{RunConfig, suggest},
    encoders,
    error::{Error, Result},
    files,
};

const MANIFEST: &str = "bundle.json";
const CONFIG: &str = "config.toml";
const ADAPTER: &str = "adapter";

fn projector_file(dir: &Path, name: &str) -> PathBuf {
    dir.join("projectors").join(format!("{name}.safetensors"))
}

fn metric_file(dir: &Path, name: &str) -> PathBuf {
    dir.join("metrics").join(format!("{name}.safetensors"))
}

/// A bundle on disk.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// The directory.
    pub dir: PathBuf,
    /// `bundle.json`.
    pub manifest: Manifest,
}

impl Bundle {
    /// Opens `dir` or `dir/bundle`; anything else is an error that says what a bundle is and which command makes one.
    pub fn open(dir: &Path) -> Result<Self> {
        for dir in [dir.to_path_buf(), dir.join("bundle")] {
            // A run may have died while it replaced a bundle. If that cannot be mended, there is none, as said below.
            let _ = files::restore(&dir);
            let file = dir.join(MANIFEST);
            if file.is_file() {
                let manifest = Manifest::read(&file)?;
                return Ok(Self { dir, manifest });
            }
        }
        let problem = match dir.is_dir() {
            true => {
                "is not a bundle (it has no `bundle.json`, and no folder `bundle` that has one)"
            }
            false => "does not exist",
        };
        Err(Error::Input(format!(
            "{} {problem}; a bundle is what `bioverse align` and `bioverse finetune` write to `<run.dir>/bundle`",
            dir.display()
        )))
    }

    /// Compares LLM, tokenizer and encoder files with the recorded hashes; the first that differs is named. `cache` remembers
    /// hashes of files that did not change.
    pub fn verify(&self, registry: &Registry, cache: &Cache) -> Result<()> {
        self.verify_llm(&self.manifest.llm.folder()?, cache)?;
        for (name, entry) in &self.manifest.modalities {
            self.verify_encoder(name, entry, registry, cache)?;
        }
        Ok(())
    }

    fn verify_encoder(
        &self,
        name: &str,
        entry: &ModalityEntry,
        registry: &Registry,
        cache: &Cache,
    ) -> Result<()> {
        if !encoders::is_known(registry, name, &entry.config) {
            let known = suggest::quoted(&registry.names());
            return Err(Error::Input(format!(
                "{}: has a modality `{name}`, which is not registered in this program (registered: {known}); use the \
                 program that made the bundle",
                self.dir.display()
            )));
        }
        if let Some(gone) = entry.gone() {
            return Err(Error::Input(format!(
                "{}: its {name} encoder is not there any more: there is no {}; put the encoder back, relative to the \
                 directory the command runs in",
                self.dir.display(),
                gone.display()
            )));
        }
        // Files of then that are gone now would not be named by the plugin any more.
        let folder = entry.folder()?;
        let then = entry.encoder.files.keys().map(|file| folder.join(file));
        let mut files = encoders::weights(registry, name, &entry.table())?;
        files.extend(then);
        let now = identity(&folder, &files, cache)?;
        entry.encoder.expect(&format!("{name} encoder"), &now)
    }

    /// Compares only the LLM and tokenizer at `llm` with the recorded hashes.
    pub fn verify_llm(&self, llm: &Path, cache: &Cache) -> Result<()> {
        if !llm.is_dir() {
            return Err(Error::Input(format!(
                "{}: its LLM is not there any more: {} is no folder; put the LLM back, relative to the directory the \
                 command runs in",
                self.dir.display(),
                llm.display()
            )));
        }
        // Hashing a tokenizer is cheap, so a wrong folder is told at once.
        let tokenizer = identity::tokenizer(llm, cache)?;
        self.manifest.tokenizer.expect("tokenizer", &tokenizer)?;
        self.manifest.llm.expect("LLM", &identity::llm(llm, cache)?)
    }

    /// The trained projectors.
    pub fn space(&self, device: &Device) -> Result<LlmSpace> {
        let d_model = self.manifest.d_model;
        let mut space = LlmSpace::new(&self.manifest.llm.path.to_string_lossy(), d_model);
        for (name, entry) in &self.manifest.modalities {
            space.register(name, self.projector(name, entry, device)?)?;
        }
        Ok(space)
    }

    fn projector(&self, name: &str, entry: &ModalityEntry, device: &Device) -> Result<Projector> {
        let file = projector_file(&self.dir, name);
        let refuse = |error: bioverse_core::Error| {
            Error::Input(format!(
                "{}: {error} (`bundle.json` says: encoder {} wide, LLM {} wide)",
                file.display(),
                entry.d_hidden,
                self.manifest.d_model
            ))
        };
        let tensors = tensors::load(&file)?;
        entry.projector.validate().map_err(refuse)?;
        let fresh = entry
            .projector
            .init(entry.d_hidden, self.manifest.d_model, device);
        fresh.load_tensors(&tensors).map_err(refuse)
    }

    /// The fitted text metric of a modality.
    pub fn text_metric(&self, modality: &str, device: &Device) -> Result<TextMetric> {
        let file = metric_file(&self.dir, modality);
        if !file.is_file() {
            return Err(Error::Input(format!(
                "{} has no text metric for `{modality}`; `bioverse align` with `[modality.{modality}]` makes one",
                self.dir.display()
            )));
        }
        TextMetric::from_tensors(&tensors::load(&file)?, device)
    }

    /// Where the vectors come from that a modality was aligned by.
    ///
    /// # Errors
    /// When the bundle has no such modality.
    pub fn readout(&self, modality: &str) -> Result<Readout> {
        let entry = self.manifest.modalities.get(modality).ok_or_else(|| {
            let known: Vec<&str> = self
                .manifest
                .modalities
                .keys()
                .map(String::as_str)
                .collect();
            Error::Input(format!(
                "the bundle {} has no modality `{modality}` (it has: {})",
                self.dir.display(),
                suggest::quoted(&known)
            ))
        })?;
        Ok(entry.readout)
    }

    /// The cache of the run that wrote it; none where that cannot be told.
    pub fn cache(&self) -> Cache {
        self.config()
            .map_or_else(|_| Cache::off(), |config| Cache::of(&config.run))
    }

    /// The LoRA folder, after stage 2.
    pub fn adapter_dir(&self) -> Option<PathBuf> {
        self.manifest.lora.as_ref().map(|_| self.dir.join(ADAPTER))
    }

    /// Hashes of what was trained, by what it is: of projectors, text metrics and the adapter.
    pub fn hashes(&self) -> Result<Vec<(String, String)>> {
        let names = self.manifest.modalities.keys();
        let mut files: Vec<PathBuf> = names
            .flat_map(|name| {
                [
                    projector_file(&self.dir, name),
                    metric_file(&self.dir, name),
                ]
            })
            .collect();
        let adapter = self.adapter_dir();
        files.extend(adapter.map(|dir| dir.join("adapter_model.safetensors")));
        let there = files.into_iter().filter(|file| file.is_file());
        there
            .map(|file| {
                Ok((
                    format!("sha256 of {}", file.display()),
                    files::sha256(&file)?,
                ))
            })
            .collect()
    }

    /// The resolved configuration it was made with.
    pub fn config(&self) -> Result<RunConfig> {
        let file = self.dir.join(CONFIG);
        let text = std::fs::read_to_string(&file).map_err(|error| Error::io(&file, error))?;
        toml::from_str(&text).map_err(|error| {
            let problem = error.message();
            Error::Input(format!(
                "{}: {problem}; it was written by another version of bioverse",
                file.display()
            ))
        })
    }
}
