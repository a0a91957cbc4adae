//! Instruction rows whose answers are few: the options of a question are what training rows answer to it, or, where a
//! question is new, those answers of its kind that it names itself. Knows no model.

use std::collections::{BTreeMap, BTreeSet};

use super::item::{Item, Set};
use crate::error::{Error, Result};
use crate::eval::bench::{Bench, Sides};
use crate::eval::majority::question;
use crate::eval::metrics::{names, normalize};
use crate::eval::rows::Row;

/// A question with more answers than this is an open one.
const MOST: usize = 64;

/// The closed ones of instruction rows.
///
/// # Errors
/// Where no row is a question with few answers.
pub fn read(bench: &Bench<'_>, sides: &Sides) -> Result<Set> {
    let (eval, train) = (bench.all_rows(sides)?, bench.train_rows(sides)?);
    // Without rows to learn from, the measured ones tell which answers there are.
    let known = Answers::of(if train.is_empty() { &eval } else { &train });
    let mut classes: BTreeMap<String, usize> = BTreeMap::new();
    let mut items = |rows: &[Row]| -> Vec<Item> {
        rows.iter()
            .filter_map(|row| item(row, &known, &mut classes))
            .collect()
    };
    let mut set = Set {
        eval: items(&eval),
        train: items(&train),
        ..Set::default()
    };
    if set.eval.is_empty() {
        return Err(Error::Input(format!(
            "{}: no row is a question with a closed set of answers (at most {MOST} for one question, all in training rows)",
            sides.eval.train.display()
        )));
    }
    let left_out = eval.len() - set.eval.len();
    if left_out > 0 {
        set.notes.push(format!(
            "{left_out} rows are left out: their questions are open, or their answer is none that training rows give."
        ));
    }
    set.eval.truncate(bench.request.limit.unwrap_or(usize::MAX));
    let mut names: Vec<(usize, String)> =
        classes.into_iter().map(|(name, at)| (at, name)).collect();
    names.sort();
    set.classes = names.into_iter().map(|(_, name)| name).collect();
    Ok(set)
}

/// Answers of training rows.
struct Answers {
    by_question: BTreeMap<(String, String), BTreeSet<String>>,
    by_kind: BTreeMap<String, BTreeSet<String>>,
}

impl Answers {
    fn of(rows: &[Row]) -> Self {
        let mut known = Self {
            by_question: BTreeMap::new(),
            by_kind: BTreeMap::new(),
        };
        for row in rows {
            let key = (row.kind.clone(), question(row));
            let answer = row.example.answer();
            known
                .by_question
                .entry(key)
                .or_default()
                .insert(answer.clone());
            known
                .by_kind
                .entry(row.kind.clone())
                .or_default()
                .insert(answer);
        }
        known
    }

    /// Options of a question; nothing where it is open.
    fn options(&self, row: &Row) -> Option<Vec<String>> {
        let asked = question(row);
        let of_kind = self.by_kind.get(&row.kind)?;
        // Few answers are the same for all questions of a kind, however each was put.
        let common = of_kind.len() <= MOST;
        let offered: Vec<String> = match common {
            true => {
                let text = normalize(&asked);
                let named = of_kind
                    .iter()
                    .filter(|answer| names(&text, &normalize(answer)));
                named.cloned().collect()
            }
            false => vec![],
        };
        // A question may mention two answers and ask for a third.
        let right = normalize(&row.example.answer());
        if offered.len() > 1 && offered.iter().any(|answer| normalize(answer) == right) {
            return Some(offered);
        }
        let same = self.by_question.get(&(row.kind.clone(), asked));
        let found = same.filter(|answers| answers.len() > 1);
        let found = found.or(common.then_some(of_kind))?;
        (2..=MOST)
            .contains(&found.len())
            .then(|| found.iter().cloned().collect())
    }
}

fn item(row: &Row, known: &Answers, classes: &mut BTreeMap<String, usize>) -> Option<Item> {
    let options = known.options(row)?;
    let right = normalize(&row.example.answer());
    let answer = options
        .iter()
        .position(|option| normalize(option) == right)?;
    let mut class = |option: &String| {
        let next = classes.len();
        *classes.entry(option.clone()).or_insert(next)
    };
    Some(Item {
        id: row.id.clone(),
        kind: row.kind.clone(),
        example: row.example.clone(),
        passage: None,
        classes: options.iter().map(&mut class).collect(),
        options,
        answer,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::rows::tests::row;

    #[test]
    fn options_are_answers_to_the_question_or_those_it_names() {
        let mut train = vec![
            row("has", "A ketone?", "Yes."),
            row("has", "A ketone?", "No."),
            row("which", "A ketone or an amide?", "A ketone."),
            row("which", "An ester or an amide?", "An amide."),
            row("which", "A ketone or an ester?", "An ester."),
        ];
        train.extend((0..100).map(|i| row("describe", "What?", &format!("text {i}"))));
        let known = Answers::of(&train);
        let options = |kind, question| known.options(&row(kind, question, ""));
        assert_eq!(
            options("has", "A ketone?").unwrap_or_default(),
            ["No.", "Yes."]
        );
        let which = |answer| {
            let asked = row("which", "An amide or a ketone, no polyester?", answer);
            known.options(&asked).unwrap_or_default()
        };
        assert_eq!(which("A ketone."), ["A ketone.", "An amide."]);
        let all = ["A ketone.", "An amide.", "An ester."];
        assert_eq!(which("An ester."), all, "named ones without the right one");
        assert_eq!(
            options("has", "A new one?").unwrap_or_default(),
            ["No.", "Yes."]
        );
        assert!(options("describe", "What?").is_none(), "an open question");
        assert!(options("never", "What?").is_none());
    }
}
