//! Hugging Face folders and weight files: family, sizes, dtypes, hashes, and files that are not whole.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use safetensors::tensor::Metadata;
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

/// Bytes that say how long the header is.
const PREFIX: usize = 8;

/// Longest header that is read; the format allows no more.
const LONGEST_HEADER: u64 = 100_000_000;

/// A model folder.
pub fn look(dir: &Path, findings: &mut Findings) -> Result<()> {
    let config = json(&dir.join("config.json"))?;
    findings.fact("model", dir.display());
    match config["model_type"].as_str() {
        Some(family) => findings.fact("family", family),
        None => findings.problem("config.json has no `model_type`, so the family is unknown"),
    }
    for key in SIZES {
        if !config[key].is_null() {
            findings.lines.push(format!("  {key:<24} {}", config[key]));
        }
    }
    tokenizer(dir, findings);
    let shards = shards(dir, findings)?;
    if shards.is_empty() {
        findings.problem(format!(
            "{} holds no *.safetensors file; convert the weights, or download the missing file",
            dir.display()
        ));
    }
    for shard in shards {
        weights(&shard, findings)?;
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
        "target_modules",
        "base_model_name_or_path",
    ] {
        findings.lines.push(format!("  {key:<24} {}", config[key]));
    }
    weights(&dir.join("adapter_model.safetensors"), findings)
}

/// One weight file: its header is read, its length checked, its bytes hashed.
pub fn weights(file: &Path, findings: &mut Findings) -> Result<()> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let (header, length) = match header(file) {
        Ok(found) => found,
        Err(problem) => {
            findings.problem(format!("{}: {problem}", file.display()));
            return Ok(());
        }
    };
    let metadata: Metadata = match serde_json::from_slice(&header) {
        Ok(found) => found,
        Err(error) => {
            findings.problem(format!(
                "{}: its header does not parse ({error}); it is damaged or no safetensors file",
                file.display()
            ));
            return Ok(());
        }
    };
    let expected = (PREFIX + header.len() + metadata.data_len()) as u64;
    if expected != length {
        findings.problem(format!(
            "{} is {length} bytes long, but its header describes {expected}; it is truncated or damaged, fetch it again",
            file.display()
        ));
    }
    let mut parameters = 0u64;
    let mut by_dtype: BTreeMap<String, usize> = BTreeMap::new();
    for info in metadata.tensors().values() {
        parameters += info.shape.iter().map(|n| *n as u64).product::<u64>();
        *by_dtype.entry(format!("{:?}", info.dtype)).or_default() += 1;
    }
    let dtypes: Vec<String> = by_dtype
        .iter()
        .map(|(dtype, n)| format!("{dtype} × {n}"))
        .collect();
    findings.fact(
        "weights",
        format!(
            "{name}: {} parameters in {} ({}), {} bytes",
            grouped(parameters),
            counted(metadata.tensors().len(), "tensor"),
            dtypes.join(", "),
            grouped(length)
        ),
    );
    findings.fact("sha256", files::sha256(file)?);
    Ok(())
}

/// The header, and the length of the file.
fn header(path: &Path) -> Result<(Vec<u8>, u64), String> {
    let plain = |error: std::io::Error| error.to_string();
    let mut file = File::open(path).map_err(plain)?;
    let length = file.metadata().map_err(plain)?.len();
    let mut prefix = [0u8; PREFIX];
    file.read_exact(&mut prefix).map_err(|_| {
        format!("{length} bytes are too few for a safetensors file; fetch it again")
    })?;
    let size = u64::from_le_bytes(prefix);
    if size > LONGEST_HEADER || size > length - PREFIX as u64 {
        return Err(format!(
            "its header claims {size} bytes, but the file has {length}; it is truncated or no safetensors file"
        ));
    }
    let mut header = vec![];
    file.take(size).read_to_end(&mut header).map_err(plain)?;
    Ok((header, length))
}

/// Weight files: those the index names, else the one with the usual name, else all of the folder.
fn shards(dir: &Path, findings: &mut Findings) -> Result<Vec<PathBuf>> {
    let index = dir.join("model.safetensors.index.json");
    if index.is_file() {
        let index = json(&index)?;
        let map = index["weight_map"].as_object();
        let mut names: Vec<&str> = map
            .into_iter()
            .flat_map(|map| map.values().filter_map(Value::as_str))
            .collect();
        names.sort_unstable();
        names.dedup();
        if names.is_empty() {
            findings.problem("model.safetensors.index.json has no `weight_map`");
        }
        return Ok(names.into_iter().map(|name| dir.join(name)).collect());
    }
    let single = dir.join("model.safetensors");
    if single.is_file() {
        return Ok(vec![single]);
    }
    let entries = std::fs::read_dir(dir).map_err(|error| Error::io(dir, error))?;
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "safetensors"))
        .collect();
    found.sort();
    Ok(found)
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
