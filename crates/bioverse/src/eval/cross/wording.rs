//! How an edge is asked about: in the words that the bundle learnt for this relation, or in plain ones. It knows no graph.

use std::collections::BTreeMap;

use bioverse_core::{Message, Record};

use super::graph::conversation;
use crate::eval::majority::question;
use crate::eval::metrics::words;
use crate::eval::rows::Row;

/// Questions by relation and modalities.
pub struct Wording {
    /// Relation, sorted modalities → the question asked most often, with its answers.
    learnt: BTreeMap<(String, Vec<String>), Question>,
    /// What the user wants asked.
    given: Option<String>,
}

#[derive(Debug, Clone)]
struct Question {
    /// Everything before the answer.
    before: Vec<Message>,
    /// Modalities in the order of the placeholders.
    order: Vec<String>,
    yes: String,
    no: String,
}

impl Wording {
    /// From the rows that the bundle learnt from; `given` overrules them.
    pub fn of(train: &[Row], given: Option<&str>) -> Self {
        type Counted<'a> = BTreeMap<String, (usize, &'a Row)>;
        let mut asked: BTreeMap<(String, Vec<String>), Counted<'_>> = BTreeMap::new();
        let mut answers: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
        for row in train.iter().filter(|row| is_plain(row)) {
            let mut names = order(row);
            names.sort_unstable();
            let counted = asked.entry((row.kind.clone(), names)).or_default();
            let text = question(row);
            counted.entry(text).or_insert((0, row)).0 += 1;
            *answers
                .entry(row.kind.clone())
                .or_default()
                .entry(row.example.answer())
                .or_default() += 1;
        }
        let learnt = asked.into_iter().filter_map(|(key, counted)| {
            let (_, (_, row)) = counted.into_iter().max_by_key(|(_, (count, _))| *count)?;
            let said = answers.get(&key.0)?;
            let spelt = |wanted: &str| {
                let begins =
                    |answer: &str| words(answer).first().is_some_and(|word| word == wanted);
                let fit = said.iter().filter(|(answer, _)| begins(answer));
                fit.max_by_key(|(_, count)| **count)
                    .map(|(answer, _)| answer.clone())
            };
            let question = Question {
                before: row.example.messages[..row.example.messages.len() - 1].to_vec(),
                order: order(row),
                yes: spelt("yes")?,
                no: spelt("no")?,
            };
            Some((key, question))
        });
        Self {
            learnt: learnt.collect(),
            given: given.map(str::to_owned),
        }
    }

    /// Relations that are asked in the bundle's own words.
    pub fn relations(&self) -> Vec<&str> {
        match self.given {
            Some(_) => vec![],
            None => self
                .learnt
                .keys()
                .map(|(relation, _)| relation.as_str())
                .collect(),
        }
    }

    /// The conversation about two ends, source first, and their records in the order of its placeholders.
    pub fn ask(
        &self,
        relation: &str,
        ends: [&(String, Record); 2],
        yes: bool,
    ) -> (Vec<Message>, Vec<(String, Record)>) {
        let records: Vec<(String, Record)> = ends.into_iter().cloned().collect();
        let answer = if yes { "Yes." } else { "No." };
        if let Some(given) = &self.given {
            return (
                conversation(given, answer),
                placed(records, &mentioned(given, ends)),
            );
        }
        let mut names: Vec<String> = records.iter().map(|(name, _)| name.clone()).collect();
        names.sort_unstable();
        match self.learnt.get(&(relation.to_owned(), names)) {
            Some(question) => {
                let mut messages = question.before.clone();
                messages.push(Message {
                    role: "assistant".into(),
                    content: if yes { &question.yes } else { &question.no }.clone(),
                });
                (messages, placed(records, &question.order))
            }
            None => (conversation(&plain(relation, ends), answer), records),
        }
    }
}

/// Records in an order of modalities; those it does not name come last, as they were.
fn placed(mut records: Vec<(String, Record)>, order: &[String]) -> Vec<(String, Record)> {
    let mut out = vec![];
    for name in order {
        if let Some(at) = records.iter().position(|(own, _)| own == name) {
            out.push(records.remove(at));
        }
    }
    out.extend(records);
    out
}

/// Modalities in the order in which a question mentions them first.
fn mentioned(question: &str, ends: [&(String, Record); 2]) -> Vec<String> {
    let mut names: Vec<(usize, String)> = ends
        .iter()
        .filter_map(|(name, _)| Some((question.find(&format!("<{name}>"))?, name.clone())))
        .collect();
    names.sort();
    names.into_iter().map(|(_, name)| name).collect()
}

/// One question, one answer, two or more records.
fn is_plain(row: &Row) -> bool {
    let turns = &row.example.messages;
    let said = turns.iter().filter(|turn| turn.role == "assistant").count();
    let last = turns.last().is_some_and(|turn| turn.role == "assistant");
    said == 1 && last && row.example.records.len() > 1
}

fn order(row: &Row) -> Vec<String> {
    let records = row.example.records.iter();
    records.map(|(name, _)| name.clone()).collect()
}

fn plain(relation: &str, [a, b]: [&(String, Record); 2]) -> String {
    let (a, b) = (format!("<{}>", a.0), format!("<{}>", b.0));
    match relation {
        "binds" => format!("Does {a} bind {b}?"),
        "treats" => format!("Does {a} treat {b}?"),
        "palliates" => format!("Does {a} palliate {b}?"),
        "associates" => format!("Is {a} associated with {b}?"),
        other => {
            // A relation's name is not a placeholder, whatever it looks like.
            let other = bioverse_core::placeholder::escape(other);
            format!("Is {a} related to {b} by \"{other}\"?")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bioverse_core::Example;

    fn row(question: &str, answer: &str, order: [&str; 2]) -> Row {
        Row {
            id: String::new(),
            kind: "binds".into(),
            example: Example {
                messages: conversation(question, answer),
                records: order.map(|name| (name.to_owned(), name.into())).to_vec(),
                group: None,
            },
        }
    }

    #[test]
    fn the_words_learnt_come_first() {
        let order = ["protein", "molecule"];
        let rows = [
            row("Is <protein> bound by <molecule>?", "yes", order),
            row("Is <protein> bound by <molecule>?", "no", order),
            row(
                "Does <molecule> bind <protein>?",
                "yes",
                ["molecule", "protein"],
            ),
        ];
        let ends = [
            ("molecule".to_owned(), Record::from("C")),
            ("protein".to_owned(), Record::from("M")),
        ];
        let ends = [&ends[0], &ends[1]];
        let wording = Wording::of(&rows, None);
        let (messages, records) = wording.ask("binds", ends, true);
        assert_eq!(messages[0].content, "Is <protein> bound by <molecule>?");
        assert_eq!(messages[1].content, "yes");
        assert_eq!(records[0].0, "protein");
        let (messages, records) = wording.ask("treats", ends, false);
        assert_eq!(messages[0].content, "Does <molecule> treat <protein>?");
        assert_eq!(
            (messages[1].content.as_str(), records[0].0.as_str()),
            ("No.", "molecule")
        );
        let given = Wording::of(&rows, Some("<protein> and <molecule>?"));
        assert_eq!(given.ask("binds", ends, true).1[0].0, "protein");
        assert!(given.relations().is_empty());
    }
}
