//! Gradient caching with dropout against the whole batch, through the library. It is alone in its process: dropout draws
//! from one generator per process.

use std::cell::Cell;

use bioverse::align::aligner::Aligner;
use bioverse::align::gradient_cache::micro_batch;
use bioverse::align::objective::info_nce::{bio_to_text, text_to_bio};
use bioverse::align::objective::{self, Logits, Relations, siglip};
use bioverse::config::{AlignSection, Objective};
use bioverse::train::gradients;
use bioverse::train::seed::seeded;
use bioverse_core::ProjectorConfig;
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::prelude::*;

/// Gradients of everything that learns, as one list.
fn flat(aligner: &Aligner, grads: &GradientsParams) -> Vec<f64> {
    struct All<'a>(&'a GradientsParams, Vec<f64>);
    impl ModuleVisitor for All<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(grad) = self.0.get::<D>(param.id) {
                self.1.extend(grad.into_data().iter::<f64>());
            }
        }
    }
    let mut all = All(grads, vec![]);
    aligner.visit(&mut all);
    all.1
}

#[test]
fn gradient_caching_equals_the_big_batch_with_dropout_and_a_learnt_temperature() {
    let plain = Device::flex();
    let device = plain.clone().autodiff();
    let (n, sizes) = (12, [5, 5, 2]);
    let recipe = ProjectorConfig {
        hidden_sizes: vec![16, 16],
        num_soft_tokens: 2,
        dropout: 0.5,
        ..ProjectorConfig::default()
    };
    device.seed(3);
    let random =
        |shape| Tensor::<3>::random(shape, burn::tensor::Distribution::Normal(0.0, 1.0), &plain);
    let pooled = random([n, 2, 6]);
    let text = random([n, 1, 8]).squeeze_dim::<2>(1);
    let extra = random([4, 1, 8]).squeeze_dim::<2>(1);
    let relations = Relations::new(n, |i, j| match (i % 4 == j % 4, j == 11) {
        (true, _) => objective::Cell::Positive,
        (_, true) => objective::Cell::LeftOut,
        _ => objective::Cell::Negative,
    });
    type Loss<'a> = &'a dyn Fn(&Aligner, Tensor<2>) -> Tensor<1>;
    let logits = |aligner: &Aligner, bio| {
        Logits::new(bio, text.clone(), Some(extra.clone()), &aligner.scale())
    };
    let both = |aligner: &Aligner, bio: Tensor<2>| {
        let logits = logits(aligner, bio);
        (text_to_bio(&logits, &relations) + bio_to_text(logits, &relations)) / 2.0
    };
    let one = |aligner: &Aligner, bio: Tensor<2>| bio_to_text(logits(aligner, bio), &relations);
    let pairwise =
        |aligner: &Aligner, bio| siglip(logits(aligner, bio), &aligner.bias(), &relations);
    let objectives: [(Objective, Loss<'_>); 3] = [
        (Objective::InfoNce, &both),
        (Objective::InfoNce, &one),
        (Objective::Siglip, &pairwise),
    ];
    for (objective, loss) in objectives {
        let align = AlignSection {
            objective,
            learn_temperature: true,
            ..AlignSection::default()
        };
        // Parameters are drawn before anything is compared, not where they are first read.
        let fresh = || Ok(Aligner::new(recipe.init(6, 8, &device), &align, &device));
        let aligner: Result<Aligner, bioverse::Error> = seeded(&device, 3, fresh);
        let aligner = aligner.expect("an aligner");
        let passes = Cell::new(0);
        let vectors = |chunk: usize| {
            plain.seed(100 + chunk as u64);
            passes.set(passes.get() + 1);
            let start: usize = sizes[..chunk].iter().sum();
            let rows = pooled.clone().narrow(0, start, sizes[chunk]);
            Ok(aligner.projector.embed(rows))
        };
        let whole: Result<Vec<_>, bioverse::Error> = (0..3).map(vectors).collect();
        let big = loss(&aligner, Tensor::cat(whole.expect("vectors"), 0));
        let value: f64 = big.clone().into_data().iter::<f64>().sum();
        let expected = flat(&aligner, &gradients(big * 0.25, &aligner));
        let batch = micro_batch(&aligner, &sizes, 0.25, vectors, |bio| loss(&aligner, bio));
        let batch = batch.expect("a micro-batch");
        assert_eq!((passes.get(), batch.rows), (9, n));
        assert!((batch.loss - value).abs() < 1e-5 * value.abs());
        let found = flat(&aligner, &batch.grads);
        assert_eq!(found.len(), expected.len());
        let length = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
        let off: Vec<f64> = found.iter().zip(&expected).map(|(a, b)| a - b).collect();
        let relative = length(&off) / length(&expected);
        assert!(relative < 1e-5, "{objective:?}: off by {relative}");
        // The gradients of temperature and bias come last, and they are not lost.
        assert!(expected[expected.len() - 1].abs() > 1e-6);
        // Other masks are another gradient: the agreement above is that of dropout too.
        let other = |chunk: usize| {
            plain.seed(900 + chunk as u64);
            let start: usize = sizes[..chunk].iter().sum();
            Ok(aligner
                .projector
                .embed(pooled.clone().narrow(0, start, sizes[chunk])))
        };
        let batch = micro_batch(&aligner, &sizes, 0.25, other, |bio| loss(&aligner, bio));
        let found = flat(&aligner, &batch.expect("a micro-batch").grads);
        let off: Vec<f64> = found.iter().zip(&expected).map(|(a, b)| a - b).collect();
        assert!(length(&off) / length(&expected) > 1e-2);
    }
}
