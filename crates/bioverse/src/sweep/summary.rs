//! What came out of a sweep: one row for each combination, on the screen, as Markdown, as JSON and as a page.

use std::path::PathBuf;

use serde::Serialize;

use super::metric;
use super::plan::Plan;
use super::trial::{Ended, State};
use crate::error::{Error, Result};
use crate::eval::metrics::mean;
use crate::eval::table::Table;
use crate::files::write_atomic;
use crate::report::axis::duration;
use crate::report::{metrics, templates};

/// Columns of a terminal.
const SCREEN: usize = 80;

/// The results of a sweep.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// What runs were compared by.
    pub metric: String,
    higher_is_better: bool,
    /// Keys that varied.
    keys: Vec<String>,
    #[serde(skip)]
    short: Vec<String>,
    #[serde(skip)]
    dir: PathBuf,
    seeds: usize,
    /// Other measurements in the table.
    also: Vec<String>,
    /// One for each combination.
    pub rows: Vec<Row>,
}

/// The runs of one combination.
#[derive(Debug, Serialize)]
pub struct Row {
    values: Vec<String>,
    /// The metric, then `also`.
    measured: Vec<Option<Spread>>,
    seconds: f64,
    best: bool,
    /// Runs that ended well.
    pub finished: usize,
    /// Sentences of runs that did not.
    pub failures: Vec<String>,
    folders: Vec<String>,
}

/// A number over seeds.
#[derive(Debug, Clone, Copy, Serialize)]
struct Spread {
    mean: f64,
    /// Sample standard deviation; `None` of one run.
    sd: Option<f64>,
}

impl Spread {
    fn of(values: &[f64]) -> Option<Self> {
        let n = values.len() as f64;
        let mean = mean(values.iter().copied());
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        (n > 0.0).then(|| Self {
            mean,
            sd: (n > 1.0).then(|| (squares / (n - 1.0)).sqrt()),
        })
    }

    fn show(self) -> String {
        match self.sd {
            Some(sd) => format!("{:.3} ± {sd:.3}", self.mean),
            None => format!("{:.4}", self.mean),
        }
    }
}

impl Summary {
    /// From the runs' `metrics.jsonl`; `states` in the order of the plan, `None` for runs that did not begin.
    pub fn of(plan: &Plan, states: &[Option<State>]) -> Result<Self> {
        let keys = [plan.metric.clone()];
        let sides = ["_to_text", "_to_bio"].map(|side| format!("{}{side}", plan.metric));
        let mut rows = vec![];
        for (number, trials) in plan.trials.chunks(plan.seeds).enumerate() {
            let states = states.iter().skip(number * plan.seeds).take(plan.seeds);
            let mut row = Row {
                values: trials.first().map_or(vec![], |trial| trial.values.clone()),
                measured: vec![],
                seconds: 0.0,
                best: false,
                finished: 0,
                failures: vec![],
                folders: trials.iter().map(|trial| trial.name.clone()).collect(),
            };
            let mut values: [Vec<f64>; 3] = Default::default();
            for (trial, state) in trials.iter().zip(states) {
                let Some(state) = state else { continue };
                row.seconds += state.seconds;
                match &state.ended {
                    Some(Ended::Finished) => row.finished += 1,
                    Some(Ended::Failed(said)) => {
                        row.failures.push(format!("{}: {said}", trial.name));
                        continue;
                    }
                    None => continue,
                }
                let trainings = metrics::read(&trial.dir.join("metrics.jsonl"))?;
                for (key, values) in keys.iter().chain(&sides).zip(&mut values) {
                    values.extend(metric::reached(&trainings, key, trial));
                }
            }
            row.measured = values.iter().map(|values| Spread::of(values)).collect();
            rows.push(row);
        }
        let mut summary = Self {
            higher_is_better: metric::higher_is_better(&plan.metric),
            metric: plan.metric.clone(),
            keys: plan.axes.iter().map(|axis| axis.key.clone()).collect(),
            short: plan
                .axes
                .iter()
                .map(|axis| axis.short().to_owned())
                .collect(),
            dir: plan.dir.clone(),
            seeds: plan.seeds,
            also: sides.to_vec(),
            rows,
        };
        summary.drop_empty_columns();
        summary.mark_best();
        Ok(summary)
    }

