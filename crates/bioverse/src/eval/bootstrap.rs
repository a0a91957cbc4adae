//! How sure is a number? Percentile intervals over resampled rows, and two methods row against row. What a row is, is not
//! known here.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

/// Resamples of every interval.
const RESAMPLES: usize = 1000;
/// How intervals and contests are made, for whoever reads the numbers.
pub const METHOD: &str = "95 % intervals: percentile bootstrap over rows, 1000 resamples with a fixed seed (Efron 1979). \
    Differences: the rows of both methods are resampled in pairs; a win or a loss is one whose interval leaves out zero.";
/// The same rows give the same interval.
const SEED: u64 = 20_251_121;

/// The 95 % interval of a statistic of `n` rows: it is computed on `n` rows drawn with replacement, a thousand times
/// (percentile bootstrap, Efron 1979). Draws on which it is not a number are left out; nothing without rows.
pub fn interval(n: usize, statistic: impl Fn(&[usize]) -> f64) -> Option<[f64; 2]> {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    if n == 0 {
        return None;
    }
    let mut drawn = vec![0; n];
    let mut values = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        drawn
            .iter_mut()
            .for_each(|row| *row = rng.random_range(0..n));
        values.push(statistic(&drawn));
    }
    values.retain(|value| value.is_finite());
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    let at = |share: f64| values[(share * last as f64).round() as usize];
    Some([at(0.025), at(0.975)])
}

/// The interval of a mean.
pub fn of_mean(rows: &[f64]) -> Option<[f64; 2]> {
    interval(rows.len(), |drawn| {
        drawn.iter().map(|row| rows[*row]).sum::<f64>() / drawn.len() as f64
    })
}

/// One method against another on the same rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Contest {
    /// Mean of ours minus mean of theirs.
    pub difference: f64,
    /// Its 95 % interval: the rows are resampled in pairs.
    pub interval: [f64; 2],
    /// Rows on which ours is higher.
    pub wins: usize,
    /// Rows on which both are equal.
    pub ties: usize,
    /// Rows on which theirs is higher.
    pub losses: usize,
}

impl Contest {
    /// Nothing without rows, or with rows that do not pair up.
    pub fn of(ours: &[f64], theirs: &[f64]) -> Option<Self> {
        if ours.len() != theirs.len() {
            return None;
        }
        let differences: Vec<f64> = ours.iter().zip(theirs).map(|(a, b)| a - b).collect();
        let count = |wanted: fn(f64) -> bool| differences.iter().filter(|d| wanted(**d)).count();
        Some(Self {
            difference: differences.iter().sum::<f64>() / differences.len() as f64,
            interval: of_mean(&differences)?,
            wins: count(|d| d > 0.0),
            ties: count(|d| d == 0.0),
            losses: count(|d| d < 0.0),
        })
    }

    /// `win` or `loss` where the interval leaves out zero, else `tie`.
    pub fn verdict(&self) -> &'static str {
        match self.interval {
            [low, _] if low > 0.0 => "win",
            [_, high] if high < 0.0 => "loss",
            _ => "tie",
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn the_interval_of_a_mean_is_that_of_the_normal_approximation() {
        let rows: Vec<f64> = (0..400).map(|i| f64::from(i % 2)).collect();
        let [low, high] = of_mean(&rows).unwrap();
        // 1.96 · sqrt(.25 / 400) = .049
        assert!((low - 0.451).abs() < 0.008, "{low}");
        assert!((high - 0.549).abs() < 0.008, "{high}");
        assert_eq!(of_mean(&rows), of_mean(&rows));
        assert_eq!(of_mean(&[]), None);
    }

    #[test]
    fn a_contest_counts_rows_and_judges_by_the_interval() {
        let ours = vec![1.0; 50];
        let theirs: Vec<f64> = (0..50).map(|i| f64::from(u8::from(i < 25))).collect();
        let contest = Contest::of(&ours, &theirs).unwrap();
        assert_eq!((contest.wins, contest.ties, contest.losses), (25, 25, 0));
        assert_eq!(contest.verdict(), "win");
        assert_eq!(Contest::of(&theirs, &ours).unwrap().verdict(), "loss");
        assert_eq!(Contest::of(&theirs, &theirs).unwrap().verdict(), "tie");
        assert!(Contest::of(&ours, &[1.0]).is_none());
    }
}
