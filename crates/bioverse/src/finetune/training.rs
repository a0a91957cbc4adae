//! The training itself: which rows, which loss, which gradients, and what is measured on the way. It knows neither files
//! nor bundles.

use std::collections::BTreeMap;
use std::path::Path;

use bioverse_core::Layout;
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::prelude::*;

use super::sides::Sides;
use super::{rates, sampling};
use crate::config::{FinetuneSection, RunConfig};
use crate::data::{EncodedStore, spread};
use crate::error::Result;
use crate::instructions::Rows;
use crate::model::Bioverse;
use crate::train::checkpoint::{Checkpoints, Keep};
use crate::train::seed::{mix, mix_name};
use crate::train::{Accumulator, MicroBatch, MixedOrder, Observation, Stage, steps};

/// The order in which rows come, a function of the seed alone.
///
/// # Errors
/// A weight of something that is not there.
pub(super) fn order(config: &RunConfig, rows: &Rows, room: usize) -> Result<MixedOrder> {
    let finetune = &config.finetune;
    let sources: Vec<f64> = config
        .data
        .sources()
        .iter()
        .map(|(_, weight)| *weight)
        .collect();
    let mut order = MixedOrder::new(rows.lengths.clone(), finetune.batch_size, seed(config));
    if let Some(weights) = sampling::weights(finetune, &sources, rows)? {
        order = order.weighted(&weights);
    }
    Ok(match finetune.packing {
        true => order.packed(room),
        false => order,
    })
}

fn seed(config: &RunConfig) -> u64 {
    mix_name(config.run.seed, "finetune")
}

/// All that a training needs but the model.
pub(super) struct Training<'a> {
    pub config: &'a RunConfig,
    pub rows: &'a Sides,
    pub order: MixedOrder,
    pub encoded: &'a BTreeMap<String, EncodedStore>,
    pub checkpoints: &'a Checkpoints,
    pub device: &'a Device,
}

impl Training<'_> {
    /// Trains `model`.
    pub fn run(self, model: Bioverse) -> Result<Bioverse> {
        let (rows, encoded, device) = (self.rows, self.encoded, self.device);
        let (finetune, training) = (&self.config.finetune, device.clone().autodiff());
        let metrics = self.config.run.dir.join("metrics.jsonl");
        let layers = model.llm.config().num_hidden_layers;
        let stage = stage(self.config, self.checkpoints, layers, &metrics, &training);
        let mut order = self.order;
        steps::run(
            &stage,
            model,
            |model, n, scale| {
                let sequences = order.batch(n);
                let layout = rows.train.sequences(&sequences)?;
                let rows = sequences.iter().map(Vec::len).sum();
                if finetune.gradient_checkpointing {
                    let seed = mix(mix_name(stage.seed, "dropout"), n as u64);
                    return recomputed(model, &layout, encoded, &training, seed, rows, scale);
                }
                let loss = model.loss(&layout, encoded, &training)?;
                Ok(MicroBatch::of(model, loss, rows, scale))
            },
            |model, step| match &rows.held_out {
                Some(held_out) if due(finetune, step) => {
                    held_out_loss(&model.valid(), held_out, encoded, finetune, device).map(Some)
                }
                _ => Ok(None),
            },
        )
    }
}

/// Whether the held-out rows are measured after `step`; before the first step only where the course is of interest.
fn due(finetune: &FinetuneSection, step: usize) -> bool {
    let every = finetune.eval_every;
    step == finetune.steps || (every > 0 && step.is_multiple_of(every))
}

