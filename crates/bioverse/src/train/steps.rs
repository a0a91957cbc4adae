//! The loop of a training stage: micro-batches, step, measurements, checkpoints, early stopping, Ctrl-C. Knows neither what is trained nor
//! on what: the stage gives a loss for the n-th micro-batch.

use std::path::Path;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::prelude::*;

use super::checkpoint::{Checkpoint, Keep, Standing};
use super::gradients::{Accumulator, gradients};
use super::log::Log;
use super::optimizer::{StepReport, Trainer};
use super::rates::Rates;
use super::schedule::Schedule;
use super::seed::mix;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::telemetry::Fields;

/// How one training goes. The learning rate warms up along a line and falls along a cosine.
#[derive(Debug)]
pub struct Stage<'a> {
    /// What the progress bar says.
    pub label: String,
    /// The configuration section that holds the learning rate (`align`, `finetune`), for messages.
    pub section: &'a str,
    /// Optimiser steps.
    pub steps: usize,
    /// Micro-batches per step.
    pub accumulation: usize,
    /// Peak learning rate.
    pub lr: f64,
    /// Steps of warm-up.
    pub warmup_steps: usize,
    /// AdamW decay.
    pub weight_decay: f64,
    /// Gradients are clipped to this global norm.
    pub max_grad_norm: f64,
    /// Seed of everything random within a step.
    pub seed: u64,
    /// Where dropout draws.
    pub device: &'a Device,
    /// `metrics.jsonl`.
    pub metrics: &'a Path,
    /// Steps of trainings that came before in the same `metrics.jsonl`.
    pub steps_before: usize,
    /// Steps between lines of metrics.
    pub log_every: usize,
    /// Steps between checkpoints; 0 = only when interrupted and at the end.
    pub checkpoint_every: usize,
    /// Where checkpoints go.
    pub checkpoint: Checkpoint,
    /// Go on from the checkpoint.
    pub resume: bool,
    /// Which checkpoints stay.
    pub keep: Keep,
    /// TensorBoard event files beside the metrics.
    pub tensorboard: bool,
    /// Learning rates that differ from `lr`, by parameter path.
    pub rates: Rates,
    /// Stop after this many measurements without a better score, and keep the best.
    pub patience: Option<usize>,
}

/// One micro-batch's result.
pub struct MicroBatch {
    /// Mean loss.
    pub loss: f64,
    /// Gradients of the loss times the scale that was asked for.
    pub grads: GradientsParams,
    /// Rows it was computed from.
    pub rows: usize,
    /// Into `metrics.jsonl`, beside the loss.
    pub fields: Fields,
}

impl MicroBatch {
    /// Goes back through `loss`, `[1]`, times `scale`.
    pub fn of<M: Module>(module: &M, loss: Tensor<1>, rows: usize, scale: f64) -> Self {
        let value = loss.clone().into_data().iter::<f64>().sum();
        Self {
            loss: value,
            grads: gradients(loss * scale, module),
            rows,
            fields: Fields::new(),
        }
    }
}

/// What a stage wants to say about the module at some step.
#[derive(Debug, Default)]
pub struct Observation {
    /// Into `metrics.jsonl`.
    pub fields: Fields,
    /// Onto the progress bar.
    pub message: String,
    /// How good the module is, higher being better; `None` = nothing to choose by.
    pub score: Option<f64>,
}

/// Trains `module` and returns it as it is after the last step; with [`Stage::patience`], as it was measured best.
///
/// `loss(module, n, scale)` computes the n-th micro-batch since the beginning of training, its gradients multiplied by
/// `scale`; it must depend on nothing but `n` and the module, so that a resumed run equals one that never stopped.
/// `observe(module, step)` is asked before the first step (`step` 0) and after every step; it too must depend on nothing
/// but these. The score of step 0 is not compared: a run that only gets worse still returns something trained.
///
/// # Errors
/// When the loss or a gradient is not a number, a file cannot be written, or the run is interrupted (after a checkpoint).
pub fn run<M: Module>(
    stage: &Stage<'_>,
    module: M,
    loss: impl FnMut(&M, usize, f64) -> Result<MicroBatch>,
    observe: impl FnMut(&M, usize) -> Result<Option<Observation>>,
) -> Result<M> {
    let mut trainer = stage.trainer();
    let (mut module, mut standing) = (module, Standing::default());
    if !stage.resume {
        stage.checkpoint.clear()?;
    } else if stage.checkpoint.exists() {
        let moments = stage.device.clone().inner();
        (module, standing) = stage.checkpoint.load(module, &mut trainer, &moments)?;
    }
    if !stage.over(&trainer, &standing) {
        module = train(stage, module, &mut trainer, &mut standing, loss, observe)?;
    }
    match standing.best {
        Some(best) if stage.patience.is_some() && best.step != trainer.step => {
            tracing::info!(
                "{}: the best measurement was that of step {}; going back to it",
                stage.label,
                best.step
            );
            stage.checkpoint.params(module, best.step)
        }
        _ => Ok(module),
    }
}

