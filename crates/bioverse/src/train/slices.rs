//! AdamW and sums of squares over slices of f32, in one pass each: what a CPU does with whole tensors in a dozen passes.
//! Knows neither modules nor devices.
//!
//! Every element is computed by the operations, and in the order, of the tensor formulas, so both give the same numbers.
//! Work is cut into pieces of a fixed length, whatever the number of threads, so that sums are the same on every machine.

use rayon::prelude::*;

/// Elements that one thread takes at a time; its slices fit into a core's second cache.
const PIECE: usize = 1 << 15;
/// Partial sums that run side by side: one vector register, several of the narrow ones.
const LANES: usize = 16;

/// The numbers of one update that are the same for all elements.
#[derive(Debug, Clone, Copy)]
pub(super) struct Coefficients {
    /// What gradients are multiplied by first: clipping.
    pub grad_scale: f32,
    pub beta_1: f32,
    pub beta_2: f32,
    /// `1 - β₁`, `1 - β₂`, rounded once.
    pub rest_1: f32,
    pub rest_2: f32,
    /// `1 - β₂ᵗ`.
    pub correction_2: f32,
    pub eps: f32,
    /// `1 - lr · weight_decay`.
    pub keep: f32,
    /// `lr / (1 - β₁ᵗ)`.
    pub step_size: f32,
}

impl Coefficients {
    /// Updates a parameter and its moments in place.
    ///
    /// # Shapes
    /// all `[n]`
    pub fn update(&self, x: &mut [f32], exp_avg: &mut [f32], exp_avg_sq: &mut [f32], grad: &[f32]) {
        let moments = exp_avg
            .par_chunks_mut(PIECE)
            .zip(exp_avg_sq.par_chunks_mut(PIECE));
        let pieces = x.par_chunks_mut(PIECE).zip(moments);
        pieces
            .zip(grad.par_chunks(PIECE))
            .for_each(|((x, (exp_avg, exp_avg_sq)), grad)| {
                self.piece(x, exp_avg, exp_avg_sq, grad);
            });
    }

    fn piece(&self, x: &mut [f32], exp_avg: &mut [f32], exp_avg_sq: &mut [f32], grad: &[f32]) {
        let moments = exp_avg.iter_mut().zip(exp_avg_sq);
        for ((x, (m, v)), grad) in x.iter_mut().zip(moments).zip(grad) {
            let grad = grad * self.grad_scale;
            *m = *m * self.beta_1 + grad * self.rest_1;
            *v = *v * self.beta_2 + grad * grad * self.rest_2;
            let scale = (*v / self.correction_2).sqrt() + self.eps;
            *x = *x * self.keep - *m / scale * self.step_size;
        }
    }
}

/// Sum of the squares of `[n]`.
pub(super) fn sum_of_squares(values: &[f32]) -> f64 {
    // Collected in order and added up by one thread: the order of a parallel sum would be left to chance.
    let sums: Vec<f64> = values.par_chunks(PIECE).map(piece_of_squares).collect();
    sums.iter().sum()
}

fn piece_of_squares(values: &[f32]) -> f64 {
    let mut lanes = [0.0f32; LANES];
    let (rows, rest) = values.as_chunks::<LANES>();
    for row in rows {
        for (lane, value) in lanes.iter_mut().zip(row) {
            *lane += value * value;
        }
    }
    let rest = rest.iter().map(|value| f64::from(value * value));
    lanes.iter().copied().map(f64::from).chain(rest).sum()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn numbers(count: usize, salt: u64) -> Vec<f32> {
        let word = |n| crate::train::seed::mix(salt, n) >> 40;
        (0..count as u64)
            .map(|n| word(n) as f32 / (1u64 << 23) as f32 - 1.0)
            .collect()
    }

    #[test]
    fn the_sum_is_right_and_does_not_depend_on_the_number_of_threads() {
        for count in [0, 1, LANES, PIECE, 3 * PIECE + 5] {
            let values = numbers(count, 3);
            let want: f64 = values.iter().map(|v| f64::from(*v).powi(2)).sum();
            let sum = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                pool.unwrap().install(|| sum_of_squares(&values))
            };
            let (one, three) = (sum(1), sum(3));
            assert_eq!(one.to_bits(), three.to_bits());
            assert!((one - want).abs() <= 1e-5 * want, "{one} {want}");
        }
    }

    #[test]
    fn every_element_is_updated_wherever_pieces_end() {
        let coefficients = Coefficients {
            grad_scale: 0.5,
            beta_1: 0.9,
            beta_2: 0.999,
            rest_1: 0.1,
            rest_2: 0.001,
            correction_2: 0.001,
            eps: 1e-8,
            keep: 0.99,
            step_size: 0.01,
        };
        let n = 2 * PIECE + 3;
        let (mut x, grad) = (numbers(n, 1), numbers(n, 2));
        let (mut m, mut v) = (vec![0.0; n], vec![0.0; n]);
        let before = x.clone();
        coefficients.update(&mut x, &mut m, &mut v, &grad);
        for i in 0..n {
            // The first step of Adam goes against the sign of the gradient, whatever its size.
            let want = before[i] * 0.99 - 0.01 * 0.1 * grad[i].signum();
            assert!((x[i] - want).abs() < 1e-6, "{i}: {} {want}", x[i]);
            assert_eq!(m[i], grad[i] * 0.5 * 0.1);
        }
    }
}
