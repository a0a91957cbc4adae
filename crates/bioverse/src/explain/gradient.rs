//! Gradient × input: the gradient of the answer's log-probability at a vector, times the vector, summed over its width. The
//! gradient as a measure of importance is Simonyan, Vedaldi & Zisserman 2013 ("Deep Inside Convolutional Networks"); its product
//! with the input is Shrikumar, Greenside & Kundaje 2017 ("Learning Important Features Through Propagating Activation
//! Differences", section 2). To first order it is what the log-probability loses when the vector is scaled towards zero.
//!
//! At soft tokens the gradient comes through the LLM; from there it goes through projector and pooling to the encoder's hidden
//! states, one for each token of the record. It does not go into the encoder: a hidden state stands for its token and for what the
//! encoder wrote into it from the others. A state that is not pooled has no gradient, so where an encoder is read at `<cls>` alone
//! only occlusion tells about the other tokens.

use bioverse_core::Hidden;
use burn::{prelude::*, tensor::DType};

use super::asked::{Asked, Place};
use crate::error::{Error, Result};

/// The gradient at the soft tokens of one group, `[records, soft_len, d_model]`.
pub(super) struct Gradients {
    gradient: Tensor<3>,
    soft: Tensor<3>,
}

/// The gradient at the soft tokens of one record.
pub(super) struct AtSoft {
    /// `[1, soft_len, d_model]`
    gradient: Tensor<3>,
    /// Gradient × input of each soft token.
    pub products: Vec<f64>,
}

impl Gradients {
    /// Those of one record.
    pub fn at(&self, place: &Place<'_>) -> AtSoft {
        let of = |tensor: &Tensor<3>| tensor.clone().narrow(0, place.row, 1);
        AtSoft {
            products: products(of(&self.gradient), of(&self.soft)),
            gradient: of(&self.gradient),
        }
    }
}

/// The gradient of the answer's log-probability at every soft token, group by group.
pub(super) fn at_soft_tokens(asked: &Asked<'_>) -> Result<Vec<Gradients>> {
    let model = asked.model();
    let device = asked.session.device.clone().autodiff();
    let tracked: Vec<Tensor<3>> = asked.soft.iter().cloned().map(tracked).collect();
    let soft = tracked.iter().cloned();
    let soft = soft.map(|embeds| bioverse_core::SoftTokens { embeds });
    let embeds = model.inputs_embeds_with(&asked.layout, soft.collect(), &device);
    let hidden = model.read(&asked.layout, embeds, &device);
    let targets = asked.layout.targets();
    // The loss is a mean over the answer's tokens; its log-probability is their sum.
    let sum = model
        .target_loss(hidden, &targets)?
        .mul_scalar(-(targets.len() as f64));
    let gradients = sum.backward();
    let of = |(tracked, soft): (&Tensor<3>, &Tensor<3>)| {
        let gradient = tracked.grad(&gradients);
        let gradient = gradient.ok_or_else(|| missing("soft tokens"))?;
        Ok(Gradients {
            gradient,
            soft: soft.clone(),
        })
    };
    tracked.iter().zip(&asked.soft).map(of).collect()
}

/// Gradient × input at each hidden state of a record, given the gradient at its soft tokens.
pub(super) fn at_states(asked: &Asked<'_>, place: &Place<'_>, soft: &AtSoft) -> Result<Vec<f64>> {
    let encoder = asked.session.encoders.get(place.modality);
    let encoder = encoder.ok_or_else(|| missing(place.modality))?.get()?;
    let Hidden { states, mask } = encoder.encode(std::slice::from_ref(place.record))?;
    let input = tracked(states.clone());
    // Frozen, a projector drops nothing.
    let projector = asked.model().projector(place.modality)?.clone().freeze();
    let hidden = Hidden {
        states: input.clone(),
        mask,
    };
    let tokens = projector.forward(hidden).embeds;
    let weight = Tensor::from_inner(soft.gradient.clone()).cast(tokens.dtype());
    let gradients = (tokens * weight).sum().backward();
    let gradient = input
        .grad(&gradients)
        .ok_or_else(|| missing("hidden states"))?;
    Ok(products(gradient, states))
}

/// `[1, n, d]` twice → n sums over the width.
fn products(gradient: Tensor<3>, input: Tensor<3>) -> Vec<f64> {
    let (gradient, input) = (gradient.cast(DType::F32), input.cast(DType::F32));
    let sums = (gradient * input).sum_dim(2).into_data();
    sums.iter::<f64>().collect()
}

fn tracked(tensor: Tensor<3>) -> Tensor<3> {
    Tensor::from_inner(tensor).require_grad()
}

fn missing(what: &str) -> Error {
    Error::Run(format!(
        "no gradient reached the {what}; this is an error of bioverse"
    ))
}
