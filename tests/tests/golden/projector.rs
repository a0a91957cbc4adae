//! Stage 1: projector, InfoNCE and AdamW, step by step.

use anyhow::{Context, Result};
use bioverse::align::objective::info_nce;
use bioverse::train::Trainer;
use bioverse_core::Projector;
use burn::optim::GradientsParams;
use burn::prelude::*;

use super::check::Check;
use super::parameters;

pub fn run(check: &mut Check) -> Result<()> {
    let device = Device::flex().autodiff();
    let data = Data {
        x: check.input_floats("x", &device)?,
        text: check.input_floats("text", &device)?,
        negatives: check.input_floats("neg", &device)?,
        temperature: check.folder.number("/temperature")?,
    };
    let projector = parameters::projector(check, "")?;
    let first = step_of(&data.x, 0);
    check.floats("output", || Ok(project(&projector, first)));
    variant(check, "plain", &data, false)?;
    variant(check, "neg", &data, true)
}

/// `[step, rows, width]` each.
struct Data {
    x: Tensor<3>,
    text: Tensor<3>,
    negatives: Tensor<3>,
    temperature: f64,
}

fn step_of(tensor: &Tensor<3>, step: usize) -> Tensor<2> {
    tensor.clone().narrow(0, step, 1).squeeze_dim(0)
}

/// One record is one vector: `[N, d_in] → [N, d_out]`.
fn project(projector: &Projector, x: Tensor<2>) -> Tensor<2> {
    projector.project(x.unsqueeze_dim(1)).embeds.squeeze_dim(1)
}

/// All steps of one variant, from the initial parameters.
fn variant(check: &mut Check, name: &str, data: &Data, with_negatives: bool) -> Result<()> {
    let mut projector = parameters::projector(check, "")?;
    let (schedule, weight_decay) = parameters::optimizer(check.folder)?;
    let mut trainer = Trainer::new(schedule, weight_decay, None);
    let mut losses = vec![];
    for step in 0..data.x.dims()[0] {
        let x = step_of(&data.x, step).detach().require_grad();
        let negatives = with_negatives.then(|| step_of(&data.negatives, step));
        let output = project(&projector, x.clone());
        let parts = info_nce(
            output,
            step_of(&data.text, step),
            negatives,
            data.temperature,
        );
        let loss = (parts.0.clone() + parts.1.clone()) / 2.0;
        losses.push(loss.clone().inner());
        let raw = loss.backward();
        let grad_x = x.grad(&raw);
        let grads = GradientsParams::from_grads(raw, &projector);
        if step == 0 {
            check.floats(&format!("{name}.loss_parts"), || {
                Ok(Tensor::cat(vec![parts.0.inner(), parts.1.inner()], 0))
            });
            check.floats(&format!("{name}.grad_x"), || {
                grad_x.context("x has no gradient")
            });
            let as_parameters = parameters::gradients_as_parameters(projector.clone(), &grads);
            parameters::compare(check, &format!("{name}.grad."), &as_parameters.to_tensors());
        }
        (projector, _) = trainer.step(projector, grads)?;
        let after = format!("{name}.after{}.", step + 1);
        if !check.folder.names_after(&after).is_empty() {
            parameters::compare(check, &after, &projector.to_tensors());
        }
    }
    check.floats(&format!("{name}.losses"), || Ok(Tensor::cat(losses, 0)));
    Ok(())
}
