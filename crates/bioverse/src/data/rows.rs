//! Rows of a file of any format, all at once. How each format is read is for `bioverse_formats` to know, what the fields
//! mean for the callers.

use std::path::Path;

pub use bioverse_formats::Object;
use bioverse_formats::{Options, Rows};

use super::rejected::Rejected;
use crate::error::{Error, Result};

/// The rows of a file with their numbers, from 1: lines of JSONL and plain text (blank ones count, but are skipped), data
/// rows of tables, records of FASTA and SDF, cells of a matrix. Fields of CSV and TSV are text.
///
/// # Errors
/// A file that cannot be read, a bad row, no row at all.
pub fn read_rows(path: &Path) -> Result<Vec<(usize, Object)>> {
    read_rows_with(path, &Options::default())
}

/// [`read_rows`] with what the caller knows about the file.
pub fn read_rows_with(path: &Path, options: &Options) -> Result<Vec<(usize, Object)>> {
    let rows = bioverse_formats::open(path, options)?;
    let rows: Vec<(usize, Object)> = rows
        .map(|row| row.map(|row| (row.number, row.object)))
        .collect::<bioverse_formats::Result<_>>()?;
    match rows.is_empty() {
        true => Err(no_rows(path)),
        false => Ok(rows),
    }
}

/// The next row of a file; with `rejected`, bad rows go there and the first good one behind them is given.
pub(super) fn next_row(
    rows: &mut Rows,
    mut rejected: Option<&mut Rejected>,
) -> Result<Option<(usize, Object)>> {
    loop {
        match (rows.next(), &mut rejected) {
            (None, _) => return Ok(None),
            (Some(Ok(row)), _) => return Ok(Some((row.number, row.object))),
            (
                Some(Err(bioverse_formats::Error::Row {
                    path,
                    number,
                    problem,
                })),
                Some(rejected),
            ) => {
                rejected.add(&path, number, &problem)?;
            }
            (Some(Err(error)), _) => return Err(error.into()),
        }
    }
}

/// An error about one row of a file.
pub(crate) fn row_error(path: &Path, number: usize, problem: impl std::fmt::Display) -> Error {
    Error::Input(format!("{} row {number}: {problem}", path.display()))
}

/// An error about a file without rows.
pub(super) fn no_rows(path: &Path) -> Error {
    Error::Input(format!(
        "{} has no rows; give a file with at least one",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn read(name: &str, content: &str) -> Result<Vec<(usize, Object)>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        read_rows(&path)
    }

    #[test]
    fn every_format_is_rows() {
        for (name, content, field, expected) in [
            ("a.jsonl", "{\"a\":\"x\"}\n", "a", "x"),
            ("a.csv", "a,b\nx,y\n", "a", "x"),
            ("a.fa", ">x\nMKT\n", "sequence", "MKT"),
            ("a.smi", "CCO x\n", "smiles", "CCO"),
            ("a.txt", "some text\n", "text", "some text"),
        ] {
            let rows = read(name, content).unwrap();
            assert_eq!(rows[0].0, 1);
            assert_eq!(rows[0].1[field], expected, "{name}");
        }
    }

    #[test]
    fn what_is_wrong_is_bad_input() {
        for (name, content, expected) in [
            ("a.csv", "a,b\n1,2\n3\n", "a.csv row 2: has 1 field,"),
            ("a.jsonl", "\n \n", "has no rows"),
            ("a.csv", "a,b\n", "has no rows"),
        ] {
            let error = read(name, content).unwrap_err();
            assert!(
                error.to_string().contains(expected),
                "{error}\nshould contain: {expected}"
            );
            assert_eq!(error.exit_code(), 2, "{error}");
        }
        let error = read_rows(Path::new("nowhere/rows.jsonl")).unwrap_err();
        assert!(
            error.to_string().starts_with("nowhere/rows.jsonl"),
            "{error}"
        );
    }
}
