//! Layers that are computed twice draw the same dropout both times. Dropout has one generator per process, so this is a
//! program of its own with one test.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use bioverse_nn::params::{load_params, named_params};
use bioverse_nn::{CausalLm, DecoderConfig, LoraConfig};
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::prelude::*;
use burn::tensor::{Distribution, TensorData};

const SEED: u64 = 11;

fn model(layers: usize) -> CausalLm {
    let config = DecoderConfig {
        hidden_size: 16,
        intermediate_size: 24,
        num_hidden_layers: layers,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 4,
        vocab_size: 13,
        initializer_range: 0.3,
        ..Default::default()
    };
    let lora = LoraConfig {
        lora_dropout: 0.4,
        target_modules: vec!["all-linear".into()],
        ..LoraConfig::default()
    };
    let device = Device::flex();
    let lm = CausalLm::init(&config, &device)
        .apply_lora(&lora, &device.autodiff())
        .unwrap();
    let adapters = named_params(&lm).into_iter();
    let adapters = adapters.filter(|p| p.path.contains("lora_b")).map(|p| {
        let wave = |i: usize| ((i * 7 % 11) as f32 - 5.0) * 0.1;
        let values: Vec<f32> = (0..p.data.num_elements()).map(wave).collect();
        (p.path, TensorData::new(values, p.data.shape().clone()))
    });
    load_params(lm, adapters.collect()).unwrap().0
}

fn segments() -> Tensor<2, Int> {
    Tensor::from_data([[1, 1, 1, 2, 2], [1, 1, 1, 1, 0]], &Device::flex())
}

fn contrast(states: Tensor<3>) -> Tensor<1> {
    let first = states.clone().narrow(0, 0, 1);
    (first * states.narrow(0, 1, 1)).sum()
}

/// Loss, gradients of the adapters, gradient of the inputs.
fn twice(lm: &CausalLm, x: &Tensor<3>) -> (f32, Vec<f32>, Vec<f32>) {
    let pass = lm.checkpointed(x.clone(), segments(), SEED);
    let output = pass.output();
    let loss = contrast(pass.normed(output.clone()));
    let value = loss.clone().into_scalar();
    let gradient = output.grad(&loss.backward()).unwrap();
    let mut sum = GradientsAccumulator::new();
    let input = pass.backward(gradient, |found| {
        sum.accumulate(lm, GradientsParams::from_grads(found, lm))
    });
    let input = input.into_data().iter::<f32>().collect();
    (value, of_adapters(lm, &sum.grads()), input)
}

fn of_adapters(lm: &CausalLm, grads: &GradientsParams) -> Vec<f32> {
    let adapters = named_params(lm).into_iter();
    let adapters = adapters.filter(|p| p.path.contains("lora_"));
    let values = adapters.flat_map(|p| {
        grads
            .get::<2>(p.id)
            .unwrap()
            .into_data()
            .iter::<f32>()
            .collect::<Vec<_>>()
    });
    values.collect()
}

fn close(a: &[f32], b: &[f32], share: f32) {
    let largest = a.iter().map(|a| a.abs()).fold(0.0, f32::max);
    assert!(a.len() == b.len() && largest > 0.0);
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() <= share * largest, "{a} {b}");
    }
}

#[test]
fn both_passes_draw_the_same_dropout() {
    let x = Tensor::random([2, 5, 16], Distribution::Normal(0.0, 1.0), &Device::flex());

    // One layer: the whole graph draws the same numbers when it begins with the same seed.
    let lm = model(1);
    Device::flex().seed(SEED);
    let loss = contrast(lm.forward_packed(x.clone().autodiff(), segments()));
    let value: f32 = loss.clone().into_scalar();
    let whole = of_adapters(&lm, &GradientsParams::from_grads(loss.backward(), &lm));
    let (again, parts, _) = twice(&lm, &x);
    assert!((value - again).abs() < 1e-5);
    close(&whole, &parts, 1e-6);
    Device::flex().seed(SEED + 1);
    let other: f32 = contrast(lm.forward_packed(x.clone().autodiff(), segments())).into_scalar();
    assert!(
        (value - other).abs() > 1e-3,
        "dropout acts: {value} {other}"
    );

    // Three layers: the gradient is that of the function which the first pass computed.
    let lm = model(3);
    let (_, _, gradient) = twice(&lm, &x);
    let step = 1e-2f32;
    let values: Vec<f32> = x.to_data().iter::<f32>().collect();
    let slopes: Vec<f32> = (0..values.len())
        .step_by(7)
        .map(|at| {
            let moved = |by: f32| {
                let mut values = values.clone();
                values[at] += by;
                let x = Tensor::from_data(TensorData::new(values, [2, 5, 16]), &Device::flex());
                twice(&lm, &x).0
            };
            (moved(step) - moved(-step)) / (2.0 * step)
        })
        .collect();
    let gradient: Vec<f32> = gradient.into_iter().step_by(7).collect();
    close(&slopes, &gradient, 2e-2);
}
