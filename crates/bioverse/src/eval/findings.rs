//! What a suite found, in one shape for all suites: methods with a score per row or one per set, tables, pictures,
//! predictions. Intervals and contests follow from the scores; how they are written is for [`report`](super::report).

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::bootstrap::{self, Contest};
use super::table::Table;
use crate::error::Result;
use crate::report::{chart::Plot, templates};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The bundle.
    Model,
    /// Something that might be as good: a simpler method, the frozen LLM, guessing.
    Baseline,
    /// The bundle with something taken from it: other records, none.
    Control,
}

/// A number of a method.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Number {
    /// The number.
    pub value: f64,
    /// Its 95 % bootstrap interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
}

/// One way to answer the suite's rows.
#[derive(Debug, Clone, Serialize)]
pub struct Method {
    /// Short name without spaces, as it stands in files (`model`, `ridge`, `knn_15`, `swapped`).
    pub name: String,
    /// What it is.
    pub role: Role,
    /// Higher is better, one value per row that the metric is about, by metric, in the order of the rows; the number is their
    /// mean.
    #[serde(skip)]
    pub rows: BTreeMap<String, Vec<f64>>,
    /// Every number, by metric.
    pub numbers: BTreeMap<String, Number>,
}

impl Method {
    /// Without numbers yet.
    pub fn new(name: &str, role: Role) -> Self {
        Self {
            name: name.into(),
            role,
            rows: BTreeMap::new(),
            numbers: BTreeMap::new(),
        }
    }

    /// Adds a metric that every row has a value of; higher must be better, for contests.
    #[must_use]
    pub fn mean(mut self, metric: &str, rows: Vec<f64>) -> Self {
        if !rows.is_empty() {
            let number = Number {
                value: rows.iter().sum::<f64>() / rows.len() as f64,
                interval: bootstrap::of_mean(&rows),
            };
            self.numbers.insert(metric.into(), number);
        }
        self.rows.insert(metric.into(), rows);
        self
    }

    /// Adds a metric of the set as a whole (macro-F1, AUROC, BLEU): `statistic` computes it on the rows with these indices.
    #[must_use]
    pub fn whole(self, metric: &str, n: usize, statistic: impl Fn(&[usize]) -> f64) -> Self {
        let all: Vec<usize> = (0..n).collect();
        let value = statistic(&all);
        let interval = bootstrap::interval(n, statistic);
        self.number(metric, value, interval)
    }

    /// Adds a number as it is. A value that is not a number is left out: there is nothing to say about it.
    #[must_use]
    pub fn number(mut self, metric: &str, value: f64, interval: Option<[f64; 2]>) -> Self {
        if value.is_finite() {
            self.numbers
                .insert(metric.into(), Number { value, interval });
        }
        self
    }
}

impl Picture {
    /// A line chart; nothing where the plot has no points. The plot's note becomes the caption.
    pub fn chart(plot: Plot) -> Result<Option<Self>> {
        let Some(chart) = plot.draw() else {
            return Ok(None);
        };
        Ok(Some(Self {
            title: chart.title().to_owned(),
            caption: chart.note().to_owned(),
            svg: templates::chart(&chart)?,
        }))
    }
}

/// A picture of the report.
#[derive(Debug, Clone, Serialize)]
pub struct Picture {
    /// Its heading.
    pub title: String,
    /// What it shows, in a sentence.
    pub caption: String,
    /// The whole `<svg>` element. It is not escaped again: names that come from data are escaped by whoever draws, as the
    /// templates of [`report::page`](crate::report::page) do.
    pub svg: String,
}

/// A table of the report.
#[derive(Debug, Clone)]
pub struct Sheet {
    /// Its heading.
    pub title: String,
    /// The table.
    pub table: Table,
    /// What its columns mean.
    pub legend: String,
}

