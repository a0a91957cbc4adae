//! Softmax-weighted values of one part of one record, head by head.
//!
//! Knows neither projections nor rotary positions: rows of queries, keys and values come in, side by side, the queries
//! already scaled. Scores exist for one head and the rows of one part only.

use std::ops::Range;

use super::exp::exp;
use super::product::{Rows, RowsMut, product, product_transposed};
use super::simd::vectorised;
use super::tiles::{MOST_ROWS, Part};

/// What attention reads.
pub(super) struct Projected<'a> {
    /// `[tokens, 3 · width]`: queries, keys, values.
    pub(super) rows: &'a [f32],
    /// `heads · head_dim`.
    pub(super) width: usize,
    pub(super) heads: usize,
    /// The column of every token.
    pub(super) columns: &'a [usize],
    /// How many columns away a token may be to be seen; `None`: all are.
    pub(super) reach: Option<usize>,
}

impl Projected<'_> {
    /// Mixed values of the rows of `part`, `[rows, width]`. `scores` holds as many numbers as the part has rows times the
    /// record has.
    pub(super) fn attend(&self, part: &Part, scores: &mut [f32], out: &mut [f32]) {
        let keys = self.seen(part);
        let (rows, seen) = (part.rows.len(), keys.len());
        let head_dim = self.width / self.heads;
        let scores = &mut scores[..rows * seen];
        let mut inverse = [0.0; MOST_ROWS];
        for head in 0..self.heads {
            let third = |rows: &Range<usize>, n: usize| {
                let first = rows.start * 3 * self.width + n * self.width + head * head_dim;
                Rows::new(&self.rows[first..], [rows.len(), head_dim], 3 * self.width)
            };
            let target = RowsMut::dense(scores, seen);
            product_transposed(target, third(&part.rows, 0), third(&keys, 1));
            self.weigh(part, &keys, scores, &mut inverse);
            let first = head * head_dim;
            let target = RowsMut::new(&mut out[first..], [rows, head_dim], self.width);
            product(target, Rows::dense(scores, seen), third(&keys, 2));
            for (row, inverse) in out.chunks_exact_mut(self.width).zip(&inverse) {
                row[first..first + head_dim]
                    .iter_mut()
                    .for_each(|value| *value *= inverse);
            }
        }
    }

    /// The keys that any row of `part` sees.
    fn seen(&self, part: &Part) -> Range<usize> {
        let first = self.window(part.rows.start, &part.record);
        let last = self.window(part.rows.end - 1, &part.record);
        first.start..last.end
    }

    /// The keys that a row sees: columns of a record ascend.
    fn window(&self, row: usize, record: &Range<usize>) -> Range<usize> {
        let Some(reach) = self.reach else {
            return record.clone();
        };
        let column = self.columns[row];
        let columns = &self.columns[record.clone()];
        let start = columns.partition_point(|other| other + reach < column);
        let end = columns.partition_point(|other| *other <= column.saturating_add(reach));
        record.start + start..record.start + end
    }

    /// Scores to weights that are yet to be divided by their sum.
    fn weigh(&self, part: &Part, keys: &Range<usize>, scores: &mut [f32], inverse: &mut [f32]) {
        if self.reach.is_none() {
            return soften(scores, keys.len(), inverse);
        }
        let rows = scores.chunks_exact_mut(keys.len());
        for ((score, row), inverse) in rows.zip(part.rows.clone()).zip(inverse) {
            let own = self.window(row, &part.record);
            let (start, end) = (own.start - keys.start, own.end - keys.start);
            score[..start].fill(0.0);
            score[end..].fill(0.0);
            soften(
                &mut score[start..end],
                end - start,
                std::slice::from_mut(inverse),
            );
        }
    }
}

/// Numbers that are compared and added apart, as in [`super::norm`].
const LANES: usize = 32;

vectorised! {
    /// Every row to `e^(x - max)`, and one over its sum; `rows [m, width]`, `inverse [m]` or longer.
    fn soften(rows: &mut [f32], width: usize, inverse: &mut [f32]) = soften_body
}

#[inline(always)]
fn soften_body<const FMA: bool>(rows: &mut [f32], width: usize, inverse: &mut [f32]) {
    for (row, inverse) in rows.chunks_exact_mut(width).zip(inverse) {
        let (chunks, rest) = row.as_chunks_mut::<LANES>();
        // What is left is filled up with numbers that are not the largest and weigh nothing.
        let mut last = [f32::NEG_INFINITY; LANES];
        last[..rest.len()].copy_from_slice(rest);
        let mut lanes = last;
        for chunk in &*chunks {
            for (lane, x) in lanes.iter_mut().zip(chunk) {
                *lane = if *x > *lane { *x } else { *lane };
            }
        }
        let largest = lanes.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut lanes = [0.0f32; LANES];
        for chunk in chunks {
            lift::<FMA>(chunk, largest, &mut lanes);
        }
        lift::<FMA>(&mut last, largest, &mut lanes);
        rest.copy_from_slice(&last[..rest.len()]);
        *inverse = 1.0 / lanes.iter().sum::<f32>();
    }
}

/// `e^(x - largest)`, and added to the sums.
#[inline(always)]
fn lift<const FMA: bool>(chunk: &mut [f32; LANES], largest: f32, sums: &mut [f32; LANES]) {
    for (x, sum) in chunk.iter_mut().zip(sums) {
        *x = exp::<FMA>(*x - largest);
        *sum += *x;
    }
}
