//! `[finetune]`: stage 2.

use std::{collections::BTreeMap, path::PathBuf};

use bioverse_nn::LoraConfig;
use serde::{Deserialize, Serialize};

/// How rows are drawn in stage 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Sampling {
    /// Every row as often as every other, times the weights of its source and its modality.
    #[default]
    Proportional,
    /// Every modality as often as every other, whatever the number of its rows.
    Balanced,
}

/// What the frozen LLM computes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Dtype {
    /// Single precision.
    #[default]
    F32,
    /// Half precision where the device has it; norms, softmax and loss stay in f32.
    Bf16,
}

/// `[finetune]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FinetuneSection {
    /// Stage-1 bundle to start from.
    pub from: PathBuf,
    /// Any of `projectors`, `task_tokens`, `lora`.
    pub trainable: Vec<String>,
    /// `[finetune.lora]`
    pub lora: LoraConfig,
    /// Peak learning rate.
    pub lr: f64,
    /// Peak learning rate of projectors, if another.
    pub lr_projectors: Option<f64>,
    /// Peak learning rate of task tokens, if another.
    pub lr_task_tokens: Option<f64>,
    /// Peak learning rate of the adapters, if another.
    pub lr_lora: Option<f64>,
    /// Factor of the adapters' rate from each LLM layer to the one below; 1 = the same everywhere.
    pub layer_decay: f64,
    /// AdamW decay.
    pub weight_decay: f64,
    /// Rows per micro-batch; with `packing`, sequences.
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
    /// Several short rows in one of `max_length` tokens, unable to see each other.
    pub packing: bool,
    /// How rows are drawn.
    pub sampling: Sampling,
    /// Weights of modalities: how often rows with a record of it are drawn, relative to 1.
    pub modality_weights: BTreeMap<String, f64>,
    /// Keep only each layer's input and compute the rest again on the way back: less memory, a third more time.
    pub gradient_checkpointing: bool,
    /// What the frozen LLM computes in.
    pub dtype: Dtype,
    /// Steps between measurements of the held-out loss; 0 = only at the end.
    pub eval_every: usize,
    /// Held-out rows that are measured on.
    pub eval_rows: usize,
    /// Stop when the held-out loss no longer improves, and keep the best.
    pub early_stopping: bool,
    /// Measurements without improvement before it stops.
    pub patience: usize,
    /// After training, measure with true, swapped, zeroed and mean records, and warn when nothing changes.
    pub audit: bool,
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
            lr_projectors: None,
            lr_task_tokens: None,
            lr_lora: None,
            layer_decay: 1.0,
            weight_decay: 0.01,
            batch_size: 16,
            accumulation: 1,
            steps: 500,
            warmup_steps: 30,
            max_grad_norm: 1.0,
            max_length: 512,
            packing: false,
            sampling: Sampling::default(),
            modality_weights: BTreeMap::new(),
            gradient_checkpointing: false,
            dtype: Dtype::default(),
            eval_every: 0,
            eval_rows: 128,
            early_stopping: false,
            patience: 3,
            audit: true,
        }
    }
}
