//! Where a cell lies among others: principal components of its most variable genes, as the common analysis of single cells takes them
//! (Stuart et al., Cell 177 (2019), 1888–1902, "vst"; a parabola stands in for the local regression of mean and variance). It knows
//! counts and columns, no gene by name.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::subspace::{dot, orient, orthonormalise};

/// Genes that the components are made of.
const VARIABLE_GENES: usize = 2000;
/// Standardised expression beyond this is cut off.
const FARTHEST: f32 = 10.0;
/// Counts of a cell add up to this before their logarithm is taken.
const TARGET_SUM: f32 = 1e4;
/// More directions than are wanted make the wanted ones exact sooner (Halko, Martinsson and Tropp 2011).
const SPARE: usize = 10;
const ROUNDS: usize = 25;

/// Counts of a cell by column; columns that are not named have none.
pub(super) type Counts = Vec<(u32, f32)>;

/// Components fitted on some cells.
#[derive(Debug, Clone)]
pub(super) struct Components {
    /// Column → its place among the variable genes.
    place: Vec<Option<u32>>,
    mean: Vec<f32>,
    scale: Vec<f32>,
    /// `[components][genes]`
    loadings: Vec<Vec<f32>>,
    /// Spread of each component over the cells it was fitted on.
    spread: Vec<f32>,
}

impl Components {
    /// Fits `count` components of cells with `columns` genes.
    pub(super) fn fit(cells: &[&Counts], columns: usize, count: usize) -> Self {
        if count == 0 {
            return Self {
                place: vec![None; columns],
                mean: vec![],
                scale: vec![],
                loadings: vec![],
                spread: vec![],
            };
        }
        let mut variable = standardised_variance(cells, columns);
        variable.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        variable.truncate(VARIABLE_GENES);
        variable.sort_by_key(|(column, _)| *column);
        let genes = variable.len();
        let mut place = vec![None; columns];
        for (at, (column, _)) in variable.iter().enumerate() {
            place[*column] = Some(at as u32);
        }
        let mut fitted = Self {
            place,
            mean: vec![0.0; genes],
            scale: vec![1.0; genes],
            loadings: vec![],
            spread: vec![1.0; count],
        };
        let mut rows: Vec<Vec<f32>> = cells.par_iter().map(|cell| fitted.raw(cell)).collect();
        fitted.standardise(&rows);
        rows.par_iter_mut().for_each(|row| fitted.scaled(row));
        fitted.loadings = principal(&rows, genes, count);
        let scores: Vec<Vec<f32>> = rows.par_iter().map(|row| fitted.project(row)).collect();
        let n = scores.len().max(1) as f32;
        fitted.spread = (0..fitted.loadings.len())
            .map(|at| {
                (scores.iter().map(|row| row[at] * row[at]).sum::<f32>() / n)
                    .sqrt()
                    .max(1e-6)
            })
            .collect();
        fitted
    }

    /// The components of a cell, each in units of its spread.
    pub(super) fn of(&self, cell: &Counts) -> Vec<f32> {
        let mut row = self.raw(cell);
        self.scaled(&mut row);
        let scores = self.project(&row);
        scores
            .iter()
            .zip(&self.spread)
            .map(|(score, spread)| score / spread)
            .collect()
    }

    /// `ln(1 + counts per ten thousand)` of the variable genes.
    fn raw(&self, cell: &Counts) -> Vec<f32> {
        let total = cell.iter().map(|(_, count)| count).sum::<f32>().max(1e-6);
        let mut row = vec![0.0; self.mean.len()];
        for (column, count) in cell {
            if let Some(place) = self.place[*column as usize] {
                row[place as usize] = (count * TARGET_SUM / total).ln_1p();
            }
        }
        row
    }

    fn standardise(&mut self, rows: &[Vec<f32>]) {
        let n = rows.len().max(1) as f32;
        for gene in 0..self.mean.len() {
            let mean = rows.iter().map(|row| row[gene]).sum::<f32>() / n;
            let variance = rows
                .iter()
                .map(|row| (row[gene] - mean).powi(2))
                .sum::<f32>()
                / n;
            self.mean[gene] = mean;
            self.scale[gene] = variance.sqrt().max(1e-3);
        }
    }

