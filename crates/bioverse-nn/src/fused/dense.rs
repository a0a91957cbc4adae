//! Weights of a linear layer as the products read them.

use super::product::{Rows, RowsMut, add_product, product};

/// `x W + b`.
#[derive(Debug)]
pub(crate) struct Dense {
    /// `[d_in, d_out]`.
    weight: Vec<f32>,
    /// `[d_out]`; zeros where the layer has none.
    bias: Vec<f32>,
}

impl Dense {
    /// `weight [d_in, d_out]`, `bias [d_out]`.
    pub(crate) fn new(weight: Vec<f32>, bias: Vec<f32>) -> Self {
        Self { weight, bias }
    }

    /// Layers that read the same rows, as one: their outputs side by side.
    pub(crate) fn beside(layers: [Dense; 3]) -> Self {
        let d_in = layers[0].weight.len() / layers[0].bias.len();
        let rows = |i: usize| {
            let row = move |layer: &Dense| {
                let width = layer.bias.len();
                layer.weight[i * width..][..width].to_vec()
            };
            layers.iter().flat_map(row)
        };
        Self {
            weight: (0..d_in).flat_map(rows).collect(),
            bias: layers.iter().flat_map(|l| l.bias.clone()).collect(),
        }
    }

    pub(super) fn d_out(&self) -> usize {
        self.bias.len()
    }

    pub(super) fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// `out = rows · W`, for the caller to add the bias; `[m, d_in] → [m, d_out]`.
    pub(super) fn multiply(&self, rows: &[f32], out: &mut [f32]) {
        let out = RowsMut::dense(out, self.d_out());
        product(
            out,
            self.rows(rows),
            Rows::dense(&self.weight, self.d_out()),
        );
    }

    /// `out += rows · W + b`, `[m, d_in] → [m, d_out]`.
    pub(super) fn add(&self, rows: &[f32], out: &mut [f32]) {
        for row in out.chunks_exact_mut(self.d_out()) {
            for (value, bias) in row.iter_mut().zip(&self.bias) {
                *value += bias;
            }
        }
        let out = RowsMut::dense(out, self.d_out());
        add_product(
            out,
            self.rows(rows),
            Rows::dense(&self.weight, self.d_out()),
        );
    }

    fn rows<'a>(&self, rows: &'a [f32]) -> Rows<'a> {
        Rows::dense(rows, self.weight.len() / self.bias.len())
    }
}
