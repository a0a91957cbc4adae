//! A RoBERTa encoder of SMILES that learns masked tokens and, from the mean of its states, what the molecule consists of.
//! It knows neither files nor the loop.

use std::cell::RefCell;
use std::path::Path;

use bioverse_core::pad_ids;
use bioverse_molecule::{DESCRIPTOR_LEN, descriptors};
use bioverse_nn::linear::Linear;
use bioverse_nn::weights::StoredDtype;
use bioverse_nn::{EncoderConfig, TransformerEncoder};
use burn::prelude::*;
use burn::tensor::TensorData;
use burn::tensor::activation::log_softmax;
use rand::Rng;
use rayon::prelude::*;
use tokenizers::Tokenizer;

use super::config::PretrainConfig;
use super::corpus::{bucketed, step_rng};
use super::hiding::{Hiding, hide};
use super::smiles::randomized;
use super::trainer::{Numbers, Task};
use super::vocabulary::{self, ROBERTA_PAD};
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
    pub(super) fn init(config: &EncoderConfig, device: &Device) -> Self {
        Self {
            encoder: TransformerEncoder::init(config, device),
            descriptors: Linear::init(config.hidden_size, DESCRIPTOR_LEN, true, 0.02, device),
        }
    }
}

/// A molecule ready for training.
#[derive(Debug, Clone)]
pub(super) struct Molecule {
    pub smiles: String,
    /// With `<s>` and `</s>`.
    pub ids: Vec<u32>,
    /// As [`descriptors`] gives them.
    pub descriptors: Vec<f32>,
}

/// Tokenises and describes molecules; those that are too long or cannot be described are left out.
pub(super) fn prepare(
    smiles: Vec<String>,
    tokenizer: &Tokenizer,
    max_length: usize,
) -> Vec<Molecule> {
    let made = smiles.into_par_iter().filter_map(|smiles| {
        let ids = vocabulary::ids(tokenizer, &smiles).ok()?;
        if ids.len() > max_length {
            return None;
        }
        Some(Molecule {
            descriptors: descriptors(&smiles).ok()?,
            smiles,
            ids,
        })
    });
    made.collect()
}

/// Standardised descriptors beyond this are cut off: a few giant molecules would otherwise drown all others.
const FARTHEST: f32 = 4.0;

/// Mean and spread of every descriptor over the training molecules.
#[derive(Debug, Clone)]
struct Standard {
    mean: Vec<f32>,
    scale: Vec<f32>,
}

impl Standard {
    fn fit(molecules: &[Molecule]) -> Self {
        let count = molecules.len().max(1) as f64;
        let column = |slot: usize| {
            let values = || {
                molecules
                    .iter()
                    .map(move |molecule| f64::from(molecule.descriptors[slot]))
            };
            let mean = values().sum::<f64>() / count;
            let variance = values().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
            // A floor, so that a substructure which one molecule has does not outweigh all others.
            (mean as f32, 1.0 / variance.sqrt().max(0.1) as f32)
        };
        let (mean, scale) = (0..DESCRIPTOR_LEN).map(column).unzip();
        Self { mean, scale }
    }

    fn apply(&self, molecule: &Molecule) -> impl Iterator<Item = f32> {
        let pairs = self.mean.iter().zip(&self.scale);
        let values = molecule.descriptors.iter().zip(pairs);
        values.map(|(value, (mean, scale))| ((value - mean) * scale).clamp(-FARTHEST, FARTHEST))
    }
}

/// Pre-training on molecules.
pub(super) struct MaskedTask {
    pub config: PretrainConfig,
    pub tokenizer: Tokenizer,
    pub train: Vec<Molecule>,
    pub held_out: Vec<Molecule>,
    pub device: Device,
    standard: Standard,
    epoch: RefCell<Option<(usize, Vec<Vec<usize>>)>>,
}

impl MaskedTask {
    /// Joins what a run needs.
    pub(super) fn new(
        config: PretrainConfig,
        tokenizer: Tokenizer,
        train: Vec<Molecule>,
        held_out: Vec<Molecule>,
        device: Device,
    ) -> Self {
        let standard = Standard::fit(&train);
        Self {
            config,
            tokenizer,
            train,
            held_out,
            device,
            standard,
            epoch: RefCell::default(),
        }
    }

