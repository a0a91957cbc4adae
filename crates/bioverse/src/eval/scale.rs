//! Columns in units of the rows they were learnt from, as heads on states of encoders need them. It knows neither what the
//! columns are nor what is learnt.

use super::linear::Matrix;

/// Mean and standard deviation of every column (`StandardScaler`).
pub struct Scale {
    means: Vec<f64>,
    /// 1 for a column that does not vary.
    spreads: Vec<f64>,
}

impl Scale {
    /// Of some rows; a column that does not vary there is only moved, for dividing by next to nothing would let it outweigh
    /// all others in rows where it does.
    pub fn fit(x: &Matrix) -> Self {
        let mean_of = |value: &dyn Fn(usize, f64) -> f64| -> Vec<f64> {
            let mut sums = vec![0.0; x.cols];
            for row in x.data.chunks(x.cols.max(1)) {
                let row = row.iter().map(|x| f64::from(*x)).enumerate();
                let values = sums.iter_mut().zip(row);
                values.for_each(|(sum, (column, x))| *sum += value(column, x));
            }
            let n = x.rows.max(1) as f64;
            sums.into_iter().map(|sum| sum / n).collect()
        };
        let means = mean_of(&|_, x| x);
        let variances = mean_of(&|column, x| (x - means[column]).powi(2));
        let spread = |(variance, mean): (f64, &f64)| {
            let spread = variance.sqrt();
            // What is left of a constant after rounding is no variation.
            let varies = spread > 1e-6 * mean.abs().max(1e-6);
            if varies { spread } else { 1.0 }
        };
        Self {
            spreads: variances.into_iter().zip(&means).map(spread).collect(),
            means,
        }
    }

    /// Other rows in the same units: mean zero and variance one in the rows it was fitted to.
    pub fn apply(&self, x: &Matrix) -> Matrix {
        self.map(x, |value, mean, spread| (value - mean) / spread)
    }

    /// Other rows with the mean taken away and nothing else: how much a column varies still counts.
    pub fn centre(&self, x: &Matrix) -> Matrix {
        self.map(x, |value, mean, _| value - mean)
    }

    fn map(&self, x: &Matrix, to: impl Fn(f64, f64, f64) -> f64) -> Matrix {
        let mut x = x.clone();
        for row in x.data.chunks_mut(self.means.len().max(1)) {
            let columns = self.means.iter().zip(&self.spreads);
            for (value, (mean, spread)) in row.iter_mut().zip(columns) {
                *value = to(f64::from(*value), *mean, *spread) as f32;
            }
        }
        x
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(data: [f32; 4]) -> Matrix {
        Matrix {
            rows: 2,
            cols: 2,
            data: data.to_vec(),
        }
    }

    #[test]
    fn columns_are_scaled_by_the_rows_that_are_learnt_from() {
        let known = matrix([1.0, 5.0, 3.0, 5.0]);
        let asked = matrix([3.0, 5.0, 100.0, 6.0]);
        let scale = Scale::fit(&known);
        assert_eq!(scale.apply(&known).data, [-1.0, 0.0, 1.0, 0.0]);
        assert_eq!(scale.apply(&asked).data, [1.0, 0.0, 98.0, 1.0]);
        let scale = Scale::fit(&matrix([1.0, 0.0, 5.0, 4.0]));
        assert_eq!(scale.apply(&asked).data, [0.0, 1.5, 48.5, 2.0]);
        assert_eq!(scale.centre(&asked).data, [0.0, 3.0, 97.0, 4.0]);
    }
}
