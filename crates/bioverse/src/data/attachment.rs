//! A record as a person names it: as it is, or by the file it stands in. `P53.fasta` is the only record of a file,
//! `cells.h5ad#17` the cell at position 17, `cells.h5ad#AAACATACAACCAC-1` the one of that name. Which command asks, and what
//! the record means, is unknown here.

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use bioverse_core::Record;
use bioverse_formats::{Format, Object, Options, lines};
use serde_json::Value;

use crate::error::{Error, Result};

/// Ids that an error shows.
const SHOWN: usize = 5;
/// Columns of tables that hold records by their name. A text is one only where there is nothing else: it may be about one.
const RECORD_FIELDS: [&str; 6] = ["smiles", "sequence", "seq", "cell", "record", "text"];
/// Columns of tables that name rows.
const ID_FIELDS: [&str; 3] = ["id", "name", "accession"];

/// Which record of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Pick {
    /// The only one.
    Only,
    /// By place.
    Place(usize),
    /// By name.
    Id(String),
}

/// Reads what a person gave for a record of `modality`: a file, `file#17`, `file#id`, or the record itself, JSON where it is
/// an array or an object.
///
/// Cells are counted from 0, as `adata[17]` does; rows of every other format from 1, as messages about them do. A name that
/// consists of digits is written `file#id=17`. `options` are about count matrices only.
///
/// # Errors
/// A file that cannot be read or holds no such record; several records and no `#`; a path that looks like a data file, but
/// does not exist.
pub fn read(modality: &str, given: &str, options: &Options) -> Result<Record> {
    let Some((path, pick)) = locate(given)? else {
        return Ok(literal(given.trim()));
    };
    if pick == Pick::Only
        && let Some(record) = whole(modality, &path)?
    {
        return Ok(record);
    }
    let format = Format::detect(&path)?;
    // Lines of a text file are records, but a person who names a text file means the text.
    if pick == Pick::Only && modality == "text" && format == Format::Text {
        return text(&path);
    }
    let options = match format.is_cells() {
        true => options.clone(),
        false => Options::default(),
    };
    let file = File {
        path: &path,
        format,
        modality,
    };
    file.record(&pick, &options)
}

/// The file and the record in it; `None` = the text is the record.
fn locate(given: &str) -> Result<Option<(PathBuf, Pick)>> {
    let exists = |text: &str| !text.is_empty() && Path::new(text).exists();
    if exists(given) {
        return Ok(Some((given.into(), Pick::Only)));
    }
    // A SMILES string has `#` too, so only what stands before it decides.
    let mut places = given
        .match_indices('#')
        .map(|(at, _)| given.split_at(at))
        .rev();
    let found = places.find(|(path, _)| exists(path));
    if let Some((path, rest)) = found {
        let name = rest.trim_start_matches('#');
        let pick = match (name.strip_prefix("id="), name.parse()) {
            (Some(id), _) => Pick::Id(id.into()),
            (None, Ok(place)) => Pick::Place(place),
            (None, Err(_)) if name.is_empty() => Pick::Only,
            (None, Err(_)) => Pick::Id(name.into()),
        };
        return Ok(Some((path.into(), pick)));
    }
    let path = given.split('#').next().unwrap_or_default();
    let file = !path.contains(char::is_whitespace) && Format::of_name(Path::new(path)).is_some();
    match (file, std::fs::metadata(path)) {
        (true, Err(error)) => Err(Error::io(path, error)),
        _ => Ok(None),
    }
}

/// Records that are no plain text (numbers, tables) are written as JSON.
fn literal(text: &str) -> Record {
    let json = serde_json::from_str(text).ok();
    let structured = json.filter(|json: &Record| json.is_array() || json.is_object());
    structured.unwrap_or_else(|| Record::String(text.to_owned()))
}

/// The record of a file that is one JSON value, however it is broken into lines.
fn whole(modality: &str, path: &Path) -> Result<Option<Record>> {
    use std::io::Read as _;
    if path.is_dir() {
        return Ok(None);
    }
    let mut text = vec![];
    let opened = bioverse_formats::source::open(path)?;
    let mut head = opened.take(lines::LIMIT as u64);
    // What is not JSON is read as what it is, and a broken file is told of there.
    let mut start = [0; 1];
    match head.read(&mut start) {
        Ok(1) if matches!(start[0], b'{' | b'[' | b' ' | b'\n' | b'\r' | b'\t' | 0xef) => {}
        _ => return Ok(None),
    }
    text.push(start[0]);
    if head.read_to_end(&mut text).is_err() {
        return Ok(None);
    }
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
    Ok(match serde_json::from_slice(text) {
        Ok(Value::Object(object)) => Some(match field(modality, &object) {
            Some(name) => object.get(name).cloned().unwrap_or_default(),
            None => Value::Object(object),
        }),
        Ok(Value::Array(items)) if !items.iter().any(Value::is_object) => Some(Value::Array(items)),
        _ => None,
    })
}

