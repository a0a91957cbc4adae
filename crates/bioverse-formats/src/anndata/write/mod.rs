//! Writing vectors back: a copy of a file with one more matrix in `obsm`. The copy is made byte by byte and then added to, so
//! everything else in it is what it was.
//!
//! There are two ways to add to an HDF5 file. Files with the classic structures, which HDF5 writes unless it is told otherwise
//! (and so all that anndata writes by itself), are extended by [`classic`]: vectors go to the end of the file as they come,
//! then the tables of the two groups that change. Other files are left to the HDF5 library ([`current`]), which needs the
//! vectors in memory, and for some files the file too.

mod classic;
mod current;
mod encode;
mod parse;

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    process,
};

use super::layout;
use crate::{Error, Result, hdf5::Node};

/// Vectors for the cells of a file.
struct Vectors<'a> {
    key: &'a str,
    cells: usize,
    width: usize,
    rows: &'a mut dyn Iterator<Item = Result<Option<Vec<f32>>>>,
}

/// Writes a copy of `input` at `output` with `obsm[key]`, shape `[cells, width]`, float32; `rows` gives the vectors of the
/// cells in the order of the file, `None` for a cell without one (written as NaN). A matrix of that name is replaced, and
/// everything else is kept as it is. The copy appears as a whole or not at all; `input` is only read.
///
/// Vectors are not held in memory, except for files that were written with `libver="latest"` or `track_order=True`.
///
/// # Errors
/// `input` is no AnnData file; `output` is `input`; `key` cannot be a name; the number of vectors or their width is wrong; an
/// error from `rows`; a file that cannot be added to (the error says how to write it again).
///
/// ```no_run
/// use bioverse_formats::anndata::write_obsm;
/// let vectors = vec![Some(vec![0.5, 1.0]), None, Some(vec![0.0, 2.0])];
/// let (input, output) = ("cells.h5ad".as_ref(), "embedded.h5ad".as_ref());
/// write_obsm(input, output, "X_bioverse", 2, &mut vectors.into_iter().map(Ok))?;
/// # Ok::<(), bioverse_formats::Error>(())
/// ```
pub fn write_obsm(
    input: &Path,
    output: &Path,
    key: &str,
    width: usize,
    rows: &mut dyn Iterator<Item = Result<Option<Vec<f32>>>>,
) -> Result<()> {
    check_key(output, key)?;
    if same_file(input, output) {
        return Err(Error::file(
            output,
            "is the file that is read; give another place for the copy",
        ));
    }
    let file = layout::File::open(input)?;
    let vectors = Vectors {
        key,
        cells: file.obs()?.rows,
        width,
        rows,
    };
    let staged = Staged::copy(input, output)?;
    match classic::add(&file, &staged.path, vectors)? {
        classic::Outcome::Added => {}
        classic::Outcome::OtherStructure(vectors) => current::add(&file, &staged.path, vectors)?,
    }
    check_written(&staged.path, key, file.obs()?.rows, width)
        .map_err(|_| refused(input, "the copy does not read back"))?;
    staged.commit(output)
}

impl Vectors<'_> {
    /// The next vector, NaN where there is none; `None` after the last cell.
    fn next(&mut self, cell: usize, path: &Path) -> Result<Option<Vec<f32>>> {
        let row = self.rows.next().transpose()?;
        let wrong = |problem: String| Err(Error::file(path, problem));
        match (row, cell < self.cells) {
            (None, false) => Ok(None),
            (Some(None), true) => Ok(Some(vec![f32::NAN; self.width])),
            (Some(Some(vector)), true) if vector.len() == self.width => Ok(Some(vector)),
            (Some(Some(vector)), true) => wrong(format!(
                "the vector of cell {} has {} numbers, but {} are to be written",
                cell + 1,
                vector.len(),
                self.width
            )),
            (None, true) => wrong(format!(
                "there are {cell} vectors for {} cells; encode all cells of the file",
                self.cells
            )),
            (Some(_), false) => wrong(format!(
                "there are more vectors than the {} cells; use the file that was encoded",
                self.cells
            )),
        }
    }
}

fn check_key(output: &Path, key: &str) -> Result<()> {
    match key.is_empty() || key == "." || key.contains(['/', '\0']) {
        true => Err(Error::file(
            output,
            format!("`{key}` cannot be a name in `obsm`; use one like X_bioverse"),
        )),
        false => Ok(()),
    }
}

fn same_file(a: &Path, b: &Path) -> bool {
    match (fs::canonicalize(a), fs::canonicalize(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

/// Reads the shape of what was written.
fn check_written(path: &Path, key: &str, cells: usize, width: usize) -> Result<()> {
    let file = layout::File::open(path)?;
    let obsm = file.root.folder("obsm")?;
    let node = obsm.map(|obsm| obsm.get(key)).transpose()?.flatten();
    match node {
        Some(Node::Array(array)) if array.shape == [cells, width] => Ok(()),
        _ => Err(Error::file(path, "is not complete")),
    }
}

/// An error for a file that cannot be added to.
fn refused(input: &Path, why: &str) -> Error {
    Error::file(
        input,
        format!(
            "`obsm` cannot be added to a copy of this file ({why}); write the file again in Python with \
             anndata.read_h5ad(old).write_h5ad(new) and use that, or write the vectors to a safetensors or Parquet file"
        ),
    )
}

/// A copy beside its place; it goes away unless it is committed.
struct Staged {
    path: PathBuf,
}

impl Drop for Staged {
    fn drop(&mut self) {
        // After a commit there is nothing of that name.
        let _ = fs::remove_file(&self.path);
    }
}

impl Staged {
    fn copy(input: &Path, output: &Path) -> Result<Self> {
        let mut name = OsString::from(".");
        name.push(output.file_name().unwrap_or_default());
        name.push(format!(".{}.new", process::id()));
        let path = output.with_file_name(name);
        let mut from = File::open(input).map_err(|error| Error::io(input, error))?;
        let mut options = OpenOptions::new();
        let made = options.write(true).create(true).truncate(true).open(&path);
        let mut to = made.map_err(|error| Error::io(output, error))?;
        let staged = Self { path };
        io::copy(&mut from, &mut to).map_err(|error| Error::io(output, error))?;
        Ok(staged)
    }

    fn commit(self, output: &Path) -> Result<()> {
        let file = OpenOptions::new().write(true).open(&self.path);
        file.and_then(|file| file.sync_all())
            .and_then(|()| fs::rename(&self.path, output))
            .and_then(|()| sync_folder(output))
            .map_err(|error| Error::io(output, error))
    }
}

/// Makes the rename durable. Only Unix lets a folder be opened for this.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    match cfg!(unix) {
        true => File::open(folder.unwrap_or(Path::new(".")))?.sync_all(),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests;
