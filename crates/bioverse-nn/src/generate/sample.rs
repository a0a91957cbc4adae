//! From logits to one token. Knows no model and no text.

use rand::Rng;

use super::GenerationConfig;
use crate::error::{Error, Result};

/// Temperature, then top-k, then top-p, then a draw: the order of `transformers`.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampler {
    temperature: f64,
    top_k: usize,
    top_p: f64,
}

impl Sampler {
    /// Takes over the sampling part of `config`.
    ///
    /// # Errors
    /// When the temperature is negative or `top_p` is outside (0, 1].
    pub fn new(config: &GenerationConfig) -> Result<Self> {
        let GenerationConfig {
            temperature,
            top_k,
            top_p,
            ..
        } = *config;
        if !(temperature >= 0.0 && temperature.is_finite()) {
            return Err(Error::Unsupported(format!(
                "temperature = {temperature}: give a number from 0 (greedy) upwards"
            )));
        }
        if !(top_p > 0.0 && top_p <= 1.0) {
            return Err(Error::Unsupported(format!(
                "top_p = {top_p}: give a number above 0 and up to 1 (off)"
            )));
        }
        Ok(Self {
            temperature,
            top_k,
            top_p,
        })
    }

    /// The next token; `None` when every logit is NaN or minus infinity.
    pub fn choose(&self, logits: &[f32], rng: &mut impl Rng) -> Option<u32> {
        if self.temperature == 0.0 {
            return greedy(logits);
        }
        let kept = self.distribution(logits);
        let mut left: f64 = rng.random();
        for (id, probability) in &kept {
            left -= probability;
            if left < 0.0 {
                return Some(*id);
            }
        }
        // Rounding can leave a crumb of mass behind the last token.
        kept.last().map(|(id, _)| *id)
    }

    /// The tokens that can be drawn and their probabilities, likeliest first. At temperature 0 only the best remains.
    pub fn distribution(&self, logits: &[f32]) -> Vec<(u32, f64)> {
        if self.temperature == 0.0 {
            return greedy(logits).map(|id| (id, 1.0)).into_iter().collect();
        }
        let mut kept: Vec<(u32, f64)> = (0..)
            .zip(logits)
            .filter(|(_, logit)| !logit.is_nan() && **logit > f32::NEG_INFINITY)
            .map(|(id, logit)| (id, f64::from(*logit)))
            .collect();
        // Equal logits keep the order of their ids, so that a draw is reproducible.
        kept.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        if self.top_k > 0 && kept.len() > self.top_k {
            let least = kept[self.top_k - 1].1;
            // Ties with the k-th stay, as in `transformers`.
            kept.retain(|(_, logit)| *logit >= least);
        }
        softmax(&mut kept, self.temperature);
        self.keep_top_p(&mut kept);
        kept
    }

    /// Drops the tail once the likelier tokens reach the mass `top_p`, then scales the rest to 1.
    fn keep_top_p(&self, kept: &mut Vec<(u32, f64)>) {
        if self.top_p >= 1.0 {
            return;
        }
        let mut mass = 0.0;
        let count = kept
            .iter()
            .take_while(|(_, probability)| {
                let wanted = mass < self.top_p;
                mass += probability;
                wanted
            })
            .count();
        kept.truncate(count.max(1));
        let total: f64 = kept.iter().map(|(_, probability)| probability).sum();
        for (_, probability) in kept {
            *probability /= total;
        }
    }
}

/// The highest logit; the first of equals.
fn greedy(logits: &[f32]) -> Option<u32> {
    let mut best: Option<(u32, f32)> = None;
    for (id, logit) in (0..).zip(logits) {
        if !logit.is_nan() && best.is_none_or(|(_, top)| *logit > top) {
            best = Some((id, *logit));
        }
    }
    best.map(|(id, _)| id)
}

