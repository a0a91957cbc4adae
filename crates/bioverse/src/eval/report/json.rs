//! `metrics.json`: everything but predictions and pictures, as one value.

use serde::Serialize;
use serde_json::{Value, json};

use super::super::{bootstrap, findings::Findings};
use super::{METRICS_VERSION, Report};
use crate::error::{Error, Result};

/// The file, with a line break at its end.
pub fn pretty(report: &Report) -> Result<String> {
    let suites: Result<Vec<Value>> = report.findings.iter().map(suite).collect();
    let mut all = json!({
        "bioverse": env!("CARGO_PKG_VERSION"),
        "metrics_version": METRICS_VERSION,
        "bundle": report.bundle,
        "bundle_sha256": report.bundle_sha256,
        "intervals": bootstrap::METHOD,
        "numbers": report.flat(),
        "suites": suites?,
        "left_out": report.left_out,
    });
    if let Some(bundles) = &report.compared {
        let bundle =
            |(path, hash): &(String, String)| json!({"bundle": path, "bundle_sha256": hash});
        all["compared"] = bundles.iter().map(bundle).collect();
    }
    text(&all)
}

fn suite(findings: &Findings) -> Result<Value> {
    let mut suite = value(findings)?;
    let contests = findings.contests().into_iter();
    let contests = contests.map(|(against, metric, contest)| {
        json!({
            "against": against,
            "metric": metric,
            "difference": contest.difference,
            "interval": contest.interval,
            "wins": contest.wins,
            "ties": contest.ties,
            "losses": contest.losses,
            "verdict": contest.verdict(),
        })
    });
    suite["contests"] = contests.collect();
    suite["key"] = findings.key().into();
    Ok(suite)
}

/// Any value as indented JSON.
pub fn text(any: &impl Serialize) -> Result<String> {
    Ok(format!("{:#}\n", value(any)?))
}

fn value(any: &impl Serialize) -> Result<Value> {
    serde_json::to_value(any)
        .map_err(|error| Error::Run(format!("the report cannot be written as JSON: {error}")))
}
