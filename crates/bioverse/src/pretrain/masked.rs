//! An encoder (RoBERTa, ESM, BERT) that learns masked tokens and, from the mean of its states, what a record consists of and what
//! is written about it. It knows neither files nor the loop, and of records only what [`Alphabet`] tells.

use std::cell::RefCell;
use std::path::Path;

use bioverse_core::pad_ids;
use bioverse_nn::linear::Linear;
use bioverse_nn::weights::StoredDtype;
use bioverse_nn::{EncoderConfig, TransformerEncoder};
use burn::prelude::*;
use burn::tensor::TensorData;
use burn::tensor::activation::log_softmax;
use rand::Rng;

use super::alphabet::{Alphabet, Sample};
use super::config::PretrainConfig;
use super::corpus::{bucketed, step_rng};
use super::hiding::{Hiding, hide};
use super::trainer::{Numbers, Task};
use crate::error::{Error, Result};
use crate::train::seed::mix;

/// The encoder, and a head that export leaves behind.
#[derive(Module, Debug)]
pub(super) struct Masked {
    pub encoder: TransformerEncoder,
    pub descriptors: Linear,
}

impl Masked {
    /// Fresh parameters.
    pub(super) fn init(config: &EncoderConfig, targets: usize, device: &Device) -> Self {
        Self {
            encoder: TransformerEncoder::init(config, device),
            descriptors: Linear::init(config.hidden_size, targets, true, 0.02, device),
        }
    }

    /// With heads that start where `masked.neighbours` says.
    pub(super) fn looking_at(self, offsets: &[i32]) -> Result<Self> {
        Ok(match offsets {
            [] => self,
            _ => Self {
                encoder: self.encoder.looking_at(offsets)?,
                ..self
            },
        })
    }
}

/// Standardised descriptors beyond this are cut off: a few giant records would otherwise drown all others.
const FARTHEST: f32 = 4.0;

/// Mean and spread of every target over the training records that have it.
#[derive(Debug, Clone)]
struct Standard {
    mean: Vec<f32>,
    scale: Vec<f32>,
}

impl Standard {
    fn fit(samples: &[Sample], slots: usize) -> Self {
        let column = |slot: usize| {
            let values = || {
                let values = samples
                    .iter()
                    .map(move |sample| f64::from(sample.targets[slot]));
                values.filter(|value| value.is_finite())
            };
            let count = values().count().max(1) as f64;
            let mean = values().sum::<f64>() / count;
            let variance = values().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
            // A floor, so that what one record has does not outweigh all others.
            (mean as f32, 1.0 / variance.sqrt().max(0.1) as f32)
        };
        let (mean, scale) = (0..slots).map(column).unzip();
        Self { mean, scale }
    }

    fn apply(&self, targets: &[f32]) -> impl Iterator<Item = f32> {
        let pairs = self.mean.iter().zip(&self.scale);
        let values = targets.iter().zip(pairs);
        values.map(|(value, (mean, scale))| ((value - mean) * scale).clamp(-FARTHEST, FARTHEST))
    }
}

/// Pre-training on records.
pub(super) struct MaskedTask {
    pub config: PretrainConfig,
    pub alphabet: Alphabet,
    pub train: Vec<Sample>,
    pub held_out: Vec<Sample>,
    pub device: Device,
    standard: Standard,
    epoch: RefCell<Option<(usize, Vec<Vec<usize>>)>>,
}

impl MaskedTask {
    /// Joins what a run needs.
    pub(super) fn new(
        config: PretrainConfig,
        alphabet: Alphabet,
        train: Vec<Sample>,
        held_out: Vec<Sample>,
        device: Device,
    ) -> Self {
        let standard = Standard::fit(&train, alphabet.target_len());
        Self {
            config,
            alphabet,
            train,
            held_out,
            device,
            standard,
            epoch: RefCell::default(),
        }
    }

    /// The records of a step. Lengths decide how many batches an epoch has, so every epoch has the same number.
    fn batch(&self, step: usize) -> Vec<usize> {
        let mut cache = self.epoch.borrow_mut();
        let (mut at, mut batches) = cache.take().unwrap_or_else(|| (0, self.shuffled(0)));
        let per_epoch = batches.len().max(1);
        if at != step / per_epoch {
            at = step / per_epoch;
            batches = self.shuffled(at);
        }
        let batch = batches.get(step % per_epoch).cloned().unwrap_or_default();
        *cache = Some((at, batches));
        batch
    }

    fn shuffled(&self, epoch: usize) -> Vec<Vec<usize>> {
        let mut rng = step_rng(mix(self.config.seed, 1), epoch);
        let each = self.train.iter().enumerate();
        let shown = each.flat_map(|(index, sample)| std::iter::repeat_n(index, sample.repeat));
        self.bucketed(&self.train, shown.collect(), &mut rng)
    }

