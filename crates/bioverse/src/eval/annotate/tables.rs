//! Labels as tables: every method, and label by label where the bundle is right and what it takes the others for.

use super::labels::Closed;
use super::measure::{Said, Truth};
use crate::eval::{
    findings::{Findings, Sheet},
    table::Table,
};

/// Metrics of the first table with their titles.
const METRICS: [(&str, &str); 6] = [
    ("accuracy", "acc"),
    ("macro_f1", "F1"),
    ("total_accuracy", "total"),
    ("ece", "ECE"),
    ("aurc", "AURC"),
    ("ontology_path", "onto"),
];
/// Longest label in a table.
const LONGEST: usize = 24;

/// Both tables.
pub fn sheets(findings: &Findings, truth: &Truth, model: &Said, closed: &Closed) -> Vec<Sheet> {
    let set = closed.labels.len();
    vec![
        Sheet {
            title: format!("a closed set of {set} labels"),
            table: methods_table(findings),
            legend: "acc: accuracy over the closed set, ±: half its 95 % interval; F1: its macro mean; total: rows outside of \
                     the set count as wrong; ECE, AURC: lower is better; onto: 1 − distance in the ontology. In %."
                .into(),
        },
        Sheet {
            title: "label by label, the model".into(),
            table: labels_table(truth, model, closed),
            legend: "n: rows; right: share of them; F1 of the label; taken for: the most frequent wrong answer.".into(),
        },
    ]
}

fn methods_table(findings: &Findings) -> Table {
    let shown: Vec<(&str, &str)> = METRICS
        .into_iter()
        .filter(|(metric, _)| {
            findings
                .methods
                .iter()
                .any(|m| m.numbers.contains_key(*metric))
        })
        .collect();
    let mut header = vec!["method".to_owned(), "acc".into(), "±".into()];
    header.extend(shown.iter().skip(1).map(|(_, title)| (*title).to_owned()));
    let mut table = Table::of(1, header);
    for method in &findings.methods {
        let number = |metric: &str| method.numbers.get(metric).copied();
        let percent = |value: f64| format!("{:.1}", 100.0 * value);
        let value = |metric: &str| number(metric).map_or(String::new(), |n| percent(n.value));
        let half = number("accuracy").and_then(|n| n.interval);
        let mut cells = vec![method.name.clone(), value("accuracy")];
        cells.push(half.map_or(String::new(), |[low, high]| percent((high - low) / 2.0)));
        cells.extend(shown.iter().skip(1).map(|(metric, _)| value(metric)));
        table.cells(cells);
    }
    table
}

fn labels_table(truth: &Truth, model: &Said, closed: &Closed) -> Table {
    let counts = confusion(truth, model);
    let mut table = Table::new(1, ["label", "n", "right", "F1", "taken for"]);
    let short = |name: &str| -> String { name.chars().take(LONGEST).collect() };
    for (at, label) in closed.labels.iter().enumerate() {
        let n: usize = counts[at].iter().sum();
        let said: usize = counts.iter().map(|row| row[at]).sum();
        let both = counts[at][at];
        let wrong = (0..counts[at].len()).rev().filter(|other| *other != at);
        let most = wrong.max_by_key(|other| counts[at][*other]);
        let most = most.filter(|other| counts[at][*other] > 0);
        let taken = most.map_or(String::new(), |other| {
            let name = closed
                .labels
                .get(other)
                .map_or("nothing", |l| l.name.as_str());
            format!("{} ({})", short(name), counts[at][other])
        });
        let share = |part: usize, of: usize| match of {
            0 => String::new(),
            of => format!("{:.1}", 100.0 * part as f64 / of as f64),
        };
        let cells = [
            n.to_string(),
            share(both, n),
            share(2 * both, n + said),
            taken,
        ];
        table.row(&short(&label.name), cells);
    }
    table
}

/// Rows by reference and prediction; the last column counts answers that name no label.
pub fn confusion(truth: &Truth, said: &Said) -> Vec<Vec<usize>> {
    let mut counts = vec![vec![0; truth.classes + 1]; truth.classes];
    for (label, chosen) in truth.labels.iter().zip(&said.chosen) {
        if let Some(label) = label {
            counts[*label][chosen.unwrap_or(truth.classes)] += 1;
        }
    }
    counts
}

/// What the methods are.
pub fn methods() -> Vec<(String, String)> {
    let all = [
        (
            "model",
            "the LLM's own answer: the one of the likelihood variants that does best on training rows; without training rows `likelihood_calibrated`. Probabilities: softmax of the scores over the closed set, at a temperature fitted on those training rows (Guo et al. 2017)",
        ),
        (
            "likelihood_raw",
            "ln p(label with the end of its turn | question with the record's soft tokens)",
        ),
        ("likelihood_norm", "the same per token"),
        (
            "likelihood_pmi",
            "raw minus the same for a record that says nothing, the mean of the measured records' soft tokens (domain-conditional PMI, Holtzman et al. 2021)",
        ),
        (
            "likelihood_calibrated",
            "per token, minus the same for the mean record (contextual calibration, Zhao et al. 2021)",
        ),
        (
            "generated",
            "a free greedy answer: the label it is a name of, else the longest name of a label in it, else wrong",
        ),
        (
            "similarity",
            "cosine of the record's soft vector and the label's texts (answer, name, definition) in the aligned space; probabilities at temperature .07",
        ),
        (
            "base_llm",
            "likelihoods per token of the frozen LLM without adapter, the record written into the question where it is text, else absent",
        ),
        (
            "logistic_pca50",
            "logistic regression (L2, C = 1) on 50 principal components of plain features: ln(1 + 10^4 count / total) of cells, TF-IDF of substrings of text; fitted on training rows",
        ),
        (
            "knn_15",
            "15 nearest training rows in those components (Euclidean)",
        ),
        (
            "linear_head",
            "logistic regression (L2, C = 1) on the frozen encoder's pooled states, standardised: no LLM",
        ),
        ("knn_encoder", "15 nearest training rows in those states"),
        ("majority", "the most frequent training label"),
    ];
    all.map(|(name, text)| (format!("method {name}"), text.to_owned()))
        .into()
}
