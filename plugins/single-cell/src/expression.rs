//! What scGPT does to the values of one cell before it reads them: normalise, log, bin. Genes and tokens are unknown here.
//!
//! Source: Cui et al., scGPT, Nature Methods 21 (2024), 1470–1480, "Input embeddings", and the published code, whose order
//! of operations and precision are kept: normalising and the logarithm in f32, the edges of bins in f64.

/// What the values of a cell add up to after [`normalize_total`].
pub const TARGET_SUM: f32 = 1e4;

/// `x / (sum(x) / target_sum)`: cells that were sequenced deeper than others become comparable. All zeros stay zeros.
///
/// ```
/// use bioverse_single_cell::expression::{TARGET_SUM, normalize_total};
///
/// assert_eq!(normalize_total(&[1.0, 3.0], TARGET_SUM), [2500.0, 7500.0]);
/// ```
pub fn normalize_total(values: &[f32], target_sum: f32) -> Vec<f32> {
    // Whole numbers add up exactly either way; of others, f64 loses nothing on the way.
    let total = values.iter().map(|value| f64::from(*value)).sum::<f64>() as f32;
    let divisor = match total == 0.0 {
        true => 1.0,
        false => total / target_sum,
    };
    values.iter().map(|value| value / divisor).collect()
}

/// `ln(1 + x)`.
pub fn log1p(values: &[f32]) -> Vec<f32> {
    values.iter().map(|value| value.ln_1p()).collect()
}

/// The bin of every value: 0 for 0, else from 1 to `n_bins - 1`, by the quantiles of the cell's own non-zero values.
///
/// There are `n_bins - 1` edges at equally spaced quantiles, and a value's bin is the number of edges that are not above
/// it. Where several edges coincide the published code draws one of their bins at random; this is the highest of them, so
/// that one cell has one encoding. Only the order of the values matters, so counts and log-normalised counts have the same
/// bins, but for an edge that falls on a value and is rounded to its other side.
///
/// Values have to be finite and `n_bins` at least 2.
///
/// ```
/// use bioverse_single_cell::expression::bin;
///
/// // Edges at 1, 2 and 3.
/// assert_eq!(bin(&[0.0, 1.0, 1.9, 2.0, 3.0], 4), [0, 1, 1, 2, 3]);
/// ```
pub fn bin(values: &[f32], n_bins: usize) -> Vec<u32> {
    let mut sorted: Vec<f32> = values.iter().copied().filter(|v| *v != 0.0).collect();
    sorted.sort_unstable_by(f32::total_cmp);
    let edges = quantiles(&sorted, n_bins.saturating_sub(1));
    let bin = |value: &f32| match *value == 0.0 {
        true => 0,
        false => edges.partition_point(|edge| *edge <= f64::from(*value)) as u32,
    };
    values.iter().map(bin).collect()
}

/// `count` equally spaced quantiles of `sorted`, the smallest and the largest value included, interpolated linearly
/// (definition 7 of Hyndman and Fan, The American Statistician 50 (1996), 361–365).
///
/// Rounding decides on which side of an edge a value lies when both are the same number, so this rounds where numpy's
/// `quantile` of f32 values does: the difference of neighbours in f32, everything else in f64, from the nearer neighbour.
fn quantiles(sorted: &[f32], count: usize) -> Vec<f64> {
    let Some(last) = sorted.last().copied() else {
        return vec![];
    };
    let step = 1.0 / (count.max(2) - 1) as f64;
    let at = |i: usize| {
        let share = match i + 1 == count && count > 1 {
            true => 1.0,
            false => i as f64 * step,
        };
        let position = (sorted.len() - 1) as f64 * share;
        let below = position.floor();
        match sorted.get(below as usize..) {
            Some([a, b, ..]) => between(*a, *b, position - below),
            _ => f64::from(last),
        }
    };
    (0..count).map(at).collect()
}

fn between(a: f32, b: f32, share: f64) -> f64 {
    let gap = f64::from(b - a);
    match share >= 0.5 {
        true => f64::from(b) - gap * (1.0 - share),
        false => f64::from(a) + gap * share,
    }
}

#[cfg(test)]
mod tests;
