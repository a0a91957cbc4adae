//! Gradients of a module: backward, accumulation, global norm. Knows no optimiser.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::prelude::*;
use burn::tensor::DType;

use super::slices::sum_of_squares;

/// Gradients of `loss` with respect to the trainable parameters of `module`; none when the loss does not depend on them.
///
/// # Shapes
/// `loss [1]`
pub fn gradients<M: Module>(loss: Tensor<1>, module: &M) -> GradientsParams {
    // A batch without records leaves a projectors-only run without anything to learn from it.
    if !loss.is_tracked() {
        return GradientsParams::new();
    }
    GradientsParams::from_grads(loss.backward(), module)
}

/// The sum of the gradients of several micro-batches.
pub struct Accumulator<M> {
    inner: GradientsAccumulator<M>,
}

impl<M: Module> Accumulator<M> {
    /// Zero.
    pub fn new() -> Self {
        Self {
            inner: GradientsAccumulator::new(),
        }
    }

    /// Adds the gradients of one micro-batch. For a mean, scale each loss by one over their number before backward.
    pub fn add(&mut self, module: &M, grads: GradientsParams) {
        self.inner.accumulate(module, grads);
    }

    /// Takes the sum and starts again at zero.
    pub fn take(&mut self) -> GradientsParams {
        self.inner.grads()
    }
}

impl<M: Module> Default for Accumulator<M> {
    fn default() -> Self {
        Self::new()
    }
}

/// Euclidean norm of all gradients taken as one vector; they are given back as they are.
pub fn global_norm<M: Module>(module: &M, grads: GradientsParams) -> (GradientsParams, f64) {
    let mut squares = Squares {
        grads,
        on_cpu: 0.0,
        elsewhere: vec![],
    };
    module.visit(&mut squares);
    let elsewhere = match squares.elsewhere.is_empty() {
        true => 0.0,
        // One read for all tensors: every read waits for the device.
        false => {
            let sums = Tensor::cat(squares.elsewhere, 0).into_data();
            sums.iter::<f64>().sum()
        }
    };
    (squares.grads, (squares.on_cpu + elsewhere).sqrt())
}

/// What gradients of global norm `norm` are multiplied by: `min(1, max_norm / (norm + 1e-6))`.
pub(super) fn clip_factor(norm: f64, max_norm: f64) -> f64 {
    (max_norm / (norm + 1e-6)).min(1.0)
}

/// Whether the tensor's memory is at hand as f32 slices.
pub(super) fn on_cpu<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.device() == Device::flex() && tensor.dtype() == DType::F32
}

struct Squares {
    grads: GradientsParams,
    on_cpu: f64,
    elsewhere: Vec<Tensor<1>>,
}

impl ModuleVisitor for Squares {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(grad) = self.grads.remove::<D>(param.id) else {
            return;
        };
        if !on_cpu(&grad) {
            self.elsewhere.push(grad.clone().square().sum());
            return self.grads.register(param.id, grad);
        }
        let device = grad.device();
        // Taken out rather than cloned: data that somebody else holds would be copied.
        let data = grad.into_data();
        if let Ok(values) = data.as_slice::<f32>() {
            self.on_cpu += sum_of_squares(values);
        }
        self.grads
            .register(param.id, Tensor::<D>::from_data(data, &device));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use burn::nn::{Linear, LinearConfig};

    /// Gradients of `Σ y` for inputs of ones: 1 everywhere, so the norm is the root of the number of parameters.
    fn ones() -> (Linear, GradientsParams) {
        let device = Device::flex().autodiff();
        let module = LinearConfig::new(3, 4).init(&device);
        let loss = module.forward(Tensor::<2>::ones([1, 3], &device)).sum();
        let grads = gradients(loss, &module);
        (module, grads)
    }

    fn values(grads: &GradientsParams, module: &Linear) -> Vec<f32> {
        let weight = grads.get::<2>(module.weight.id).unwrap();
        weight.into_data().iter::<f32>().collect()
    }

    #[test]
    fn the_norm_is_taken_over_all_tensors_together_and_leaves_them_alone() {
        let (module, grads) = ones();
        let before = values(&grads, &module);
        let (grads, norm) = global_norm(&module, grads);
        assert!((norm - 4.0).abs() < 1e-6);
        assert_eq!(values(&grads, &module), before);
    }

    #[test]
    fn clipping_brings_the_norm_to_its_limit_and_never_raises_it() {
        assert!((clip_factor(4.0, 1.0) * 4.0 - 1.0).abs() < 1e-6);
        assert_eq!(clip_factor(4.0, 5.0), 1.0);
        assert_eq!(clip_factor(4.0, f64::INFINITY), 1.0);
        assert_eq!(clip_factor(0.0, 1.0), 1.0);
    }

    #[test]
    fn accumulation_adds_and_then_forgets() {
        let (module, grads) = ones();
        let mut sum = Accumulator::new();
        sum.add(&module, grads);
        let loss = module
            .forward(Tensor::<2>::ones([1, 3], &Device::flex().autodiff()))
            .sum();
        sum.add(&module, gradients(loss, &module));
        assert_eq!(values(&sum.take(), &module), [2.0; 12]);
        assert!(sum.take().is_empty());
    }

    #[test]
    fn a_loss_without_parameters_has_no_gradients() {
        let (module, _) = ones();
        let loss = Tensor::<1>::ones([1], &Device::flex());
        assert!(gradients(loss, &module).is_empty());
    }
}
