//! LoRA adapters of a model: attached, read and written as PEFT does, merged.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use burn::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    CausalLm,
    atomic::write_json,
    config::read_json,
    error::{Error, Result},
    linear::Linear,
    lora::{ALL_LINEAR, Lora, LoraConfig},
    weights::{StoredDtype, Weights, save_safetensors},
};

const CONFIG: &str = "adapter_config.json";
const TENSORS: &str = "adapter_model.safetensors";
const PREFIX: &str = "base_model.model.";

impl CausalLm {
    /// Adds fresh trainable adapters on `device` (an autodiff device when training): A Kaiming-uniform, B zero.
    pub fn apply_lora(self, config: &LoraConfig, device: &Device) -> Result<Self> {
        check(config).map_err(Error::Unsupported)?;
        self.attach(config, |_, shape| Ok(Lora::init(config, shape, device)))
    }

    /// Adds the adapters of a PEFT folder.
    pub fn load_adapter(self, dir: &Path, device: &Device) -> Result<Self> {
        let config = LoraConfig::load(dir)?;
        let file = dir.join(TENSORS);
        let w = Weights::open_file(&file)?;
        let mut used = BTreeSet::new();
        let lm = self.attach(&config, |path, [d_in, d_out]| {
            let [a, b] = keys(path);
            let lora_a = w.transposed(&a, [d_in, config.r], device)?;
            let lora_b = w.transposed(&b, [config.r, d_out], device)?;
            used.extend([a, b]);
            Ok(Lora::new(&config, lora_a, lora_b))
        })?;
        match w.names().into_iter().find(|name| !used.contains(*name)) {
            Some(name) => Err(Error::Tensor {
                path: file,
                name: name.to_owned(),
                problem: format!("belongs to no module that {CONFIG} targets in this model"),
            }),
            None => Ok(lm),
        }
    }

    /// Writes `adapter_config.json` and `adapter_model.safetensors` as PEFT does. `base` goes to
    /// `base_model_name_or_path`.
    pub fn save_adapter(&self, dir: &Path, config: &LoraConfig, base: &str) -> Result<()> {
        let mut tensors = Vec::new();
        let mut targets = BTreeSet::new();
        for (path, linear) in self.linears() {
            let Some(lora) = &linear.lora else { continue };
            let [a, b] = keys(&path);
            tensors.push((a, lora.lora_a.val().transpose().into_data()));
            tensors.push((b, lora.lora_b.val().transpose().into_data()));
            targets.extend(path.rsplit('.').next().map(str::to_owned));
        }
        if config
            .target_modules
            .iter()
            .all(|target| target != ALL_LINEAR)
        {
            targets = config.target_modules.iter().cloned().collect();
        }
        let file = dir.join(TENSORS);
        save_safetensors(&file, tensors, StoredDtype::F32, BTreeMap::new())?;
        write_json(&dir.join(CONFIG), &config_json(config, &targets, base))
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
        mut self,
        config: &LoraConfig,
        mut adapter: impl FnMut(&str, [usize; 2]) -> Result<Lora>,
    ) -> Result<Self> {
        if self
            .linears()
            .iter()
            .any(|(_, linear)| linear.lora.is_some())
        {
            let problem = "the model already carries an adapter; merge that one first";
            return Err(Error::Unsupported(problem.to_owned()));
        }
        let paths: Vec<String> = self.linears().into_iter().map(|(path, _)| path).collect();
        for target in &config.target_modules {
            let alone = LoraConfig {
                target_modules: vec![target.clone()],
                ..config.clone()
            };
            if !paths.iter().any(|path| alone.targets(path)) {
                return Err(Error::Unsupported(no_such_target(target, &paths)));
            }
        }
        for (path, linear) in self.linears_mut() {
            if config.targets(&path) {
                linear.lora = Some(adapter(&path, linear.weight.dims())?);
            }
        }
        Ok(self)
    }

    /// Every linear layer but the head, by Hugging Face name.
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
        linears.collect()
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
        linears.collect()
    }
}

