//! What a suite found, on disk and on the screen: `metrics.json`, predictions row by row, `report.md`, and a flat file of
//! names and numbers. It computes nothing.

use std::{collections::BTreeMap, path::Path};

use serde::Serialize;

use super::{
    answers::{self, Score, is_closed},
    findings::Findings,
    metrics, retrieval,
    table::Table,
};
use crate::{
    error::{Error, Result},
    files::write_atomic,
};

/// Version of the definitions in [`metrics`](super::metrics): a number is comparable with another of the same version.
const METRICS_VERSION: u32 = 1;

/// Results of one evaluation.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// The bundle that was measured.
    pub bundle: String,
    /// Its manifest's sha256.
    pub bundle_sha256: String,
    /// Retrieval, by modality.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub retrieval: BTreeMap<String, retrieval::Outcome>,
    /// Answers to instruction rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers: Option<answers::Outcome>,
    /// What the other suites found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Findings>,
}

impl Report {
    /// Every number by a dotted name.
    pub fn flat(&self) -> BTreeMap<String, f64> {
        let mut flat = BTreeMap::new();
        for (modality, outcome) in &self.retrieval {
            let base = format!("retrieval.{modality}");
            flat.insert(format!("{base}.n"), outcome.n as f64);
            let methods = [
                ("model", outcome.model),
                ("baseline", outcome.baseline),
                ("chance", outcome.chance),
            ];
            for (method, both) in methods {
                for (direction, values) in [
                    ("record_to_text", both.record_to_text),
                    ("text_to_record", both.text_to_record),
                ] {
                    for (name, value) in values.entries() {
                        flat.insert(format!("{base}.{method}.{direction}.{name}"), value);
                    }
                }
            }
        }
        if let Some(answers) = &self.answers {
            score_entries(&mut flat, "answers", answers.closed);
            for (kind, score) in &answers.kinds {
                score_entries(&mut flat, &format!("answers.{kind}"), *score);
            }
        }
        for findings in &self.findings {
            flat.extend(findings.flat());
        }
        flat
    }

    /// The tables, as Markdown.
    pub fn tables(&self) -> String {
        let mut text = String::new();
        for (modality, outcome) in &self.retrieval {
            let n = outcome.n;
            text.push_str(&format!(
                "Retrieval, {modality}: all {n} held-out pairs are candidates (values in %)\n\n{}\n",
                retrieval_table(modality, outcome)
            ));
        }
        if let Some(answers) = &self.answers {
            text.push_str(&format!(
                "Answers to {} held-out questions (values in %)\n\n{}\n{ANSWERS_LEGEND}\n",
                answers.predictions.len(),
                answers_table(answers)
            ));
        }
        text
    }

    /// Writes `metrics.json`, `report.md`, `retrieval.jsonl` and `answers.jsonl` into `dir`, each as a whole.
    pub fn write(&self, dir: &Path) -> Result<()> {
        std::fs::create_dir_all(dir).map_err(|error| Error::io(dir, error))?;
        if !self.retrieval.is_empty() {
            let rows = self.retrieval.values().flat_map(|o| &o.predictions);
            write_atomic(&dir.join("retrieval.jsonl"), &lines(rows)?)?;
        }
        if let Some(answers) = &self.answers {
            let rows = answers.predictions.iter();
            write_atomic(&dir.join("answers.jsonl"), &lines(rows)?)?;
        }
        let mut all = json(self)?;
        all["bioverse"] = env!("CARGO_PKG_VERSION").into();
        all["metrics_version"] = METRICS_VERSION.into();
        all["numbers"] = json(&self.flat())?;
        write_atomic(&dir.join("metrics.json"), pretty(&all).as_bytes())?;
        let text = format!("# Evaluation of `{}`\n\n{}", self.bundle, self.tables());
        write_atomic(&dir.join("report.md"), text.as_bytes())
    }

    /// Writes [`Report::flat`] as one JSON object.
    pub fn write_flat(&self, file: &Path) -> Result<()> {
        let text = pretty(&json(&self.flat())?);
        // A device file cannot be replaced by renaming, and need not be.
        if file.exists() && !file.is_file() {
            return std::fs::write(file, text).map_err(|error| Error::io(file, error));
        }
        write_atomic(file, text.as_bytes())
    }
}

const ANSWERS_LEGEND: &str = "\
right: the answer is the reference. swapped: the same, after another row's\n\
record was put in its place. majority: the most frequent training answer.\n\
changed: the answer is another one after swapping. F1: words in common.\n";