    fn drop_empty_columns(&mut self) {
        let any = |column: usize| self.rows.iter().any(|row| row.measured[column].is_some());
        let kept: Vec<bool> = (0..3).map(|column| column == 0 || any(column)).collect();
        self.also = self
            .also
            .drain(..)
            .zip(&kept[1..])
            .filter(|(_, keep)| **keep)
            .map(|(name, _)| name)
            .collect();
        for row in &mut self.rows {
            row.measured = row
                .measured
                .iter()
                .zip(&kept)
                .filter(|(_, keep)| **keep)
                .map(|(value, _)| *value)
                .collect();
        }
    }

    fn mark_best(&mut self) {
        let sign = if self.higher_is_better { 1.0 } else { -1.0 };
        let value = |row: &Row| {
            row.measured
                .first()
                .copied()
                .flatten()
                .map(|spread| sign * spread.mean)
        };
        let best = self.rows.iter().filter_map(value).reduce(f64::max);
        for row in &mut self.rows {
            row.best = best.is_some() && value(row) == best;
        }
    }

    /// Whether any run measured the metric.
    pub fn measured(&self) -> bool {
        self.rows
            .iter()
            .any(|row| row.measured.first().is_some_and(Option::is_some))
    }

    /// The table for a terminal: at most 80 columns, values in a key below it where they are long.
    pub fn screen(&self) -> String {
        let full = self.table(|row| row.values.clone(), &self.short);
        if full
            .to_string()
            .lines()
            .all(|line| line.chars().count() <= SCREEN)
        {
            return self.with_notes(&full, "");
        }
        let mut letters = (1..).map(|n: usize| n.to_string());
        let numbers: Vec<String> = self.rows.iter().filter_map(|_| letters.next()).collect();
        let number = |row: &Row| {
            let at = self.rows.iter().position(|other| std::ptr::eq(other, row));
            vec![
                at.and_then(|at| numbers.get(at))
                    .cloned()
                    .unwrap_or_default(),
            ]
        };
        let table = self.table(number, &["run".to_owned()]);
        let pairs = |row: &Row| -> String {
            let pairs = self
                .short
                .iter()
                .zip(&row.values)
                .map(|(key, value)| format!("{key}={value}"));
            pairs.collect::<Vec<_>>().join(" ")
        };
        let key: String = self
            .rows
            .iter()
            .zip(&numbers)
            .map(|(row, n)| format!("{n:>3}  {}\n", pairs(row)))
            .collect();
        self.with_notes(&table, &format!("{key}\n"))
    }

    fn with_notes(&self, table: &Table, before: &str) -> String {
        let failures = self.rows.iter().flat_map(|row| &row.failures);
        let failures: String = failures.map(|said| format!("failed: {said}\n")).collect();
        let by = if self.higher_is_better {
            "higher"
        } else {
            "lower"
        };
        let over = if self.seeds > 1 {
            format!(", mean ± sd of {} seeds", self.seeds)
        } else {
            String::new()
        };
        format!(
            "{before}{table}\n{} ({by} is better){over}\n{failures}",
            self.metric
        )
    }

    fn table(&self, labels: impl Fn(&Row) -> Vec<String>, names: &[String]) -> Table {
        let plain = |key: &String| key.trim_start_matches("held_out_").to_owned();
        let sides = self.also.iter().map(|key| match key.ends_with("_to_text") {
            true => "to text".to_owned(),
            false => "to record".to_owned(),
        });
        let mut header = names.to_vec();
        header.push(plain(&self.metric));
        header.extend(sides);
        header.extend(["time".into(), String::new()]);
        let mut table = Table::of(names.len(), header);
        for row in &self.rows {
            let mut cells = labels(row);
            let shown = row
                .measured
                .iter()
                .map(|value| value.map_or("–".into(), Spread::show));
            cells.extend(shown);
            cells.push(duration(row.seconds));
            cells.push(match (row.best, row.failures.is_empty()) {
                (true, _) => "best".into(),
                (_, false) => "failed".into(),
                _ if row.finished < self.seeds => "not run".into(),
                _ => String::new(),
            });
            table.cells(cells);
        }
        table
    }

    /// Writes `sweep.md`, `sweep.json` and `sweep.html` into the sweep's folder.
    pub fn write(&self) -> Result<()> {
        let full = self.table(|row| row.values.clone(), &self.keys);
        let json =
            serde_json::to_string_pretty(self).map_err(|error| Error::Run(error.to_string()))?;
        let markdown = format!("# Sweep\n\n{}", self.with_notes(&full, ""));
        write_atomic(&self.dir.join("sweep.md"), markdown.as_bytes())?;
        write_atomic(&self.dir.join("sweep.json"), json.as_bytes())?;
        let page = templates::fill("sweep.html", &self.view())?;
        write_atomic(&self.dir.join("sweep.html"), page.as_bytes())
    }

