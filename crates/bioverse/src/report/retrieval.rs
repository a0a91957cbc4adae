//! The table of held-out retrieval: before training, at its end, at its best, and what chance would give.

use serde::Serialize;

use super::kept::Kept;
use super::metrics::{Line, Training};
use super::numbers::Cell;
use crate::eval::metrics::Retrieval;

const MEASURES: [(&str, &str); 4] = [
    ("r1", "R@1"),
    ("r5", "R@5"),
    ("r10", "R@10"),
    ("mrr", "MRR"),
];
const DIRECTIONS: [(&str, &str); 3] = [
    ("_to_text", "record to text"),
    ("_to_bio", "text to record"),
    ("", "mean of both"),
];

/// The table of one training.
#[derive(Debug, Clone, Serialize)]
pub struct Table {
    training: String,
    candidates: Option<u64>,
    groups: Vec<Group>,
    columns: Vec<&'static str>,
    rows: Vec<Row>,
    /// Rows for an encoder without a projector are there.
    has_raw: bool,
}

#[derive(Debug, Clone, Serialize)]
struct Group {
    name: &'static str,
    span: usize,
}

#[derive(Debug, Clone, Serialize)]
struct Row {
    name: String,
    kind: &'static str,
    cells: Vec<Cell>,
}

/// Retrieval by chance among the held-out texts of a training.
pub fn chance(training: &Training) -> Option<Retrieval> {
    let texts = training.last("held_out_texts")?;
    (texts >= 1.0).then(|| Retrieval::chance(texts as usize))
}

/// The line whose measurement is best: that of the largest MRR.
pub fn best(training: &Training) -> Option<&Line> {
    let measured = training
        .lines
        .iter()
        .filter(|line| line.get("held_out_mrr").is_some());
    measured.max_by(|a, b| {
        let mrr = |line: &Line| line.get("held_out_mrr").unwrap_or(f64::NEG_INFINITY);
        mrr(a).total_cmp(&mrr(b)).then(b.step.cmp(&a.step))
    })
}

/// The table; `None` where nothing was retrieved.
pub fn table(training: &Training, kept: &Kept) -> Option<Table> {
    let keys = training.keys();
    let mut groups = vec![];
    let mut columns = vec![];
    for (suffix, name) in DIRECTIONS {
        let here = MEASURES
            .into_iter()
            .filter(|(m, _)| keys.contains(&format!("held_out_{m}{suffix}").as_str()));
        let here: Vec<(String, &str, &str)> = here
            .map(|(m, title)| (format!("{m}{suffix}"), m, title))
            .collect();
        if !here.is_empty() {
            groups.push(Group {
                name,
                span: here.len(),
            });
            columns.extend(here);
        }
    }
    let measured: Vec<&Line> = training
        .lines
        .iter()
        .filter(|line| {
            columns
                .iter()
                .any(|(key, ..)| line.get(&format!("held_out_{key}")).is_some())
        })
        .collect();
    let (first, last) = (*measured.first()?, *measured.last()?);
    // What the bundle holds comes last, and stands out.
    let end = kept.line(training).unwrap_or(last);
    let row = |name: String, kind, value: &dyn Fn(&str, &str) -> Option<f64>| Row {
        name,
        kind,
        cells: columns
            .iter()
            .map(|(key, measure, _)| Cell::percent(value(key, measure)))
            .collect(),
    };
    let at = |line: &Line, key: &str| line.get(&format!("held_out_{key}"));
    let raw = |key: &str, _: &str| training.first(&format!("raw_{key}"));
    let has_raw = columns.iter().any(|(key, ..)| raw(key, "").is_some());
    let mut rows = vec![];
    if let Some(chance) = chance(training) {
        rows.push(row("chance".into(), "chance", &|_, measure| {
            of_chance(&chance, measure)
        }));
    }
    if has_raw {
        rows.push(row("encoder and a linear map".into(), "raw", &raw));
    }
    if first.step != end.step {
        let name = if at_beginning(training, first) {
            "untrained projector".into()
        } else {
            format!("step {}", first.step)
        };
        rows.push(row(name, "start", &|key, _| at(first, key)));
    }
    if let Some(best) =
        best(training).filter(|best| ![first.step, last.step, end.step].contains(&best.step))
    {
        rows.push(row(
            format!("best, step {}", best.step),
            "best",
            &|key, _| at(best, key),
        ));
    }
    let is_last = end.step == last.step;
    if !is_last {
        let name = format!("last, step {}", last.step);
        rows.push(row(name, "last", &|key, _| at(last, key)));
    }
    let which = if is_last { "last" } else { "kept" };
    rows.push(row(
        format!("{which}, step {}", end.step),
        "end",
        &|key, _| at(end, key),
    ));
    Some(Table {
        training: training.name.clone(),
        candidates: training.last("held_out_texts").map(|texts| texts as u64),
        columns: columns.iter().map(|(_, _, title)| *title).collect(),
        groups,
        rows,
        has_raw,
    })
}

