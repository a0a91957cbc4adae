//! Properties of the decoder: cache, padding, gradients.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::Distribution;

use super::*;
use crate::LoraConfig;
use crate::params::{load_params, named_params};

fn config(model_type: &str) -> DecoderConfig {
    DecoderConfig {
        model_type: model_type.to_owned(),
        hidden_size: 16,
        intermediate_size: 24,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 6,
        vocab_size: 13,
        initializer_range: 0.3,
        tie_word_embeddings: model_type == "qwen2",
        sliding_windows: vec![None, (model_type == "mistral").then_some(3)],
        ..Default::default()
    }
}

fn model(model_type: &str) -> CausalLm {
    CausalLm::init(&config(model_type), &Device::flex())
}

fn embeds(batch: usize, len: usize) -> Tensor<3> {
    let normal = Distribution::Normal(0.0, 1.0);
    Tensor::random([batch, len, 16], normal, &Device::flex())
}

/// One row per string, `1` = token.
fn mask(rows: &[&str]) -> Tensor<2, Bool> {
    let len = rows[0].len();
    let values: Vec<bool> = rows
        .iter()
        .flat_map(|r| r.bytes().map(|b| b == b'1'))
        .collect();
    Tensor::<1, Bool>::from_data(values.as_slice(), &Device::flex()).reshape([rows.len(), len])
}

fn close(a: Tensor<3>, b: Tensor<3>) {
    let difference: f32 = (a - b).abs().max().into_scalar();
    assert!(difference < 1e-4, "{difference}");
}

#[test]
fn stepping_with_a_cache_equals_one_pass() {
    for family in DecoderConfig::SUPPORTED {
        let lm = model(family);
        let (x, mask) = (embeds(2, 7), mask(&["0011111", "1111111"]));
        let whole = lm.forward(x.clone(), mask.clone(), None);
        // Too little room on purpose: the cache grows.
        let mut cache = KvCache::new(&lm, 2, 5);
        let mut parts = Vec::new();
        for (from, to) in [(0, 4), (4, 5), (5, 7)] {
            let part = x.clone().narrow(1, from, to - from);
            parts.push(lm.forward(part, mask.clone().narrow(1, 0, to), Some(&mut cache)));
            assert_eq!(cache.len(), to);
        }
        let stepped = Tensor::cat(parts, 1);
        close(
            whole.clone().narrow(1, 2, 5),
            stepped.clone().narrow(1, 2, 5),
        );
        close(whole.narrow(0, 1, 1), stepped.narrow(0, 1, 1));
    }
}

#[test]
fn padding_side_and_batch_do_not_matter() {
    for family in DecoderConfig::SUPPORTED {
        let lm = model(family);
        let x = embeds(1, 4);
        let alone = lm.forward(x.clone(), mask(&["1111"]), None);
        let junk = embeds(1, 3);
        let left = Tensor::cat(vec![junk.clone(), x.clone()], 1);
        let right = Tensor::cat(vec![x, junk], 1);
        let both = Tensor::cat(vec![left, right], 0);
        let both = lm.forward(both, mask(&["0001111", "1111000"]), None);
        assert!(!both.clone().contains_nan().into_scalar::<bool>());
        close(alone.clone(), both.clone().slice([0..1, 3..7]));
        close(alone, both.slice([1..2, 0..4]));
    }
}

#[test]
fn the_future_is_invisible() {
    let lm = model("llama");
    let x = embeds(1, 5);
    let changed = Tensor::cat(vec![x.clone().narrow(1, 0, 3), embeds(1, 2)], 1);
    let (a, b) = (
        lm.forward(x, mask(&["11111"]), None),
        lm.forward(changed, mask(&["11111"]), None),
    );
    close(a.clone().narrow(1, 0, 3), b.clone().narrow(1, 0, 3));
    let after: f32 = (a - b).narrow(1, 3, 2).abs().max().into_scalar();
    assert!(after > 1e-2);
}

#[test]
fn gradients_reach_the_inputs_of_a_frozen_model() {
    let lm = model("llama");
    let device = Device::flex().autodiff();
    let x = embeds(1, 4);
    let mask = mask(&["1111"]);
    let loss = |x: Tensor<3>| lm.logits(lm.forward(x, mask.clone(), None)).square().mean();
    let input = Tensor::<3>::from_data(x.clone().into_data(), &device).require_grad();
    let grad = input.grad(&loss(input.clone()).backward()).unwrap();
    let direction = embeds(1, 4);
    let along: f32 = (grad * direction.clone()).sum().into_scalar();
    let slope = |step: f32| {
        let up: f32 = loss(x.clone() + direction.clone() * step).into_scalar();
        let down: f32 = loss(x.clone() - direction.clone() * step).into_scalar();
        (up - down) / (2.0 * step)
    };
    // Two step widths cancel the error of second order, which is what a random model may have a lot of.
    let difference = (4.0 * slope(1e-2) - slope(2e-2)) / 3.0;
    assert!(
        (along - difference).abs() < 2e-2 * along.abs().max(0.1),
        "{along} {difference}"
    );
}

