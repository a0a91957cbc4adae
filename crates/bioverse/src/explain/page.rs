//! An explanation as one HTML page that needs nothing but itself, and what it and the terminal have in common. It writes no
//! file.

use serde::Serialize;

use super::{Baseline, Explanation, Part, Run, terminal};
use crate::error::Result;
use crate::report::templates::fill;

/// The smallest value that fills a bar. What is less than a hundredth of a nat is nothing, and is not drawn as if it were something.
pub(super) const FLOOR: f64 = 0.01;
/// Tokens that the table of the page lists.
const LISTED: usize = 40;

/// The page.
///
/// # Errors
/// When the template cannot be filled, which is an error of bioverse.
pub fn render(explanation: &Explanation) -> Result<String> {
    fill("explain.html", &View::of(explanation))
}

#[derive(Serialize)]
struct View<'a> {
    question: &'a str,
    answer: &'a str,
    answer_tokens: usize,
    log_probability: String,
    baseline: &'static str,
    records: Vec<RecordView>,
}

#[derive(Serialize)]
struct RecordView {
    name: String,
    record: String,
    whole: String,
    soft: Vec<Row>,
    apart: bool,
    tokens: Vec<Token>,
    strongest: Vec<Row>,
    more: usize,
    told: String,
}

/// A line of a table: two values with their shares of the largest, in percent.
#[derive(Serialize)]
struct Row {
    label: String,
    at: usize,
    occlusion: Cell,
    gradient: Cell,
}

#[derive(Serialize)]
struct Cell {
    value: String,
    share: String,
    against: bool,
}

/// A token of the record with both heats.
#[derive(Serialize)]
struct Token {
    label: String,
    at: usize,
    occlusion: Cell,
    gradient: Cell,
}

impl<'a> View<'a> {
    fn of(explanation: &'a Explanation) -> Self {
        let several = explanation.records.len() > 1;
        let records = explanation.records.iter().enumerate();
        let view = |(i, part): (usize, &Part)| {
            let name = match several {
                true => format!("{}. {}", i + 1, part.modality),
                false => part.modality.clone(),
            };
            RecordView::of(part, name)
        };
        Self {
            question: &explanation.question,
            answer: &explanation.answer,
            answer_tokens: explanation.answer_tokens,
            log_probability: signed(explanation.log_probability),
            baseline: match explanation.baseline {
                Baseline::Zero => "a vector of zeros",
                Baseline::Mean => "the mean of training records",
            },
            records: records.map(view).collect(),
        }
    }
}

impl RecordView {
    fn of(part: &Part, name: String) -> Self {
        let soft: Vec<(f64, f64)> = part
            .soft
            .iter()
            .map(|s| (s.occlusion, s.gradient))
            .collect();
        let runs: Vec<(f64, f64)> = part
            .tokens
            .iter()
            .map(|r| (r.occlusion, r.gradient))
            .collect();
        let (of_soft, of_runs) = (Scale::of(&soft), Scale::of(&runs));
        let order = strongest(&part.tokens);
        let rows = part.soft.iter().enumerate();
        let tokens = part.tokens.iter().flat_map(|run| {
            let labels = run.labels.iter().zip(run.at..);
            labels.map(|(label, at)| Token {
                label: label.clone(),
                at,
                occlusion: of_runs.occlusion(run.occlusion),
                gradient: of_runs.gradient(run.gradient),
            })
        });
        Self {
            name,
            record: part.record.clone(),
            whole: whole(part),
            soft: rows
                .map(|(i, soft)| Row {
                    label: format!("soft token {}", i + 1),
                    at: i + 1,
                    occlusion: of_soft.occlusion(soft.occlusion),
                    gradient: of_soft.gradient(soft.gradient),
                })
                .collect(),
            apart: apart(&part.tokens),
            tokens: tokens.collect(),
            strongest: order
                .iter()
                .take(LISTED)
                .map(|run| Row {
                    label: label(run),
                    at: run.at,
                    occlusion: of_runs.occlusion(run.occlusion),
                    gradient: of_runs.gradient(run.gradient),
                })
                .collect(),
            more: order.len().saturating_sub(LISTED),
            told: told(part),
        }
    }
}

/// The largest size of each value.
struct Scale {
    occlusion: f64,
    gradient: f64,
}

impl Scale {
    fn of(values: &[(f64, f64)]) -> Self {
        let most = |pick: fn(&(f64, f64)) -> f64| {
            values.iter().map(pick).map(f64::abs).fold(FLOOR, f64::max)
        };
        Self {
            occlusion: most(|value| value.0),
            gradient: most(|value| value.1),
        }
    }

