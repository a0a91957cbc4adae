//! Principal components of sparse rows, fitted on some rows and applied to others. Rows are centred in thought only, so
//! zeros are never stored. It knows neither what the features are nor what is predicted.

use rayon::prelude::*;

use super::linear::Matrix;
use crate::{
    subspace::{diagonalise, orient, orthonormalise},
    train::seed::mix,
};

/// Directions that are iterated beside the wanted ones; with them a few rounds suffice (Halko, Martinsson and Tropp 2011).
const BESIDE: usize = 10;
/// Rounds of iteration.
const ROUNDS: usize = 7;
/// Rows that one thread sums. Fixed, so that sums do not depend on the number of threads.
const CHUNK: usize = 256;

/// A row: columns in ascending order and their values.
pub type Sparse = Vec<(usize, f32)>;

/// A fitted projection.
#[derive(Debug, Clone)]
pub struct Components {
    /// Mean · axis, of each axis.
    offsets: Vec<f64>,
    /// Columns × axes.
    axes: Vec<f64>,
    count: usize,
    /// Variance along each axis, with n − 1 in the denominator.
    pub variances: Vec<f64>,
}

impl Components {
    /// The first `count` components of rows with `columns` features, by subspace iteration from a fixed start; fewer where
    /// rows or columns are fewer. The sign of an axis makes its largest weight positive.
    pub fn fit(rows: &[Sparse], columns: usize, count: usize) -> Self {
        let count = count.min(columns).min(rows.len().saturating_sub(1));
        let width = (count + BESIDE).min(columns);
        let mean = mean(rows, columns);
        let start: Vec<f64> = (0..columns * width)
            .map(|at| (mix(7, at as u64) >> 11) as f64 / (1u64 << 53) as f64 - 0.5)
            .collect();
        let mut axes = orthonormal(&start, width);
        for _ in 0..ROUNDS {
            let scores = project(rows, &axes, &offsets(&mean, &axes, width), width);
            axes = orthonormal(&gather(rows, &scores, &mean, width), width);
        }
        let scores = project(rows, &axes, &offsets(&mean, &axes, width), width);
        let (values, turns) = eigen(&scores, width);
        let turned = |turn: &Vec<f64>| -> Vec<f64> {
            let mut axis: Vec<f64> = axes
                .chunks(width)
                .map(|row| row.iter().zip(turn).map(|(a, b)| a * b).sum())
                .collect();
            orient(&mut axis);
            axis
        };
        let kept = interleaved(&turns.iter().take(count).map(turned).collect::<Vec<_>>());
        let n = rows.len().saturating_sub(1).max(1) as f64;
        Self {
            offsets: offsets(&mean, &kept, count),
            axes: kept,
            count,
            variances: values[..count].iter().map(|value| value / n).collect(),
        }
    }

    /// Rows along the components.
    ///
    /// # Shapes
    /// n rows → `[n, count]`
    pub fn apply(&self, rows: &[Sparse]) -> Matrix {
        let scores = project(rows, &self.axes, &self.offsets, self.count);
        Matrix {
            rows: rows.len(),
            cols: self.count,
            data: scores.into_iter().map(|x| x as f32).collect(),
        }
    }
}

fn mean(rows: &[Sparse], columns: usize) -> Vec<f64> {
    let mut mean = vec![0.0; columns];
    for (column, value) in rows.iter().flatten() {
        mean[*column] += f64::from(*value);
    }
    let n = rows.len().max(1) as f64;
    mean.iter_mut().for_each(|sum| *sum /= n);
    mean
}

fn offsets(mean: &[f64], axes: &[f64], width: usize) -> Vec<f64> {
    let mut offsets = vec![0.0; width];
    for (mean, row) in mean.iter().zip(axes.chunks(width.max(1))) {
        offsets
            .iter_mut()
            .zip(row)
            .for_each(|(o, axis)| *o += mean * axis);
    }
    offsets
}

/// `(X − mean) axes`, row by row.
fn project(rows: &[Sparse], axes: &[f64], offsets: &[f64], width: usize) -> Vec<f64> {
    let one = |row: &Sparse| {
        let mut scores: Vec<f64> = offsets.iter().map(|offset| -offset).collect();
        for (column, value) in row {
            let axis = &axes[column * width..(column + 1) * width];
            let value = f64::from(*value);
            scores
                .iter_mut()
                .zip(axis)
                .for_each(|(s, a)| *s += value * a);
        }
        scores
    };
    rows.par_iter().flat_map_iter(one).collect()
}

