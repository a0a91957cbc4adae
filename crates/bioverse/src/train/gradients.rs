//! Gradients of a module: backward, accumulation, global norm. Knows no optimiser.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::prelude::*;

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

/// Euclidean norm of all gradients taken as one vector.
pub fn global_norm<M: Module>(module: &M, grads: &GradientsParams) -> f64 {
    let mut sums = SquareSums {
        grads,
        sums: vec![],
    };
    module.visit(&mut sums);
    if sums.sums.is_empty() {
        return 0.0;
    }
    // One read for all tensors: every read waits for the device.
    let sums = Tensor::cat(sums.sums, 0).into_data();
    sums.iter::<f64>().sum::<f64>().sqrt()
}

/// Scales all gradients by `min(1, max_norm / (norm + 1e-6))`, `norm` being their global norm.
pub(super) fn clip<M: Module>(
    module: &M,
    grads: GradientsParams,
    norm: f64,
    max_norm: f64,
) -> GradientsParams {
    let factor = max_norm / (norm + 1e-6);
    if factor >= 1.0 {
        return grads;
    }
    let mut scaled = Scaled { grads, factor };
    module.visit(&mut scaled);
    scaled.grads
}

struct SquareSums<'a> {
    grads: &'a GradientsParams,
    sums: Vec<Tensor<1>>,
}

impl ModuleVisitor for SquareSums<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(grad) = self.grads.get::<D>(param.id) {
            self.sums.push(grad.square().sum());
        }
    }
}

struct Scaled {
    grads: GradientsParams,
    factor: f64,
}

impl ModuleVisitor for Scaled {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(grad) = self.grads.remove::<D>(param.id) {
            self.grads
                .register::<D>(param.id, grad.mul_scalar(self.factor));
        }
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
    fn the_norm_is_taken_over_all_tensors_together() {
        let (module, grads) = ones();
        assert!((global_norm(&module, &grads) - 4.0).abs() < 1e-6);
    }

    #[test]
    fn clipping_scales_every_tensor_by_the_same_factor() {
        let (module, grads) = ones();
        let clipped = clip(&module, grads, 4.0, 1.0);
        let expected = 1.0 / (4.0 + 1e-6);
        assert!((global_norm(&module, &clipped) - 4.0 * expected).abs() < 1e-6);
        for value in values(&clipped, &module) {
            assert!((f64::from(value) - expected).abs() < 1e-7);
        }
    }

    #[test]
    fn small_gradients_stay_bit_for_bit() {
        let (module, grads) = ones();
        let before = values(&grads, &module);
        assert_eq!(values(&clip(&module, grads, 4.0, 5.0), &module), before);
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
