//! Baselines that learn from the training side: on plain features of the records and on what the frozen encoder says of them,
//! none of them through the LLM.

use bioverse_core::Record;
use rayon::prelude::*;

use super::{features, measure::Said};
use crate::{
    Session,
    error::Result,
    eval::{
        components::Components,
        findings::Role,
        linear::Matrix,
        logistic::Logistic,
        neighbours::{Distance, votes},
        scale::Scale,
        states,
    },
};

/// Principal components.
const COMPONENTS: usize = 50;
/// Neighbours that vote.
const NEIGHBOURS: usize = 15;
/// Strength of logistic regressions, the default of scikit-learn.
const C: f64 = 1.0;

/// Rows to learn from and rows to measure on.
pub struct Task<'a> {
    /// Records to learn from.
    pub train: Vec<&'a Record>,
    /// Their labels.
    pub labels: Vec<usize>,
    /// Records to measure on.
    pub eval: Vec<&'a Record>,
    /// Labels in the set.
    pub classes: usize,
}

impl Task<'_> {
    /// The share of each label among the training rows, for every row.
    pub fn majority(&self) -> Said {
        let mut shares = vec![0.0; self.classes];
        for label in &self.labels {
            shares[*label] += 1.0 / self.labels.len() as f64;
        }
        Said::by_shares("majority", Role::Baseline, vec![shares; self.eval.len()])
    }

    /// Logistic regression and neighbours in principal components of plain features; and what these are. Nothing for records
    /// that are neither cells nor text.
    pub fn plain(&self) -> Option<(Vec<Said>, String)> {
        let features = features::of(&self.train, &self.eval)?;
        let components = Components::fit(&features.train, features.columns, COMPONENTS);
        let (train, eval) = (
            components.apply(&features.train),
            components.apply(&features.eval),
        );
        let said = [
            self.logistic("logistic_pca50", &train, &eval),
            Some(self.neighbours("knn_15", &train, &eval)),
        ];
        let what = format!(
            "`logistic_pca50` and `knn_15` see {} principal components of {} ({} columns).",
            train.cols, features.what, features.columns
        );
        Some((said.into_iter().flatten().collect(), what))
    }

    /// The same on the frozen encoder's pooled states, standardised: what could be told without an LLM.
    pub fn encoder(&self, session: &Session, modality: &str) -> Result<Vec<Said>> {
        let states = |records: &[&Record]| {
            let records: Vec<Record> = records.iter().map(|record| (*record).clone()).collect();
            states::side_by_side(session, modality, &records)
        };
        let (train, eval) = (states(&self.train)?, states(&self.eval)?);
        let scale = Scale::fit(&train);
        let (train, eval) = (scale.apply(&train), scale.apply(&eval));
        let said = [
            self.logistic("linear_head", &train, &eval),
            Some(self.neighbours("knn_encoder", &train, &eval)),
        ];
        Ok(said.into_iter().flatten().collect())
    }

    /// Nothing where there is one label only.
    fn logistic(&self, name: &'static str, train: &Matrix, eval: &Matrix) -> Option<Said> {
        let fitted = Logistic::fit(train, &self.labels, self.classes, C)?;
        Some(Said::by_shares(
            name,
            Role::Baseline,
            fitted.probabilities(eval),
        ))
    }

    fn neighbours(&self, name: &'static str, train: &Matrix, eval: &Matrix) -> Said {
        let rows: Vec<&[f32]> = (0..train.rows).map(|i| train.row(i)).collect();
        let labels: Vec<i64> = self.labels.iter().map(|label| *label as i64).collect();
        let one = |i: usize| {
            let votes = votes(&rows, &labels, eval.row(i), NEIGHBOURS, Distance::Euclidean);
            let all: usize = votes.values().sum();
            let share = |label: usize| votes.get(&(label as i64)).copied().unwrap_or(0) as f64;
            (0..self.classes)
                .map(|label| share(label) / all.max(1) as f64)
                .collect()
        };
        let shares = (0..eval.rows).into_par_iter().map(one).collect();
        Said::by_shares(name, Role::Baseline, shares)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn planted_types_are_found_and_majority_is_the_majority() {
        let cell = |i: usize| {
            let marker = if i.is_multiple_of(3) { "B" } else { "T" };
            json!({"genes": ["X", "Y", marker], "values": [3 + i % 2, 4, 5]})
        };
        let cells: Vec<Record> = (0..60).map(cell).collect();
        let task = Task {
            train: cells[..45].iter().collect(),
            labels: (0..45).map(|i| usize::from(i % 3 != 0)).collect(),
            eval: cells[45..].iter().collect(),
            classes: 2,
        };
        let truth: Vec<Option<usize>> = (45..60).map(|i| Some(usize::from(i % 3 != 0))).collect();
        let (said, what) = task.plain().unwrap();
        let names: Vec<&str> = said.iter().map(|said| said.name).collect();
        assert_eq!(names, ["logistic_pca50", "knn_15"]);
        assert!(said.iter().all(|said| said.chosen == truth));
        assert!(what.contains("4 columns"), "{what}");
        assert_eq!(task.majority().chosen, vec![Some(1); 15]);
    }
}
