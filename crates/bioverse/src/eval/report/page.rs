//! The HTML page of an evaluation: one file that needs nothing but itself. Values are escaped by the template; drawings are
//! markup already.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::{
    bootstrap,
    findings::{Findings, Picture, Sheet},
    table::Table,
};
use super::{LeftOut, Report, text};
use crate::error::Result;
use crate::report::map::anchor;
use crate::report::templates::fill;

/// An evaluation as the template sees it.
#[derive(Serialize)]
struct Page<'a> {
    title: &'a str,
    kicker: &'a str,
    lead: Vec<String>,
    suites: Vec<Section<'a>>,
    left_out: &'a [LeftOut],
    intervals: &'static str,
    bundles: Vec<Fact>,
    version: &'static str,
}

/// A line of the page's foot.
#[derive(Serialize)]
struct Fact {
    /// What it is.
    name: String,
    /// Its value.
    text: String,
}

#[derive(Serialize)]
struct Section<'a> {
    id: String,
    name: String,
    heading: String,
    sheets: Vec<Grid>,
    contests: Vec<Grid>,
    more_contests: Vec<Grid>,
    numbers: Grid,
    pictures: Vec<Drawing<'a>>,
    notes: &'a [String],
    definitions: &'a BTreeMap<String, String>,
    split: &'a str,
    file: String,
}

/// A picture whose markup a template of the report, or a suite that escapes what it writes, has made.
#[derive(Serialize)]
struct Drawing<'a> {
    title: &'a str,
    caption: &'a str,
    svg: minijinja::Value,
}

impl<'a> Drawing<'a> {
    fn of(picture: &'a Picture) -> Self {
        Self {
            title: &picture.title,
            caption: &picture.caption,
            svg: minijinja::Value::from_safe_string(picture.svg.clone()),
        }
    }
}

/// A table as cells.
#[derive(Serialize)]
struct Grid {
    title: String,
    legend: String,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    text_columns: usize,
}

impl Grid {
    fn of(title: &str, table: &Table, legend: &str) -> Self {
        Self {
            title: title.to_owned(),
            legend: legend.to_owned(),
            header: table.header().to_vec(),
            rows: table.body().to_vec(),
            text_columns: table.text_columns(),
        }
    }

    fn of_sheet(sheet: &Sheet) -> Self {
        Self::of(&sheet.title, &sheet.table, &sheet.legend)
    }
}

/// The page of a report.
pub fn render(report: &Report) -> Result<String> {
    let bundle = |name: &str, text: &str| Fact {
        name: name.into(),
        text: text.into(),
    };
    let (kicker, facts) = match &report.compared {
        None => (
            "bioverse evaluation",
            vec![
                bundle("bundle", &report.bundle),
                bundle("sha256 of bundle.json", &report.bundle_sha256),
            ],
        ),
        Some([a, b]) => (
            "bioverse comparison",
            vec![
                bundle("a", &a.0),
                bundle("sha256 of a's bundle.json", &a.1),
                bundle("b", &b.0),
                bundle("sha256 of b's bundle.json", &b.1),
            ],
        ),
    };
    fill(
        "eval.html",
        &Page {
            title: &report.bundle,
            kicker,
            lead: report.findings.iter().filter_map(sentence).collect(),
            suites: report
                .findings
                .iter()
                .map(|one| section(report, one))
                .collect(),
            left_out: &report.left_out,
            intervals: bootstrap::METHOD,
            bundles: facts,
            version: env!("CARGO_PKG_VERSION"),
        },
    )
}

fn section<'a>(report: &Report, findings: &'a Findings) -> Section<'a> {
    let contests = text::contests(report, findings, false).into_iter();
    let (first, more) = contests.partition::<Vec<_>, _>(|(metric, _)| findings.is_headline(metric));
    let grids = |tables: Vec<(String, Table)>| -> Vec<Grid> {
        let grid = |(metric, table): &(String, Table)| Grid::of(metric, table, "");
        tables.iter().map(grid).collect()
    };
    Section {
        id: anchor(&findings.key()),
        name: findings.key().replace('.', ", "),
        heading: text::heading(findings),
        sheets: text::sheets(findings).iter().map(Grid::of_sheet).collect(),
        contests: grids(first),
        more_contests: grids(more),
        numbers: Grid::of("every number", &text::numbers(findings), ""),
        pictures: findings.pictures.iter().map(Drawing::of).collect(),
        notes: &findings.notes,
        definitions: &findings.definitions,
        split: &findings.split_sha256,
        file: format!("predictions/{}.jsonl", findings.key()),
    }
}

/// `annotate, cell: the model beats majority and ridge; nothing tells it from knn_15.`
fn sentence(findings: &Findings) -> Option<String> {
    let mut by: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let contests = findings.contests();
    for (against, metric, contest) in &contests {
        if findings.is_headline(metric) {
            by.entry(against).or_default().push(contest.verdict());
        }
    }
    let ours = match findings.methods.first()?.name.as_str() {
        "model" => "the model",
        other => other,
    };
    let alike = |verdicts: &[&str], wanted: &str| verdicts.iter().all(|one| *one == wanted);
    let names = |wanted: &dyn Fn(&[&str]) -> bool| -> String {
        let found = by.iter().filter(|(_, verdicts)| wanted(verdicts));
        let found = found.map(|(name, _)| name.replace('_', " "));
        found.collect::<Vec<_>>().join(", ")
    };
    let parts = [
        ("beats", names(&|v| alike(v, "win"))),
        ("loses against", names(&|v| alike(v, "loss"))),
        (
            "does not clearly differ on every measure from",
            names(&|v| !alike(v, "win") && !alike(v, "loss")),
        ),
    ];
    let said = parts.iter().filter(|(_, names)| !names.is_empty());
    let said: Vec<String> = said
        .map(|(verb, names)| format!("{verb} {names}"))
        .collect();
    let subject = findings.key().replace('.', ", ");
    (!said.is_empty()).then(|| format!("{subject}: {ours} {}.", said.join("; it ")))
}
