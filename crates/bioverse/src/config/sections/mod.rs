//! The tables of a run's TOML with their defaults. What the values do is for the stages to know.

mod align;
mod data;
mod finetune;

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

pub use align::{
    AlignSection, BioSource, Direction, Objective, Positives, TextPool, TextSource, TextSpace,
};
pub use data::{DataSection, MixtureEntry};
pub use finetune::{Dtype, FinetuneSection, Sampling};

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
    /// Checkpoints that are kept, newest first; 1 = only the last good one.
    pub keep_last: usize,
    /// Keep the checkpoint with the best held-out measurement too.
    pub keep_best: bool,
    /// TensorBoard event files beside `metrics.jsonl`.
    pub tensorboard: bool,
    /// Keep frozen encodings and text vectors on disk, so that they are computed once.
    pub cache: bool,
    /// Size of that cache in GB; what was not used for longest goes first.
    pub cache_gb: f64,
}

impl Default for RunSection {
    fn default() -> Self {
        Self {
            dir: "runs/default".into(),
            seed: 42,
            device: "cpu".into(),
            log_every: 10,
            checkpoint_every: 200,
            keep_last: 1,
            keep_best: true,
            tensorboard: true,
            cache: true,
            cache_gb: 20.0,
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
