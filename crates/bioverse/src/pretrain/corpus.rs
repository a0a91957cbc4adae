//! Files → molecules, passages or documents, without what is excluded and without doubles, in two parts: to learn from and held out.
//! Tokenizers and models are not known here.

use std::collections::{BTreeMap, HashSet};

use bioverse_nn::chat::ChatMessage;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value};

use super::config::{CorpusSection, PretrainConfig, Records, RowFilter};
use crate::data::read::read_rows;
use crate::data::split::held_out_at_random;
use crate::error::{Error, Result};

type Row = Map<String, Value>;

/// What the language model reads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Document {
    /// Plain text.
    Text(String),
    /// A conversation.
    Chat(Vec<(String, String)>),
}

impl Document {
    /// The words, without roles and marks.
    pub(super) fn texts(&self) -> Vec<&str> {
        match self {
            Self::Text(text) => vec![text],
            Self::Chat(turns) => turns.iter().map(|(_, content)| content.as_str()).collect(),
        }
    }

    /// The turns of a conversation; nothing for plain text.
    pub(super) fn messages(&self) -> Vec<ChatMessage> {
        match self {
            Self::Text(_) => Vec::new(),
            Self::Chat(turns) => turns
                .iter()
                .map(|(role, content)| ChatMessage::new(role, content))
                .collect(),
        }
    }
}

/// A document and how often an epoch shows it.
pub(super) type Repeated = (Document, usize);

/// Items to learn from and items to measure on.
#[derive(Debug, Clone)]
pub(super) struct Parts<T> {
    pub train: Vec<T>,
    pub held_out: Vec<T>,
    /// Rows used, by corpus section; for the model card.
    pub rows: Vec<usize>,
}

/// Splits `items` at random, the same way for the same seed.
fn split<T>(mut items: Vec<T>, config: &PretrainConfig, rows: Vec<usize>) -> Result<Parts<T>> {
    items.shuffle(&mut ChaCha8Rng::seed_from_u64(config.seed));
    let held_out = (items.len() as f64 * config.train.held_out).ceil() as usize;
    if held_out == 0 || held_out >= items.len() {
        return Err(Error::Input(format!(
            "the corpus has only {} usable rows, too few to hold some out; name more files in `[[corpus]]`",
            items.len()
        )));
    }
    Ok(Parts {
        held_out: items.drain(..held_out).collect(),
        train: items,
        rows,
    })
}

/// Distinct canonical molecules of every `[[corpus]]` with a `smiles` field.
#[cfg(feature = "molecule")]
pub(super) fn molecules(config: &PretrainConfig) -> Result<Parts<Passage>> {
    use super::smiles::scaffold;
    use bioverse_molecule::canonical;
    use rayon::prelude::*;

    let excluded = match &config.exclude {
        Some(filter) => rows_of(config, &filter.path, &filter.keep)?,
        None => Vec::new(),
    };
    let taken = |field: Option<&String>| -> HashSet<String> {
        let values = excluded.iter().filter_map(|row| text_of(row, field?));
        values.collect()
    };
    let filter = config.exclude.as_ref();
    let scaffolds = taken(filter.and_then(|filter: &RowFilter| filter.scaffold.as_ref()));
    let mut seen: HashSet<String> = taken(filter.map(|filter| &filter.field))
        .iter()
        .filter_map(|smiles| canonical(smiles).ok())
        .collect();
    let (mut found, mut counts) = (Vec::new(), Vec::new());
    for section in &config.corpus {
        let field = section
            .smiles
            .as_ref()
            .ok_or_else(|| wants(section, "`smiles`"))?;
        let rows = rows_of(config, &section.path, &section.keep)?;
        let names: Vec<Option<String>> = rows
            .par_iter()
            .map(|row| canonical(&text_of(row, field)?).ok())
            .collect();
        let fresh: Vec<String> = names
            .into_iter()
            .flatten()
            .filter(|name| seen.insert(name.clone()))
            .collect();
        let apart =
            |name: &String| scaffold(name).is_none_or(|scaffold| !scaffolds.contains(&scaffold));
        let fresh: Vec<String> = fresh.into_par_iter().filter(apart).collect();
        counts.push(fresh.len());
        let repeat = section.repeat;
        found.extend(fresh.into_iter().map(|text| Passage {
            text,
            about: None,
            repeat,
        }));
    }
    split(found, config, counts)
}

/// A record, and what is written about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Passage {
    /// SMILES, residues, or the text itself.
    pub text: String,
    /// Words about a protein.
    pub about: Option<String>,
    /// How often an epoch shows it.
    pub repeat: usize,
}

