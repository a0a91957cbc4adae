//! Ridge regression in closed form on dense matrices, through a blocked Cholesky factorisation whose work is matrix
//! products. It knows neither what the features are nor what is predicted.

use burn::{prelude::*, tensor::TensorData};
use rayon::prelude::*;

/// Side of the diagonal blocks that are factorised by hand.
const BLOCK: usize = 128;
/// Rows that are multiplied at a time when the feature side is the smaller one.
const CHUNK: usize = 2048;

/// A dense row-major matrix on the CPU.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// Values, row by row.
    pub data: Vec<f32>,
}

impl Matrix {
    /// All zero.
    pub fn zeros(rows: usize, cols: usize) -> Self {
        Self {
            rows,
            cols,
            data: vec![0.0; rows * cols],
        }
    }

    /// The values of a tensor.
    ///
    /// # Shapes
    /// `[rows, cols]`
    pub fn from_tensor(tensor: Tensor<2>) -> Self {
        let [rows, cols] = tensor.dims();
        let data = tensor.into_data().convert::<f32>();
        let data = data.try_to_vec().unwrap_or_else(|_| vec![0.0; rows * cols]);
        Self { rows, cols, data }
    }

    /// One row.
    pub fn row(&self, i: usize) -> &[f32] {
        &self.data[i * self.cols..(i + 1) * self.cols]
    }

    /// Rows scaled to length one; a row of zeros stays.
    pub fn normalized(mut self) -> Self {
        if self.cols == 0 {
            return self;
        }
        self.data.par_chunks_mut(self.cols).for_each(|row| {
            let norm = row
                .iter()
                .map(|x| f64::from(*x) * f64::from(*x))
                .sum::<f64>()
                .sqrt();
            if norm > 0.0 {
                row.iter_mut()
                    .for_each(|x| *x = (f64::from(*x) / norm) as f32);
            }
        });
        self
    }

    /// Every row of `self` times every row of `other`: `[rows, other.rows]`.
    pub fn times_transposed(&self, other: &Self) -> Self {
        if self.data.is_empty() || other.data.is_empty() {
            return Self::zeros(self.rows, other.rows);
        }
        Self::from_tensor(self.tensor().matmul(other.tensor().transpose()))
    }

    /// The other way round.
    pub fn transposed(&self) -> Self {
        let mut out = Self::zeros(self.cols, self.rows);
        for i in 0..self.rows {
            for (j, value) in self.row(i).iter().enumerate() {
                out.data[j * self.rows + i] = *value;
            }
        }
        out
    }

    /// The rows at `indices`.
    pub fn select(&self, indices: &[usize]) -> Self {
        let data = indices.iter().flat_map(|i| self.row(*i).iter().copied());
        Self {
            rows: indices.len(),
            cols: self.cols,
            data: data.collect(),
        }
    }

    /// As a tensor on a device.
    ///
    /// # Shapes
    /// `[rows, cols]`
    pub fn into_tensor(self, device: &Device) -> Tensor<2> {
        Tensor::from_data(TensorData::new(self.data, [self.rows, self.cols]), device)
    }

    fn tensor(&self) -> Tensor<2> {
        let data = TensorData::new(self.data.clone(), [self.rows, self.cols]);
        Tensor::from_data(data, &Device::flex())
    }
}

/// `argmin ‖X W - Y‖² + λ‖W‖²` for one or several λ, sharing the Gram matrix between them. Solved on the smaller side:
/// over rows (the dual form) when there are fewer rows than features.
pub struct Ridge {
    x: Tensor<2>,
    gram: Tensor<2>,
    dual: bool,
}

impl Ridge {
    /// # Shapes
    /// `x [n, d]`
    pub fn new(x: &Matrix) -> Self {
        let dual = x.rows <= x.cols;
        let x = x.tensor();
        let gram = if dual {
            x.clone().matmul(x.clone().transpose())
        } else {
            gram_of_columns(&x)
        };
        Self { x, gram, dual }
    }

    /// Predictions for `queries` of the model with `targets` and `lambda`; `None` when `lambda` is too small for the
    /// arithmetic.
    ///
    /// # Shapes
    /// `targets [n, m]`, `queries [q, d]` → `[q, m]`
    pub fn predict(&self, targets: &Matrix, lambda: f32, queries: &Matrix) -> Option<Matrix> {
        let factor = cholesky(&self.gram, lambda)?;
        let (y, q) = (targets.tensor(), queries.tensor());
        let predicted = if self.dual {
            let alpha = solve(&factor, y);
            q.matmul(self.x.clone().transpose()).matmul(alpha)
        } else {
            q.matmul(solve(&factor, self.x.clone().transpose().matmul(y)))
        };
        Some(Matrix::from_tensor(predicted))
    }
}

