//! A matrix that comes gene by gene, or in no order, turned into cells in bounded memory: one pass counts the entries of
//! every cell, one puts them into blocks of cells, in memory while they are few and in a temporary file otherwise. Then each
//! block is sorted when it is read.
//!
//! It holds 8 bytes a cell, and 16 bytes an entry up to [`IN_MEMORY`] entries; with more, 64 KiB for each block of about
//! [`ENTRIES`] entries, and the entries (16 bytes each) in a file in the system's temporary folder.

use super::{Counts, ENTRIES, Window, scratch::Scratch};
use crate::Result;

/// Entries up to which no temporary file is written.
const IN_MEMORY: u64 = 1 << 23;

/// Bytes of an entry in a block.
const WIDTH: usize = 16;

/// Bytes of a block that are gathered before they are written.
const GATHERED: usize = 1 << 16;

/// One entry of a matrix.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Entry {
    cell: usize,
    gene: usize,
    value: f64,
}

impl Entry {
    /// The entry of a cell and a gene, both from 0.
    pub(crate) fn new(cell: usize, gene: usize, value: f64) -> Self {
        Self { cell, gene, value }
    }

    fn bytes(self) -> [u8; WIDTH] {
        let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
        let mut bytes = [0; WIDTH];
        let (cell, rest) = bytes.split_at_mut(4);
        let (gene, value) = rest.split_at_mut(4);
        cell.copy_from_slice(&small(self.cell));
        gene.copy_from_slice(&small(self.gene));
        value.copy_from_slice(&self.value.to_le_bytes());
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (cell, rest) = bytes.split_first_chunk()?;
        let (gene, rest) = rest.split_first_chunk()?;
        let value = rest.first_chunk()?;
        Some(Self {
            cell: u32::from_le_bytes(*cell) as usize,
            gene: u32::from_le_bytes(*gene) as usize,
            value: f64::from_le_bytes(*value),
        })
    }
}

/// The cells of a matrix whose entries came in another order.
#[derive(Debug)]
pub(crate) struct Turned {
    /// Where the entries of each cell begin, and where the last ones end.
    starts: Vec<u64>,
    /// First cell of each block, and the number of cells.
    blocks: Vec<usize>,
    scratch: Scratch,
    held: Option<(usize, Window)>,
}

impl Turned {
    /// Turns the entries that `visit` gives to its argument, the same ones twice; cells are below `cells`.
    pub(crate) fn new(
        cells: usize,
        visit: impl Fn(&mut dyn FnMut(Entry) -> Result<()>) -> Result<()>,
    ) -> Result<Self> {
        let mut starts = vec![0_u64; cells.saturating_add(1)];
        visit(&mut |entry| {
            if let Some(count) = starts.get_mut(entry.cell + 1) {
                *count += 1;
            }
            Ok(())
        })?;
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        let blocks = blocks(&starts, ENTRIES as u64);
        let scratch = match sum <= IN_MEMORY {
            true => Scratch::in_memory(),
            false => Scratch::in_file()?,
        };
        let mut turned = Self {
            starts,
            blocks,
            scratch,
            held: None,
        };
        turned.fill(visit)?;
        Ok(turned)
    }

    fn fill(
        &mut self,
        visit: impl Fn(&mut dyn FnMut(Entry) -> Result<()>) -> Result<()>,
    ) -> Result<()> {
        let start = |cell: &usize| self.starts.get(*cell).copied().unwrap_or(0);
        let mut places: Vec<u64> = self.blocks.iter().map(start).collect();
        let mut gathered = vec![vec![]; places.len()];
        visit(&mut |entry| {
            let block = self.blocks.partition_point(|first| *first <= entry.cell) - 1;
            let (Some(place), Some(bytes)) = (places.get_mut(block), gathered.get_mut(block))
            else {
                return Ok(());
            };
            bytes.extend_from_slice(&entry.bytes());
            if bytes.len() >= GATHERED {
                self.scratch.write(*place * WIDTH as u64, bytes)?;
                *place += (bytes.len() / WIDTH) as u64;
                bytes.clear();
            }
            Ok(())
        })?;
        for (place, bytes) in places.iter().zip(&gathered) {
            self.scratch.write(*place * WIDTH as u64, bytes)?;
        }
        Ok(())
    }

