//! Heads for closed questions, one for each group of rows: those of the same kind, or those with the same question where the
//! questions of a kind differ in what they ask. What a head looks at is not known here.

use std::collections::{BTreeMap, BTreeSet};

use super::closed::Asked;
use super::metrics::normalize;

/// A question that was answered so often in training has a head of its own.
const OFTEN: usize = 20;

/// Rows of one group.
pub struct Fit<'a> {
    /// Places of the training rows.
    pub train: &'a [usize],
    /// Their classes.
    pub labels: &'a [usize],
    /// How many classes there are.
    pub classes: usize,
    /// Places of the rows to answer.
    pub eval: &'a [usize],
}

/// Indices of training rows and of rows to answer.
type Sides = (Vec<usize>, Vec<usize>);

/// Training rows and rows to answer, by group.
pub struct Groups<'a> {
    train: &'a [Asked],
    eval: &'a [Asked],
    /// Training rows and rows to answer of each group.
    groups: BTreeMap<(&'a str, &'a str), Sides>,
}

impl<'a> Groups<'a> {
    /// Divides rows by kind, and where `apart` says so of a kind, by question: those asked often have a head of their own, the
    /// others have one together.
    pub fn of(train: &'a [Asked], eval: &'a [Asked], apart: &dyn Fn(&str) -> bool) -> Self {
        let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for row in train {
            *counts.entry((&row.kind, &row.question)).or_default() += 1;
        }
        let group = |row: &'a Asked| {
            let own = (row.kind.as_str(), row.question.as_str());
            let often = counts.get(&own).is_some_and(|count| *count >= OFTEN);
            if often && apart(&row.kind) {
                own
            } else {
                (own.0, "")
            }
        };
        let mut groups: BTreeMap<_, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
        for (at, row) in train.iter().enumerate() {
            groups.entry(group(row)).or_default().0.push(at);
        }
        for (at, row) in eval.iter().enumerate() {
            groups.entry(group(row)).or_default().1.push(at);
        }
        Self {
            train,
            eval,
            groups,
        }
    }

    /// The shares of every row's answers as `head` gives them, which gets a group and returns the shares of its classes for
    /// each row to answer. Where nothing was learnt about a row's answers, all have the same share.
    pub fn shares(&self, head: &dyn Fn(&Fit<'_>) -> Vec<Vec<f64>>) -> Vec<Vec<f64>> {
        let even = |row: &Asked| vec![1.0 / row.answers.len() as f64; row.answers.len()];
        let mut all: Vec<Vec<f64>> = self.eval.iter().map(even).collect();
        for (train, eval) in self.groups.values() {
            if train.is_empty() || eval.is_empty() {
                continue;
            }
            let right = |at: &usize| {
                let row = &self.train[*at];
                normalize(&row.answers[row.truth])
            };
            let classes: BTreeSet<String> = train.iter().map(right).collect();
            let classes: Vec<String> = classes.into_iter().collect();
            let labels = train
                .iter()
                .filter_map(|at| classes.binary_search(&right(at)).ok());
            let labels: Vec<usize> = labels.collect();
            let fit = Fit {
                train,
                labels: &labels,
                classes: classes.len(),
                eval,
            };
            for (at, shares) in eval.iter().zip(head(&fit)) {
                let share = |answer: &String| {
                    let class = classes.binary_search(&normalize(answer)).ok();
                    class
                        .and_then(|class| shares.get(class))
                        .copied()
                        .unwrap_or(0.0)
                };
                let own: Vec<f64> = self.eval[*at].answers.iter().map(share).collect();
                let sum: f64 = own.iter().sum();
                if sum > 0.0 {
                    all[*at] = own.iter().map(|share| share / sum).collect();
                }
            }
        }
        all
    }
}

/// The head that looks at nothing: how often each class is right in training.
pub fn frequencies(fit: &Fit<'_>) -> Vec<Vec<f64>> {
    let mut shares = vec![0.0; fit.classes];
    for label in fit.labels {
        shares[*label] += 1.0 / fit.labels.len() as f64;
    }
    vec![shares; fit.eval.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use bioverse_core::Example;

    fn asked(question: &str, answers: &[&str], truth: usize) -> Asked {
        Asked {
            id: String::new(),
            kind: "has".into(),
            question: question.into(),
            example: Example {
                messages: vec![],
                records: vec![],
                group: None,
            },
            answers: answers.iter().map(|answer| (*answer).into()).collect(),
            truth,
            texts: vec![],
            gives: vec![],
            reference: 0,
        }
    }

    #[test]
    fn frequent_questions_have_their_own_head_and_offered_answers_share_the_whole() {
        let mut train = vec![asked("often?", &["no", "yes"], 1); 20];
        train.extend(vec![
            asked("once?", &["maybe", "no", "yes"], 0),
            asked("twice?", &["no", "yes"], 0),
        ]);
        train.extend(vec![asked("thrice?", &["no", "yes"], 0); 2]);
        let eval = [
            asked("often?", &["no", "yes"], 1),
            asked("never?", &["maybe", "No."], 0),
            asked("never?", &["left", "right"], 0),
        ];
        let got = Groups::of(&train, &eval, &|_| true).shares(&frequencies);
        assert_eq!(got, [vec![0.0, 1.0], vec![0.25, 0.75], vec![0.5, 0.5]]);
        let got = Groups::of(&train, &eval, &|_| false).shares(&frequencies);
        assert!(
            (got[0][1] - 20.0 / 23.0).abs() < 1e-12,
            "of 24 with a yes or no, 20 are yes: {got:?}"
        );
    }

    #[test]
    fn without_training_rows_all_answers_are_alike() {
        let eval = [asked("a?", &["no", "yes"], 1)];
        assert_eq!(
            Groups::of(&[], &eval, &|_| true).shares(&frequencies),
            [[0.5, 0.5]]
        );
    }
}
