//! One row of data and its prompt: text with [placeholders](crate::placeholder), and the records they stand for. It
//! knows no file, no chat template and no tokenizer.

use serde::{Deserialize, Serialize};

use crate::{
    Error, Result,
    placeholder::{Token, listed, scan, unescape},
};

/// One raw record as a data file holds it.
pub type Record = serde_json::Value;

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// Text, with `<modality>` placeholders.
    pub content: String,
}

/// One row of a data file: the same for align, finetune and eval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// The conversation.
    pub messages: Vec<Message>,
    /// `[modality, record]` pairs in order of their placeholders.
    #[serde(default)]
    pub records: Vec<(String, Record)>,
    /// Keeps related rows on one side of a split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

impl Example {
    /// Checks that roles are known, and that placeholders of the messages and records match one to one, in order, and
    /// are all among `modalities`. What an assistant says is not ours to correct: there only registered names count.
    pub fn check(&self, modalities: &[&str]) -> Result<()> {
        let mut matcher = Matcher::new(&self.records, modalities)?;
        for (i, message) in self.messages.iter().enumerate() {
            let strictness = match message.role.as_str() {
                "system" | "user" => Strictness::EveryNameIsMeant,
                "assistant" => Strictness::OnlyRegistered,
                role => {
                    let n = i + 1;
                    return Err(Error::Prompt(format!(
                        "message {n} has role `{role}`; use `system`, `user` or `assistant`"
                    )));
                }
            };
            matcher.segments(&message.content, false, strictness)?;
        }
        matcher.finish()
    }

    /// All assistant turns as the reader sees them (escapes resolved), joined by newlines.
    pub fn answer(&self) -> String {
        let turns = self
            .messages
            .iter()
            .filter(|message| message.role == "assistant");
        turns
            .map(|message| unescape(&message.content))
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// A piece of a rendered conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Text, still with placeholders.
    pub text: String,
    /// Whether the model is trained to produce it.
    pub loss: bool,
}

/// A part of a prompt.
#[derive(Debug, Clone, PartialEq)]
pub enum Segment {
    /// Ordinary text.
    Text {
        /// The text.
        text: String,
        /// Whether it is a training target.
        loss: bool,
    },
    /// Soft tokens of one record.
    Soft {
        /// Modality name.
        modality: String,
        /// The record.
        record: Record,
    },
}

impl Segment {
    /// The text; nothing for soft tokens.
    pub fn text(&self) -> &str {
        match self {
            Self::Text { text, .. } => text,
            Self::Soft { .. } => "",
        }
    }

    /// Whether it is a training target.
    pub fn loss(&self) -> bool {
        matches!(self, Self::Text { loss: true, .. })
    }
}

/// Text and soft tokens in order; neighbouring text of equal loss is one segment, and none is empty.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Prompt {
    /// The parts.
    pub segments: Vec<Segment>,
}

impl Prompt {
    /// One piece of text without training targets, as a user writes it: every `<name>` must be registered.
    pub fn parse(text: &str, records: &[(String, Record)], modalities: &[&str]) -> Result<Self> {
        let mut matcher = Matcher::new(records, modalities)?;
        let mut prompt = Self::default();
        prompt.extend(matcher.segments(text, false, Strictness::EveryNameIsMeant)?);
        matcher.finish().map(|()| prompt)
    }

    /// A rendered conversation: placeholders are replaced across pieces, in order. Names that are not registered are
    /// markers of the chat template (`<s>`) and stay text.
    pub fn from_pieces(
        pieces: &[Piece],
        records: &[(String, Record)],
        modalities: &[&str],
    ) -> Result<Self> {
        let mut matcher = Matcher::new(records, modalities)?;
        let mut prompt = Self::default();
        for Piece { text, loss } in pieces {
            prompt.extend(matcher.segments(text, *loss, Strictness::OnlyRegistered)?);
        }
        matcher.finish().map(|()| prompt)
    }

