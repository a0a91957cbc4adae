//! Which pairs make up the n-th batch of a contrast, as a function of the seed. Knows numbers only.

use crate::train::{BatchOrder, MixedOrder};

/// Every pair as often as every other, or by weight.
pub(super) enum Order {
    Even(BatchOrder),
    Weighted(MixedOrder),
}

impl Order {
    /// One weight for each pair, above 0.
    pub fn new(weights: &[f64], batch_size: usize, seed: u64) -> Self {
        let pairs = weights.len();
        match weights.windows(2).all(|two| two[0] == two[1]) {
            true => Self::Even(BatchOrder::new(pairs, batch_size, seed)),
            false => {
                // Vectors need no padding, so pairs are all of one length.
                let order = MixedOrder::new(vec![1; pairs], batch_size, seed);
                Self::Weighted(order.weighted(weights))
            }
        }
    }

    /// The pairs of batch `index`, counted from the beginning of training.
    pub fn batch(&mut self, index: usize) -> Vec<usize> {
        match self {
            Self::Even(order) => order.batch(index),
            Self::Weighted(order) => order.batch(index).concat(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_come_as_often_as_their_weights_say() {
        let mut even = Order::new(&[2.0; 10], 5, 3);
        assert!(matches!(even, Order::Even(_)));
        let mut seen = even.batch(0);
        seen.extend(even.batch(1));
        seen.sort_unstable();
        assert_eq!(seen, (0..10).collect::<Vec<_>>());
        let weights: Vec<f64> = (0..10).map(|i| if i < 5 { 3.0 } else { 1.0 }).collect();
        let mut order = Order::new(&weights, 5, 3);
        let drawn: Vec<usize> = (0..200).flat_map(|n| order.batch(n)).collect();
        let heavy = drawn.iter().filter(|i| **i < 5).count() as f64;
        let share = heavy / drawn.len() as f64;
        assert!((share - 0.75).abs() < 0.01, "{share}");
    }
}
