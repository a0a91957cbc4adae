//! Rows with a question and its answer: yes, no or maybe as PubMedQA writes them, or several choices. Knows no model.

use std::path::Path;

use serde_json::Value;

use super::item::{Item, Passage, Set};
use crate::config::DataSection;
use crate::data::rows::{Object, read_rows_with, row_error};
use crate::error::{Error, Result};
use crate::eval::metrics::normalize;
use crate::eval::rows::text_of;

/// The answers of PubMedQA (Jin et al. 2019); a file without `maybe` has two.
const CLOSED: [&str; 3] = ["yes", "no", "maybe"];
/// What choices are called.
const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// Both sides of a file.
///
/// # Errors
/// A row without question or answer, or whose answer is none of its choices.
pub fn read(data: &DataSection) -> Result<Set> {
    let path = data.eval.as_deref().unwrap_or(&data.train);
    let rows = read_rows_with(path, &data.options())?;
    let maybe = rows
        .iter()
        .any(|(_, row)| answer_of(row).is_some_and(|a| is(a, "maybe")));
    let closed: Vec<&str> = CLOSED
        .into_iter()
        .filter(|a| maybe || *a != "maybe")
        .collect();
    let mut set = Set::default();
    for (number, row) in &rows {
        let item = item(*number, row, &closed).map_err(|why| row_error(path, *number, why))?;
        match side(data, row) {
            Some(true) => set.eval.push(item),
            Some(false) => set.train.push(item),
            None => {}
        }
    }
    if set.eval.is_empty() {
        return Err(none(data, path));
    }
    set.common = set
        .eval
        .iter()
        .chain(&set.train)
        .all(|item| item.kind == "yes/no");
    set.classes = match set.common {
        true => closed.iter().map(|name| (*name).to_owned()).collect(),
        false => LETTERS.chars().map(String::from).collect(),
    };
    Ok(set)
}

fn none(data: &DataSection, path: &Path) -> Error {
    let field = data.split_field.as_deref().unwrap_or_default();
    Error::Input(format!(
        "{}: no row has `{field}` = `{}`; set --eval-split to a value that occurs",
        path.display(),
        data.eval_split
    ))
}

/// Whether a row is measured; nothing where it is on neither side.
fn side(data: &DataSection, row: &Object) -> Option<bool> {
    let Some(field) = &data.split_field else {
        return Some(true);
    };
    let value = row.get(field).map(text_of)?;
    match (value == data.eval_split, value == data.train_split) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    }
}

fn item(number: usize, row: &Object, closed: &[&str]) -> Result<Item, String> {
    let question = row.get("question").and_then(Value::as_str);
    let question = question.ok_or(
        "there is no field `question`; give rows with `question`, `answer` and `context` or `choices`, or name a column of \
         labels with --label-field",
    )?;
    let answer = answer_of(row).ok_or("there is no field `answer` (or `final_decision`)")?;
    let choices = row.get("choices").or_else(|| row.get("options"));
    let (options, listed, kind) = match choices {
        Some(choices) => {
            let (names, options) = listed(choices)?;
            let lines = names
                .iter()
                .zip(&options)
                .map(|(name, text)| format!("{name}. {text}"));
            let lines: Vec<String> = lines.collect();
            (
                options,
                format!("{}\nAnswer with one of these.", lines.join("\n")),
                "choice",
            )
        }
        None => {
            let options: Vec<String> = closed.iter().map(|name| (*name).to_owned()).collect();
            let (last, first) = closed.split_last().unwrap_or((&"no", &["yes"]));
            (
                options,
                format!("Answer {} or {last}.", first.join(", ")),
                "yes/no",
            )
        }
    };
    let right = place(answer, &options, choices).ok_or_else(|| {
        let known = options.join("`, `");
        format!("the answer `{}` is none of `{known}`", text_of(answer))
    })?;
    let passage = Passage {
        context: row.get("context").map(context).unwrap_or_default(),
        question: question.trim().to_owned(),
        listed,
    };
    let id = row
        .get("id")
        .or_else(|| row.get("pubid"))
        .filter(|id| !id.is_null());
    Ok(Item {
        id: id.map_or_else(|| format!("row {number}"), text_of),
        kind: kind.into(),
        example: passage.in_words(usize::MAX),
        passage: Some(passage),
        classes: (0..options.len()).collect(),
        options,
        answer: right,
    })
}

fn answer_of(row: &Object) -> Option<&Value> {
    let names = ["answer", "final_decision", "label", "answer_idx"];
    names
        .iter()
        .find_map(|name| row.get(*name))
        .filter(|answer| !answer.is_null())
}

fn is(answer: &Value, text: &str) -> bool {
    answer
        .as_str()
        .is_some_and(|answer| normalize(answer) == text)
}