/// All lines of a text file.
fn text(path: &Path) -> Result<Record> {
    let rows = bioverse_formats::open(path, &Options::default())?;
    let lines = rows.map(|row| {
        let row = row?;
        Ok(row
            .object
            .get("text")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned())
    });
    let lines = lines.collect::<Result<Vec<String>>>()?;
    match lines.is_empty() {
        true => Err(Error::Input(format!("{}: has no text", path.display()))),
        false => Ok(Record::String(lines.join("\n"))),
    }
}

/// The column that certainly holds the record.
fn field<'o>(modality: &str, row: &'o Object) -> Option<&'o str> {
    let mut names = row.keys().map(String::as_str);
    if let (Some(only), None) = (names.next(), names.next()) {
        return Some(only);
    }
    let called = |wanted: &str| {
        let mut names = row.keys().map(String::as_str);
        names.find(|name| name.eq_ignore_ascii_case(wanted))
    };
    if let Some(name) = called(modality) {
        return Some(name);
    }
    let (text, others) = RECORD_FIELDS.split_last()?;
    let mut found = others.iter().filter_map(|name| called(name));
    match (found.next(), found.next()) {
        (Some(name), None) => Some(name),
        (None, None) => called(text),
        _ => None,
    }
}

/// A file of rows.
struct File<'a> {
    path: &'a Path,
    format: Format,
    modality: &'a str,
}

impl File<'_> {
    fn record(&self, pick: &Pick, options: &Options) -> Result<Record> {
        let mut rows = bioverse_formats::open(self.path, options)?;
        let row = match pick {
            Pick::Only => return self.only(rows),
            Pick::Place(place) if self.format.is_cells() => {
                let known = rows
                    .len_hint()
                    .map_or(String::new(), |n| format!(" ({n} cells, counted from 0)"));
                let found = rows.nth(*place);
                found.ok_or_else(|| self.refuse(format!("has no cell {place}{known}")))?
            }
            Pick::Place(place) => {
                let mut count = 0;
                let found = rows.find(|row| {
                    count += 1;
                    // Lines of text and JSONL have numbers of their own, for blank ones count.
                    row.as_ref().map_or(count, |row| row.number) == *place
                });
                found.ok_or_else(|| {
                    self.refuse(format!(
                        "has no record {place} ({count} records, counted from 1)"
                    ))
                })?
            }
            Pick::Id(id) => {
                let found = rows.find(|row| {
                    row.as_ref()
                        .is_ok_and(|row| self.id(&row.object).as_ref() == Some(id))
                });
                found.ok_or_else(|| {
                    self.refuse(format!("has no record called `{id}`{}", self.some(options)))
                })?
            }
        };
        self.record_of(row?.object)
    }

    fn only(&self, mut rows: bioverse_formats::Rows) -> Result<Record> {
        let first = rows
            .next()
            .ok_or_else(|| self.refuse("has no record; it should hold one"))??;
        let Some(second) = rows.next() else {
            return self.record_of(first.object);
        };
        let mut ids = vec![self.called(&first)];
        let more = std::iter::once(second).chain(rows).take(SHOWN - 1);
        ids.extend(more.filter_map(|row| row.ok()).map(|row| self.called(&row)));
        Err(self.refuse(format!(
            "holds several records; pick one with `{}#…`, such as {}",
            self.path.display(),
            ids.join(", ")
        )))
    }

    /// How a row is picked.
    fn called(&self, row: &bioverse_formats::Row) -> String {
        let place = row.number - usize::from(self.format.is_cells());
        match self.id(&row.object) {
            Some(id) if id.parse::<usize>().is_err() => format!("`#{id}`"),
            _ => format!("`#{place}`"),
        }
    }

    /// The first names of the file, as the end of a sentence.
    fn some(&self, options: &Options) -> String {
        let rows = bioverse_formats::open(self.path, options)
            .into_iter()
            .flatten();
        let rows = rows.take(SHOWN).filter_map(std::result::Result::ok);
        let names: Vec<String> = rows.map(|row| self.called(&row)).collect();
        match names.is_empty() {
            true => String::new(),
            false => format!("; the first are {}", names.join(", ")),
        }
    }

    /// The name of a row.
    fn id(&self, row: &Object) -> Option<String> {
        let names: &[&str] = match self.format.id_field() {
            Some(_) => &["id"],
            None => &ID_FIELDS,
        };
        let value = names.iter().find_map(|name| row.get(*name))?;
        Some(match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
    }

    fn record_of(&self, mut row: Object) -> Result<Record> {
        let name = match self.format.record_field() {
            Some(name) => Some(name.to_owned()),
            None => field(self.modality, &row).map(str::to_owned),
        };
        let record = name.as_ref().and_then(|name| row.remove(name));
        match record {
            Some(Value::String(text)) if text.trim().is_empty() => {
                Err(self.refuse("has an empty record there"))
            }
            Some(Value::String(text)) => Ok(literal(text.trim())),
            Some(record) => Ok(record),
            None => {
                let names: Vec<&str> = row.keys().map(String::as_str).collect();
                Err(self.refuse(format!(
                    "has columns ({}) of which none is certainly the record; rename it to `{}`",
                    names.join(", "),
                    self.modality
                )))
            }
        }
    }

    fn refuse(&self, problem: impl std::fmt::Display) -> Error {
        Error::Input(format!("{}: {problem}", self.path.display()))
    }
}
