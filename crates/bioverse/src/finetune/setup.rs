//! What stage 2 starts from: the stage-1 bundle, verified, and the modules, each trainable or frozen as configured. A
//! frozen module lives on the plain device, where no gradient exists that could change it.

use std::path::PathBuf;

use bioverse_core::Registry;
use bioverse_nn::{CausalLm, LoraConfig};
use burn::prelude::*;

use crate::bundle::{Bundle, Identity};
use crate::config::{FinetuneSection, RunConfig};
use crate::error::{Error, Result};
use crate::hub;
use crate::model::Bioverse;
use crate::train::seed::{mix_name, seeded};

/// Which parts learn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trainable {
    pub projectors: bool,
    pub lora: bool,
}

impl Trainable {
    pub fn of(config: &FinetuneSection) -> Result<Self> {
        let names = &config.trainable;
        let known = ["projectors", "lora"];
        if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
            return Err(Error::Input(format!(
                "finetune.trainable names `{name}`; use `projectors`, `lora` or both"
            )));
        }
        if names.is_empty() {
            return Err(Error::Input(
                "finetune.trainable is empty, so nothing would learn; use `projectors`, `lora` or both".into(),
            ));
        }
        let has = |name: &str| names.iter().any(|other| other == name);
        Ok(Self {
            projectors: has("projectors"),
            lora: has("lora"),
        })
    }
}

/// The bundle to start from, and the configuration with what it settles filled in.
pub(super) struct Start {
    pub bundle: Bundle,
    pub config: RunConfig,
    /// The LLM's folder.
    pub llm: PathBuf,
}

/// The bundle that `finetune.from` names, and the configuration with its models.
fn settled(config: &RunConfig) -> Result<(Bundle, RunConfig)> {
    let mut config = config.clone();
    if config.finetune.from.as_os_str().is_empty() {
        return Err(Error::Input(
            "finetune.from is not set; give the bundle that `bioverse align` wrote".into(),
        ));
    }
    let bundle = Bundle::open(&config.finetune.from)?;
    if config.llm.path.as_os_str().is_empty() {
        let Identity { path, source, .. } = bundle.manifest.llm.clone();
        config.llm.path = source.map_or(path, PathBuf::from);
    }
    for (name, entry) in &bundle.manifest.modalities {
        config.modality.insert(name.clone(), entry.table());
    }
    Ok((bundle, config))
}

impl Start {
    /// Opens `finetune.from` and verifies LLM, tokenizer and encoders.
    pub fn open(config: &RunConfig, registry: &Registry) -> Result<Self> {
        let (bundle, config) = settled(config)?;
        let config = hub::fetch(&config)?;
        let llm = hub::locate(&config.llm.path)?.dir;
        // An LLM that was moved is fine as long as its files are the same.
        if llm != bundle.manifest.llm.path {
            bundle.verify_llm(&llm)?;
        }
        bundle.verify(registry)?;
        Ok(Self {
            bundle,
            config,
            llm,
        })
    }

    /// What [`open`](Self::open) would download first, if anything.
    pub fn not_here(config: &RunConfig) -> Result<Option<String>> {
        hub::not_here(&settled(config)?.1)
    }

    /// Modalities that rows may mention: those of the bundle.
    pub fn names(&self) -> Vec<&str> {
        let modalities = self.bundle.manifest.modalities.keys();
        modalities.map(String::as_str).collect()
    }

    /// The model, and the configuration of its adapter.
    pub fn model(
        &self,
        trainable: Trainable,
        device: &Device,
    ) -> Result<(Bioverse, Option<LoraConfig>)> {
        let training = device.clone().autodiff();
        let place = |learns: bool| if learns { &training } else { device };
        let llm = CausalLm::load(&self.llm, device)?;
        let (llm, lora) = match (self.adapter()?, trainable.lora) {
            (Some((dir, lora)), learns) => (llm.load_adapter(&dir, place(learns))?, Some(lora)),
            (None, true) => {
                let lora = self.config.finetune.lora.clone();
                let seed = mix_name(self.config.run.seed, "lora");
                let llm = seeded(&training, seed, || llm.apply_lora(&lora, &training))?;
                (llm, Some(lora))
            }
            (None, false) => (llm, None),
        };
        let projectors = self.bundle.space(place(trainable.projectors))?;
        Ok((Bioverse::new(llm, projectors.into_projectors()), lora))
    }

    /// The adapter of a bundle that was tuned before: stage 2 goes on from it.
    fn adapter(&self) -> Result<Option<(PathBuf, LoraConfig)>> {
        match self.bundle.adapter_dir() {
            None => Ok(None),
            Some(dir) => {
                let lora = LoraConfig::load(&dir)?;
                Ok(Some((dir, lora)))
            }
        }
    }
}
