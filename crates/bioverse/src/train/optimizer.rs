//! AdamW as PyTorch computes it, and one whole optimiser step. Knows no data.
//!
//! Moments live under the paths of their parameters, so a checkpoint needs no ids and can be read by people.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::optim::GradientsParams;
use burn::prelude::*;

use super::gradients::{clip_factor, global_norm, on_cpu};
use super::rates::Rates;
use super::schedule::Schedule;
use super::slices::Coefficients;
use crate::error::{Error, Result};

const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;
const EPS: f64 = 1e-8;

/// AdamW with β = (0.9, 0.999) and ε = 1e-8 outside the root; decay is decoupled and applies to every parameter that has
/// a gradient, biases and norms included.
#[derive(Debug)]
pub struct AdamW {
    weight_decay: f64,
    rates: Rates,
    moments: BTreeMap<String, Moments>,
}

#[derive(Debug)]
struct Moments {
    exp_avg: Tensor<1>,
    exp_avg_sq: Tensor<1>,
    step: u32,
}

impl AdamW {
    /// No moments yet.
    pub fn new(weight_decay: f64) -> Self {
        Self {
            weight_decay,
            rates: Rates::default(),
            moments: BTreeMap::new(),
        }
    }

    /// One update of every parameter that has a gradient.
    pub fn step<M: Module>(&mut self, lr: f64, module: M, grads: GradientsParams) -> M {
        self.step_scaled(lr, module, grads, 1.0)
    }

    /// As [`step`](Self::step), with gradients multiplied by `grad_scale` first.
    fn step_scaled<M: Module>(
        &mut self,
        lr: f64,
        module: M,
        grads: GradientsParams,
        grad_scale: f64,
    ) -> M {
        module.map(&mut Update {
            optimizer: self,
            lr,
            grads,
            grad_scale,
            path: vec![],
        })
    }

    /// Moments as tensors: `<path>.exp_avg`, `<path>.exp_avg_sq`, `<path>.step`.
    pub fn to_tensors(&self) -> Vec<(String, TensorData)> {
        let entries = self.moments.iter().flat_map(|(path, moments)| {
            let step = TensorData::new(vec![moments.step as f32], [1]);
            [
                (format!("{path}.exp_avg"), moments.exp_avg.to_data()),
                (format!("{path}.exp_avg_sq"), moments.exp_avg_sq.to_data()),
                (format!("{path}.step"), step),
            ]
        });
        entries.collect()
    }

    /// The inverse; the first missing tensor is the error.
    pub fn load_tensors(
        &mut self,
        tensors: &BTreeMap<String, TensorData>,
        device: &Device,
    ) -> Result<(), String> {
        let get = |path: &str, part: &str| {
            let name = format!("{path}.{part}");
            tensors
                .get(&name)
                .cloned()
                .ok_or_else(|| format!("`{name}` is missing"))
        };
        self.moments.clear();
        for path in tensors.keys().filter_map(|name| name.strip_suffix(".step")) {
            let step = get(path, "step")?.iter::<f32>().next().unwrap_or_default() as u32;
            let moments = Moments {
                exp_avg: Tensor::from_data(get(path, "exp_avg")?, device),
                exp_avg_sq: Tensor::from_data(get(path, "exp_avg_sq")?, device),
                step,
            };
            self.moments.insert(path.to_string(), moments);
        }
        Ok(())
    }

    /// `x [n]` and its gradient `[n]`, both outside autodiff → the new `x`.
    fn update(
        &mut self,
        path: String,
        [lr, grad_scale]: [f64; 2],
        x: Tensor<1>,
        grad: Tensor<1>,
    ) -> Tensor<1> {
        let (factor, weight_decay) = self.rates.of(&path, self.weight_decay);
        let mut moments = self.moments.remove(&path).unwrap_or_else(|| Moments {
            exp_avg: grad.zeros_like(),
            exp_avg_sq: grad.zeros_like(),
            step: 0,
        });
        moments.step += 1;
        let now = Now {
            lr: lr * factor,
            weight_decay,
            grad_scale,
        };
        let (x, moments) = match on_cpu(&x) && on_cpu(&grad) {
            true => moments.update_slices(now, x, grad),
            false => moments.update(now, x, grad),
        };
        self.moments.insert(path, moments);
        x
    }
}

/// What one update of one parameter depends on, beside its moments.
#[derive(Debug, Clone, Copy)]
struct Now {
    lr: f64,
    weight_decay: f64,
    /// What the gradient is multiplied by first.
    grad_scale: f64,
}

