//! The whole projector against its definition, its gradients against finite differences, its parameters there and back.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use burn::{
    optim::GradientsParams,
    tensor::{Distribution, TensorData},
};

use super::*;

mod stored;

const D_HIDDEN: usize = 5;
const D_MODEL: usize = 4;

fn small(preset: Preset) -> ProjectorConfig {
    let hidden_sizes = match preset {
        Preset::Paper => vec![7, 6],
        Preset::AuthorCode => vec![7],
        Preset::Linear => vec![],
    };
    ProjectorConfig {
        preset,
        hidden_sizes,
        ..Default::default()
    }
}

fn presets() -> [ProjectorConfig; 3] {
    [Preset::Paper, Preset::AuthorCode, Preset::Linear].map(small)
}

fn random<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
}

fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.to_data().iter::<f32>().collect()
}

fn close(a: &[f32], b: &[f32], tolerance: f32) {
    assert_eq!(a.len(), b.len());
    let worst = a
        .iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    assert!(worst <= tolerance, "differ by {worst}: {a:?} and {b:?}");
}

fn stored(projector: &Projector) -> BTreeMap<String, TensorData> {
    projector.to_tensors().into_iter().collect()
}

/// Weights that no initialiser gives, norms and biases included.
fn randomised(config: &ProjectorConfig, device: &Device) -> Projector {
    let projector = config.init(D_HIDDEN, D_MODEL, device);
    let noise = |data: TensorData| {
        let size = data.num_elements();
        TensorData::new(
            values(&random([size], &Device::flex())),
            data.shape().clone(),
        )
    };
    let tensors = stored(&projector)
        .into_iter()
        .map(|(name, data)| (name, noise(data)))
        .collect();
    projector.load_tensors(&tensors).unwrap()
}

/// One token through the stored tensors, in loops.
fn by_hand(tensors: &BTreeMap<String, TensorData>, token: &[f32]) -> Vec<f32> {
    let get = |name: &str| {
        tensors
            .get(name)
            .map(|data| data.iter::<f32>().collect::<Vec<_>>())
    };
    let mut x = token.to_vec();
    for n in 1.. {
        let Some(weight) = get(&format!("fc{n}.weight")) else {
            break;
        };
        let bias = get(&format!("fc{n}.bias")).unwrap();
        let dot = |row: &[f32]| row.iter().zip(&x).map(|(w, x)| w * x).sum::<f32>();
        x = weight
            .chunks(x.len())
            .map(dot)
            .zip(bias)
            .map(|(y, b)| y + b)
            .collect();
        if !tensors.contains_key(&format!("fc{}.weight", n + 1)) {
            break;
        }
        if let (Some(gain), Some(shift)) =
            (get(&format!("ln{n}.weight")), get(&format!("ln{n}.bias")))
        {
            let mean = x.iter().sum::<f32>() / x.len() as f32;
            let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / x.len() as f32;
            let scale = (variance + 1e-5).sqrt();
            x = x
                .iter()
                .zip(gain.iter().zip(shift))
                .map(|(x, (g, s))| (x - mean) / scale * g + s)
                .collect();
        }
        x.iter_mut().for_each(|x| *x = x.max(0.0));
    }
    x
}

#[test]
fn projecting_is_what_the_stored_tensors_say() {
    let device = Device::flex();
    for config in presets() {
        let config = ProjectorConfig {
            num_soft_tokens: 2,
            task_token: true,
            ..config
        };
        let projector = randomised(&config, &device);
        let (tensors, pooled) = (stored(&projector), random([3, 2, D_HIDDEN], &device));
        let out = projector.project(pooled.clone()).embeds;
        assert_eq!(out.dims(), [3, projector.soft_len(), D_MODEL]);
        let task: Vec<f32> = tensors["task_token"].iter::<f32>().collect();
        let tokens: Vec<_> = values(&pooled)
            .chunks(D_HIDDEN)
            .map(|token| by_hand(&tensors, token))
            .collect();
        let wanted: Vec<f32> = tokens
            .chunks(2)
            .flat_map(|two| [two.concat(), task.clone()].concat())
            .collect();
        close(&values(&out), &wanted, 1e-4);
        let mean = |two: &[Vec<f32>]| {
            (0..D_MODEL)
                .map(|i| (two[0][i] + two[1][i]) / 2.0)
                .collect::<Vec<_>>()
        };
        close(
            &values(&projector.embed(pooled)),
            &tokens.chunks(2).flat_map(mean).collect::<Vec<_>>(),
            1e-4,
        );
    }
}