#[test]
fn every_parameter_of_a_trainable_model_gets_a_gradient() {
    let device = Device::flex().autodiff();
    let lm = CausalLm::init(&config("qwen3"), &device);
    let ids = Tensor::<2, Int>::from_data([[1, 2, 3, 4]], &device);
    let mask = Tensor::from_data([[true; 4]], &device);
    let grads = lm
        .logits(lm.forward(lm.embed(ids), mask, None))
        .square()
        .mean()
        .backward();
    let with = burn::optim::GradientsParams::from_grads(grads, &lm).len();
    assert_eq!(with, crate::params::named_params(&lm).len());
}

#[test]
fn a_saved_model_comes_back() {
    for family in DecoderConfig::SUPPORTED {
        let (dir, lm) = (tempfile::tempdir().unwrap(), model(family));
        let (x, mask) = (embeds(1, 5), mask(&["11111"]));
        let want = lm.logits(lm.forward(x.clone(), mask.clone(), None));
        for (dtype, tolerance) in [(StoredDtype::F32, 1e-6), (StoredDtype::F16, 2e-2)] {
            lm.save(dir.path(), dtype).unwrap();
            let read = CausalLm::load(dir.path(), &Device::flex()).unwrap();
            let got = read.logits(read.forward(x.clone(), mask.clone(), None));
            let difference: f32 = (got - want.clone()).abs().max().into_scalar();
            assert!(difference < tolerance, "{family} {dtype:?} {difference}");
        }
    }
}

#[test]
fn a_tied_model_stores_no_head() {
    // While being trained, as pretraining saves it.
    let dir = tempfile::tempdir().unwrap();
    let lm = CausalLm::init(&config("qwen2"), &Device::flex().autodiff());
    lm.save(dir.path(), StoredDtype::F32).unwrap();
    let weights = Weights::open(dir.path()).unwrap();
    assert!(!weights.contains("lm_head.weight"));
    assert_eq!(
        weights.shape("model.layers.0.mlp.up_proj.weight").unwrap(),
        [24, 16]
    );
}

#[test]
fn a_missing_shape_or_folder_is_named() {
    let dir = tempfile::tempdir().unwrap();
    model("llama").save(dir.path(), StoredDtype::F32).unwrap();
    let config = dir.path().join("config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(
        &config,
        text.replace("\"vocab_size\": 13", "\"vocab_size\": 14"),
    )
    .unwrap();
    let text = CausalLm::load(dir.path(), &Device::flex())
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("expected shape [14, 16], found [13, 16]"),
        "{text}"
    );
    let nowhere = dir.path().join("nowhere");
    let text = CausalLm::load(&nowhere, &Device::flex())
        .unwrap_err()
        .to_string();
    assert!(text.contains("nowhere"), "{text}");
}

#[test]
fn packed_texts_equal_the_same_texts_alone() {
    for family in DecoderConfig::SUPPORTED {
        let lm = model(family);
        let (a, b, junk) = (embeds(1, 4), embeds(1, 5), embeds(1, 2));
        let row = Tensor::cat(vec![a.clone(), b.clone(), junk], 1);
        let segments = Tensor::from_data([[1, 1, 1, 1, 2, 2, 2, 2, 2, 0, 0]], &Device::flex());
        let packed = lm.forward_packed(row, segments);
        let alone = |x: Tensor<3>, ones: &str| lm.forward(x, mask(&[ones]), None);
        close(packed.clone().narrow(1, 0, 4), alone(a.clone(), "1111"));
        close(packed.clone().narrow(1, 4, 5), alone(b.clone(), "11111"));
        let joined = alone(Tensor::cat(vec![a, b], 1), "111111111");
        let leak: f32 = (joined - packed.narrow(1, 0, 9)).abs().max().into_scalar();
        assert!(
            leak > 1e-2,
            "without segments the second text sees the first"
        );
    }
}

/// Adapters on every layer that differ from zero, with dropout.
fn with_adapters(model_type: &str, dropout: f64) -> CausalLm {
    let lora = LoraConfig {
        lora_dropout: dropout,
        target_modules: vec!["all-linear".into()],
        ..LoraConfig::default()
    };
    let lm = model(model_type)
        .apply_lora(&lora, &Device::flex().autodiff())
        .unwrap();
    let values = named_params(&lm).into_iter();
    let values = values.filter(|p| p.path.contains("lora_b")).map(|p| {
        let wave = |i: usize| ((i * 7 % 11) as f32 - 5.0) * 0.05;
        let values: Vec<f32> = (0..p.data.num_elements()).map(wave).collect();
        (p.path, TensorData::new(values, p.data.shape().clone()))
    });
    load_params(lm, values.collect()).unwrap().0
}

/// A loss whose gradient no norm can cancel: the states of one row against those of the other.
fn contrast(states: Tensor<3>) -> Tensor<1> {
    let first = states.clone().narrow(0, 0, 1);
    (first * states.narrow(0, 1, 1)).sum()
}

