//! Stage 2: text and soft tokens through a decoder with LoRA on every linear layer, cross-entropy on the answers, backward,
//! clipping, AdamW on the adapters and the projector.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bioverse::model::Bioverse;
use bioverse::train::{Accumulator, Schedule, Trainer, gradients};
use bioverse_core::{Group, Layout, PadSide, Row, Slot};
use bioverse_nn::weights::StoredDtype;
use bioverse_nn::{CausalLm, DecoderConfig, LoraConfig};
use burn::optim::GradientsParams;
use burn::prelude::*;
use burn::tensor::Distribution;

use crate::{Often, files, measure, stage1};

/// Where the record's soft tokens begin in a row.
const SOFT_AT: usize = 8;
/// Dropout of the adapters where there is any.
const DROPOUT: f64 = 0.05;

/// What is measured. The defaults have the shape of SmolLM-135M.
#[derive(Debug, clap::Args)]
pub struct Shape {
    /// Where to write.
    dir: PathBuf,
    #[arg(long, default_value_t = 30)]
    layers: usize,
    #[arg(long, default_value_t = 576)]
    hidden: usize,
    #[arg(long, default_value_t = 9)]
    heads: usize,
    #[arg(long, default_value_t = 3)]
    kv_heads: usize,
    #[arg(long, default_value_t = 1536)]
    mlp: usize,
    #[arg(long, default_value_t = 49152)]
    vocab: usize,
    /// Rank of the adapters.
    #[arg(long, default_value_t = 8)]
    rank: usize,
    /// Rows of a batch.
    #[arg(long, default_value_t = 8)]
    batch: usize,
    /// Tokens of a row.
    #[arg(long, default_value_t = 256)]
    tokens: usize,
    /// Soft tokens of a record.
    #[arg(long, default_value_t = 4)]
    soft: usize,
    /// Width of an encoding.
    #[arg(long, default_value_t = 384)]
    d_hidden: usize,
    /// Width of the projector's inner layers.
    #[arg(long, default_value_t = 1024)]
    inner: usize,
}

impl Shape {
    fn decoder(&self) -> DecoderConfig {
        DecoderConfig {
            hidden_size: self.hidden,
            intermediate_size: self.mlp,
            num_hidden_layers: self.layers,
            num_attention_heads: self.heads,
            num_key_value_heads: self.kv_heads,
            head_dim: self.hidden / self.heads,
            vocab_size: self.vocab,
            max_position_embeddings: 2048,
            ..DecoderConfig::default()
        }
    }

    /// `lm`, a Hugging Face folder; `adapter` and `adapter-dropout`, PEFT folders; `projector.safetensors`;
    /// `batch.safetensors`: `ids [batch, tokens]`, `pooled [batch, soft, d_hidden]`.
    pub fn write(&self) -> Result<()> {
        std::fs::create_dir_all(&self.dir)?;
        let device = Device::flex();
        device.seed(2);
        let lm = CausalLm::init(&self.decoder(), &device);
        lm.save(&self.dir.join("lm"), StoredDtype::F32)?;
        let lora = |lora_dropout| LoraConfig {
            r: self.rank,
            lora_alpha: 2.0 * self.rank as f64,
            lora_dropout,
            target_modules: vec!["all-linear".to_owned()],
            ..LoraConfig::default()
        };
        let lm = lm.apply_lora(&lora(0.0), &device)?;
        let base = self.dir.join("lm").display().to_string();
        lm.save_adapter(&self.dir.join("adapter"), &lora(0.0), &base)?;
        lm.save_adapter(&self.dir.join("adapter-dropout"), &lora(DROPOUT), &base)?;
        let fresh = stage1::config(self.inner, 0.0).init(self.d_hidden, self.hidden, &device);
        files::write(&self.dir.join("projector.safetensors"), fresh.to_tensors())?;
        let ids = (0..self.batch * self.tokens).map(|n| (n * 7919 % self.vocab) as f32);
        let ids = TensorData::new(ids.collect::<Vec<_>>(), [self.batch, self.tokens]);
        let shape = [self.batch, self.soft, self.d_hidden];
        let pooled = Tensor::<3>::random(shape, Distribution::Normal(0.0, 1.0), &device);
        let batch = vec![
            ("ids".to_owned(), ids),
            ("pooled".to_owned(), pooled.into_data()),
        ];
        files::write(&self.dir.join("batch.safetensors"), batch)
    }
}

