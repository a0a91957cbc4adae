//! Rows to describe: records with a reference text, from pairs or from instruction rows of kind `describe`. Nothing is
//! generated here.

use std::collections::BTreeMap;

use bioverse_core::{Example, Message, Record};

use super::facts::{self, Facts};
use crate::config::DataSection;
use crate::data::{Split, read};
use crate::error::{Error, Result};
use crate::eval::bench::{Bench, Sides};
use crate::eval::rows::text_of;

/// The kind of instruction rows that describe a record.
const KIND: &str = "describe";

/// A record with what is written about it.
#[derive(Debug, Clone)]
pub struct Told {
    /// Field `id`, or `row <number>`.
    pub id: String,
    /// The record.
    pub record: Record,
    /// The question as the bundle is asked.
    pub example: Example,
    /// What a person or a database says.
    pub reference: String,
    /// What is true of the record, where the row says so.
    pub facts: Option<Facts>,
}

/// Both sides of one modality.
pub struct Rows {
    /// To measure on.
    pub eval: Vec<Told>,
    /// What baselines learn from.
    pub train: Vec<Told>,
}

impl Rows {
    /// Rows of one modality: pairs where there are any, else instruction rows.
    pub fn of(bench: &Bench<'_>, modality: &str) -> Result<Self> {
        let given = bench.request.data.as_ref();
        let instructions_given = given.is_some_and(|data| data.text_field.is_none());
        let pairs = bench.plan.pairs.as_ref().filter(|_| !instructions_given);
        let (sides, question) = match (pairs, &bench.plan.instructions) {
            (Some(sides), _) => (sides, Some(question(bench, sides, modality)?)),
            (None, Some(sides)) => (sides, bench.request.question.clone()),
            (None, None) => return Err(nothing(bench, modality)),
        };
        let question = question.as_deref();
        let mut eval = side(bench, &sides.eval, Split::Eval, modality, question)?;
        eval.truncate(bench.request.limit.unwrap_or(usize::MAX));
        let train = match &sides.train {
            Some(data) => side(bench, data, Split::Train, modality, question)?,
            None => vec![],
        };
        match eval.is_empty() {
            true => Err(nothing(bench, modality)),
            false => Ok(Self { eval, train }),
        }
    }
}

fn nothing(bench: &Bench<'_>, modality: &str) -> Error {
    let files = [&bench.plan.pairs, &bench.plan.instructions];
    let files: Vec<String> = files
        .into_iter()
        .flatten()
        .map(|sides| sides.eval.train.display().to_string())
        .collect();
    Error::Input(format!(
        "{}: no row has one `{modality}` record and a description; name the columns with --input-field and --text-field, or \
         give instruction rows of kind `{KIND}`",
        files.join(", ")
    ))
}

fn side(
    bench: &Bench<'_>,
    data: &DataSection,
    split: Split,
    modality: &str,
    question: Option<&str>,
) -> Result<Vec<Told>> {
    let rows = bench.read(data, split)?;
    let told = rows
        .into_iter()
        .filter_map(|row| told(row, modality, question));
    Ok(told.collect())
}

/// A row that describes one record of the modality.
fn told(row: read::Row, modality: &str, question: Option<&str>) -> Option<Told> {
    let kind = row.extra.get("kind").and_then(|kind| kind.as_str());
    let [(name, record)] = row.example.records.as_slice() else {
        return None;
    };
    let reference = row.example.answer();
    if name != modality || kind.is_some_and(|kind| kind != KIND) || reference.trim().is_empty() {
        return None;
    }
    let id = row.extra.get("id").filter(|id| !id.is_null());
    Some(Told {
        id: id.map_or_else(|| format!("row {}", row.number), text_of),
        record: record.clone(),
        reference,
        facts: facts::of(&row.extra),
        example: match question {
            Some(question) => asked(question, modality, record),
            None => row.example,
        },
    })
}

/// One user turn about one record; `{}` stands for it.
pub fn asked(question: &str, modality: &str, record: &Record) -> Example {
    let content = match question.contains("{}") {
        true => question.replacen("{}", &format!("<{modality}>"), 1),
        false => format!("<{modality}> {question}"),
    };
    Example {
        messages: vec![Message {
            role: "user".into(),
            content,
        }],
        records: vec![(modality.into(), record.clone())],
        group: None,
    }
}

/// What to ask about pairs: what was asked for, else the question that most rows of kind `describe` ask that the bundle was
/// tuned on, else that of the data.
fn question(bench: &Bench<'_>, pairs: &Sides, modality: &str) -> Result<String> {
    if let Some(question) = &bench.request.question {
        return Ok(question.clone());
    }
    let own = bench.session.bundle.config()?.data;
    let tuned = own.text_field.is_none();
    let question = tuned.then(|| usual(bench, &own, modality)).flatten();
    Ok(question.unwrap_or_else(|| pairs.eval.question_for(modality)))
}

fn usual(bench: &Bench<'_>, data: &DataSection, modality: &str) -> Option<String> {
    // The bundle may be far from the files it was tuned on.
    let rows = side(bench, data, Split::Train, modality, None).ok()?;
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for row in rows {
        if let [question, ..] = row.example.messages.as_slice() {
            *counts.entry(question.content.clone()).or_default() += 1;
        }
    }
    let most = counts
        .into_iter()
        .max_by(|a, b| a.1.cmp(&b.1).then_with(|| b.0.cmp(&a.0)));
    most.map(|(question, _)| question.replacen(&format!("<{modality}>"), "{}", 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_without_a_place_begins_with_the_record() {
        let record = Record::from("CCO");
        let content = |question| {
            asked(question, "molecule", &record).messages[0]
                .content
                .clone()
        };
        assert_eq!(content("Describe {}."), "Describe <molecule>.");
        assert_eq!(content("Describe it."), "<molecule> Describe it.");
    }
}
