//! The state of a conversation: turns with their records, and records that wait for the next message. Where records were read,
//! and who answers, is unknown.

use std::collections::VecDeque;

use bioverse_core::{Example, Message, Record, placeholder};

use crate::error::{Error, Result};

/// A record as it was attached.
#[derive(Debug, Clone, PartialEq)]
pub struct Attached {
    /// Its modality.
    pub modality: String,
    /// The record.
    pub record: Record,
    /// What was typed for it.
    pub given: String,
}

/// A message on its way, with the records that its placeholders stand for.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    content: String,
    records: Vec<Attached>,
}

#[derive(Debug, Clone, PartialEq)]
struct Turn {
    question: Draft,
    answer: String,
}

/// A conversation.
#[derive(Debug, Clone, Default)]
pub struct Conversation {
    system: Option<String>,
    turns: Vec<Turn>,
    waiting: Vec<Attached>,
}

impl Conversation {
    /// A new one; `system` is said before everything else.
    ///
    /// # Errors
    /// A system text with a placeholder: records belong to messages.
    pub fn new(system: Option<String>) -> Result<Self> {
        let held = system.as_deref().map(placeholder::names);
        if let Some(name) = held.and_then(|mut names| names.next()) {
            return Err(Error::Input(format!(
                "the system text has the placeholder `<{name}>`, but records belong to messages; write `\\<{name}>` if it is \
                 meant as text"
            )));
        }
        Ok(Self {
            system,
            ..Self::default()
        })
    }

    /// A record for the next message.
    pub fn attach(&mut self, record: Attached) {
        self.waiting.push(record);
    }

    /// Starts anew; the system text stays. Returns how many messages and records there were.
    pub fn reset(&mut self) -> (usize, usize) {
        let had = (self.turns.len(), self.records().count());
        self.turns.clear();
        self.waiting.clear();
        had
    }

    /// Every record with the message it belongs to, from 1; `None` = the next one.
    pub fn records(&self) -> impl Iterator<Item = (Option<usize>, &Attached)> {
        let turns = self.turns.iter().zip(1..);
        let said = turns.flat_map(|(turn, number)| {
            let records = turn.question.records.iter();
            records.map(move |record| (Some(number), record))
        });
        said.chain(self.waiting.iter().map(|record| (None, record)))
    }

    /// Takes one record out, by its number among [`records`](Self::records) from 1, or all of them. Where one stood, the messages
    /// say `[molecule]` instead. Returns how many are gone.
    ///
    /// # Errors
    /// A number that no record has.
    pub fn forget(&mut self, number: Option<usize>) -> Result<usize> {
        let count = self.records().count();
        if let Some(number) = number.filter(|number| *number > count) {
            return Err(Error::Input(format!(
                "there is no record {number}; the conversation has {count}"
            )));
        }
        let mut at = 0;
        let mut goes = |_: &Attached| {
            at += 1;
            number.is_none_or(|number| number == at)
        };
        for turn in &mut self.turns {
            turn.question.drop_records(&mut goes);
        }
        self.waiting.retain(|record| !goes(record));
        Ok(number.map_or(count, |_| 1))
    }

    /// A message with its records. A placeholder takes the first record of its modality that waits, else the one attached last
    /// before; records that no placeholder asks for go in front.
    ///
    /// # Errors
    /// A placeholder of a modality that does not exist, or of which there is no record.
    pub fn draft(&self, text: &str, modalities: &[&str]) -> Result<Draft> {
        let mut waiting: VecDeque<&Attached> = self.waiting.iter().collect();
        let mut placed = vec![];
        for name in placeholder::names(text) {
            if !modalities.contains(&name) {
                return Err(Error::Input(format!(
                    "`<{name}>` names no modality of this bundle ({}); write `\\<{name}>` if it is meant as text",
                    modalities.join(", ")
                )));
            }
            let next = waiting.iter().position(|record| record.modality == name);
            let record = next
                .and_then(|at| waiting.remove(at))
                .or_else(|| self.latest(name));
            placed.push(record.cloned().ok_or_else(|| {
                Error::Input(format!(
                    "`<{name}>` has no record; attach one with `/{name} VALUE`, or write `\\<{name}>` if it is meant as text"
                ))
            })?);
        }
        let front: String = waiting
            .iter()
            .map(|record| format!("<{}> ", record.modality))
            .collect();
        let mut records: Vec<Attached> = waiting.into_iter().cloned().collect();
        records.extend(placed);
        Ok(Draft {
            content: front + text,
            records,
        })
    }

    /// The record of a modality that was attached last; those that wait for this message are the latest.
    fn latest(&self, modality: &str) -> Option<&Attached> {
        let all: Vec<&Attached> = self.records().map(|(_, record)| record).collect();
        all.into_iter()
            .rev()
            .find(|record| record.modality == modality)
    }

    /// Everything said so far, with `question` behind it.
    pub fn with(&self, question: &Draft) -> Example {
        self.example(Some(question))
    }

    /// Everything said so far: a row that `finetune` and `eval` read.
    pub fn row(&self) -> Example {
        self.example(None)
    }

