//! Cells one after another: entries from a matrix, names and columns from beside it. Cells that are skipped are not read.

use std::path::{Path, PathBuf};

use super::{CELLS, Counts, Genes, Window};
use crate::{Error, Object, Result, Row};

/// What is known of a cell apart from its counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Label {
    /// Its name.
    pub(crate) id: String,
    /// Further fields.
    pub(crate) fields: Object,
}

/// Labels of cells.
pub(crate) trait Labels: Send {
    /// For how many cells to read them at once.
    fn step(&self) -> usize {
        1024
    }

    /// Labels of `count` cells from `start` on, all of which exist.
    fn read(&mut self, start: usize, count: usize) -> Result<Vec<Label>>;
}

/// The cells of a matrix as rows.
pub(crate) struct Cells {
    path: PathBuf,
    counts: Box<dyn Counts>,
    labels: Box<dyn Labels>,
    genes: Genes,
    cells: usize,
    next: usize,
    window: (usize, Window),
    held: (usize, Vec<Label>),
}

impl Cells {
    /// `cells` rows.
    pub(crate) fn new(
        path: &Path,
        cells: usize,
        genes: Genes,
        counts: Box<dyn Counts>,
        labels: Box<dyn Labels>,
    ) -> Self {
        let repeated = genes.repeated();
        if repeated > 0 {
            tracing::warn!(
                "{}: {repeated} gene names stand at more than one column; they are repeated in the cells",
                path.display()
            );
        }
        Self {
            path: path.into(),
            counts,
            labels,
            genes,
            cells,
            next: 0,
            window: (0, Window::default()),
            held: (0, vec![]),
        }
    }

    fn row(&mut self, cell: usize) -> Result<Row> {
        let number = cell + 1;
        let label = self.label(cell)?;
        let within = |start: usize, window: &Window| {
            cell.checked_sub(start).filter(|at| *at < window.cells())
        };
        let at = match within(self.window.0, &self.window.1) {
            Some(at) => at,
            None => {
                let most = CELLS.min(self.cells - cell);
                self.window = (cell, self.counts.read(cell, most)?);
                0
            }
        };
        let window = &self.window.1;
        let wrong = |problem: String| {
            let problem = format!("cell `{}`: {problem}", label.id);
            Error::row(&self.path, number, problem)
        };
        if let (0, Some(problem)) = (at, &window.problem) {
            return Err(wrong(problem.clone()));
        }
        let (columns, values) = window.cell(at).unwrap_or_default();
        let record = self.genes.record(columns, values).map_err(wrong)?;
        let mut object = Object::new();
        object.insert("id".into(), label.id.into());
        object.insert("cell".into(), record);
        object.extend(label.fields);
        Ok(Row { number, object })
    }

    fn label(&mut self, cell: usize) -> Result<Label> {
        let within =
            |held: &(usize, Vec<Label>)| cell.checked_sub(held.0).filter(|at| *at < held.1.len());
        if within(&self.held).is_none() {
            let count = self.labels.step().min(self.cells - cell);
            self.held = (cell, self.labels.read(cell, count)?);
        }
        let at = within(&self.held).unwrap_or(0);
        Ok(self
            .held
            .1
            .get_mut(at)
            .map(std::mem::take)
            .unwrap_or_default())
    }
}

impl Iterator for Cells {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Result<Row>> {
        if self.next >= self.cells {
            return None;
        }
        let cell = self.next;
        self.next += 1;
        let row = self.row(cell);
        if row.as_ref().is_err_and(|error| !error.is_row()) {
            self.next = self.cells;
        }
        Some(row)
    }

    fn nth(&mut self, n: usize) -> Option<Result<Row>> {
        self.next = self.next.saturating_add(n);
        self.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.cells.saturating_sub(self.next);
        (left, Some(left))
    }
}
