//! One TOML = one pre-training run. It knows names and bounds of settings, and nothing of what a run does with them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// An encoder of molecules, proteins or texts: masked tokens, and what the mean state has to tell.
    Masked,
    /// A Llama language model: next tokens.
    Causal,
    /// A scGPT encoder of cells: hidden values, and the principal components of expression.
    Cell,
}

/// A whole pre-training run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PretrainConfig {
    /// `masked` or `causal`.
    pub kind: Kind,
    /// Heading of the model card.
    pub title: String,
    /// The Hugging Face folder that the run writes.
    pub output: PathBuf,
    /// Metrics and checkpoints.
    pub run_dir: PathBuf,
    /// Folder that `{data}` in a corpus path stands for.
    #[serde(default)]
    pub data: PathBuf,
    /// Seed of everything random.
    pub seed: u64,
    /// `cpu`, `cuda:0`, `wgpu`.
    pub device: String,
    /// `[tokenizer]`
    pub tokenizer: TokenizerSection,
    /// `[model]`: `config.json` of the model, in Hugging Face's words.
    pub model: toml::Table,
    /// `[train]`
    pub train: TrainSection,
    /// `[masked]`
    #[serde(default)]
    pub masked: MaskedSection,
    /// `[exclude]`: rows whose records no corpus may contain.
    pub exclude: Option<RowFilter>,
    /// `[[corpus]]`
    pub corpus: Vec<CorpusSection>,
}

/// `[tokenizer]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizerSection {
    /// Largest vocabulary, special tokens included.
    pub vocab_size: usize,
    /// A token, or a pair of tokens to merge, must occur so often.
    pub min_count: u64,
}

/// `[train]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSection {
    /// Optimiser steps.
    pub steps: usize,
    /// Tokens per step, padding included.
    pub batch_tokens: usize,
    /// Longest sequence in tokens.
    pub max_length: usize,
    /// Peak learning rate.
    pub lr: f64,
    /// Linear warm-up, then a cosine down to a tenth of the peak.
    pub warmup_steps: usize,
    /// AdamW decay.
    pub weight_decay: f64,
    /// Global norm of gradients.
    pub max_grad_norm: f64,
    /// Share of documents that is measured on and never learnt from.
    pub held_out: f64,
    /// Steps between lines of metrics.
    pub log_every: usize,
    /// Steps between checkpoints; each also refreshes `output`.
    pub checkpoint_every: usize,
}

/// What the rows of a masked run are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Records {
    /// SMILES (`smiles`), through RoBERTa; targets are molecular descriptors.
    #[default]
    Molecule,
    /// Residues (`sequence`), through ESM; targets are the composition and the words of `about`.
    Protein,
    /// Text (`text`), through BERT; targets are its words.
    Text,
}

/// `[masked]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MaskedSection {
    /// `molecule`, `protein` or `text`.
    pub records: Records,
    /// Share of tokens to predict.
    pub mask_probability: f64,
    /// Share of molecules written in random atom order.
    pub randomized: f64,
    /// Weight of the loss on what the mean state has to tell, beside the token loss.
    pub descriptor_weight: f64,
    /// Heads of the first layer start by looking at tokens so many places away, one head each; for rotary positions (ESM).
    pub neighbours: Vec<i32>,
}

impl Default for MaskedSection {
    fn default() -> Self {
        Self {
            records: Records::Molecule,
            mask_probability: 0.15,
            randomized: 0.5,
            descriptor_weight: 1.0,
            neighbours: vec![],
        }
    }
}

/// Some rows of a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowFilter {
    /// The file.
    pub path: String,
    /// Field that identifies a row: SMILES for molecules, anything else for texts.
    pub field: String,
    /// Field with the scaffold of the row's molecule.
    pub scaffold: Option<String>,
    /// Field → value a row must have.
    #[serde(default, rename = "where")]
    pub keep: BTreeMap<String, String>,
}

/// `[[corpus]]`: one file and what to read from its rows.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorpusSection {
    /// Any file that is read as rows; `{data}` stands for the data folder.
    pub path: String,
    /// Where the rows are from, for the model card.
    pub source: String,
    /// Under which licence, for the model card.
    pub license: String,
    /// Field with a SMILES.
    pub smiles: Option<String>,
    /// Field with a protein sequence.
    pub sequence: Option<String>,
    /// What is written about a protein, with `{field}` in it.
    pub about: Option<String>,
    /// Cells of this file: principal components of expression to tell; the value is their number.
    pub components: Option<usize>,
    /// Cells: column of `var` with the names of the genes; not set = its index.
    pub gene_field: Option<String>,
    /// Leave out the records that a run with `data.split_by = "random"` and this `data.split_fraction` holds out.
    pub split_fraction: Option<f64>,
    /// A document per row: text with `{field}` in it.
    pub text: Option<String>,
    /// A conversation per row: the question, with `{field}` in it.
    pub user: Option<String>,
    /// … and its answer.
    pub assistant: Option<String>,
    /// Field that holds a whole conversation (`role`, `content`).
    pub messages: Option<String>,
    /// Words to put in the place of other words.
    #[serde(default)]
    pub replace: BTreeMap<String, String>,
    /// Field compared with the excluded rows' `field`.
    pub id: Option<String>,
    /// Field → value a row must have.
    #[serde(default, rename = "where")]
    pub keep: BTreeMap<String, String>,
    /// Times every row is shown per epoch.
    #[serde(default = "once")]
    pub repeat: usize,
}

