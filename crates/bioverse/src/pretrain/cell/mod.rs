//! A scGPT encoder of cells that learns values hidden from it and, from the mean of its states, where a cell lies among others: the
//! principal components of its file. At each visit a cell is seen thinned, as if it had been sequenced less, and with another choice
//! of genes. It knows neither files nor the loop.

mod components;
mod corpus;
mod report;

use std::path::Path;

use bioverse_nn::linear::Linear;
use bioverse_nn::weights::StoredDtype;
use bioverse_single_cell::scgpt::{Preprocessing, save_vocabulary};
use bioverse_single_cell::{ScGptConfig, ScGptEncoder, Tokens};
use burn::prelude::*;
use burn::tensor::TensorData;
use rand::Rng;
use rand::seq::SliceRandom;

use super::config::PretrainConfig;
use super::corpus::step_rng;
use super::trainer::{self, Numbers, Task};
use crate::error::{Error, Result};
use crate::train::seed::{mix, seeded};
use corpus::{CellSample, Cells};

/// What a hidden value is replaced by, as in the published code.
const HIDDEN: f32 = -1.0;
/// Least share of its counts that a thinned cell keeps.
const THINNEST: f64 = 0.7;

/// The encoder, and two heads that export leaves behind.
#[derive(Module, Debug)]
pub(super) struct CellModel {
    encoder: ScGptEncoder,
    values: Linear,
    components: Linear,
}

/// Pre-training on cells.
pub(super) struct CellTask {
    config: PretrainConfig,
    cells: Cells,
    device: Device,
    preprocessing: Preprocessing,
    width: usize,
}

/// A cell as the encoder reads it.
fn tokens(preprocessing: &Preprocessing, counts: &[(u32, f32)]) -> Tokens {
    let (ids, counts): (Vec<u32>, Vec<f32>) = counts.iter().copied().unzip();
    preprocessing.tokens(&ids, &preprocessing.expression(&counts))
}

/// Cells as the encoder gets them, with what it has to tell.
struct Batch {
    ids: Tensor<2, Int>,
    values: Tensor<2>,
    mask: Tensor<2, Bool>,
    /// Bins as a share of the highest, `[B, T]`.
    bins: Tensor<2>,
    /// 1 where a value is hidden.
    hidden: Tensor<2>,
    targets: Vec<f32>,
    rows: usize,
}

/// Runs a whole `kind = "cell"`.
pub(super) fn run(
    config: &PretrainConfig,
    file: &Path,
    device: Device,
    resume: bool,
) -> Result<()> {
    let cells = corpus::cells(config)?;
    tracing::info!(
        train = cells.train.len(),
        held_out = cells.held_out.len(),
        genes = cells.genes.len(),
        "cells"
    );
    if cells.held_out.is_empty() || cells.train.len() < 2 {
        return Err(Error::Input(format!(
            "{}: too few cells to learn from and to hold out; name more files in `[[corpus]]`",
            file.display()
        )));
    }
    let model: ScGptConfig = config.model.clone().try_into().map_err(|error| {
        Error::Input(format!(
            "{}: `[model]` is no scGPT: {error}",
            file.display()
        ))
    })?;
    let task = CellTask::new(config.clone(), cells, &model, device.clone());
    let fresh = seeded(&device, config.seed, || task.init(&model))?;
    let (trained, seconds) = trainer::train(&task, fresh, config, &device, resume)?;
    let card = report::card(&task, &trained, seconds, file)?;
    super::finish(&task, &trained, config, &card)
}

impl CellTask {
    fn new(config: PretrainConfig, cells: Cells, model: &ScGptConfig, device: Device) -> Self {
        let preprocessing = Preprocessing {
            cls: cells.genes.len() as u32 + 1,
            cls_value: model.pad_value,
            n_bins: model.n_bins,
            max_length: model.max_seq_len,
        };
        let width = cells.train.first().map_or(0, |cell| cell.targets.len());
        Self {
            config,
            cells,
            device,
            preprocessing,
            width,
        }
    }