    fn example(&self, question: Option<&Draft>) -> Example {
        let mut example = Example {
            messages: vec![],
            records: vec![],
            group: None,
        };
        let mut say = |role: &str, content: String| {
            example.messages.push(Message {
                role: role.into(),
                content,
            });
        };
        if let Some(system) = &self.system {
            say("system", system.clone());
        }
        for turn in &self.turns {
            say("user", turn.question.content.clone());
            // What a model says may look like a placeholder, and is none.
            say("assistant", placeholder::escape(&turn.answer));
        }
        if let Some(question) = question {
            say("user", question.content.clone());
        }
        let asked = self.turns.iter().map(|turn| &turn.question).chain(question);
        let records = asked.flat_map(|draft| draft.records.iter().cloned());
        example.records = records
            .map(|record| (record.modality, record.record))
            .collect();
        example
    }

    /// The message was answered: both are remembered, and its records no longer wait.
    pub fn answered(&mut self, question: Draft, answer: String) {
        self.waiting.clear();
        self.turns.push(Turn { question, answer });
    }

    /// How many messages were answered.
    pub fn len(&self) -> usize {
        self.turns.len()
    }

    /// Whether nothing was said yet.
    pub fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }
}

impl Draft {
    fn drop_records(&mut self, goes: &mut impl FnMut(&Attached) -> bool) {
        let gone: Vec<bool> = self.records.iter().map(goes).collect();
        let mut next = gone.iter();
        // Every name was given a record when the message was written.
        self.content = placeholder::replace(&self.content, |name| {
            let goes = next.next().copied().unwrap_or(false);
            goes.then(|| format!("[{name}]"))
        });
        let mut gone = gone.into_iter();
        self.records.retain(|_| !gone.next().unwrap_or(false));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const NAMES: [&str; 2] = ["molecule", "protein"];

    fn record(modality: &str, text: &str) -> Attached {
        Attached {
            modality: modality.into(),
            record: text.into(),
            given: text.into(),
        }
    }

    fn say(conversation: &mut Conversation, text: &str, answer: &str) -> Example {
        let draft = conversation.draft(text, &NAMES).unwrap();
        let asked = conversation.with(&draft);
        asked.check(&NAMES).unwrap();
        conversation.answered(draft, answer.into());
        asked
    }

    fn texts(example: &Example) -> Vec<&str> {
        example
            .messages
            .iter()
            .map(|message| message.content.as_str())
            .collect()
    }

    fn values(example: &Example) -> Vec<&str> {
        example
            .records
            .iter()
            .map(|(_, record)| record.as_str().unwrap())
            .collect()
    }

    #[test]
    fn a_record_of_the_first_message_is_there_in_the_third() {
        let mut conversation = Conversation::new(Some("Be brief.".into())).unwrap();
        conversation.attach(record("molecule", "CCO"));
        say(&mut conversation, "What is it?", "An alcohol, <molecule>.");
        say(&mut conversation, "Sure?", "Yes.");
        conversation.attach(record("protein", "MK"));
        let third = say(&mut conversation, "Does <molecule> bind <protein>?", "No.");
        assert_eq!(
            texts(&third),
            [
                "Be brief.",
                "<molecule> What is it?",
                "An alcohol, \\<molecule>.",
                "Sure?",
                "Yes.",
                "Does <molecule> bind <protein>?"
            ]
        );
        assert_eq!(values(&third), ["CCO", "CCO", "MK"]);
        let row = conversation.row();
        row.check(&NAMES).unwrap();
        assert_eq!(row.messages.len(), 7);
    }

    #[test]
    fn waiting_records_go_to_their_placeholders_in_order_and_the_others_in_front() {
        let mut conversation = Conversation::default();
        for (modality, text) in [("molecule", "C"), ("protein", "MK"), ("molecule", "N")] {
            conversation.attach(record(modality, text));
        }
        let asked = say(&mut conversation, "<molecule> or <molecule>?", "Yes.");
        assert_eq!(texts(&asked), ["<protein> <molecule> or <molecule>?"]);
        assert_eq!(values(&asked), ["MK", "C", "N"]);
    }

    #[test]
    fn a_placeholder_without_record_is_refused_and_nothing_is_lost() {
        let mut conversation = Conversation::default();
        conversation.attach(record("molecule", "C"));
        let error = conversation.draft("Is it <protein>?", &NAMES).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("attach one with `/protein VALUE`"),
            "{error}"
        );
        let error = conversation.draft("Is it <rna>?", &NAMES).unwrap_err();
        assert!(error.to_string().contains("names no modality"), "{error}");
        assert_eq!(conversation.records().count(), 1);
        assert!(Conversation::new(Some("<molecule>".into())).is_err());
    }

    #[test]
    fn forgetting_leaves_the_words_and_takes_the_record() {
        let mut conversation = Conversation::default();
        conversation.attach(record("molecule", "C"));
        conversation.attach(record("molecule", "N"));
        say(
            &mut conversation,
            "<molecule> or <molecule>, not \\<molecule>?",
            "Yes.",
        );
        conversation.attach(record("protein", "MK"));
        assert_eq!(conversation.forget(Some(2)).unwrap(), 1);
        let row = conversation.row();
        assert_eq!(
            texts(&row)[0],
            "<molecule> or [molecule], not \\<molecule>?"
        );
        assert_eq!(values(&row), ["C"]);
        assert!(conversation.forget(Some(3)).is_err());
        assert_eq!(conversation.forget(None).unwrap(), 2);
        assert_eq!(conversation.records().count(), 0);
        conversation.row().check(&NAMES).unwrap();
        assert_eq!(conversation.reset(), (1, 0));
        assert!(conversation.is_empty());
    }
}