    fn scaled(&self, row: &mut [f32]) {
        for ((value, mean), scale) in row.iter_mut().zip(&self.mean).zip(&self.scale) {
            *value = ((*value - mean) / scale).clamp(-FARTHEST, FARTHEST);
        }
    }

    fn project(&self, row: &[f32]) -> Vec<f32> {
        self.loadings
            .iter()
            .map(|loading| loading.iter().zip(row).map(|(a, b)| a * b).sum())
            .collect()
    }
}

/// The variance of every gene's counts after dividing by what genes of its mean have, with counts cut off at √n spreads.
fn standardised_variance(cells: &[&Counts], columns: usize) -> Vec<(usize, f64)> {
    let n = cells.len().max(2) as f64;
    let (mut sum, mut squares) = (vec![0f64; columns], vec![0f64; columns]);
    for (column, count) in cells.iter().flat_map(|cell| cell.iter()) {
        sum[*column as usize] += f64::from(*count);
        squares[*column as usize] += f64::from(*count).powi(2);
    }
    let mean: Vec<f64> = sum.iter().map(|sum| sum / n).collect();
    let variance = |at: usize| (squares[at] - n * mean[at].powi(2)) / (n - 1.0);
    let used: Vec<usize> = (0..columns)
        .filter(|at| mean[*at] > 0.0 && variance(*at) > 0.0)
        .collect();
    let points: Vec<(f64, f64)> = used
        .iter()
        .map(|at| (mean[*at].log10(), variance(*at).log10()))
        .collect();
    let curve = parabola(&points);
    let spread: Vec<f64> = mean
        .iter()
        .map(|mean| {
            let x = mean.max(1e-12).log10();
            10f64
                .powf(curve[0] + curve[1] * x + curve[2] * x * x)
                .sqrt()
                .max(1e-12)
        })
        .collect();
    let most = n.sqrt();
    // A cell without counts of a gene contributes (0 - mean)² / spread²; the others are corrected.
    let mut total: Vec<f64> = (0..columns)
        .map(|at| n * (mean[at] / spread[at]).min(most).powi(2))
        .collect();
    for (column, count) in cells.iter().flat_map(|cell| cell.iter()) {
        let at = *column as usize;
        let own = ((f64::from(*count) - mean[at]) / spread[at])
            .clamp(-most, most)
            .powi(2);
        total[at] += own - (mean[at] / spread[at]).min(most).powi(2);
    }
    used.into_iter()
        .map(|at| (at, total[at] / (n - 1.0)))
        .collect()
}

/// Least squares `y = a + b x + c x²`.
fn parabola(points: &[(f64, f64)]) -> [f64; 3] {
    let power = |k: i32| points.iter().map(|(x, _)| x.powi(k)).sum::<f64>();
    let with = |k: i32| points.iter().map(|(x, y)| y * x.powi(k)).sum::<f64>();
    let mut rows: Vec<[f64; 4]> = (0..3)
        .map(|i| [power(i), power(i + 1), power(i + 2), with(i)])
        .collect();
    for i in 0..3 {
        // A touch of the diagonal keeps few points from dividing by zero.
        rows[i][i] += 1e-9;
        for j in 0..3 {
            if i != j {
                let factor = rows[j][i] / rows[i][i];
                let row = rows[i];
                rows[j]
                    .iter_mut()
                    .zip(row)
                    .for_each(|(a, b)| *a -= factor * b);
            }
        }
    }
    [0, 1, 2].map(|i| rows[i][3] / rows[i][i])
}