/// Ridge regression in the space of a kernel: `cross (gram + λ I)⁻¹ targets`; `None` when `lambda` is too small for the
/// arithmetic.
///
/// # Shapes
/// `gram [n, n]` between the rows learnt from, `targets [n, m]`, `cross [q, n]` from the queries to them → `[q, m]`
pub fn kernel_ridge(
    gram: &Matrix,
    targets: &Matrix,
    lambda: f32,
    cross: &Matrix,
) -> Option<Matrix> {
    let factor = cholesky(&gram.tensor(), lambda)?;
    let weights = solve(&factor, targets.tensor());
    Some(Matrix::from_tensor(cross.tensor().matmul(weights)))
}

/// `XᵀX` by chunks of rows, so that no transposed copy of all of X is made.
fn gram_of_columns(x: &Tensor<2>) -> Tensor<2> {
    let [n, d] = x.dims();
    let zero = Tensor::zeros([d, d], &x.device());
    (0..n).step_by(CHUNK).fold(zero, |gram, start| {
        let rows = x.clone().narrow(0, start, CHUNK.min(n - start));
        gram + rows.clone().transpose().matmul(rows)
    })
}

/// The lower factor by columns of blocks: for block j the part of L below (and on) its diagonal, `[n - start, width]`,
/// and the inverse of its diagonal block.
struct Factor {
    panels: Vec<Panel>,
}

struct Panel {
    start: usize,
    width: usize,
    /// `[n - start - width, width]`; `None` for the last.
    below: Option<Tensor<2>>,
    /// Inverse of the diagonal block of L, `[width, width]`.
    inverse: Tensor<2>,
}

/// Right-looking blocked Cholesky of `gram + λ I`; `None` when it is not positive definite in f32.
fn cholesky(gram: &Tensor<2>, lambda: f32) -> Option<Factor> {
    let [n, _] = gram.dims();
    let device = gram.device();
    let mut rest = gram.clone() + Tensor::<2>::eye(n, &device) * lambda;
    let mut panels = vec![];
    for start in (0..n).step_by(BLOCK) {
        let (width, left) = (BLOCK.min(n - start), n - start);
        let diagonal = rest.clone().slice([0..width, 0..width]);
        let inverse = inverse_of_factor(Matrix::from_tensor(diagonal))?.tensor();
        let below = (left > width).then(|| {
            let panel = rest.clone().slice([width..left, 0..width]);
            panel.matmul(inverse.clone().transpose())
        });
        if let Some(below) = &below {
            let trailing = rest.slice([width..left, width..left]);
            rest = trailing - below.clone().matmul(below.clone().transpose());
        } else {
            rest = Tensor::zeros([1, 1], &device);
        }
        panels.push(Panel {
            start,
            width,
            below,
            inverse,
        });
    }
    Some(Factor { panels })
}

/// Factorises a small block by hand (in f64) and inverts its lower factor.
fn inverse_of_factor(block: Matrix) -> Option<Matrix> {
    let n = block.rows;
    let mut l: Vec<f64> = block.data.iter().map(|x| f64::from(*x)).collect();
    for j in 0..n {
        for i in j..n {
            let dot: f64 = (0..j).map(|k| l[i * n + k] * l[j * n + k]).sum();
            let value = l[i * n + j] - dot;
            if i == j {
                if value.is_nan() || value <= 0.0 {
                    return None;
                }
                l[j * n + j] = value.sqrt();
            } else {
                l[i * n + j] = value / l[j * n + j];
            }
        }
    }
    let mut inverse = vec![0.0f64; n * n];
    for j in 0..n {
        inverse[j * n + j] = 1.0 / l[j * n + j];
        for i in j + 1..n {
            let dot: f64 = (j..i).map(|k| l[i * n + k] * inverse[k * n + j]).sum();
            inverse[i * n + j] = -dot / l[i * n + i];
        }
    }
    let data = inverse.into_iter().map(|x| x as f32).collect();
    Some(Matrix {
        rows: n,
        cols: n,
        data,
    })
}