/// `(X − mean)ᵀ scores`.
fn gather(rows: &[Sparse], scores: &[f64], mean: &[f64], width: usize) -> Vec<f64> {
    let chunks: Vec<(&[Sparse], &[f64])> = rows
        .chunks(CHUNK)
        .zip(scores.chunks(CHUNK * width.max(1)))
        .collect();
    let part = |(rows, scores): &(&[Sparse], &[f64])| {
        let mut sum = vec![0.0; mean.len() * width];
        for (row, score) in rows.iter().zip(scores.chunks(width.max(1))) {
            for (column, value) in row {
                let value = f64::from(*value);
                let out = &mut sum[column * width..(column + 1) * width];
                out.iter_mut().zip(score).for_each(|(o, s)| *o += value * s);
            }
        }
        sum
    };
    let mut total = vec![0.0; mean.len() * width];
    // A few at a time: every part is as large as all axes.
    for group in chunks.chunks(4) {
        let parts: Vec<Vec<f64>> = group.par_iter().map(part).collect();
        for part in parts {
            total.iter_mut().zip(part).for_each(|(t, p)| *t += p);
        }
    }
    let mut sums = vec![0.0; width];
    for score in scores.chunks(width.max(1)) {
        sums.iter_mut().zip(score).for_each(|(sum, s)| *sum += s);
    }
    for (out, mean) in total.chunks_mut(width.max(1)).zip(mean) {
        out.iter_mut()
            .zip(&sums)
            .for_each(|(o, sum)| *o -= mean * sum);
    }
    total
}

/// The same axes, orthonormal.
fn orthonormal(axes: &[f64], width: usize) -> Vec<f64> {
    let mut columns = columns_of(axes, width);
    orthonormalise(&mut columns);
    interleaved(&columns)
}

/// Axes one by one, as they are stored a row at a time.
fn columns_of(axes: &[f64], width: usize) -> Vec<Vec<f64>> {
    let column = |k: usize| axes.iter().skip(k).step_by(width).copied().collect();
    (0..width).map(column).collect()
}

/// The reverse of [`columns_of`].
fn interleaved(columns: &[Vec<f64>]) -> Vec<f64> {
    let rows = columns.first().map_or(0, Vec::len);
    let row = |i: usize| columns.iter().map(move |column| column[i]);
    (0..rows).flat_map(row).collect()
}

/// Eigenvalues of `scoresᵀ scores`, the largest first, and their vectors.
fn eigen(scores: &[f64], width: usize) -> (Vec<f64>, Vec<Vec<f64>>) {
    let mut gram = vec![vec![0.0; width]; width];
    for row in scores.chunks(width.max(1)) {
        for (i, out) in gram.iter_mut().enumerate() {
            out.iter_mut().zip(row).for_each(|(o, x)| *o += row[i] * x);
        }
    }
    let unit = |i: usize| (0..width).map(|j| f64::from(u8::from(i == j))).collect();
    let mut vectors: Vec<Vec<f64>> = (0..width).map(unit).collect();
    diagonalise(&mut gram, &mut vectors);
    let mut order: Vec<usize> = (0..width).collect();
    order.sort_by(|a, b| gram[*b][*b].total_cmp(&gram[*a][*a]));
    let values = order.iter().map(|i| gram[*i][*i]).collect();
    (values, order.iter().map(|i| vectors[*i].clone()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Twelve rows of six columns, half of them zeros.
    fn rows() -> Vec<Sparse> {
        let value = |i: usize, j: usize| ((i * 7 + j * 3 + i * j) % 11) as f32;
        let row = |i: usize| {
            let cells = (0..6)
                .filter(|j| (i + j).is_multiple_of(2))
                .map(|j| (j, value(i, j)));
            cells.collect()
        };
        (0..12).map(row).collect()
    }

    /// `PCA(3, svd_solver="full").fit(x)` of scikit-learn 1.9.1 on the same rows: `explained_variance_`, and the first two
    /// rows of `transform(x)` with axes turned so that the largest weight is positive.
    #[test]
    fn components_are_those_of_scikit_learn() {
        let components = Components::fit(&rows(), 6, 3);
        let expected = [36.364_645_11, 10.116_978_76, 6.441_392_46];
        for (got, expected) in components.variances.iter().zip(expected) {
            assert!((got - expected).abs() < 1e-6, "{:?}", components.variances);
        }
        let scores = components.apply(&rows());
        for (got, expected) in scores.data.iter().zip([
            4.249_757, -0.004_835, -1.787_295, -4.479_364, -5.953_574, -0.380_225,
        ]) {
            assert!((got - expected).abs() < 1e-4, "{:?}", &scores.data[..6]);
        }
    }

    #[test]
    fn few_rows_have_few_components() {
        let components = Components::fit(&rows()[..3], 6, 50);
        assert_eq!(components.apply(&rows()).cols, 2);
        assert_eq!(Components::fit(&[], 6, 50).apply(&[]).rows, 0);
    }
}
