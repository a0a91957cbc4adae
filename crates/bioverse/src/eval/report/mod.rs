//! What the suites found, on disk and on the screen: tables, `metrics.json`, `report.md`, `report.html`, predictions row by
//! row, and a flat file of names and numbers. It computes nothing and knows no suite.
//!
//! | module | what it holds |
//! |---|---|
//! | [`text`] | tables for the terminal and for Markdown |
//! | [`json`] | `metrics.json` |
//! | [`page`] | the HTML page |

pub mod json;
pub mod page;
pub mod text;

use std::{collections::BTreeMap, path::Path};

use serde::Serialize;

use super::findings::Findings;
use crate::{
    error::{Error, Result},
    files::write_atomic,
};

/// Version of the definitions in [`metrics`](super::metrics) and in the suites: a number is comparable with another of the
/// same version.
pub const METRICS_VERSION: u32 = 2;

/// A suite that was asked for by `all` and could not run on what there is.
#[derive(Debug, Clone, Serialize)]
pub struct LeftOut {
    /// Its name.
    pub suite: String,
    /// Why, and what would change it.
    pub why: String,
}

/// Results of one evaluation.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The bundle that was measured.
    pub bundle: String,
    /// Its manifest's sha256.
    pub bundle_sha256: String,
    /// What the suites found, in the order they ran.
    pub findings: Vec<Findings>,
    /// Path and manifest's sha256 of both bundles, where two were compared.
    pub compared: Option<[(String, String); 2]>,
    /// What did not run.
    pub left_out: Vec<LeftOut>,
}

impl Report {
    /// Every number by a dotted name.
    pub fn flat(&self) -> BTreeMap<String, f64> {
        self.findings.iter().flat_map(Findings::flat).collect()
    }

    /// The tables, for a terminal of 80 columns.
    pub fn tables(&self) -> String {
        text::terminal(self)
    }

    /// Writes `metrics.json`, `report.md`, `report.html` and `predictions/<suite>.jsonl` into `dir`, each as a whole.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let predictions = dir.join("predictions");
        std::fs::create_dir_all(&predictions).map_err(|error| Error::io(&predictions, error))?;
        for findings in &self.findings {
            let file = predictions.join(format!("{}.jsonl", findings.key()));
            write_atomic(&file, &lines(&findings.predictions))?;
        }
        write_atomic(&dir.join("metrics.json"), json::pretty(self)?.as_bytes())?;
        write_atomic(&dir.join("report.md"), text::markdown(self).as_bytes())?;
        write_atomic(&dir.join("report.html"), page::render(self)?.as_bytes())
    }

    /// Writes [`Report::flat`] as one JSON object.
    pub fn write_flat(&self, file: &Path) -> Result<()> {
        write_numbers(&self.flat(), file)
    }
}

/// Writes names and numbers as one JSON object.
pub fn write_numbers(numbers: &BTreeMap<String, f64>, file: &Path) -> Result<()> {
    let text = json::text(numbers)?;
    // A device file cannot be replaced by renaming, and need not be.
    if file.exists() && !file.is_file() {
        return std::fs::write(file, text).map_err(|error| Error::io(file, error));
    }
    write_atomic(file, text.as_bytes())
}

fn lines(rows: &[serde_json::Value]) -> Vec<u8> {
    rows.iter()
        .flat_map(|row| format!("{row}\n").into_bytes())
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::eval::findings::{Method, Picture, Role, Sheet};
    use crate::eval::table::Table;

    /// A suite with everything that can be rendered.
    pub(super) fn report() -> Report {
        let mut findings = Findings::new("annotate", Some("cell"), 4, "ab".repeat(32));
        findings.methods = vec![
            Method::new("model", Role::Model)
                .mean("accuracy", vec![1.0, 1.0, 1.0, 0.0])
                .number("macro_f1", 0.7, Some([0.5, 0.9])),
            Method::new("logistic_regression_on_components", Role::Baseline)
                .mean("accuracy", vec![0.0; 4]),
        ];
        findings.headline = vec!["accuracy".into()];
        let mut table = Table::new(1, ["method", "accuracy"]);
        table.row("<b>model</b>", ["0.75".into()]);
        findings.sheets = vec![Sheet {
            title: "Cells".into(),
            table,
            legend: "accuracy: the share that is right.".into(),
        }];
        findings.pictures = vec![Picture {
            title: "Curve & more".into(),
            caption: "A line.".into(),
            svg: "<svg viewBox=\"0 0 1 1\"><path d=\"M0 0\"/></svg>".into(),
        }];
        findings.notes = vec!["Two rows have no label.".into()];
        let definition = "the share of rows whose answer is the reference";
        findings.definitions = [("accuracy".to_string(), definition.to_string())].into();
        findings.predictions = vec![serde_json::json!({"id": "a"}); 4];
        Report {
            bundle: "runs/x".into(),
            findings: vec![findings],
            left_out: vec![LeftOut {
                suite: "qa".into(),
                why: "there are no questions".into(),
            }],
            ..Report::default()
        }
    }

    #[test]
    fn tables_fit_eighty_columns_and_name_the_contest() {
        let text = report().tables();
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        for part in [
            "+0.750",
            "3/1/0",
            "win",
            "Two rows",
            "no questions",
            "abababababab",
        ] {
            assert!(text.contains(part), "no {part} in {text}");
        }
    }

    #[test]
    fn everything_is_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("new/report");
        report().write(&target).unwrap();
        let read = |name: &str| std::fs::read_to_string(target.join(name)).unwrap();
        let json: serde_json::Value = serde_json::from_str(&read("metrics.json")).unwrap();
        assert_eq!(json["numbers"]["annotate.cell.model.accuracy"], 0.75);
        let suite = &json["suites"][0];
        assert_eq!(suite["split_sha256"], "ab".repeat(32));
        assert_eq!(suite["contests"][0]["verdict"], "win");
        assert_eq!(
            suite["methods"][0]["numbers"]["macro_f1"]["interval"][1],
            0.9
        );
        assert_eq!(read("predictions/annotate.cell.jsonl").lines().count(), 4);
        assert!(read("report.md").contains("the share of rows whose answer"));
        let page = read("report.html");
        assert!(page.contains("&lt;b&gt;model"), "cells are escaped");
        assert!(page.contains("<path d=\"M0 0\"/>"), "drawings are not");
    }

    #[test]
    fn the_flat_file_is_one_object_of_numbers() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("numbers.json");
        report().write_flat(&file).unwrap();
        let text = std::fs::read_to_string(file).unwrap();
        let numbers: BTreeMap<String, f64> = serde_json::from_str(&text).unwrap();
        assert_eq!(numbers["annotate.cell.n"], 4.0);
        assert_eq!(numbers["annotate.cell.model.macro_f1"], 0.7);
    }
}
