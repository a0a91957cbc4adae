//! Are the answers right, and do they depend on the record? Greedy answers to instruction rows; the same with another row's
//! record in its place; the frozen LLM with the record written out; and the most frequent answer beside them.

use std::collections::BTreeMap;

use bioverse_core::{Example, Record};
use serde_json::json;

use super::{
    bench::Bench,
    findings::{Findings, Method, Role, Sheet},
    majority::{Majority, question},
    metrics::{exact_match, token_f1},
    rows::{self, Row, text_of},
    swap::{self, Asked},
    table::Table,
    worded::worded,
};
use crate::error::{Error, Result};

/// Kinds whose answers have no single right wording: measured by common words only.
const OPEN_KINDS: [&str; 1] = ["describe"];

/// The frozen LLM, in files.
const BASE: &str = "base_llm";

const LEGEND: &str = "\
right: share of answers that are the reference. swapped: the same, after another row's record was put in its place. \
base LLM: the frozen LLM with the record written out. majority: the most frequent training answer. changed: the answer is \
another one after swapping. F1: words in common. Values in %.";

/// What the methods said, row by row.
struct Said {
    own: Vec<String>,
    swapped: Vec<String>,
    base: Vec<String>,
    majority: Vec<String>,
}

/// Answers every eval row with its own records, with swapped ones, and by the frozen LLM.
pub fn run(bench: &Bench<'_>) -> Result<Vec<Findings>> {
    let Some(sides) = &bench.plan.instructions else {
        return Err(Error::Input(
            "the bundle was not tuned on instructions; name rows with `messages` and `records` with --data FILE".into(),
        ));
    };
    let (eval, train) = (bench.eval_rows(sides)?, bench.train_rows(sides)?);
    let swapped = swapped(&eval);
    let said = ask(bench, &train, &eval, &swapped)?;
    Ok(vec![findings(&eval, &train, &swapped, &said)])
}

/// Whether a kind of question has one right wording.
pub fn is_closed(kind: &str) -> bool {
    !OPEN_KINDS.contains(&kind)
}

fn ask(bench: &Bench<'_>, train: &[Row], eval: &[Row], swapped: &[Example]) -> Result<Said> {
    let (session, request) = (bench.session, bench.request);
    let own: Vec<Example> = eval.iter().map(|row| row.example.clone()).collect();
    // A swapped-in record may stand where its own row drops it (behind the question), so both sides are looked at.
    let both: Vec<Example> = own.iter().chain(swapped).cloned().collect();
    let encoded = session.encode_examples(&both)?;
    let answer = |examples: &[Example]| {
        session.answer_encoded(examples, &encoded, &request.generation, request.batch_size)
    };
    let majority = Majority::fit(train);
    let in_words: Vec<Example> = own.iter().map(worded).collect();
    Ok(Said {
        base: session
            .base()?
            .answer(&in_words, &request.generation, request.batch_size)?,
        own: answer(&own)?,
        swapped: answer(swapped)?,
        majority: eval
            .iter()
            .map(|row| majority.answer(row).to_owned())
            .collect(),
    })
}

fn findings(eval: &[Row], train: &[Row], swapped: &[Example], said: &Said) -> Findings {
    let content = |row: &Row| json!([row.example.messages, row.example.records]);
    let split = rows::fingerprint(
        eval.iter()
            .map(|row| (row.id.as_str(), content(row).to_string())),
    );
    let mut findings = Findings::new("answers", None, eval.len(), split);
    findings.train_rows = train.len();
    let each = [
        ("model", Role::Model, &said.own),
        ("swapped", Role::Control, &said.swapped),
        (BASE, Role::Baseline, &said.base),
        ("majority", Role::Baseline, &said.majority),
    ];
    let methods = each.map(|(name, role, answers)| method(Method::new(name, role), eval, answers));
    findings.methods = methods.into();
    let changed = changed(&said.own, &said.swapped);
    if let Some(swapped) = findings.methods.get_mut(1) {
        *swapped = swapped.clone().mean("changed", changed.clone());
    }
    findings.headline = vec!["accuracy".into(), "f1".into()];
    findings.sheets = vec![sheet(eval, &findings, &changed)];
    findings.definitions = definitions();
    findings.predictions = predictions(eval, swapped, said);
    findings
}

/// Scores of one method: over all closed rows, and kind by kind.
fn method(mut method: Method, eval: &[Row], said: &[String]) -> Method {
    let pairs: Vec<(&Row, &String)> = eval.iter().zip(said).collect();
    let closed = pairs.iter().filter(|(row, _)| is_closed(&row.kind));
    let closed: Vec<_> = closed.copied().collect();
    method = scored(method, "", &closed, true);
    for (kind, at) in kinds(eval) {
        let rows: Vec<_> = at.iter().map(|i| pairs[*i]).collect();
        method = scored(method, &format!("{kind}."), &rows, is_closed(kind));
    }
    method
}

fn scored(method: Method, prefix: &str, rows: &[(&Row, &String)], closed: bool) -> Method {
    let over = |score: &dyn Fn(&str, &str) -> f64| -> Vec<f64> {
        let rows = rows.iter();
        rows.map(|(row, said)| score(said, &row.example.answer()))
            .collect()
    };
    let f1 = over(&|said, due| token_f1(said, due));
    let method = method.mean(&format!("{prefix}f1"), f1);
    if !closed {
        return method;
    }
    let exact = over(&|said, due| f64::from(u8::from(exact_match(said, due))));
    method.mean(&format!("{prefix}accuracy"), exact)
}

