//! Values by the formulas, gradients by finite differences, and that equal things are never pushed apart.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::info_nce::{bio_to_text, text_to_bio};
use super::siglip::{BIAS, Bias};
use super::*;

const N: usize = 4;
const D: usize = 3;
const TEMPERATURE: f64 = 0.5;

fn device() -> Device {
    Device::flex()
}

/// Numbers without pattern, the same every time.
fn numbers(count: usize, salt: u64) -> Vec<f32> {
    let word = |n| crate::train::seed::mix(salt, n) >> 40;
    (0..count as u64)
        .map(|n| word(n) as f32 / (1u64 << 23) as f32 - 1.0)
        .collect()
}

fn matrix(values: &[f32]) -> Tensor<2> {
    let shape = [values.len() / D, D];
    Tensor::from_data(TensorData::new(values.to_vec(), shape), &device())
}

fn value(tensor: Tensor<1>) -> f64 {
    tensor.into_data().iter::<f64>().next().unwrap()
}

/// Pairs 0 and 2 belong together, 1 and 3 are `cell` to each other.
fn relations(cell: Cell) -> Relations {
    Relations::new(N, |i, j| match (i, j) {
        (0, 2) => Cell::Positive,
        (1, 3) => cell,
        _ => Cell::Negative,
    })
}

/// Everything that can be minimised, of (bio, text, log of the scale, bias).
type Loss = fn(Tensor<2>, Tensor<2>, Tensor<1>, Tensor<1>, &Relations) -> Tensor<1>;

fn logits(bio: Tensor<2>, text: Tensor<2>, scale: Tensor<1>) -> Logits {
    let negatives = matrix(&numbers(2 * D, 9));
    Logits::new(
        bio,
        text,
        Some(negatives),
        &Scale::Learnt(Box::new(scale.exp())),
    )
}

const LOSSES: [(&str, Loss); 3] = [
    ("both directions", |bio, text, scale, _, relations| {
        let logits = logits(bio, text, scale);
        let back = text_to_bio(&logits, relations);
        (bio_to_text(logits, relations) + back) / 2.0
    }),
    ("records to texts", |bio, text, scale, _, relations| {
        bio_to_text(logits(bio, text, scale), relations)
    }),
    ("siglip", |bio, text, scale, bias, relations| {
        siglip(
            logits(bio, text, scale),
            &Bias::Learnt(Box::new(bias)),
            relations,
        )
    }),
];

fn all_relations() -> [Relations; 3] {
    [
        Relations::apart(N),
        relations(Cell::LeftOut),
        relations(Cell::Positive),
    ]
}

#[test]
fn gradients_equal_finite_differences() {
    let scalar = |x: f32| Tensor::<1>::from_floats([x], &device());
    let (text, scale, bias) = (matrix(&numbers(N * D, 2)), 0.7f32, -1.5f32);
    for (name, loss) in LOSSES {
        for relations in all_relations() {
            let at = |x: &[f32]| {
                let (bio, rest) = x.split_at(N * D);
                let (scale, bias) = (scalar(rest[0]), scalar(rest[1]));
                value(loss(matrix(bio), text.clone(), scale, bias, &relations))
            };
            let point = [numbers(N * D, 1), vec![scale, bias]].concat();
            let bio = matrix(&point[..N * D]).autodiff().require_grad();
            let scale = scalar(scale).autodiff().require_grad();
            let bias = scalar(bias).autodiff().require_grad();
            let of = loss(
                bio.clone(),
                text.clone(),
                scale.clone(),
                bias.clone(),
                &relations,
            );
            let grads = of.backward();
            let mut grad: Vec<f64> = bio.grad(&grads).unwrap().into_data().iter().collect();
            grad.push(value(scale.grad(&grads).unwrap()));
            grad.push(bias.grad(&grads).map_or(0.0, value));
            for (i, grad) in grad.iter().enumerate() {
                let moved = |step: f32| {
                    let mut moved = point.clone();
                    moved[i] += step;
                    at(&moved)
                };
                let numeric = (moved(1e-2) - moved(-1e-2)) / 2e-2;
                let close = (grad - numeric).abs() < 2e-3 * (1.0 + numeric.abs());
                assert!(close, "{name}, {relations:?}, {i}: {grad} {numeric}");
            }
        }
    }
}

