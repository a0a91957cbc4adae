//! The tables of a run's TOML with their defaults. What the values do is for the stages to know.

use std::{collections::BTreeMap, path::PathBuf};

use bioverse_nn::LoraConfig;
use serde::{Deserialize, Serialize};

/// The whole configuration of a run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    /// `[run]`
    pub run: RunSection,
    /// `[llm]`
    pub llm: LlmSection,
    /// `[modality.<name>]`, read by the plugin.
    pub modality: BTreeMap<String, toml::Table>,
    /// `[projector]`, laid over what the modality recommends.
    pub projector: toml::Table,
    /// `[data]`
    pub data: DataSection,
    /// `[align]`
    pub align: AlignSection,
    /// `[finetune]`
    pub finetune: FinetuneSection,
}

/// `[run]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunSection {
    /// Where bundle, metrics and checkpoints go.
    pub dir: PathBuf,
    /// Seed of everything random.
    pub seed: u64,
    /// `cpu`, `cuda:0`, `wgpu`.
    pub device: String,
    /// Steps between lines of metrics.
    pub log_every: usize,
    /// Steps between checkpoints (0 = only on Ctrl-C).
    pub checkpoint_every: usize,
}

impl Default for RunSection {
    fn default() -> Self {
        Self {
            dir: "runs/default".into(),
            seed: 42,
            device: "cpu".into(),
            log_every: 10,
            checkpoint_every: 200,
        }
    }
}

/// `[llm]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LlmSection {
    /// A Hugging Face folder, or a model of the Hub as `org/name[@revision]`.
    pub path: PathBuf,
}

/// `[data]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataSection {
    /// Rows to learn from: JSONL, CSV, TSV, Parquet, FASTA, SMILES, SDF, h5ad, 10x, plain text.
    pub train: PathBuf,
    /// Rows to measure on; not set = rows of `train` on the `eval_split` side.
    pub eval: Option<PathBuf>,
    /// Modality of plain pairs; may be left out when one modality is configured.
    pub modality: Option<String>,
    /// Field of the record in plain pairs; not set = the one of the format (`sequence`, `smiles`, `cell`, `text`).
    pub input_field: Option<String>,
    /// Field of the text of plain pairs; not set = instruction rows.
    pub text_field: Option<String>,
    /// User turn made for plain pairs; `{}` stands for the placeholder.
    pub question: String,
    /// Field that keeps related rows together.
    pub group_field: Option<String>,
    /// Field that names the side of the split.
    pub split_field: Option<String>,
    /// Value of `split_field` to learn from.
    pub train_split: String,
    /// Value of `split_field` to measure on.
    pub eval_split: String,
    /// Use only the first rows of each side.
    pub limit: Option<usize>,
    /// Whether the first line of CSV, TSV and SMILES names columns; not set = found out.
    pub header: Option<bool>,
    /// Count matrix of h5ad: not set = `X`, `raw` = `raw.X`, else a name in `layers`.
    pub layer: Option<String>,
    /// Column of `var` with the gene names of h5ad; not set = its index.
    pub gene_field: Option<String>,
    /// Leave bad rows out and write them to `<run.dir>/rejected.jsonl`, instead of ending at the first.
    pub skip_bad: bool,
}

impl DataSection {
    /// What is said here about how files are read.
    pub fn options(&self) -> bioverse_formats::Options {
        bioverse_formats::Options {
            format: None,
            header: self.header,
            layer: self.layer.clone(),
            gene_field: self.gene_field.clone(),
        }
    }
}

impl Default for DataSection {
    fn default() -> Self {
        Self {
            train: PathBuf::new(),
            eval: None,
            modality: None,
            input_field: None,
            text_field: None,
            question: "Describe {}.".into(),
            group_field: None,
            split_field: None,
            train_split: "train".into(),
            eval_split: "test".into(),
            limit: None,
            header: None,
            layer: None,
            gene_field: None,
            skip_bad: false,
        }
    }
}

/// In which metric text and soft vectors are compared; both sides go through the same fitted map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum TextSpace {
    /// As they are.
    Raw,
    /// Minus the mean of the training texts.
    Centered,
    /// Centred and whitened on the training texts.
    #[default]
    Whitened,
}

/// `[align]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlignSection {
    /// Which configured modalities; empty = all.
    pub modalities: Vec<String>,
    /// InfoNCE temperature.
    pub temperature: f64,
    /// Metric of comparison.
    pub text_space: TextSpace,
    /// Peak learning rate.
    pub lr: f64,
    /// AdamW decay.
    pub weight_decay: f64,
    /// Pairs per step.
    pub batch_size: usize,
    /// Optimiser steps.
    pub steps: usize,
    /// Linear warm-up, then cosine to zero.
    pub warmup_steps: usize,
    /// Global norm of gradients.
    pub max_grad_norm: f64,
}

impl Default for AlignSection {
    fn default() -> Self {
        Self {
            modalities: vec![],
            temperature: 0.07,
            text_space: TextSpace::default(),
            lr: 1e-3,
            weight_decay: 0.01,
            batch_size: 256,
            steps: 600,
            warmup_steps: 50,
            max_grad_norm: 1.0,
        }
    }
}

/// `[finetune]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FinetuneSection {
    /// Stage-1 bundle to start from.
    pub from: PathBuf,
    /// Any of `projectors`, `lora`.
    pub trainable: Vec<String>,
    /// `[finetune.lora]`
    pub lora: LoraConfig,
    /// Peak learning rate.
    pub lr: f64,
    /// AdamW decay.
    pub weight_decay: f64,
    /// Rows per micro-batch.
    pub batch_size: usize,
    /// Micro-batches per step.
    pub accumulation: usize,
    /// Optimiser steps.
    pub steps: usize,
    /// Linear warm-up, then cosine to zero.
    pub warmup_steps: usize,
    /// Global norm of gradients.
    pub max_grad_norm: f64,
    /// Longest row in tokens; longer ones are refused, never cut.
    pub max_length: usize,
}

impl Default for FinetuneSection {
    fn default() -> Self {
        Self {
            from: PathBuf::new(),
            trainable: vec!["projectors".into(), "lora".into()],
            lora: LoraConfig {
                r: 8,
                lora_alpha: 16.0,
                lora_dropout: 0.05,
                target_modules: vec!["q_proj".into(), "v_proj".into()],
                ..LoraConfig::default()
            },
            lr: 2e-4,
            weight_decay: 0.01,
            batch_size: 16,
            accumulation: 1,
            steps: 500,
            warmup_steps: 30,
            max_grad_norm: 1.0,
            max_length: 512,
        }
    }
}
