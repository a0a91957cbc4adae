//! From what a stage trained to a directory, whole or not at all.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use bioverse_core::LlmSpace;
use bioverse_nn::{
    CausalLm, LoraConfig,
    weights::{StoredDtype, save_safetensors},
};
use burn::tensor::TensorData;

use super::{
    ADAPTER, Bundle, CONFIG, Identities, MANIFEST, Manifest, ModalityEntry, metric_file,
    projector_file,
};
use crate::{
    align::{readout::Readout, space::TextMetric},
    config::{BioSource, RunConfig},
    error::{Error, Result},
    files::{StagedDir, write_atomic},
    hub,
};

/// What goes into a bundle.
pub struct Contents<'a> {
    /// Resolved configuration.
    pub config: &'a RunConfig,
    /// Hashes of the models, taken before they were loaded.
    pub identities: &'a Identities,
    /// Projectors to store.
    pub space: &'a LlmSpace,
    /// Fitted text metric, by modality; one that is not given is carried over.
    pub metrics: &'a BTreeMap<String, TextMetric>,
    /// Where the vectors of both sides come from, by modality; one that is not given is carried over.
    pub readouts: &'a BTreeMap<String, Readout>,
    /// The tuned LLM and its adapter configuration.
    pub adapter: Option<(&'a CausalLm, &'a LoraConfig)>,
    /// An earlier bundle of the same LLM: modalities that `space` lacks are carried over byte for byte. Its adapter is
    /// not, for it was tuned with other projectors.
    pub carried: Option<&'a Bundle>,
}

impl Bundle {
    /// Writes a bundle as a whole (staged, then swapped in) at `target`.
    pub fn write(target: &Path, contents: &Contents<'_>) -> Result<Self> {
        let Identities { llm, tokenizer, .. } = contents.identities.clone();
        if let Some(carried) = contents.carried {
            carried.manifest.llm.expect("LLM", &llm)?;
            carried.manifest.tokenizer.expect("tokenizer", &tokenizer)?;
        }
        let staged = StagedDir::new(target)?;
        let modalities = contents.write_modalities(staged.path())?;
        if let Some((model, lora)) = contents.adapter {
            let folder = make_folder(staged.path().join(ADAPTER))?;
            let base = hub::base_name(&contents.config.llm.path);
            model.save_adapter(&folder, lora, &base)?;
        }
        write_atomic(
            &staged.path().join(CONFIG),
            contents.config.to_toml()?.as_bytes(),
        )?;
        let manifest = Manifest {
            format: Manifest::format_of(&modalities),
            bioverse: env!("CARGO_PKG_VERSION").into(),
            d_model: contents.space.d_model(),
            llm,
            tokenizer,
            modalities,
            lora: contents.adapter.map(|(_, lora)| lora.clone()),
        };
        manifest.write(&staged.path().join(MANIFEST))?;
        let dir = staged.commit()?;
        Ok(Self { dir, manifest })
    }
}

impl Contents<'_> {
    fn write_modalities(&self, dir: &Path) -> Result<BTreeMap<String, ModalityEntry>> {
        make_folder(dir.join("projectors"))?;
        make_folder(dir.join("metrics"))?;
        let mut entries = BTreeMap::new();
        for name in self.space.names() {
            entries.insert(name.to_owned(), self.entry(name)?);
            save(
                &projector_file(dir, name),
                self.space.projector(name)?.to_tensors(),
            )?;
            match self.metrics.get(name) {
                Some(metric) => save(&metric_file(dir, name), metric.to_tensors())?,
                None => self.carry(dir, name, metric_file)?,
            }
        }
        let earlier = self
            .carried
            .iter()
            .flat_map(|bundle| &bundle.manifest.modalities);
        for (name, entry) in earlier {
            if !entries.contains_key(name) {
                self.carry(dir, name, projector_file)?;
                self.carry(dir, name, metric_file)?;
                entries.insert(name.clone(), entry.clone());
            }
        }
        Ok(entries)
    }

    /// Copies a file of the earlier bundle, if that has it.
    fn carry(&self, dir: &Path, name: &str, file: fn(&Path, &str) -> PathBuf) -> Result<()> {
        let Some(carried) = self.carried else {
            return Ok(());
        };
        let (from, to) = (file(&carried.dir, name), file(dir, name));
        if !from.is_file() {
            return Ok(());
        }
        fs::copy(&from, &to)
            .map(drop)
            .map_err(|error| Error::io(from, error))
    }

    /// What is to be known about a modality whose projector is stored.
    fn entry(&self, name: &str) -> Result<ModalityEntry> {
        let projector = self.space.projector(name)?;
        let (config, encoder) = match (self.config.modality.get(name), self.earlier(name)) {
            (Some(config), _) if self.identities.encoders.contains_key(name) => {
                (config.clone(), self.identities.encoders[name].clone())
            }
            (_, Some(entry)) => (entry.config.clone(), entry.encoder.clone()),
            _ => {
                return Err(Error::Input(format!(
                    "nothing says which encoder `{name}` has; add a table `[modality.{name}]`"
                )));
            }
        };
        Ok(ModalityEntry {
            config,
            projector: projector.config().clone(),
            d_hidden: projector.d_hidden(),
            encoder,
            readout: self.readout(name),
            question: self.question(name),
        })
    }

    /// The question of the run that aligned a modality, which is this one exactly if it gives the read-out.
    fn question(&self, name: &str) -> Option<String> {
        match self.readouts.get(name) {
            Some(readout) => {
                let asked = readout.records == BioSource::HiddenStates;
                asked.then(|| self.config.data.question_for(name))
            }
            None => self.earlier(name)?.question.clone(),
        }
    }

    fn readout(&self, name: &str) -> Readout {
        let given = self.readouts.get(name).copied();
        given.unwrap_or_else(|| {
            self.earlier(name)
                .map(|entry| entry.readout)
                .unwrap_or_default()
        })
    }

    fn earlier(&self, name: &str) -> Option<&ModalityEntry> {
        self.carried?.manifest.modalities.get(name)
    }
}

fn make_folder(folder: PathBuf) -> Result<PathBuf> {
    fs::create_dir(&folder).map_err(|error| Error::io(&folder, error))?;
    Ok(folder)
}

fn save(file: &Path, tensors: Vec<(String, TensorData)>) -> Result<()> {
    Ok(save_safetensors(
        file,
        tensors,
        StoredDtype::F32,
        BTreeMap::new(),
    )?)
}
