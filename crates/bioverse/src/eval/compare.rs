//! Two bundles on the same rows: each runs the suite, and their scores are paired row by row. It knows no suite, and judges
//! only what was measured on equal rows.

use std::path::{Path, PathBuf};

use bioverse_core::Registry;
use burn::prelude::*;
use serde_json::{Value, json};

use super::{
    LeftOut, Report, Request,
    bootstrap::Contest,
    findings::{Findings, Method, Number, Role, Sheet},
    report::text::{between, fixed},
    table::Table,
};
use crate::error::{Error, Result};

/// Names of the two bundles in tables and files.
const NAMES: [&str; 2] = ["a", "b"];
const LEGEND: &str = "difference: a minus b, positive where a is better; its interval resamples rows in pairs. result: a win \
or a loss of a where the interval leaves out zero. Metrics of the set as a whole have no rows to pair and stand side by side.";

/// Runs the suites of a request on both bundles, each alone, and compares them.
///
/// # Errors
/// What evaluating either gives; rows that are not the same; no suite that both can run.
pub fn run(
    bundles: &[PathBuf; 2],
    request: &Request,
    registry: &Registry,
    device: &Device,
) -> Result<Report> {
    let one = |bundle: &PathBuf| {
        let request = Request {
            bundle: bundle.clone(),
            alone: true,
            ..request.clone()
        };
        super::run(&request, registry, device)
    };
    let [a, b] = [one(&bundles[0])?, one(&bundles[1])?];
    of(&a, &b, bundles)
}

/// Compares what was measured.
fn of(a: &Report, b: &Report, bundles: &[PathBuf; 2]) -> Result<Report> {
    let [first, second] = bundles
        .each_ref()
        .map(|bundle| bundle.display().to_string());
    let mut report = Report {
        bundle: format!("{first} against {second}"),
        compared: Some([
            (first, a.bundle_sha256.clone()),
            (second, b.bundle_sha256.clone()),
        ]),
        ..Report::default()
    };
    report
        .left_out
        .extend(a.left_out.iter().chain(&b.left_out).cloned());
    for ours in &a.findings {
        match b.findings.iter().find(|theirs| theirs.key() == ours.key()) {
            Some(theirs) => report.findings.push(pair(ours, theirs, bundles)?),
            None => report.left_out.push(only_one(ours, &bundles[1])),
        }
    }
    let both = |key: String| a.findings.iter().any(|ours| ours.key() == key);
    let alone = b.findings.iter().filter(|theirs| !both(theirs.key()));
    report
        .left_out
        .extend(alone.map(|theirs| only_one(theirs, &bundles[0])));
    if report.findings.is_empty() {
        return Err(Error::Input(format!(
            "there is nothing that both {} and {} were measured on; name a suite and rows that both can read with --suite and \
             --data",
            bundles[0].display(),
            bundles[1].display()
        )));
    }
    Ok(report)
}

fn only_one(findings: &Findings, other: &Path) -> LeftOut {
    LeftOut {
        suite: findings.key(),
        why: format!(
            "{} has no such rows or modality, so there is nothing to compare",
            other.display()
        ),
    }
}

fn pair(a: &Findings, b: &Findings, bundles: &[PathBuf; 2]) -> Result<Findings> {
    if a.split_sha256 != b.split_sha256 || a.rows != b.rows {
        return Err(Error::Input(format!(
            "{} and {} were measured on different rows for {} ({} and {}), so their numbers cannot be compared; name the same \
             rows for both with --data",
            bundles[0].display(),
            bundles[1].display(),
            a.key(),
            a.rows,
            b.rows
        )));
    }
    let mut found = Findings::new(
        a.suite,
        a.modality.as_deref(),
        a.rows,
        a.split_sha256.clone(),
    );
    found.methods = vec![merged(NAMES[0], a), merged(NAMES[1], b)];
    found.methods.push(differences(&found));
    found.headline.clone_from(&a.headline);
    found.definitions.clone_from(&a.definitions);
    found.notes.extend(a.notes.iter().cloned());
    let more = b.notes.iter().filter(|note| !a.notes.contains(note));
    found.notes.extend(more.cloned());
    found.sheets = vec![sheet(&found)];
    found.predictions = predictions(a, b);
    Ok(found)
}

/// Everything that is a bundle's own in one method; where a suite asks it in several ways, their names stand in front.
fn merged(name: &str, findings: &Findings) -> Method {
    let mut all = Method::new(name, Role::Model);
    for method in findings
        .methods
        .iter()
        .filter(|method| method.role == Role::Model)
    {
        let full = |metric: &String| match method.name.as_str() {
            "model" => metric.clone(),
            other => format!("{other}.{metric}"),
        };
        let numbers = method.numbers.iter();
        all.numbers
            .extend(numbers.map(|(metric, number)| (full(metric), *number)));
        let rows = method.rows.iter();
        all.rows
            .extend(rows.map(|(metric, rows)| (full(metric), rows.clone())));
    }
    all
}

