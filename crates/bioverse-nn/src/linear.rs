//! The linear layer with an optional LoRA side path, and the embedding table.
//!
//! Weights are `[d_in, d_out]` here and `[d_out, d_in]` in files.

use burn::{module::Param, prelude::*, tensor::Distribution};

use crate::error::Result;
use crate::lora::Lora;
use crate::params::parameter;
use crate::weights::Weights;

/// `y = x W + b + s·drop(x) A B`.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[d_in, d_out]` (Burn's layout; files hold `[d_out, d_in]`).
    pub weight: Param<Tensor<2>>,
    /// `[d_out]`.
    pub bias: Option<Param<Tensor<1>>>,
    /// The adapter.
    pub lora: Option<Lora>,
}

impl Linear {
    /// Reads `{name}.weight` (and `{name}.bias`).
    pub fn load(
        w: &Weights,
        name: &str,
        d_in: usize,
        d_out: usize,
        bias: bool,
        device: &Device,
    ) -> Result<Self> {
        let (weight, bias_name) = (format!("{name}.weight"), format!("{name}.bias"));
        let bias = bias.then_some(bias_name.as_str());
        Self::load_parts(w, &weight, bias, [d_in, d_out], device)
    }

    /// Reads a layer whose parameters do not end in `.weight` and `.bias`, such as PyTorch's `in_proj_weight`.
    pub fn load_parts(
        w: &Weights,
        weight: &str,
        bias: Option<&str>,
        [d_in, d_out]: [usize; 2],
        device: &Device,
    ) -> Result<Self> {
        let weight = w.transposed(weight, [d_in, d_out], device)?;
        let bias = match bias {
            Some(name) => Some(parameter(w.tensor(name, [d_out], device)?)),
            None => None,
        };
        Ok(Self {
            weight: parameter(weight),
            bias,
            lora: None,
        })
    }

    /// Fresh: normal with standard deviation `std`, zero bias.
    pub fn init(d_in: usize, d_out: usize, bias: bool, std: f64, device: &Device) -> Self {
        Self {
            weight: normal([d_in, d_out], std, device),
            bias: bias.then(|| parameter(Tensor::zeros([d_out], device))),
            lora: None,
        }
    }

    /// `[…, d_in] → […, d_out]`, in the weight's dtype.
    ///
    /// Rows are flattened first: one large matrix product is several times faster on a CPU than a batch of small ones
    /// against a broadcast weight.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let mut shape = x.dims();
        let [d_in, d_out] = self.weight.dims();
        let weight = self.weight.val();
        let dtype = weight.dtype();
        let x = x.reshape([-1, d_in as i32]).cast(dtype);
        let mut y = x.clone().matmul(weight);
        if let Some(bias) = &self.bias {
            y = y + bias.val().unsqueeze();
        }
        if let Some(lora) = &self.lora {
            y = y + lora.forward(x).cast(dtype);
        }
        shape[D - 1] = d_out;
        y.reshape(shape)
    }
}

/// A table of vectors, one per id.
#[derive(Module, Debug)]
pub struct Embedding {
    /// `[rows, d_model]`, in files too.
    pub weight: Param<Tensor<2>>,
}

impl Embedding {
    /// Reads `{name}.weight`.
    pub fn load(w: &Weights, name: &str, shape: [usize; 2], device: &Device) -> Result<Self> {
        let weight = w.tensor(&format!("{name}.weight"), shape, device)?;
        Ok(Self {
            weight: parameter(weight),
        })
    }

    /// Fresh: normal with standard deviation `std`.
    pub fn init(shape: [usize; 2], std: f64, device: &Device) -> Self {
        Self {
            weight: normal(shape, std, device),
        }
    }

    /// `[B, T] → [B, T, d_model]`. An id beyond the table is a bug of the caller and panics.
    pub fn forward(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        burn::tensor::module::embedding(self.weight.val(), ids)
    }

    /// Scores against every row, `[B, T, d_model] → [B, T, rows]`: the head of a model with tied embeddings.
    pub fn attend(&self, hidden: Tensor<3>) -> Tensor<3> {
        let [batch, len, d_model] = hidden.dims();
        let [rows, _] = self.weight.dims();
        let weight = self.weight.val();
        let flat = hidden.reshape([batch * len, d_model]).cast(weight.dtype());
        flat.matmul(weight.transpose()).reshape([batch, len, rows])
    }
}

fn normal<const D: usize>(shape: [usize; D], std: f64, device: &Device) -> Param<Tensor<D>> {
    parameter(Tensor::random(
        shape,
        Distribution::Normal(0.0, std),
        device,
    ))
}
