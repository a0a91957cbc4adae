//! What gradient checkpointing saves, measured as the peak memory of a process of its own. The shapes are small;
//! `BIOVERSE_MEMORY=135m` takes those of a 135M Llama with 8 rows of 256 tokens, which takes minutes and prints its numbers.

use std::process::{Command, Stdio};
use std::time::Instant;

use bioverse_nn::{CausalLm, DecoderConfig, LoraConfig};
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::prelude::*;
use burn::tensor::Distribution;

const MODE: &str = "BIOVERSE_TEST_MODE";

struct Shape {
    config: DecoderConfig,
    batch: usize,
    len: usize,
}

fn shape() -> Shape {
    let large = std::env::var("BIOVERSE_MEMORY").is_ok_and(|name| name == "135m");
    let base = DecoderConfig {
        num_key_value_heads: 3,
        num_attention_heads: 9,
        ..Default::default()
    };
    match large {
        true => Shape {
            config: DecoderConfig {
                hidden_size: 576,
                intermediate_size: 1536,
                num_hidden_layers: 30,
                head_dim: 64,
                vocab_size: 49152,
                tie_word_embeddings: true,
                ..base
            },
            batch: 8,
            len: 256,
        },
        false => Shape {
            config: DecoderConfig {
                hidden_size: 72,
                intermediate_size: 192,
                num_hidden_layers: 16,
                head_dim: 8,
                vocab_size: 64,
                ..base
            },
            batch: 4,
            len: 128,
        },
    }
}

/// One forward and backward pass, and the norm of all gradients.
fn step(mode: &str, shape: &Shape) -> f64 {
    let plain = Device::flex();
    let training = match mode {
        "burn" => plain.clone().autodiff().gradient_checkpointing(),
        _ => plain.clone().autodiff(),
    };
    plain.seed(1);
    let lora = LoraConfig {
        target_modules: vec!["all-linear".into()],
        ..LoraConfig::default()
    };
    let lm = CausalLm::init(&shape.config, &plain);
    let lm = lm.apply_lora(&lora, &training).unwrap();
    let size = [shape.batch, shape.len, shape.config.hidden_size];
    let x = Tensor::random(size, Distribution::Normal(0.0, 1.0), &plain);
    let segments = Tensor::<2, Int>::ones([shape.batch, shape.len], &plain);
    let loss = |states: Tensor<3>| (states.clone().narrow(0, 0, 1) * states.narrow(0, 1, 1)).sum();
    let mut sum = GradientsAccumulator::new();
    let mut add = |found| sum.accumulate(&lm, GradientsParams::from_grads(found, &lm));
    match mode {
        "recomputed" => {
            let pass = lm.checkpointed(x, segments, 7);
            let output = pass.output();
            let gradients = loss(pass.normed(output.clone())).backward();
            let last = output.grad(&gradients).unwrap();
            add(gradients);
            pass.backward(last, &mut add);
        }
        _ => {
            let x = Tensor::<3>::from_data(x.into_data(), &training).require_grad();
            add(loss(lm.forward_packed(x, segments)).backward());
        }
    }
    bioverse::train::global_norm(&lm, sum.grads()).1
}

/// Not a test: one pass in a process of its own, started by the test below.
#[test]
#[ignore = "started by the test below"]
fn child() {
    let Ok(mode) = std::env::var(MODE) else {
        return;
    };
    let start = Instant::now();
    let norm = step(&mode, &shape());
    let seconds = start.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    let peak = line.split_whitespace().nth(1).unwrap();
    println!("measured {norm} {peak} {seconds}");
}

/// Norm of the gradients, peak in MB, seconds.
fn measure(mode: &str) -> [f64; 3] {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--ignored", "--exact", "--nocapture"])
        .env(MODE, mode)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let text = String::from_utf8(child.stdout).unwrap();
    let line = text
        .split("measured ")
        .nth(1)
        .unwrap_or_else(|| panic!("{mode}: {text}"));
    let numbers: Vec<f64> = line
        .split_whitespace()
        .take(3)
        .map(|n| n.parse().unwrap())
        .collect();
    println!(
        "{mode}: norm {:.6}, peak {:.0} MB, {:.2} s",
        numbers[0],
        numbers[1] / 1024.0,
        numbers[2]
    );
    [numbers[0], numbers[1] / 1024.0, numbers[2]]
}

#[test]
#[cfg(target_os = "linux")]
fn recomputing_layers_needs_less_memory_for_the_same_gradients() {
    let [whole, burn, recomputed] = ["whole", "burn", "recomputed"].map(measure);
    for other in [burn, recomputed] {
        assert!(
            (whole[0] - other[0]).abs() < 1e-4 * whole[0],
            "{whole:?} {other:?}"
        );
    }
    assert!(
        recomputed[1] < 0.6 * whole[1],
        "{recomputed:?} of {whole:?} MB"
    );
}
