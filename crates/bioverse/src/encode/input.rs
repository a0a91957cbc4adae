//! Rows of a file as records with ids. Which field holds what is said by the request, else by the format, else by a column
//! with a usual name. How files are read is for `bioverse_formats` to know.

use std::iter::Peekable;

use bioverse_core::Record;
use bioverse_formats::{Format, Object, Rows};
use serde_json::Value;
use tracing::info;

use super::{maker::Maker, request::Request};
use crate::{
    config::suggest,
    data::refusal::{brief, shortened},
    error::{Error, Result},
};

/// Rows in which a field is looked for that need not be in each of them.
const LOOKED_AT: usize = 100;

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Item {
    /// What the file calls its number.
    pub row: usize,
    /// What the output calls it.
    pub id: String,
    /// The row could be read as far as to say so.
    pub has_id: bool,
    /// The record, or what is wrong with the row.
    pub record: Result<Record, String>,
}

impl Item {
    /// For people.
    pub fn describe(&self, maker: &Maker) -> String {
        let checked = self.record.as_ref().map_err(Clone::clone);
        let checked = checked.and_then(|record| maker.check(record).map(|()| record));
        let shown = match checked {
            Ok(record) => shortened(&record.to_string()),
            Err(problem) => format!("would be refused: {problem}"),
        };
        format!("  row {} `{}`: {shown}\n", self.row, self.id)
    }
}

/// The rows of a file, one after the other.
pub(super) struct Input {
    rows: Peekable<Rows>,
    format: Format,
    len: Option<usize>,
    record: String,
    /// Nobody said which field holds the record.
    guessed: bool,
    /// Where the ids are; `None` = rows are numbered.
    id: Option<IdField>,
    next: usize,
}

struct IdField {
    name: String,
    /// A row without it is bad; else it is called by its number.
    needed: bool,
}

impl Input {
    pub fn open(request: &Request) -> Result<Self> {
        let rows = bioverse_formats::open(&request.input, &request.options)?;
        let (format, len) = (rows.format(), rows.len_hint());
        let mut rows = rows.peekable();
        let first = match rows.peek() {
            None => return Err(request.no_rows()),
            Some(Ok(row)) if has_id(request, format, &row.object) => names(&row.object),
            Some(_) => {
                let first = first_names(request, format, rows)?;
                rows = bioverse_formats::open(&request.input, &request.options)?.peekable();
                first
            }
        };
        let record = record_field(request, format, &first)?;
        let guessed = request.input_field.is_none() && format.record_field().is_none();
        let id = id_field(request, format, &first)?;
        Ok(Self {
            rows,
            format,
            len,
            record,
            guessed,
            id,
            next: 0,
        })
    }

    pub fn len_hint(&self) -> Option<usize> {
        self.len
    }

    /// Says which field holds the record where nobody else did.
    pub fn say_guess(&self) {
        if self.guessed {
            info!(
                "records are read from `{}`; --input-field names another field",
                self.record
            );
        }
    }

    /// For people: what is read from where.
    pub fn describe(&self) -> String {
        let ids = match &self.id {
            Some(id) => format!("ids in `{}`", id.name),
            None => "ids are row numbers from 0".into(),
        };
        format!(
            "{}: records in `{}`, {ids}",
            self.format.name(),
            self.record
        )
    }

    /// Passes over rows that were done before.
    pub fn skip(&mut self, rows: usize) -> Result<()> {
        for _ in 0..rows {
            self.next_item()?;
        }
        Ok(())
    }

    /// The next row; an error is of the file, and ends it.
    pub fn next_item(&mut self) -> Result<Option<Item>> {
        let index = self.next;
        let item = match self.rows.next() {
            None => return Ok(None),
            Some(Ok(row)) => self.item(row.number, row.object),
            Some(Err(bioverse_formats::Error::Row {
                number, problem, ..
            })) => Item {
                row: number,
                id: index.to_string(),
                has_id: false,
                record: Err(brief(problem)),
            },
            Some(Err(error)) => return Err(error.into()),
        };
        self.next += 1;
        Ok(Some(item))
    }

    fn item(&self, row: usize, mut object: Object) -> Item {
        let (id, unnamed) = match self.id_of(&object) {
            Ok(id) => (id, None),
            Err(problem) => (self.next.to_string(), Some(problem)),
        };
        let has_id = unnamed.is_none();
        let record = match (unnamed, object.remove(&self.record)) {
            (Some(problem), _) => Err(problem),
            (None, Some(Value::Null)) => Err(format!("its field `{}` is empty", self.record)),
            (None, Some(record)) => Ok(record),
            (None, None) => Err(format!(
                "has no field `{}` ({})",
                self.record,
                listed(&names(&object))
            )),
        };
        Item {
            row,
            id,
            has_id,
            record,
        }
    }

