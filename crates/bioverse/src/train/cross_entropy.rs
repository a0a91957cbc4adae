//! Cross-entropy over a large vocabulary, a few states at a time. Knows neither prompts nor where states come from.
//!
//! Logits, their softmax and its gradient are the largest tensors of a training step: states × vocabulary, several times.
//! When the head is frozen nothing but the gradient of the states has to outlive them, and that one is known as soon as a
//! chunk's logits are: `softmax(z) - onehot`, taken back through the head. So each chunk is finished before the next one
//! begins, and the graph is given the sum `Σ states · gradient`, whose derivative is that gradient.

use burn::prelude::*;
use burn::tensor::activation::log_softmax;
use rayon::prelude::*;

use super::gradients::on_cpu;

/// Logits that are held at once: 32 MiB of f32.
const LOGITS: usize = 1 << 23;

/// Mean of `-log softmax(head(state))[id]` over states and their ids, at least one. `head` maps `[n, d]` to
/// `[n, vocabulary]` row by row and linearly.
///
/// Where `head` itself is trained, or no state is tracked, everything is computed at once.
///
/// # Shapes
/// `states [N, d]`, `ids [N]` → `[1]`
pub fn cross_entropy(
    states: Tensor<2>,
    ids: &[u32],
    vocabulary: usize,
    head: impl Fn(Tensor<2>) -> Tensor<2>,
) -> Tensor<1> {
    let [count, _] = states.dims();
    let rows = (LOGITS / vocabulary.max(1)).max(1);
    let tracked = states.is_tracked();
    // A head with anything to learn tracks even what it makes of plain states.
    let learns = || head(states.clone().inner().narrow(0, 0, 1)).is_tracked();
    if !tracked || learns() {
        return negative_log_likelihood(head(states), ids) / count as f64;
    }
    let plain = states.clone().inner();
    let (mut loss, mut gradients) = (0.0, vec![]);
    for (chunk, ids) in ids.chunks(rows).enumerate() {
        let leaf = plain.clone().narrow(0, chunk * rows, ids.len());
        let leaf = Tensor::from_inner(leaf).require_grad();
        let (part, seed) = seed(head(leaf.clone()), ids);
        loss += part;
        let found = leaf.grad(&seed.backward());
        gradients.push(found.unwrap_or_else(|| leaf.inner().zeros_like()));
    }
    let gradient = Tensor::cat(gradients, 0) / count as f64;
    let product = (states * gradient).sum();
    // Its derivative is what counts; its value gives way to the loss.
    product.clone() - product.detach() + loss / count as f64
}

/// Sum of `-log softmax(logits)[id]`, and a tensor whose derivative by the states is that of the sum.
fn seed(logits: Tensor<2>, ids: &[u32]) -> (f64, Tensor<1>) {
    if on_cpu(&logits.clone().inner()) {
        let device = logits.device().inner();
        let [_, vocabulary] = logits.dims();
        let mut data = logits.clone().inner().into_data();
        if let Ok(values) = data.as_mut_slice::<f32>() {
            let loss = softmax_minus_one_hot(values, vocabulary, ids);
            let gradient = Tensor::<2>::from_data(data, &device);
            return (loss, (logits * gradient).sum());
        }
    }
    let sum = negative_log_likelihood(logits, ids);
    let value = sum.clone().into_data().iter::<f64>().sum();
    (value, sum)
}

/// By tensor operations, on any device. `[n, vocabulary] → [1]`
fn negative_log_likelihood(logits: Tensor<2>, ids: &[u32]) -> Tensor<1> {
    let columns: Vec<i64> = ids.iter().map(|id| i64::from(*id)).collect();
    let columns = TensorData::new(columns, [ids.len(), 1]);
    let columns = Tensor::<2, Int>::from_data(columns, &logits.device());
    log_softmax(logits, 1).gather(1, columns).sum().neg()
}