/// `(L Lᵀ)⁻¹ b`, `[n, m] → [n, m]`.
fn solve(factor: &Factor, b: Tensor<2>) -> Tensor<2> {
    let [n, _] = b.dims();
    // Forward: after block j, what is below it loses that block's share.
    let mut rest = b;
    let mut forward = vec![];
    for panel in &factor.panels {
        let left = n - panel.start;
        let head = panel
            .inverse
            .clone()
            .matmul(rest.clone().narrow(0, 0, panel.width));
        if let Some(below) = &panel.below {
            rest = rest.narrow(0, panel.width, left - panel.width)
                - below.clone().matmul(head.clone());
        }
        forward.push(head);
    }
    // Backward: x_j = L_jj⁻ᵀ (z_j - belowᵀ x_after).
    let mut solved: Option<Tensor<2>> = None;
    for (panel, head) in factor.panels.iter().zip(forward).rev() {
        let head = match (&panel.below, &solved) {
            (Some(below), Some(after)) => head - below.clone().transpose().matmul(after.clone()),
            _ => head,
        };
        let block = panel.inverse.clone().transpose().matmul(head);
        solved = Some(match solved {
            Some(after) => Tensor::cat(vec![block, after], 0),
            None => block,
        });
    }
    solved.unwrap_or_else(|| Tensor::zeros([0, 0], &Device::flex()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use rand::{Rng, SeedableRng};

    fn random(rows: usize, cols: usize, seed: u64) -> Matrix {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let data = (0..rows * cols).map(|_| rng.random_range(-1.0..1.0));
        Matrix {
            rows,
            cols,
            data: data.collect(),
        }
    }

    #[test]
    fn one_feature_by_hand() {
        // X = [1, 2], Y = [2, 4], λ = 5: w = 10 / (5 + 5) = 1, so 3 predicts 3.
        let x = Matrix {
            rows: 2,
            cols: 1,
            data: vec![1.0, 2.0],
        };
        let y = Matrix {
            rows: 2,
            cols: 1,
            data: vec![2.0, 4.0],
        };
        let q = Matrix {
            rows: 1,
            cols: 1,
            data: vec![3.0],
        };
        let got = Ridge::new(&x).predict(&y, 5.0, &q).unwrap();
        assert!((got.data[0] - 3.0).abs() < 1e-5, "{got:?}");
    }

    /// The optimum has a zero gradient: Xᵀ(XW - Y) + λW = 0. Checked through predictions at the identity, which are W.
    fn check(n: usize, d: usize) {
        let (x, y) = (random(n, d, 1), random(n, 3, 2));
        let mut identity = Matrix::zeros(d, d);
        for i in 0..d {
            identity.data[i * d + i] = 1.0;
        }
        let ridge = Ridge::new(&x);
        let w = ridge.predict(&y, 0.5, &identity).unwrap().tensor();
        let residual = x.tensor().matmul(w.clone()) - y.tensor();
        let gradient = x.tensor().transpose().matmul(residual) + w * 0.5;
        let worst = gradient.abs().max().into_scalar::<f32>();
        assert!(worst < 2e-3, "n {n}, d {d}: {worst}");
    }

    #[test]
    fn the_gradient_vanishes_in_both_forms_and_across_blocks() {
        check(40, 300);
        check(300, 40);
        check(150, 400);
    }

    /// With the kernel of dot products it is ridge regression.
    #[test]
    fn the_linear_kernel_gives_ridge_regression() {
        let (x, y, q) = (random(30, 50, 3), random(30, 2, 4), random(5, 50, 5));
        let wanted = Ridge::new(&x).predict(&y, 0.7, &q).unwrap();
        let (gram, cross) = (x.times_transposed(&x), q.times_transposed(&x));
        let got = kernel_ridge(&gram, &y, 0.7, &cross).unwrap();
        for (a, b) in got.data.iter().zip(&wanted.data) {
            assert!((a - b).abs() < 1e-4, "{a} {b}");
        }
    }

    #[test]
    fn a_matrix_that_is_not_definite_is_refused() {
        let minus = Matrix {
            rows: 1,
            cols: 1,
            data: vec![-2.0],
        };
        assert!(cholesky(&minus.tensor(), 1.0).is_none());
    }

    #[test]
    fn rows_become_unit_vectors() {
        let m = Matrix {
            rows: 2,
            cols: 2,
            data: vec![3.0, 4.0, 0.0, 0.0],
        };
        assert_eq!(m.normalized().data, [0.6, 0.8, 0.0, 0.0]);
    }
}
