//! Measures against values computed by hand, and against what must be true of them.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::align::objective::info_nce::{bio_to_text, text_to_bio};
use crate::align::objective::{Cell, Logits, Relations, Scale};
use crate::train::seed::mix;
use burn::tensor::TensorData;

fn matrix<const N: usize, const D: usize>(rows: [[f32; D]; N]) -> Tensor<2> {
    Tensor::from_floats(rows, &Device::flex())
}

/// Numbers without pattern, the same every time.
fn random(n: usize, d: usize, salt: u64) -> Tensor<2> {
    let values: Vec<f32> = (0..(n * d) as u64)
        .map(|i| (mix(salt, i) >> 40) as f32 / (1u64 << 23) as f32 - 1.0)
        .collect();
    Tensor::from_data(TensorData::new(values, [n, d]), &Device::flex())
}

fn of(bio: Tensor<2>, text: Tensor<2>, texts: &[usize], records: &[usize]) -> Diagnosis {
    diagnose(bio, text, Numbers { texts, records }, 0.5)
}

fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");
}

#[test]
fn ranks_and_distances_are_counted_by_hand() {
    let bio = matrix([[1.0, 0.1], [0.1, 3.0], [1.0, 0.9]]);
    let text = matrix([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]);
    let found = of(bio, text, &[0, 1, 2], &[0, 1, 2]);
    // Records 0 and 1 find their text; that of record 2 is the farthest of three.
    near(found.to_text.mrr, (1.0 + 1.0 + 1.0 / 3.0) / 3.0);
    near(found.to_text.r1, 2.0 / 3.0);
    near(found.to_text.r5, 1.0);
    // Texts: 0 and 1 find theirs; to text 2 all three are far, record 2 the farthest.
    near(found.to_bio.mrr, (1.0 + 1.0 + 1.0 / 3.0) / 3.0);
    near(found.foscttm, 1.0 / 3.0);
    assert_eq!(found.texts, 3);
}

#[test]
fn geometry_of_unit_vectors_by_hand() {
    // Unit vectors: bio e1, e2; text e1, -e1.
    let bio = matrix([[2.0, 0.0], [0.0, 7.0]]);
    let text = matrix([[1.0, 0.0], [-3.0, 0.0]]);
    let found = of(bio, text, &[0, 1], &[0, 1]);
    // Centroids (½, ½) and (0, 0).
    near(found.modality_gap, 0.5f64.sqrt());
    // ‖e1 - e1‖² = 0, ‖e2 + e1‖² = 2.
    near(found.alignment, 1.0);
    // One pair of records at distance² 2, one of texts at 4.
    near(found.uniformity_bio, -4.0);
    near(found.uniformity_text, -8.0);
    // Record 1 is as far from both texts: rank 1.5. Text 1 prefers record 1 (cosine 0) to record 0 (-1).
    near(found.to_text.mrr, (1.0 + 1.0 / 1.5) / 2.0);
    near(found.to_bio.mrr, 1.0);
    near(found.foscttm, (0.25 + 0.0) / 2.0);
}

#[test]
fn what_is_said_twice_is_no_wrong_answer() {
    // Pairs 0 and 1 have one text; pairs 1 and 2 one record.
    let bio = matrix([[1.0, 0.0], [0.8, 0.6], [0.8, 0.6], [0.0, 1.0]]);
    let text = matrix([[1.0, 0.1], [1.0, 0.1], [0.7, 0.7], [0.0, 1.0]]);
    let found = of(bio, text, &[5, 5, 7, 9], &[0, 1, 1, 2]);
    assert_eq!(found.texts, 3);
    near(found.to_text.mrr, 1.0);
    near(found.to_bio.mrr, 1.0);
    near(found.foscttm, 0.0);
}

#[test]
fn vectors_that_are_all_alike_are_at_chance() {
    let n = 8;
    let same = Tensor::<2>::ones([n, 3], &Device::flex());
    let numbers: Vec<usize> = (0..n).collect();
    let found = of(same.clone(), same, &numbers, &numbers);
    near(found.foscttm, 0.5);
    near(found.to_text.mrr, 1.0 / 4.5);
    assert_eq!(found.to_text.r1, 0.0);
    near(found.loss, (n as f64).ln());
    near(found.uniformity_bio, 0.0);
}

#[test]
fn the_loss_is_that_of_training_without_other_right_answers() {
    let (bio, text) = (random(6, 4, 1), random(6, 4, 2));
    let (texts, records) = ([0, 1, 0, 2, 3, 4], [0, 1, 2, 1, 3, 4]);
    let same = |i: usize, j: usize| texts[i] == texts[j] || records[i] == records[j];
    let relations = Relations::new(6, |i, j| match same(i, j) {
        true => Cell::LeftOut,
        false => Cell::Negative,
    });
    let logits = Logits::new(bio.clone(), text.clone(), None, &Scale::Fixed(0.5));
    let back = text_to_bio(&logits, &relations);
    let expected = ((bio_to_text(logits, &relations) + back) / 2.0)
        .into_data()
        .iter::<f64>()
        .sum::<f64>();
    near(of(bio, text, &texts, &records).loss, expected);
}

#[test]
fn likeness_is_whole_under_rotation_and_scale_and_gone_in_noise() {
    let x = random(40, 3, 5);
    let (s, c) = (0.6, 0.8);
    let turn = matrix([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]]);
    let turned = x.clone().matmul(turn) * 7.0 + 3.0;
    near(cka(x.clone(), turned.clone()), 1.0);
    near(mutual_knn(x.clone(), (turned - 3.0) / 7.0, 5), 1.0);
    // Wider than many: the usual estimator says .8 and more here.
    let noise = cka(random(40, 200, 6), random(40, 300, 7));
    assert!(noise.abs() < 0.1, "{noise}");
    let shared = mutual_knn(random(200, 16, 8), random(200, 16, 9), 10);
    assert!((shared - 10.0 / 199.0).abs() < 0.03, "{shared}");
    assert_eq!(cka(random(3, 2, 1), random(3, 2, 2)), 0.0);
    assert_eq!(mutual_knn(random(1, 2, 1), random(1, 2, 2), 10), 0.0);
}

/// `[2, 3]` neighbours by hand: rows 0 and 1 are a pair in both sets, row 2 is nearest to 1 here and to 0 there.
#[test]
fn shared_neighbours_by_hand() {
    let x = matrix([[1.0, 0.0], [0.9, 0.3], [0.5, 1.0]]);
    let y = matrix([[1.0, 0.0], [0.9, -0.3], [0.5, 1.0]]);
    near(mutual_knn(x, y, 1), 2.0 / 3.0);
}
