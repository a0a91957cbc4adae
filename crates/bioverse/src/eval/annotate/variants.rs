//! From likelihoods of labels to probabilities: raw, length-normalised, against what a record that says nothing would get.
//! Which of them speaks for the bundle is decided on rows to learn from, never on measured ones.

use super::measure::{Said, best};
use crate::eval::{
    calibration,
    findings::Role,
    likelihood::{Likelihood, shares},
};

/// A way to compare labels of different length and frequency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// Mean log-probability per token, minus the same for a record that says nothing (contextual calibration, Zhao et al.
    /// 2021).
    Calibrated,
    /// Mean log-probability per token.
    Norm,
    /// Log-probability minus the same for a record that says nothing (domain-conditional PMI, Holtzman et al. 2021).
    Pmi,
    /// Log-probability.
    Raw,
}

/// All, in the order in which they are preferred where they do equally well.
pub const ALL: [Variant; 4] = [
    Variant::Calibrated,
    Variant::Norm,
    Variant::Pmi,
    Variant::Raw,
];

impl Variant {
    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Calibrated => "likelihood_calibrated",
            Self::Norm => "likelihood_norm",
            Self::Pmi => "likelihood_pmi",
            Self::Raw => "likelihood_raw",
        }
    }

    fn score(self, found: &Likelihood, prior: &Likelihood) -> f64 {
        match self {
            Self::Calibrated => found.per_token() - prior.per_token(),
            Self::Norm => found.per_token(),
            Self::Pmi => found.log_probability - prior.log_probability,
            Self::Raw => found.log_probability,
        }
    }

    fn scores(self, rows: &[Vec<Likelihood>], prior: &[Likelihood]) -> Vec<Vec<f64>> {
        let row = |row: &Vec<Likelihood>| {
            let pairs = row.iter().zip(prior);
            pairs
                .map(|(found, prior)| self.score(found, prior))
                .collect()
        };
        rows.iter().map(row).collect()
    }
}

/// Likelihoods of every label: of measured rows, of a record that says nothing, and of some training rows with their labels.
pub struct Scored {
    /// Of measured rows.
    pub rows: Vec<Vec<Likelihood>>,
    /// Of the mean record.
    pub prior: Vec<Likelihood>,
    /// Of training rows.
    pub sample: Vec<Vec<Likelihood>>,
    /// Their labels.
    pub labels: Vec<usize>,
}

impl Scored {
    /// Every variant as a method, the bundle's own first; and what the reader should know of the choice.
    pub fn said(&self) -> (Vec<Said>, String) {
        let fits: Vec<(Variant, f64, f64)> = ALL
            .map(|variant| {
                let scores = variant.scores(&self.sample, &self.prior);
                let right = scores.iter().zip(&self.labels);
                let right = right
                    .filter(|(row, label)| best(row) == Some(**label))
                    .count();
                let accuracy = right as f64 / self.labels.len().max(1) as f64;
                (
                    variant,
                    accuracy,
                    calibration::temperature(&scores, &self.labels),
                )
            })
            .to_vec();
        let chosen = fits.iter().fold(
            &fits[0],
            |best, next| if next.1 > best.1 { next } else { best },
        );
        let mut said = vec![Said::by_shares(
            "model",
            Role::Model,
            self.shares(chosen.0, chosen.2),
        )];
        for (variant, _, temperature) in &fits {
            let shares = self.shares(*variant, *temperature);
            said.push(Said::by_shares(variant.name(), Role::Model, shares));
        }
        (said, self.note(chosen))
    }

    fn shares(&self, variant: Variant, temperature: f64) -> Vec<Vec<f64>> {
        let scores = variant.scores(&self.rows, &self.prior).into_iter();
        let tempered =
            scores.map(|row| row.into_iter().map(|s| s / temperature).collect::<Vec<_>>());
        tempered.map(|row| shares(&row)).collect()
    }

    fn note(&self, (variant, accuracy, temperature): &(Variant, f64, f64)) -> String {
        match self.labels.len() {
            0 => format!(
                "`model` is `{}`: there are no training rows to choose by; probabilities are at temperature 1.",
                variant.name()
            ),
            n => format!(
                "`model` is `{}`: of the variants it does best on {n} training rows ({:.1} % right), where temperatures \
                 were fitted too (its own: {temperature:.3}).",
                variant.name(),
                100.0 * accuracy
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(log_probability: f64, tokens: usize) -> Likelihood {
        Likelihood {
            log_probability,
            tokens,
        }
    }

    fn scored(labels: Vec<usize>) -> Scored {
        // A short label and a long one; without a record, the short one is likely.
        let row = vec![of(-2.0, 1), of(-5.0, 4)];
        Scored {
            rows: vec![row.clone()],
            prior: vec![of(-1.0, 1), of(-5.6, 4)],
            sample: vec![row; labels.len()],
            labels,
        }
    }

    #[test]
    fn variants_by_hand() {
        let scored = scored(vec![]);
        let scores = |variant: Variant| variant.scores(&scored.rows, &scored.prior)[0].clone();
        assert_eq!(scores(Variant::Raw), [-2.0, -5.0]);
        assert_eq!(scores(Variant::Norm), [-2.0, -1.25]);
        let near = |got: Vec<f64>, expected: [f64; 2]| {
            got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12)
        };
        assert!(near(scores(Variant::Pmi), [-1.0, 0.6]));
        assert!(near(scores(Variant::Calibrated), [-1.0, 0.15]));
    }

    #[test]
    fn training_rows_choose_and_without_any_it_is_the_calibrated_one() {
        let (said, note) = scored(vec![]).said();
        assert_eq!(said[0].chosen, [Some(1)]);
        assert!(note.contains("likelihood_calibrated"), "{note}");
        let (said, note) = scored(vec![0, 0]).said();
        assert_eq!(said[0].chosen, [Some(0)]);
        assert!(
            note.contains("likelihood_raw") && note.contains("100.0 %"),
            "{note}"
        );
        let names: Vec<&str> = said.iter().map(|said| said.name).collect();
        assert_eq!(names[..2], ["model", "likelihood_calibrated"]);
        let (said, _) = scored(vec![1, 0]).said();
        assert_eq!(said[0].chosen, [Some(1)], "of equally good ones the first");
    }
}
