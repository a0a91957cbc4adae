//! How alike two sets of vectors are whatever their widths, so that an encoder can be compared with an LLM before anything
//! connects them. Knows no pairs beside the order of rows.

use burn::prelude::*;

use super::super::objective::normalize;
use super::geometry::values;

/// Linear centred kernel alignment (Kornblith et al. 2019, arXiv 1905.00414, eq. 1) with the unbiased estimator of HSIC
/// (Song et al. 2012, eq. 5; Nguyen et al. 2021, arXiv 2010.15327, eq. 3): the usual one finds likeness in noise as soon as
/// vectors are wider than they are many. 1 for equal up to rotation and scale, about 0 for unrelated; 0 for fewer than 4 rows.
///
/// # Shapes
/// `x [N, d1]`, `y [N, d2]`
pub fn cka(x: Tensor<2>, y: Tensor<2>) -> f64 {
    let [n, _] = x.dims();
    if n < 4 {
        return 0.0;
    }
    let gram = |x: Tensor<2>| -> Vec<f64> {
        // Centred, so that what all rows have in common does not eat the digits of f32.
        let x = x.clone() - x.mean_dim(0);
        let mut gram: Vec<f64> = values(x.clone().matmul(x.transpose()))
            .into_iter()
            .map(f64::from)
            .collect();
        (0..n).for_each(|i| gram[i * n + i] = 0.0);
        gram
    };
    let (k, l) = (gram(x), gram(y));
    let scale = (hsic(&k, &k, n) * hsic(&l, &l, n)).sqrt();
    match scale > 0.0 {
        true => hsic(&k, &l, n) / scale,
        false => 0.0,
    }
}

/// Unbiased HSIC of two Gram matrices without their diagonals, up to a factor that cancels.
fn hsic(k: &[f64], l: &[f64], n: usize) -> f64 {
    let sums = |m: &[f64]| -> Vec<f64> { m.chunks(n).map(|row| row.iter().sum()).collect() };
    let (rows_k, rows_l) = (sums(k), sums(l));
    let trace: f64 = k.iter().zip(l).map(|(k, l)| k * l).sum();
    let total: f64 = rows_k.iter().sum::<f64>() * rows_l.iter().sum::<f64>();
    let cross: f64 = rows_k.iter().zip(&rows_l).map(|(k, l)| k * l).sum();
    let n = n as f64;
    trace + total / ((n - 1.0) * (n - 2.0)) - 2.0 * cross / (n - 2.0)
}

/// Share of a row's `k` nearest neighbours by cosine that it has in both sets, mean over rows (Huh et al. 2024,
/// arXiv 2405.07987, §3). Unrelated sets share about `k / (N - 1)`. Fewer neighbours where there are not enough rows.
///
/// # Shapes
/// `x [N, d1]`, `y [N, d2]`
pub fn mutual_knn(x: Tensor<2>, y: Tensor<2>, k: usize) -> f64 {
    let [n, _] = x.dims();
    let k = k.min(n.saturating_sub(1));
    if k == 0 {
        return 0.0;
    }
    let (x, y) = (neighbours(x, k), neighbours(y, k));
    let shared = x.iter().zip(&y).map(|(a, b)| {
        let common = a.iter().filter(|row| b.contains(row)).count();
        common as f64 / k as f64
    });
    shared.sum::<f64>() / n as f64
}

/// The `k` rows nearest to each row, itself left out; ties in order of rows.
fn neighbours(x: Tensor<2>, k: usize) -> Vec<Vec<usize>> {
    let [n, _] = x.dims();
    let x = normalize(x);
    let cosines = values(x.clone().matmul(x.transpose()));
    let of = |(i, row): (usize, &[f32])| {
        let mut others: Vec<usize> = (0..n).filter(|j| *j != i).collect();
        others.sort_by(|a, b| row[*b].total_cmp(&row[*a]).then(a.cmp(b)));
        others.truncate(k);
        others
    };
    cosines.chunks(n).enumerate().map(of).collect()
}
