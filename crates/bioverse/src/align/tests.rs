//! Objectives on whole targets: the tiny models and molecules of the repository, gradients of the projector's own parameters.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};

use bioverse_core::Projector;
use bioverse_nn::{CausalLm, Tokenizer};
use burn::module::Param;
use burn::optim::GradientsParams;
use burn::prelude::*;

use super::aligner::Aligner;
use super::autoregressive::Teacher;
use super::contrast::Contrast;
use super::target::{Sources, Target};
use super::*;
use crate::registry::standard;
use crate::train::MicroBatch;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The tiny configuration with values replaced, its paths made to hold from anywhere.
fn config(sets: &[&str]) -> RunConfig {
    let at = |path: &str| root().join(path).display().to_string();
    let mut all = vec![
        format!("llm.path={}", at("tests/golden/llama")),
        format!("modality.molecule.path={}", at("tests/golden/chemberta")),
        format!("data.train={}", at("tests/data/molecules.jsonl")),
        "run.cache=false".to_string(),
        "data.limit=10".to_string(),
        "align.batch_size=8".to_string(),
        "projector.hidden_sizes=[6, 5]".to_string(),
        "projector.dropout=0.0".to_string(),
        "projector.task_token=true".to_string(),
    ];
    all.extend(sets.iter().map(|set| set.to_string()));
    let file = root().join("configs/tiny-align.toml");
    RunConfig::load(&file, &all, &standard()).unwrap().config
}

fn target(config: &RunConfig, device: &Device) -> Target {
    let registry = standard();
    let names = ["molecule".to_string()];
    let data = Data::read(config, &names, &mut Screen::default()).unwrap();
    let (train, held_out) = data.pairs.into_iter().next().unwrap();
    let sources = Sources::open(config, &registry, &config.llm.path, device).unwrap();
    sources.target("molecule", train, held_out).unwrap()
}

/// The first micro-batch of an aligner.
type First<'a> = Box<dyn Fn(&Aligner) -> MicroBatch + 'a>;

fn first<'a>(config: &'a RunConfig, target: &'a Target, device: &'a Device) -> First<'a> {
    match &target.llm {
        None => {
            let contrast = Contrast::new(&config.align, target, 1, device);
            Box::new(move |aligner| contrast.micro_batch(aligner, 0, 1.0).unwrap())
        }
        Some(llm) => {
            let teacher = Teacher::new(llm.clone(), config, target, 1, device).unwrap();
            Box::new(move |aligner| teacher.micro_batch(aligner, 0, 1.0).unwrap())
        }
    }
}

fn aligner(config: &RunConfig, projector: Projector) -> Aligner {
    Aligner::new(projector, &config.align, &Device::flex().autodiff())
}

/// Gradients of every parameter, in one order.
fn gradients(aligner: &Aligner, grads: &GradientsParams) -> Vec<f64> {
    struct All<'a>(&'a GradientsParams, Vec<f64>);
    impl burn::module::ModuleVisitor for All<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let shape = param.val().dims();
            let grad = self.0.get::<D>(param.id);
            let grad = grad.unwrap_or_else(|| Tensor::zeros(shape, &Device::flex()));
            self.1.extend(grad.into_data().iter::<f64>());
        }
    }
    let mut all = All(grads, vec![]);
    aligner.visit(&mut all);
    all.1
}

const OBJECTIVES: [&[&str]; 6] = [
    &["align.learn_temperature=true"],
    &["align.direction=bio-to-text", "align.positives=none"],
    &["align.objective=siglip", "align.learn_temperature=true"],
    &[
        "align.text_space=raw",
        "align.positives=group",
        "data.group_field=group",
    ],
    &[
        "align.bio_from=hidden-states",
        "align.text_from=hidden-states",
        "align.text_layer=2",
    ],
    &["align.objective=autoregressive", "align.batch_size=4"],
];

#[test]
fn gradients_of_every_objective_equal_finite_differences() {
    let device = Device::flex();
    for sets in OBJECTIVES {
        let config = config(sets);
        let target = target(&config, &device);
        let of = first(&config, &target, &device);
        let start = aligner(&config, target.projector.clone());
        let tensors = target.projector.to_tensors();
        let grads = of(&start).grads;
        for name in ["fc1.bias", "ln2.weight", "fc3.weight", "task_token"] {
            let number = tensors.iter().position(|(path, _)| path == name).unwrap();
            let along = direction(&tensors[number].1);
            let moved = |step: f32| {
                let mut tensors: std::collections::BTreeMap<_, _> =
                    tensors.iter().cloned().collect();
                tensors.insert(name.to_string(), along_by(&tensors[name], &along, step));
                let projector = target.projector.clone().load_tensors(&tensors).unwrap();
                of(&aligner(&config, projector)).loss
            };
            let numeric = (moved(2e-3) - moved(-2e-3)) / 4e-3;
            let grad = slope(&start.projector, &grads, name, &along);
            let close = (grad - numeric).abs() < 2e-2 * (0.02 + numeric.abs());
            assert!(close, "{sets:?}, {name}: {grad} {numeric}");
            let read = name != "task_token"
                || config.align.objective == crate::config::Objective::Autoregressive
                || config.align.bio_from == crate::config::BioSource::HiddenStates;
            assert_eq!(numeric.abs() > 1e-6, read, "{sets:?}, {name}: {numeric}");
        }
    }
}

