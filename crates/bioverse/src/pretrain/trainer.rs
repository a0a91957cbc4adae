//! Runs the training loop for either kind: looks at held-out data and refreshes the output folder now and then.
//! It knows no tokens and no losses.

use std::path::Path;
use std::time::Instant;

use burn::module::Module;
use burn::prelude::*;
use serde_json::{Value, json};

use super::config::PretrainConfig;
use crate::error::Result;
use crate::files::StagedDir;
use crate::interrupt;
use crate::train::Rates;
use crate::train::checkpoint::{Checkpoint, Keep};
use crate::train::fingerprint::Fingerprint;
use crate::train::steps::{MicroBatch, Observation, Stage, run};

/// Named numbers, in the order they are shown.
pub(super) type Numbers = Vec<(&'static str, f64)>;

/// What a kind of pre-training defines.
pub(super) trait Task {
    /// What is trained.
    type Model: Module;

    /// The loss `[1]` of step `step`, counted from 0, and its rows: a function of seed, step and model alone.
    fn loss(&self, model: &Self::Model, step: usize) -> Result<(Tensor<1>, usize)>;

    /// Held-out quality; `quick` looks at a part only.
    fn measure(&self, model: &Self::Model, quick: bool) -> Result<Numbers>;

    /// Writes a Hugging Face folder.
    fn export(&self, model: &Self::Model, dir: &Path) -> Result<()>;
}

/// Trains `model` as configured; gives it back with the seconds that took, over all sittings.
///
/// # Errors
/// [`Error::Interrupted`](crate::Error::Interrupted) after Ctrl-C, when the step is finished and everything is saved.
pub(super) fn train<T: Task>(
    task: &T,
    model: T::Model,
    config: &PretrainConfig,
    device: &Device,
    resume: bool,
) -> Result<(T::Model, f64)> {
    interrupt::install();
    let metrics = config.run_dir.join("metrics.jsonl");
    let settings = &config.train;
    let stage = Stage {
        label: "pretrain".into(),
        section: "train",
        steps: settings.steps,
        accumulation: 1,
        lr: settings.lr,
        warmup_steps: settings.warmup_steps,
        weight_decay: settings.weight_decay,
        max_grad_norm: settings.max_grad_norm,
        seed: config.seed,
        device,
        metrics: &metrics,
        steps_before: 0,
        log_every: settings.log_every,
        checkpoint_every: settings.checkpoint_every,
        checkpoint: Checkpoint {
            dir: config.run_dir.join("checkpoint"),
            fingerprint: fingerprint(config),
        },
        resume,
        keep: Keep {
            last: 1,
            best: false,
        },
        tensorboard: false,
        rates: Rates::default(),
        patience: None,
    };
    let before = if resume {
        seconds_so_far(&metrics)
    } else {
        0.0
    };
    let started = Instant::now();
    let seconds = || before + started.elapsed().as_secs_f64();
    let observe = |model: &T::Model, step: usize| {
        if step == 0 {
            return Ok(None);
        }
        if !step.is_multiple_of(settings.checkpoint_every.max(1)) && step != settings.steps {
            return Ok(None);
        }
        export(task, model, &config.output)?;
        let mut numbers = task.measure(model, true)?;
        numbers.push(("seconds", seconds()));
        Ok(Some(observation(&numbers)))
    };
    let loss = |model: &T::Model, step: usize, scale: f64| {
        let (loss, rows) = task.loss(model, step)?;
        Ok(MicroBatch::of(model, loss, rows, scale))
    };
    let model = run(&stage, model, loss, observe)?;
    Ok((model, seconds()))
}

fn observation(numbers: &Numbers) -> Observation {
    let shown: Vec<String> = numbers
        .iter()
        .map(|(name, value)| format!("{name} {value:.3}"))
        .collect();
    Observation {
        fields: numbers
            .iter()
            .map(|(name, value)| (name.to_string(), json!(value)))
            .collect(),
        message: shown.join(" · "),
        score: None,
    }
}

/// Writes the model's folder, whole or not at all.
pub(super) fn export<T: Task>(task: &T, model: &T::Model, output: &Path) -> Result<()> {
    let staged = StagedDir::new(output)?;
    task.export(model, staged.path())?;
    staged.commit().map(drop)
}

/// What a checkpoint depends on: everything but the places and the rhythm of reports.
fn fingerprint(config: &PretrainConfig) -> Fingerprint {
    let mut leaves = Fingerprint::new();
    if let Ok(value) = serde_json::to_value(config) {
        flatten("", &value, &mut leaves);
    }
    let free = [
        "output",
        "run_dir",
        "data",
        "device",
        "train.log_every",
        "train.checkpoint_every",
    ];
    leaves.retain(|key, _| !free.contains(&key.as_str()));
    leaves
}

fn flatten(key: &str, value: &Value, leaves: &mut Fingerprint) {
    match value {
        Value::Object(table) => {
            for (name, value) in table {
                let separator = if key.is_empty() { "" } else { "." };
                flatten(&format!("{key}{separator}{name}"), value, leaves);
            }
        }
        leaf => {
            leaves.insert(key.to_string(), leaf.to_string());
        }
    }
}

/// Training time that earlier sittings reported last.
fn seconds_so_far(metrics: &Path) -> f64 {
    let text = std::fs::read_to_string(metrics).unwrap_or_default();
    let seconds = |line: &str| {
        serde_json::from_str::<Value>(line)
            .ok()?
            .get("seconds")?
            .as_f64()
    };
    text.lines().filter_map(seconds).next_back().unwrap_or(0.0)
}
