//! What a row says: instruction rows as they are, plain pairs as a question and its answer; where there is a label and no
//! text, the label is the answer. Which rows are read, and from which file, is unknown here.

use bioverse_core::{Example, Message, Record, placeholder::escape};
use bioverse_formats::Format;
use serde_json::Value;

use super::{read::Split, rows::Object};
use crate::{
    config::{DataSection, suggest},
    error::{Error, Result},
};

/// Whether a row belongs to the side asked for. A file of its own for measuring need not name the split, but where it
/// does, rows of the other side stay out.
fn on_side(data: &DataSection, split: Split, row: &Object) -> Result<bool, String> {
    let Some(name) = &data.split_field else {
        return Ok(true);
    };
    let wanted = match split {
        Split::Train => &data.train_split,
        Split::Eval => &data.eval_split,
    };
    if split == Split::Eval && data.eval.is_some() && !row.contains_key(name) {
        return Ok(true);
    }
    Ok(text(field(row, "data.split_field", name)?) == *wanted)
}

/// What rows look like.
pub(super) enum Shape<'a> {
    Instructions,
    Pairs {
        input: &'a str,
        answer: Answer<'a>,
        modality: &'a str,
    },
}

/// Which field answers the question of a plain pair.
#[derive(Clone, Copy)]
pub(super) enum Answer<'a> {
    /// `data.text_field`, which every row has to fill.
    Text(&'a str),
    /// `data.label_field` in its place; `facts.class` names a field within a field. Who labels cells leaves some out, so rows
    /// without a label are none.
    Label(&'a str),
}

impl<'a> Answer<'a> {
    fn of(data: &'a DataSection) -> Option<Self> {
        let text = data.text_field.as_deref().map(Self::Text);
        text.or_else(|| data.label_field.as_deref().map(Self::Label))
    }

    /// What a row says; empty where a label is left out.
    fn read(self, row: &Object) -> Result<String, String> {
        match self {
            Self::Text(name) => Ok(text(field(row, "data.text_field", name)?)),
            Self::Label(name) => within(row, name)
                .map(|label| text(label).trim().to_owned())
                .ok_or_else(|| no_label(row, name)),
        }
    }
}

/// The value of a field, or of a field within a field.
pub(crate) fn within<'r>(row: &'r Object, name: &str) -> Option<&'r Value> {
    row.get(name).or_else(|| {
        let (outer, inner) = name.split_once('.')?;
        within(row.get(outer)?.as_object()?, inner)
    })
}

fn no_label(row: &Object, name: &str) -> String {
    let fields: Vec<&str> = row.keys().map(String::as_str).collect();
    format!(
        "there is no field `{name}` to read labels from; name another one with `--label-field` or `data.label_field` (there \
         are: {})",
        suggest::quoted(&fields)
    )
}

impl<'a> Shape<'a> {
    pub fn of(data: &'a DataSection, format: Format, modalities: &[&'a str]) -> Result<Self> {
        let need = |problem: String| Err(Error::Input(problem));
        let answer = Answer::of(data);
        let input = match (&data.input_field, answer, format.record_field()) {
            (None, None, None) | (None, Some(Answer::Label(_)), None) => {
                return Ok(Self::Instructions);
            }
            (None, None, Some(record)) => {
                return need(format!(
                    "{} holds records (`{record}`) without a text to learn; name the field that has one as \
                     `data.text_field`, or give instruction rows",
                    format.name()
                ));
            }
            (Some(input), Some(_), _) => input.as_str(),
            (None, Some(_), Some(record)) => record,
            (Some(_), None, _) => {
                return need(
                    "`data.input_field` is set, but `data.text_field` is not; plain pairs need both"
                        .into(),
                );
            }
            (None, Some(_), None) => {
                return need(format!(
                    "`data.text_field` is set, but `data.input_field` is not; plain pairs in {} need both",
                    format.name()
                ));
            }
        };
        let modality = match (&data.modality, modalities) {
            (Some(name), _) if modalities.contains(&name.as_str()) => name.as_str(),
            (None, &[only]) => only,
            (Some(name), _) => {
                let hint = suggest::hint(name, modalities.iter().copied());
                return Err(Error::Input(format!(
                    "`data.modality` names `{name}`, which is not configured{hint}"
                )));
            }
            (None, []) => {
                return Err(Error::Input(
                    "plain pairs need a modality; add a table `[modality.<name>]`".into(),
                ));
            }
            (None, several) => {
                return Err(Error::Input(format!(
                    "several modalities are configured, so `data.modality` must say which one `{input}` holds: {}",
                    suggest::quoted(several)
                )));
            }
        };
        match answer {
            None => Ok(Self::Instructions),
            Some(answer) => Ok(Self::Pairs {
                input,
                answer,
                modality,
            }),
        }
    }

    /// Whether a row has no answer and need not have one.
    fn is_unlabelled(&self, row: &Object) -> Result<bool, String> {
        match self {
            Self::Pairs {
                answer: answer @ Answer::Label(_),
                ..
            } => Ok(answer.read(row)?.is_empty()),
            _ => Ok(false),
        }
    }

    /// The example of a row, where it belongs to the side asked for.
    pub fn on_side(
        &self,
        data: &DataSection,
        split: Split,
        row: &mut Object,
        modalities: &[&str],
    ) -> Result<Option<Example>, String> {
        if !on_side(data, split, row)? || self.is_unlabelled(row)? {
            return Ok(None);
        }
        let example = self.example(data, row)?;
        let checked = example.check(modalities);
        checked.map_err(|error| error.to_string())?;
        Ok(Some(example))
    }

    fn example(&self, data: &DataSection, row: &mut Object) -> Result<Example, String> {
        let mut example = match self {
            Self::Instructions => instruction(row)?,
            Self::Pairs {
                input,
                answer,
                modality,
            } => pair(data, row, input, *answer, modality)?,
        };
        if let Some(name) = &data.group_field {
            example.group = Some(text(field(row, "data.group_field", name)?));
        }
        Ok(example)
    }
}

