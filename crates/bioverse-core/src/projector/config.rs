//! Hyper-parameters of a projector and its fresh parameters. Where the table was written is unknown here.

use burn::{
    module::Param,
    nn::{DropoutConfig, Initializer, LayerNormConfig, LinearConfig},
    prelude::*,
};
use serde::{Deserialize, Serialize};

use super::{Projector, pool};
use crate::{Error, Hidden, Result};

/// Which published projector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Three linear layers; after each of the two inner ones LayerNorm, ReLU and dropout.
    #[default]
    Paper,
    /// Two linear layers with ReLU between, no norm, no dropout.
    AuthorCode,
    /// One linear layer.
    Linear,
}

impl Preset {
    /// Widths of the inner layers unless [`ProjectorConfig::hidden_sizes`] says otherwise.
    fn hidden_sizes(self) -> &'static [usize] {
        match self {
            Self::Paper => &[1024, 1024],
            Self::AuthorCode => &[1024],
            Self::Linear => &[],
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Paper => "paper",
            Self::AuthorCode => "author-code",
            Self::Linear => "linear",
        }
    }
}

/// How T hidden states become k vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// Masked mean over k nearly equal spans of the real states; spans overlap when there are fewer than k states.
    #[default]
    Mean,
    /// The first k real states; the last one is repeated when there are fewer.
    First,
}

/// Hyper-parameters of a projector: the `[projector]` table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProjectorConfig {
    /// Which layers.
    pub preset: Preset,
    /// Widths of the inner layers; empty = the preset's (1024 each).
    pub hidden_sizes: Vec<usize>,
    /// k.
    pub num_soft_tokens: usize,
    /// Dropout after each inner layer (preset `paper` only).
    pub dropout: f64,
    /// How states become k vectors.
    pub pooling: Pooling,
    /// Append one trainable vector after the soft tokens.
    pub task_token: bool,
}

impl Default for ProjectorConfig {
    fn default() -> Self {
        Self {
            preset: Preset::Paper,
            hidden_sizes: vec![],
            num_soft_tokens: 1,
            dropout: 0.1,
            pooling: Pooling::Mean,
            task_token: false,
        }
    }
}

impl ProjectorConfig {
    /// Checks what serde cannot: the number of widths, that sizes are positive, that dropout is in `0..1`.
    /// Call it on every configuration that a person wrote, before [`init`](Self::init).
    pub fn validate(&self) -> Result<()> {
        let refuse = |problem: String| Err(Error::Space(format!("`[projector]`: {problem}")));
        let (given, wanted) = (self.hidden_sizes.len(), self.preset.hidden_sizes().len());
        if given != 0 && given != wanted {
            let preset = self.preset.name();
            return refuse(format!(
                "`hidden_sizes` has {given} widths, but preset `{preset}` has {wanted} inner layers; give {wanted} or none"
            ));
        }
        if self.hidden_sizes.contains(&0) {
            return refuse("`hidden_sizes` contains 0; every inner layer needs a width".into());
        }
        if self.num_soft_tokens == 0 {
            return refuse("`num_soft_tokens` is 0; a record needs at least one soft token".into());
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return refuse(format!(
                "`dropout` is {}; give a probability from 0 up to, not including, 1",
                self.dropout
            ));
        }
        Ok(())
    }

    /// Soft slots one record takes: `num_soft_tokens`, one more with a task token.
    pub fn soft_len(&self) -> usize {
        self.num_soft_tokens + usize::from(self.task_token)
    }

    /// The part without parameters, which needs no projector; see [`Projector::pool`].
    ///
    /// # Shapes
    /// `[B, T, d_hidden]` → `[B, num_soft_tokens, d_hidden]`.
    pub fn pool(&self, hidden: Hidden) -> Tensor<3> {
        pool::pool(hidden, self.pooling, self.num_soft_tokens)
    }

    /// Fresh parameters: weights and biases uniform in ±1/√fan_in, the task token normal at the scale of an LLM's
    /// input embeddings (0.02).
    ///
    /// # Panics
    /// When [`validate`](Self::validate) would refuse the configuration.
    pub fn init(&self, d_hidden: usize, d_model: usize, device: &Device) -> Projector {
        if let Err(problem) = self.validate() {
            panic!("ProjectorConfig::init before validate: {problem}");
        }
        let widths = self.widths(d_hidden, d_model);
        let layers = widths
            .windows(2)
            .map(|w| LinearConfig::new(w[0], w[1]).init(device))
            .collect();
        let inner = &widths[1..widths.len() - 1];
        let regularised = self.preset == Preset::Paper;
        let norms = inner
            .iter()
            .filter(|_| regularised)
            .map(|&width| LayerNormConfig::new(width).init(device));
        Projector {
            layers,
            norms: norms.collect(),
            dropout: DropoutConfig::new(if regularised { self.dropout } else { 0.0 }).init(),
            task_token: self.task_token.then(|| fresh_task_token(d_model, device)),
            config: self.clone(),
            d_hidden,
            d_model,
        }
    }

    fn widths(&self, d_hidden: usize, d_model: usize) -> Vec<usize> {
        let inner = if self.hidden_sizes.is_empty() {
            self.preset.hidden_sizes()
        } else {
            &self.hidden_sizes
        };
        [&[d_hidden], inner, &[d_model]].concat()
    }
}

/// Normal at the scale of an LLM's input embeddings.
pub(super) fn fresh_task_token(d_model: usize, device: &Device) -> Param<Tensor<1>> {
    let normal = Initializer::Normal {
        mean: 0.0,
        std: 0.02,
    };
    normal.init([d_model], device)
}
