//! Tables of vectors: one per id, or several. Read from safetensors, npy, Parquet and h5ad (`obsm`); written as safetensors,
//! npy, Parquet and h5ad. What the vectors mean, and what made them, is unknown here.
//!
//! | format | vectors | ids |
//! |---|---|---|
//! | safetensors | `embeddings` `[n, d]`, F32/F16/BF16/F64 | `ids`, U8: the names in UTF-8, one per line; else row numbers from 0 |
//! | npy | `[n, d]`, f2, f4 or f8 | lines of the file `<name>.ids.txt` beside it, else row numbers from 0 |
//! | Parquet | a column of lists of equal length | a column of strings or whole numbers, else row numbers from 0 |
//! | h5ad | `obsm[key]` | the index of `obs` |
//!
//! A record may also have several vectors, such as the states of all its tokens: safetensors and npy of shape `[n, k, d]`, or
//! safetensors with `states` `[total, d]` and `lengths` `[n]`.
//!
//! ```no_run
//! use bioverse_formats::embeddings::{Choice, read};
//!
//! let vectors = read("proteins.safetensors".as_ref(), &Choice::default())?;
//! let row = vectors.find("P69905").and_then(|at| vectors.get(at));
//! # Ok::<(), bioverse_formats::Error>(())
//! ```

mod npy;
mod numbers;
mod parquet;
mod safetensors;
#[cfg(test)]
mod tests;
mod vectors;
mod whole;
mod write;

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use crate::{Error, Result, anndata};

pub use npy::ids_file;
pub use vectors::Vectors;
pub use write::{Container, Dtype, Per, Source, Table, write};

/// What a person may say about a file of vectors; everything has a default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// Tensor of a safetensors file, column of Parquet, key of `obsm`; `None` = the only candidate.
    pub key: Option<String>,
    /// Column of Parquet with the ids; `None` = the only candidate.
    pub id_field: Option<String>,
}

impl Choice {
    /// Refuses what only other formats have.
    fn only_key(&self, path: &Path) -> Result<()> {
        match &self.id_field {
            None => Ok(()),
            Some(name) => Err(Error::file(
                path,
                format!(
                    "has no column `{name}` for ids, for it is no Parquet file; leave `id_field` out"
                ),
            )),
        }
    }
}

/// Reads a whole table of vectors. It is held as f32, so it takes `4 · n · d` bytes and what the ids take.
///
/// # Errors
/// A format that holds no vectors; a key that is not there, or none where several could be meant; NaN and infinite numbers,
/// by row; ids that occur twice, with both rows; rows of unequal length; no rows; a file that is shorter than it claims.
pub fn read(path: &Path, choice: &Choice) -> Result<Vectors> {
    match kind(path)? {
        Kind::Safetensors => {
            choice.only_key(path)?;
            safetensors::read(path, choice.key.as_deref())
        }
        Kind::Npy => {
            choice.only_key(path)?;
            npy::read(path, choice.key.as_deref())
        }
        Kind::Parquet => parquet::read(path, choice),
        Kind::H5ad => {
            choice.only_key(path)?;
            let obsm = anndata::read_obsm(path, choice.key.as_deref())?;
            Vectors::of_cells(path, obsm)
        }
    }
}

/// The files that make up the table at `path`: itself, and for npy the ids beside it where there are any.
pub fn files(path: &Path) -> Vec<PathBuf> {
    let ids = ids_file(path);
    let beside = path.extension().is_some_and(|name| name == "npy") && ids.is_file();
    let mut files = vec![path.to_path_buf()];
    files.extend(beside.then_some(ids));
    files
}

enum Kind {
    Safetensors,
    Npy,
    Parquet,
    H5ad,
}

/// By content: every one of these formats begins with a mark of its own.
fn kind(path: &Path) -> Result<Kind> {
    let here = |error| Error::io(path, error);
    if path.is_dir() {
        return Err(Error::file(
            path,
            "is a folder; give a safetensors, npy, Parquet or h5ad file with one vector per id",
        ));
    }
    let mut start = vec![];
    let file = File::open(path).map_err(here)?;
    file.take(9).read_to_end(&mut start).map_err(here)?;
    match start.as_slice() {
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => Ok(Kind::Npy),
        [b'P', b'A', b'R', b'1', ..] => Ok(Kind::Parquet),
        [0x89, b'H', b'D', b'F', ..] => Ok(Kind::H5ad),
        [_, _, _, _, _, _, _, _, b'{'] => Ok(Kind::Safetensors),
        [b'P', b'K', 3, 4, ..] => Err(Error::file(
            path,
            "is a zip archive (npz, or a PyTorch file); save the vectors with `numpy.save` or as safetensors instead",
        )),
        _ => Err(Error::file(
            path,
            "is no table of vectors that can be read; give safetensors, npy, Parquet or h5ad",
        )),
    }
}
