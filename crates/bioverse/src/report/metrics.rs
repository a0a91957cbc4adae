//! `metrics.jsonl` read back: the numbers of each training of a run, by step. What they mean is not known here.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// One line: a step, and what was measured there, in the order of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// The step.
    pub step: u64,
    /// Every number of the line but the step.
    pub values: Vec<(String, f64)>,
}

impl Line {
    /// A number of this line.
    pub fn get(&self, key: &str) -> Option<f64> {
        let found = self.values.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| *value)
    }
}

/// The lines of one training, such as `align molecule`.
#[derive(Debug, Clone, PartialEq)]
pub struct Training {
    /// What the lines call their `stage`.
    pub name: String,
    /// In order of the file.
    pub lines: Vec<Line>,
}

impl Training {
    /// A series, as (step, value).
    pub fn series(&self, key: &str) -> Vec<(f64, f64)> {
        let point = |line: &Line| Some((line.step as f64, line.get(key)?));
        self.lines.iter().filter_map(point).collect()
    }

    /// The first value of a series.
    pub fn first(&self, key: &str) -> Option<f64> {
        self.lines.iter().find_map(|line| line.get(key))
    }

    /// The last value of a series.
    pub fn last(&self, key: &str) -> Option<f64> {
        self.lines.iter().rev().find_map(|line| line.get(key))
    }

    /// Every key of a number, in the order in which they first appear.
    pub fn keys(&self) -> Vec<&str> {
        let mut keys: Vec<&str> = vec![];
        for (key, _) in self.lines.iter().flat_map(|line| &line.values) {
            if !keys.contains(&key.as_str()) {
                keys.push(key);
            }
        }
        keys
    }

    /// The step of the last line.
    pub fn last_step(&self) -> u64 {
        self.lines.last().map_or(0, |line| line.step)
    }
}

/// All trainings of a run, in order of the file. A file that is not there holds none; so does a run that still encodes.
pub fn read(file: &Path) -> Result<Vec<Training>> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(parse(&text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(vec![]),
        Err(error) => Err(Error::io(file, error)),
    }
}

/// Lines that are no JSON object are passed over: a run that is still going may be in the middle of one.
fn parse(text: &str) -> Vec<Training> {
    let mut trainings: Vec<Training> = vec![];
    for line in text.lines() {
        let Ok(fields) = serde_json::from_str::<Map<String, Value>>(line) else {
            continue;
        };
        let Some(step) = fields.get("step").and_then(Value::as_u64) else {
            continue;
        };
        let name = fields.get("stage").and_then(Value::as_str).unwrap_or("run");
        let numbers = fields.iter().filter(|(key, _)| *key != "step");
        let values = numbers
            .filter_map(|(key, value)| Some((key.clone(), value.as_f64()?)))
            .collect();
        let line = Line { step, values };
        match trainings.iter_mut().find(|training| training.name == name) {
            Some(training) => training.lines.push(line),
            None => trainings.push(Training {
                name: name.to_owned(),
                lines: vec![line],
            }),
        }
    }
    trainings
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn trainings_are_told_apart_and_a_half_written_line_is_passed_over() {
        let text = "{\"step\":0,\"stage\":\"align a\",\"held_out_mrr\":0.1}\n\
                    {\"step\":1,\"stage\":\"align a\",\"loss\":2.5,\"note\":\"x\"}\n\
                    {\"step\":2,\"stage\":\"align b\",\"loss\":1}\n{\"step\":3,\"sta";
        let trainings = parse(text);
        assert_eq!(trainings.len(), 2);
        assert_eq!(trainings[0].keys(), ["held_out_mrr", "loss"]);
        assert_eq!(trainings[0].series("loss"), [(1.0, 2.5)]);
        assert_eq!(trainings[0].first("held_out_mrr"), Some(0.1));
        assert_eq!(
            (trainings[1].last("loss"), trainings[1].last_step()),
            (Some(1.0), 2)
        );
    }

    #[test]
    fn a_run_without_metrics_has_no_trainings() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(&dir.path().join("metrics.jsonl")).unwrap().is_empty());
    }
}