    fn init(&self, config: &ScGptConfig) -> Result<CellModel> {
        // The genes, then <pad>, <cls> and <eoc>.
        let encoder = ScGptEncoder::init(config, self.cells.genes.len() + 3, &self.device)?;
        let linear = |out| Linear::init(config.embsize, out, true, 0.02, &self.device);
        Ok(CellModel {
            encoder,
            values: linear(1),
            components: linear(self.width),
        })
    }

    /// A cell thinned to a share of its counts between [`THINNEST`] and all, each count kept or lost on its own (a count that is no whole
    /// number shrinks instead), and of its genes at most `most`.
    fn visit(&self, cell: &CellSample, most: usize, rng: &mut impl Rng) -> Tokens {
        let share = rng.random_range(THINNEST..1.0);
        let thin =
            |count: f32, rng: &mut dyn rand::RngCore| match count.fract() == 0.0 && count < 64.0 {
                true => (0..count as u32).filter(|_| rng.random_bool(share)).count() as f32,
                false => count * share as f32,
            };
        let mut kept: Vec<(u32, f32)> = vec![];
        for (gene, count) in &cell.counts {
            let count = thin(*count, rng);
            if count > 0.0 {
                kept.push((*gene, count));
            }
        }
        // As the encoder reads a cell; of what it reads, `most` are drawn: not the highest ones.
        let bins = tokens(&self.preprocessing, &kept);
        let mut order: Vec<usize> = (1..bins.input_ids.len()).collect();
        order.shuffle(rng);
        order.truncate(most.saturating_sub(1));
        order.sort_unstable();
        order.insert(0, 0);
        let pick = |at: &usize| (bins.input_ids[*at], bins.values[*at]);
        let (input_ids, values) = order.iter().map(pick).unzip();
        Tokens { input_ids, values }
    }

    /// Pads rows and hides a share of their values.
    fn batch(
        &self,
        rows: &[Tokens],
        cells: &[&CellSample],
        rng: &mut impl Rng,
        device: &Device,
    ) -> Batch {
        let width = rows
            .iter()
            .map(|row| row.input_ids.len())
            .max()
            .unwrap_or(1);
        let (pad, pad_value) = (self.cells.genes.len() as i32, self.preprocessing.cls_value);
        let most = (self.preprocessing.n_bins - 1) as f32;
        let (mut ids, mut values, mut mask) = (vec![], vec![], vec![]);
        let (mut bins, mut hidden) = (vec![], vec![]);
        for row in rows {
            for at in 0..width {
                let here = row.input_ids.get(at).zip(row.values.get(at));
                // `<cls>` has no value to tell.
                let hide = at > 0
                    && here.is_some()
                    && rng.random_bool(self.config.masked.mask_probability);
                ids.push(here.map_or(pad, |(id, _)| *id as i32));
                values.push(match here {
                    Some(_) if hide => HIDDEN,
                    Some((_, value)) => *value,
                    None => pad_value,
                });
                mask.push(here.is_some());
                bins.push(here.map_or(0.0, |(_, value)| value / most));
                hidden.push(f32::from(u8::from(hide)));
            }
        }
        let shape = [rows.len(), width];
        let floats = |values| Tensor::<2>::from_data(TensorData::new(values, shape), device);
        Batch {
            ids: Tensor::from_data(TensorData::new(ids, shape), device),
            values: floats(values),
            mask: Tensor::from_data(TensorData::new(mask, shape), device),
            bins: floats(bins),
            hidden: floats(hidden),
            targets: cells.iter().flat_map(|cell| cell.targets.clone()).collect(),
            rows: rows.len(),
        }
    }