/// Distinct proteins or texts of every `[[corpus]]`, without those that `[exclude]` names and without what `split_fraction` holds
/// out of a section.
pub(super) fn passages(config: &PretrainConfig) -> Result<Parts<Passage>> {
    let protein = config.masked.records == Records::Protein;
    let mut seen: HashSet<String> = match &config.exclude {
        Some(filter) => rows_of(config, &filter.path, &filter.keep)?
            .iter()
            .filter_map(|row| text_of(row, &filter.field))
            .collect(),
        None => HashSet::new(),
    };
    let (mut found, mut counts) = (Vec::new(), Vec::new());
    for section in &config.corpus {
        let before = found.len();
        let (template, missing) = match (protein, &section.sequence, &section.text) {
            (true, Some(field), _) => (format!("{{{field}}}"), ""),
            (false, _, Some(template)) => (template.clone(), ""),
            (true, ..) => (String::new(), "`sequence`"),
            (false, ..) => (String::new(), "`text`"),
        };
        if !missing.is_empty() {
            return Err(wants(section, missing));
        }
        let modality = if protein { "protein" } else { "text" };
        for row in rows_of(config, &section.path, &section.keep)? {
            let about = section.about.as_ref().and_then(|about| fill(about, &row));
            let Some(text) = fill(&template, &row) else {
                continue;
            };
            let share = section.split_fraction.unwrap_or(0.0);
            if !held_out_at_random(modality, &Value::from(text.as_str()), share)
                && seen.insert(text.clone())
            {
                let repeat = section.repeat;
                found.push(Passage {
                    text,
                    about,
                    repeat,
                });
            }
        }
        counts.push(found.len() - before);
    }
    split(found, config, counts)
}

/// Distinct documents of every `[[corpus]]`.
pub(super) fn documents(config: &PretrainConfig) -> Result<Parts<Repeated>> {
    let excluded: HashSet<String> = match &config.exclude {
        Some(filter) => rows_of(config, &filter.path, &filter.keep)?
            .iter()
            .filter_map(|row| text_of(row, &filter.field))
            .map(|id| plain_id(&id))
            .collect(),
        None => HashSet::new(),
    };
    let mut seen = HashSet::new();
    let (mut found, mut counts) = (Vec::new(), Vec::new());
    for section in &config.corpus {
        let before = found.len();
        for row in rows_of(config, &section.path, &section.keep)? {
            let id = section.id.as_ref().and_then(|field| text_of(&row, field));
            if id.is_some_and(|id| excluded.contains(&plain_id(&id))) {
                continue;
            }
            if let Some(document) = document(section, &row)?
                && seen.insert(document.clone())
            {
                found.push((document, section.repeat));
            }
        }
        counts.push(found.len() - before);
    }
    split(found, config, counts)
}

/// `CID:29`, `CID29` and `cid 29` are the same record.
fn plain_id(id: &str) -> String {
    id.chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|letter| letter.to_ascii_lowercase())
        .collect()
}

fn wants(section: &CorpusSection, what: &str) -> Error {
    Error::Input(format!(
        "`[[corpus]]` of {}: {what} is missing",
        section.path
    ))
}

/// Rows of a file that have the wanted values.
fn rows_of(
    config: &PretrainConfig,
    path: &str,
    keep: &BTreeMap<String, String>,
) -> Result<Vec<Row>> {
    let rows = read_rows(&config.resolve(path))?
        .into_iter()
        .map(|(_, row)| row);
    let wanted = |row: &Row| {
        keep.iter()
            .all(|(field, value)| text_of(row, field).as_ref() == Some(value))
    };
    Ok(rows.filter(wanted).collect())
}

/// A field as text; lists are joined, empty text counts as missing.
fn text_of(row: &Row, field: &str) -> Option<String> {
    let text = match row.get(field)? {
        Value::String(text) => text.trim().to_string(),
        Value::Number(number) => number.to_string(),
        Value::Array(items) => {
            let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            items.join(", ")
        }
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// The document a section makes of a row; `None` where a field that it needs is empty.
fn document(section: &CorpusSection, row: &Row) -> Result<Option<Document>> {
    let replaced = |mut text: String| {
        for (old, new) in &section.replace {
            text = text.replace(old, new);
        }
        text
    };
    if let Some(template) = &section.text {
        return Ok(fill(template, row).map(|text| Document::Text(replaced(text))));
    }
    let turns = if let (Some(user), Some(assistant)) = (&section.user, &section.assistant) {
        fill(user, row)
            .zip(fill(assistant, row))
            .map(|(user, assistant)| {
                vec![
                    ("user".to_string(), user),
                    ("assistant".to_string(), assistant),
                ]
            })
    } else if let Some(field) = &section.messages {
        let turn = |turn: &Value| {
            let part = |name: &str| Some(turn.get(name)?.as_str()?.to_string());
            Some((part("role")?, part("content")?))
        };
        row.get(field)
            .and_then(Value::as_array)
            .and_then(|turns| turns.iter().map(turn).collect::<Option<Vec<_>>>())
    } else {
        return Err(wants(
            section,
            "one of `text`, `user` with `assistant`, `messages`",
        ));
    };
    Ok(turns.map(|turns| {
        let turns = turns.into_iter();
        Document::Chat(
            turns
                .map(|(role, content)| (role, replaced(content)))
                .collect(),
        )
    }))
}

/// `template` with every `{field}` replaced; `None` when a field is missing or empty.
fn fill(template: &str, row: &Row) -> Option<String> {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (field, after) = after.split_once('}')?;
        text.push_str(before);
        text.push_str(&text_of(row, field)?);
        rest = after;
    }
    text.push_str(rest);
    Some(text)
}

/// The generator of one step: the same for the same seed and step, whatever ran before.
pub(super) fn step_rng(seed: u64, step: usize) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(1 + step as u64);
    rng
}

