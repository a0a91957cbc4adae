//! What answers closed questions without the bundle's LLM: the most frequent answer, words of the question, the frozen
//! encoder's states. Each learns from the training side or, where there is none, from four fifths of the measured rows to
//! answer the last fifth, five times over.

use std::collections::BTreeMap;

use bioverse_core::Record;

use super::item::{Item, Set};
use super::measure::Said;
use crate::Session;
use crate::error::Result;
use crate::eval::linear::Matrix;
use crate::eval::logistic::Logistic;
use crate::eval::metrics::words;
use crate::eval::scale::Scale;
use crate::eval::states;
use crate::eval::tfidf::TfIdf;

/// Folds where no side is for learning.
const FOLDS: usize = 5;
/// Most frequent words kept.
const WORDS: usize = 4096;
/// Inverse strength of the penalty: scikit-learn's default.
const C: f64 = 1.0;
/// Neighbours that vote.
const NEAR: usize = 15;
/// Rows whose neighbours are sought at a time.
const CHUNK: usize = 256;

/// Rows of both sides in one list, training rows first, and who learns from whom.
pub struct School<'a> {
    rows: Vec<&'a Item>,
    first: usize,
    classes: usize,
}

/// Places of rows to learn from and of rows to answer.
type Lesson = (Vec<usize>, Vec<usize>);

impl<'a> School<'a> {
    /// Of a set.
    pub fn of(set: &'a Set) -> Self {
        Self {
            rows: set.train.iter().chain(&set.eval).collect(),
            first: set.train.len(),
            classes: set.classes.len(),
        }
    }

    fn lessons(&self) -> Vec<Lesson> {
        let all = self.rows.len();
        match self.first {
            0 => (0..FOLDS.min(all))
                .map(|fold| (0..all).partition(|row| row % FOLDS != fold))
                .collect(),
            first => vec![((0..first).collect(), (first..all).collect())],
        }
    }

    /// Answers of `fit`, which gives the probability of every class for rows to answer.
    fn answers(&self, fit: impl Fn(&[usize], &[usize]) -> Option<Vec<Vec<f64>>>) -> Option<Said> {
        let mut shares = vec![vec![]; self.rows.len() - self.first];
        for (learn, asked) in self.lessons() {
            for (row, classes) in asked.iter().zip(fit(&learn, &asked)?) {
                let options = &self.rows[*row].classes;
                shares[row - self.first] = options.iter().map(|class| classes[*class]).collect();
            }
        }
        Some(Said::of(shares))
    }

    fn truth(&self, rows: &[usize]) -> Vec<usize> {
        rows.iter().map(|row| self.rows[*row].truth()).collect()
    }

    /// Always the answer that is most frequent among rows of the same kind.
    pub fn majority(&self) -> Option<Said> {
        self.answers(|learn, asked| {
            let mut counts: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
            for row in learn.iter().map(|row| self.rows[*row]) {
                let of_kind = counts.entry(&row.kind);
                of_kind.or_insert_with(|| vec![0.0; self.classes])[row.truth()] += 1.0;
            }
            let of = |row: &usize| match counts.get(self.rows[*row].kind.as_str()) {
                Some(counts) => {
                    let n: f64 = counts.iter().sum();
                    counts.iter().map(|count| count / n).collect()
                }
                None => vec![0.0; self.classes],
            };
            Some(asked.iter().map(of).collect())
        })
    }

    /// Logistic regression on TF-IDF of the words of question and passage.
    pub fn words(&self) -> Option<Said> {
        let texts: Vec<String> = self.rows.iter().map(|row| row.text()).collect();
        self.answers(|learn, asked| {
            let pick = |rows: &[usize]| -> Vec<&str> {
                rows.iter().map(|row| texts[*row].as_str()).collect()
            };
            let tfidf = TfIdf::fit(&pick(learn), WORDS, words);
            let x = tfidf.transform(&pick(learn));
            let model = Logistic::fit(&x, &self.truth(learn), self.classes, C)?;
            Some(model.probabilities(&tfidf.transform(&pick(asked))))
        })
    }

    /// States of the frozen encoder, one vector a row; nothing where a row has not exactly one record.
    pub fn states(&self, session: &Session, modality: &str) -> Result<Option<Matrix>> {
        let mut records: Vec<Record> = vec![];
        for row in &self.rows {
            match row.example.records.as_slice() {
                [(name, record)] if name == modality => records.push(record.clone()),
                _ => return Ok(None),
            }
        }
        let name = |record: usize| self.rows[record].id.clone();
        states::means(session, modality, &records, &name).map(Some)
    }

    /// Logistic regression on vectors, each column scaled by its training mean and deviation: a head without any LLM.
    pub fn head(&self, states: &Matrix) -> Option<Said> {
        self.answers(|learn, asked| {
            let (x, asked) = (states.select(learn), states.select(asked));
            let scale = Scale::fit(&x);
            let model = Logistic::fit(&scale.apply(&x), &self.truth(learn), self.classes, C)?;
            Some(model.probabilities(&scale.apply(&asked)))
        })
    }

    /// Votes of the nearest training rows by cosine, after the training mean was taken away.
    pub fn neighbours(&self, states: &Matrix) -> Option<Said> {
        self.answers(|learn, asked| {
            let known = states.select(learn);
            let scale = Scale::fit(&known);
            let known = scale.centre(&known).normalized();
            let truth = self.truth(learn);
            let mut votes = vec![];
            for asked in asked.chunks(CHUNK) {
                let queries = scale.centre(&states.select(asked)).normalized();
                let likeness = queries.times_transposed(&known);
                let rows = (0..likeness.rows).map(|row| self.vote(likeness.row(row), &truth));
                votes.extend(rows);
            }
            Some(votes)
        })
    }

    fn vote(&self, likeness: &[f32], truth: &[usize]) -> Vec<f64> {
        let near = crate::eval::metrics::top(likeness, NEAR);
        let mut votes = vec![0.0; self.classes];
        for at in &near {
            votes[truth[*at]] += 1.0 / near.len() as f64;
        }
        votes
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::eval::qa::item::user;

    fn set(texts: &[(&str, usize)], train: usize) -> Set {
        let item = |(text, answer): &(&str, usize)| Item {
            id: String::new(),
            kind: "k".into(),
            example: user((*text).into(), vec![]),
            passage: None,
            options: vec!["yes".into(), "no".into()],
            classes: vec![0, 1],
            answer: *answer,
        };
        Set {
            train: texts[..train].iter().map(item).collect(),
            eval: texts[train..].iter().map(item).collect(),
            classes: vec!["yes".into(), "no".into()],
            common: true,
            ..Set::default()
        }
    }

    #[test]
    fn words_are_learnt_on_the_training_side() {
        let texts = [
            ("red fish", 0),
            ("blue bird", 1),
            ("red car", 0),
            ("blue sea", 1),
            ("no red", 0),
            ("blue", 1),
            ("red", 0),
        ];
        let set = set(&texts, 5);
        let said = School::of(&set).words().unwrap();
        assert_eq!(said.chosen, [Some(1), Some(0)]);
    }

    #[test]
    fn without_a_training_side_nobody_answers_what_it_learnt() {
        // Four rows say no, but the row that says yes is never in its own lesson: everything is answered no.
        let set = set(&[("a", 1), ("b", 1), ("c", 0), ("d", 1), ("e", 1)], 0);
        let school = School::of(&set);
        assert_eq!(school.majority().unwrap().chosen, [Some(1); 5]);
        for (learn, asked) in school.lessons() {
            assert!(asked.iter().all(|row| !learn.contains(row)));
        }
    }
}