/// A direction without pattern, of length one.
fn direction(like: &TensorData) -> Vec<f32> {
    let word = |n| crate::train::seed::mix(8, n) >> 40;
    let numbers =
        (0..like.num_elements() as u64).map(|n| word(n) as f32 / (1u64 << 23) as f32 - 1.0);
    let numbers: Vec<f32> = numbers.collect();
    let length = numbers.iter().map(|x| x * x).sum::<f32>().sqrt();
    numbers.iter().map(|x| x / length).collect()
}

fn along_by(start: &TensorData, along: &[f32], step: f32) -> TensorData {
    let moved = start.iter::<f32>().zip(along).map(|(x, a)| x + step * a);
    TensorData::new(moved.collect::<Vec<f32>>(), start.shape().clone())
}

/// The gradient of one parameter, under its stored name and layout, along a direction.
fn slope(projector: &Projector, grads: &GradientsParams, name: &str, along: &[f32]) -> f64 {
    struct AsValues<'a>(&'a GradientsParams);
    impl burn::module::ModuleMapper for AsValues<'_> {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let (id, value, mapper) = param.consume();
            let grad = self
                .0
                .get::<D>(id)
                .unwrap_or_else(|| value.clone().inner().zeros_like());
            Param::from_mapped_value(id, Tensor::from_inner(grad), mapper)
        }
    }
    let as_values = projector.clone().map(&mut AsValues(grads));
    let tensors = as_values.to_tensors();
    let (_, grad) = tensors.iter().find(|(path, _)| path == name).unwrap();
    let dot = grad.iter::<f32>().zip(along).map(|(g, a)| f64::from(g * a));
    dot.sum()
}

#[test]
fn chunks_give_the_gradients_of_the_whole_batch() {
    let device = Device::flex();
    for sets in &OBJECTIVES[..5] {
        let whole = config(sets);
        let target = target(&whole, &device);
        let start = aligner(&whole, target.projector.clone());
        let expected = first(&whole, &target, &device)(&start);
        let by_hand = gradients(&start, &expected.grads);
        let norm = by_hand.iter().map(|x| x * x).sum::<f64>().sqrt();
        assert!(norm > 1e-4, "{sets:?}: {norm}");
        for size in [1, 3, 8] {
            let mut chunked = whole.clone();
            chunked.align.micro_batch_size = Some(size);
            let found = first(&chunked, &target, &device)(&start);
            assert!((found.loss - expected.loss).abs() < 1e-5 * expected.loss.abs());
            assert_eq!(found.rows, 8);
            let found = gradients(&start, &found.grads);
            let squares = found.iter().zip(&by_hand).map(|(a, b)| (a - b) * (a - b));
            let off = squares.sum::<f64>().sqrt() / norm;
            assert!(off < 1e-5, "{sets:?} in chunks of {size}: off by {off}");
        }
    }
}

#[test]
fn an_answer_cannot_be_read_off_the_state_of_its_record() {
    let device = Device::flex();
    let of = |answer: &str| {
        let config = config(OBJECTIVES[4]);
        let names = ["molecule".to_string()];
        let data = Data::read(&config, &names, &mut Screen::default()).unwrap();
        let (mut train, _) = data.pairs.into_iter().next().unwrap();
        for messages in &mut train.messages {
            messages[1].content = answer.to_string();
        }
        let llm = CausalLm::load(&config.llm.path, &device).unwrap();
        let tokenizer = Tokenizer::load(&config.llm.path).unwrap();
        let models = (&llm, &tokenizer);
        let rows = conversations::lay_out(&config, models, ("molecule", 3), &train).unwrap();
        let layout = rows.layout(&[0]).unwrap();
        assert!(layout.targets().is_empty());
        layout.describe(0, |ids| tokenizer.decode(ids).unwrap())
    };
    assert_eq!(of("one"), of("something else entirely"));
}