/// Gradients of the adapters, in visiting order.
fn whole_graph(lm: &CausalLm, x: &Tensor<3>, segments: Tensor<2, Int>) -> Vec<Vec<f32>> {
    let x = Tensor::from_inner(x.clone()).require_grad();
    let out = lm.forward_packed(x.clone(), segments);
    let gradients = contrast(out).backward();
    adapter_gradients(lm, &GradientsParams::from_grads(gradients, lm))
}

fn adapter_gradients(lm: &CausalLm, grads: &GradientsParams) -> Vec<Vec<f32>> {
    let adapters = named_params(lm).into_iter();
    let adapters = adapters.filter(|p| p.path.contains("lora_"));
    let values = adapters.map(|p| {
        let grad = grads.get::<2>(p.id).expect("a gradient for every adapter");
        grad.into_data().iter::<f32>().collect()
    });
    values.collect()
}

fn recomputed(
    lm: &CausalLm,
    x: &Tensor<3>,
    segments: Tensor<2, Int>,
    seed: u64,
) -> (Vec<Vec<f32>>, Tensor<3>) {
    let pass = lm.checkpointed(x.clone(), segments, seed);
    let output = pass.output();
    let loss = contrast(pass.normed(output.clone()));
    let gradients = loss.backward();
    let gradient = output.grad(&gradients).unwrap();
    let mut sum = GradientsAccumulator::new();
    let input = pass.backward(gradient, |found| {
        sum.accumulate(lm, GradientsParams::from_grads(found, lm))
    });
    (adapter_gradients(lm, &sum.grads()), input)
}

/// Largest difference, as a share of the largest gradient.
fn farthest(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    assert_eq!(a.len(), b.len());
    let largest = a.iter().flatten().map(|a| a.abs()).fold(0.0, f32::max);
    let pairs = a.iter().flatten().zip(b.iter().flatten());
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest
}

/// Length of the difference, as a share of the length of `a`.
fn distance(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    let squares = |of: &mut dyn Iterator<Item = f32>| of.map(|x| x * x).sum::<f32>().sqrt();
    let pairs = a.iter().flatten().zip(b.iter().flatten());
    squares(&mut pairs.map(|(a, b)| a - b)) / squares(&mut a.iter().flatten().copied())
}

#[test]
fn recomputing_layers_gives_the_gradients_of_the_whole_graph() {
    let segments = || Tensor::from_data([[1, 1, 1, 2, 2, 2], [1, 1, 1, 1, 0, 0]], &Device::flex());
    for family in DecoderConfig::SUPPORTED {
        let lm = with_adapters(family, 0.0);
        let x = embeds(2, 6);
        let whole = whole_graph(&lm, &x, segments());
        let (parts, input) = recomputed(&lm, &x, segments(), 3);
        let off = farthest(&whole, &parts);
        assert!(off < 1e-6, "{family}: {off}");
        assert!(whole.iter().flatten().any(|g| g.abs() > 1e-3), "{family}");
        let tracked = Tensor::from_inner(x.clone()).require_grad();
        let loss = contrast(lm.forward_packed(tracked.clone(), segments()));
        let wanted = tracked.grad(&loss.backward()).unwrap();
        let values = |x: Tensor<3>| vec![x.into_data().iter::<f32>().collect::<Vec<_>>()];
        let off = farthest(&values(wanted), &values(input));
        assert!(off < 1e-6, "{family}: {off}");
    }
}

#[test]
fn half_precision_keeps_norms_logits_and_gradients_of_adapters_in_single() {
    use burn::tensor::DType;
    let segments = || Tensor::from_data([[1, 1, 1, 2, 2, 2], [1, 1, 1, 1, 0, 0]], &Device::flex());
    for family in DecoderConfig::SUPPORTED {
        let single = with_adapters(family, 0.0);
        let half = single.clone().into_bf16();
        let layer = &half.model.layers[0];
        assert_eq!(layer.mlp.up_proj.weight.val().dtype(), DType::BF16);
        assert_eq!(layer.input_layernorm.weight.val().dtype(), DType::F32);
        assert_eq!(half.model.norm.weight.val().dtype(), DType::F32);
        let adapter = layer.mlp.up_proj.lora.as_ref().unwrap();
        assert_eq!(adapter.lora_a.val().dtype(), DType::F32);
        let x = embeds(2, 6);
        let states = half.forward_packed(x.clone().cast(DType::BF16), segments());
        assert_eq!(states.dtype(), DType::BF16);
        let logits = half.logits(states);
        assert_eq!(logits.dtype(), DType::F32);
        let wanted = single.logits(single.forward_packed(x.clone(), segments()));
        // Of the whole, not of the worst number among hundreds, which depends on what was drawn.
        let values = |x: Tensor<3>| vec![x.inner().into_data().iter::<f32>().collect::<Vec<_>>()];
        let off = distance(&values(wanted), &values(logits));
        assert!(off > 0.0 && off < 0.05, "{family}: {off}");
        let whole = whole_graph(&single, &x, segments());
        let in_half = whole_graph(&half, &x.cast(DType::BF16), segments());
        let off = distance(&whole, &in_half);
        assert!(off > 0.0 && off < 0.1, "{family}: {off}");
    }
}
