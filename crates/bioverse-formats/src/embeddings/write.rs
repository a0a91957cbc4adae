//! Tables of vectors to files, streamed: one vector is in memory at a time, and for Parquet one group of rows. A file appears
//! as a whole or not at all.

mod arrow;
mod flat;

use std::path::{Path, PathBuf};

use super::whole;
use crate::{Error, Result, anndata};

/// What is written, in the order of the file; read more than once.
pub trait Source {
    /// The id of each record and the number of its vectors.
    fn heads(&self) -> Box<dyn Iterator<Item = Result<(String, usize)>> + '_>;

    /// The vectors of each record, one after the other.
    fn vectors(&self) -> Box<dyn Iterator<Item = Result<Vec<f32>>> + '_>;
}

/// How numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dtype {
    /// IEEE single precision.
    #[default]
    F32,
    /// IEEE half precision: about three digits, up to 65504.
    F16,
}

/// Vectors of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    /// One.
    One,
    /// Always this many.
    Fixed(usize),
    /// Differently many; `total` of all records together.
    Varying {
        /// Vectors of all records.
        total: usize,
    },
}

/// The shape of a table, and what is said about it.
#[derive(Debug, Clone)]
pub struct Table {
    /// Number of records.
    pub records: usize,
    /// Width of a vector.
    pub width: usize,
    /// Vectors of a record.
    pub per: Per,
    /// How numbers are stored.
    pub dtype: Dtype,
    /// Remarks for the file's own metadata, where it has some.
    pub about: Vec<(String, String)>,
}

/// The format of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Container {
    /// `embeddings` `[n, d]` (several per record: `soft_tokens` `[n, k, d]`; `states` `[total, d]` and `lengths` `[n]`) and `ids`.
    Safetensors,
    /// `[n, d]` or `[n, k, d]`, the ids in `<name>.ids.txt`.
    Npy,
    /// `id` and `embedding`, a list of fixed size.
    Parquet,
    /// A copy of the h5ad `input` with `obsm[key]`; ids must be those of its cells, and cells not among them get NaN.
    H5ad {
        /// What is copied.
        input: PathBuf,
        /// Under which key the vectors stand.
        key: String,
    },
}

impl Container {
    /// Whether it can hold differently many vectors per record.
    pub fn takes_varying(&self) -> bool {
        matches!(self, Self::Safetensors)
    }
}

/// Writes `source` to `path`.
///
/// For [`Container::H5ad`], `source` must give every cell of the input in order; a record with no vector at all is a cell
/// without one.
///
/// # Errors
/// A file that cannot be written; a source that fails, or gives another number of records or widths than `table` says; half
/// precision where a number is too large for it; [`Per::Varying`] where the format has no place for it.
pub fn write(path: &Path, container: &Container, table: &Table, source: &dyn Source) -> Result<()> {
    if matches!(table.per, Per::Varying { .. }) && !container.takes_varying() {
        return Err(Error::file(
            path,
            "cannot hold differently many vectors per record; write safetensors",
        ));
    }
    let checked = Checked {
        path,
        table,
        source,
    };
    match container {
        Container::Safetensors => whole::write(path, &mut |out| {
            flat::safetensors(path, out, table, &checked)
        }),
        Container::Npy => {
            let ids = super::ids_file(path);
            whole::write(&ids, &mut |out| flat::ids(&ids, out, &checked))?;
            whole::write(path, &mut |out| flat::npy(path, out, table, &checked))
        }
        Container::Parquet => {
            whole::write(path, &mut |out| arrow::parquet(path, out, table, &checked))
        }
        Container::H5ad { input, key } => {
            let width = checked.row_width();
            let mut rows = checked.vectors().map(|row| {
                let row = row?;
                Ok((!row.is_empty()).then_some(row))
            });
            anndata::write_obsm(input, path, key, width, &mut rows)
        }
    }
}

/// A source that is held to its table.
struct Checked<'a> {
    path: &'a Path,
    table: &'a Table,
    source: &'a dyn Source,
}

impl Checked<'_> {
    /// Numbers of a record where all have equally many.
    fn row_width(&self) -> usize {
        match self.table.per {
            Per::Fixed(several) => several * self.table.width,
            Per::One | Per::Varying { .. } => self.table.width,
        }
    }

    fn refuse(&self, problem: &str) -> Error {
        Error::file(
            self.path,
            format!("{problem}; this is an error of the program"),
        )
    }

    /// Ids and lengths; a line break in an id would make two of it.
    fn heads(&self) -> impl Iterator<Item = Result<(String, usize)>> + '_ {
        self.source.heads().map(|head| {
            let (id, length) = head?;
            match id.contains('\n') {
                true => Err(Error::file(
                    self.path,
                    format!("the id {id:?} has a line break; remove it"),
                )),
                false => Ok((id, length)),
            }
        })
    }

    fn vectors(&self) -> impl Iterator<Item = Result<Vec<f32>>> + '_ {
        let width = self.row_width();
        let varying = matches!(self.table.per, Per::Varying { .. });
        self.source.vectors().map(move |row| {
            let row = row?;
            let fits = match varying {
                true => row.len() % width.max(1) == 0,
                false => row.len() == width || row.is_empty(),
            };
            if !fits {
                return Err(self.refuse(&format!(
                    "a record has {} numbers in place of {width}",
                    row.len()
                )));
            }
            let small = |value: &&f32| value.is_finite() && value.abs() > 65504.0;
            match row.iter().find(small) {
                Some(value) if self.table.dtype == Dtype::F16 => Err(Error::file(
                    self.path,
                    format!("{value} is too large for half precision; write f32"),
                )),
                _ => Ok(row),
            }
        })
    }
}