    /// Those samples in batches of similar lengths, as the encoder sees them.
    fn bucketed(
        &self,
        samples: &[Sample],
        shown: Vec<usize>,
        rng: &mut impl Rng,
    ) -> Vec<Vec<usize>> {
        let train = &self.config.train;
        let seen = shown
            .iter()
            .map(|index| samples[*index].ids.len().min(train.max_length));
        let batches = bucketed(&seen.collect::<Vec<_>>(), train.batch_tokens, rng);
        let batches = batches.into_iter();
        let of = |batch: Vec<usize>| batch.into_iter().map(|place| shown[place]).collect();
        batches.map(of).collect()
    }

    /// Log-probabilities `[M, vocab]` of the hidden tokens.
    fn token_log_probs(
        &self,
        model: &Masked,
        states: Tensor<3>,
        hiding: &Hiding,
    ) -> Result<Tensor<2>> {
        let [rows, width, hidden] = states.dims();
        let flat: Vec<i32> = hiding
            .places
            .iter()
            .map(|(row, column)| (row * width + column) as i32)
            .collect();
        let count = flat.len();
        let places = Tensor::<1, Int>::from_data(TensorData::new(flat, [count]), &states.device());
        let chosen = states.reshape([rows * width, hidden]).select(0, places);
        let logits = model
            .encoder
            .mlm_logits(chosen.unsqueeze::<3>())
            .ok_or_else(|| Error::Run("the encoder has no language-model head".into()))?;
        Ok(log_softmax(logits.squeeze_dim::<2>(0), 1))
    }

    /// The squared error of standardised targets, summed over what is known, with the number of those and the sum of their own
    /// squares.
    ///
    /// # Shapes
    /// `mean [B, H]`, B rows of targets → `[1]`
    fn target_error(
        &self,
        model: &Masked,
        mean: Tensor<2>,
        targets: &[Vec<f32>],
    ) -> (Tensor<1>, f64, f64) {
        let values: Vec<f32> = targets
            .iter()
            .flat_map(|row| self.standard.apply(row))
            .collect();
        let known: Vec<f32> = values
            .iter()
            .map(|x| f32::from(u8::from(x.is_finite())))
            .collect();
        let values: Vec<f32> = values
            .iter()
            .map(|x| if x.is_finite() { *x } else { 0.0 })
            .collect();
        let count = known.iter().map(|x| f64::from(*x)).sum();
        let spread = values.iter().map(|x| f64::from(x * x)).sum();
        let shape = [targets.len(), self.alphabet.target_len()];
        let device = mean.device();
        let tensor = |values| Tensor::<2>::from_data(TensorData::new(values, shape), &device);
        let error = (model.descriptors.forward(mean) - tensor(values)) * tensor(known);
        (error.square().sum(), count, spread)
    }

    /// Every held-out record once, in batches; `quick` stops after about 500.
    fn held_out_batches(&self, quick: bool) -> Vec<Vec<&Sample>> {
        let mut batches = Vec::new();
        let mut seen = 0;
        let all = (0..self.held_out.len()).collect();
        for batch in self.bucketed(&self.held_out, all, &mut step_rng(self.config.seed, 0)) {
            if quick && seen >= 500 {
                break;
            }
            seen += batch.len();
            batches.push(batch.iter().map(|index| &self.held_out[*index]).collect());
        }
        batches
    }

    /// Tokens and targets of held-out records.
    fn plain(&self, batch: &[&Sample]) -> (Vec<Vec<u32>>, Vec<Vec<f32>>) {
        let length = self.config.train.max_length;
        batch
            .iter()
            .map(|sample| self.alphabet.plain(sample, length))
            .unzip()
    }

    /// Hidden tokens of held-out records: with their two true neighbours and what was there.
    pub(super) fn held_out_gaps(&self) -> Vec<([u32; 2], u32)> {
        let mut gaps = Vec::new();
        for (number, batch) in self.held_out_batches(false).iter().enumerate() {
            let (rows, _) = self.plain(batch);
            let hiding = self.hide_held_out(rows.clone(), number);
            for ((row, column), target) in hiding.places.iter().zip(hiding.targets) {
                gaps.push(([rows[*row][column - 1], rows[*row][column + 1]], target));
            }
        }
        gaps
    }

    /// The same tokens are hidden at every measurement.
    fn hide_held_out(&self, rows: Vec<Vec<u32>>, number: usize) -> Hiding {
        let mut rng = step_rng(mix(self.config.seed, 2), number);
        hide(
            rows,
            self.config.masked.mask_probability,
            &self.alphabet.specials(),
            &mut rng,
        )
    }
}

