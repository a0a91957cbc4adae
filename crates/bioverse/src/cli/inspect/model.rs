//! Model folders, adapters and weight files: family, sizes, dtypes, hashes; tensors that are missing, misshapen or unused.
//! No model is run, and of the weights only the hashes are computed.

use std::{collections::BTreeMap, path::Path};

use bioverse_core::Registry;
use bioverse_nn::{Weights, weights::Audit};
use burn::prelude::Device;
use serde_json::Value;

use super::{Findings, counted, grouped};
use crate::{
    error::{Error, Result},
    files,
};

/// Keys of `config.json` worth a line, where present.
const SIZES: [&str; 8] = [
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "intermediate_size",
    "vocab_size",
    "max_position_embeddings",
    "tie_word_embeddings",
];

/// Keys of scGPT's `args.json` worth a line.
const SCGPT_SIZES: [&str; 6] = [
    "embsize",
    "nlayers",
    "nheads",
    "d_hid",
    "n_bins",
    "max_seq_len",
];

/// How many names are printed of a long list.
const SHOWN: usize = 5;

/// Whether a folder is a scGPT model, which has a vocabulary of genes where others have a tokenizer.
pub fn is_scgpt(dir: &Path) -> bool {
    dir.join("args.json").is_file() && dir.join("vocab.json").is_file()
}

/// A model folder.
pub fn look(dir: &Path, findings: &mut Findings) -> Result<()> {
    let config = json(&dir.join("config.json"))?;
    findings.fact("model", dir.display());
    match config["model_type"].as_str() {
        Some(family) => findings.fact("family", family),
        None => findings.problem("config.json has no `model_type`, so the family is unknown"),
    }
    sizes(&config, &SIZES, findings);
    tokenizer(dir, findings);
    weight_files(dir, findings)?;
    match bioverse_nn::audit(dir) {
        Ok(audit) => audited(&audit, findings),
        Err(error) => findings.problem(error.to_string()),
    }
    Ok(())
}

/// A scGPT folder. Its tensors are checked by loading it, which is what its plugin can do.
pub fn look_scgpt(dir: &Path, registry: &Registry, findings: &mut Findings) -> Result<()> {
    findings.fact("model", dir.display());
    findings.fact("family", "scgpt");
    sizes(&json(&dir.join("args.json"))?, &SCGPT_SIZES, findings);
    if let Some(vocabulary) = json(&dir.join("vocab.json"))?.as_object() {
        findings.fact(
            "vocabulary",
            format!("{} tokens", grouped(vocabulary.len() as u64)),
        );
    }
    weight_files(dir, findings)?;
    let path = toml::Value::String(dir.display().to_string());
    let table = toml::Table::from_iter([("path".to_owned(), path)]);
    if registry.contains("cell")
        && let Err(error) = registry.load("cell", &table, &Device::flex())
    {
        findings.problem(error.to_string());
    }
    Ok(())
}

/// A PEFT folder.
pub fn adapter(dir: &Path, findings: &mut Findings) -> Result<()> {
    let config = json(&dir.join("adapter_config.json"))?;
    findings.fact("adapter", dir.display());
    for key in [
        "r",
        "lora_alpha",
        "lora_dropout",
        "use_rslora",
        "target_modules",
        "modules_to_save",
        "base_model_name_or_path",
    ] {
        if !config[key].is_null() {
            findings.lines.push(format!("  {key:<24} {}", config[key]));
        }
    }
    let file = ["adapter_model.safetensors", "adapter_model.bin"]
        .map(|name| dir.join(name))
        .into_iter()
        .find(|file| file.is_file());
    match file {
        Some(file) => weights(&file, findings),
        None => {
            findings.problem(format!(
                "{} holds no adapter_model.safetensors; download the missing file",
                dir.display()
            ));
            Ok(())
        }
    }
}

