//! How a packed batch is cut into tasks: whole short records together, long records in parts.
//!
//! A record is cut by its own length alone wherever the cut could change a rounding, so that its states do not depend on its
//! company or on the number of threads.

use std::ops::Range;

/// The most rows of a task: its scores and inner states stay in a core's cache, and packing a weight matrix is small beside
/// multiplying by it.
pub(super) const MOST_ROWS: usize = 128;

/// The fewest, below which work is not spread further.
const FEWEST_ROWS: usize = 32;

/// Sums over at most so many keys are taken in one run by `gemm`, however many rows there are.
const ONE_RUN: usize = 512;

/// Consecutive rows that one thread computes.
#[derive(Debug, PartialEq)]
pub(super) struct Tile {
    pub(super) rows: Range<usize>,
    pub(super) parts: Vec<Part>,
}

/// Rows of one record.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Part {
    pub(super) rows: Range<usize>,
    /// All rows of the record: what these may see.
    pub(super) record: Range<usize>,
}

/// Tasks of about equal size, in the order of the rows.
pub(super) fn tiles(records: &[Range<usize>], threads: usize) -> Vec<Tile> {
    let rows: usize = records.iter().map(ExactSizeIterator::len).sum();
    let limit = (rows / (2 * threads.max(1))).clamp(FEWEST_ROWS, MOST_ROWS);
    let mut tiles: Vec<Tile> = Vec::new();
    for part in records.iter().flat_map(|record| parts(record, limit)) {
        match tiles.last_mut() {
            Some(tile) if tile.rows.len() + part.rows.len() <= limit => {
                tile.rows.end = part.rows.end;
                tile.parts.push(part);
            }
            _ => tiles.push(Tile {
                rows: part.rows.clone(),
                parts: vec![part],
            }),
        }
    }
    tiles
}

/// Parts of one record, equal to a row, so that none is a single row unless the record is: products of one row round
/// otherwise than those of several.
fn parts(record: &Range<usize>, limit: usize) -> impl Iterator<Item = Part> {
    let rows = record.len();
    let limit = if rows > ONE_RUN { MOST_ROWS } else { limit };
    let count = rows.div_ceil(limit);
    let record = record.clone();
    (0..count).map(move |i| Part {
        rows: record.start + i * rows / count..record.start + (i + 1) * rows / count,
        record: record.clone(),
    })
}

/// `rows [tokens, width]` as the tiles divide them.
pub(super) fn split<'a>(
    mut rows: &'a mut [f32],
    width: usize,
    tiles: &'a [Tile],
) -> Vec<(&'a Tile, &'a mut [f32])> {
    let mut found = Vec::with_capacity(tiles.len());
    for tile in tiles {
        let (own, rest) = rows.split_at_mut(tile.rows.len() * width);
        found.push((tile, own));
        rows = rest;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(lengths: &[usize]) -> Vec<Range<usize>> {
        let mut start = 0;
        let next = |length: &usize| {
            start += length;
            start - length..start
        };
        lengths.iter().map(next).collect()
    }

    #[test]
    fn every_row_is_in_one_part_of_its_record() {
        for lengths in [
            &[1usize, 2, 30, 33, 129][..],
            &[1000, 1, 128, 513],
            &[7; 90],
        ] {
            for threads in [1, 3, 64] {
                let records = records(lengths);
                let tiles = tiles(&records, threads);
                let parts: Vec<Part> = tiles.iter().flat_map(|t| t.parts.clone()).collect();
                let mut next = 0;
                for part in &parts {
                    assert_eq!(part.rows.start, next);
                    assert!(records.contains(&part.record));
                    assert!(part.record.end >= part.rows.end);
                    assert!(part.rows.len() > 1 || part.record.len() == 1);
                    next = part.rows.end;
                }
                assert_eq!(next, lengths.iter().sum::<usize>());
                for tile in &tiles {
                    assert!(tile.rows.len() <= MOST_ROWS);
                    assert_eq!(tile.rows.start, tile.parts[0].rows.start);
                }
            }
        }
    }

    #[test]
    fn long_records_are_cut_alike_for_any_number_of_threads() {
        let long = records(&[600]);
        assert_eq!(tiles(&long, 1), tiles(&long, 64));
        assert!(tiles(&records(&[500]), 64).len() > tiles(&records(&[500]), 1).len());
    }
}
