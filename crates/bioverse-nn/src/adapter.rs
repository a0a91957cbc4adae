//! LoRA adapters of a model: attached, read and written as PEFT does, merged.

mod file;
mod merge;
mod tensors;
mod whole;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use burn::prelude::*;

use crate::{
    CausalLm,
    atomic::write_json,
    error::{Error, Result},
    linear::Linear,
    lora::{ALL_LINEAR, Lora, LoraConfig, Selection},
    params::stored_params,
    weights::{StoredDtype, save_safetensors, transpose},
};

use file::{CONFIG, check, config_json};
use tensors::{AdapterTensors, PREFIX};

pub use file::base_of;
pub(crate) use file::read_config;
pub use merge::Merge;

const TENSORS: &str = "adapter_model.safetensors";
const HEAD: &str = "lm_head";
const TABLE: &str = "model.embed_tokens";

impl CausalLm {
    /// Adds fresh trainable adapters on `device` (an autodiff device when training): A Kaiming-uniform, B zero. Modules to
    /// be stored whole become trainable too.
    ///
    /// A head that shares the token embedding gets its own copy where one of the two is trained.
    pub fn apply_lora(mut self, config: &LoraConfig, device: &Device) -> Result<Self> {
        check(config).map_err(Error::Unsupported)?;
        let selection = Selection::new(config).map_err(Error::Unsupported)?;
        self.refuse_second()?;
        let trained =
            |path: &str| selection.stores(path) || config.target_modules.iter().any(|t| t == path);
        if trained(HEAD) || trained(TABLE) {
            self.untie();
        }
        let paths = self.paths();
        for target in &config.target_modules {
            let alone = LoraConfig {
                target_modules: vec![target.clone()],
                ..LoraConfig::default()
            };
            let alone = Selection::new(&alone).map_err(Error::Unsupported)?;
            if !paths.iter().any(|path| alone.targets(path)) {
                return Err(Error::Unsupported(no_such_target(target, &paths)));
            }
        }
        if !paths.iter().any(|path| selection.targets(path)) {
            return Err(Error::Unsupported(nothing_targeted(&paths)));
        }
        let dropout = config.lora_dropout;
        self.attach(&selection, |path, shape| {
            Ok(Lora::init(selection.rank(path), dropout, shape, device))
        })?;
        match config.modules_to_save.is_empty() || !device.is_autodiff() {
            true => Ok(self),
            false => Ok(whole::thaw(self, &|path| selection.stores(path))),
        }
    }

    /// Adds the adapters of a PEFT folder, with the modules that it stores whole.
    ///
    /// An adapter on the token embedding is folded into it, which only a model that is not trained on (a plain `device`)
    /// allows.
    pub fn load_adapter(mut self, dir: &Path, device: &Device) -> Result<Self> {
        let config = LoraConfig::load(dir)?;
        let problem = |problem| Error::format(dir.join(CONFIG), problem);
        let selection = Selection::new(&config).map_err(problem)?;
        let tensors = AdapterTensors::open(dir)?;
        self.refuse_second()?;
        if tensors.changes(HEAD) || tensors.changes(TABLE) {
            self.untie();
        }
        let mut lm = self.replace_whole(&tensors)?;
        let mut used = lm.fold_embedding(&tensors, &selection, device)?;
        lm.attach(&selection, |path, [d_in, d_out]| {
            let rank = selection.rank(path);
            let thin = tensors.thin(path, rank, [d_in, d_out])?;
            let matrix = |values, shape: [usize; 2]| {
                Tensor::from_data(TensorData::new(values, shape), device)
            };
            let a = matrix(transpose(&thin.a, rank.r, d_in), [d_in, rank.r]);
            let b = matrix(transpose(&thin.b, d_out, rank.r), [rank.r, d_out]);
            used.insert(path.to_owned());
            Ok(Lora::new(rank, config.lora_dropout, a, b))
        })?;
        if let Some(path) = tensors.pairs.keys().find(|path| !used.contains(*path)) {
            return Err(tensors.homeless(path));
        }
        match device.is_autodiff() {
            true => {
                let trained = |path: &str| {
                    tensors
                        .whole
                        .get(path)
                        .is_some_and(|whole| !whole.base_layer)
                };
                Ok(whole::thaw(lm, &|path| trained(&format!("{path}.weight"))))
            }
            false => Ok(lm),
        }
    }

