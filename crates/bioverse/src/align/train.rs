//! The training of one projector: an objective over batches of pairs, now and then a look at held-out pairs.

use std::path::Path;

use bioverse_core::Projector;
use burn::prelude::*;

use super::aligner::Aligner;
use super::autoregressive::{Teacher, laid_out};
use super::contrast::Contrast;
use super::measure;
use super::target::{PairVectors, Target};
use crate::config::RunConfig;
use crate::error::{Error, Result};
use crate::train::checkpoint::{Checkpoints, Keep};
use crate::train::seed::mix_name;
use crate::train::{Observation, Stage, steps};

/// Aligns the projector of `target`, the `index`-th of this run, and returns it in training mode.
pub(super) fn projector(
    config: &RunConfig,
    target: &Target,
    index: usize,
    checkpoints: &Checkpoints,
    device: &Device,
) -> Result<Projector> {
    let training = device.clone().autodiff();
    let metrics = config.run.dir.join("metrics.jsonl");
    let stage = stage(
        config,
        &target.name,
        index,
        checkpoints,
        &metrics,
        &training,
    );
    let aligner = Aligner::new(target.projector.clone(), &config.align, &training);
    let aligner = match &target.llm {
        None => {
            let contrast = Contrast::new(&config.align, target, stage.seed, device);
            steps::run(
                &stage,
                aligner,
                |aligner, n, scale| contrast.micro_batch(aligner, n, scale),
                |aligner, step| observed(config, target, aligner, step, device),
            )?
        }
        Some(llm) => {
            let teacher = Teacher::new(llm.clone(), config, target, stage.seed, device)?;
            steps::run(
                &stage,
                aligner,
                |aligner, n, scale| teacher.micro_batch(aligner, n, scale),
                |aligner, step| {
                    let measured = observed(config, target, aligner, step, device)?;
                    teacher.observe(aligner, config, measured)
                },
            )?
        }
    };
    Ok(aligner.projector)
}

/// What is measured at this step, if it is one to measure at.
fn observed(
    config: &RunConfig,
    target: &Target,
    aligner: &Aligner,
    step: usize,
    device: &Device,
) -> Result<Option<Observation>> {
    let align = &config.align;
    match step.is_multiple_of(align.eval_every) || step == align.steps {
        true => measure::measure(target, &aligner.projector, step, config, device),
        false => Ok(None),
    }
}

/// How the `index`-th projector of this run is trained.
fn stage<'a>(
    config: &RunConfig,
    name: &str,
    index: usize,
    checkpoints: &Checkpoints,
    metrics: &'a Path,
    training: &'a Device,
) -> Stage<'a> {
    let align = &config.align;
    Stage {
        label: format!("align {name}"),
        section: "align",
        steps: align.steps,
        accumulation: 1,
        lr: align.lr,
        warmup_steps: align.warmup_steps,
        weight_decay: align.weight_decay,
        max_grad_norm: align.max_grad_norm,
        seed: mix_name(config.run.seed, name),
        device: training,
        metrics,
        steps_before: index * align.steps,
        log_every: config.run.log_every,
        checkpoint_every: config.run.checkpoint_every,
        checkpoint: checkpoints.of(name),
        resume: checkpoints.resume(),
        keep: Keep {
            last: config.run.keep_last,
            best: config.run.keep_best,
        },
        tensorboard: config.run.tensorboard,
        rates: Aligner::rates(),
        patience: align.early_stopping.as_ref().map(|_| align.patience),
    }
}

/// Both sides of `rows` in the metric, `[rows, d]` each.
pub(super) fn vectors(
    target: &Target,
    projector: &Projector,
    pairs: &PairVectors,
    rows: &[usize],
    device: &Device,
) -> Result<(Tensor<2>, Tensor<2>)> {
    let bio = bio(target, projector, pairs, rows, device)?;
    Ok((bio, text(target, pairs, rows, device)?))
}

/// Records of `rows` in the metric, `[rows, d]`.
pub(super) fn bio(
    target: &Target,
    projector: &Projector,
    pairs: &PairVectors,
    rows: &[usize],
    device: &Device,
) -> Result<Tensor<2>> {
    let vectors = match &target.reader {
        Some(reader) => {
            let conversations = laid_out(&pairs.conversations)?;
            reader.vectors(projector, &target.encoded, conversations, rows, device)?
        }
        None => {
            let pooled = pairs.pooled(&target.encoded, rows, device)?;
            target.readout.soft(projector, pooled)
        }
    };
    Ok(target.metric.apply(vectors))
}

/// Texts of `rows` in the metric, `[rows, d]`.
pub(super) fn text(
    target: &Target,
    pairs: &PairVectors,
    rows: &[usize],
    device: &Device,
) -> Result<Tensor<2>> {
    pairs
        .texts_of(rows, device)
        .ok_or_else(|| Error::Run(format!("there are no `{}` texts", target.name)))
}