/// The first `count` right singular vectors of centred `rows`, by subspace iteration; signs so that the largest entry is above 0.
fn principal(rows: &[Vec<f32>], genes: usize, count: usize) -> Vec<Vec<f32>> {
    let width = (count + SPARE).min(genes).min(rows.len());
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    // Drawn in f32: the start stays the same whatever is reckoned with.
    let mut drawn = || f64::from(rng.random_range(-1.0f32..1.0));
    let mut basis: Vec<Vec<f64>> = (0..width)
        .map(|_| (0..genes).map(|_| drawn()).collect())
        .collect();
    orthonormalise(&mut basis);
    for _ in 0..ROUNDS {
        basis = applied(rows, &basis);
        // Longest first, so that the directions come out in order.
        basis.sort_by(|a, b| dot(b, b).total_cmp(&dot(a, a)));
        orthonormalise(&mut basis);
    }
    basis.truncate(count);
    basis.iter_mut().for_each(|loading| orient(loading));
    let rounded = |loading: &Vec<f64>| loading.iter().map(|value| *value as f32).collect();
    basis.iter().map(rounded).collect()
}

/// `rowsᵀ rows` times every vector of a basis.
fn applied(rows: &[Vec<f32>], basis: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let score = |vector: &Vec<f64>, row: &Vec<f32>| -> f64 {
        let products = vector.iter().zip(row);
        products.map(|(a, b)| a * f64::from(*b)).sum()
    };
    let image = |vector: &Vec<f64>| {
        let mut sum = vec![0.0; vector.len()];
        for row in rows {
            let score = score(vector, row);
            sum.iter_mut()
                .zip(row)
                .for_each(|(sum, value)| *sum += score * f64::from(*value));
        }
        sum
    };
    basis.par_iter().map(image).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    /// Two kinds of cells that differ in five of forty genes.
    fn cells() -> Vec<Counts> {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let cell = |i: usize, rng: &mut ChaCha8Rng| {
            let count = |gene: usize, rng: &mut ChaCha8Rng| {
                let high = gene < 5 && i.is_multiple_of(2);
                (
                    gene as u32,
                    rng.random_range(if high { 20..40 } else { 0..6 }) as f32,
                )
            };
            (0..40).map(|gene| count(gene, rng)).collect()
        };
        (0..60).map(|i| cell(i, &mut rng)).collect()
    }

    #[test]
    fn the_first_component_tells_two_kinds_of_cells_apart() {
        let cells = cells();
        let fitted = Components::fit(&cells.iter().collect::<Vec<_>>(), 40, 3);
        let first: Vec<f32> = cells.iter().map(|cell| fitted.of(cell)[0]).collect();
        let (even, odd): (Vec<_>, Vec<_>) = (0..60).partition(|i| i % 2 == 0);
        let of = |side: &[usize]| side.iter().map(|i| first[*i]).collect::<Vec<_>>();
        let low = |side: &[f32]| side.iter().copied().fold(f32::MAX, f32::min);
        let high = |side: &[f32]| side.iter().copied().fold(f32::MIN, f32::max);
        let (even, odd) = (of(&even), of(&odd));
        assert!(low(&even) > high(&odd) || low(&odd) > high(&even));
        let spread = first.iter().map(|x| x * x).sum::<f32>() / 60.0;
        assert!((spread - 1.0).abs() < 1e-3, "{spread}");
    }

    fn product(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn loadings_are_orthonormal_and_ordered() {
        let cells = cells();
        let fitted = Components::fit(&cells.iter().collect::<Vec<_>>(), 40, 4);
        for (i, a) in fitted.loadings.iter().enumerate() {
            for (j, b) in fitted.loadings.iter().enumerate() {
                let wanted = f32::from(u8::from(i == j));
                assert!((product(a, b) - wanted).abs() < 1e-4, "{i} {j}");
            }
        }
        assert!(
            fitted
                .spread
                .windows(2)
                .all(|pair| pair[0] >= pair[1] * 0.999)
        );
    }

    #[test]
    fn a_parabola_goes_through_three_points() {
        let curve = parabola(&[(0.0, 1.0), (1.0, 6.0), (2.0, 17.0)]);
        for (found, wanted) in curve.iter().zip([1.0, 2.0, 3.0]) {
            assert!((found - wanted).abs() < 1e-6, "{curve:?}");
        }
    }
}
