//! Chunks → the output, as a whole, and the list of records that were left out. How each format is written is for
//! `bioverse_formats` to know.

use std::{
    collections::HashSet,
    fs::{self, File},
    hash::{DefaultHasher, Hash, Hasher},
    io::{BufWriter, Write},
};

use bioverse_formats::embeddings::{self, Container, Per, Source, Table};
use serde_json::json;

use super::{Done, maker::Maker, partial::Partial, request::Request};
use crate::error::{Error, Result};

/// Most ids that are compared with one another: 64 MB of hashes.
const COMPARED: usize = 1 << 22;

/// Writes the output and what was rejected.
pub(super) fn finish(
    request: &Request,
    container: &Container,
    maker: &Maker,
    partial: &Partial,
) -> Result<Done> {
    let counts = Counts::of(partial)?;
    let file = request.rejected_file();
    write_rejected(request, partial, counts.rejected)?;
    if counts.kept == 0 {
        return Err(match counts.rejected {
            0 => request.no_rows(),
            n => Error::Input(format!(
                "{}: every row ({n}) was rejected; {} says why",
                request.input.display(),
                file.display()
            )),
        });
    }
    counts.warn(request);
    let whole = matches!(container, Container::H5ad { .. });
    let table = Table {
        records: if whole { partial.rows() } else { counts.kept },
        width: maker.width(),
        per: maker.per(counts.vectors),
        dtype: request.dtype,
        about: vec![
            ("modality".into(), request.modality.clone()),
            ("pooling".into(), maker.pooling().into()),
        ],
    };
    if let Some(folder) = request.output.parent() {
        fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
    }
    let chunks = Chunks {
        partial,
        width: maker.width(),
        whole,
    };
    embeddings::write(&request.output, container, &table, &chunks)?;
    Ok(Done {
        output: request.output.clone(),
        shape: shape(container, &table),
        rejected: (counts.rejected > 0).then_some((counts.rejected, file)),
        summary: None,
    })
}

/// What a person finds in the file.
fn shape(container: &Container, table: &Table) -> String {
    let (n, d) = (table.records, table.width);
    match (container, table.per) {
        (Container::H5ad { key, .. }, Per::Fixed(k)) => format!("obsm[\"{key}\"] [{n}, {}]", k * d),
        (Container::H5ad { key, .. }, _) => format!("obsm[\"{key}\"] [{n}, {d}]"),
        (Container::Parquet, Per::Fixed(k)) => format!("embedding [{n}, {}]", k * d),
        (_, Per::One) => format!("embeddings [{n}, {d}]"),
        (_, Per::Fixed(k)) => format!("soft_tokens [{n}, {k}, {d}]"),
        (_, Per::Varying { total }) => format!("states [{total}, {d}] of {n} records"),
    }
}

/// What all chunks hold together.
#[derive(Default)]
struct Counts {
    kept: usize,
    vectors: usize,
    rejected: usize,
    /// An id that more than one record has, and how many records repeat one.
    twice: Option<(String, usize)>,
}

impl Counts {
    fn of(partial: &Partial) -> Result<Self> {
        let mut counts = Self::default();
        let mut seen = HashSet::new();
        for chunk in 0..partial.len() {
            let head = partial.head(chunk)?;
            counts.rejected += head.rejected.len();
            for (id, length) in head.ids.iter().zip(&head.lengths).filter(|(_, n)| **n > 0) {
                counts.kept += 1;
                counts.vectors += length;
                let mut hasher = DefaultHasher::new();
                id.hash(&mut hasher);
                if seen.len() < COMPARED && !seen.insert(hasher.finish()) {
                    counts.twice.get_or_insert((id.clone(), 0)).1 += 1;
                }
            }
        }
        Ok(counts)
    }

    fn warn(&self, request: &Request) {
        if let Some((id, repeats)) = &self.twice {
            tracing::warn!(
                "{}: {repeats} rows have the id of an earlier row, `{id}` for one; each has its vector in the output, but no \
                 lookup by id can tell them apart",
                request.input.display()
            );
        }
    }
}

/// The list of records that were left out, one JSON object a line; none where nothing was.
fn write_rejected(request: &Request, partial: &Partial, count: usize) -> Result<()> {
    let path = request.rejected_file();
    if count == 0 {
        // One of an earlier run would be taken for one of this.
        return match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io(path, error))
            }
            _ => Ok(()),
        };
    }
    let staged = path.with_extension(format!("jsonl.new-{}", std::process::id()));
    let here = |error| Error::io(&path, error);
    let mut out = BufWriter::new(File::create(&staged).map_err(here)?);
    for chunk in 0..partial.len() {
        for reject in partial.head(chunk)?.rejected {
            let line = json!({
                "file": request.input.display().to_string(),
                "row": reject.row,
                "id": reject.id,
                "reason": reject.reason,
            });
            writeln!(out, "{line}").map_err(here)?;
        }
    }
    out.into_inner()
        .map_err(std::io::IntoInnerError::into_error)
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::rename(&staged, &path))
        .map_err(here)
}

/// The chunks one after the other.
struct Chunks<'a> {
    partial: &'a Partial,
    width: usize,
    /// With the rows that have no vector.
    whole: bool,
}

/// Both crates name the file in their errors.
fn told(error: Error) -> bioverse_formats::Error {
    match error {
        Error::Io { path, source } => bioverse_formats::Error::Io { path, source },
        other => bioverse_formats::Error::file("the work in progress", other.to_string()),
    }
}

impl Source for Chunks<'_> {
    fn heads(&self) -> Box<dyn Iterator<Item = bioverse_formats::Result<(String, usize)>> + '_> {
        let chunks = (0..self.partial.len()).flat_map(|chunk| {
            let (heads, error) = match self.partial.head(chunk) {
                Ok(head) => (head.ids.into_iter().zip(head.lengths).collect(), None),
                Err(error) => (vec![], Some(told(error))),
            };
            heads.into_iter().map(Ok).chain(error.map(Err))
        });
        Box::new(chunks.filter(|head| self.whole || !matches!(head, Ok((_, 0)))))
    }

    fn vectors(&self) -> Box<dyn Iterator<Item = bioverse_formats::Result<Vec<f32>>> + '_> {
        let rows = move |chunk: usize| -> Result<Vec<Vec<f32>>> {
            let (head, values) = (self.partial.head(chunk)?, self.partial.values(chunk)?);
            let mut rest = values.as_slice();
            let mut cut = |length: &usize| {
                let (row, after) = rest.split_at_checked(length * self.width)?;
                rest = after;
                Some(row.to_vec())
            };
            let rows: Option<Vec<Vec<f32>>> = head.lengths.iter().map(&mut cut).collect();
            rows.ok_or_else(|| Error::Run("a chunk has too few numbers".into()))
        };
        let chunks = (0..self.partial.len()).flat_map(move |chunk| {
            let (rows, error) = match rows(chunk) {
                Ok(rows) => (rows, None),
                Err(error) => (vec![], Some(told(error))),
            };
            rows.into_iter().map(Ok).chain(error.map(Err))
        });
        Box::new(chunks.filter(|row| self.whole || !matches!(row, Ok(row) if row.is_empty())))
    }
}
