//! Which rows make up the n-th batch where rows differ in length and in how often they are drawn, as a pure function of
//! the seed. Rows of similar length come together, or short ones share a sequence. Knows no data.

use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::packing::first_fit_decreasing;
use super::seed::mix;

/// How many batches are sorted (or packed) together; enough to save padding, few enough to stay random.
const WINDOW: usize = 8;

/// Sequences of a batch, each with its rows: one, or several that share it.
pub type Sequences = Vec<Vec<usize>>;

/// Batches over epochs, each epoch in an order of its own. An epoch draws as many rows as there are; after any number of
/// epochs, a row has been drawn as often as its weight says, give or take one. What does not fill a batch comes first in
/// the next epoch.
#[derive(Debug, Clone)]
pub struct MixedOrder {
    lengths: Vec<usize>,
    /// Draws of a row per epoch.
    expected: Vec<f64>,
    batch_size: usize,
    /// Tokens that rows may share a sequence of.
    room: Option<usize>,
    seed: u64,
    epoch: Epoch,
}

#[derive(Debug, Clone, Default)]
struct Epoch {
    number: usize,
    /// Index of its first batch.
    first: usize,
    batches: Vec<Sequences>,
    /// Rows for the next one.
    waiting: Vec<usize>,
}

impl MixedOrder {
    /// Over rows of these lengths, all equally often; a batch larger than what an epoch has becomes all of it.
    pub fn new(lengths: Vec<usize>, batch_size: usize, seed: u64) -> Self {
        let expected = vec![1.0; lengths.len()];
        Self {
            lengths,
            expected,
            batch_size: batch_size.max(1),
            room: None,
            seed,
            epoch: Epoch::default(),
        }
        .at(0, 0, vec![])
    }

    /// Draws rows in proportion to `weights`, one for each row and above 0.
    pub fn weighted(mut self, weights: &[f64]) -> Self {
        let mean = weights.iter().sum::<f64>() / weights.len().max(1) as f64;
        self.expected = weights.iter().map(|weight| weight / mean).collect();
        self.at(0, 0, vec![])
    }

    /// Lets rows share sequences of `room` tokens; a batch is then `batch_size` sequences.
    pub fn packed(mut self, room: usize) -> Self {
        self.room = Some(room);
        self.at(0, 0, vec![])
    }

    /// The batch `index`, counted from the beginning of training; empty only where there are no rows.
    pub fn batch(&mut self, index: usize) -> Sequences {
        if self.lengths.is_empty() {
            return vec![];
        }
        if index < self.epoch.first {
            *self = self.clone().at(0, 0, vec![]);
        }
        loop {
            if let Some(batch) = self.epoch.batches.get(index - self.epoch.first) {
                return batch.clone();
            }
            let first = self.epoch.first + self.epoch.batches.len();
            let waiting = std::mem::take(&mut self.epoch.waiting);
            *self = self.clone().at(self.epoch.number + 1, first, waiting);
        }
    }

    /// The batches of the first epoch.
    pub fn first_epoch(&self) -> Vec<Sequences> {
        let start = self.clone().at(0, 0, vec![]);
        start.epoch.batches
    }