    /// The entries of a block, sorted by cell; of a cell in the order in which they came.
    fn sorted(&mut self, block: usize) -> Result<Window> {
        let first = self.blocks.get(block).copied().unwrap_or(0);
        let end = self.blocks.get(block + 1).copied().unwrap_or(first);
        let starts = self.starts.get(first..=end).unwrap_or_default();
        let (from, to) = (
            starts.first().copied().unwrap_or(0),
            starts.last().copied().unwrap_or(0),
        );
        let bytes = self
            .scratch
            .read(from * WIDTH as u64, (to - from) * WIDTH as u64)?;
        let mut entries: Vec<Entry> = bytes.chunks_exact(WIDTH).filter_map(Entry::read).collect();
        drop(bytes);
        entries.sort_by_key(|entry| entry.cell);
        let mut window = Window::default();
        let mut entries = entries.into_iter().peekable();
        for cell in first..end {
            while let Some(entry) = entries.next_if(|entry| entry.cell <= cell) {
                let gene = i64::try_from(entry.gene).unwrap_or(i64::MAX);
                window.push(gene, entry.value);
            }
            window.end_cell();
        }
        Ok(window)
    }
}

/// First cells of blocks with about `most` entries each, then the number of cells.
fn blocks(starts: &[u64], most: u64) -> Vec<usize> {
    let cells = starts.len().saturating_sub(1);
    let mut blocks = vec![0];
    let mut from = 0;
    for (cell, pair) in starts.windows(2).enumerate() {
        let [start, end] = pair else { continue };
        if end - from > most && *start > from {
            blocks.push(cell);
            from = *start;
        }
    }
    if blocks.last() != Some(&cells) {
        blocks.push(cells);
    }
    blocks
}

impl Counts for Turned {
    fn read(&mut self, start: usize, _most: usize) -> Result<Window> {
        let block = self.blocks.partition_point(|first| *first <= start) - 1;
        let held = match self.held.take() {
            Some((held, window)) if held == block => window,
            _ => self.sorted(block)?,
        };
        let first = self.blocks.get(block).copied().unwrap_or(0);
        let (held, given) = held.split(start - first, super::CELLS);
        self.held = Some((block, held));
        Ok(given)
    }
}

impl Window {
    /// This window, and a copy of `most` of its cells from `start` on.
    fn split(self, start: usize, most: usize) -> (Self, Self) {
        let mut given = Self::default();
        for cell in start..self.cells().min(start.saturating_add(most)) {
            let (columns, values) = self.cell(cell).unwrap_or_default();
            given.columns.extend_from_slice(columns);
            given.values.extend_from_slice(values);
            given.end_cell();
        }
        (self, given)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn blocks_hold_about_as_many_entries_as_asked() {
        assert_eq!(blocks(&[0], 10), [0]);
        assert_eq!(blocks(&[0, 0, 0], 10), [0, 2]);
        assert_eq!(blocks(&[0, 5, 10, 15], 10), [0, 2, 3]);
        assert_eq!(blocks(&[0, 50, 51, 52], 10), [0, 1, 3]);
        assert_eq!(blocks(&[0, 0, 50, 51], 10), [0, 2, 3]);
    }

    fn cells(mut turned: Turned, count: usize) -> Vec<Vec<(i64, f64)>> {
        let mut all = vec![];
        while all.len() < count {
            let window = turned.read(all.len(), 7).unwrap();
            assert!(window.cells() > 0);
            for cell in 0..window.cells() {
                let (columns, values) = window.cell(cell).unwrap();
                all.push(
                    columns
                        .iter()
                        .copied()
                        .zip(values.iter().copied())
                        .collect(),
                );
            }
        }
        all
    }

    proptest! {
        #[test]
        fn every_entry_arrives_at_its_cell(
            entries in prop::collection::vec((0_usize..40, 0_usize..9, -5_i8..5), 0..200),
            in_file in any::<bool>(),
        ) {
            let mut expected = vec![vec![]; 40];
            for (cell, gene, value) in &entries {
                expected[*cell].push((*gene as i64, f64::from(*value)));
            }
            let visit = |visit: &mut dyn FnMut(Entry) -> Result<()>| {
                entries.iter().try_for_each(|(cell, gene, value)| {
                    visit(Entry::new(*cell, *gene, f64::from(*value)))
                })
            };
            let mut turned = Turned::new(40, visit).unwrap();
            if in_file {
                // The same through small blocks in a file.
                turned.blocks = blocks(&turned.starts, 16);
                turned.scratch = Scratch::in_file().unwrap();
                turned.fill(visit).unwrap();
            }
            prop_assert_eq!(cells(turned, 40), expected);
        }
    }
}