fn cosine(bio: &[f32], i: usize, text: &[f32], j: usize) -> f64 {
    let row = |values: &[f32], row: usize| -> Vec<f64> {
        let row: Vec<f64> = values[row * D..][..D]
            .iter()
            .map(|x| f64::from(*x))
            .collect();
        let length = row.iter().map(|x| x * x).sum::<f64>().sqrt();
        row.iter().map(|x| x / length).collect()
    };
    let (a, b) = (row(bio, i), row(text, j));
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn one_right_answer_is_the_usual_cross_entropy() {
    let (bio, text) = (numbers(N * D, 1), numbers(N * D, 2));
    let term = |cell: &dyn Fn(usize, usize) -> f64| -> f64 {
        let row = |i| -> f64 {
            let all: f64 = (0..N).map(|j| (cell(i, j) / TEMPERATURE).exp()).sum();
            all.ln() - cell(i, i) / TEMPERATURE
        };
        (0..N).map(row).sum::<f64>() / N as f64
    };
    let (a, b) = info_nce(matrix(&bio), matrix(&text), None, TEMPERATURE);
    assert!((value(a) - term(&|i, j| cosine(&bio, i, &text, j))).abs() < 1e-5);
    assert!((value(b) - term(&|i, j| cosine(&bio, j, &text, i))).abs() < 1e-5);
}

#[test]
fn several_right_answers_and_siglip_are_their_formulas() {
    let (bio, text) = (numbers(N * D, 1), numbers(N * D, 2));
    let is = |a: usize, b: usize, i: usize, j: usize| (i.min(j), i.max(j)) == (a, b);
    let right = |i: usize, j: usize| i == j || is(0, 2, i, j);
    let wrong = |i: usize, j: usize| !right(i, j) && !is(1, 3, i, j);
    let s = |i: usize, j: usize| cosine(&bio, i, &text, j) / TEMPERATURE;
    let row = |i: usize| -> f64 {
        let against: f64 = (0..N).filter(|j| wrong(i, *j)).map(|j| s(i, j).exp()).sum();
        let right: Vec<usize> = (0..N).filter(|j| right(i, *j)).collect();
        let share = |j: &usize| (s(i, *j).exp() / (s(i, *j).exp() + against)).ln();
        -right.iter().map(share).sum::<f64>() / right.len() as f64
    };
    let relations = relations(Cell::LeftOut);
    let scale = Scale::Fixed(TEMPERATURE);
    let logits = Logits::new(matrix(&bio), matrix(&text), None, &scale);
    let expected = (0..N).map(row).sum::<f64>() / N as f64;
    assert!((value(bio_to_text(logits.clone(), &relations)) - expected).abs() < 1e-5);
    let judged = |i: usize, j: usize| match (right(i, j), wrong(i, j)) {
        (true, _) => (1.0 + (-(s(i, j) + BIAS)).exp()).ln(),
        (_, true) => (1.0 + (s(i, j) + BIAS).exp()).ln(),
        _ => 0.0,
    };
    let cells = (0..N * N).map(|at| judged(at / N, at % N));
    let expected = cells.sum::<f64>() / N as f64;
    assert!((value(siglip(logits, &Bias::Fixed(BIAS), &relations)) - expected).abs() < 1e-4);
}

#[test]
fn negatives_raise_the_first_term_only() {
    let (bio, text) = (matrix(&numbers(N * D, 1)), matrix(&numbers(N * D, 2)));
    let (a, b) = info_nce(bio.clone(), text.clone(), None, TEMPERATURE);
    let (a_more, b_same) = info_nce(bio, text, Some(matrix(&numbers(D, 9))), TEMPERATURE);
    assert!(value(a_more) > value(a) + 1e-3);
    assert_eq!(value(b), value(b_same));
}

/// Gradients of a loss with respect to every logit.
fn by_logit(pairs: &[f32], loss: impl Fn(Logits) -> Tensor<1>) -> Vec<f64> {
    let data = TensorData::new(pairs.to_vec(), [N, N]);
    let x = Tensor::<2>::from_data(data, &device())
        .autodiff()
        .require_grad();
    let logits = Logits {
        pairs: x.clone(),
        extra: None,
    };
    let grads = loss(logits).backward();
    x.grad(&grads).unwrap().into_data().iter().collect()
}

#[test]
fn no_right_answer_is_ever_pushed_away_and_no_wrong_one_pulled() {
    // Logits from 1/20 to 20 times the usual spread; the own text wins in some, an equal one in others.
    for salt in 0..40 {
        let spread = [0.05, 1.0, 20.0][salt as usize % 3];
        let pairs: Vec<f32> = numbers(N * N, salt).iter().map(|x| x * spread).collect();
        for relations in all_relations() {
            let both =
                |logits: Logits| text_to_bio(&logits, &relations) + bio_to_text(logits, &relations);
            let pushes = [
                by_logit(&pairs, both),
                by_logit(&pairs, |logits| {
                    siglip(logits, &Bias::Fixed(-1.0), &relations)
                }),
            ];
            let cells: Vec<f32> = relations
                .matrix(N, |cell| cell as u8 as f32)
                .iter()
                .collect();
            for push in pushes.iter().flat_map(|of| of.iter().zip(&cells)) {
                match push {
                    (gradient, 0.0) => assert!(*gradient <= 0.0, "pushed apart: {gradient}"),
                    (gradient, 1.0) => assert!(*gradient >= 0.0, "pulled together: {gradient}"),
                    (gradient, _) => assert_eq!(*gradient, 0.0, "left out"),
                }
            }
        }
    }
}

#[test]
fn a_batch_of_one_label_teaches_nothing_wrong() {
    let all = Relations::new(N, |_, _| Cell::Positive);
    let pushes = by_logit(&numbers(N * N, 3), |logits| bio_to_text(logits, &all));
    assert!(
        pushes
            .iter()
            .all(|gradient| *gradient <= 0.0 && gradient.is_finite())
    );
}
