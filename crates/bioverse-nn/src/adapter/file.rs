//! `adapter_config.json` as PEFT writes it: what of it is understood, what is refused, what is written.
//!
//! Knows no tensors and no model.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::config::read_json;
use crate::error::{Error, Result};
use crate::lora::{ALL_LINEAR, LoraConfig, Selection};

pub(super) const CONFIG: &str = "adapter_config.json";

/// Keys of PEFT that change what an adapter computes, with the only value each may have here besides absence.
fn refused() -> [(&'static str, Value); 15] {
    [
        ("alora_invocation_tokens", Value::Null),
        ("arrow_config", Value::Null),
        ("bias", json!("none")),
        ("fan_in_fan_out", json!(false)),
        ("kasa_config", Value::Null),
        ("layer_replication", Value::Null),
        ("lora_bias", json!(false)),
        ("monteclora_config", Value::Null),
        ("peft_type", json!("LORA")),
        ("target_parameters", Value::Null),
        ("trainable_token_indices", Value::Null),
        ("use_bdlora", Value::Null),
        ("use_dora", json!(false)),
        ("use_qalora", json!(false)),
        ("velora_config", Value::Null),
    ]
}

/// A value or several of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

/// `adapter_config.json` as far as it is understood.
pub(crate) fn read_config(dir: &Path) -> Result<LoraConfig> {
    let path = dir.join(CONFIG);
    let mut keys: Map<String, Value> = read_json(&path)?;
    for (key, allowed) in refused() {
        let found = keys.get(key).unwrap_or(&Value::Null);
        if !found.is_null() && *found != allowed {
            let problem = format!("`{key}` = {found} is not supported, only {allowed}");
            return Err(Error::Unsupported(format!("{}: {problem}", path.display())));
        }
    }
    initialised(&path, keys.get("init_lora_weights"))?;
    targets(&path, &mut keys)?;
    list::<String>(&path, &mut keys, "modules_to_save")?;
    list::<String>(&path, &mut keys, "layers_pattern")?;
    list::<usize>(&path, &mut keys, "layers_to_transform")?;
    // PEFT writes `null` for what is not set.
    keys.retain(|_, value| !value.is_null());
    let config: LoraConfig = serde_json::from_value(Value::Object(keys))
        .map_err(|e| Error::format(&path, e.to_string()))?;
    check(&config).map_err(|problem| Error::format(&path, problem))?;
    Ok(config)
}

/// Some ways of beginning to train an adapter change the model under it, which the adapter then belongs to.
fn initialised(path: &Path, how: Option<&Value>) -> Result<()> {
    const CHANGES_THE_MODEL: [&str; 5] = ["pissa", "olora", "corda", "loftq", "lora_ga"];
    let Some(how) = how.and_then(Value::as_str) else {
        return Ok(());
    };
    match CHANGES_THE_MODEL.iter().any(|kind| how.starts_with(kind)) {
        true => Err(Error::Unsupported(format!(
            "{}: `init_lora_weights` = \"{how}\" changes the model itself; convert the adapter to a plain LoRA with PEFT \
             (`path_initial_model_for_weight_conversion`)",
            path.display()
        ))),
        false => Ok(()),
    }
}

/// A text is a regular expression, unless it is PEFT's word for all linear layers.
fn targets(path: &Path, keys: &mut Map<String, Value>) -> Result<()> {
    let given = keys.remove("target_modules").unwrap_or_default();
    let (list, pattern) = match serde_json::from_value::<OneOrMany<String>>(given) {
        Ok(OneOrMany::Many(list)) => (list, None),
        Ok(OneOrMany::One(word)) if word == ALL_LINEAR => (vec![word], None),
        Ok(OneOrMany::One(pattern)) => (Vec::new(), Some(pattern)),
        Err(_) => {
            let problem = "`target_modules` must be a list of module names, a regular expression or \"all-linear\"";
            return Err(Error::format(path, problem));
        }
    };
    keys.insert("target_modules".to_owned(), json!(list));
    keys.insert("target_pattern".to_owned(), json!(pattern));
    Ok(())
}

/// Makes a list of a key that may hold one value.
fn list<T>(path: &Path, keys: &mut Map<String, Value>, key: &str) -> Result<()>
where
    T: serde::de::DeserializeOwned + serde::Serialize,
{
    let Some(value) = keys.get_mut(key).filter(|value| !value.is_null()) else {
        return Ok(());
    };
    let list = match serde_json::from_value::<OneOrMany<T>>(value.take()) {
        Ok(OneOrMany::One(one)) => vec![one],
        Ok(OneOrMany::Many(list)) => list,
        Err(_) => return Err(Error::format(path, format!("`{key}` must be a list"))),
    };
    *value = json!(list);
    Ok(())
}

/// Values that would divide by zero or make a layer panic.
pub(super) fn check(config: &LoraConfig) -> Result<(), String> {
    if config.r == 0 || config.rank_pattern.iter().any(|(_, r)| r == 0) {
        return Err("LoRA rank `r` must be above 0".to_owned());
    }
    let alphas = config.alpha_pattern.iter().map(|(_, alpha)| alpha);
    if !alphas.chain([config.lora_alpha]).all(f64::is_finite) {
        return Err("`lora_alpha` must be a finite number".to_owned());
    }
    if !(0.0..1.0).contains(&config.lora_dropout) {
        return Err(format!(
            "lora_dropout {} is not in [0, 1)",
            config.lora_dropout
        ));
    }
    if config.target_modules.is_empty() && config.target_pattern.is_none() {
        return Err(format!(
            "target_modules is empty; name layers or use {ALL_LINEAR}"
        ));
    }
    Selection::new(config).map(drop)
}

/// The name of the model that an adapter was made for, as its folder has it.
pub fn base_of(dir: &Path) -> Result<Option<String>> {
    #[derive(Deserialize)]
    struct Base {
        base_model_name_or_path: Option<String>,
    }
    let base: Base = read_json(&dir.join(CONFIG))?;
    Ok(base.base_model_name_or_path.filter(|base| !base.is_empty()))
}

/// The whole file; `targets` are the names that "all-linear" stands for.
pub(super) fn config_json(config: &LoraConfig, targets: Vec<String>, base: &str) -> Value {
    let or_null = |empty: bool, value: Value| if empty { Value::Null } else { value };
    let targets = match &config.target_pattern {
        Some(pattern) => json!(pattern),
        None => json!(targets),
    };
    let alphas = config.alpha_pattern.iter();
    let alphas: Map<String, Value> = alphas
        .map(|(key, alpha)| (key.to_owned(), number(alpha)))
        .collect();
    let mut keys: BTreeMap<&str, Value> = refused().into_iter().collect();
    // Keys of the newest PEFT only, which an older one would refuse to read.
    for key in [
        "arrow_config",
        "kasa_config",
        "monteclora_config",
        "use_bdlora",
        "velora_config",
    ] {
        keys.remove(key);
    }
    keys.extend([
        ("alpha_pattern", Value::Object(alphas)),
        ("base_model_name_or_path", json!(base)),
        ("exclude_modules", json!(config.exclude_modules)),
        ("inference_mode", json!(true)),
        ("init_lora_weights", json!(true)),
        (
            "layers_pattern",
            or_null(
                config.layers_pattern.is_empty(),
                json!(config.layers_pattern),
            ),
        ),
        ("layers_to_transform", json!(config.layers_to_transform)),
        ("lora_alpha", number(config.lora_alpha)),
        ("lora_dropout", json!(config.lora_dropout)),
        (
            "modules_to_save",
            or_null(
                config.modules_to_save.is_empty(),
                json!(config.modules_to_save),
            ),
        ),
        ("r", json!(config.r)),
        ("rank_pattern", json!(config.rank_pattern)),
        ("revision", Value::Null),
        ("target_modules", targets),
        ("task_type", json!("CAUSAL_LM")),
        ("use_rslora", json!(config.use_rslora)),
    ]);
    json!(keys)
}

/// PEFT's alphas are integers wherever they can be.
fn number(value: f64) -> Value {
    match value.fract() == 0.0 && value.abs() < 1e15 {
        true => json!(value as i64),
        false => json!(value),
    }
}