/// Rows of logits become rows of `softmax - onehot`; gives the sum of `-log softmax` at the ids.
fn softmax_minus_one_hot(logits: &mut [f32], vocabulary: usize, ids: &[u32]) -> f64 {
    let rows = logits.par_chunks_mut(vocabulary.max(1)).zip(ids);
    let losses: Vec<f64> = rows
        .map(|(row, id)| {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let at = row.get(*id as usize).copied().unwrap_or(f32::NAN);
            let mut sum = 0.0f64;
            for value in row.iter_mut() {
                *value = (*value - largest).exp();
                sum += f64::from(*value);
            }
            let scale = (1.0 / sum) as f32;
            row.iter_mut().for_each(|value| *value *= scale);
            if let Some(value) = row.get_mut(*id as usize) {
                *value -= 1.0;
            }
            sum.ln() + f64::from(largest - at)
        })
        .collect();
    // One after the other, so that the sum is the same with any number of threads.
    losses.iter().sum()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    /// `[rows, width]`, numbers without pattern in `[-2, 2)`.
    fn numbers(rows: usize, width: usize, salt: u64) -> Tensor<2> {
        let word = |n| crate::train::seed::mix(salt, n) >> 40;
        let values: Vec<f32> = (0..(rows * width) as u64)
            .map(|n| word(n) as f32 / (1u64 << 22) as f32 - 2.0)
            .collect();
        Tensor::from_data(TensorData::new(values, [rows, width]), &Device::flex())
    }

    fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
        x.into_data().iter::<f32>().collect()
    }

    const IDS: [u32; 5] = [3, 0, 6, 3, 1];

    #[test]
    fn chunks_give_the_loss_and_the_gradient_of_the_whole() {
        let head = numbers(4, 7, 1);
        let run = |vocabulary| {
            let x = numbers(5, 4, 2).autodiff().require_grad();
            // A vocabulary said to be huge makes chunks of one state.
            let loss = match vocabulary {
                None => negative_log_likelihood(x.clone().matmul(head.clone()), &IDS) / 5.0,
                Some(size) => {
                    cross_entropy(x.clone() * 1.0, &IDS, size, |x| x.matmul(head.clone()))
                }
            } * 3.0;
            let gradients = loss.backward();
            (values(loss), values(x.grad(&gradients).unwrap()))
        };
        let (want_loss, want) = run(None);
        for vocabulary in [7, LOGITS, LOGITS / 2] {
            let (loss, got) = run(Some(vocabulary));
            assert!(
                (loss[0] - want_loss[0]).abs() < 1e-5,
                "{loss:?} {want_loss:?}"
            );
            for (a, b) in got.iter().zip(&want) {
                assert!((a - b).abs() < 1e-6, "{vocabulary}: {a} {b}");
            }
        }
    }

    #[test]
    fn a_head_that_learns_gets_its_gradient() {
        let head = numbers(4, 7, 1).autodiff().require_grad();
        let x = numbers(5, 4, 2).autodiff().require_grad();
        let loss = cross_entropy(x.clone(), &IDS, LOGITS, |x| x.matmul(head.clone()));
        let gradients = loss.backward();
        assert!(
            values(head.grad(&gradients).unwrap())
                .iter()
                .any(|g| *g != 0.0)
        );
        assert!(x.grad(&gradients).is_some());
    }

    #[test]
    fn without_a_graph_the_loss_is_the_same() {
        let head = numbers(4, 7, 1);
        let x = numbers(5, 4, 2);
        let plain = cross_entropy(x.clone(), &IDS, 7, |x| x.matmul(head.clone()));
        let tracked = x.autodiff().require_grad();
        let tracked = cross_entropy(tracked, &IDS, 7, |x| x.matmul(head.clone()));
        assert!((values(plain)[0] - values(tracked)[0]).abs() < 1e-5);
    }

    #[test]
    fn large_logits_do_not_overflow() {
        let mut logits = vec![500.0, -500.0, 499.0, 500.0];
        let loss = softmax_minus_one_hot(&mut logits, 2, &[0, 1]);
        // Row 0 is certain and right; row 1 says 1/(1+e).
        assert!(
            (loss - (1.0 + 1f64.exp()).ln() + 1.0).abs() < 1e-6,
            "{loss}"
        );
        assert!(logits.iter().all(|value| value.is_finite()));
    }
}
