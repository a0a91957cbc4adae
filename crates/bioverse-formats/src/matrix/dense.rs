//! A matrix that is stored as a whole, zeros included: one row a cell.

use super::{Counts, ENTRIES, Window};
use crate::{
    Result,
    hdf5::{Array, Number},
};

/// Bytes of rows that are read at once, where chunks allow it.
const BYTES: usize = 32 << 20;

/// Bytes that are read at once where the chunks of the file are as tall as that; taller ones are read again and again.
const MOST_BYTES: usize = 256 << 20;

/// Rows of a dataset.
#[derive(Debug)]
pub(crate) struct Dense {
    array: Array,
    number: Number,
    raw: Vec<u8>,
    held: std::ops::Range<usize>,
}

impl Dense {
    /// A dataset of numbers.
    pub(crate) fn new(array: Array) -> Result<Self> {
        Ok(Self {
            number: array.number()?,
            array,
            raw: vec![],
            held: 0..0,
        })
    }

    /// Whether values are whole numbers.
    pub(crate) fn is_integer(&self) -> bool {
        self.number.is_integer()
    }

    fn hold(&mut self, cell: usize) -> Result<()> {
        if self.held.contains(&cell) {
            return Ok(());
        }
        let (step, aligned) = step(self.array.row_bytes(), self.array.chunk_rows);
        let start = if aligned { cell - cell % step } else { cell };
        let end = start.saturating_add(step).min(self.array.rows());
        self.held = 0..0;
        self.raw.clear();
        self.raw = self.array.raw(start, end.saturating_sub(start))?;
        self.held = start..end;
        Ok(())
    }
}

/// Rows of a read, and whether reads begin at its multiples.
fn step(row_bytes: usize, chunk_rows: Option<usize>) -> (usize, bool) {
    let row_bytes = row_bytes.max(1);
    let rows = (BYTES / row_bytes).max(1);
    match chunk_rows {
        Some(chunk) if (1..=rows).contains(&chunk) => (rows / chunk * chunk, true),
        Some(chunk) if chunk <= MOST_BYTES / row_bytes => (chunk.max(1), true),
        _ => (rows, false),
    }
}

impl Counts for Dense {
    fn read(&mut self, start: usize, most: usize) -> Result<Window> {
        self.hold(start)?;
        let width = self.array.row_bytes();
        let most = most.min((ENTRIES / self.array.width().max(1)).max(1));
        let end = self.held.end.min(start.saturating_add(most));
        let mut window = Window::default();
        let zero = vec![0; self.number.size];
        for cell in start..end {
            let at = (cell - self.held.start) * width;
            let row = self.raw.get(at..at + width).unwrap_or_default();
            for (column, bytes) in (0..).zip(row.chunks_exact(self.number.size)) {
                if bytes == zero {
                    continue;
                }
                let value = self.number.float(bytes);
                if value != 0.0 {
                    window.push(column, value);
                }
            }
            window.end_cell();
        }
        Ok(window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_follow_the_chunks_of_the_file() {
        let mb = 1 << 20;
        assert_eq!(step(mb, None), (32, false));
        assert_eq!(step(mb, Some(10)), (30, true));
        assert_eq!(step(mb, Some(200)), (200, true));
        assert_eq!(step(mb, Some(1000)), (32, false));
        assert_eq!(step(0, Some(5)).0 % 5, 0);
        assert_eq!(step(usize::MAX, Some(1)), (1, true));
    }
}