    fn at(mut self, number: usize, first: usize, waiting: Vec<usize>) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(mix(self.seed, number as u64));
        let mut rows = self.drawn(number);
        rows.shuffle(&mut rng);
        let rows = [waiting, rows].concat();
        let (mut batches, waiting) = match self.room {
            None => self.bucketed(rows),
            Some(room) => self.shared(rows, room, &mut rng),
        };
        batches.shuffle(&mut rng);
        self.epoch = Epoch {
            number,
            first,
            batches,
            waiting,
        };
        self
    }

    /// The rows of an epoch, some of them more than once, in order. Each row counts on from a beginning of its own, so
    /// that rare ones do not all come in the same epoch.
    fn drawn(&self, epoch: usize) -> Vec<usize> {
        let count = |row: usize, epochs: usize| {
            // Few enough digits that whole numbers of draws stay whole.
            let offset = mix(self.seed ^ 0x6f66_6673_6574, row as u64) >> 40;
            let offset = offset as f64 / f64::from(1 << 24);
            (epochs as f64 * self.expected[row] + offset).floor() as usize
        };
        let rows = 0..self.lengths.len();
        rows.flat_map(|row| {
            let times = count(row, epoch + 1) - count(row, epoch);
            std::iter::repeat_n(row, times)
        })
        .collect()
    }

    /// Batches of rows of similar length.
    fn bucketed(&self, mut rows: Vec<usize>) -> (Vec<Sequences>, Vec<usize>) {
        let full = rows.len() / self.batch_size * self.batch_size;
        let waiting = match full {
            0 => vec![],
            _ => rows.split_off(full),
        };
        for window in rows.chunks_mut(WINDOW * self.batch_size) {
            window.sort_by_key(|row| self.lengths[*row]);
        }
        let alone = |rows: &[usize]| rows.iter().map(|row| vec![*row]).collect();
        let batches = rows.chunks(self.batch_size).map(alone).collect();
        (batches, waiting)
    }

    /// Batches of sequences that rows share.
    fn shared(
        &self,
        rows: Vec<usize>,
        room: usize,
        rng: &mut ChaCha8Rng,
    ) -> (Vec<Sequences>, Vec<usize>) {
        let mut sequences: Sequences = vec![];
        for window in self.windows(&rows, WINDOW * self.batch_size * room) {
            sequences.extend(first_fit_decreasing(window, &self.lengths, room));
        }
        let full = sequences.len() / self.batch_size * self.batch_size;
        let waiting = match full {
            0 => vec![],
            _ => sequences.split_off(full).concat(),
        };
        sequences.shuffle(rng);
        let batches = sequences.chunks(self.batch_size).map(<[_]>::to_vec);
        (batches.collect(), waiting)
    }

    /// Consecutive rows with about `tokens` tokens.
    fn windows<'a>(&self, rows: &'a [usize], tokens: usize) -> Vec<&'a [usize]> {
        let (mut windows, mut start, mut sum) = (vec![], 0, 0);
        for (at, row) in rows.iter().enumerate() {
            sum += self.lengths[*row];
            if sum >= tokens {
                windows.push(&rows[start..=at]);
                (start, sum) = (at + 1, 0);
            }
        }
        if start < rows.len() {
            windows.push(&rows[start..]);
        }
        windows
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use rand::Rng;
    use std::collections::BTreeSet;

    /// Draws of each row in the first `epochs` epochs; what waits counts as drawn.
    fn counts(order: &MixedOrder, epochs: usize) -> Vec<usize> {
        let mut counts = vec![0; order.lengths.len()];
        let mut order = order.clone();
        for epoch in 0..epochs {
            for row in order.epoch.batches.iter().flatten().flatten() {
                counts[*row] += 1;
            }
            if epoch + 1 < epochs {
                let next = order.epoch.first + order.epoch.batches.len();
                order.batch(next);
                assert!(order.epoch.first >= next);
            }
        }
        for row in &order.epoch.waiting {
            counts[*row] += 1;
        }
        counts
    }

    /// Orders of all kinds: few rows and many, packed and not.
    fn orders() -> impl Iterator<Item = MixedOrder> {
        (0..120).map(|seed| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let rows = rng.random_range(1..60);
            let lengths: Vec<usize> = (0..rows).map(|_| rng.random_range(1..40)).collect();
            let weights: Vec<f64> = (0..rows).map(|_| rng.random_range(0.05..6.0)).collect();
            let order = MixedOrder::new(lengths, rng.random_range(1..9), seed).weighted(&weights);
            if seed % 2 == 0 {
                order.packed(48)
            } else {
                order
            }
        })
    }

    #[test]
    fn rows_are_drawn_as_often_as_their_weight_says_give_or_take_one() {
        for (n, order) in orders().enumerate() {
            let epochs = 1 + n % 11;
            for (row, count) in counts(&order, epochs).into_iter().enumerate() {
                let expected = order.expected[row] * epochs as f64;
                let off = (count as f64 - expected).abs();
                assert!(off <= 1.0, "order {n}, row {row}: {count} for {expected}");
            }
        }
    }

    #[test]
    fn no_row_starves() {
        for order in orders() {
            let rarest = order.expected.iter().copied().fold(f64::MAX, f64::min);
            let epochs = (1.0 / rarest).ceil() as usize + 1;
            assert!(counts(&order, epochs).iter().all(|count| *count > 0));
        }
    }

    #[test]
    fn a_batch_depends_on_its_index_alone() {
        for (index, order) in orders().enumerate() {
            let index = index % 40;
            let mut walked = order.clone();
            for before in 0..index {
                walked.batch(before);
            }
            let there = walked.batch(index);
            assert_eq!(there, order.clone().batch(index));
            walked.batch(index + 7);
            assert_eq!(there, walked.batch(index), "going back");
        }
    }

    #[test]
    fn batches_are_full_and_sequences_fit() {
        for mut order in orders() {
            for index in 0..12 {
                let batch = order.batch(index);
                assert!(batch.len() == order.batch_size || order.epoch.batches.len() == 1);
                for sequence in &batch {
                    let tokens: usize = sequence.iter().map(|row| order.lengths[*row]).sum();
                    assert!(!sequence.is_empty() && tokens <= order.room.unwrap_or(usize::MAX));
                    assert!(order.room.is_some() || sequence.len() == 1);
                }
            }
        }
    }

    #[test]
    fn equal_weights_visit_every_row_once_an_epoch() {
        let order = MixedOrder::new(vec![3; 10], 5, 1).weighted(&[2.0; 10]);
        let rows: BTreeSet<usize> = order.first_epoch().concat().concat().into_iter().collect();
        assert_eq!(rows.len(), 10);
        assert_eq!(counts(&order, 7), [7; 10]);
    }

    #[test]
    fn batches_hold_rows_of_similar_length() {
        let lengths: Vec<usize> = (0..64).map(|row| (row * 37) % 64).collect();
        let mut order = MixedOrder::new(lengths.clone(), 8, 3);
        let mut seen = BTreeSet::new();
        for index in 0..8 {
            let batch = order.batch(index).concat();
            let of = |row: &usize| lengths[*row];
            let spread = batch.iter().map(of).max().unwrap() - batch.iter().map(of).min().unwrap();
            assert!(spread < 8, "{batch:?}");
            seen.extend(batch);
        }
        assert_eq!(seen.len(), 64);
    }

    #[test]
    fn seeds_and_epochs_differ() {
        let order = |seed| MixedOrder::new(vec![1; 32], 32, seed);
        let (mut one, mut other) = (order(1), order(2));
        assert_ne!(one.batch(0), one.batch(1));
        assert_ne!(one.batch(0), other.batch(0));
    }

    #[test]
    fn few_rows_make_one_small_batch() {
        let mut order = MixedOrder::new(vec![5, 6], 100, 0);
        assert_eq!(order.batch(5).len(), 2);
        let mut order = order.packed(16);
        assert_eq!(order.batch(5), [[1, 0]]);
        assert!(MixedOrder::new(vec![], 4, 0).batch(3).is_empty());
    }
}
