//! RMSNorm and LayerNorm over the last dimension, in f32.

use burn::{module::Param, prelude::*};

use crate::error::Result;
use crate::params::parameter;
use crate::weights::Weights;

/// `x / sqrt(mean(x²) + eps) · weight`.
#[derive(Module, Debug)]
pub struct RmsNorm {
    /// `[d_model]`.
    pub weight: Param<Tensor<1>>,
    #[module(skip)]
    eps: f64,
}

impl RmsNorm {
    /// Reads `{name}.weight`.
    pub fn load(
        w: &Weights,
        name: &str,
        d_model: usize,
        eps: f64,
        device: &Device,
    ) -> Result<Self> {
        let weight = w.tensor(&format!("{name}.weight"), [d_model], device)?;
        Ok(Self {
            weight: parameter(weight),
            eps,
        })
    }

    /// Fresh: ones.
    pub fn init(d_model: usize, eps: f64, device: &Device) -> Self {
        Self {
            weight: parameter(Tensor::ones([d_model], device)),
            eps,
        }
    }

    /// `[…, d_model] → […, d_model]`, computed in the weight's dtype and given back in that of `x`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let (shape, dtype) = (x.dims(), x.dtype());
        let d_model = shape[D - 1];
        let weight = self.weight.val();
        let x = x.reshape([-1, d_model as i32]).cast(weight.dtype());
        let mean_square = x.clone().square().mean_dim(1);
        let scale = mean_square.add_scalar(self.eps).sqrt().recip();
        (x * scale * weight.unsqueeze::<2>())
            .reshape(shape)
            .cast(dtype)
    }
}

/// `(x - mean) / sqrt(var + eps) · weight + bias`.
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// `[d_model]`.
    pub weight: Param<Tensor<1>>,
    /// `[d_model]`; ModernBERT has none.
    pub bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    eps: f64,
}

impl LayerNorm {
    /// Reads `{name}.weight` and `{name}.bias`, or `gamma` and `beta` of checkpoints that came from TensorFlow.
    pub fn load(
        w: &Weights,
        name: &str,
        d_model: usize,
        eps: f64,
        device: &Device,
    ) -> Result<Self> {
        let [weight, bias] = match w.contains(&format!("{name}.gamma")) {
            true => ["gamma", "beta"],
            false => ["weight", "bias"],
        };
        let read = |part: &str| w.tensor(&format!("{name}.{part}"), [d_model], device);
        Ok(Self {
            weight: parameter(read(weight)?),
            bias: Some(parameter(read(bias)?)),
            eps,
        })
    }

    /// Reads `{name}.weight` of a norm that has no bias.
    pub fn load_without_bias(
        w: &Weights,
        name: &str,
        d_model: usize,
        eps: f64,
        device: &Device,
    ) -> Result<Self> {
        let weight = w.tensor(&format!("{name}.weight"), [d_model], device)?;
        Ok(Self {
            weight: parameter(weight),
            bias: None,
            eps,
        })
    }

    /// Fresh: ones and zeros.
    pub fn init(d_model: usize, eps: f64, device: &Device) -> Self {
        Self {
            bias: Some(parameter(Tensor::zeros([d_model], device))),
            ..Self::init_without_bias(d_model, eps, device)
        }
    }

    /// Fresh: ones, and no bias.
    pub fn init_without_bias(d_model: usize, eps: f64, device: &Device) -> Self {
        Self {
            weight: parameter(Tensor::ones([d_model], device)),
            bias: None,
            eps,
        }
    }

    /// What is added to the variance.
    pub(crate) fn eps(&self) -> f64 {
        self.eps
    }

    /// `[…, d_model] → […, d_model]`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let bias = self.bias.as_ref().map(Param::val);
        burn::tensor::module::layer_norm(x, self.weight.val(), bias, self.eps)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn row(values: [f32; 4]) -> Tensor<2> {
        Tensor::from_data([values], &Device::flex())
    }

    fn close(got: Tensor<2>, want: [f32; 4]) {
        let got: Vec<f32> = got.into_data().try_to_vec().unwrap();
        assert!(
            got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-5),
            "{got:?} {want:?}"
        );
    }

    #[test]
    fn rms_norm_keeps_the_mean_and_layer_norm_removes_it() {
        let device = Device::flex();
        let x = row([1.0, 2.0, 3.0, 4.0]);
        let rms = 7.5f32.sqrt();
        let want = [1.0 / rms, 2.0 / rms, 3.0 / rms, 4.0 / rms];
        close(RmsNorm::init(4, 0.0, &device).forward(x.clone()), want);
        let std = 1.25f32.sqrt();
        let want = [-1.5 / std, -0.5 / std, 0.5 / std, 1.5 / std];
        close(LayerNorm::init(4, 0.0, &device).forward(x), want);
    }

    #[test]
    fn epsilon_stands_under_the_root() {
        let device = Device::flex();
        close(
            RmsNorm::init(4, 3.0, &device).forward(row([1.0; 4])),
            [0.5; 4],
        );
        close(
            LayerNorm::init(4, 3.0, &device).forward(row([1.0, -1.0, 1.0, -1.0])),
            [0.5, -0.5, 0.5, -0.5],
        );
        close(
            RmsNorm::init(4, 1e-6, &device).forward(row([0.0; 4])),
            [0.0; 4],
        );
    }
}