fn train<M: Module>(
    stage: &Stage<'_>,
    mut module: M,
    trainer: &mut Trainer,
    standing: &mut Standing,
    mut loss: impl FnMut(&M, usize, f64) -> Result<MicroBatch>,
    mut observe: impl FnMut(&M, usize) -> Result<Option<Observation>>,
) -> Result<M> {
    let mut log = Log::open(stage, trainer.step, standing.seconds)?;
    if trainer.step == 0
        && let Some(observation) = observe(&module, 0)?
    {
        log.before(stage, observation)?;
    }
    while !stage.over(trainer, standing) {
        let (next, report) = step(stage, trainer, module, &mut loss)?;
        module = next;
        let done = trainer.step;
        let observation = observe(&module, done)?;
        let score = observation.as_ref().and_then(|seen| seen.score);
        let improved = score.is_some_and(|score| standing.measured(done, score));
        log.step(stage, done, &report, observation)?;
        standing.seconds = log.seconds();
        let over = stage.over(trainer, standing);
        let interrupted = interrupt::requested() && !over;
        let due = stage.checkpoint_every > 0 && done.is_multiple_of(stage.checkpoint_every);
        let keep = stage.keep();
        if interrupted || due || over || (improved && keep.best) {
            stage.checkpoint.save(&module, trainer, standing, keep)?;
        }
        if interrupted {
            return Err(stage.interrupted(done));
        }
    }
    log.finish(stage, trainer.step);
    if trainer.step < stage.steps {
        tracing::info!(
            "{}: stopped after step {} of {}, {} measurements without a better one",
            stage.label,
            trainer.step,
            stage.steps,
            standing.worse
        );
    }
    Ok(module)
}

/// What happened in one optimiser step.
pub(super) struct Done {
    /// Mean loss of its micro-batches.
    pub loss: f64,
    /// Rows of all of them.
    pub rows: usize,
    /// What the optimiser did.
    pub report: StepReport,
    /// What the stage says beside the loss.
    pub fields: Fields,
}

fn step<M: Module>(
    stage: &Stage<'_>,
    trainer: &mut Trainer,
    module: M,
    loss: &mut impl FnMut(&M, usize, f64) -> Result<MicroBatch>,
) -> Result<(M, Done)> {
    let accumulation = stage.accumulation.max(1);
    stage.device.seed(mix(stage.seed, trainer.step as u64));
    let mut sum = Accumulator::new();
    let (mut total, mut rows, mut fields) = (0.0, 0, Fields::new());
    for micro in 0..accumulation {
        let scale = 1.0 / accumulation as f64;
        let batch = loss(&module, trainer.step * accumulation + micro, scale)?;
        if !batch.loss.is_finite() {
            return Err(stage.no_number(trainer.step + 1, batch.loss));
        }
        total += batch.loss * scale;
        rows += batch.rows;
        fields.extend(batch.fields);
        sum.add(&module, batch.grads);
    }
    let (module, report) = trainer
        .step(module, sum.take())
        .map_err(|error| stage.explain(error))?;
    let done = Done {
        loss: total,
        rows,
        report,
        fields,
    };
    Ok((module, done))
}

impl Stage<'_> {
    fn trainer(&self) -> Trainer {
        let schedule = Schedule::WarmupCosine {
            lr: self.lr,
            warmup_steps: self.warmup_steps,
            steps: self.steps,
        };
        Trainer::new(schedule, self.weight_decay, Some(self.max_grad_norm))
            .with_rates(self.rates.clone())
    }

    /// Whether there is nothing left to do.
    fn over(&self, trainer: &Trainer, standing: &Standing) -> bool {
        trainer.step >= self.steps || standing.lost_patience(self.patience)
    }

    /// Who may have to go back to the best one needs it kept.
    fn keep(&self) -> Keep {
        Keep {
            best: self.keep.best || self.patience.is_some(),
            ..self.keep
        }
    }

    fn interrupted(&self, step: usize) -> Error {
        Error::Interrupted {
            step,
            saved: format!(
                "checkpoint in {}; go on with {}",
                self.checkpoint.dir.display(),
                interrupt::resume_command()
            ),
        }
    }

    /// Adds to an error of the optimiser which value to change.
    fn explain(&self, error: Error) -> Error {
        match error {
            Error::Run(problem) => Error::Run(format!(
                "{}: {problem} (`{}.lr` is {})",
                self.label, self.section, self.lr
            )),
            other => other,
        }
    }

    fn no_number(&self, step: usize, value: f64) -> Error {
        Error::Run(format!(
            "{}: the loss of step {step} is {value}; lower `{}.lr` (now {}) or raise `{}.warmup_steps` (now {})",
            self.label, self.section, self.lr, self.section, self.warmup_steps
        ))
    }
}

#[cfg(test)]
mod tests;
