//! A frozen encoder of random weights on the CPU: its layers on plain slices beside the same layers in Burn, in turns, so
//! that both see the same machine. Prints tokens per second (medians) and how far the states are apart.

use std::io::Write;
use std::time::Instant;

use anyhow::{Context, Result};
use bioverse_nn::{EncoderConfig, TransformerEncoder};
use burn::prelude::*;

/// A row of the table.
#[derive(Debug, clap::Args)]
pub struct Run {
    /// The family, a value of `model_type`.
    #[arg(long, default_value = "esm")]
    family: String,
    /// Width of the states.
    #[arg(long, default_value_t = 320)]
    hidden: usize,
    /// Layers.
    #[arg(long, default_value_t = 6)]
    layers: usize,
    /// Attention heads.
    #[arg(long, default_value_t = 20)]
    heads: usize,
    /// Width of the feed-forward layers; four times the states by default.
    #[arg(long)]
    inner: Option<usize>,
    /// Tokens of a record, one line each.
    #[arg(long, value_delimiter = ',', default_values_t = [64, 256, 1000])]
    lengths: Vec<usize>,
    /// Tokens of a batch, about.
    #[arg(long, default_value_t = 2000)]
    tokens: usize,
    /// Turns after one that is not counted.
    #[arg(long, default_value_t = 7)]
    turns: usize,
    /// Only the fused layers, for a profiler.
    #[arg(long)]
    alone: bool,
}

impl Run {
    /// Measures and prints.
    ///
    /// # Errors
    /// If nothing was measured or nothing can be printed.
    pub fn run(&self) -> Result<()> {
        let device = Device::flex();
        device.seed(1);
        let fused = TransformerEncoder::init(&self.config(), &device);
        let burn = fused.clone().without_fused_layers();
        let mut out = std::io::stdout().lock();
        for len in &self.lengths {
            let rows = (self.tokens / len).max(1);
            let input = batch(rows, *len, &device);
            let once = |encoder: &TransformerEncoder| {
                let start = Instant::now();
                let states = encoder.forward(input.0.clone(), input.1.clone());
                (start.elapsed().as_secs_f64(), states)
            };
            let mut times = [vec![], vec![]];
            let mut apart = 0.0f32;
            for turn in 0..=self.turns {
                let (own, states) = once(&fused);
                let (other, reference) = match self.alone {
                    true => (own, states.clone()),
                    false => once(&burn),
                };
                apart = apart.max((states - reference).abs().max().into_scalar());
                if turn > 0 {
                    times[0].push(own);
                    times[1].push(other);
                }
            }
            let [own, other] = times.map(median);
            let (own, other) = (own.context("no turn")?, other.context("no turn")?);
            let tokens = (rows * len) as f64;
            writeln!(
                out,
                "{} {rows}x{len} fused {:.0} burn {:.0} tokens/s, {:.2} times, apart {apart:.1e}",
                self.family,
                tokens / own,
                tokens / other,
                other / own
            )?;
        }
        Ok(())
    }

    fn config(&self) -> EncoderConfig {
        let longest = self.lengths.iter().max().copied().unwrap_or(0);
        EncoderConfig {
            model_type: self.family.clone(),
            hidden_size: self.hidden,
            num_hidden_layers: self.layers,
            num_attention_heads: self.heads,
            intermediate_size: self.inner.unwrap_or(4 * self.hidden),
            vocab_size: 33,
            max_position_embeddings: longest + 2,
            layer_norm_eps: 1e-5,
            ..EncoderConfig::default()
        }
    }
}

/// Ids and a mask without padding.
fn batch(rows: usize, len: usize, device: &Device) -> (Tensor<2, Int>, Tensor<2, Bool>) {
    let ids = (0..rows * len).map(|i| 4 + (i * i / 7 % 25) as i32);
    let ids = TensorData::new(ids.collect(), [rows, len]);
    let ids = Tensor::<2, Int>::from_data(ids, device);
    (ids.clone(), ids.not_equal_elem(1))
}

fn median(mut times: Vec<f64>) -> Option<f64> {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied()
}