    /// Writes `adapter_config.json` and `adapter_model.safetensors` as PEFT does. `base` goes to
    /// `base_model_name_or_path`.
    pub fn save_adapter(&self, dir: &Path, config: &LoraConfig, base: &str) -> Result<()> {
        let selection = Selection::new(config).map_err(Error::Unsupported)?;
        let mut tensors = Vec::new();
        let mut targets = BTreeSet::new();
        for (path, linear) in self.linears() {
            let Some(lora) = &linear.lora else { continue };
            let [a, b] = keys(&path);
            tensors.push((a, lora.lora_a.val().transpose().into_data()));
            tensors.push((b, lora.lora_b.val().transpose().into_data()));
            targets.extend(path.rsplit('.').next().map(str::to_owned));
        }
        if !config.modules_to_save.is_empty() {
            let module = |name: &str| {
                name.rsplit_once('.')
                    .map_or("", |(path, _)| path)
                    .to_owned()
            };
            let whole = stored_params(self).into_iter();
            let whole = whole.filter(|(name, _)| selection.stores(&module(name)));
            tensors.extend(whole.map(|(name, data)| (format!("{PREFIX}{name}"), data)));
        }
        let listed = config
            .target_modules
            .iter()
            .all(|target| target != ALL_LINEAR);
        let targets: Vec<String> = match listed {
            true => config.target_modules.clone(),
            false => targets.into_iter().collect(),
        };
        let file = dir.join(TENSORS);
        save_safetensors(&file, tensors, StoredDtype::F32, BTreeMap::new())?;
        write_json(&dir.join(CONFIG), &config_json(config, targets, base))
    }

    /// Folds adapters into the weights and removes them.
    pub fn merge_lora(mut self) -> Self {
        for (_, linear) in self.linears_mut() {
            if let Some(lora) = linear.lora.take() {
                let trainable = linear.weight.is_require_grad();
                let add = |weight: Tensor<2>| {
                    let merged = weight.clone().inner() + lora.delta();
                    match weight.is_autodiff() {
                        true => merged.autodiff().set_require_grad(trainable),
                        false => merged,
                    }
                };
                linear.weight = linear.weight.clone().map(add);
            }
        }
        self
    }

    fn attach(
        &mut self,
        selection: &Selection,
        mut adapter: impl FnMut(&str, [usize; 2]) -> Result<Lora>,
    ) -> Result<()> {
        for (path, linear) in self.linears_mut() {
            if selection.targets(&path) {
                linear.lora = Some(adapter(&path, linear.weight.dims())?);
            }
        }
        Ok(())
    }

    fn refuse_second(&self) -> Result<()> {
        match self
            .linears()
            .iter()
            .any(|(_, linear)| linear.lora.is_some())
        {
            true => {
                let problem = "the model already carries an adapter; merge that one first";
                Err(Error::Unsupported(problem.to_owned()))
            }
            false => Ok(()),
        }
    }

    fn paths(&self) -> Vec<String> {
        self.linears().into_iter().map(|(path, _)| path).collect()
    }

    /// Every linear layer by Hugging Face name, the head among them where it is one.
    fn linears(&self) -> Vec<(String, &Linear)> {
        let layers = self.model.layers.iter().enumerate();
        let linears = layers.flat_map(|(i, layer)| {
            let (attention, mlp) = (&layer.self_attn, &layer.mlp);
            [
                ("self_attn.q_proj", &attention.q_proj),
                ("self_attn.k_proj", &attention.k_proj),
                ("self_attn.v_proj", &attention.v_proj),
                ("self_attn.o_proj", &attention.o_proj),
                ("mlp.gate_proj", &mlp.gate_proj),
                ("mlp.up_proj", &mlp.up_proj),
                ("mlp.down_proj", &mlp.down_proj),
            ]
            .map(|(name, linear)| (format!("model.layers.{i}.{name}"), linear))
        });
        let head = self.lm_head.iter().map(|head| (HEAD.to_owned(), head));
        linears.chain(head).collect()
    }

    fn linears_mut(&mut self) -> Vec<(String, &mut Linear)> {
        let layers = self.model.layers.iter_mut().enumerate();
        let linears = layers.flat_map(|(i, layer)| {
            let (attention, mlp) = (&mut layer.self_attn, &mut layer.mlp);
            [
                ("self_attn.q_proj", &mut attention.q_proj),
                ("self_attn.k_proj", &mut attention.k_proj),
                ("self_attn.v_proj", &mut attention.v_proj),
                ("self_attn.o_proj", &mut attention.o_proj),
                ("mlp.gate_proj", &mut mlp.gate_proj),
                ("mlp.up_proj", &mut mlp.up_proj),
                ("mlp.down_proj", &mut mlp.down_proj),
            ]
            .map(|(name, linear)| (format!("model.layers.{i}.{name}"), linear))
        });
        let head = self.lm_head.iter_mut();
        linears
            .chain(head.map(|head| (HEAD.to_owned(), head)))
            .collect()
    }
}

fn keys(path: &str) -> [String; 2] {
    ["lora_A", "lora_B"].map(|part| format!("{PREFIX}{path}.{part}.weight"))
}

fn nothing_targeted(paths: &[String]) -> String {
    let last = paths.last().map_or("", String::as_str);
    format!(
        "the LoRA's target_modules, exclude_modules and layers leave no linear layer (there is `{last}`)"
    )
}

fn no_such_target(target: &str, paths: &[String]) -> String {
    let known: BTreeSet<&str> = paths.iter().filter_map(|p| p.rsplit('.').next()).collect();
    let known = known.into_iter().collect::<Vec<_>>().join(", ");
    format!("LoRA target `{target}` names no linear layer; there are {known}, or {ALL_LINEAR}")
}
