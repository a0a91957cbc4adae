//! Contrastive objectives. Knows vectors only: no record, no text.

use burn::prelude::*;
use burn::tensor::activation::log_softmax;

/// Added to a squared length before the root, so that a zero vector has a gradient.
const TINY: f64 = 1e-12;

/// What an excluded pair gets for a logit: its share of the softmax is exactly zero in f32.
const NEVER: f64 = -1e9;

/// InfoNCE over a batch of pairs, as (bio→text, text→bio); the loss is their mean.
///
/// `bio` and `text` are normalised here; `negatives` are extra columns of the bio→text term only.
///
/// # Shapes
/// `bio, text [N, d]`, `negatives [G, d]` → two times `[1]`
pub fn info_nce(
    bio: Tensor<2>,
    text: Tensor<2>,
    negatives: Option<Tensor<2>>,
    temperature: f64,
) -> (Tensor<1>, Tensor<1>) {
    info_nce_excluding(bio, text, negatives, None, temperature)
}

/// As [`info_nce`], leaving out the pairs where `excluded` is true: neither pulled together nor pushed apart.
///
/// Batches hold different records with the same text, and one record with several texts. Such a pair is no negative, and
/// treating it as one teaches that the right answer is wrong.
///
/// # Shapes
/// `excluded [N, N]`, symmetric, false on the diagonal
pub fn info_nce_excluding(
    bio: Tensor<2>,
    text: Tensor<2>,
    negatives: Option<Tensor<2>>,
    excluded: Option<Tensor<2, Bool>>,
    temperature: f64,
) -> (Tensor<1>, Tensor<1>) {
    let (bio, text) = (normalize(bio), normalize(text));
    let mut logits = bio.clone().matmul(text.transpose()) / temperature;
    if let Some(excluded) = excluded {
        logits = logits.mask_fill(excluded, NEVER);
    }
    let text_to_bio = diagonal_cross_entropy(logits.clone().transpose());
    let columns = match negatives {
        Some(negatives) => {
            let extra = bio.matmul(normalize(negatives).transpose()) / temperature;
            Tensor::cat(vec![logits, extra], 1)
        }
        None => logits,
    };
    (diagonal_cross_entropy(columns), text_to_bio)
}

/// The pairs of a batch that are no negatives of each other although they are not the same pair: equal texts or equal
/// records. `None` when there are none.
///
/// # Shapes
/// N texts and N records by number → `[N, N]`
pub fn same_meaning(
    texts: &[usize],
    records: &[usize],
    device: &Device,
) -> Option<Tensor<2, Bool>> {
    let n = texts.len();
    let cells = (0..n * n).map(|cell| (cell / n, cell % n));
    let same: Vec<bool> = cells
        .map(|(i, j)| i != j && (texts[i] == texts[j] || records[i] == records[j]))
        .collect();
    same.contains(&true)
        .then(|| Tensor::from_data(TensorData::new(same, [n, n]), device))
}

/// `[N, d]` to unit length.
fn normalize(x: Tensor<2>) -> Tensor<2> {
    let length = (x.clone().square().sum_dim(1) + TINY).sqrt();
    x / length
}