    /// Squared errors: of hidden bins with their number, of known components with theirs.
    fn errors(&self, model: &CellModel, batch: &Batch) -> [(Tensor<1>, f64); 2] {
        let states =
            model
                .encoder
                .forward(batch.ids.clone(), batch.values.clone(), batch.mask.clone());
        let told = model.values.forward(states.clone()).squeeze_dim::<2>(2);
        let bins = ((told - batch.bins.clone()) * batch.hidden.clone())
            .square()
            .sum();
        let count = f64::from(batch.hidden.clone().sum().into_scalar::<f32>());
        let weights = batch.mask.clone().float();
        let weights = weights.clone() / weights.sum_dim(1);
        let mean = weights
            .unsqueeze_dim::<3>(1)
            .matmul(states)
            .squeeze_dim::<2>(1);
        let known: Vec<f32> = batch
            .targets
            .iter()
            .map(|x| f32::from(u8::from(x.is_finite())))
            .collect();
        let values: Vec<f32> = batch
            .targets
            .iter()
            .map(|x| if x.is_finite() { *x } else { 0.0 })
            .collect();
        let all = known.iter().map(|x| f64::from(*x)).sum();
        let device = mean.device();
        let shape = [batch.rows, self.width];
        let tensor = |values| Tensor::<2>::from_data(TensorData::new(values, shape), &device);
        let error = (model.components.forward(mean) - tensor(values)) * tensor(known);
        [(bins, count), (error.square().sum(), all)]
    }

    /// Cells of a step: drawn without regard to what other steps see.
    fn drawn(&self, rng: &mut impl Rng) -> Vec<&CellSample> {
        let train = &self.config.train;
        let rows = (train.batch_tokens / train.max_length).max(1);
        let cells = &self.cells.train;
        (0..rows)
            .map(|_| &cells[rng.random_range(0..cells.len())])
            .collect()
    }
}

impl Task for CellTask {
    type Model = CellModel;

    fn loss(&self, model: &CellModel, step: usize) -> Result<(Tensor<1>, usize)> {
        let mut rng = step_rng(self.config.seed, step);
        let cells = self.drawn(&mut rng);
        let most = self.config.train.max_length;
        let rows: Vec<Tokens> = cells
            .iter()
            .map(|cell| self.visit(cell, most, &mut rng))
            .collect();
        let batch = self.batch(&rows, &cells, &mut rng, &self.device);
        let [(bins, hidden), (components, known)] = self.errors(model, &batch);
        let weight = self.config.masked.descriptor_weight;
        let loss = bins / hidden.max(1.0) + components * (weight / known.max(1.0));
        Ok((loss, batch.rows))
    }

    /// On whole cells; hidden values are measured against the mean of all.
    fn measure(&self, model: &CellModel, quick: bool) -> Result<Numbers> {
        let model = model.valid();
        let device = self.device.clone().inner();
        let most = if quick { 100 } else { usize::MAX };
        let cells: Vec<&CellSample> = self.cells.held_out.iter().take(most).collect();
        let (mut bins, mut components) = ([0.0; 3], [0.0; 2]);
        for (number, part) in cells.chunks(8).enumerate() {
            let mut rng = step_rng(mix(self.config.seed, 2), number);
            let rows: Vec<Tokens> = part
                .iter()
                .map(|cell| tokens(&self.preprocessing, &cell.counts))
                .collect();
            let batch = self.batch(&rows, part, &mut rng, &device);
            let [(error, count), (missed, _)] = self.errors(&model, &batch);
            let shown = batch.bins.clone() * batch.hidden.clone();
            bins[0] += f64::from(error.into_scalar::<f32>());
            bins[1] += f64::from(shown.clone().square().sum().into_scalar::<f32>());
            bins[2] += f64::from(shown.sum().into_scalar::<f32>()).powi(2) / count.max(1.0);
            components[0] += f64::from(missed.into_scalar::<f32>());
            let known = batch.targets.iter().filter(|x| x.is_finite());
            components[1] += known.map(|x| f64::from(x * x)).sum::<f64>();
        }
        Ok(vec![
            ("values_r2", 1.0 - bins[0] / (bins[1] - bins[2])),
            ("components_r2", 1.0 - components[0] / components[1]),
        ])
    }

    fn export(&self, model: &CellModel, dir: &Path) -> Result<()> {
        model.encoder.save(dir, StoredDtype::F16)?;
        let genes: Vec<&str> = self.cells.genes.iter().map(String::as_str).collect();
        save_vocabulary(dir, &genes)?;
        Ok(())
    }
}
