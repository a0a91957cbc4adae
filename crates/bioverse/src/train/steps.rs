//! The loop of a training stage: micro-batches, step, metrics, checkpoints, Ctrl-C. Knows neither what is trained nor
//! on what: the stage gives a loss for the n-th micro-batch.

use std::path::Path;
use std::time::Instant;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::prelude::*;

use super::checkpoint::{Checkpoint, Keep};
use super::gradients::{Accumulator, gradients};
use super::optimizer::{StepReport, Trainer};
use super::rates::Rates;
use super::schedule::Schedule;
use super::seed::mix;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::telemetry::{Fields, MetricsWriter, Progress};

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

/// Trains `module`.
///
/// `loss(module, n, scale)` computes the n-th micro-batch since the beginning of training, its gradients multiplied by
/// `scale`; it must depend on nothing but `n` and the module, so that a resumed run equals one that never stopped.
/// `observe(module, step)` is asked before the first step (`step` 0) and after every step.
///
/// # Errors
/// When the loss or a gradient is not a number, a file cannot be written, or the run is interrupted (after a checkpoint).
pub fn run<M: Module>(
    stage: &Stage<'_>,
    mut module: M,
    mut loss: impl FnMut(&M, usize, f64) -> Result<MicroBatch>,
    mut observe: impl FnMut(&M, usize) -> Result<Option<Observation>>,
) -> Result<M> {
    let mut trainer = stage.trainer();
    if stage.resume && stage.checkpoint.exists() {
        let moments = stage.device.clone().inner();
        module = stage.checkpoint.load(module, &mut trainer, &moments)?;
    }
    if trainer.step >= stage.steps {
        return Ok(module);
    }
    let mut log = Log::open(stage, trainer.step)?;
    if trainer.step == 0
        && let Some(observation) = observe(&module, 0)?
    {
        log.before(stage, observation)?;
    }
    while trainer.step < stage.steps {
        let (next, report) = step(stage, &mut trainer, module, &mut loss)?;
        module = next;
        let done = trainer.step;
        let observation = observe(&module, done)?;
        log.step(stage, done, &report, observation)?;
        let interrupted = interrupt::requested() && done < stage.steps;
        let due = stage.checkpoint_every > 0 && done.is_multiple_of(stage.checkpoint_every);
        if interrupted || due || done == stage.steps {
            stage.checkpoint.save(&module, &trainer)?;
        }
        if interrupted {
            return Err(Error::Interrupted {
                step: done,
                saved: format!(
                    "checkpoint in {}; go on with the same command and --resume",
                    stage.checkpoint.dir.display()
                ),
            });
        }
    }
    log.finish();
    Ok(module)
}

/// What happened in one optimiser step.
struct Done {
    loss: f64,
    rows: usize,
    report: StepReport,
    fields: Fields,
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

/// Progress bar and metrics of one run of the loop.
struct Log {
    metrics: MetricsWriter,
    progress: Progress,
    since: Instant,
    rows: usize,
    loss: f64,
    message: String,
}

impl Log {
    fn open(stage: &Stage<'_>, done: usize) -> Result<Self> {
        Ok(Self {
            metrics: MetricsWriter::open(stage.metrics, Some(stage.steps_before + done + 1))?,
            progress: Progress::new(&stage.label, stage.steps),
            since: Instant::now(),
            rows: 0,
            loss: f64::NAN,
            message: String::new(),
        })
    }

    /// What was seen before the first step.
    fn before(&mut self, stage: &Stage<'_>, observation: Observation) -> Result<()> {
        let mut fields = Fields::new();
        fields.insert("step".into(), stage.steps_before.into());
        fields.insert("stage".into(), stage.label.as_str().into());
        fields.extend(observation.fields);
        self.message = format!(" · {}", observation.message);
        self.metrics.write(fields)
    }

    fn step(
        &mut self,
        stage: &Stage<'_>,
        step: usize,
        done: &Done,
        observation: Option<Observation>,
    ) -> Result<()> {
        self.rows += done.rows;
        self.loss = done.loss;
        let rate = self.rows as f64 / self.since.elapsed().as_secs_f64().max(1e-9);
        let observed = observation.map(|observation| {
            self.message = format!(" · {}", observation.message);
            observation.fields
        });
        let seen = &self.message;
        self.progress.set(
            step,
            &format!("loss {:.4} · {rate:.0} rows/s{seen}", done.loss),
        );
        let every = stage.log_every.max(1);
        if observed.is_none() && step != 1 && step != stage.steps && !step.is_multiple_of(every) {
            return Ok(());
        }
        let mut fields = Fields::new();
        fields.insert("step".into(), (stage.steps_before + step).into());
        fields.insert("stage".into(), stage.label.as_str().into());
        fields.insert("loss".into(), done.loss.into());
        fields.insert("lr".into(), done.report.lr.into());
        fields.insert("grad_norm".into(), done.report.grad_norm.into());
        fields.insert("rows_per_s".into(), rate.into());
        fields.extend(done.fields.clone());
        fields.extend(observed.unwrap_or_default());
        self.metrics.write(fields)
    }

    fn finish(mut self) {
        let message = format!("loss {:.4}{}", self.loss, self.message);
        self.progress.finish(&message);
    }
}
