//! The only thing between an encoder and an LLM: pooling without parameters, then a small MLP. Everything that
//! stage 1 trains lives in [`Projector`]; it knows neither which encoder made its input nor which LLM reads its output.

mod config;
mod mask;
mod params;
mod pool;
mod task_token;
#[cfg(test)]
mod tests;

use burn::{
    module::Param,
    nn::{Dropout, LayerNorm, Linear},
    prelude::*,
    tensor::activation::relu,
};

pub use config::{Pooling, Preset, ProjectorConfig};

use crate::Hidden;

/// Soft tokens of N records.
#[derive(Debug, Clone)]
pub struct SoftTokens {
    /// `[N, soft_len, d_model]`.
    pub embeds: Tensor<3>,
}

/// A projector: everything that stage 1 trains.
///
/// Dropout acts only while training: on an autodiff device, and not after [`freeze`](Module::freeze). Call
/// [`valid`](Module::valid) before evaluating a module that is being trained.
#[derive(Module, Debug)]
pub struct Projector {
    layers: Vec<Linear>,
    /// One per inner layer, or none at all.
    norms: Vec<LayerNorm>,
    dropout: Dropout,
    task_token: Option<Param<Tensor<1>>>,
    #[module(skip)]
    config: ProjectorConfig,
    #[module(skip)]
    d_hidden: usize,
    #[module(skip)]
    d_model: usize,
}

impl Projector {
    /// The configuration.
    pub fn config(&self) -> &ProjectorConfig {
        &self.config
    }

    /// Width in.
    pub fn d_hidden(&self) -> usize {
        self.d_hidden
    }

    /// Width out.
    pub fn d_model(&self) -> usize {
        self.d_model
    }

    /// Soft slots one record takes: `num_soft_tokens`, one more with a task token.
    pub fn soft_len(&self) -> usize {
        self.config.soft_len()
    }

    /// [`pool`](Self::pool), then [`project`](Self::project).
    ///
    /// # Shapes
    /// states `[N, T, d_hidden]` → `[N, soft_len, d_model]`.
    pub fn forward(&self, hidden: Hidden) -> SoftTokens {
        self.project(self.pool(hidden))
    }

    /// The part without parameters. Frozen encoders give the same states every epoch, so callers pool once.
    ///
    /// # Shapes
    /// `[B, T, d_hidden]` → `[B, num_soft_tokens, d_hidden]`.
    pub fn pool(&self, hidden: Hidden) -> Tensor<3> {
        self.config.pool(hidden)
    }

    /// The trained part.
    ///
    /// # Shapes
    /// `[N, num_soft_tokens, d_hidden]` → `[N, soft_len, d_model]`.
    pub fn project(&self, pooled: Tensor<3>) -> SoftTokens {
        let [n, ..] = pooled.dims();
        let tokens = self.mlp(pooled);
        let embeds = match &self.task_token {
            None => tokens,
            Some(task) => {
                let task = task.val().reshape([1, 1, self.d_model]).repeat_dim(0, n);
                Tensor::cat(vec![tokens, task], 1)
            }
        };
        SoftTokens { embeds }
    }

    /// One vector per record for alignment: the mean of its projected tokens, task token left out.
    ///
    /// # Shapes
    /// `[N, num_soft_tokens, d_hidden]` → `[N, d_model]`.
    pub fn embed(&self, pooled: Tensor<3>) -> Tensor<2> {
        self.mlp(pooled).mean_dim(1).squeeze_dim(1)
    }

    /// Token by token, `[N, k, d_hidden]` → `[N, k, d_model]`: the last layer is bare.
    fn mlp(&self, pooled: Tensor<3>) -> Tensor<3> {
        let last = self.layers.len().saturating_sub(1);
        self.layers
            .iter()
            .enumerate()
            .fold(pooled, |x, (i, layer)| {
                let x = layer.forward(x);
                if i == last {
                    return x;
                }
                let x = match self.norms.get(i) {
                    Some(norm) => norm.forward(x),
                    None => x,
                };
                self.dropped(relu(x))
            })
    }

    /// On an autodiff device, unless frozen there: as Burn's own layer decides.
    fn dropped(&self, x: Tensor<3>) -> Tensor<3> {
        let Dropout { prob, training } = &self.dropout;
        if *prob == 0.0 || !training.is_enabled() || !x.device().is_autodiff() {
            return x;
        }
        let mask = mask::dropout_mask(&x, *prob);
        x * mask
    }
}