/// The micro-batch of [`Bioverse::loss`] with little memory: layers are computed twice, their activations never kept.
fn recomputed(
    model: &Bioverse,
    layout: &Layout,
    encoded: &BTreeMap<String, EncodedStore>,
    training: &Device,
    seed: u64,
    rows: usize,
    scale: f64,
) -> Result<MicroBatch> {
    let embeds = model.inputs_embeds(layout, encoded, training)?;
    let segments = layout.segments(&training.clone().inner());
    let pass = model.llm.checkpointed(embeds.clone(), segments, seed);
    let output = pass.output();
    let loss = model.target_loss(pass.normed(output.clone()), &layout.targets())?;
    let value = loss.clone().into_data().iter::<f64>().sum();
    let mut sum = Accumulator::new();
    let mut add = |found| sum.add(model, GradientsParams::from_grads(found, model));
    let gradients = (loss * scale).backward();
    let last = output.grad(&gradients);
    add(gradients);
    if let Some(last) = last {
        let first = pass.backward(last, &mut add);
        if embeds.is_tracked() {
            add((embeds * Tensor::from_inner(first)).sum().backward());
        }
    }
    Ok(MicroBatch {
        loss: value,
        grads: sum.take(),
        rows,
        fields: Default::default(),
    })
}

fn stage<'a>(
    config: &RunConfig,
    checkpoints: &Checkpoints,
    layers: usize,
    metrics: &'a Path,
    training: &'a Device,
) -> Stage<'a> {
    let finetune = &config.finetune;
    Stage {
        label: "finetune".into(),
        section: "finetune",
        steps: finetune.steps,
        accumulation: finetune.accumulation,
        lr: finetune.lr,
        warmup_steps: finetune.warmup_steps,
        weight_decay: finetune.weight_decay,
        max_grad_norm: finetune.max_grad_norm,
        seed: seed(config),
        device: training,
        metrics,
        steps_before: 0,
        log_every: config.run.log_every,
        checkpoint_every: config.run.checkpoint_every,
        checkpoint: checkpoints.of("finetune"),
        resume: checkpoints.resume(),
        keep: Keep {
            last: config.run.keep_last,
            best: config.run.keep_best,
        },
        tensorboard: config.run.tensorboard,
        rates: rates::rates(finetune, layers),
        patience: finetune.early_stopping.then_some(finetune.patience),
    }
}

/// Mean loss per answer token over held-out rows, and the share of answer tokens that are the most probable ones, each given
/// the true answer in front of it.
fn held_out_loss(
    model: &Bioverse,
    rows: &Rows,
    encoded: &BTreeMap<String, EncodedStore>,
    finetune: &FinetuneSection,
    device: &Device,
) -> Result<Observation> {
    let mut chosen = spread(rows.len(), finetune.eval_rows);
    chosen.sort_by_key(|row| rows.lengths[*row]);
    let (mut sum, mut right, mut count) = (0.0, 0, 0);
    for batch in chosen.chunks(finetune.batch_size.max(1)) {
        let layout = rows.layout(batch)?;
        let scores = model.scores(&layout, encoded, device)?;
        sum += scores.iter().map(|score| score.loss).sum::<f64>();
        right += scores.iter().filter(|score| score.right).count();
        count += scores.len();
    }
    let loss = sum / count.max(1) as f64;
    let accuracy = right as f64 / count.max(1) as f64;
    let rows = chosen.len();
    let mut observation = Observation {
        message: format!(
            "held-out loss {loss:.4}, {:.1} % of tokens right, over {rows} rows",
            100.0 * accuracy
        ),
        score: Some(-loss),
        ..Observation::default()
    };
    let fields = &mut observation.fields;
    fields.insert("held_out_loss".into(), loss.into());
    fields.insert("held_out_accuracy".into(), accuracy.into());
    fields.insert("held_out_rows".into(), rows.into());
    Ok(observation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_always_measured_and_the_course_only_where_asked_for() {
        let finetune = |eval_every| FinetuneSection {
            steps: 10,
            eval_every,
            ..FinetuneSection::default()
        };
        let measured = |every| {
            (0..=10)
                .filter(|step| due(&finetune(every), *step))
                .collect::<Vec<_>>()
        };
        assert_eq!(measured(0), [10]);
        assert_eq!(measured(4), [0, 4, 8, 10]);
    }
}