/// One weight file: its header is read and checked, its bytes hashed.
pub fn weights(file: &Path, findings: &mut Findings) -> Result<()> {
    let weights = match Weights::open_file(file) {
        Ok(weights) => weights,
        Err(error) => {
            findings.problem(error.to_string());
            return Ok(());
        }
    };
    let length = std::fs::metadata(file)
        .map_err(|error| Error::io(file, error))?
        .len();
    let mut parameters = 0u64;
    let mut by_dtype: BTreeMap<String, usize> = BTreeMap::new();
    for name in weights.names() {
        if !weights.is_finite(name)? {
            findings.problem(format!(
                "{}: tensor `{name}` holds values that are not finite (NaN or infinity); the file is damaged or training \
                 diverged, fetch it again",
                file.display()
            ));
        }
        parameters += weights
            .shape(name)?
            .iter()
            .map(|n| *n as u64)
            .product::<u64>();
        *by_dtype.entry(weights.dtype(name)?).or_default() += 1;
    }
    let dtypes: Vec<String> = by_dtype
        .iter()
        .map(|(dtype, n)| format!("{dtype} × {n}"))
        .collect();
    findings.fact(
        "weights",
        format!(
            "{}: {} parameters in {} ({}), {} bytes",
            file.file_name().unwrap_or_default().to_string_lossy(),
            grouped(parameters),
            counted(weights.names().len(), "tensor"),
            dtypes.join(", "),
            grouped(length)
        ),
    );
    findings.fact("sha256", files::sha256(file)?);
    Ok(())
}

/// Every weight file of a folder; that there is none, or that an index lies, is a problem.
fn weight_files(dir: &Path, findings: &mut Findings) -> Result<()> {
    if let Err(error) = Weights::open(dir) {
        findings.problem(error.to_string());
    }
    let files = Weights::files(dir).into_iter();
    for file in files.filter(|file| file.extension().is_none_or(|e| e != "json")) {
        weights(&file, findings)?;
    }
    Ok(())
}

/// What the model makes of its weights.
fn audited(audit: &Audit, findings: &mut Findings) {
    if !audit.missing.is_empty() {
        findings.problem(format!(
            "{} missing, among them {}; download the folder again, or correct config.json",
            counted(audit.missing.len(), "tensor"),
            some(audit.missing.iter())
        ));
    }
    for (name, problem) in audit.misshapen.iter().take(SHOWN) {
        findings.problem(format!(
            "tensor `{name}` {problem}; weights and config.json are from different models"
        ));
    }
    if !audit.unused.is_empty() {
        findings.fact(
            "unused",
            format!(
                "{} that the model has no use for: {}",
                counted(audit.unused.len(), "tensor"),
                some(audit.unused.iter())
            ),
        );
    }
}

/// The first names of a list.
fn some<'a>(names: impl ExactSizeIterator<Item = &'a String>) -> String {
    let rest = names.len().saturating_sub(SHOWN);
    let shown: Vec<String> = names.take(SHOWN).map(|name| format!("`{name}`")).collect();
    match rest {
        0 => shown.join(", "),
        rest => format!("{} and {rest} more", shown.join(", ")),
    }
}

fn sizes(config: &Value, keys: &[&str], findings: &mut Findings) {
    for key in keys.iter().filter(|key| !config[**key].is_null()) {
        findings.lines.push(format!("  {key:<24} {}", config[*key]));
    }
}

fn tokenizer(dir: &Path, findings: &mut Findings) {
    match bioverse_nn::Tokenizer::load(dir) {
        Ok(tokenizer) => findings.fact(
            "tokenizer",
            format!(
                "{} tokens, {}",
                grouped(tokenizer.vocab_size() as u64),
                tokenizer
                    .chat_template()
                    .map_or("no chat template", |_| "with a chat template")
            ),
        ),
        Err(error) => findings.problem(error.to_string()),
    }
}

fn json(file: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(file).map_err(|error| Error::io(file, error))?;
    serde_json::from_str(&text)
        .map_err(|error| Error::Input(format!("{} is not JSON: {error}", file.display())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn tiny() -> Vec<u8> {
        let header = br#"{"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}"#;
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header);
        bytes.extend([0u8; 24]);
        bytes
    }

    fn found(bytes: &[u8]) -> Findings {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("model.safetensors");
        std::fs::write(&file, bytes).unwrap();
        let mut findings = Findings::default();
        weights(&file, &mut findings).unwrap();
        findings
    }

    #[test]
    fn a_whole_file_has_no_problem() {
        let findings = found(&tiny());
        assert!(findings.problems.is_empty(), "{findings:?}");
        assert!(
            findings.lines[0].contains("6 parameters in 1 tensor (F32 × 1), "),
            "{findings:?}"
        );
    }

    #[test]
    fn every_truncation_is_a_problem_that_names_the_file() {
        let bytes = tiny();
        for length in [0, 5, 8, 20, bytes.len() - 1] {
            let findings = found(&bytes[..length]);
            assert_eq!(findings.problems.len(), 1, "{length}: {findings:?}");
            assert!(findings.problems[0].contains("model.safetensors"));
        }
    }
}
