//! A coordinate file whose entries are sorted by cell, read from front to back.

use super::coordinates::Coordinates;
use crate::{
    Result,
    matrix::{Counts, ENTRIES, Window},
};

/// Where cells stand in an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Orientation {
    /// Genes are rows, cells are columns.
    GenesByCells,
    /// Cells are rows, genes are columns.
    CellsByGenes,
}

impl Orientation {
    /// Cell and gene of an entry.
    pub(super) fn split(self, row: usize, column: usize) -> (usize, usize) {
        match self {
            Self::GenesByCells => (column, row),
            Self::CellsByGenes => (row, column),
        }
    }
}

/// The entries of a file by cell.
pub(super) struct Stream {
    file: Coordinates,
    orientation: Orientation,
    /// The entry that was read last and belongs to a later cell.
    ahead: Option<(usize, usize, f64)>,
    /// The first cell that was not given yet.
    at: usize,
    begun: bool,
    cells: usize,
}

impl Stream {
    pub(super) fn new(file: Coordinates, orientation: Orientation, cells: usize) -> Self {
        Self {
            file,
            orientation,
            ahead: None,
            at: 0,
            begun: false,
            cells,
        }
    }

    fn advance(&mut self) -> Result<()> {
        let before = self.ahead.map(|(cell, _, _)| cell);
        self.ahead = match self.file.next()? {
            None => None,
            Some((row, column, value)) => {
                let (cell, gene) = self.orientation.split(row, column);
                if cell < before.unwrap_or(self.at) {
                    return Err(self.file.error(
                        "the entries are not sorted by cell; write the matrix again with cells as columns and sorted by them \
                         (in Python: scipy.io.mmwrite(path, scipy.sparse.csc_matrix(genes_by_cells)))",
                    ));
                }
                Some((cell, gene, value))
            }
        };
        Ok(())
    }
}

impl Counts for Stream {
    fn read(&mut self, start: usize, most: usize) -> Result<Window> {
        if !self.begun {
            self.begun = true;
            self.advance()?;
        }
        while self.ahead.is_some_and(|(cell, _, _)| cell < start) {
            self.advance()?;
        }
        self.at = start;
        let mut window = Window::default();
        let mut entries = 0;
        let end = start.saturating_add(most).min(self.cells);
        while self.at < end && entries < ENTRIES {
            while let Some((cell, gene, value)) = self.ahead.filter(|(cell, _, _)| *cell == self.at)
            {
                debug_assert_eq!(cell, self.at);
                window.push(i64::try_from(gene).unwrap_or(i64::MAX), value);
                entries += 1;
                self.advance()?;
            }
            window.end_cell();
            self.at += 1;
        }
        Ok(window)
    }
}