impl Moments {
    /// By tensor operations, on any device. Its formula is the definition.
    fn update(self, now: Now, x: Tensor<1>, grad: Tensor<1>) -> (Tensor<1>, Self) {
        let correction_1 = 1.0 - BETA_1.powf(f64::from(self.step));
        let correction_2 = 1.0 - BETA_2.powf(f64::from(self.step));
        let grad = match now.grad_scale {
            1.0 => grad,
            scale => grad * scale,
        };
        let exp_avg = self.exp_avg * BETA_1 + grad.clone() * (1.0 - BETA_1);
        let exp_avg_sq = self.exp_avg_sq * BETA_2 + grad.square() * (1.0 - BETA_2);
        let scale = (exp_avg_sq.clone() / correction_2).sqrt() + EPS;
        let x = x * (1.0 - now.lr * now.weight_decay)
            - exp_avg.clone() / scale * (now.lr / correction_1);
        let moments = Self {
            exp_avg,
            exp_avg_sq,
            step: self.step,
        };
        (x, moments)
    }

    /// The same in one pass over memory, for f32 on the CPU.
    fn update_slices(self, now: Now, x: Tensor<1>, grad: Tensor<1>) -> (Tensor<1>, Self) {
        let (device, step) = (x.device(), self.step);
        let coefficients = self.coefficients(now);
        // Nobody else holds these tensors, so their memory is lent and taken back, not copied.
        let mut data = [x, self.exp_avg, self.exp_avg_sq, grad].map(Tensor::into_data);
        let [x, m, v, grad] = data.each_mut().map(|data| data.as_mut_slice::<f32>().ok());
        let slices = x.zip(m).zip(v.zip(grad));
        let updated = slices.map(|((x, m), (v, grad))| coefficients.update(x, m, v, grad));
        let [x, exp_avg, exp_avg_sq, grad] = data.map(|data| Tensor::from_data(data, &device));
        let moments = Self {
            exp_avg,
            exp_avg_sq,
            step,
        };
        match updated {
            Some(()) => (x, moments),
            None => moments.update(now, x, grad),
        }
    }

    fn coefficients(&self, now: Now) -> Coefficients {
        let correction = |beta: f64| 1.0 - beta.powf(f64::from(self.step));
        Coefficients {
            grad_scale: now.grad_scale as f32,
            beta_1: BETA_1 as f32,
            beta_2: BETA_2 as f32,
            rest_1: (1.0 - BETA_1) as f32,
            rest_2: (1.0 - BETA_2) as f32,
            correction_2: correction(BETA_2) as f32,
            eps: EPS as f32,
            keep: (1.0 - now.lr * now.weight_decay) as f32,
            step_size: (now.lr / correction(BETA_1)) as f32,
        }
    }
}

struct Update<'a> {
    optimizer: &'a mut AdamW,
    lr: f64,
    grads: GradientsParams,
    grad_scale: f64,
    path: Vec<String>,
}

impl ModuleMapper for Update<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, value, mapper) = param.consume();
        let value = match self.grads.remove::<D>(id) {
            None => value,
            Some(grad) => {
                let dims = value.dims();
                let checkpointing = value.gradient_checkpointing_strategy();
                let length = dims.iter().product::<usize>();
                let x = value.inner().reshape([length]);
                let (path, now) = (self.path.join("."), [self.lr, self.grad_scale]);
                let grad = grad.reshape([length]);
                let x = self.optimizer.update(path, now, x, grad);
                let mut x = Tensor::from_inner(x.reshape(dims));
                if let Some(strategy) = checkpointing {
                    x = x.with_gradient_checkpointing_strategy(strategy);
                }
                x.require_grad()
            }
        };
        Param::from_mapped_value(id, value, mapper)
    }
}

/// What one optimiser step did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepReport {
    /// Learning rate used.
    pub lr: f64,
    /// Global norm of the gradients before clipping.
    pub grad_norm: f64,
}

/// Schedule, clipping by the global norm, AdamW.
#[derive(Debug)]
pub struct Trainer {
    /// The optimiser and its moments.
    pub optimizer: AdamW,
    /// Steps done.
    pub step: usize,
    schedule: Schedule,
    max_grad_norm: Option<f64>,
}

impl Trainer {
    /// At step 0. `max_grad_norm = None` does not clip.
    pub fn new(schedule: Schedule, weight_decay: f64, max_grad_norm: Option<f64>) -> Self {
        Self {
            optimizer: AdamW::new(weight_decay),
            step: 0,
            schedule,
            max_grad_norm,
        }
    }

    /// Learning rates and decay by parameter path.
    pub fn with_rates(mut self, rates: Rates) -> Self {
        self.optimizer.rates = rates;
        self
    }

