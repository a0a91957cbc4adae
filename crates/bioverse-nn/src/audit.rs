//! Whether a folder's weights are those that its configuration describes. No weight is read.

use std::path::Path;

use burn::prelude::*;

use crate::{
    CausalLm, DecoderConfig, EncoderConfig, TransformerEncoder, Weights,
    config::model_type,
    error::{Error, Result},
    weights::Audit,
};

/// Compares the tensors of a Hugging Face folder with those that the model of its `config.json` is made of.
///
/// Memory for the model is reserved but not touched, so a large one costs no more than a small one.
///
/// ```no_run
/// let audit = bioverse_nn::audit("models/esm2_t6_8M_UR50D".as_ref())?;
/// assert!(audit.missing.is_empty() && audit.misshapen.is_empty());
/// # Ok::<(), bioverse_nn::Error>(())
/// ```
///
/// # Errors
/// If the configuration or the header of a weight file cannot be read, or the family is not one that this crate runs.
pub fn audit(dir: &Path) -> Result<Audit> {
    let path = dir.join("config.json");
    let family = model_type(&path)?;
    let weights = Weights::open(dir)?.probing();
    let device = Device::flex();
    if EncoderConfig::SUPPORTED.contains(&family.as_str()) {
        TransformerEncoder::from_weights(EncoderConfig::load(dir)?, &weights, &device)?;
    } else if DecoderConfig::SUPPORTED.contains(&family.as_str()) {
        CausalLm::from_weights(DecoderConfig::load(dir)?, &weights, &device)?;
    } else {
        let known = [EncoderConfig::SUPPORTED, DecoderConfig::SUPPORTED].concat();
        return Err(Error::Unsupported(format!(
            "{}: model_type `{family}` is not supported; supported are {}",
            path.display(),
            known.join(", ")
        )));
    }
    Ok(weights.audit())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::weights::{StoredDtype, save_safetensors};
    use std::collections::BTreeMap;

    /// Saves the weights of `dir` again, without `gone` and with `more`.
    fn change(dir: &Path, gone: &str, more: &[(&str, [usize; 1])]) {
        let weights = Weights::open(dir).unwrap();
        let mut tensors: Vec<(String, TensorData)> = weights
            .names()
            .into_iter()
            .filter(|name| *name != gone)
            .map(|name| (name.to_owned(), weights.data(name).unwrap()))
            .collect();
        drop(weights);
        for (name, shape) in more {
            tensors.retain(|(other, _)| other != name);
            tensors.push(((*name).to_owned(), TensorData::zeros::<f32, _>(*shape)));
        }
        let file = dir.join("model.safetensors");
        save_safetensors(&file, tensors, StoredDtype::F32, BTreeMap::new()).unwrap();
    }

    #[test]
    fn a_saved_model_has_all_it_needs_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let device = Device::flex();
        let config = EncoderConfig {
            hidden_size: 16,
            num_attention_heads: 4,
            vocab_size: 11,
            intermediate_size: 24,
            ..Default::default()
        };
        let encoder = TransformerEncoder::init(&config, &device);
        encoder.save(dir.path(), StoredDtype::F16).unwrap();
        assert_eq!(audit(dir.path()).unwrap(), Audit::default());
        let lm = CausalLm::init(&DecoderConfig::default(), &device);
        lm.save(dir.path(), StoredDtype::F16).unwrap();
        assert_eq!(audit(dir.path()).unwrap(), Audit::default());
    }

    #[test]
    fn what_is_missing_misshapen_and_unused_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let lm = CausalLm::init(&DecoderConfig::default(), &Device::flex());
        lm.save(dir.path(), StoredDtype::F32).unwrap();
        let gone = "model.layers.1.mlp.up_proj.weight";
        change(
            dir.path(),
            gone,
            &[("model.norm.weight", [7]), ("score.weight", [2])],
        );
        let audit = audit(dir.path()).unwrap();
        assert_eq!(audit.missing, [gone]);
        assert_eq!(audit.unused, ["score.weight"]);
        let problem = &audit.misshapen["model.norm.weight"];
        assert!(
            problem.contains("[7]") && problem.contains("[192]"),
            "{problem}"
        );
    }

    #[test]
    fn a_family_that_nobody_runs_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let lm = CausalLm::init(&DecoderConfig::default(), &Device::flex());
        lm.save(dir.path(), StoredDtype::F32).unwrap();
        std::fs::write(dir.path().join("config.json"), r#"{"model_type": "whale"}"#).unwrap();
        let text = audit(dir.path()).unwrap_err().to_string();
        assert!(
            text.contains("`whale`") && text.contains("modernbert"),
            "{text}"
        );
    }
}
