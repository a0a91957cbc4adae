//! Which rows make up the n-th batch, as a pure function of the seed. Knows no data.

use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::seed::mix;

/// Batches of full size over epochs, each epoch in an order of its own; what does not fill a batch waits for the next
/// epoch's shuffle.
#[derive(Debug, Clone)]
pub struct BatchOrder {
    rows: usize,
    batch_size: usize,
    seed: u64,
    epoch: Option<(usize, Vec<Vec<usize>>)>,
}

impl BatchOrder {
    /// Over `rows` rows; a batch larger than that becomes all of them.
    pub fn new(rows: usize, batch_size: usize, seed: u64) -> Self {
        let batch_size = batch_size.clamp(1, rows.max(1));
        Self {
            rows,
            batch_size,
            seed,
            epoch: None,
        }
    }

    /// Batches in one epoch.
    pub fn batches_per_epoch(&self) -> usize {
        (self.rows / self.batch_size).max(1)
    }

    /// The rows of batch `index`, counted from the beginning of training.
    pub fn batch(&mut self, index: usize) -> Vec<usize> {
        let per_epoch = self.batches_per_epoch();
        let (epoch, within) = (index / per_epoch, index % per_epoch);
        if self.epoch.as_ref().is_none_or(|(at, _)| *at != epoch) {
            self.epoch = Some((epoch, self.shuffled(epoch)));
        }
        let batches = self.epoch.as_ref().map(|(_, batches)| batches);
        batches
            .and_then(|batches| batches.get(within))
            .cloned()
            .unwrap_or_default()
    }

    fn shuffled(&self, epoch: usize) -> Vec<Vec<usize>> {
        let mut rng = ChaCha8Rng::seed_from_u64(mix(self.seed, epoch as u64));
        let mut rows: Vec<usize> = (0..self.rows).collect();
        rows.shuffle(&mut rng);
        rows.truncate(self.batches_per_epoch() * self.batch_size);
        rows.chunks(self.batch_size).map(<[_]>::to_vec).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn an_epoch_visits_every_row_once_up_to_the_remainder() {
        let mut order = BatchOrder::new(10, 3, 1);
        let seen: Vec<usize> = (0..3).flat_map(|index| order.batch(index)).collect();
        assert_eq!(seen.len(), 9);
        assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 9);
    }

    #[test]
    fn epochs_differ_and_a_batch_depends_on_its_index_alone() {
        let mut order = BatchOrder::new(32, 32, 1);
        let (first, second) = (order.batch(0), order.batch(1));
        assert_ne!(first, second);
        assert_eq!(BatchOrder::new(32, 32, 1).batch(1), second);
        assert_ne!(BatchOrder::new(32, 32, 2).batch(1), second);
    }

    #[test]
    fn few_rows_make_one_small_batch() {
        let mut order = BatchOrder::new(2, 100, 0);
        assert_eq!(order.batch(5).len(), 2);
    }
}
