//! From losses of single rows to a verdict: a paired bootstrap, and the rule that says what counts. Knows no model.
//!
//! **Rule.** A model uses the records of a modality if its loss rises when every record is exchanged for another row's, by
//! an amount that is *significant* (the lower end of the 98 % bootstrap interval is above zero) and *material* (at least
//! [`FLOOR`] nats per answer token, and at least [`SHARE`] of the loss with the true records). Otherwise it ignores them.
//! The mean record and no record at all are shown beside, but do not decide: a model may stumble over soft tokens it has
//! never seen without caring which record is in front of it.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::score::Scored;

/// Least rise that counts, in nats per answer token.
pub(super) const FLOOR: f64 = 0.005;
/// Least rise that counts, as a share of the loss with the true records.
pub(super) const SHARE: f64 = 0.01;
/// Below this number of rows, a rise that would count but may be chance is left open.
const MANY: usize = 32;
/// Resamples.
const RESAMPLES: usize = 2000;
/// Tail on each side of the interval.
const TAIL: f64 = 0.01;

/// What a change of the records does to the loss, in nats per answer token.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// Rise over the true records.
    pub rise: f64,
    /// Lower end of its 98 % bootstrap interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Share of the answer tokens for which the most probable token is another one.
    pub changed: f64,
}

/// What follows from the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Uses,
    Ignores,
    /// Too few rows for what was seen.
    Open,
}

/// Compares the same rows under two conditions. Rows are drawn with replacement, always together with what became of
/// them, so that easy and hard rows do not blur the difference; the rise is a ratio of sums, as the loss itself is.
pub(super) fn effect(own: &[Scored], changed: &[Scored], seed: u64) -> Effect {
    let rows: Vec<(f64, f64)> = own
        .iter()
        .zip(changed)
        .map(|(own, changed)| (changed.loss - own.loss, own.tokens as f64))
        .collect();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut rises: Vec<f64> = (0..RESAMPLES)
        .map(|_| rise((0..rows.len()).map(|_| rows[random.random_range(0..rows.len())])))
        .collect();
    rises.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = (share * (RESAMPLES - 1) as f64).round() as usize;
        rises.get(place).copied().unwrap_or_default()
    };
    let tokens = own.iter().map(|row| row.said.len()).sum::<usize>().max(1);
    let pairs = own.iter().zip(changed);
    let other = pairs.flat_map(|(own, changed)| own.said.iter().zip(&changed.said));
    Effect {
        rise: rise(rows.iter().copied()),
        low: at(TAIL),
        high: at(1.0 - TAIL),
        changed: other.filter(|(own, changed)| own != changed).count() as f64 / tokens as f64,
    }
}

/// Sum of differences over sum of tokens.
fn rise(rows: impl Iterator<Item = (f64, f64)>) -> f64 {
    let (loss, tokens) = rows.fold((0.0, 0.0), |(loss, tokens), row| {
        (loss + row.0, tokens + row.1)
    });
    loss / f64::max(tokens, 1.0)
}

/// The rise that counts, given the loss with the true records.
pub(super) fn material(loss: f64) -> f64 {
    FLOOR.max(SHARE * loss)
}

/// Applies the rule to the effect of exchanged records on `rows` rows.
pub(super) fn verdict(loss: f64, shuffled: &Effect, rows: usize) -> Verdict {
    match (shuffled.rise >= material(loss), shuffled.low > 0.0) {
        (true, true) => Verdict::Uses,
        (true, false) if rows < MANY => Verdict::Open,
        _ => Verdict::Ignores,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn row(loss: f64, said: &[u32]) -> Scored {
        Scored {
            loss,
            tokens: said.len(),
            right: 0,
            said: said.to_vec(),
        }
    }

    #[test]
    fn the_rise_is_per_token_and_paired() {
        // Rows differ by far more than the conditions do; paired, the difference is exact.
        let own: Vec<Scored> = (0..40).map(|i| row(f64::from(i), &[1, 2])).collect();
        let changed: Vec<Scored> = (0..40).map(|i| row(f64::from(i) + 0.5, &[1, 3])).collect();
        let got = effect(&own, &changed, 7);
        for value in [got.rise, got.low, got.high] {
            assert!((value - 0.25).abs() < 1e-12, "{got:?}");
        }
        assert_eq!(got.changed, 0.5);
        assert_eq!(got, effect(&own, &changed, 7), "a function of the seed");
    }

    #[test]
    fn longer_rows_weigh_more() {
        let own = [row(1.0, &[0; 3]), row(1.0, &[0])];
        let changed = [row(4.0, &[0; 3]), row(1.0, &[0])];
        assert_eq!(effect(&own, &changed, 7).rise, 0.75);
    }

    /// The interval of a mean of n independent differences with standard deviation s is about ± 2.33 s / √n.
    #[test]
    fn the_interval_has_the_width_theory_gives() {
        let n = 400;
        let own: Vec<Scored> = (0..n).map(|_| row(0.0, &[0])).collect();
        let changed: Vec<Scored> = (0..n)
            .map(|i| row(if i % 2 == 0 { 1.0 } else { -1.0 }, &[0]))
            .collect();
        let got = effect(&own, &changed, 7);
        let wanted = 2.326 / f64::sqrt(f64::from(n));
        assert!(
            (got.high - wanted).abs() < 0.15 * wanted,
            "{got:?}, {wanted}"
        );
        assert!(
            (got.low + wanted).abs() < 0.15 * wanted,
            "{got:?}, {wanted}"
        );
    }

    #[test]
    fn a_rise_counts_if_it_is_significant_and_material() {
        let effect = |rise: f64, low: f64| Effect {
            rise,
            low,
            high: rise + (rise - low),
            changed: 0.0,
        };
        assert_eq!(verdict(1.0, &effect(0.1, 0.05), 100), Verdict::Uses);
        assert_eq!(verdict(1.0, &effect(0.1, -0.05), 100), Verdict::Ignores);
        assert_eq!(verdict(1.0, &effect(0.1, -0.05), 20), Verdict::Open);
        assert_eq!(verdict(1.0, &effect(0.009, 0.008), 100), Verdict::Ignores);
        assert_eq!(verdict(0.1, &effect(0.009, 0.008), 100), Verdict::Uses);
        assert_eq!(verdict(0.1, &effect(0.004, 0.003), 100), Verdict::Ignores);
        assert_eq!(verdict(0.1, &effect(-0.5, -0.6), 20), Verdict::Ignores);
    }
}