    /// What the page shows: bars from zero to the largest value.
    fn view(&self) -> serde_json::Value {
        let spread = |row: &Row| row.measured.first().copied().flatten();
        let top = self
            .rows
            .iter()
            .filter_map(spread)
            .map(|s| s.mean + s.sd.unwrap_or(0.0));
        let top = top.fold(f64::MIN_POSITIVE, f64::max);
        let rows = self.rows.iter().map(|row| {
            let share = spread(row).map(|spread| 100.0 * (spread.mean / top).clamp(0.0, 1.0));
            serde_json::json!({
                "values": row.values,
                "cells": row.measured.iter().map(|value| value.map(Spread::show)).collect::<Vec<_>>(),
                "share": share,
                "time": duration(row.seconds),
                "best": row.best,
                "failures": row.failures,
                "folders": row.folders,
            })
        });
        serde_json::json!({
            "metric": self.metric,
            "higher": self.higher_is_better,
            "keys": self.keys,
            "also": self.also,
            "seeds": self.seeds,
            "folder": self.dir.display().to_string(),
            "rows": rows.collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn summary(values: &[&[&str]], higher: bool) -> Summary {
        let row = |(i, values): (usize, &&[&str])| Row {
            values: values.iter().map(|v| (*v).to_owned()).collect(),
            measured: vec![Spread::of(&[0.1 * (i + 1) as f64]), None, None],
            seconds: 83.0,
            best: false,
            finished: 1,
            failures: vec![],
            folders: vec![],
        };
        let mut summary = Summary {
            metric: "held_out_mrr".into(),
            higher_is_better: higher,
            keys: vec!["align.text_space".into(); values[0].len()],
            short: vec!["text_space".into(); values[0].len()],
            dir: PathBuf::new(),
            seeds: 1,
            also: vec!["held_out_mrr_to_text".into(), "held_out_mrr_to_bio".into()],
            rows: values.iter().enumerate().map(row).collect(),
        };
        summary.drop_empty_columns();
        summary.mark_best();
        summary
    }

    #[test]
    fn the_best_is_marked_in_the_right_direction() {
        let text = summary(&[&["raw"], &["whitened"]], true).screen();
        assert!(
            text.contains("| whitened   | 0.2000 | 1 min 23 s | best |"),
            "{text}"
        );
        let text = summary(&[&["raw"], &["whitened"]], false).screen();
        assert!(
            text.contains("| raw        | 0.1000 | 1 min 23 s | best |"),
            "{text}"
        );
    }

    #[test]
    fn no_line_is_wider_than_a_terminal() {
        let long = "a-model-with-quite-a-long-name";
        let text = summary(&[&[long, long, "x"], &[long, "y", "z"]], true).screen();
        let table: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(table.len(), 4, "{text}");
        assert!(
            table.iter().all(|line| line.chars().count() <= SCREEN),
            "{text}"
        );
        assert!(
            text.contains("  2  text_space=a-model-with-quite-a-long-name text_space=y"),
            "{text}"
        );
    }

    #[test]
    fn mean_and_deviation_over_seeds_and_failures_keep_their_row() {
        let spread = Spread::of(&[1.0, 2.0, 3.0]).unwrap();
        assert_eq!((spread.mean, spread.sd), (2.0, Some(1.0)));
        assert!(Spread::of(&[]).is_none() && Spread::of(&[1.0]).unwrap().sd.is_none());
        let mut summary = summary(&[&["raw"], &["bad"]], true);
        summary.rows[1].measured[0] = None;
        summary.rows[1].failures.push("bad: the loss is NaN".into());
        summary.mark_best();
        let text = summary.screen();
        assert!(
            text.contains("| bad        |      – |")
                && text.contains("failed: bad: the loss is NaN"),
            "{text}"
        );
        let dir = tempfile::tempdir().unwrap();
        summary.dir = dir.path().into();
        summary.write().unwrap();
        let page = std::fs::read_to_string(dir.path().join("sweep.html")).unwrap();
        assert!(page.contains("the loss is NaN"));
    }
}
