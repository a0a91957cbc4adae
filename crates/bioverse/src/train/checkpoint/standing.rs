//! What a run knows of its measurements: the best one, and how many came after it. Knows neither what was measured nor
//! where the parameters are kept.

use serde::{Deserialize, Serialize};

/// The best measurement so far, and the time a run took.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// The best one, if any had a score.
    pub best: Option<Best>,
    /// Measurements since then.
    pub worse: usize,
    /// Seconds of training, over all sittings.
    pub seconds: f64,
}

/// A measurement.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// After so many steps.
    pub step: usize,
    /// Higher is better. Written as text, which is read back to the same bits.
    #[serde(with = "exact")]
    pub score: f64,
}

impl Standing {
    /// Counts a measurement after `step` steps; whether it is the best so far. Equal is not better, and no number is
    /// worse than any.
    pub fn measured(&mut self, step: usize, score: f64) -> bool {
        let better = match self.best {
            None => !score.is_nan(),
            Some(best) => score > best.score,
        };
        if better {
            self.best = Some(Best { step, score });
            self.worse = 0;
        } else {
            self.worse += 1;
        }
        better
    }

    /// Whether there were `patience` measurements without a better one.
    pub fn lost_patience(&self, patience: Option<usize>) -> bool {
        patience.is_some_and(|patience| self.worse >= patience.max(1))
    }
}

mod exact {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{value:?}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn patience_counts_measurements_that_are_not_better() {
        let mut standing = Standing::default();
        assert!(standing.measured(10, 0.1));
        assert!(standing.measured(20, 0.3));
        assert!(!standing.measured(30, 0.3), "equal is not better");
        assert!(!standing.measured(40, f64::NAN));
        assert!(standing.lost_patience(Some(2)) && !standing.lost_patience(Some(3)));
        assert!(!standing.lost_patience(None));
        assert!(standing.measured(50, 0.31));
        assert_eq!((standing.best.unwrap().step, standing.worse), (50, 0));
        let mut blind = Standing::default();
        assert!(!blind.measured(1, f64::NAN) && blind.best.is_none());
    }

    #[test]
    fn scores_survive_json_bit_for_bit() {
        for score in [0.1 + 0.2, -1.0 / 3.0, f64::MIN_POSITIVE, f64::INFINITY] {
            let best = Best { step: 1, score };
            let text = serde_json::to_string(&best).unwrap();
            let back: Best = serde_json::from_str(&text).unwrap();
            assert_eq!(back.score.to_bits(), score.to_bits(), "{text}");
        }
    }
}
