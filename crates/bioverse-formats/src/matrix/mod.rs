//! Count matrices, cell by cell, whatever their layout on disk; and a cell as a record. Names of files, columns and formats
//! are not known here.

pub(crate) mod cells;
mod dense;
mod genes;
mod scratch;
mod sparse;
mod turned;

pub(crate) use cells::{Cells, Label, Labels};
pub(crate) use dense::Dense;
pub(crate) use genes::Genes;
pub(crate) use sparse::{Compressed, Sparse};
pub(crate) use turned::{Entry, Turned};

use crate::Result;

/// Cells that are decoded at once, at most.
pub(crate) const CELLS: usize = 256;

/// Entries that are decoded at once, except where one cell has more.
pub(crate) const ENTRIES: usize = 1 << 21;

/// A matrix that gives its rows.
pub(crate) trait Counts: Send {
    /// Entries of at least one and at most `most` cells from `start` on, which is a cell that exists.
    fn read(&mut self, start: usize, most: usize) -> Result<Window>;
}

/// Entries of consecutive cells.
#[derive(Debug, Default)]
pub(crate) struct Window {
    ends: Vec<usize>,
    columns: Vec<i64>,
    values: Vec<f64>,
    /// What is wrong with the first cell, where its entries could not be read.
    pub(crate) problem: Option<String>,
}

impl Window {
    /// Adds an entry to the cell that is being filled.
    pub(crate) fn push(&mut self, column: i64, value: f64) {
        self.columns.push(column);
        self.values.push(value);
    }

    /// Ends the cell that is being filled.
    pub(crate) fn end_cell(&mut self) {
        self.ends.push(self.columns.len());
    }

    /// How many cells there are.
    pub(crate) fn cells(&self) -> usize {
        self.ends.len()
    }

    /// Columns and values of a cell.
    pub(crate) fn cell(&self, index: usize) -> Option<(&[i64], &[f64])> {
        let start = match index.checked_sub(1) {
            None => 0,
            Some(before) => *self.ends.get(before)?,
        };
        let range = start..*self.ends.get(index)?;
        Some((self.columns.get(range.clone())?, self.values.get(range)?))
    }
}
