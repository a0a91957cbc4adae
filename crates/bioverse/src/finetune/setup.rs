//! What stage 2 starts from: the stage-1 bundle, verified, and the modules, each trainable or frozen as configured. A
//! frozen module lives on the plain device, where no gradient exists that could change it.

use std::path::PathBuf;

use bioverse_core::{Projector, Registry};
use bioverse_nn::{CausalLm, LoraConfig};
use burn::prelude::*;

use super::rates::{LORA, PROJECTORS, TASK_TOKENS};
use crate::bundle::{Bundle, Identity};
use crate::cache::Cache;
use crate::config::{Dtype, FinetuneSection, RunConfig};
use crate::error::{Error, Result};
use crate::hub;
use crate::model::Bioverse;
use crate::train::seed::{mix_name, seeded};

/// Which parts learn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trainable {
    pub projectors: bool,
    pub task_tokens: bool,
    pub lora: bool,
}

impl Trainable {
    /// The sets that the configuration names.
    ///
    /// # Errors
    /// A name that is no set, no name at all, values that only concern a set that is not named.
    pub fn of(config: &FinetuneSection) -> Result<Self> {
        let known = [PROJECTORS, TASK_TOKENS, LORA];
        let strange = |name: &&String| !known.contains(&name.as_str());
        if let Some(name) = config.trainable.iter().find(strange) {
            return Err(Error::Input(format!(
                "`finetune.trainable` names `{name}`; use any of `{}`",
                known.join("`, `")
            )));
        }
        if config.trainable.is_empty() {
            return Err(Error::Input(format!(
                "`finetune.trainable` is empty, so nothing would learn; use any of `{}`",
                known.join("`, `")
            )));
        }
        let has = |set: &str| config.trainable.iter().any(|name| name == set);
        let idle = [
            ("lr_projectors", config.lr_projectors.is_some(), PROJECTORS),
            (
                "lr_task_tokens",
                config.lr_task_tokens.is_some(),
                TASK_TOKENS,
            ),
            ("lr_lora", config.lr_lora.is_some(), LORA),
            ("layer_decay", config.layer_decay != 1.0, LORA),
        ];
        match idle.into_iter().find(|(_, set, of)| *set && !has(of)) {
            Some((key, _, of)) => Err(Error::Input(format!(
                "`finetune.{key}` is set, but `finetune.trainable` does not name `{of}`; add it there, or leave the key out"
            ))),
            None => Ok(Self {
                projectors: has(PROJECTORS),
                task_tokens: has(TASK_TOKENS),
                lora: has(LORA),
            }),
        }
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
        let cache = &Cache::of(&config.run);
        // An LLM that was moved is fine as long as its files are the same.
        if llm != bundle.manifest.llm.path {
            bundle.verify_llm(&llm, cache)?;
        }
        bundle.verify(registry, cache)?;
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
            (Some((dir, lora)), learns) => {
                self.warn_of_another_adapter(&lora, learns);
                (llm.load_adapter(&dir, place(learns))?, Some(lora))
            }
            (None, true) => {
                let lora = self.config.finetune.lora.clone();
                let seed = mix_name(self.config.run.seed, "lora");
                let llm = seeded(&training, seed, || llm.apply_lora(&lora, &training))?;
                (llm, Some(lora))
            }
            (None, false) => (llm, None),
        };
        let llm = match self.config.finetune.dtype {
            Dtype::F32 => llm,
            Dtype::Bf16 => {
                half(&self.config.run.device, trainable, lora.as_ref())?;
                llm.into_bf16()
            }
        };
        let projectors = self.projectors(trainable, device)?;
        Ok((Bioverse::new(llm, projectors), lora))
    }

    /// Layers and task tokens, each where it learns or stands still. A projector without a task token gets a fresh one
    /// where task tokens are to be trained: that is what naming them asks for, and stage 1 makes none unless it is told to.
    fn projectors(
        &self,
        trainable: Trainable,
        device: &Device,
    ) -> Result<Vec<(String, Projector)>> {
        let training = device.clone().autodiff();
        let place = |learns: bool| if learns { &training } else { device };
        let layers = self.bundle.space(place(trainable.projectors))?;
        let tokens = self.bundle.space(place(trainable.task_tokens))?;
        let both = layers.into_projectors().into_iter();
        let both = both.zip(tokens.into_projectors());
        let joined = both.map(|((name, layers), (_, token))| {
            let projector = layers.with_task_token_of(token);
            if !trainable.task_tokens || projector.has_task_token() {
                return Ok((name, projector));
            }
            tracing::info!("the `{name}` projector has no task token; it gets a fresh one");
            let seed = mix_name(mix_name(self.config.run.seed, TASK_TOKENS), &name);
            let projector = seeded(&training, seed, || {
                Ok::<_, Error>(projector.or_fresh_task_token(&training))
            })?;
            Ok((name, projector))
        });
        joined.collect()
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

    /// A tuned bundle settles what its adapter is; a table that says something else would be read by nobody.
    fn warn_of_another_adapter(&self, lora: &LoraConfig, learns: bool) {
        if learns && *lora != self.config.finetune.lora {
            tracing::warn!(
                "`finetune.from` is a tuned bundle, so stage 2 goes on with its adapter (r = {}, lora_alpha = {}) and \
                 `[finetune.lora]` is not read",
                lora.r,
                lora.lora_alpha
            );
        }
    }
}

