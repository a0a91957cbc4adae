//! Are the answers right, and do they depend on the record? Greedy answers to instruction rows, the same with another
//! row's record in its place, and the most frequent answer beside both.

use std::collections::BTreeMap;

use bioverse_core::{Example, Record};
use bioverse_nn::GenerationConfig;
use serde::Serialize;

use super::{
    majority::{Majority, question},
    metrics::{exact_match, mean, token_f1},
    rows::{self, Row, text_of},
    swap::{self, Asked},
};
use crate::{Session, error::Result};

/// Kinds whose answers have no single right wording: measured by common words only.
const OPEN_KINDS: [&str; 1] = ["describe"];

/// One eval row as it was answered; the metrics can be computed again from these.
#[derive(Debug, Clone, Serialize)]
pub struct Prediction {
    /// Id of the row.
    pub id: String,
    /// What was asked.
    pub kind: String,
    /// The question.
    pub question: String,
    /// Its records.
    pub records: Vec<(String, Record)>,
    /// The right answer.
    pub reference: String,
    /// What the bundle said.
    pub prediction: String,
    /// The records it got instead.
    pub swapped_records: Vec<(String, Record)>,
    /// What it said then.
    pub swapped_prediction: String,
    /// The most frequent answer.
    pub majority: String,
}

/// Means over rows.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Score {
    /// Rows.
    pub n: usize,
    /// Share of answers equal to the reference up to case, white space and outer punctuation.
    pub accuracy: f64,
    /// The same with swapped records, still against the row's own reference.
    pub accuracy_swapped: f64,
    /// The same for the most frequent answer.
    pub accuracy_majority: f64,
    /// F1 of words.
    pub f1: f64,
    /// With swapped records.
    pub f1_swapped: f64,
    /// Of the most frequent answer.
    pub f1_majority: f64,
    /// Share of answers that are another one with swapped records.
    pub changed: f64,
}

impl Score {
    /// Over the rows given.
    pub fn of(rows: &[&Prediction]) -> Self {
        let over = |value: &dyn Fn(&Prediction) -> f64| mean(rows.iter().map(|row| value(row)));
        let exact = |said: &dyn Fn(&Prediction) -> String| {
            over(&|row| f64::from(u8::from(exact_match(&said(row), &row.reference))))
        };
        let f1 = |said: &dyn Fn(&Prediction) -> String| {
            over(&|row| token_f1(&said(row), &row.reference))
        };
        let own = |row: &Prediction| row.prediction.clone();
        let swapped = |row: &Prediction| row.swapped_prediction.clone();
        let majority = |row: &Prediction| row.majority.clone();
        Self {
            n: rows.len(),
            accuracy: exact(&own),
            accuracy_swapped: exact(&swapped),
            accuracy_majority: exact(&majority),
            f1: f1(&own),
            f1_swapped: f1(&swapped),
            f1_majority: f1(&majority),
            changed: over(&|row| {
                f64::from(u8::from(!exact_match(
                    &row.prediction,
                    &row.swapped_prediction,
                )))
            }),
        }
    }
}

/// What the suite found.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// sha256 of the eval rows.
    pub split_sha256: String,
    /// Rows the majority was counted on.
    pub n_train: usize,
    /// All rows with one right answer.
    pub closed: Score,
    /// Kind by kind.
    pub kinds: BTreeMap<String, Score>,
    /// Row by row.
    #[serde(skip)]
    pub predictions: Vec<Prediction>,
}

/// Whether a kind of question has one right wording.
pub fn is_closed(kind: &str) -> bool {
    !OPEN_KINDS.contains(&kind)
}

/// Answers every eval row twice, once with its own records.
pub fn run(
    session: &Session,
    train: &[Row],
    eval: &[Row],
    config: &GenerationConfig,
    batch_size: usize,
) -> Result<Outcome> {
    let own: Vec<Example> = eval.iter().map(|row| row.example.clone()).collect();
    let swapped = swapped(eval);
    // A swapped-in record may stand where its own row drops it (behind the question), so both sides are looked at.
    let both: Vec<Example> = own.iter().chain(&swapped).cloned().collect();
    let encoded = session.encode_examples(&both)?;
    let predictions = session.answer_encoded(&own, &encoded, config, batch_size)?;
    let swapped_predictions = session.answer_encoded(&swapped, &encoded, config, batch_size)?;
    let majority = Majority::fit(train);
    let said = predictions.into_iter().zip(swapped_predictions);
    let rows = eval.iter().zip(swapped).zip(said);
    let predictions = rows
        .map(
            |((row, swapped), (prediction, swapped_prediction))| Prediction {
                id: row.id.clone(),
                kind: row.kind.clone(),
                question: question(row),
                records: row.example.records.clone(),
                reference: row.example.answer(),
                prediction,
                swapped_records: swapped.records,
                swapped_prediction,
                majority: majority.answer(row).to_owned(),
            },
        )
        .collect();
    Ok(outcome(eval, train.len(), predictions))
}

