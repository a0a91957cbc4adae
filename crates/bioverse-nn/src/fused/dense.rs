//! Weights of a linear layer as the products read them best: panels of some columns, each in one piece, times a few rows at a
//! time. Such a product needs no packing of the weights in `gemm`, and a panel stays in a core's cache for all rows of a tile.

use super::product::{Rows, RowsMut, add_product, product};

/// Columns of a panel: whole registers and whole kernels on every machine.
const COLUMNS: usize = 192;

/// Rows of one product: the same, and few enough for `gemm` to read the weights where they are.
const ROWS: usize = 24;

/// `x W + b`.
#[derive(Debug)]
pub(crate) struct Dense {
    panels: Vec<Panel>,
    /// `[d_out]`; zeros where the layer has none.
    bias: Vec<f32>,
    d_in: usize,
}

/// Some columns of a weight matrix.
#[derive(Debug)]
struct Panel {
    first: usize,
    width: usize,
    /// `[d_in, width]`.
    weight: Vec<f32>,
}

impl Dense {
    /// `weight [d_in, d_out]`, `bias [d_out]`.
    pub(crate) fn new(weight: &[f32], bias: Vec<f32>) -> Self {
        let panel = |first: usize| {
            let width = COLUMNS.min(bias.len() - first);
            let own = |row: &[f32]| row[first..first + width].to_vec();
            Panel {
                first,
                width,
                weight: weight.chunks_exact(bias.len()).flat_map(own).collect(),
            }
        };
        Self {
            panels: (0..bias.len()).step_by(COLUMNS).map(panel).collect(),
            d_in: weight.len() / bias.len(),
            bias,
        }
    }

    /// Layers that read the same rows, as one: their outputs side by side.
    pub(crate) fn beside([mut all, second, third]: [Dense; 3]) -> Self {
        for mut next in [second, third] {
            for mut panel in next.panels {
                panel.first += all.bias.len();
                all.panels.push(panel);
            }
            all.bias.append(&mut next.bias);
        }
        all
    }

    pub(super) fn d_out(&self) -> usize {
        self.bias.len()
    }

    pub(super) fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// `out = rows · W`, for the caller to add the bias; `[m, d_in] → [m, d_out]`.
    pub(super) fn multiply(&self, rows: &[f32], out: &mut [f32]) {
        self.each(rows, out, product);
    }

    /// `out += rows · W + b`, `[m, d_in] → [m, d_out]`.
    pub(super) fn add(&self, rows: &[f32], out: &mut [f32]) {
        for row in out.chunks_exact_mut(self.d_out()) {
            for (value, bias) in row.iter_mut().zip(&self.bias) {
                *value += bias;
            }
        }
        self.each(rows, out, add_product);
    }

    fn each(&self, rows: &[f32], out: &mut [f32], multiply: fn(RowsMut, Rows, Rows)) {
        let (d_in, d_out) = (self.d_in, self.d_out());
        let all = rows.len() / d_in;
        for panel in &self.panels {
            let mut start = 0;
            while start < all {
                // A single row would be summed in another order than several.
                let left = all - start;
                let count = left.min(ROWS + usize::from(left == ROWS + 1));
                let target = &mut out[start * d_out + panel.first..];
                multiply(
                    RowsMut::new(target, [count, panel.width], d_out),
                    Rows::new(&rows[start * d_in..], [count, d_in], d_in),
                    Rows::dense(&panel.weight, panel.width),
                );
                start += count;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole numbers, whose sums are exact in any order.
    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        let number = |i: usize| ((i * 31 + seed) * (i + 7) % 11) as f32 - 5.0;
        (0..count).map(number).collect()
    }

    #[test]
    fn panels_and_blocks_of_rows_make_up_the_whole() {
        for (rows, d_in, d_out) in [(1, 3, 5), (2, 64, 192), (25, 10, 200), (51, 7, 400)] {
            let (x, weight) = (numbers(rows * d_in, 1), numbers(d_in * d_out, 2));
            let bias = numbers(d_out, 3);
            let layer = || Dense::new(&weight, bias.clone());
            let mut got = vec![1.0; rows * d_out];
            layer().add(&x, &mut got);
            let mut beside = vec![0.0; rows * 3 * d_out];
            Dense::beside([layer(), layer(), layer()]).multiply(&x, &mut beside);
            for (i, got) in got.iter().enumerate() {
                let (row, column) = (i / d_out, i % d_out);
                let term = |k: usize| x[row * d_in + k] * weight[k * d_out + column];
                let want: f32 = (0..d_in).map(term).sum();
                assert_eq!(*got, want + bias[column] + 1.0);
                for n in 0..3 {
                    assert_eq!(beside[row * 3 * d_out + n * d_out + column], want);
                }
            }
        }
    }
}