    /// The molecules of a step. Lengths decide how many batches an epoch has, so every epoch has the same number.
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
        let lengths: Vec<usize> = self
            .train
            .iter()
            .map(|molecule| molecule.ids.len())
            .collect();
        let mut rng = step_rng(mix(self.config.seed, 1), epoch);
        bucketed(&lengths, self.config.train.batch_tokens, &mut rng)
    }

    /// Ids of a molecule in canonical or in another order.
    fn spelled(&self, molecule: &Molecule, rng: &mut impl Rng) -> Vec<u32> {
        let other = rng
            .random_bool(self.config.masked.randomized)
            .then(|| rng.random());
        let other = other.and_then(|seed| randomized(&molecule.smiles, seed));
        let ids = other.and_then(|smiles| vocabulary::ids(&self.tokenizer, &smiles).ok());
        match ids {
            Some(ids) if ids.len() <= self.config.train.max_length => ids,
            _ => molecule.ids.clone(),
        }
    }

    fn vocab_size(&self) -> u32 {
        self.tokenizer.get_vocab_size(true) as u32
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

    /// Standardised descriptors `[B, DESCRIPTOR_LEN]` of some molecules.
    fn targets(&self, molecules: &[&Molecule]) -> Tensor<2> {
        let values: Vec<f32> = molecules
            .iter()
            .flat_map(|molecule| self.standard.apply(molecule))
            .collect();
        Tensor::from_data(
            TensorData::new(values, [molecules.len(), DESCRIPTOR_LEN]),
            &self.device,
        )
    }

    /// Every held-out molecule once, in batches; `quick` stops after about 500.
    fn held_out_batches(&self, quick: bool) -> Vec<Vec<&Molecule>> {
        let lengths: Vec<usize> = self
            .held_out
            .iter()
            .map(|molecule| molecule.ids.len())
            .collect();
        let tokens = self.config.train.batch_tokens;
        let mut batches = Vec::new();
        let mut seen = 0;
        for batch in bucketed(&lengths, tokens, &mut step_rng(self.config.seed, 0)) {
            if quick && seen >= 500 {
                break;
            }
            seen += batch.len();
            batches.push(batch.iter().map(|index| &self.held_out[*index]).collect());
        }
        batches
    }

    /// Hidden tokens of held-out molecules: with their two true neighbours and what was there.
    pub(super) fn held_out_gaps(&self) -> Vec<([u32; 2], u32)> {
        let mut gaps = Vec::new();
        for (number, batch) in self.held_out_batches(false).iter().enumerate() {
            let rows: Vec<Vec<u32>> = batch.iter().map(|molecule| molecule.ids.clone()).collect();
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
            self.vocab_size(),
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
        let molecules: Vec<&Molecule> = batch.iter().map(|index| &self.train[*index]).collect();
        let rows: Vec<Vec<u32>> = molecules
            .iter()
            .map(|molecule| self.spelled(molecule, &mut rng))
            .collect();
        let hiding = hide(
            rows,
            self.config.masked.mask_probability,
            self.vocab_size(),
            &mut rng,
        );
        let (ids, mask) = pad_ids(&hiding.rows, ROBERTA_PAD, &self.device);
        let states = model.encoder.forward(ids, mask.clone());
        let mean = mean_state(states.clone(), mask);
        let tokens = cross_entropy(
            self.token_log_probs(model, states, &hiding)?,
            &hiding.targets,
        );
        let error = model.descriptors.forward(mean) - self.targets(&molecules);
        let loss = tokens + error.square().mean() * self.config.masked.descriptor_weight;
        Ok((loss, molecules.len()))
    }

    fn measure(&self, model: &Masked, quick: bool) -> Result<Numbers> {
        let model = model.valid();
        let (mut right, mut hidden, mut nats) = (0.0, 0.0, 0.0);
        let (mut error, mut spread) = (0.0, 0.0);
        for (number, batch) in self.held_out_batches(quick).iter().enumerate() {
            let rows: Vec<Vec<u32>> = batch.iter().map(|molecule| molecule.ids.clone()).collect();
            let device = self.device.clone().inner();
            let (ids, mask) = pad_ids(&rows, ROBERTA_PAD, &device);
            let mean = mean_state(model.encoder.forward(ids, mask.clone()), mask);
            let targets = self.targets(batch).to_device(&device);
            error += f64::from(
                (model.descriptors.forward(mean) - targets.clone())
                    .square()
                    .sum()
                    .into_scalar::<f32>(),
            );
            spread += f64::from(targets.square().sum().into_scalar::<f32>());
            let hiding = self.hide_held_out(rows, number);
            let (ids, mask) = pad_ids(&hiding.rows, ROBERTA_PAD, &device);
            let states = model.encoder.forward(ids, mask);
            let log_probs = self.token_log_probs(&model, states, &hiding)?;
            let best: Vec<i64> = log_probs
                .clone()
                .argmax(1)
                .into_data()
                .iter::<i64>()
                .collect();
            let count = best.len() as f64;
            let hits = best
                .iter()
                .zip(&hiding.targets)
                .filter(|(best, target)| **best == i64::from(**target));
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
        let config = vocabulary::molecule_config(self.config.train.max_length);
        vocabulary::write(dir, &self.tokenizer, &config)
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
