//! A padded batch without its padding: the tokens of all records, one after another.
//!
//! Padding may stand anywhere; a token keeps the column it had, which is its position.

use std::ops::Range;

/// Where the tokens of a batch stand.
#[derive(Debug)]
pub(crate) struct Packed {
    /// Rows and columns of the padded batch.
    shape: [usize; 2],
    /// The column of every token.
    pub(super) columns: Vec<usize>,
    /// The tokens of every record that has any.
    pub(super) records: Vec<Range<usize>>,
    /// The place of every token among those of the padded batch.
    places: Vec<usize>,
}

impl Packed {
    /// `mask [B · T]`, true = token; `shape` is `[B, T]`.
    pub(crate) fn new(mask: &[bool], shape: [usize; 2]) -> Self {
        let len = shape[1].max(1);
        let places = mask.iter().enumerate().filter(|(_, token)| **token);
        let places: Vec<usize> = places.map(|(place, _)| place).collect();
        let mut records = Vec::with_capacity(shape[0]);
        let mut start = 0;
        for record in places.chunk_by(|a, b| a / len == b / len) {
            records.push(start..start + record.len());
            start += record.len();
        }
        Self {
            shape,
            columns: places.iter().map(|place| place % len).collect(),
            records,
            places,
        }
    }

    /// Columns of the padded batch.
    pub(super) fn len(&self) -> usize {
        self.shape[1]
    }

    /// `[B · T, width]` → `[tokens, width]`.
    pub(crate) fn gather(&self, padded: Vec<f32>, width: usize) -> Vec<f32> {
        if self.is_full() {
            return padded;
        }
        let mut rows = Vec::with_capacity(self.places.len() * width);
        for place in &self.places {
            rows.extend_from_slice(&padded[place * width..][..width]);
        }
        rows
    }

    /// `[tokens, width]` → `[B · T, width]`, zero at padding.
    pub(crate) fn scatter(&self, rows: &[f32], width: usize) -> Vec<f32> {
        if self.is_full() {
            return rows.to_vec();
        }
        let mut padded = vec![0.0; self.shape[0] * self.shape[1] * width];
        for (row, place) in rows.chunks_exact(width).zip(&self.places) {
            padded[place * width..][..width].copy_from_slice(row);
        }
        padded
    }

    fn is_full(&self) -> bool {
        self.places.len() == self.shape[0] * self.shape[1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_keep_record_and_column_wherever_padding_stands() {
        let mask = [
            true, true, false, false, false, false, false, true, false, true,
        ];
        let packed = Packed::new(&mask, [5, 2]);
        assert_eq!(packed.records, [0..2, 2..3, 3..4]);
        assert_eq!(packed.columns, [0, 1, 1, 1]);
        let padded: Vec<f32> = (0..10).map(|i| i as f32).collect();
        let rows = packed.gather(padded, 1);
        assert_eq!(rows, [0.0, 1.0, 7.0, 9.0]);
        let back = packed.scatter(&rows, 1);
        assert_eq!(back, [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 7.0, 0.0, 9.0]);
    }

    #[test]
    fn nothing_is_left_of_padding_alone() {
        let packed = Packed::new(&[false; 6], [2, 3]);
        assert!(packed.records.is_empty());
        assert!(packed.gather(vec![1.0; 12], 2).is_empty());
        assert_eq!(packed.scatter(&[], 2), [0.0; 12]);
    }
}
