//! What counting alone can do: the numbers a trained model has to beat. It knows ids only.

use std::collections::HashMap;

/// How often each id followed a context, in contexts of one length.
type Counts = HashMap<Vec<u32>, HashMap<u32, f64>>;

/// Interpolated n-grams after Witten and Bell: a context that was followed by many different tokens trusts the shorter
/// context more.
#[derive(Debug)]
pub(super) struct NGram {
    /// By length of the context: 0 … order - 1.
    counts: Vec<Counts>,
    vocab_size: usize,
}

impl NGram {
    /// Counts `windows`; `order` 1 is a unigram model, 3 a trigram model.
    pub(super) fn fit(windows: &[Vec<u32>], order: usize, vocab_size: usize) -> Self {
        let mut counts: Vec<Counts> = vec![Counts::new(); order];
        for ids in windows {
            for end in 1..ids.len() {
                for (length, counts) in counts.iter_mut().enumerate().take(end + 1) {
                    let context = ids[end - length..end].to_vec();
                    *counts
                        .entry(context)
                        .or_default()
                        .entry(ids[end])
                        .or_default() += 1.0;
                }
            }
        }
        Self { counts, vocab_size }
    }

    fn probability(&self, context: &[u32], id: u32) -> f64 {
        let shorter = match context {
            [] => 1.0 / self.vocab_size as f64,
            [_, rest @ ..] => self.probability(rest, id),
        };
        let Some(followers) = self.counts[context.len()].get(context) else {
            return shorter;
        };
        let total: f64 = followers.values().sum();
        let kinds = followers.len() as f64;
        let seen = followers.get(&id).copied().unwrap_or(0.0);
        (seen + kinds * shorter) / (total + kinds)
    }

    /// Perplexity per token of `windows`, their first tokens not counted.
    pub(super) fn perplexity(&self, windows: &[Vec<u32>]) -> f64 {
        let (mut nats, mut tokens) = (0.0, 0.0);
        for ids in windows {
            for end in 1..ids.len() {
                let length = (self.counts.len() - 1).min(end);
                nats -= self.probability(&ids[end - length..end], ids[end]).ln();
                tokens += 1.0;
            }
        }
        f64::exp(nats / tokens)
    }
}

/// Guesses a hidden token from its two true neighbours, then from the left one, then always the most frequent token.
#[derive(Debug)]
pub(super) struct Neighbours {
    best: HashMap<Vec<u32>, u32>,
}

impl Neighbours {
    /// Counts the inner tokens of `rows`.
    pub(super) fn fit<'a>(rows: impl Iterator<Item = &'a [u32]>) -> Self {
        let mut counts = Counts::new();
        for ids in rows {
            for gap in ids.windows(3) {
                for context in [vec![], vec![gap[0]], vec![gap[0], gap[2]]] {
                    *counts
                        .entry(context)
                        .or_default()
                        .entry(gap[1])
                        .or_default() += 1.0;
                }
            }
        }
        let best = counts.into_iter().filter_map(|(context, followers)| {
            // The smaller id wins a tie, so that the order of a hash map decides nothing.
            let best = followers
                .into_iter()
                .max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))?;
            Some((context, best.0))
        });
        Self {
            best: best.collect(),
        }
    }

    fn guess(&self, contexts: [&[u32]; 3]) -> Option<u32> {
        contexts
            .iter()
            .find_map(|context| self.best.get(*context))
            .copied()
    }

    /// Shares of `gaps` (neighbours, token) guessed right: by frequency alone, and by neighbours.
    pub(super) fn accuracy(&self, gaps: &[([u32; 2], u32)]) -> (f64, f64) {
        let share = |guess: &dyn Fn(&[u32; 2]) -> Option<u32>| {
            let hits = gaps
                .iter()
                .filter(|(around, id)| guess(around) == Some(*id));
            hits.count() as f64 / gaps.len().max(1) as f64
        };
        (
            share(&|_| self.guess([&[], &[], &[]])),
            share(&|around| self.guess([around, &around[..1], &[]])),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_of_a_context_add_up_to_one() {
        let rows = vec![vec![0, 1, 2, 1, 2, 3], vec![0, 2, 2, 1]];
        let model = NGram::fit(&rows, 3, 6);
        for context in [&[] as &[u32], &[1], &[5], &[1, 2], &[4, 2]] {
            let sum: f64 = (0..6).map(|id| model.probability(context, id)).sum();
            assert!((sum - 1.0).abs() < 1e-12, "{context:?}: {sum}");
        }
    }

    #[test]
    fn longer_contexts_help_where_the_text_repeats_itself() {
        let rows = vec![[4, 1, 2, 3].repeat(50)];
        let of = |order| NGram::fit(&rows, order, 8).perplexity(&rows);
        assert!(of(1) > 3.9 && of(1) < 4.5, "{}", of(1));
        assert!(of(3) < 1.1, "{}", of(3));
    }

    #[test]
    fn neighbours_decide_and_frequency_is_the_last_resort() {
        let rows: [&[u32]; 3] = [&[0, 5, 1], &[0, 6, 2], &[3, 5, 3]];
        let model = Neighbours::fit(rows.into_iter());
        let gaps = [([0, 2], 6), ([0, 1], 5), ([9, 9], 5), ([3, 7], 6)];
        assert_eq!(model.accuracy(&gaps), (0.5, 0.75));
    }
}
