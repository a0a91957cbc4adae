//! Retrieval as tables: both directions, every method, raw and filtered.

use std::collections::BTreeMap;

use super::super::{
    findings::{Findings, Number, Role, Sheet},
    table::Table,
};
use super::baselines::DEFINITIONS;
use super::same::Same;
use super::space::DIRECTIONS;

const METRICS: [(&str, &str); 5] = [
    ("r@1", "R@1"),
    ("r@5", "R@5"),
    ("r@10", "R@10"),
    ("mrr", "MRR"),
    ("median_rank", "median"),
];
const LEGEND: &str = "R@k: share of queries whose right partner is among the first k; MRR: mean of 1/rank; all in %, but for \
the median rank. ±: half the 95 % interval.";

/// One sheet, or two where filtering changes anything.
pub fn sheets(modality: &str, findings: &Findings, same: &Same) -> Vec<Sheet> {
    let n = findings.rows;
    let raw = Sheet {
        title: format!("all {n} pairs are candidates"),
        table: table(modality, findings, ""),
        legend: LEGEND.into(),
    };
    if same.repeated() == 0 {
        let legend = format!(
            "{LEGEND} No text and no record occurs twice, so filtered values are the same."
        );
        return vec![Sheet { legend, ..raw }];
    }
    let filtered = Sheet {
        title: "filtered: candidates that are right too are left out".into(),
        table: table(modality, findings, "filtered."),
        legend: format!(
            "{} of {n} pairs share their text or their record with another.",
            same.repeated()
        ),
    };
    vec![raw, filtered]
}

fn table(modality: &str, findings: &Findings, kind: &str) -> Table {
    let titles = METRICS.map(|(_, title)| title.to_owned());
    let header = ["direction", "method"].map(str::to_owned);
    let mut table = Table::of(2, [header.to_vec(), titles.to_vec()].concat());
    let names = [format!("{modality} to text"), format!("text to {modality}")];
    for (direction, name) in DIRECTIONS.iter().zip(names) {
        for method in &findings.methods {
            let number = |metric: &str| {
                let found = method.numbers.get(&format!("{direction}.{kind}{metric}"));
                found.copied()
            };
            let cells = METRICS.map(|(metric, _)| value(number(metric), metric));
            table.cells([vec![name.clone(), method.name.clone()], cells.to_vec()].concat());
            if method.role == Role::Model {
                let halves = METRICS.map(|(metric, _)| half(number(metric), metric));
                table.cells([vec![name.clone(), "±".into()], halves.to_vec()].concat());
            }
        }
    }
    table
}

fn shown(value: f64, metric: &str) -> String {
    match metric {
        "median_rank" => format!("{value:.1}"),
        _ => format!("{:.1}", 100.0 * value),
    }
}

fn value(number: Option<Number>, metric: &str) -> String {
    number.map_or(String::new(), |number| shown(number.value, metric))
}

fn half(number: Option<Number>, metric: &str) -> String {
    let interval = number.and_then(|number| number.interval);
    interval.map_or(String::new(), |[low, high]| {
        shown((high - low) / 2.0, metric)
    })
}

/// What every name means.
pub fn definitions(findings: &Findings) -> BTreeMap<String, String> {
    let metrics = [
        (
            "record_to_text.<metric>, text_to_record.<metric>",
            "a record looks for its text among all texts, a text for its record among all records; by cosine",
        ),
        (
            "<direction>.filtered.<metric>",
            "candidates that are right too do not count as wrong: pairs with the same text (in lower case, single spaces, \
             without outer punctuation) or the same record (a molecule by its canonical SMILES); Bordes et al. 2013",
        ),
        (
            "r@1, r@5, r@10",
            "share of queries whose right partner has at most that rank. Rank: one, plus what is better, plus half of what \
             ties (bioverse eval::metrics::rank_of), so a method that scores all alike gets the rank of chance",
        ),
        ("mrr", "mean of 1/rank"),
        ("median_rank", "median of the ranks"),
        (
            "penalties",
            "of ridge baselines: that of 0.01 to 10 with the best MRR on every fifth training row, left out of the fit",
        ),
    ];
    let used =
        |(name, _): &&(&str, &str)| findings.methods.iter().any(|method| method.name == *name);
    let each = metrics.iter().chain(DEFINITIONS.iter().filter(used));
    each.map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect()
}
