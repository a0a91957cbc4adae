//! PEFT adapters: loaded, merged, written again.

use anyhow::{Context, Result};
use bioverse_nn::weights::StoredDtype;
use bioverse_nn::{CausalLm, LoraConfig};
use burn::prelude::*;

use super::check::Check;
use super::folder::{Values, read_safetensors};
use super::{base_model, decoder};

pub fn run(check: &mut Check) -> Result<()> {
    let device = Device::flex();
    let folder = check.folder;
    let config: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(
        folder.path.join("adapter_config.json"),
    )?)?;
    let named = config["base_model_name_or_path"]
        .as_str()
        .context("adapter_config.json names no base model")?;
    let base = base_model::find(folder, named)?;
    let load = |adapter: &std::path::Path| -> Result<CausalLm> {
        Ok(CausalLm::load(&base, &device)?.load_adapter(adapter, &device)?)
    };
    let lm = load(&folder.path)?;
    let lora = LoraConfig::load(&folder.path)?;
    check.equal("scaling", lora.scaling(), folder.number("/scaling")?);
    decoder::passes(check, &lm)?;
    decoder::generation(check, &lm, "gen.ids", "gen.step_logits", |batch| {
        lm.embed(batch.ids.clone())
    })?;
    written_again(check, &lm, &lora, named)?;
    merged(check, lm.merge_lora())
}

/// An adapter we write holds the same bits under the same names as the one PEFT wrote.
fn written_again(check: &mut Check, lm: &CausalLm, lora: &LoraConfig, base: &str) -> Result<()> {
    let dir = tempfile::tempdir()?;
    lm.save_adapter(dir.path(), lora, base)?;
    let theirs = read_safetensors(&check.folder.path.join("adapter_model.safetensors"))?;
    let ours = read_safetensors(&dir.path().join("adapter_model.safetensors"))?;
    check.equal(
        "number of adapter tensors",
        theirs.len(),
        check.folder.count("/n_adapter_tensors")?,
    );
    let names = |tensors: &std::collections::BTreeMap<String, _>| {
        tensors.keys().cloned().collect::<Vec<_>>()
    };
    check.equal("adapter keys", names(&ours), names(&theirs));
    for (name, (shape, values)) in &theirs {
        let same = ours
            .get(name)
            .is_some_and(|(s, v)| s == shape && bits(v) == bits(values));
        check.equal(format!("{name} written again"), same, true);
    }
    check.equal(
        "adapter_config.json read again",
        &LoraConfig::load(dir.path())?,
        lora,
    );
    Ok(())
}

fn bits(values: &Values) -> Vec<u64> {
    match values {
        Values::Float(values) => values
            .iter()
            .map(|value| u64::from(value.to_bits()))
            .collect(),
        Values::Int(values) => values.iter().map(|value| *value as u64).collect(),
    }
}

fn merged(check: &mut Check, lm: CausalLm) -> Result<()> {
    let batch = check.batch("", &Device::flex())?;
    check.floats("logits_merged", || Ok(decoder::logits(&lm, &batch)));
    let dir = tempfile::tempdir()?;
    lm.save(dir.path(), StoredDtype::F32)?;
    let saved = read_safetensors(&dir.path().join("model.safetensors"))?;
    check.equal(
        "a merged model has no adapters",
        saved.keys().any(|name| name.contains("lora")),
        false,
    );
    check.floats::<2>("merged.q_proj0", || {
        let (shape, values) = &saved["model.layers.0.self_attn.q_proj.weight"];
        let Values::Float(values) = values else {
            anyhow::bail!("saved as integers");
        };
        Ok(Tensor::from_data(
            TensorData::new(values.clone(), shape.clone()),
            &Device::flex(),
        ))
    });
    Ok(())
}
