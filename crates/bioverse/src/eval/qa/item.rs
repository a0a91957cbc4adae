//! A question with a closed set of answers, whatever file it came from, and what is needed to ask it again in another way.
//! Who answers is not known here.

use bioverse_core::placeholder::escape;
use bioverse_core::{Example, Message, Record};

/// A passage with a question about it.
#[derive(Debug, Clone)]
pub struct Passage {
    /// What is to be read.
    pub context: String,
    /// What is asked about it.
    pub question: String,
    /// The answers, listed in the prompt.
    pub listed: String,
}

/// One question.
#[derive(Debug, Clone)]
pub struct Item {
    /// Field `id`, or `row <number>`.
    pub id: String,
    /// What is asked, for numbers by kind.
    pub kind: String,
    /// As the bundle is asked.
    pub example: Example,
    /// Where the question is about a passage.
    pub passage: Option<Passage>,
    /// Possible answers.
    pub options: Vec<String>,
    /// The class of each option: its place among the set's classes.
    pub classes: Vec<usize>,
    /// Place of the right answer among the options.
    pub answer: usize,
}

impl Item {
    /// The class of the right answer.
    pub fn truth(&self) -> usize {
        self.classes.get(self.answer).copied().unwrap_or_default()
    }

    /// The right answer.
    pub fn reference(&self) -> &str {
        self.options.get(self.answer).map_or("", String::as_str)
    }

    /// Everything that is asked, as text.
    pub fn text(&self) -> String {
        match &self.passage {
            Some(passage) => format!("{} {}", passage.question, passage.context),
            None => {
                let turns = self.example.messages.iter();
                let asked = turns.filter(|turn| turn.role != "assistant");
                asked
                    .map(|turn| turn.content.as_str())
                    .collect::<Vec<_>>()
                    .join("\n")
            }
        }
    }
}

impl Passage {
    /// The passage in words, up to so many characters of it.
    pub fn in_words(&self, characters: usize) -> Example {
        let context: String = self.context.chars().take(characters).collect();
        match context.is_empty() {
            true => user(self.asked(), vec![]),
            false => user(format!("{}\n\n{}", escape(&context), self.asked()), vec![]),
        }
    }

    /// The passage as a record of modality `text`.
    pub fn as_record(&self) -> Example {
        let record = Record::from(self.context.as_str());
        user(
            format!("<text>\n\n{}", self.asked()),
            vec![("text".into(), record)],
        )
    }

    fn asked(&self) -> String {
        format!(
            "Question: {}\n{}",
            escape(&self.question),
            escape(&self.listed)
        )
    }
}

/// One user turn.
pub fn user(content: String, records: Vec<(String, Record)>) -> Example {
    Example {
        messages: vec![Message {
            role: "user".into(),
            content,
        }],
        records,
        group: None,
    }
}

/// Questions of one kind of file.
#[derive(Debug, Default)]
pub struct Set {
    /// The modality, where all are about one.
    pub modality: Option<String>,
    /// To measure on.
    pub eval: Vec<Item>,
    /// What baselines learn from; none = five folds of the measured rows.
    pub train: Vec<Item>,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Whether every question has all classes as its options, in this order: then probabilities of a class can be compared
    /// between rows.
    pub common: bool,
    /// The class that is looked for, where there are two.
    pub positive: usize,
    /// Things the reader must know.
    pub notes: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passage_is_words_or_a_record() {
        let passage = Passage {
            context: "Levels of <b> rose.".into(),
            question: "Did they rise?".into(),
            listed: "Answer yes or no.".into(),
        };
        let words = passage.in_words(6);
        assert_eq!(
            words.messages[0].content,
            "Levels\n\nQuestion: Did they rise?\nAnswer yes or no."
        );
        assert!(
            passage.in_words(99).messages[0]
                .content
                .starts_with(r"Levels of \<b> rose.")
        );
        assert!(
            passage.in_words(0).messages[0]
                .content
                .starts_with("Question:")
        );
        let record = passage.as_record();
        assert_eq!(
            record.records,
            [("text".to_string(), "Levels of <b> rose.".into())]
        );
    }
}