/// Rows by kind.
fn kinds(eval: &[Row]) -> BTreeMap<&str, Vec<usize>> {
    let mut kinds: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, row) in eval.iter().enumerate() {
        kinds.entry(&row.kind).or_default().push(i);
    }
    kinds
}

fn changed(own: &[String], swapped: &[String]) -> Vec<f64> {
    let pairs = own.iter().zip(swapped);
    pairs
        .map(|(own, swapped)| f64::from(u8::from(!exact_match(own, swapped))))
        .collect()
}

fn sheet(eval: &[Row], findings: &Findings, changed: &[f64]) -> Sheet {
    let mut table = Table::new(
        1,
        [
            "question", "n", "right", "±", "swapped", "base LLM", "majority", "changed", "F1",
        ],
    );
    let number = |method: &str, metric: &str| {
        let found = findings.methods.iter().find(|one| one.name == method);
        found.and_then(|one| one.numbers.get(metric).copied())
    };
    let mut row = |name: &str, prefix: &str, at: &[usize]| {
        let share = |method: &str, metric: &str| {
            let found = number(method, &format!("{prefix}{metric}"));
            found.map_or(String::new(), |number| percent(number.value))
        };
        let ours = number("model", &format!("{prefix}accuracy"));
        let half = ours
            .and_then(|number| number.interval)
            .map(|[low, high]| (high - low) / 2.0);
        let others = at.iter().map(|i| changed[*i]).sum::<f64>() / at.len().max(1) as f64;
        table.row(
            name,
            [
                at.len().to_string(),
                share("model", "accuracy"),
                half.map_or(String::new(), percent),
                share("swapped", "accuracy"),
                share(BASE, "accuracy"),
                share("majority", "accuracy"),
                percent(others),
                share("model", "f1"),
            ],
        );
    };
    for (kind, at) in kinds(eval) {
        row(kind, &format!("{kind}."), &at);
    }
    let closed: Vec<usize> = (0..eval.len())
        .filter(|i| is_closed(&eval[*i].kind))
        .collect();
    row("all exact", "", &closed);
    Sheet {
        title: format!("answers to {} held-out questions", eval.len()),
        table,
        legend: LEGEND.into(),
    }
}

fn definitions() -> BTreeMap<String, String> {
    let each = [
        (
            "accuracy",
            "share of answers equal to the reference up to case, white space and punctuation at both ends \
             (bioverse eval::metrics::exact_match); over the kinds that have one right wording",
        ),
        (
            "f1",
            "F1 of the two bags of words, words being runs of letters and digits in lower case \
             (bioverse eval::metrics::token_f1); without a kind in front, over the rows of accuracy",
        ),
        (
            "changed",
            "share of answers that are another one when the record is another row's",
        ),
        ("<kind>.<metric>", "the same over the rows of one kind"),
    ];
    let text = |(name, text): (&str, &str)| (name.to_owned(), text.to_owned());
    each.map(text).into()
}

fn predictions(eval: &[Row], swapped: &[Example], said: &Said) -> Vec<serde_json::Value> {
    let one = |(i, row): (usize, &Row)| {
        json!({
            "id": row.id,
            "kind": row.kind,
            "question": question(row),
            "records": row.example.records,
            "reference": row.example.answer(),
            "prediction": said.own[i],
            "swapped_records": swapped[i].records,
            "swapped_prediction": said.swapped[i],
            "base_llm": said.base[i],
            "majority": said.majority[i],
        })
    };
    eval.iter().enumerate().map(one).collect()
}

fn percent(value: f64) -> String {
    format!("{:.1}", 100.0 * value)
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

    fn said(own: [&str; 2], swapped: [&str; 2]) -> Said {
        Said {
            own: own.map(str::to_owned).into(),
            swapped: swapped.map(str::to_owned).into(),
            base: vec![String::new(); 2],
            majority: vec!["an acid".into(); 2],
        }
    }

    #[test]
    fn scores_by_hand() {
        let eval = [row("class", "C", "An acid."), row("class", "N", "A base.")];
        let said = said(["an acid", "An acid."], ["A base.", "An acid."]);
        let found = findings(&eval, &[], &swapped(&eval), &said);
        let flat = found.flat();
        for (name, expected) in [
            ("model.accuracy", 0.5),
            ("swapped.accuracy", 0.0),
            ("majority.accuracy", 0.5),
            ("base_llm.accuracy", 0.0),
            ("swapped.changed", 0.5),
            ("model.f1", 0.5),
            ("model.class.accuracy", 0.5),
            ("n", 2.0),
        ] {
            assert_eq!(flat[&format!("answers.{name}")], expected, "{name}");
        }
        assert_eq!(found.predictions[1]["reference"], "A base.");
    }

    #[test]
    fn open_kinds_stay_out_of_the_accuracy() {
        let eval = [
            row("class", "C", "An acid."),
            row("describe", "N", "An acid with one ring."),
        ];
        let found = findings(&eval, &[], &swapped(&eval), &said(["An acid."; 2], [""; 2]));
        let flat = found.flat();
        assert_eq!(flat["answers.model.accuracy"], 1.0);
        assert!(flat.contains_key("answers.model.describe.f1"));
        assert!(!flat.contains_key("answers.model.describe.accuracy"));
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