    /// The segments, neighbouring texts together and each record alone.
    pub fn runs(&self) -> impl Iterator<Item = &[Segment]> {
        let texts = |segment: &Segment| matches!(segment, Segment::Text { .. });
        self.segments.chunk_by(move |a, b| texts(a) && texts(b))
    }

    /// Appends, merging neighbouring text: a tokenizer must not see a border that the text does not have.
    fn extend(&mut self, segments: Vec<Segment>) {
        for segment in segments {
            match (self.segments.last_mut(), segment) {
                (
                    Some(Segment::Text { text, loss }),
                    Segment::Text {
                        text: more,
                        loss: same,
                    },
                ) if *loss == same => {
                    text.push_str(&more);
                }
                (_, segment) => self.segments.push(segment),
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Strictness {
    /// An unregistered `<name>` is a mistake.
    EveryNameIsMeant,
    /// An unregistered `<name>` is text.
    OnlyRegistered,
}

/// Hands out records to placeholders, in order.
struct Matcher<'a> {
    records: &'a [(String, Record)],
    modalities: &'a [&'a str],
    used: usize,
}

impl<'a> Matcher<'a> {
    fn new(records: &'a [(String, Record)], modalities: &'a [&'a str]) -> Result<Self> {
        let unknown = records
            .iter()
            .enumerate()
            .find(|(_, (name, _))| !modalities.contains(&name.as_str()));
        if let Some((i, (name, _))) = unknown {
            let (n, known) = (i + 1, listed(modalities));
            return Err(Error::Prompt(format!(
                "record {n} is of modality `{name}`, which is not registered (registered: {known})"
            )));
        }
        Ok(Self {
            records,
            modalities,
            used: 0,
        })
    }

    fn segments(&mut self, text: &str, loss: bool, strictness: Strictness) -> Result<Vec<Segment>> {
        let mut segments = vec![];
        let mut plain = String::new();
        for token in scan(text) {
            match token {
                Token::Text(text) => plain.push_str(text),
                Token::Escaped(name) => plain.push_str(&format!("<{name}>")),
                Token::Name(name) if self.modalities.contains(&name) => {
                    let record = self.take(name)?;
                    if !plain.is_empty() {
                        segments.push(Segment::Text {
                            text: std::mem::take(&mut plain),
                            loss,
                        });
                    }
                    segments.push(Segment::Soft {
                        modality: name.into(),
                        record,
                    });
                }
                Token::Name(name) if strictness == Strictness::OnlyRegistered => {
                    plain.push_str(&format!("<{name}>"))
                }
                Token::Name(name) => {
                    let known = listed(self.modalities);
                    return Err(Error::Prompt(format!(
                        "`<{name}>` names a modality that is not registered (registered: {known}); write `\\<{name}>` \
                         if it is meant as text"
                    )));
                }
            }
        }
        if !plain.is_empty() {
            segments.push(Segment::Text { text: plain, loss });
        }
        Ok(segments)
    }

    fn take(&mut self, name: &str) -> Result<Record> {
        let (n, given) = (self.used + 1, self.records.len());
        let Some((modality, record)) = self.records.get(self.used) else {
            return Err(Error::Prompt(format!(
                "placeholder {n}, `<{name}>`, has no record (there are {given}); add it to `records`, or write \
                 `\\<{name}>` if it is meant as text"
            )));
        };
        if modality != name {
            return Err(Error::Prompt(format!(
                "placeholder {n} is `<{name}>`, but record {n} is of modality `{modality}`; bring `records` into the \
                 order of their placeholders"
            )));
        }
        self.used = n;
        Ok(record.clone())
    }

    fn finish(self) -> Result<()> {
        let Some((modality, _)) = self.records.get(self.used) else {
            return Ok(());
        };
        let n = self.used + 1;
        Err(Error::Prompt(format!(
            "record {n}, of modality `{modality}`, has no placeholder; write `<{modality}>` where it belongs, or remove \
             the record"
        )))
    }
}

#[cfg(test)]
mod tests;
