//! Compressed sparse matrices: `indptr`, `indices`, `data`. Where the compressed dimension is the cells, they are read as
//! they stand; where it is the genes, they are turned first.

use super::{Counts, ENTRIES, Entry, Turned, Window};
use crate::{
    Error, Result,
    hdf5::{Array, Folder, Number},
};

/// The three arrays of a compressed sparse matrix, checked against each other.
#[derive(Debug)]
pub(crate) struct Compressed {
    starts: Array,
    indices: Array,
    data: Array,
    index: Number,
    number: Number,
    /// Length of the compressed dimension.
    long: usize,
    /// Length of the other.
    short: usize,
}

impl Compressed {
    /// Opens `indptr`, `indices` and `data` of a group: `long` rows (of a CSR matrix) with `short` columns.
    pub(crate) fn open(folder: &Folder, long: usize, short: usize) -> Result<Self> {
        let (starts, indices, data) = (
            folder.stream("indptr")?,
            folder.stream("indices")?,
            folder.stream("data")?,
        );
        if Some(starts.rows()) != long.checked_add(1) || starts.width() != 1 {
            return Err(starts.error(&format!(
                "has {} elements where {long} rows or columns need {}; write the file again",
                starts.rows(),
                long.saturating_add(1)
            )));
        }
        if indices.rows() != data.rows() || indices.width() != 1 || data.width() != 1 {
            return Err(data.error(&format!(
                "has {} elements, but `{}` has {}; write the file again",
                data.rows(),
                indices.name,
                indices.rows()
            )));
        }
        starts.number()?;
        Ok(Self {
            index: indices.number()?,
            number: data.number()?,
            starts,
            indices,
            data,
            long,
            short,
        })
    }

    /// Whether values are whole numbers.
    pub(crate) fn is_integer(&self) -> bool {
        self.number.is_integer()
    }

    /// Ends of `count` rows from `start` on, with the end of the row before in front.
    fn ends(&self, start: usize, count: usize) -> Result<Vec<usize>> {
        let stored = self.starts.integers(start, count + 1)?;
        let ends: Option<Vec<usize>> = stored
            .into_iter()
            .map(|end| usize::try_from(end).ok())
            .collect();
        let most = self.data.rows();
        let fine = |ends: &Vec<usize>| ends.is_sorted() && ends.iter().all(|end| *end <= most);
        ends.filter(fine).ok_or_else(|| {
            self.starts.error(&format!(
                "does not rise from 0 to the {most} entries of `{}`; write the file again",
                self.data.name
            ))
        })
    }

    /// Index and value of the entries from `start` to `end`.
    fn entries(&self, start: usize, end: usize) -> Result<impl Iterator<Item = (i64, f64)>> {
        let (index, number) = (self.index, self.number);
        let indices = self.indices.raw(start, end - start)?;
        let data = self.data.raw(start, end - start)?;
        let value = move |at: usize| {
            let stored = indices.get(at * index.size..(at + 1) * index.size);
            let value = data.get(at * number.size..(at + 1) * number.size);
            (
                stored.map_or(-1, |bytes| index.integer(bytes)),
                value.map_or(f64::NAN, |bytes| number.float(bytes)),
            )
        };
        Ok((0..end - start).map(value))
    }

    /// Turns a matrix that is compressed along the genes into one that is read along the cells.
    pub(crate) fn turned(self) -> Result<Turned> {
        Turned::new(self.short, |visit| self.visit(visit))
    }

    fn visit(&self, visit: &mut dyn FnMut(Entry) -> Result<()>) -> Result<()> {
        let mut gene = 0;
        while gene < self.long {
            let count = super::CELLS.min(self.long - gene);
            let ends = self.ends(gene, count)?;
            for (at, pair) in ends.windows(2).enumerate() {
                let [start, end] = pair else { continue };
                self.visit_gene(gene + at, *start, *end, visit)?;
            }
            gene += count;
        }
        Ok(())
    }

    fn visit_gene(
        &self,
        gene: usize,
        start: usize,
        end: usize,
        visit: &mut dyn FnMut(Entry) -> Result<()>,
    ) -> Result<()> {
        let mut at = start;
        while at < end {
            let next = at.saturating_add(ENTRIES).min(end);
            for (cell, value) in self.entries(at, next)? {
                let cell = usize::try_from(cell).ok().filter(|cell| *cell < self.short);
                let cell = cell.ok_or_else(|| self.no_such_cell())?;
                visit(Entry::new(cell, gene, value))?;
            }
            at = next;
        }
        Ok(())
    }

    fn no_such_cell(&self) -> Error {
        self.indices.error(&format!(
            "names a cell beyond the {} of the matrix; write the file again",
            self.short
        ))
    }
}

/// A matrix that is compressed along the cells.
#[derive(Debug)]
pub(crate) struct Sparse(pub(crate) Compressed);

impl Counts for Sparse {
    fn read(&mut self, start: usize, most: usize) -> Result<Window> {
        let matrix = &self.0;
        let ends = matrix.ends(start, most.min(matrix.long.saturating_sub(start)))?;
        let first = ends.first().copied().unwrap_or(0);
        let mut window = Window::default();
        let held = |end: &&usize| **end - first <= ENTRIES;
        let cells = ends.iter().skip(1).take_while(held).count().max(1);
        let ends: Vec<usize> = ends.into_iter().skip(1).take(cells).collect();
        let last = ends.last().copied().unwrap_or(first);
        if last - first > ENTRIES.max(matrix.short) {
            window.problem = Some(format!(
                "it has {} entries, more than the {} genes of the matrix; write the file again",
                last - first,
                matrix.short
            ));
            window.end_cell();
            return Ok(window);
        }
        let mut ends = ends.into_iter().peekable();
        for (at, (column, value)) in (first..).zip(matrix.entries(first, last)?) {
            while ends.next_if(|end| *end <= at).is_some() {
                window.end_cell();
            }
            window.push(column, value);
        }
        ends.for_each(|_| window.end_cell());
        Ok(window)
    }
}