fn outcome(eval: &[Row], n_train: usize, predictions: Vec<Prediction>) -> Outcome {
    let mut kinds: BTreeMap<String, Vec<&Prediction>> = BTreeMap::new();
    for row in &predictions {
        kinds.entry(row.kind.clone()).or_default().push(row);
    }
    let closed: Vec<&Prediction> = predictions
        .iter()
        .filter(|row| is_closed(&row.kind))
        .collect();
    let content = |row: &Row| serde_json::json!([row.example.messages, row.example.records]);
    Outcome {
        split_sha256: rows::fingerprint(
            eval.iter()
                .map(|row| (row.id.as_str(), content(row).to_string())),
        ),
        n_train,
        closed: Score::of(&closed),
        kinds: kinds
            .iter()
            .map(|(kind, rows)| (kind.clone(), Score::of(rows)))
            .collect(),
        predictions,
    }
}

/// Every row with the records of its partner.
fn swapped(eval: &[Row]) -> Vec<Example> {
    let described: Vec<[String; 4]> = eval.iter().map(describe).collect();
    let asked: Vec<Asked<'_>> = described
        .iter()
        .map(|[kind, question, answer, record]| Asked {
            kind,
            question,
            answer,
            record,
        })
        .collect();
    let partners = swap::partners(&asked);
    let pairs = eval.iter().zip(&partners);
    pairs
        .map(|(row, partner)| {
            let mut example = row.example.clone();
            let other = &eval[*partner].example.records;
            // Records of other modalities would not fit the placeholders: such a row keeps its own.
            if modalities(other) == modalities(&example.records) {
                example.records.clone_from(other);
            }
            example
        })
        .collect()
}

fn describe(row: &Row) -> [String; 4] {
    let records = &row.example.records;
    let texts: Vec<String> = records.iter().map(|(_, record)| text_of(record)).collect();
    [
        format!("{} {}", row.kind, modalities(records).join(" ")),
        question(row),
        row.example.answer(),
        texts.join("\n"),
    ]
}

fn modalities(records: &[(String, Record)]) -> Vec<&str> {
    records.iter().map(|(name, _)| name.as_str()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use bioverse_core::Message;

    fn row(kind: &str, record: &str, answer: &str) -> Row {
        let message = |role: &str, content: &str| Message {
            role: role.into(),
            content: content.into(),
        };
        Row {
            id: record.into(),
            kind: kind.into(),
            example: Example {
                messages: vec![
                    message("user", "What is <molecule>?"),
                    message("assistant", answer),
                ],
                records: vec![("molecule".into(), record.into())],
                group: None,
            },
        }
    }

    fn prediction(kind: &str, reference: &str, said: &str, swapped: &str) -> Prediction {
        Prediction {
            id: String::new(),
            kind: kind.into(),
            question: String::new(),
            records: vec![],
            reference: reference.into(),
            prediction: said.into(),
            swapped_records: vec![],
            swapped_prediction: swapped.into(),
            majority: "an acid".into(),
        }
    }

    #[test]
    fn scores_by_hand() {
        let rows = [
            prediction("class", "An acid.", "an acid", "A base."),
            prediction("class", "A base.", "An acid.", "An acid."),
        ];
        let got = Score::of(&rows.iter().collect::<Vec<_>>());
        assert_eq!(
            (got.accuracy, got.accuracy_swapped, got.accuracy_majority),
            (0.5, 0.0, 0.5)
        );
        assert_eq!((got.n, got.changed, got.f1), (2, 0.5, 0.5));
    }

    #[test]
    fn open_kinds_stay_out_of_the_accuracy() {
        let predictions = vec![
            prediction("class", "An acid.", "An acid.", ""),
            prediction("describe", "An acid with one ring.", "Something", ""),
        ];
        let got = outcome(&[], 0, predictions);
        assert_eq!((got.closed.n, got.closed.accuracy), (1, 1.0));
        assert_eq!(got.kinds.len(), 2);
    }

    #[test]
    fn swapping_replaces_records_and_nothing_else() {
        let eval = [
            row("class", "CCO", "An alcohol."),
            row("class", "CC=O", "An aldehyde."),
        ];
        let got = swapped(&eval);
        assert_eq!(got[0].records, eval[1].example.records);
        assert_eq!(got[1].records, eval[0].example.records);
        assert_eq!(got[0].messages, eval[0].example.messages);
    }

    #[test]
    fn records_of_another_modality_are_not_swapped_in() {
        let mut eval = [
            row("class", "CCO", "An alcohol."),
            row("class", "CC=O", "An aldehyde."),
        ];
        eval[1].example.records[0].0 = "protein".into();
        assert_eq!(swapped(&eval)[0].records, eval[0].example.records);
    }
}