/// The mean of the states of real tokens. A matrix product, because Burn multiplies faster than it adds on the CPU.
///
/// # Shapes
/// `states [B, T, H]`, `mask [B, T]` → `[B, H]`
fn mean_state(states: Tensor<3>, mask: Tensor<2, Bool>) -> Tensor<2> {
    let mask = mask.float();
    let weights = mask.clone() / mask.sum_dim(1);
    weights
        .unsqueeze_dim::<3>(1)
        .matmul(states)
        .squeeze_dim::<2>(1)
}

/// Mean negative log-probability of `targets`.
///
/// # Shapes
/// `log_probs [M, vocab]` → `[1]`
fn cross_entropy(log_probs: Tensor<2>, targets: &[u32]) -> Tensor<1> {
    let targets: Vec<i32> = targets.iter().map(|id| *id as i32).collect();
    let data = TensorData::new(targets, [log_probs.dims()[0], 1]);
    let targets = Tensor::<2, Int>::from_data(data, &log_probs.device());
    log_probs.gather(1, targets).mean().neg()
}

impl Task for MaskedTask {
    type Model = Masked;

    fn loss(&self, model: &Masked, step: usize) -> Result<(Tensor<1>, usize)> {
        let batch = self.batch(step);
        let mut rng = step_rng(self.config.seed, step);
        let (masked, length) = (&self.config.masked, self.config.train.max_length);
        let visits = batch.iter().map(|index| {
            let sample = &self.train[*index];
            self.alphabet
                .visit(sample, masked.randomized, length, &mut rng)
        });
        let (rows, targets): (Vec<_>, Vec<_>) = visits.unzip();
        let specials = self.alphabet.specials();
        let hiding = hide(rows, masked.mask_probability, &specials, &mut rng);
        let (ids, mask) = pad_ids(&hiding.rows, specials.pad, &self.device);
        let states = model.encoder.forward(ids, mask.clone());
        let mean = mean_state(states.clone(), mask);
        let log_probs = self.token_log_probs(model, states, &hiding)?;
        let tokens = cross_entropy(log_probs, &hiding.targets);
        let (error, known, _) = self.target_error(model, mean, &targets);
        let loss = tokens + error * (masked.descriptor_weight / known.max(1.0));
        Ok((loss, batch.len()))
    }

    fn measure(&self, model: &Masked, quick: bool) -> Result<Numbers> {
        let model = model.valid();
        let device = self.device.clone().inner();
        let pad = self.alphabet.specials().pad;
        let (mut right, mut hidden, mut nats) = (0.0, 0.0, 0.0);
        let (mut error, mut spread) = (0.0, 0.0);
        for (number, batch) in self.held_out_batches(quick).iter().enumerate() {
            let (rows, targets) = self.plain(batch);
            let (ids, mask) = pad_ids(&rows, pad, &device);
            let mean = mean_state(model.encoder.forward(ids, mask.clone()), mask);
            let (sum, _, squares) = self.target_error(&model, mean, &targets);
            error += f64::from(sum.into_scalar::<f32>());
            spread += squares;
            let hiding = self.hide_held_out(rows, number);
            let (ids, mask) = pad_ids(&hiding.rows, pad, &device);
            let states = model.encoder.forward(ids, mask);
            let log_probs = self.token_log_probs(&model, states, &hiding)?;
            let best = log_probs.clone().argmax(1).into_data();
            let best: Vec<i64> = best.iter::<i64>().collect();
            let pairs = best.iter().zip(&hiding.targets);
            let hits = pairs.filter(|(best, target)| **best == i64::from(**target));
            let count = best.len() as f64;
            right += hits.count() as f64;
            nats +=
                count * f64::from(cross_entropy(log_probs, &hiding.targets).into_scalar::<f32>());
            hidden += count;
        }
        Ok(vec![
            ("masked_accuracy", right / hidden),
            ("masked_loss", nats / hidden),
            ("descriptor_r2", 1.0 - error / spread),
        ])
    }

    fn export(&self, model: &Masked, dir: &Path) -> Result<()> {
        model.encoder.save(dir, StoredDtype::F16)?;
        self.alphabet.write(dir, self.config.train.max_length)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn padding_does_not_enter_the_mean() {
        let device = Device::flex();
        let states = Tensor::<3>::from_floats([[[1.0, 2.0], [3.0, 6.0], [99.0, 99.0]]], &device);
        let mask = Tensor::<2, Bool>::from_data([[true, true, false]], &device);
        let mean: Vec<f32> = mean_state(states, mask).into_data().iter::<f32>().collect();
        assert_eq!(mean, [2.0, 4.0]);
    }

    #[test]
    fn cross_entropy_of_a_uniform_guess_is_the_log_of_the_vocabulary() {
        let log_probs = log_softmax(Tensor::<2>::zeros([3, 8], &Device::flex()), 1);
        let loss = cross_entropy(log_probs, &[0, 7, 3]).into_scalar::<f32>();
        assert!((loss - 8f32.ln()).abs() < 1e-6);
    }
}