/// Mean over rows of `-log softmax` at the diagonal. `[N, M]`, M ≥ N → `[1]`.
fn diagonal_cross_entropy(logits: Tensor<2>) -> Tensor<1> {
    let [n, _] = logits.dims();
    let diagonal = Tensor::<1, Int>::arange(0..n as i64, &logits.device()).unsqueeze_dim(1);
    log_softmax(logits, 1).gather(1, diagonal).mean().neg()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const N: usize = 4;
    const D: usize = 3;

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
        Tensor::from_data(
            TensorData::new(values.to_vec(), [values.len() / D, D]),
            &device(),
        )
    }

    fn loss(bio: Tensor<2>, text: Tensor<2>, mask: Option<Tensor<2, Bool>>) -> Tensor<1> {
        let negatives = matrix(&numbers(2 * D, 9));
        let (a, b) = info_nce_excluding(bio, text, Some(negatives), mask, 0.5);
        (a + b) / 2.0
    }

    fn value(tensor: Tensor<1>) -> f64 {
        tensor.into_data().iter::<f64>().next().unwrap()
    }

    fn mask() -> Option<Tensor<2, Bool>> {
        same_meaning(&[0, 1, 0, 2], &[0, 1, 2, 1], &device())
    }

    #[test]
    fn gradient_equals_finite_differences() {
        let (bio, text) = (numbers(N * D, 1), numbers(N * D, 2));
        let x = matrix(&bio).autodiff().require_grad();
        let grads = loss(x.clone(), matrix(&text), mask()).backward();
        let grad: Vec<f64> = x.grad(&grads).unwrap().into_data().iter::<f64>().collect();
        for i in 0..N * D {
            let at = |step: f32| {
                let mut moved = bio.clone();
                moved[i] += step;
                value(loss(matrix(&moved), matrix(&text), mask()))
            };
            let numeric = (at(1e-2) - at(-1e-2)) / 2e-2;
            assert!(
                (grad[i] - numeric).abs() < 2e-3 * (1.0 + numeric.abs()),
                "{i}: {} {numeric}",
                grad[i]
            );
        }
    }

    #[test]
    fn value_equals_the_formula() {
        let (bio, text) = (numbers(N * D, 1), numbers(N * D, 2));
        let unit = |values: &[f32], row: usize| -> Vec<f64> {
            let row: Vec<f64> = values[row * D..][..D]
                .iter()
                .map(|x| f64::from(*x))
                .collect();
            let length = row.iter().map(|x| x * x).sum::<f64>().sqrt();
            row.iter().map(|x| x / length).collect()
        };
        let cosine = |i: usize, j: usize| -> f64 {
            let (a, b) = (unit(&bio, i), unit(&text, j));
            a.iter().zip(b).map(|(a, b)| a * b).sum()
        };
        let term = |cell: &dyn Fn(usize, usize) -> f64| -> f64 {
            let row = |i| -> f64 {
                let all: f64 = (0..N).map(|j| (cell(i, j) / 0.5).exp()).sum();
                all.ln() - cell(i, i) / 0.5
            };
            (0..N).map(row).sum::<f64>() / N as f64
        };
        let (a, b) = info_nce(matrix(&bio), matrix(&text), None, 0.5);
        assert!((value(a) - term(&cosine)).abs() < 1e-5);
        assert!((value(b) - term(&|i, j| cosine(j, i))).abs() < 1e-5);
    }

    #[test]
    fn negatives_raise_the_first_term_only() {
        let (bio, text) = (matrix(&numbers(N * D, 1)), matrix(&numbers(N * D, 2)));
        let (a, b) = info_nce(bio.clone(), text.clone(), None, 0.5);
        let (a_more, b_same) = info_nce(bio, text, Some(matrix(&numbers(D, 9))), 0.5);
        assert!(value(a_more) > value(a) + 1e-3);
        assert_eq!(value(b), value(b_same));
    }

    #[test]
    fn an_excluded_pair_has_no_influence() {
        let bio = numbers(N * D, 1);
        let mut text = numbers(N * D, 2);
        // Pair 2 says what pair 0 says: with the mask, where text 2 lies must not matter to record 0.
        let only_0 = |text: &[f32]| {
            let x = matrix(&bio).autodiff().require_grad();
            let (a, _) = info_nce_excluding(x.clone(), matrix(text), None, mask(), 0.5);
            let grads = a.backward();
            let grad = x.grad(&grads).unwrap().into_data();
            grad.iter::<f32>().take(D).collect::<Vec<_>>()
        };
        let before = only_0(&text);
        text[2 * D] += 0.7;
        assert_eq!(only_0(&text), before);
        text[D] += 0.7;
        assert_ne!(
            only_0(&text),
            before,
            "text 1 is a true negative of record 0"
        );
    }

    #[test]
    fn pairs_without_repeats_need_no_mask() {
        assert!(same_meaning(&[0, 1], &[0, 1], &device()).is_none());
        let mask = mask().unwrap().into_data();
        let cells: Vec<usize> = mask
            .iter::<bool>()
            .enumerate()
            .filter_map(|(cell, on)| on.then_some(cell))
            .collect();
        assert_eq!(cells, [2, 7, 8, 13]);
    }
}
