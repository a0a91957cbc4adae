//! Rows → examples: instruction rows as they are, plain pairs as a question and its answer; one side of the split at a
//! time, every row checked. It knows neither chat template nor tokenizer.

#[cfg(test)]
mod tests;

use std::path::Path;

use bioverse_core::{Example, Message, Record, placeholder::escape};
use serde_json::Value;

use bioverse_formats::Format;

pub use super::rows::{read_rows, read_rows_with};
use super::{
    Screen,
    rows::{Object, next_row, no_rows, row_error},
};
use crate::{
    config::{DataSection, suggest},
    error::{Error, Result},
};

/// A side of the split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// Rows to learn from.
    Train,
    /// Rows to measure on.
    Eval,
}

/// One row of a data file.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Which source of `data.mixture` it is from; 0 without a mixture.
    pub source: usize,
    /// Where it stands, from 1: the line of JSONL, the data row of CSV.
    pub number: usize,
    /// What it says.
    pub example: Example,
    /// The whole row, for fields of which an [`Example`] knows nothing (`id`, `kind`, …).
    pub extra: Object,
}

/// [`read_split`], examples only.
pub fn read_examples(
    data: &DataSection,
    split: Split,
    modalities: &[&str],
) -> Result<Vec<Example>> {
    let rows = read_split(data, split, modalities)?;
    Ok(rows.into_iter().map(|row| row.example).collect())
}

/// Reads the rows of one side. `modalities` are the configured modality names (the default for plain pairs is the only
/// one). Every row is checked (placeholders against records); an error names file and row; an empty result is an error.
/// With `data.skip_bad`, bad rows are left out and their number is logged.
pub fn read_split(data: &DataSection, split: Split, modalities: &[&str]) -> Result<Vec<Row>> {
    let mut screen = Screen::default();
    let rows = read_split_into(data, split, modalities, &mut screen)?;
    screen.finish()?;
    Ok(rows)
}

/// [`read_split`]; with `data.skip_bad`, bad rows go to `screen` with their reasons.
pub fn read_split_into(
    data: &DataSection,
    split: Split,
    modalities: &[&str],
    screen: &mut Screen,
) -> Result<Vec<Row>> {
    let path = file(data, split)?;
    let mut source = bioverse_formats::open(path, &data.options())?;
    let shape = Shape::of(data, source.format(), modalities)?;
    let (mut rows, mut read) = (vec![], 0);
    let before = screen.rejected().count();
    while data.limit.is_none_or(|limit| rows.len() < limit) {
        let rejects = data.skip_bad.then(|| screen.rejected());
        let Some((number, mut object)) = next_row(&mut source, rejects)? else {
            break;
        };
        read += 1;
        let example = shape.on_side(data, split, &mut object, modalities);
        let example = example.and_then(|example| match &example {
            Some(found) => screen.check(found).map(|()| example),
            None => Ok(example),
        });
        match example {
            Ok(None) => {}
            Ok(Some(example)) => rows.push(Row {
                source: 0,
                number,
                example,
                extra: object,
            }),
            Err(problem) if data.skip_bad => screen.reject(path, number, &problem, &object)?,
            Err(problem) => return Err(row_error(path, number, problem)),
        }
    }
    let bad = screen.rejected().count() - before;
    match rows.is_empty() {
        true if bad > 0 => Err(Error::Input(format!(
            "{}: no row is left, for {bad} are bad; leave `data.skip_bad` out to see what is wrong",
            path.display()
        ))),
        true if read == 0 => Err(no_rows(path)),
        true => Err(nothing_left(data, split, path)),
        false => Ok(rows),
    }
}

/// The file that holds one side.
pub fn file(data: &DataSection, split: Split) -> Result<&Path> {
    match (split, &data.eval, &data.split_field) {
        (Split::Eval, Some(eval), _) => Ok(eval),
        (Split::Eval, None, None) => Err(Error::Input(
            "there are no rows to measure on: give a file as `data.eval`, or the field that names the split as \
             `data.split_field`"
                .into(),
        )),
        _ => Ok(&data.train),
    }
}

fn nothing_left(data: &DataSection, split: Split, path: &Path) -> Error {
    let field = data.split_field.as_deref().unwrap_or_default();
    let (wanted, key) = match split {
        Split::Train => (&data.train_split, "data.train_split"),
        Split::Eval => (&data.eval_split, "data.eval_split"),
    };
    Error::Input(format!(
        "{}: no row has `{field}` = `{wanted}`; set `{key}` to a value that occurs",
        path.display()
    ))
}

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
enum Shape<'a> {
    Instructions,
    Pairs {
        input: &'a str,
        text: &'a str,
        modality: &'a str,
    },
}

impl<'a> Shape<'a> {
    fn of(data: &'a DataSection, format: Format, modalities: &[&'a str]) -> Result<Self> {
        let need = |problem: String| Err(Error::Input(problem));
        let input = match (&data.input_field, &data.text_field, format.record_field()) {
            (None, None, None) => return Ok(Self::Instructions),
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
        let text = data.text_field.as_deref().unwrap_or_default();
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
        Ok(Self::Pairs {
            input,
            text,
            modality,
        })
    }

    /// The example of a row, where it belongs to the side asked for.
    fn on_side(
        &self,
        data: &DataSection,
        split: Split,
        row: &mut Object,
        modalities: &[&str],
    ) -> Result<Option<Example>, String> {
        if !on_side(data, split, row)? {
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
                text,
                modality,
            } => pair(data, row, input, text, modality)?,
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
    text_field: &str,
    modality: &str,
) -> Result<Example, String> {
    let answer = text(field(row, "data.text_field", text_field)?);
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
        return Err(format!(
            "field `{text_field}` is empty; fill it or remove the row"
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
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