#[test]
fn fresh_parameters_have_the_published_shapes_and_scale() {
    let device = Device::flex();
    let projector = ProjectorConfig {
        task_token: true,
        ..Default::default()
    }
    .init(384, 64, &device);
    let shapes: Vec<_> = projector
        .to_tensors()
        .into_iter()
        .map(|(name, data)| (name, data.shape().to_vec()))
        .collect();
    let wanted: [(&str, &[usize]); 11] = [
        ("fc1.weight", &[1024, 384]),
        ("fc1.bias", &[1024]),
        ("ln1.weight", &[1024]),
        ("ln1.bias", &[1024]),
        ("fc2.weight", &[1024, 1024]),
        ("fc2.bias", &[1024]),
        ("ln2.weight", &[1024]),
        ("ln2.bias", &[1024]),
        ("fc3.weight", &[64, 1024]),
        ("fc3.bias", &[64]),
        ("task_token", &[64]),
    ];
    assert_eq!(
        shapes,
        wanted.map(|(name, shape)| (name.to_string(), shape.to_vec()))
    );
    let tensors = stored(&projector);
    for (name, fan_in) in [
        ("fc1.weight", 384.0),
        ("fc1.bias", 384.0),
        ("fc3.weight", 1024.0),
    ] {
        let bound = 1.0 / f32::sqrt(fan_in);
        let largest = tensors[name]
            .iter::<f32>()
            .map(f32::abs)
            .fold(0.0, f32::max);
        assert!(
            // The bound itself is rounded, by less than this.
            largest <= bound * (1.0 + 1e-6) && largest > 0.9 * bound,
            "{name}: {largest} for ±{bound}"
        );
    }
    let task: Vec<f32> = tensors["task_token"].iter::<f32>().collect();
    let spread = (task.iter().map(|x| x * x).sum::<f32>() / 64.0).sqrt();
    assert!(
        (0.01..0.04).contains(&spread),
        "an ordinary embedding's scale, not {spread}"
    );
    let widths = |preset| {
        ProjectorConfig {
            preset,
            ..Default::default()
        }
        .init(8, 4, &device)
        .to_tensors()
        .len()
    };
    assert_eq!((widths(Preset::AuthorCode), widths(Preset::Linear)), (4, 2));
}

#[test]
fn padding_has_no_influence_wherever_it_stands() {
    let device = Device::flex();
    let states = random([1, 3, D_HIDDEN], &device);
    let nothing = || Tensor::full([1, 1, D_HIDDEN], f32::NAN, &device);
    let real = |range: std::ops::Range<usize>| states.clone().slice(s![.., range]);
    let padded = Tensor::cat(
        vec![
            nothing(),
            real(0..1),
            nothing(),
            nothing(),
            real(1..3),
            nothing(),
        ],
        1,
    );
    let mask = |mask: &[bool]| {
        Tensor::<2, Bool>::from_data(TensorData::new(mask.to_vec(), [1, mask.len()]), &device)
    };
    for pooling in [Pooling::Mean, Pooling::First] {
        for k in 1..6 {
            let config = ProjectorConfig {
                num_soft_tokens: k,
                pooling,
                ..small(Preset::Linear)
            };
            let projector = config.init(D_HIDDEN, D_MODEL, &device);
            let plain = projector.pool(Hidden {
                states: states.clone(),
                mask: mask(&[true; 3]),
            });
            let holes = mask(&[false, true, false, false, true, true, false]);
            let pooled = projector.pool(Hidden {
                states: padded.clone(),
                mask: holes,
            });
            assert_eq!(pooled.dims(), [1, k, D_HIDDEN]);
            close(&values(&pooled), &values(&plain), 1e-6);
            let empty = projector.pool(Hidden {
                states: padded.clone(),
                mask: mask(&[false; 7]),
            });
            assert_eq!(values(&empty), vec![0.0; k * D_HIDDEN]);
        }
    }
}

