//! The families as stacks of [`crate::fused`], and a batch on its way through one.
//!
//! Embeddings stay in Burn: they are a small part of the work and differ most between families.

use burn::module::Param;
use burn::prelude::*;
use burn::tensor::DType;

use super::{Body, Input};
use crate::{
    config::EncoderConfig,
    fused::{Dense, Norm, Packed, Stack},
    linear::Linear,
    norm::LayerNorm,
};

/// What [`Body::run`] gives, computed by the stack; `None` if the embeddings are not plain f32.
pub(super) fn run(
    stack: &Stack,
    body: &Body,
    input: Input,
    config: &EncoderConfig,
    each: &mut dyn FnMut(&Tensor<3>),
) -> Option<Tensor<3>> {
    let mask = input.mask.clone();
    let hidden = body.embed(input, config);
    let (device, [batch, len, width]) = (hidden.device(), hidden.dims());
    if hidden.is_autodiff() {
        return None;
    }
    let values = hidden.into_data().try_into_vec::<f32>().ok()?;
    let mask: Vec<bool> = mask.into_data().iter::<bool>().collect();
    let packed = Packed::new(&mask, [batch, len]);
    let tensor = |states: &[f32]| {
        let padded = packed.scatter(states, width);
        Tensor::from_data(TensorData::new(padded, [batch, len, width]), &device)
    };
    let states = packed.gather(values, width);
    let last = stack.run(states, &packed, &mut |states| each(&tensor(states)));
    Some(tensor(&last))
}

/// `None` if the layer is not a plain one: trainable, adapted, of another dtype, or not in this process's memory.
pub(super) fn dense(linear: &Linear) -> Option<Dense> {
    if linear.lora.is_some() {
        return None;
    }
    let bias = match &linear.bias {
        Some(bias) => numbers(bias)?,
        None => vec![0.0; linear.weight.dims()[1]],
    };
    Some(Dense::new(&numbers(&linear.weight)?, bias))
}

/// As [`dense`].
pub(super) fn norm(norm: &LayerNorm) -> Option<Norm> {
    let weight = numbers(&norm.weight)?;
    let bias = match &norm.bias {
        Some(bias) => numbers(bias)?,
        None => vec![0.0; weight.len()],
    };
    let eps = norm.eps() as f32;
    Some(Norm { weight, bias, eps })
}

fn numbers<const D: usize>(parameter: &Param<Tensor<D>>) -> Option<Vec<f32>> {
    let value = parameter.val();
    let plain = !value.is_autodiff() && value.dtype() == DType::F32;
    if !plain || value.device() != Device::flex() {
        return None;
    }
    value.into_data().try_into_vec().ok()
}