/// Names and texts of choices: a list, an object `{"A": …}`, or `{"label": […], "text": […]}`.
fn listed(choices: &Value) -> Result<(Vec<String>, Vec<String>), String> {
    let texts = |items: &[Value]| items.iter().map(text_of).collect::<Vec<String>>();
    let letters = |n: usize| {
        LETTERS
            .chars()
            .take(n)
            .map(String::from)
            .collect::<Vec<_>>()
    };
    let (names, options) = match choices {
        Value::Array(items) => (letters(items.len()), texts(items)),
        Value::Object(fields) => {
            let lists = (fields.get("label"), fields.get("text"));
            match (
                lists.0.and_then(Value::as_array),
                lists.1.and_then(Value::as_array),
            ) {
                (Some(names), Some(items)) => (texts(names), texts(items)),
                _ => fields
                    .iter()
                    .map(|(name, text)| (name.clone(), text_of(text)))
                    .unzip(),
            }
        }
        _ => (vec![], vec![]),
    };
    match options.len() {
        0 | 1 => Err(
            "`choices` holds fewer than two answers; write a list of texts or {\"A\": …, \"B\": …}"
                .into(),
        ),
        n if n > LETTERS.len() => Err(format!("`choices` holds {n} answers; 26 is the most")),
        _ => Ok((names, options)),
    }
}

/// Place of the answer among the options: by its text, its letter or name, or its number counted from 0.
fn place(answer: &Value, options: &[String], choices: Option<&Value>) -> Option<usize> {
    if let Some(index) = answer.as_u64() {
        return Some(index as usize).filter(|index| choices.is_some() && *index < options.len());
    }
    let text = answer.as_str()?;
    let by_text = options
        .iter()
        .position(|option| normalize(option) == normalize(text));
    by_text.or_else(|| {
        let (names, _) = listed(choices?).ok()?;
        let by_name = names
            .iter()
            .position(|name| normalize(name) == normalize(text));
        by_name.or_else(|| {
            text.trim()
                .parse()
                .ok()
                .filter(|index| *index < options.len())
        })
    })
}

/// A text, a list of texts, or an object that has one as `contexts`.
fn context(value: &Value) -> String {
    match value {
        Value::Array(parts) => parts.iter().map(context).collect::<Vec<_>>().join(" "),
        Value::Object(fields) => fields.get("contexts").map(context).unwrap_or_default(),
        Value::Null => String::new(),
        other => text_of(other).trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use serde_json::json;

    fn of(row: Value) -> Result<Item, String> {
        item(3, row.as_object().unwrap(), &CLOSED)
    }

    #[test]
    fn pubmedqa_rows_of_either_form() {
        let ours =
            of(json!({"id": "7", "question": "Does it?", "context": "It may.", "answer": "Maybe"}))
                .unwrap();
        assert_eq!(
            (ours.id.as_str(), ours.answer, ours.options.len()),
            ("7", 2, 3)
        );
        let content = &ours.example.messages[0].content;
        assert_eq!(
            content,
            "It may.\n\nQuestion: Does it?\nAnswer yes, no or maybe."
        );
        let theirs = json!({"pubid": 8, "question": "Q?", "context": {"contexts": ["a", "b"]}, "final_decision": "no"});
        let theirs = of(theirs).unwrap();
        assert_eq!((theirs.id.as_str(), theirs.reference()), ("8", "no"));
        assert_eq!(theirs.passage.unwrap().context, "a b");
    }

    #[test]
    fn choices_are_answered_by_number_letter_or_text() {
        let row = |answer: Value| json!({"question": "Which?", "choices": ["heart", "liver"], "answer": answer});
        for answer in [json!(1), json!("B"), json!("Liver."), json!("1")] {
            let item = of(row(answer)).unwrap();
            assert_eq!((item.answer, item.reference()), (1, "liver"));
        }
        let medqa = json!({"question": "Which?", "options": {"A": "x", "B": "y"}, "answer": "A"});
        let item = of(medqa).unwrap();
        assert_eq!(item.answer, 0);
        assert!(item.example.messages[0].content.contains("A. x\nB. y\n"));
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        let error = |row: Value| of(row).unwrap_err();
        assert!(error(json!({"answer": "yes"})).contains("no field `question`"));
        assert!(error(json!({"question": "Q?"})).contains("no field `answer`"));
        assert!(error(json!({"question": "Q?", "answer": "perhaps"})).contains("none of `yes`"));
        assert!(
            error(json!({"question": "Q?", "choices": ["a"], "answer": 0}))
                .contains("fewer than two")
        );
        assert!(
            error(json!({"question": "Q?", "choices": ["a", "b"], "answer": 2})).contains("`2`")
        );
    }
}
