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
        let largest = largest(row);
        let mut lanes = [0.0f32; LANES];
        let mut chunks = row.chunks_exact_mut(LANES);
        for chunk in &mut chunks {
            for (x, lane) in chunk.iter_mut().zip(&mut lanes) {
                *x = exp::<FMA>(*x - largest);
                *lane += *x;
            }
        }
        let mut rest = 0.0;
        for x in chunks.into_remainder() {
            *x = exp::<FMA>(*x - largest);
            rest += *x;
        }
        *inverse = 1.0 / (lanes.iter().sum::<f32>() + rest);
    }
}

#[inline(always)]
fn largest(row: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest = chunks.remainder().iter().copied();
    let rest = rest.fold(f32::NEG_INFINITY, f32::max);
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane = if *x > *lane { *x } else { *lane };
        }
    }
    lanes.iter().copied().fold(rest, f32::max)
}