/// What one suite found about one modality, or about all of them at once.
#[derive(Debug, Clone, Serialize)]
pub struct Findings {
    /// `retrieval`, `annotate`, …
    pub suite: &'static str,
    /// The modality, where the suite is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modality: Option<String>,
    /// Rows that were measured, in the order of every [`Method::rows`].
    pub rows: usize,
    /// Rows that baselines learnt from.
    pub train_rows: usize,
    /// sha256 of the measured rows ([`rows::fingerprint`](super::rows::fingerprint)).
    pub split_sha256: String,
    /// The bundle first.
    pub methods: Vec<Method>,
    /// Metrics whose contests are shown first, and alone on a terminal; none = all.
    pub headline: Vec<String>,
    /// Metric → its exact definition or the implementation whose values it has.
    pub definitions: BTreeMap<String, String>,
    /// Things the reader must know (rows left out, what was not measured and why).
    pub notes: Vec<String>,
    /// Tables, in reading order.
    #[serde(skip)]
    pub sheets: Vec<Sheet>,
    /// Pictures, in reading order.
    #[serde(skip)]
    pub pictures: Vec<Picture>,
    /// One object per row, with at least `id`, `reference`, `prediction`: every number can be computed again from these.
    #[serde(skip)]
    pub predictions: Vec<Value>,
}

impl Findings {
    /// Of some rows, nothing measured yet.
    pub fn new(
        suite: &'static str,
        modality: Option<&str>,
        rows: usize,
        split_sha256: String,
    ) -> Self {
        Self {
            suite,
            modality: modality.map(str::to_owned),
            rows,
            train_rows: 0,
            split_sha256,
            methods: vec![],
            headline: vec![],
            definitions: BTreeMap::new(),
            notes: vec![],
            sheets: vec![],
            pictures: vec![],
            predictions: vec![],
        }
    }

    /// `retrieval.molecule`, or `qa`.
    pub fn key(&self) -> String {
        match &self.modality {
            Some(modality) => format!("{}.{modality}", self.suite),
            None => self.suite.into(),
        }
    }

    /// Whether a metric is among those that are looked for first.
    pub fn is_headline(&self, metric: &str) -> bool {
        self.headline.is_empty() || self.headline.iter().any(|name| name == metric)
    }

    /// Every number by a dotted name: `annotate.cell.model.accuracy`.
    pub fn flat(&self) -> BTreeMap<String, f64> {
        let key = self.key();
        let mut flat = BTreeMap::from([
            (format!("{key}.n"), self.rows as f64),
            (format!("{key}.n_train"), self.train_rows as f64),
        ]);
        for method in &self.methods {
            for (metric, number) in &method.numbers {
                flat.insert(format!("{key}.{}.{metric}", method.name), number.value);
            }
        }
        flat
    }

    /// The bundle against every other method, on every metric that both have row by row: method, metric, result.
    pub fn contests(&self) -> Vec<(&str, &str, Contest)> {
        let Some((ours, others)) = self.methods.split_first() else {
            return vec![];
        };
        let each = others.iter().flat_map(|theirs| {
            let shared = ours.rows.iter().filter_map(|(metric, rows)| {
                let contest = Contest::of(rows, theirs.rows.get(metric)?)?;
                Some((theirs.name.as_str(), metric.as_str(), contest))
            });
            shared.collect::<Vec<_>>()
        });
        each.collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn numbers_have_names_intervals_and_contests() {
        let ours = Method::new("model", Role::Model)
            .mean("accuracy", vec![1.0, 1.0, 1.0, 0.0])
            .whole("count", 4, |rows| rows.len() as f64)
            .number("nothing", f64::NAN, None);
        let theirs = Method::new("majority", Role::Baseline).mean("accuracy", vec![0.0; 4]);
        let mut findings = Findings::new("annotate", Some("cell"), 4, "0".repeat(64));
        findings.methods = vec![ours, theirs];
        let flat = findings.flat();
        assert_eq!(flat["annotate.cell.model.accuracy"], 0.75);
        assert_eq!(flat["annotate.cell.model.count"], 4.0);
        assert!(!flat.contains_key("annotate.cell.model.nothing"));
        let contests = findings.contests();
        let (method, metric, contest) = contests[0];
        assert_eq!((method, metric, contest.wins), ("majority", "accuracy", 3));
    }
}