/// Whether the LLM can be cast to bf16 on this device, and come out as it went in.
fn half(device: &str, trainable: Trainable, lora: Option<&LoraConfig>) -> Result<()> {
    let kind = device.split(':').next().unwrap_or_default();
    if matches!(kind, "cpu" | "ndarray") {
        return Err(Error::Input(format!(
            "`finetune.dtype` is `bf16`, but `run.device` is `{device}`, which converts every operand back to f32 on every \
             call: slower and no smaller; set it to `f32`, or use `cuda:0` or `wgpu`"
        )));
    }
    match lora.filter(|lora| !trainable.lora && !lora.modules_to_save.is_empty()) {
        Some(_) => Err(Error::Input(
            "`finetune.dtype` is `bf16`, but the adapter of the bundle holds whole modules (`modules_to_save`), which \
             would be rounded though they do not learn; set it to `f32`, or add `lora` to `finetune.trainable`"
                .into(),
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn trainable(names: &[&str]) -> FinetuneSection {
        FinetuneSection {
            trainable: names.iter().map(|name| name.to_string()).collect(),
            ..FinetuneSection::default()
        }
    }

    #[test]
    fn a_rate_of_a_set_that_stands_still_is_refused() {
        let config = FinetuneSection {
            lr_lora: Some(1e-4),
            ..trainable(&["projectors"])
        };
        let error = Trainable::of(&config).unwrap_err();
        assert!(error.to_string().contains("`finetune.lr_lora`"), "{error}");
        assert_eq!(error.exit_code(), 2);
        let config = FinetuneSection {
            layer_decay: 0.9,
            ..trainable(&["task_tokens"])
        };
        assert!(Trainable::of(&config).is_err());
        let all = Trainable::of(&trainable(&["lora", "task_tokens"])).unwrap();
        assert!(all.lora && all.task_tokens && !all.projectors);
    }

    #[test]
    fn half_precision_is_for_devices_that_have_it() {
        let learns = Trainable::of(&trainable(&["lora"])).unwrap();
        let stands = Trainable::of(&trainable(&["projectors"])).unwrap();
        let whole = LoraConfig {
            modules_to_save: vec!["lm_head".into()],
            ..LoraConfig::default()
        };
        assert!(half("cuda:0", learns, None).is_ok() && half("wgpu", learns, Some(&whole)).is_ok());
        let error = half("cpu", learns, None).unwrap_err();
        assert!(
            error.to_string().contains("`run.device` is `cpu`"),
            "{error}"
        );
        let error = half("cuda:0", stands, Some(&whole)).unwrap_err();
        assert!(error.to_string().contains("modules_to_save"), "{error}");
    }
}