/// A row that is a conversation, not yet checked; else what is wrong with it.
pub(crate) fn instruction(row: &Object) -> Result<Example, String> {
    if !row.contains_key("messages") {
        let fields: Vec<&str> = row.keys().map(String::as_str).collect();
        return Err(format!(
            "there is no field `messages` (there are: {}); for rows of record and text, set `data.input_field` and \
             `data.text_field`",
            suggest::quoted(&fields)
        ));
    }
    let wanted = |(name, value): (&String, &Value)| {
        let value = match name.as_str() {
            "messages" => value.clone(),
            "records" => records(value),
            // Anything may name a group; only text is compared.
            "group" if !value.is_null() => Value::String(text(value)),
            _ => return None,
        };
        Some((name.clone(), value))
    };
    let object: Object = row.iter().filter_map(wanted).collect();
    let example: Example = serde_json::from_value(Value::Object(object)).map_err(|error| {
        format!(
            "is not an instruction row ({error}); write \"messages\": [{{\"role\": …, \"content\": …}}, …] and \
             \"records\": [[modality, record], …]"
        )
    })?;
    match example.messages.is_empty() {
        true => Err("`messages` is empty; a row needs a question and an answer".into()),
        false => Ok(example),
    }
}

/// `[modality, record]` pairs. Tables have no lists of mixed types, so there a pair may be an object of two fields.
fn records(value: &Value) -> Value {
    let pair = |item: &Value| {
        let fields = item.as_object().filter(|fields| fields.len() == 2);
        let named =
            fields.and_then(|fields| Some((fields.get("modality")?, fields.get("record")?)));
        match named {
            Some((modality, record)) => Value::Array(vec![modality.clone(), record.clone()]),
            None => item.clone(),
        }
    };
    match value {
        Value::Array(items) => Value::Array(items.iter().map(pair).collect()),
        Value::Null => Value::Array(vec![]),
        other => other.clone(),
    }
}

fn pair(
    data: &DataSection,
    row: &mut Object,
    input: &str,
    from: Answer<'_>,
    modality: &str,
) -> Result<Example, String> {
    let answer = from.read(row)?;
    let record: Record = match field(row, "data.input_field", input)? {
        Value::Object(_) | Value::Array(_) => row
            .get_mut(input)
            // A cell is thousands of numbers, which need not be held twice.
            .map_or(Value::Null, Value::take),
        plain => plain.clone(),
    };
    let empty = |record: &Record| {
        record.is_null() || record.as_str().is_some_and(|text| text.trim().is_empty())
    };
    if empty(&record) {
        return Err(format!(
            "field `{input}` is empty; fill it or remove the row"
        ));
    }
    if answer.trim().is_empty() {
        let (Answer::Text(name) | Answer::Label(name)) = from;
        return Err(format!(
            "field `{name}` is empty; fill it or remove the row"
        ));
    }
    let message = |role: &str, content: String| Message {
        role: role.into(),
        content,
    };
    let question = data.question.replacen("{}", &format!("<{modality}>"), 1);
    Ok(Example {
        // The text is somebody's prose: whatever stands in angle brackets there is no placeholder.
        messages: vec![
            message("user", question),
            message("assistant", escape(&answer)),
        ],
        records: vec![(modality.into(), record)],
        group: None,
    })
}

fn field<'r>(row: &'r Object, key: &str, name: &str) -> Result<&'r Value, String> {
    row.get(name).ok_or_else(|| {
        let hint = suggest::hint(name, row.keys().map(String::as_str));
        format!("there is no field `{name}`, which `{key}` names{hint}")
    })
}

/// A value as it reads; strings without their quotes, nothing for null.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