fn retrieval_table(modality: &str, outcome: &retrieval::Outcome) -> Table {
    let mut table = Table::new(
        2,
        ["direction", "method", "R@1", "R@5", "R@10", "MRR", "median"],
    );
    let (model, baseline, chance) = (&outcome.model, &outcome.baseline, &outcome.chance);
    let mut rows = |direction: &str, values: [metrics::Retrieval; 3]| {
        for (name, r) in ["bioverse", "substrings", "chance"].into_iter().zip(values) {
            let mut cells = vec![name.to_owned()];
            cells.extend([r.r1, r.r5, r.r10, r.mrr].map(percent));
            cells.push(format!("{:.1}", r.median_rank));
            table.row(direction, cells);
        }
    };
    rows(
        &format!("{modality} to text"),
        [
            model.record_to_text,
            baseline.record_to_text,
            chance.record_to_text,
        ],
    );
    rows(
        &format!("text to {modality}"),
        [
            model.text_to_record,
            baseline.text_to_record,
            chance.text_to_record,
        ],
    );
    table
}

fn answers_table(answers: &answers::Outcome) -> Table {
    let mut table = Table::new(
        1,
        [
            "question", "n", "right", "swapped", "majority", "changed", "F1", "F1 swap",
        ],
    );
    let mut row = |name: &str, score: &Score, closed: bool| {
        let exact = |value: f64| if closed { percent(value) } else { "".into() };
        table.row(
            name,
            [
                score.n.to_string(),
                exact(score.accuracy),
                exact(score.accuracy_swapped),
                exact(score.accuracy_majority),
                percent(score.changed),
                percent(score.f1),
                percent(score.f1_swapped),
            ],
        );
    };
    for (kind, score) in &answers.kinds {
        row(kind, score, is_closed(kind));
    }
    row("all exact", &answers.closed, true);
    table
}

fn score_entries(flat: &mut BTreeMap<String, f64>, base: &str, score: Score) {
    let entries = [
        ("n", score.n as f64),
        ("accuracy", score.accuracy),
        ("accuracy_swapped", score.accuracy_swapped),
        ("accuracy_majority", score.accuracy_majority),
        ("f1", score.f1),
        ("f1_swapped", score.f1_swapped),
        ("f1_majority", score.f1_majority),
        ("changed", score.changed),
    ];
    flat.extend(entries.map(|(name, value)| (format!("{base}.{name}"), value)));
}

fn percent(value: f64) -> String {
    format!("{:.1}", 100.0 * value)
}

fn json(value: &impl Serialize) -> Result<serde_json::Value> {
    serde_json::to_value(value)
        .map_err(|error| Error::Run(format!("the report cannot be written as JSON: {error}")))
}

fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}

fn lines<T: Serialize>(rows: impl Iterator<Item = T>) -> Result<Vec<u8>> {
    let mut text = String::new();
    for row in rows {
        text.push_str(&json(&row)?.to_string());
        text.push('\n');
    }
    Ok(text.into_bytes())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::eval::{
        metrics::Retrieval,
        retrieval::{Directions, Outcome},
    };

    fn report() -> Report {
        let one = Directions {
            record_to_text: Retrieval::chance(10),
            text_to_record: Retrieval::from_ranks(&[1.0, 2.0]),
        };
        let outcome = Outcome {
            modality: "molecule".into(),
            n: 10,
            n_train: 90,
            split_sha256: "0".repeat(64),
            model: one,
            baseline: one,
            baseline_lambda: 1.0,
            chance: one,
            predictions: vec![],
        };
        let score = Score {
            n: 1463,
            accuracy: 1.0,
            accuracy_swapped: 0.5,
            accuracy_majority: 0.25,
            f1: 1.0,
            f1_swapped: 1.0,
            f1_majority: 1.0,
            changed: 1.0,
        };
        Report {
            retrieval: [("molecule".to_string(), outcome)].into(),
            answers: Some(answers::Outcome {
                split_sha256: "1".repeat(64),
                n_train: 9,
                closed: score,
                kinds: [("has_group".to_string(), score), ("describe".into(), score)].into(),
                predictions: vec![],
            }),
            ..Report::default()
        }
    }

    #[test]
    fn tables_fit_eighty_columns() {
        for line in report().tables().lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn the_flat_file_names_every_number() {
        let flat = report().flat();
        assert_eq!(flat["retrieval.molecule.model.text_to_record.r@1"], 0.5);
        assert_eq!(flat["answers.accuracy_swapped"], 0.5);
        assert_eq!(flat["answers.has_group.n"], 1463.0);
    }

    #[test]
    fn everything_is_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("new/report");
        report().write(&target).unwrap();
        let text = std::fs::read_to_string(target.join("metrics.json")).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["answers"]["split_sha256"], "1".repeat(64));
        assert!(json["numbers"]["answers.f1"].is_number());
        for file in ["report.md", "retrieval.jsonl", "answers.jsonl"] {
            assert!(target.join(file).is_file(), "{file}");
        }
    }
}