/// Measures it.
#[derive(Debug, clap::Args)]
pub struct Run {
    #[command(flatten)]
    often: Often,
    /// Tokens of each row's answer, at its end.
    #[arg(long, default_value_t = 128)]
    answer: usize,
    /// Compute layers twice instead of keeping what they computed.
    #[arg(long)]
    checkpointing: bool,
}

impl Run {
    /// Prints time and memory of a step.
    pub fn run(&self) -> Result<()> {
        let device = Device::flex();
        let training = device.clone().autodiff();
        training.seed(1);
        let dir = &self.often.dir;
        let adapter = match self.often.dropout {
            0.0 => dir.join("adapter"),
            _ => dir.join("adapter-dropout"),
        };
        let llm = CausalLm::load(&dir.join("lm"), &device)?.load_adapter(&adapter, &training)?;
        let file = dir.join("projector.safetensors");
        let projector = stage1::projector(&file, self.often.dropout, &training)?;
        let (layout, pooled) = self.batch(dir, &device)?;
        let module = Bioverse::new(llm, vec![("record".to_owned(), projector)]);
        let mut module = Some(module);
        let mut trainer = Trainer::new(Schedule::Constant { lr: 1e-3 }, 0.01, Some(1.0));
        measure::steps(&self.often, |n| {
            let current = module.take().context("the last step failed")?;
            let soft = current.projector("record")?.project(pooled.clone());
            let embeds = current.inputs_embeds_with(&layout, vec![soft], &training);
            let (value, grads) = match self.checkpointing {
                true => twice(&current, &layout, embeds, n as u64)?,
                false => once(&current, &layout, embeds, &device)?,
            };
            module = Some(trainer.step(current, grads)?.0);
            Ok(value)
        })
    }

    fn batch(&self, dir: &Path, device: &Device) -> Result<(Layout, Tensor<3>)> {
        let mut batch = files::read(&dir.join("batch.safetensors"))?;
        let ids = files::take(&mut batch, "ids")?;
        let pooled = Tensor::<3>::from_data(files::take(&mut batch, "pooled")?, device);
        let [records, soft_len, _] = pooled.dims();
        let tokens = ids.shape().to_vec()[1];
        let ids: Vec<u32> = ids.iter::<f32>().map(|id| id as u32).collect();
        let row = |(row, ids): (usize, &[u32])| {
            let slot = |(at, id): (usize, &u32)| match at.checked_sub(SOFT_AT) {
                Some(index) if index < soft_len => Slot::Soft {
                    group: 0,
                    row,
                    index,
                },
                _ => Slot::Token(*id),
            };
            Row {
                slots: ids.iter().enumerate().map(slot).collect(),
                loss: (0..tokens).map(|at| at + self.answer >= tokens).collect(),
                ..Row::default()
            }
        };
        let group = Group {
            modality: "record".to_owned(),
            records: vec![Default::default(); records],
            soft_len,
        };
        let layout = Layout {
            rows: ids.chunks(tokens).enumerate().map(row).collect(),
            groups: vec![group],
            pad: 0,
            side: PadSide::Right,
        };
        Ok((layout, pooled))
    }
}

/// Loss and gradients of one graph.
fn once(
    model: &Bioverse,
    layout: &Layout,
    embeds: Tensor<3>,
    device: &Device,
) -> Result<(f64, GradientsParams)> {
    let hidden = model
        .llm
        .forward(embeds, layout.attention_mask(device), None);
    let loss = model.target_loss(hidden, &layout.targets())?;
    let value = loss.clone().into_data().iter::<f64>().sum();
    Ok((value, gradients(loss, model)))
}

/// The same from one graph per layer.
fn twice(
    model: &Bioverse,
    layout: &Layout,
    embeds: Tensor<3>,
    seed: u64,
) -> Result<(f64, GradientsParams)> {
    let device = embeds.device().inner();
    let segments = layout.segments(&device);
    let pass = model.llm.checkpointed(embeds.clone(), segments, seed);
    let output = pass.output();
    let loss = model.target_loss(pass.normed(output.clone()), &layout.targets())?;
    let value = loss.clone().into_data().iter::<f64>().sum();
    let gradient = output.grad(&loss.backward());
    let gradient = gradient.context("the loss does not depend on the states")?;
    let mut sum = Accumulator::new();
    let passed = pass.backward(gradient, |found| {
        sum.add(model, GradientsParams::from_grads(found, model));
    });
    let rest = (embeds * Tensor::from_inner(passed)).sum();
    sum.add(model, gradients(rest, model));
    Ok((value, sum.take()))
}