fn keys(path: &str) -> [String; 2] {
    ["lora_A", "lora_B"].map(|part| format!("{PREFIX}{path}.{part}.weight"))
}

fn no_such_target(target: &str, paths: &[String]) -> String {
    let known: BTreeSet<&str> = paths.iter().filter_map(|p| p.rsplit('.').next()).collect();
    let known = known.into_iter().collect::<Vec<_>>().join(", ");
    format!("LoRA target `{target}` names no linear layer; there are {known}, or {ALL_LINEAR}")
}

/// Values that would divide by zero or make a layer panic.
fn check(config: &LoraConfig) -> Result<(), String> {
    if config.r == 0 {
        return Err("LoRA rank `r` must be above 0".to_owned());
    }
    if !(0.0..1.0).contains(&config.lora_dropout) {
        return Err(format!(
            "lora_dropout {} is not in [0, 1)",
            config.lora_dropout
        ));
    }
    if config.target_modules.is_empty() {
        return Err(format!(
            "target_modules is empty; name layers or use {ALL_LINEAR}"
        ));
    }
    Ok(())
}

/// Keys of PEFT that change what an adapter computes, with the only value each may have here besides absence.
fn refused() -> [(&'static str, Value); 16] {
    [
        ("alora_invocation_tokens", Value::Null),
        ("alpha_pattern", json!({})),
        ("bias", json!("none")),
        ("exclude_modules", Value::Null),
        ("fan_in_fan_out", json!(false)),
        ("layer_replication", Value::Null),
        ("layers_pattern", Value::Null),
        ("layers_to_transform", Value::Null),
        ("lora_bias", json!(false)),
        ("modules_to_save", Value::Null),
        ("peft_type", json!("LORA")),
        ("rank_pattern", json!({})),
        ("target_parameters", Value::Null),
        ("trainable_token_indices", Value::Null),
        ("use_dora", json!(false)),
        ("use_qalora", json!(false)),
    ]
}

/// `adapter_config.json` as far as it is understood.
pub(crate) fn read_config(dir: &Path) -> Result<LoraConfig> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Targets {
        Word(String),
        List(Vec<String>),
    }
    let path = dir.join(CONFIG);
    let mut keys: Map<String, Value> = read_json(&path)?;
    for (key, allowed) in refused() {
        let found = keys.get(key).unwrap_or(&Value::Null);
        if !found.is_null() && *found != allowed {
            let problem = format!("`{key}` = {found} is not supported, only {allowed}");
            return Err(Error::Unsupported(format!("{}: {problem}", path.display())));
        }
    }
    let targets = keys.remove("target_modules").unwrap_or_default();
    let targets = match serde_json::from_value(targets) {
        Ok(Targets::List(list)) => list,
        Ok(Targets::Word(word)) if word == ALL_LINEAR => vec![word],
        _ => {
            let problem = "`target_modules` must be a list of module names or \"all-linear\"";
            return Err(Error::format(path, problem));
        }
    };
    keys.insert("target_modules".to_owned(), json!(targets));
    let config: LoraConfig = serde_json::from_value(Value::Object(keys))
        .map_err(|e| Error::format(&path, e.to_string()))?;
    check(&config).map_err(|problem| Error::format(&path, problem))?;
    Ok(config)
}

fn config_json(config: &LoraConfig, targets: &BTreeSet<String>, base: &str) -> Value {
    let alpha = match config.lora_alpha.fract() == 0.0 && config.lora_alpha.abs() < 1e15 {
        true => json!(config.lora_alpha as i64),
        false => json!(config.lora_alpha),
    };
    let mut keys: BTreeMap<&str, Value> = refused().into_iter().collect();
    keys.extend([
        ("base_model_name_or_path", json!(base)),
        ("inference_mode", json!(true)),
        ("init_lora_weights", json!(true)),
        ("lora_alpha", alpha),
        ("lora_dropout", json!(config.lora_dropout)),
        ("r", json!(config.r)),
        ("revision", Value::Null),
        ("target_modules", json!(targets)),
        ("task_type", json!("CAUSAL_LM")),
        ("use_rslora", json!(config.use_rslora)),
    ]);
    json!(keys)
}