/// Whether a line was written before the first step: it has no loss.
fn at_beginning(training: &Training, line: &Line) -> bool {
    line.get("loss").is_none() && training.lines.first() == Some(line)
}

fn of_chance(chance: &Retrieval, measure: &str) -> Option<f64> {
    match measure {
        "r1" => Some(chance.r1),
        "r5" => Some(chance.r5),
        "r10" => Some(chance.r10),
        "mrr" => Some(chance.mrr),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn line(step: u64, values: &[(&str, f64)]) -> Line {
        Line {
            step,
            values: values
                .iter()
                .map(|(key, value)| ((*key).to_owned(), *value))
                .collect(),
        }
    }

    #[test]
    fn rows_are_chance_start_best_and_end() {
        let training = Training {
            name: "align molecule".into(),
            lines: vec![
                line(
                    0,
                    &[
                        ("held_out_r1", 0.1),
                        ("held_out_mrr", 0.2),
                        ("held_out_mrr_to_text", 0.25),
                        ("raw_mrr", 0.15),
                        ("held_out_texts", 10.0),
                    ],
                ),
                line(
                    5,
                    &[("loss", 1.0), ("held_out_r1", 0.5), ("held_out_mrr", 0.6)],
                ),
                line(
                    9,
                    &[("loss", 1.0), ("held_out_r1", 0.4), ("held_out_mrr", 0.5)],
                ),
                line(10, &[("loss", 1.0)]),
            ],
        };
        let kept = Kept {
            align: Some("mrr".into()),
            finetune: false,
        };
        let early = super::table(&training, &kept).unwrap();
        let ends: Vec<&str> = early.rows[3..]
            .iter()
            .map(|row| row.name.as_str())
            .collect();
        assert_eq!(ends, ["last, step 9", "kept, step 5"]);
        assert_eq!(
            (early.rows[4].kind, early.rows[4].cells[2].exact),
            ("end", Some(0.6))
        );
        let table = table(&training, &Kept::default()).unwrap();
        assert_eq!(table.columns, ["MRR", "R@1", "MRR"]);
        let names: Vec<&str> = table.rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "chance",
                "encoder and a linear map",
                "untrained projector",
                "best, step 5",
                "last, step 9"
            ]
        );
        assert_eq!(table.rows[0].cells[1].exact, Some(0.1));
        assert_eq!(table.rows[1].cells[1].exact, None);
        assert_eq!(table.rows[3].cells[2].exact, Some(0.6));
    }

    #[test]
    fn a_training_without_retrieval_has_no_table() {
        let training = Training {
            name: "finetune".into(),
            lines: vec![line(1, &[("loss", 2.0)])],
        };
        assert!(table(&training, &Kept::default()).is_none() && chance(&training).is_none());
    }
}