/// Orders `lengths` into batches of similar length with at most `tokens` padded tokens each, in random order.
pub(super) fn bucketed(lengths: &[usize], tokens: usize, rng: &mut impl Rng) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.shuffle(rng);
    order.sort_by_key(|index| lengths[*index]);
    let mut batches: Vec<Vec<usize>> = Vec::new();
    for index in order {
        // Sorted, so the newcomer is the longest of its batch.
        match batches.last_mut() {
            Some(batch) if (batch.len() + 1) * lengths[index] <= tokens => batch.push(index),
            _ => batches.push(vec![index]),
        }
    }
    batches.shuffle(rng);
    batches
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use serde_json::json;

    fn row(value: Value) -> Row {
        value.as_object().unwrap().clone()
    }

    fn section(toml: &str) -> CorpusSection {
        toml::from_str(&format!("path='p'\nsource='s'\nlicense='l'\n{toml}")).unwrap()
    }

    #[test]
    fn templates_need_all_their_fields() {
        let both =
            row(json!({"name": "NK cell", "text": "Kills.", "synonyms": ["a", "b"], "n": 3}));
        assert_eq!(
            fill("{name} ({n}, {synonyms}): {text}", &both).unwrap(),
            "NK cell (3, a, b): Kills."
        );
        assert_eq!(fill("{name} {absent}", &both), None);
        assert_eq!(fill("{name}", &row(json!({"name": " "}))), None);
    }

    #[test]
    fn rows_become_texts_or_conversations() {
        let given = row(json!({"q": "Why?", "a": "So.", "messages": [
            {"role": "user", "content": "Describe <molecule>."}, {"role": "assistant", "content": "Small."}]}));
        let chat = |turns: [(&str, &str); 2]| {
            Some(Document::Chat(
                turns.map(|(a, b)| (a.to_string(), b.to_string())).to_vec(),
            ))
        };
        let made = document(&section("user='{q}'\nassistant='{a}'"), &given).unwrap();
        assert_eq!(made, chat([("user", "Why?"), ("assistant", "So.")]));
        let made = section("messages='messages'\nreplace={'<molecule>'='this molecule'}");
        assert_eq!(
            document(&made, &given).unwrap(),
            chat([("user", "Describe this molecule."), ("assistant", "Small.")])
        );
        assert!(document(&section("id='q'"), &given).is_err());
        assert_eq!(
            document(&section("text='{nothing}'"), &given).unwrap(),
            None
        );
    }

    #[test]
    fn ids_are_compared_without_punctuation() {
        assert_eq!(plain_id("CID:29"), plain_id("cid 29"));
        assert_ne!(plain_id("CID:29"), plain_id("CID:290"));
    }

    #[test]
    fn batches_hold_every_item_once_within_the_budget() {
        let lengths: Vec<usize> = (0..500).map(|i| 1 + (i * 37) % 90).collect();
        let batches = bucketed(&lengths, 256, &mut step_rng(3, 0));
        let mut seen: Vec<usize> = batches.iter().flatten().copied().collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..500).collect::<Vec<_>>());
        for batch in &batches {
            let longest = batch.iter().map(|index| lengths[*index]).max().unwrap();
            assert!(longest * batch.len() <= 256, "{batch:?}");
        }
        let padded: usize = batches
            .iter()
            .map(|b| b.len() * b.iter().map(|i| lengths[*i]).max().unwrap())
            .sum();
        let real: usize = lengths.iter().sum();
        assert!(padded < real * 11 / 10, "{padded} for {real}");
        assert_eq!(batches, bucketed(&lengths, 256, &mut step_rng(3, 0)));
        assert_ne!(batches, bucketed(&lengths, 256, &mut step_rng(3, 1)));
    }
}
