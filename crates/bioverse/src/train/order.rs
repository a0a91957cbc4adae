//! Which rows make up the n-th batch, as a pure function of the seed. Knows no data.

use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::seed::mix;

/// How many batches of similar length are sorted together; enough to save padding, few enough to stay random.
const WINDOW: usize = 8;

/// Batches of full size over epochs, each epoch in an order of its own; what does not fill a batch waits for the next
/// epoch's shuffle.
#[derive(Debug, Clone)]
pub struct BatchOrder {
    rows: usize,
    batch_size: usize,
    seed: u64,
    lengths: Option<Vec<usize>>,
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
            lengths: None,
            epoch: None,
        }
    }

    /// Over rows of these lengths; rows of a batch are of similar length.
    pub fn by_length(lengths: Vec<usize>, batch_size: usize, seed: u64) -> Self {
        let mut order = Self::new(lengths.len(), batch_size, seed);
        order.lengths = Some(lengths);
        order
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
        if let Some(lengths) = &self.lengths {
            for window in rows.chunks_mut(WINDOW * self.batch_size) {
                window.sort_by_key(|row| lengths[*row]);
            }
        }
        let mut batches: Vec<Vec<usize>> =
            rows.chunks(self.batch_size).map(<[_]>::to_vec).collect();
        if self.lengths.is_some() {
            batches.shuffle(&mut rng);
        }
        batches
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
    fn batches_hold_rows_of_similar_length() {
        let lengths: Vec<usize> = (0..64).map(|row| (row * 37) % 64).collect();
        let mut order = BatchOrder::by_length(lengths.clone(), 8, 3);
        let mut seen = BTreeSet::new();
        for index in 0..8 {
            let batch = order.batch(index);
            let of = |row: &usize| lengths[*row];
            let spread = batch.iter().map(of).max().zip(batch.iter().map(of).min());
            assert!(
                spread.is_some_and(|(high, low)| high - low < 8),
                "{batch:?}"
            );
            seen.extend(batch);
        }
        assert_eq!(seen.len(), 64);
    }

    #[test]
    fn few_rows_make_one_small_batch() {
        let mut order = BatchOrder::new(2, 100, 0);
        assert_eq!(order.batch(5).len(), 2);
    }
}