/// The differences as numbers, for the flat file.
fn differences(found: &Findings) -> Method {
    let mut method = Method::new("difference", Role::Control);
    for (_, metric, contest) in found.contests() {
        let number = Number {
            value: contest.difference,
            interval: Some(contest.interval),
        };
        method.numbers.insert(metric.to_owned(), number);
        for (what, count) in [
            ("wins", contest.wins),
            ("ties", contest.ties),
            ("losses", contest.losses),
        ] {
            method = method.number(&format!("{metric}.{what}"), count as f64, None);
        }
    }
    method
}

fn sheet(found: &Findings) -> Sheet {
    let header = [
        "metric",
        "a",
        "b",
        "difference",
        "95 % interval",
        "win/tie/loss",
        "result",
    ];
    let mut table = Table::new(1, header);
    let contests = found.contests();
    let contest = |metric: &str| {
        contests
            .iter()
            .find(|(_, of, _)| *of == metric)
            .map(|(.., c)| c)
    };
    let [a, b] = [&found.methods[0].numbers, &found.methods[1].numbers];
    for (metric, number) in a {
        let Some(other) = b.get(metric) else { continue };
        let rest = contest(metric).map_or([(); 4].map(|()| String::new()), cells);
        table.row(
            metric,
            [fixed(number.value), fixed(other.value)]
                .into_iter()
                .chain(rest),
        );
    }
    Sheet {
        title: "both bundles on the same rows".into(),
        table,
        legend: LEGEND.into(),
    }
}

fn cells(contest: &Contest) -> [String; 4] {
    [
        format!("{:+.3}", contest.difference),
        between(contest.interval),
        format!("{}/{}/{}", contest.wins, contest.ties, contest.losses),
        contest.verdict().to_owned(),
    ]
}

/// What both said about each row.
fn predictions(a: &Findings, b: &Findings) -> Vec<Value> {
    let pairs = a.predictions.iter().zip(&b.predictions);
    pairs
        .map(|(a, b)| json!({"id": a["id"], "reference": a["reference"], "a": a, "b": b}))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn report(scores: [f64; 4], split: &str) -> Report {
        let mut findings = Findings::new("qa", None, 4, split.into());
        findings.methods = vec![
            Method::new("model", Role::Model)
                .mean("accuracy", scores.into())
                .number("macro_f1", 0.5, None),
            Method::new("generated", Role::Model).mean("accuracy", scores.into()),
            Method::new("majority", Role::Baseline).mean("accuracy", vec![0.0; 4]),
        ];
        findings.predictions = vec![json!({"id": "x", "reference": "yes"}); 4];
        Report {
            findings: vec![findings],
            ..Report::default()
        }
    }

    fn bundles() -> [PathBuf; 2] {
        ["runs/a", "runs/b"].map(PathBuf::from)
    }

    #[test]
    fn rows_are_paired_and_counted() {
        let (a, b) = (
            report([1.0, 1.0, 0.0, 1.0], "s"),
            report([1.0, 0.0, 1.0, 0.0], "s"),
        );
        let found = of(&a, &b, &bundles()).unwrap();
        let flat = found.flat();
        for (name, expected) in [
            ("a.accuracy", 0.75),
            ("b.accuracy", 0.5),
            ("difference.accuracy", 0.25),
            ("difference.accuracy.wins", 2.0),
            ("difference.accuracy.ties", 1.0),
            ("difference.accuracy.losses", 1.0),
            ("a.generated.accuracy", 0.75),
            ("b.macro_f1", 0.5),
        ] {
            assert_eq!(flat[&format!("qa.{name}")], expected, "{name}");
        }
        assert!(
            !flat.contains_key("qa.difference.macro_f1"),
            "no rows to pair"
        );
        let text = found.tables();
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
        assert!(
            text.contains("+0.250") && text.contains("2/1/1") && text.contains("tie"),
            "{text}"
        );
        assert_eq!(found.findings[0].predictions.len(), 4);
    }

    #[test]
    fn other_rows_are_refused_with_a_next_step() {
        let error = of(&report([1.0; 4], "s"), &report([1.0; 4], "t"), &bundles()).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("--data"), "{error}");
        let error = of(&report([1.0; 4], "s"), &Report::default(), &bundles()).unwrap_err();
        assert!(error.to_string().contains("nothing that both"), "{error}");
    }
}
