//! Tests of the loop on one linear layer: going on equals not having stopped, and patience ends a run with its best.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::cell::RefCell;
use std::path::PathBuf;

use burn::module::Param;
use burn::nn::Linear;

use super::*;
use crate::train::checkpoint::trainable_params;

/// A layer of fixed numbers. Burn has one random generator per process, which other tests draw from at the same time; that
/// dropout survives is tested with the real program.
#[derive(Module, Debug)]
struct Toy {
    linear: Linear,
}

fn toy(device: &Device) -> Toy {
    let weight =
        Tensor::<2>::from_floats([[0.5, -0.2], [0.1, 0.3], [-0.4, 0.6], [0.2, 0.9]], device);
    let bias = Tensor::<1>::zeros([2], device);
    Toy {
        linear: Linear {
            weight: Param::from_tensor(weight),
            bias: Some(Param::from_tensor(bias)),
        },
    }
}

struct Place {
    metrics: PathBuf,
    checkpoint: Checkpoint,
}

impl Place {
    fn new(dir: &Path) -> Self {
        Self {
            metrics: dir.join("metrics.jsonl"),
            checkpoint: Checkpoint {
                dir: dir.join("checkpoint"),
                fingerprint: Default::default(),
            },
        }
    }

    fn stage<'a>(&'a self, device: &'a Device) -> Stage<'a> {
        Stage {
            label: "toy".into(),
            section: "align",
            steps: 12,
            accumulation: 2,
            lr: 0.1,
            warmup_steps: 2,
            weight_decay: 0.01,
            max_grad_norm: 1.0,
            seed: 5,
            device,
            metrics: &self.metrics,
            steps_before: 0,
            log_every: 1,
            checkpoint_every: 5,
            checkpoint: self.checkpoint.clone(),
            resume: false,
            keep: Keep {
                last: 1,
                best: true,
            },
            tensorboard: false,
            rates: Rates::default(),
            patience: None,
        }
    }
}

fn loss(module: &Toy, n: usize, scale: f64) -> Result<MicroBatch> {
    let device = module.linear.weight.val().device();
    let x = Tensor::<2>::ones([3, 4], &device) * ((n as f32).sin() + 1.5);
    let y = module.linear.forward(x);
    Ok(MicroBatch::of(module, y.square().mean(), 3, scale))
}

/// Every second step has a score, out of `scores`.
fn observe(scores: &[f64]) -> impl Fn(&Toy, usize) -> Result<Option<Observation>> + '_ {
    |_, step| {
        let score = (step % 2 == 0 && step > 0).then(|| scores[step / 2 - 1]);
        Ok(score.map(|score| Observation {
            score: Some(score),
            ..Observation::default()
        }))
    }
}

/// Lines of metrics without what depends on time.
fn lines(place: &Place) -> Vec<Fields> {
    let text = std::fs::read_to_string(&place.metrics).unwrap();
    let line = |line: &str| {
        let mut fields: Fields = serde_json::from_str(line).unwrap();
        for key in ["seconds", "rss_bytes", "gpu_bytes", "rows_per_s"] {
            fields.remove(key);
        }
        fields
    };
    text.lines().map(line).collect()
}

#[test]
fn a_run_that_dies_at_any_step_ends_like_one_that_did_not() {
    let device = Device::flex().autodiff();
    let scores = [0.1, 0.4, 0.2, 0.3, 0.2, 0.1];
    for patience in [None, Some(3)] {
        let whole = tempfile::tempdir().unwrap();
        let place = Place::new(whole.path());
        let stage = Stage {
            patience,
            ..place.stage(&device)
        };
        let end = run(&stage, toy(&device), loss, observe(&scores)).unwrap();
        let (params, told) = (trainable_params(&end), lines(&place));
        for dies in 1..24 {
            let dir = tempfile::tempdir().unwrap();
            let place = Place::new(dir.path());
            let calls = RefCell::new(0);
            let dying = |module: &Toy, n: usize, scale: f64| {
                *calls.borrow_mut() += 1;
                match *calls.borrow() == dies {
                    true => Err(Error::Run("killed".into())),
                    false => loss(module, n, scale),
                }
            };
            let stage = Stage {
                patience,
                ..place.stage(&device)
            };
            let _ = run(&stage, toy(&device), dying, observe(&scores));
            let resumed = Stage {
                resume: true,
                ..stage
            };
            let end = run(&resumed, toy(&device), loss, observe(&scores)).unwrap();
            assert_eq!(trainable_params(&end), params, "died in call {dies}");
            assert_eq!(lines(&place), told, "died in call {dies}");
        }
    }
}

#[test]
fn without_patience_the_last_and_with_it_the_best_is_returned() {
    let device = Device::flex().autodiff();
    let scores = [0.1, 0.4, 0.2, 0.4, 0.3, 0.9];
    let ends = |patience, steps| {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::new(dir.path());
        let stage = Stage {
            patience,
            steps,
            lr: 0.1,
            warmup_steps: 0,
            ..place.stage(&device)
        };
        let seen = RefCell::new(vec![]);
        let end = run(&stage, toy(&device), loss, |module: &Toy, step| {
            seen.borrow_mut().push(trainable_params(module));
            observe(&scores)(module, step)
        });
        let seen = seen.into_inner();
        let end = trainable_params(&end.unwrap());
        (
            seen.len() - 1,
            seen.iter().position(|params| *params == end),
        )
    };
    assert_eq!(ends(None, 12), (12, Some(12)));
    // Best at step 4; 6, 8 and 10 are not better.
    assert_eq!(ends(Some(3), 12), (10, Some(4)));
    // Patient enough to see the last one, which is the best.
    assert_eq!(ends(Some(4), 12), (12, Some(12)));
}

#[test]
fn a_run_that_only_gets_worse_still_returns_something_trained() {
    let device = Device::flex().autodiff();
    let dir = tempfile::tempdir().unwrap();
    let place = Place::new(dir.path());
    let stage = Stage {
        patience: Some(2),
        ..place.stage(&device)
    };
    let falling = |_: &Toy, step: usize| {
        Ok(Some(Observation {
            score: Some(-(step as f64)),
            ..Observation::default()
        }))
    };
    let start = toy(&device);
    let end = run(&stage, start.clone(), loss, falling).unwrap();
    assert_ne!(trainable_params(&end), trainable_params(&start));
    let steps: Vec<u64> = lines(&place)
        .iter()
        .map(|line| line["step"].as_u64().unwrap())
        .collect();
    assert_eq!(steps, [0, 1, 2, 3]);
}
