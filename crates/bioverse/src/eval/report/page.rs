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
use crate::report::page::fill;

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
pub struct Fact {
    /// What it is.
    pub name: String,
    /// Its value.
    pub text: String,
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
    let facts = vec![
        bundle("bundle", &report.bundle),
        bundle("sha256 of bundle.json", &report.bundle_sha256),
    ];
    page("bioverse evaluation", &report.bundle, report, facts)
}

/// A page with other words at its top and foot.
pub fn page(kicker: &str, title: &str, report: &Report, facts: Vec<Fact>) -> Result<String> {
    fill(
        "eval.html",
        &Page {
            title,
            kicker,
            lead: report.findings.iter().filter_map(sentence).collect(),
            suites: report.findings.iter().map(section).collect(),
            left_out: &report.left_out,
            intervals: bootstrap::METHOD,
            bundles: facts,
            version: env!("CARGO_PKG_VERSION"),
        },
    )
}

fn section(findings: &Findings) -> Section<'_> {
    let contests = text::contest_tables(findings, false).into_iter();
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
    let ours = findings.methods.first()?;
    let of = |wanted: &str| -> Vec<String> {
        let all = |verdicts: &Vec<&str>| verdicts.iter().all(|verdict| *verdict == wanted);
        let found = by.iter().filter(|(_, verdicts)| all(verdicts));
        found.map(|(name, _)| name.replace('_', " ")).collect()
    };
    let mixed = by.len() - of("win").len() - of("loss").len();
    let mut parts = vec![];
    for (names, what) in [(of("win"), "beats"), (of("loss"), "loses against")] {
        if !names.is_empty() {
            parts.push(format!("{what} {}", names.join(", ")));
        }
    }
    if mixed > 0 {
        let others = by.iter().filter(|(_, verdicts)| {
            !["win", "loss"]
                .iter()
                .any(|one| verdicts.iter().all(|verdict| verdict == one))
        });
        let names: Vec<String> = others.map(|(name, _)| name.replace('_', " ")).collect();
        parts.push(format!(
            "does not clearly differ on all measures from {}",
            names.join(", ")
        ));
    }
    (!parts.is_empty()).then(|| {
        let subject = findings.key().replace('.', ", ");
        format!("{subject}: the {} {}.", ours.name, parts.join("; it "))
    })
}