fn once() -> usize {
    1
}

impl PretrainConfig {
    /// Reads a file and lays `--set key=value` over it. Unknown keys are refused.
    pub fn load(file: &Path, sets: &[String]) -> Result<Self> {
        let text = std::fs::read_to_string(file).map_err(|error| Error::io(file, error))?;
        let mut table: toml::Table = toml::from_str(&text)
            .map_err(|error| Error::Input(format!("{}: {error}", file.display())))?;
        for set in sets {
            lay_over(&mut table, set)?;
        }
        let config: Self = toml::Value::Table(table)
            .try_into()
            .map_err(|error| Error::Input(format!("{}: {error}", file.display())))?;
        config.check(file)?;
        Ok(config)
    }

    fn check(&self, file: &Path) -> Result<()> {
        let refuse = |problem: String| Err(Error::Input(format!("{}: {problem}", file.display())));
        let train = &self.train;
        if train.steps == 0 || train.warmup_steps >= train.steps {
            return refuse(format!(
                "`train.steps` ({}) must be greater than `train.warmup_steps` ({})",
                train.steps, train.warmup_steps
            ));
        }
        if train.max_length < 2 || train.batch_tokens < train.max_length {
            return refuse(format!(
                "`train.batch_tokens` ({}) must hold at least one sequence of `train.max_length` ({}) tokens, and that at least two",
                train.batch_tokens, train.max_length
            ));
        }
        if !(train.held_out > 0.0 && train.held_out < 0.5) {
            return refuse(format!(
                "`train.held_out` is {}; give a share between 0 and 0.5",
                train.held_out
            ));
        }
        if self.corpus.is_empty() {
            return refuse("there is no `[[corpus]]`; name at least one file to learn from".into());
        }
        Ok(())
    }

    /// The file a corpus path means.
    pub fn resolve(&self, path: &str) -> PathBuf {
        PathBuf::from(path.replace("{data}", &self.data.to_string_lossy()))
    }
}

/// Puts one `dotted.key=value` into `table`; the value is TOML, or else a string.
fn lay_over(table: &mut toml::Table, set: &str) -> Result<()> {
    let (key, value) = set.split_once('=').ok_or_else(|| {
        Error::Input(format!(
            "--set {set}: write `key=value`, for example `train.steps=100`"
        ))
    })?;
    let value = format!("x = {value}")
        .parse::<toml::Table>()
        .ok()
        .and_then(|mut parsed| parsed.remove("x"))
        .unwrap_or_else(|| toml::Value::String(value.to_string()));
    let (sections, leaf) = match key.trim().rsplit_once('.') {
        Some((sections, leaf)) => (Some(sections), leaf),
        None => (None, key.trim()),
    };
    let mut target = table;
    for section in sections.iter().flat_map(|sections| sections.split('.')) {
        target = target
            .entry(section)
            .or_insert_with(|| toml::Value::Table(toml::Table::new()))
            .as_table_mut()
            .ok_or_else(|| Error::Input(format!("--set {set}: `{section}` is not a section")))?;
    }
    target.insert(leaf.to_string(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const SMALL: &str = r#"
        kind = "causal"
        title = "t"
        output = "o"
        run_dir = "r"
        data = "some/where"
        seed = 1
        device = "cpu"
        [tokenizer]
        vocab_size = 300
        min_count = 2
        [model]
        hidden_size = 8
        [train]
        steps = 10
        batch_tokens = 64
        max_length = 16
        lr = 1e-3
        warmup_steps = 2
        weight_decay = 0.1
        max_grad_norm = 1.0
        held_out = 0.1
        log_every = 1
        checkpoint_every = 5
        [[corpus]]
        path = "{data}/a.jsonl"
        source = "s"
        license = "l"
        text = "{text}"
    "#;

    fn load(text: &str, sets: &[&str]) -> Result<PretrainConfig> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("run.toml");
        std::fs::write(&file, text).unwrap();
        let sets: Vec<String> = sets.iter().map(|set| set.to_string()).collect();
        PretrainConfig::load(&file, &sets)
    }

    #[test]
    fn sets_reach_nested_keys_and_paths_resolve() {
        let config = load(
            SMALL,
            &["train.steps=77", "model.hidden_act=silu", "title=new name"],
        )
        .unwrap();
        assert_eq!(config.train.steps, 77);
        assert_eq!(config.model["hidden_act"].as_str(), Some("silu"));
        assert_eq!(config.title, "new name");
        assert_eq!(
            config.resolve(&config.corpus[0].path),
            Path::new("some/where/a.jsonl")
        );
    }

    #[test]
    fn mistakes_are_named() {
        for (sets, expected) in [
            (["train.stepz=1"].as_slice(), "stepz"),
            (&["oops=1"], "oops"),
            (&["train.steps=1"], "warmup_steps"),
            (&["train.max_length=4000"], "batch_tokens"),
            (&["train.held_out=0.9"], "held_out"),
            (&["corpus=[]"], "corpus"),
            (&["nothing"], "key=value"),
            (&["seed.x=1"], "not a section"),
        ] {
            let error = load(SMALL, sets).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            assert_eq!(error.exit_code(), 2);
        }
    }
}
