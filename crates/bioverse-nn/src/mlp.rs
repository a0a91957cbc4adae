//! Feed-forward layers: gated (decoders) and plain (encoders).

use burn::{prelude::*, tensor::activation};

use crate::config::{Activation, DecoderConfig};
use crate::error::Result;
use crate::linear::Linear;
use crate::weights::Weights;

impl Activation {
    /// Element by element.
    pub fn forward<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Gelu => activation::gelu(x),
            Self::GeluTanh => activation::gelu_approximate(x),
            Self::Relu => activation::relu(x),
            Self::Silu => activation::silu(x),
        }
    }
}

/// `down(act(gate(x)) · up(x))`.
#[derive(Module, Debug)]
pub struct GatedMlp {
    /// `hidden_size → intermediate_size`, through the non-linearity.
    pub gate_proj: Linear,
    /// `hidden_size → intermediate_size`.
    pub up_proj: Linear,
    /// `intermediate_size → hidden_size`.
    pub down_proj: Linear,
    #[module(skip)]
    act: Activation,
}

impl GatedMlp {
    /// Reads the three projections below `name`.
    pub fn load(w: &Weights, name: &str, config: &DecoderConfig, device: &Device) -> Result<Self> {
        let (d, ffn, bias) = (
            config.hidden_size,
            config.intermediate_size,
            config.mlp_bias,
        );
        let read = |part: &str, d_in, d_out| {
            Linear::load(w, &format!("{name}.{part}"), d_in, d_out, bias, device)
        };
        Ok(Self {
            gate_proj: read("gate_proj", d, ffn)?,
            up_proj: read("up_proj", d, ffn)?,
            down_proj: read("down_proj", ffn, d)?,
            act: config.hidden_act,
        })
    }

    /// Fresh.
    pub fn init(config: &DecoderConfig, device: &Device) -> Self {
        let (d, ffn, bias) = (
            config.hidden_size,
            config.intermediate_size,
            config.mlp_bias,
        );
        let fresh = |d_in, d_out| Linear::init(d_in, d_out, bias, config.initializer_range, device);
        Self {
            gate_proj: fresh(d, ffn),
            up_proj: fresh(d, ffn),
            down_proj: fresh(ffn, d),
            act: config.hidden_act,
        }
    }

    /// `[B, T, hidden_size] → [B, T, hidden_size]`.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let gate = self.act.forward(self.gate_proj.forward(x.clone()));
        self.down_proj.forward(gate * self.up_proj.forward(x))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn activations_have_their_known_values() {
        let cases = [
            (Activation::Gelu, 0.8413447),
            (Activation::GeluTanh, 0.841192),
            (Activation::Relu, 1.0),
            (Activation::Silu, 0.7310586),
        ];
        for (act, want) in cases {
            let x = Tensor::<1>::from_data([1.0f32], &Device::flex());
            let got: Vec<f32> = act.forward(x).into_data().try_to_vec().unwrap();
            assert!((got[0] - want).abs() < 1e-6, "{act:?}: {got:?}");
        }
    }
}