/// Stored states and trained projectors meet in any mix of devices.
#[test]
fn states_or_parameters_may_be_without_a_graph() {
    let (plain, device) = (
        Device::flex(),
        Device::flex().autodiff().gradient_checkpointing(),
    );
    let config = ProjectorConfig {
        task_token: true,
        dropout: 0.0,
        ..small(Preset::Paper)
    };
    let states = random([2, 1, D_HIDDEN], &plain);
    let tracked = Tensor::<3>::from_data(states.to_data(), &device).require_grad();
    let projector = config.init(D_HIDDEN, D_MODEL, &plain);
    let wanted = projector.project(states.clone()).embeds;
    let out = projector.project(tracked.clone()).embeds;
    close(&values(&out), &values(&wanted), 1e-6);
    assert!(tracked.grad(&out.sum().backward()).is_some());
    let trained = config.init(D_HIDDEN, D_MODEL, &device);
    let out = trained.project(states).embeds;
    let gradients = GradientsParams::from_grads(out.sum().backward(), &trained);
    assert_eq!(gradients.len(), trained.to_tensors().len());
}

#[test]
fn mean_pooling_of_one_token_is_the_masked_mean() {
    let device = Device::flex();
    let states = Tensor::<3>::from_data([[[1.0, 10.0], [3.0, 30.0], [99.0, 99.0]]], &device);
    let mask = Tensor::<2, Bool>::from_data([[true, true, false]], &device);
    let pooled = small(Preset::Linear)
        .init(2, D_MODEL, &device)
        .pool(Hidden { states, mask });
    close(&values(&pooled), &[2.0, 20.0], 1e-6);
}

#[test]
fn dropout_acts_only_while_training() {
    let device = Device::flex().autodiff();
    device.seed(3);
    let config = ProjectorConfig {
        dropout: 0.5,
        ..small(Preset::Paper)
    };
    let projector = config.init(D_HIDDEN, D_MODEL, &device);
    let pooled = random([4, 1, D_HIDDEN], &Device::flex());
    let run = |projector: &Projector| values(&projector.project(pooled.clone()).embeds);
    assert_ne!(
        run(&projector),
        run(&projector),
        "two training passes drop different units"
    );
    let evaluated = run(&projector.valid());
    assert_eq!(evaluated, run(&projector.valid()));
    // A frozen projector does not drop, though it stays on the device that trains.
    close(&evaluated, &run(&projector.clone().freeze()), 1e-5);
    let author = ProjectorConfig {
        dropout: 0.5,
        ..small(Preset::AuthorCode)
    }
    .init(D_HIDDEN, D_MODEL, &device);
    assert_eq!(run(&author), run(&author), "this preset has no dropout");
}

#[test]
fn gradients_agree_with_finite_differences() {
    let (plain, device) = (Device::flex(), Device::flex().autodiff());
    plain.seed(11);
    let config = ProjectorConfig {
        num_soft_tokens: 2,
        task_token: true,
        dropout: 0.0,
        ..small(Preset::Paper)
    };
    let projector = randomised(&config, &device);
    let (pooled, weights) = (
        random([3, 2, D_HIDDEN], &plain),
        random([3, 3, D_MODEL], &plain),
    );
    let loss =
        |projector: &Projector| (projector.project(pooled.clone()).embeds * weights.clone()).sum();
    let gradients = GradientsParams::from_grads(loss(&projector).backward(), &projector);
    let tensors = stored(&projector);
    let gradient = |name: &str| -> Vec<f32> {
        let matrix =
            |layer: &Linear| values(&gradients.get::<2>(layer.weight.id).unwrap().transpose());
        match name {
            "fc1.weight" => matrix(&projector.layers[0]),
            "ln1.weight" => values(&gradients.get::<1>(projector.norms[0].gamma.id).unwrap()),
            "fc3.weight" => matrix(&projector.layers[2]),
            _ => values(
                &gradients
                    .get::<1>(projector.task_token.as_ref().unwrap().id)
                    .unwrap(),
            ),
        }
    };
    let step = 2e-3;
    for name in ["fc1.weight", "ln1.weight", "fc3.weight", "task_token"] {
        let slopes: Vec<f32> = (0..tensors[name].num_elements())
            .map(|i| {
                let moved = |by: f32| {
                    let mut data: Vec<f32> = tensors[name].iter::<f32>().collect();
                    data[i] += by;
                    let mut all = tensors.clone();
                    all.insert(
                        name.into(),
                        TensorData::new(data, tensors[name].shape().clone()),
                    );
                    loss(&projector.valid().load_tensors(&all).unwrap()).into_scalar::<f32>()
                };
                (moved(step) - moved(-step)) / (2.0 * step)
            })
            .collect();
        let found = gradient(name);
        let scale = found.iter().map(|g| g.abs()).fold(1.0, f32::max);
        close(&slopes, &found, 2e-2 * scale);
    }
}