    fn occlusion(&self, value: f64) -> Cell {
        cell(value, self.occlusion)
    }

    fn gradient(&self, value: f64) -> Cell {
        cell(value, self.gradient)
    }
}

fn cell(value: f64, scale: f64) -> Cell {
    let share = value.abs() / scale;
    Cell {
        value: signed(value),
        share: format!("{:.1}", share * 100.0),
        against: value < 0.0,
    }
}

/// What the record did as a whole.
pub(super) fn whole(part: &Part) -> String {
    let size = signed(part.occlusion.abs());
    let size = size.trim_start_matches('+');
    match part.occlusion {
        nothing if nothing.abs() < FLOOR => {
            format!(
                "The answer hardly depends on it: without it, its log-probability changes by {size} nats."
            )
        }
        lost if lost > 0.0 => format!("Without it the answer loses {size} nats."),
        _ => format!("Without it the answer gains {size} nats: the record spoke against it."),
    }
}

/// Three decimals with a sign; nothing is `-0.000`.
pub(super) fn signed(value: f64) -> String {
    let rounded = (value * 1000.0).round() / 1000.0;
    format!("{:+.3}", if rounded == 0.0 { 0.0 } else { rounded })
}

/// Runs by what the answer loses without them, most first; equal ones in their order.
pub(super) fn strongest(runs: &[Run]) -> Vec<&Run> {
    let mut order: Vec<&Run> = runs.iter().collect();
    order.sort_by(|a, b| {
        b.occlusion
            .abs()
            .total_cmp(&a.occlusion.abs())
            .then(a.at.cmp(&b.at))
    });
    order
}

/// A run by its first and last token.
pub(super) fn label(run: &Run) -> String {
    match run.labels.as_slice() {
        [first, .., last] => format!("{}…{}", first.trim(), last.trim()),
        [only] => only.trim().to_owned(),
        [] => String::new(),
    }
}

/// Whether names need a space between them: genes do, residues and pieces with spaces of their own do not.
pub(super) fn apart(runs: &[Run]) -> bool {
    let mut labels = runs.iter().flat_map(|run| &run.labels).peekable();
    let any = |test: fn(&str) -> bool| {
        runs.iter()
            .flat_map(|run| &run.labels)
            .any(|label| test(label))
    };
    labels.peek().is_some()
        && any(|label| label.chars().count() > 2 && label.chars().all(char::is_alphanumeric))
        && !any(|label| label.starts_with(' '))
}

/// How the tokens were taken away, and what the gradient leaves out.
pub(super) fn told(part: &Part) -> String {
    let mut told = format!("Tokens were {}", terminal::method(part));
    let longest = part
        .tokens
        .iter()
        .map(|run| run.labels.len())
        .max()
        .unwrap_or(0);
    if longest > 1 {
        told += &format!(", in runs of up to {longest}");
    }
    told += "; the gradient is that at the encoder's hidden states";
    let inside: f64 = part.tokens.iter().map(|run| run.gradient.abs()).sum();
    match (inside == 0.0, part.special_gradient == 0.0) {
        (true, false) => {
            told + ". The projector reads none of their states (only that of a token such as <cls>), so only occlusion tells."
        }
        (false, false) => {
            told + &format!(
                ", which at tokens such as <cls> is {}.",
                signed(part.special_gradient)
            )
        }
        (_, true) => told + ".",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::super::tests::example;
    use super::*;

    #[test]
    fn nothing_is_minus_zero_and_the_order_is_settled() {
        assert_eq!(
            [-0.0001, 0.0, 1.23456, -2.0].map(signed),
            ["+0.000", "+0.000", "+1.235", "-2.000"]
        );
        let example = example();
        let order = strongest(&example.records[0].tokens);
        let places: Vec<usize> = order.iter().map(|run| run.at).collect();
        assert_eq!(places, [14, 2, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
    }

    #[test]
    fn the_page_escapes_what_it_is_given_and_needs_nothing_else() {
        let mut explanation = example();
        explanation.answer = "<script>alert(1)</script>".into();
        explanation.records[0].tokens[0].labels = vec!["<img src=x>".into()];
        let page = render(&explanation).unwrap();
        assert!(!page.contains("<script"), "{page}");
        assert!(!page.contains("<img"), "{page}");
        assert!(!page.contains("http"), "{page}");
        assert!(page.contains("&lt;script&gt;"), "{page}");
    }
}
