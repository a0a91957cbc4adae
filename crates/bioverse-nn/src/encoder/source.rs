//! Where parameters come from: a checkpoint, or a generator of random numbers.
//!
//! A part of an encoder is written once, over [`Source`], and is loaded and initialised by the same lines. Knows no
//! architecture.

use std::convert::Infallible;

use burn::{module::Param, prelude::*};

use super::names::Names;
use crate::{
    config::EncoderConfig,
    error::{Error, Result},
    linear::{Embedding, Linear},
    norm::LayerNorm,
    params::parameter,
    weights::Weights,
};

/// Makes parameters by the path of the field they are for.
pub(super) trait Source {
    /// What can go wrong.
    type Problem;

    /// `x W + b`, `[d_in, d_out]`; `bias` says whether there is a `b`.
    fn linear(&self, path: &str, shape: [usize; 2], bias: bool) -> Result<Linear, Self::Problem>;

    /// A LayerNorm over the hidden states.
    fn norm(&self, path: &str, config: &EncoderConfig) -> Result<LayerNorm, Self::Problem>;

    /// A table of vectors, `[rows, d]`.
    fn embedding(&self, path: &str, shape: [usize; 2]) -> Result<Embedding, Self::Problem>;

    /// A bias, `[len]`.
    fn vector(&self, path: &str, len: usize) -> Result<Param<Tensor<1>>, Self::Problem>;

    /// Numbers that are kept beside the parameters, if there are any.
    fn constants(&self, path: &str, len: usize) -> Result<Option<Vec<f32>>, Self::Problem>;
}

/// A checkpoint.
pub(super) struct Stored<'a> {
    pub(super) weights: &'a Weights,
    pub(super) names: Names,
    pub(super) device: &'a Device,
}

impl Stored<'_> {
    /// Whether the checkpoint has the parameter.
    pub(super) fn has(&self, path: &str) -> bool {
        self.weights.contains(&self.names.file(path))
    }
}

impl Source for Stored<'_> {
    type Problem = Error;

    fn linear(&self, path: &str, [d_in, d_out]: [usize; 2], bias: bool) -> Result<Linear> {
        let name = self.names.file(path);
        Linear::load(self.weights, &name, d_in, d_out, bias, self.device)
    }

    fn norm(&self, path: &str, config: &EncoderConfig) -> Result<LayerNorm> {
        let load = match config.norm_bias() {
            true => LayerNorm::load,
            false => LayerNorm::load_without_bias,
        };
        let (d, eps) = (config.hidden_size, config.layer_norm_eps);
        load(self.weights, &self.names.file(path), d, eps, self.device)
    }

    fn embedding(&self, path: &str, shape: [usize; 2]) -> Result<Embedding> {
        Embedding::load(self.weights, &self.names.file(path), shape, self.device)
    }

    fn vector(&self, path: &str, len: usize) -> Result<Param<Tensor<1>>> {
        let name = self.names.file(path);
        Ok(parameter(self.weights.tensor(&name, [len], self.device)?))
    }

    fn constants(&self, path: &str, len: usize) -> Result<Option<Vec<f32>>> {
        if !self.has(path) {
            return Ok(None);
        }
        let plain = self.device.clone().inner();
        let tensor = self.weights.tensor(&self.names.file(path), [len], &plain)?;
        Ok(Some(tensor.into_data().iter::<f32>().collect()))
    }
}

/// Fresh parameters: normal with `initializer_range`, norms 1, biases 0.
pub(super) struct Fresh<'a> {
    pub(super) initializer_range: f64,
    pub(super) device: &'a Device,
}

impl Source for Fresh<'_> {
    type Problem = Infallible;

    fn linear(
        &self,
        _path: &str,
        [d_in, d_out]: [usize; 2],
        bias: bool,
    ) -> Result<Linear, Infallible> {
        let std = self.initializer_range;
        Ok(Linear::init(d_in, d_out, bias, std, self.device))
    }

    fn norm(&self, _path: &str, config: &EncoderConfig) -> Result<LayerNorm, Infallible> {
        let init = match config.norm_bias() {
            true => LayerNorm::init,
            false => LayerNorm::init_without_bias,
        };
        Ok(init(config.hidden_size, config.layer_norm_eps, self.device))
    }

    fn embedding(&self, _path: &str, shape: [usize; 2]) -> Result<Embedding, Infallible> {
        Ok(Embedding::init(shape, self.initializer_range, self.device))
    }

    fn vector(&self, _path: &str, len: usize) -> Result<Param<Tensor<1>>, Infallible> {
        Ok(parameter(Tensor::zeros([len], self.device)))
    }

    fn constants(&self, _path: &str, _len: usize) -> Result<Option<Vec<f32>>, Infallible> {
        Ok(None)
    }
}
