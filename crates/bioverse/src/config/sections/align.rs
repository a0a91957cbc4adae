//! `[align]`: stage 1.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What stage 1 minimises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// Contrastive: a record must find its text among those of the batch, and the text its record.
    #[default]
    InfoNce,
    /// Contrastive, each pair judged alone by a sigmoid.
    Siglip,
    /// The frozen LLM must predict the text behind the soft tokens.
    Autoregressive,
}

/// Which way InfoNCE looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Records to texts and texts to records, half each.
    #[default]
    Both,
    /// Records to texts only.
    BioToText,
}

/// Which other pairs of a batch count as right. Equal texts and equal records never count as wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Positives {
    /// As `label` where `data.label_field` is set, else as `text`.
    #[default]
    Auto,
    /// Those with an equal text or an equal record.
    Text,
    /// Those, and those with an equal `data.label_field`.
    Label,
    /// Those, and those with an equal `data.group_field`.
    Group,
    /// None: equal ones are left out, neither pulled together nor pushed apart.
    None,
}

/// What stands for a record in the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum BioSource {
    /// The mean of its soft tokens: no LLM forward.
    #[default]
    SoftTokens,
    /// The states of the frozen LLM at its soft tokens inside the prompt, pooled as texts are.
    HiddenStates,
}

/// What stands for a text in the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum TextSource {
    /// Its tokens in the LLM's input embeddings: no LLM forward.
    #[default]
    InputEmbeddings,
    /// The states of the frozen LLM at `align.text_layer`.
    HiddenStates,
}

/// How the states of a text become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum TextPool {
    /// Their mean.
    #[default]
    Mean,
    /// Their mean and standard deviation, side by side (twice as wide).
    MeanStd,
    /// The last one.
    LastToken,
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
    /// What is minimised.
    pub objective: Objective,
    /// InfoNCE in both directions, or from records to texts only.
    pub direction: Direction,
    /// Temperature of InfoNCE and SigLIP; where a learnt one starts.
    pub temperature: f64,
    /// Train the temperature (SigLIP: its bias too).
    pub learn_temperature: bool,
    /// Which other pairs of a batch count as right.
    pub positives: Positives,
    /// A file of unrelated general-domain texts: extra wrong answers of every record. Text of JSONL, CSV, … in `text_field`.
    pub negatives: Option<PathBuf>,
    /// How many of them stand in each batch.
    pub negatives_per_step: usize,
    /// Pairs that go through the projector at a time; the step is that of the whole batch (gradient caching).
    pub micro_batch_size: Option<usize>,
    /// What stands for a record.
    pub bio_from: BioSource,
    /// What stands for a text.
    pub text_from: TextSource,
    /// Which hidden states of the LLM: 0 = input embeddings, -1 = the last, as in Hugging Face's `hidden_states`.
    pub text_layer: i64,
    /// How a text's states become one vector.
    pub text_pool: TextPool,
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
    /// Steps between measurements on held-out pairs.
    pub eval_every: usize,
    /// Held-out pairs that are measured on while training.
    pub eval_pairs: usize,
    /// Stop when this measurement no longer improves, and keep the best: `mrr`, `r1`, `foscttm`, `loss`, …
    pub early_stopping: Option<String>,
    /// Measurements without improvement before it stops.
    pub patience: usize,
}

impl Default for AlignSection {
    fn default() -> Self {
        Self {
            modalities: vec![],
            objective: Objective::default(),
            direction: Direction::default(),
            temperature: 0.07,
            learn_temperature: false,
            positives: Positives::default(),
            negatives: None,
            negatives_per_step: 256,
            micro_batch_size: None,
            bio_from: BioSource::default(),
            text_from: TextSource::default(),
            text_layer: -1,
            text_pool: TextPool::default(),
            text_space: TextSpace::default(),
            lr: 1e-3,
            weight_decay: 0.01,
            batch_size: 256,
            steps: 600,
            warmup_steps: 50,
            max_grad_norm: 1.0,
            eval_every: 100,
            eval_pairs: 256,
            early_stopping: None,
            patience: 5,
        }
    }
}
