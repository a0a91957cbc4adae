//! Parameters and gradients of a module under the names PyTorch gives them.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use bioverse::train::Schedule;
use bioverse_core::{Preset, Projector, ProjectorConfig};
use burn::module::{Module, ModuleMapper, Param};
use burn::optim::GradientsParams;
use burn::prelude::*;

use super::check::Check;
use super::folder::Folder;

/// `module` with every parameter replaced by its gradient (zero where there is none), so that whatever writes parameters
/// under their PyTorch names and in PyTorch's layout does the same for gradients.
pub fn gradients_as_parameters<M: Module>(module: M, grads: &GradientsParams) -> M {
    struct Replace<'a>(&'a GradientsParams);
    impl ModuleMapper for Replace<'_> {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let (id, value, mapper) = param.consume();
            let grad = self
                .0
                .get::<D>(id)
                .unwrap_or_else(|| value.clone().inner().zeros_like());
            Param::from_mapped_value(id, Tensor::from_inner(grad), mapper)
        }
    }
    module.map(&mut Replace(grads))
}

/// The projector that the tensors `init.<prefix>fc1.weight`, … describe, on the device that records gradients.
pub fn projector(check: &mut Check, prefix: &str) -> Result<Projector> {
    let mut tensors = BTreeMap::new();
    for name in check.folder.names_after(&format!("init.{prefix}")) {
        if !name.contains("lora_") {
            tensors.insert(
                name.clone(),
                check.input_data(&format!("init.{prefix}{name}"))?,
            );
        }
    }
    let layers = tensors
        .keys()
        .filter(|name| name.starts_with("fc") && name.ends_with(".weight"))
        .count();
    let shape = |layer: usize| -> Result<[usize; 2]> {
        let weight = tensors
            .get(&format!("fc{layer}.weight"))
            .with_context(|| format!("there is no fc{layer}.weight"))?;
        Ok(weight.shape().dims::<2>())
    };
    ensure!(
        layers == 3,
        "the projector has {layers} layers; this suite knows the one with three"
    );
    let config = ProjectorConfig {
        preset: Preset::Paper,
        hidden_sizes: vec![shape(1)?[0], shape(2)?[0]],
        dropout: 0.0,
        ..Default::default()
    };
    let fresh = config.init(shape(1)?[1], shape(3)?[0], &Device::flex().autodiff());
    Ok(fresh.load_tensors(&tensors)?)
}

/// Compares every tensor `<prefix><name>`.
pub fn compare(check: &mut Check, prefix: &str, tensors: &[(String, TensorData)]) {
    for (name, data) in tensors {
        check.data(&format!("{prefix}{name}"), data);
    }
}

/// Learning rate and weight decay of golden.json; ours has no other knobs, so the rest has to be what we hard-wire.
pub fn optimizer(folder: &Folder) -> Result<(Schedule, f64)> {
    let betas = (
        folder.number("/optimiser/betas/0")?,
        folder.number("/optimiser/betas/1")?,
    );
    ensure!(
        betas == (0.9, 0.999) && folder.number("/optimiser/eps")? == 1e-8,
        "an AdamW with other betas or eps"
    );
    Ok((
        Schedule::Constant {
            lr: folder.number("/optimiser/lr")?,
        },
        folder.number("/optimiser/weight_decay")?,
    ))
}