    fn id_of(&self, object: &Object) -> Result<String, String> {
        let number = || Ok(self.next.to_string());
        let Some(field) = &self.id else {
            return number();
        };
        let id = match object.get(&field.name) {
            Some(Value::String(id)) if !id.is_empty() => id.clone(),
            Some(Value::Number(id)) => id.to_string(),
            _ if !field.needed => return number(),
            _ => return Err(format!("has no id in `{}`", field.name)),
        };
        match id.contains('\n') {
            true => Err(format!("its id {id:?} has a line break")),
            false => Ok(id),
        }
    }
}

/// Whether the fields of a row are those of the file. Rows of JSONL have their own, so that one may lack the id that
/// others have.
fn has_id(request: &Request, format: Format, row: &Object) -> bool {
    let name = request.id_field.as_ref();
    format != Format::Jsonl || name.is_none_or(|name| row.contains_key(name))
}

/// The fields of the first row that can be read, of JSONL the first with an id among [`LOOKED_AT`]; the rows before it are
/// bad. None where no row can be read.
fn first_names(request: &Request, format: Format, rows: Peekable<Rows>) -> Result<Vec<String>> {
    let (mut found, mut read) = (vec![], 0);
    for row in rows {
        match row {
            Ok(row) => {
                read += 1;
                if has_id(request, format, &row.object) {
                    return Ok(names(&row.object));
                }
                if read == 1 {
                    found = names(&row.object);
                }
                if read == LOOKED_AT {
                    break;
                }
            }
            Err(bioverse_formats::Error::Row { .. }) if request.skip_bad => {}
            Err(bioverse_formats::Error::Row {
                number, problem, ..
            }) => return Err(request.at(number, &brief(problem))),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

fn names(object: &Object) -> Vec<String> {
    object.keys().cloned().collect()
}

fn refuse<T>(request: &Request, problem: &str) -> Result<T> {
    let path = request.input.display();
    Err(Error::Input(format!("{path}: {problem}")))
}

/// A field that was asked for by name, but that the first row does not have.
fn missing<T>(request: &Request, name: &str, first: &[String]) -> Result<T> {
    let hint = suggest::hint(name, first.iter().map(String::as_str));
    refuse(request, &format!("row 1 has no field `{name}`{hint}"))
}

fn record_field(request: &Request, format: Format, first: &[String]) -> Result<String> {
    if let Some(name) = &request.input_field {
        return match first.contains(name) || first.is_empty() || format == Format::Jsonl {
            true => Ok(name.clone()),
            false => missing(request, name, first),
        };
    }
    if let Some(name) = format.record_field() {
        return Ok(name.into());
    }
    let usual = usual(&request.modality);
    let is = |name: &&String| usual.iter().any(|usual| name.eq_ignore_ascii_case(usual));
    let found: Vec<&String> = first.iter().filter(is).collect();
    match found.as_slice() {
        [only] => Ok((*only).clone()),
        _ if first.is_empty() => refuse(
            request,
            "no row of it can be read; leave --skip-bad out to see what is wrong with the first",
        ),
        _ => refuse(
            request,
            &format!(
                "say which field holds the record with --input-field ({})",
                listed(first)
            ),
        ),
    }
}

/// What people call the column of a modality.
fn usual(modality: &str) -> Vec<&str> {
    let names: &[&str] = match modality {
        "molecule" => &["smiles", "canonical_smiles", "isomeric_smiles"],
        "protein" => &["sequence", "seq", "protein_sequence", "aa_sequence"],
        "dna" => &["sequence", "seq", "dna_sequence"],
        "text" => &["text", "sentence", "abstract"],
        _ => &[],
    };
    [&[modality], names].concat()
}

fn id_field(request: &Request, format: Format, first: &[String]) -> Result<Option<IdField>> {
    if let Some(name) = &request.id_field {
        return match first.contains(name) || first.is_empty() {
            true => Ok(Some(IdField {
                name: name.clone(),
                needed: true,
            })),
            false => missing(request, name, first),
        };
    }
    let usual = || {
        first
            .iter()
            .find(|name| name.eq_ignore_ascii_case("id"))
            .cloned()
    };
    let name = format.id_field().map(str::to_owned).or_else(usual);
    Ok(name.map(|name| IdField {
        name,
        needed: false,
    }))
}

fn listed(names: &[String]) -> String {
    format!("it has: {}", names.join(", "))
}