    /// One update from the gradients of a whole (accumulated) batch.
    ///
    /// # Errors
    /// When the norm of the gradients is not a number.
    pub fn step<M: Module>(
        &mut self,
        module: M,
        grads: GradientsParams,
    ) -> Result<(M, StepReport)> {
        let (grads, grad_norm) = global_norm(&module, grads);
        if !grad_norm.is_finite() {
            return Err(Error::Run(format!(
                "step {}: the norm of the gradients is {grad_norm}; lower the learning rate or look for records whose \
                 encoding is not a number",
                self.step + 1
            )));
        }
        let max_norm = self.max_grad_norm.unwrap_or(f64::INFINITY);
        let scale = clip_factor(grad_norm, max_norm);
        let lr = self.schedule.at(self.step);
        self.step += 1;
        Ok((
            self.optimizer.step_scaled(lr, module, grads, scale),
            StepReport { lr, grad_norm },
        ))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::train::gradients;
    use burn::nn::{Linear, LinearConfig};

    fn setup() -> (Linear, Tensor<2>) {
        let device = Device::flex().autodiff();
        let module = LinearConfig::new(2, 1).with_bias(false).init(&device);
        let weight = Tensor::from_floats([[0.5], [-1.0]], &device).require_grad();
        let module = Linear {
            weight: Param::initialized(module.weight.id, weight),
            ..module
        };
        (module, Tensor::from_floats([[1.0, 3.0]], &device))
    }

    fn weight(module: &Linear) -> Vec<f64> {
        module.weight.val().into_data().iter::<f64>().collect()
    }

    /// Gradient of `y²`, `y = w·x`: `2 y x`.
    fn gradient(w: &[f64]) -> [f64; 2] {
        let y = w[0] + 3.0 * w[1];
        [2.0 * y, 6.0 * y]
    }

    #[test]
    fn three_steps_follow_the_formula() {
        let (mut module, x) = setup();
        let mut optimizer = AdamW::new(0.1);
        let (mut w, mut m, mut v) = ([0.5, -1.0], [0.0; 2], [0.0; 2]);
        for t in 1..=3 {
            let g = gradient(&w);
            for i in 0..2 {
                m[i] = 0.9 * m[i] + 0.1 * g[i];
                v[i] = 0.999 * v[i] + 0.001 * g[i] * g[i];
                let m_hat = m[i] / (1.0 - 0.9f64.powi(t));
                let v_hat: f64 = v[i] / (1.0 - 0.999f64.powi(t));
                w[i] = w[i] * (1.0 - 0.05 * 0.1) - 0.05 * m_hat / (v_hat.sqrt() + 1e-8);
            }
            let loss = module.forward(x.clone()).square().sum();
            let grads = gradients(loss, &module);
            module = optimizer.step(0.05, module, grads);
            for (got, want) in weight(&module).iter().zip(w) {
                assert!((got - want).abs() < 1e-6, "step {t}: {got} {want}");
            }
        }
    }

    /// Numbers without pattern in `[-1, 1)`, `[n]`.
    fn numbers(n: usize, salt: u64) -> Tensor<1> {
        let word = |i| crate::train::seed::mix(salt, i) >> 40;
        let values = (0..n as u64).map(|i| word(i) as f32 / (1u64 << 23) as f32 - 1.0);
        let values: Vec<f32> = values.collect();
        Tensor::from_data(TensorData::new(values, [n]), &Device::flex())
    }

    #[test]
    fn one_pass_over_slices_equals_the_tensor_operations() {
        let n = 100_003;
        let fresh = || Moments {
            exp_avg: Tensor::zeros([n], &Device::flex()),
            exp_avg_sq: Tensor::zeros([n], &Device::flex()),
            step: 0,
        };
        let (mut a, mut b) = ((numbers(n, 1), fresh()), (numbers(n, 1), fresh()));
        for step in 1..=3u32 {
            let now = Now {
                lr: 0.01 * f64::from(step),
                weight_decay: 0.1,
                grad_scale: if step == 2 { 0.37 } else { 1.0 },
            };
            let grad = numbers(n, 7 + u64::from(step));
            (a.1.step, b.1.step) = (step, step);
            a = a.1.update(now, a.0, grad.clone());
            b = b.1.update_slices(now, b.0, grad);
            for (a, b) in [(&a.0, &b.0), (&a.1.exp_avg_sq, &b.1.exp_avg_sq)] {
                let difference = (a.clone() - b.clone()).abs().max();
                assert!(difference.into_scalar::<f32>() <= 1e-7, "step {step}");
            }
        }
    }

    #[test]
    fn state_survives_the_round_trip_bit_for_bit() {
        let run = |reload: bool| {
            let (mut module, x) = setup();
            let mut optimizer = AdamW::new(0.1);
            for step in 0..4 {
                if reload && step == 2 {
                    let tensors = optimizer.to_tensors().into_iter().collect();
                    optimizer = AdamW::new(0.1);
                    optimizer.load_tensors(&tensors, &Device::flex()).unwrap();
                }
                let loss = module.forward(x.clone()).square().sum();
                let grads = gradients(loss, &module);
                module = optimizer.step(0.05, module, grads);
            }
            weight(&module)
        };
        assert_eq!(run(false), run(true));
    }

    #[test]
    fn a_gradient_that_is_no_number_ends_the_run_naming_the_step() {
        let (module, x) = setup();
        let mut trainer = Trainer::new(Schedule::Constant { lr: 0.1 }, 0.0, None);
        let loss = (module.forward(x) * f32::NAN).sum();
        let grads = gradients(loss, &module);
        let error = trainer.step(module, grads).unwrap_err();
        assert!(error.to_string().contains("step 1"), "{error}");
    }
}