/// Turns sorted logits into probabilities.
fn softmax(kept: &mut [(u32, f64)], temperature: f64) {
    let Some(top) = kept.first().map(|(_, logit)| *logit) else {
        return;
    };
    let mut total = 0.0;
    for (_, value) in kept.iter_mut() {
        // Subtract before dividing: a tiny temperature would overflow the quotient.
        *value = ((*value - top) / temperature).exp();
        total += *value;
    }
    for (_, value) in kept {
        *value /= total;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    fn sampler(temperature: f64, top_k: usize, top_p: f64) -> Sampler {
        Sampler::new(&GenerationConfig {
            temperature,
            top_k,
            top_p,
            ..Default::default()
        })
        .unwrap()
    }

    /// Logits whose softmax is 0.5, 0.2, 0.15, 0.1, 0.05, shuffled.
    const PROBABILITIES: [f32; 5] = [0.15, 0.5, 0.05, 0.2, 0.1];

    fn logits() -> Vec<f32> {
        PROBABILITIES.iter().map(|p| p.ln() + 3.0).collect()
    }

    fn ids(sampler: &Sampler) -> Vec<u32> {
        sampler
            .distribution(&logits())
            .iter()
            .map(|(id, _)| *id)
            .collect()
    }

    #[test]
    fn without_filters_the_distribution_is_the_softmax() {
        for (id, probability) in sampler(1.0, 0, 1.0).distribution(&logits()) {
            assert!((probability - f64::from(PROBABILITIES[id as usize])).abs() < 1e-6);
        }
    }

    #[test]
    fn temperature_sharpens_before_the_filters() {
        // Squared and normalised: .25 .04 .0225 .01 .0025 → the best has 0.769.
        let kept = sampler(0.5, 0, 1.0).distribution(&logits());
        assert!((kept[0].1 - 0.25 / 0.325).abs() < 1e-6);
        assert_eq!(
            ids(&sampler(0.5, 0, 0.7)),
            [1],
            "top-p sees the sharpened distribution"
        );
        assert_eq!(ids(&sampler(1.0, 0, 0.7)).len(), 2);
    }

    #[test]
    fn top_k_keeps_k_and_ties() {
        assert_eq!(ids(&sampler(1.0, 3, 1.0)), [1, 3, 0]);
        assert_eq!(ids(&sampler(1.0, 99, 1.0)).len(), 5);
        assert_eq!(sampler(1.0, 2, 1.0).distribution(&[1.0, 2.0, 1.0]).len(), 3);
    }

    #[test]
    fn top_p_keeps_the_smallest_set_that_reaches_the_mass() {
        assert_eq!(ids(&sampler(1.0, 0, 0.01)), [1], "never empty");
        assert_eq!(ids(&sampler(1.0, 0, 0.49)), [1]);
        assert_eq!(ids(&sampler(1.0, 0, 0.51)), [1, 3]);
        assert_eq!(ids(&sampler(1.0, 0, 0.86)), [1, 3, 0, 4]);
        let kept = sampler(1.0, 0, 0.6).distribution(&logits());
        assert!(
            (kept[0].1 - 0.5 / 0.7).abs() < 1e-6,
            "scaled back to 1: {kept:?}"
        );
    }

    #[test]
    fn top_p_counts_within_what_top_k_left() {
        // Top-2 leaves 0.5 and 0.2, that is 0.714 and 0.286: 0.7 is reached by the first alone.
        assert_eq!(ids(&sampler(1.0, 2, 0.7)), [1]);
    }

    #[test]
    fn cold_sampling_is_greedy() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for logits in [vec![0.1, 0.3, 0.2], vec![-5.0, -1.0, -1.5], logits()] {
            let best = sampler(0.0, 0, 1.0).choose(&logits, &mut rng);
            for temperature in [1e-3, 1e-300] {
                assert_eq!(sampler(temperature, 0, 1.0).choose(&logits, &mut rng), best);
            }
        }
        assert_eq!(
            sampler(0.0, 0, 1.0).choose(&[2.0, 7.0, 7.0], &mut rng),
            Some(1)
        );
    }

    #[test]
    fn one_seed_gives_one_sequence() {
        let sampler = sampler(1.0, 0, 1.0);
        let draw = |seed| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            (0..50)
                .map(|_| sampler.choose(&logits(), &mut rng).unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(draw(4), draw(4));
        assert_ne!(draw(4), draw(5));
    }

    #[test]
    fn frequencies_follow_the_probabilities() {
        let (sampler, mut rng, draws) =
            (sampler(1.0, 0, 1.0), ChaCha8Rng::seed_from_u64(7), 20_000);
        let mut counts = [0_u32; 5];
        for _ in 0..draws {
            counts[sampler.choose(&logits(), &mut rng).unwrap() as usize] += 1;
        }
        for (count, probability) in counts.iter().zip(PROBABILITIES) {
            let (got, want) = (f64::from(*count) / f64::from(draws), f64::from(probability));
            // Five standard deviations of a binomial share.
            let slack = 5.0 * (want * (1.0 - want) / f64::from(draws)).sqrt();
            assert!((got - want).abs() < slack, "{got} for {want}");
        }
    }

    #[test]
    fn numbers_that_are_none_are_never_chosen() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for temperature in [0.0, 1.0] {
            let sampler = sampler(temperature, 0, 1.0);
            assert_eq!(
                sampler.choose(&[f32::NAN, 1.0, f32::NAN], &mut rng),
                Some(1)
            );
            assert_eq!(sampler.choose(&[f32::NAN, f32::NAN], &mut rng), None);
        }
    }

    #[test]
    fn senseless_settings_are_refused() {
        for (temperature, top_p) in [
            (-1.0, 1.0),
            (f64::NAN, 1.0),
            (1.0, 0.0),
            (1.0, 1.5),
            (1.0, f64::NAN),
        ] {
            let config = GenerationConfig {
                temperature,
                top_p,
                ..Default::default()
            };
            assert!(Sampler::new(&config).is_err(), "{temperature} {top_p}");
        }
    }
}
