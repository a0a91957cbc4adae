//! Stage 1: a batch of cached encodings through the projector, InfoNCE both ways, backward, clipping, AdamW.

use std::path::PathBuf;

use anyhow::{Context, Result};
use bioverse::align::objective::info_nce;
use bioverse::train::{Schedule, Trainer, gradients};
use bioverse_core::{Projector, ProjectorConfig};
use burn::prelude::*;
use burn::tensor::Distribution;

use crate::{Often, files, measure};

/// Temperature of the objective.
const TEMPERATURE: f64 = 0.07;
/// Rows of a batch are this far apart, a prime, so that every batch gathers from the whole table.
const STRIDE: usize = 2731;

/// What is measured.
#[derive(Debug, clap::Args)]
pub struct Shape {
    /// Where to write.
    dir: PathBuf,
    /// Pairs.
    #[arg(long, default_value_t = 5613)]
    rows: usize,
    /// Width of an encoding.
    #[arg(long, default_value_t = 384)]
    d_hidden: usize,
    /// Width of the projector's inner layers.
    #[arg(long, default_value_t = 1024)]
    inner: usize,
    /// Width of a text vector.
    #[arg(long, default_value_t = 2048)]
    d_model: usize,
}

impl Shape {
    /// `vectors.safetensors`: `bio [rows, d_hidden]`, `text [rows, d_model]`; `projector.safetensors`: a fresh projector.
    pub fn write(&self) -> Result<()> {
        std::fs::create_dir_all(&self.dir)?;
        let device = Device::flex();
        device.seed(1);
        let normal = |width| {
            let shape = [self.rows, width];
            Tensor::<2>::random(shape, Distribution::Normal(0.0, 1.0), &device).into_data()
        };
        let vectors = vec![
            ("bio".to_owned(), normal(self.d_hidden)),
            ("text".to_owned(), normal(self.d_model)),
        ];
        files::write(&self.dir.join("vectors.safetensors"), vectors)?;
        let projector = config(self.inner, 0.0).init(self.d_hidden, self.d_model, &device);
        files::write(
            &self.dir.join("projector.safetensors"),
            projector.to_tensors(),
        )
    }
}

/// The preset of the paper.
pub fn config(inner: usize, dropout: f64) -> ProjectorConfig {
    ProjectorConfig {
        hidden_sizes: vec![inner; 2],
        dropout,
        ..ProjectorConfig::default()
    }
}

/// The projector in `file`, on `device`.
pub fn projector(file: &std::path::Path, dropout: f64, device: &Device) -> Result<Projector> {
    let tensors = files::read(file)?;
    let dims = |name: &str| -> Result<Vec<usize>> {
        let tensor = tensors.get(name);
        let tensor = tensor.with_context(|| format!("{}: no `{name}`", file.display()))?;
        Ok(tensor.shape().to_vec())
    };
    let (first, last) = (dims("fc1.weight")?, dims("fc3.weight")?);
    let fresh = config(first[0], dropout).init(first[1], last[0], device);
    Ok(fresh.load_tensors(&tensors)?)
}

/// Measures it.
#[derive(Debug, clap::Args)]
pub struct Run {
    #[command(flatten)]
    often: Often,
    /// Pairs of a batch.
    #[arg(long, default_value_t = 256)]
    batch: usize,
}

impl Run {
    /// Prints time and memory of a step.
    pub fn run(&self) -> Result<()> {
        let device = Device::flex();
        let training = device.clone().autodiff();
        training.seed(1);
        let dir = &self.often.dir;
        let mut vectors = files::read(&dir.join("vectors.safetensors"))?;
        let mut vector = |name| -> Result<Tensor<2>> {
            Ok(Tensor::from_data(files::take(&mut vectors, name)?, &device))
        };
        let (bio, text) = (vector("bio")?, vector("text")?);
        let rows = bio.dims()[0];
        let file = dir.join("projector.safetensors");
        let mut module = Some(projector(&file, self.often.dropout, &training)?);
        let mut trainer = Trainer::new(Schedule::Constant { lr: 1e-3 }, 0.01, Some(1.0));
        measure::steps(&self.often, |n| {
            let chosen = |i| ((n * self.batch + i) * STRIDE % rows) as i64;
            let chosen: Vec<i64> = (0..self.batch).map(chosen).collect();
            let chosen =
                Tensor::<1, Int>::from_data(TensorData::new(chosen, [self.batch]), &device);
            let current = module.take().context("the last step failed")?;
            let pooled = bio.clone().select(0, chosen.clone()).unsqueeze_dim(1);
            let targets = text.clone().select(0, chosen);
            let (to_text, to_bio) = info_nce(current.embed(pooled), targets, None, TEMPERATURE);
            let loss = (to_text + to_bio) / 2.0;
            let value = loss.clone().into_data().iter::<f64>().sum();
            let grads = gradients(loss, &current);
            module = Some(trainer.step(current, grads)?.0);
            Ok(value)
        })
    }
}
