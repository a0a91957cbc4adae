//! Cosines within and between two sets of vectors, and what only needs those. Knows no pairs.

use burn::prelude::*;

use super::super::objective::normalize;

/// All cosines of N records and N texts, and the distance of their centroids.
pub(super) struct Cosines {
    n: usize,
    across: Vec<f32>,
    bio: Vec<f32>,
    text: Vec<f32>,
    gap: f64,
}

impl Cosines {
    /// # Shapes
    /// `bio, text [N, d]`
    pub fn of(bio: Tensor<2>, text: Tensor<2>) -> Self {
        let [n, _] = bio.dims();
        let (bio, text) = (normalize(bio), normalize(text));
        let apart = bio.clone().mean_dim(0) - text.clone().mean_dim(0);
        let gap = values(apart.square())
            .iter()
            .map(|x| f64::from(*x))
            .sum::<f64>();
        let times = |a: &Tensor<2>, b: &Tensor<2>| values(a.clone().matmul(b.clone().transpose()));
        Self {
            n,
            across: times(&bio, &text),
            bio: times(&bio, &bio),
            text: times(&text, &text),
            gap: gap.sqrt(),
        }
    }

    /// Pairs.
    pub fn len(&self) -> usize {
        self.n
    }

    /// Record `i` with text `j`.
    pub fn across(&self, i: usize, j: usize) -> f64 {
        f64::from(self.across[i * self.n + j])
    }

    /// Distance of the centroids of the unit vectors.
    pub fn gap(&self) -> f64 {
        self.gap
    }

    /// Uniformity of some records.
    pub fn uniformity_bio(&self, rows: &[usize]) -> f64 {
        self.uniformity(&self.bio, rows)
    }

    /// Uniformity of some texts.
    pub fn uniformity_text(&self, rows: &[usize]) -> f64 {
        self.uniformity(&self.text, rows)
    }

    /// `log E exp(-2 ‖x - y‖²)` over pairs of different rows; `‖x - y‖² = 2 - 2 cos`. Nothing is known of a single row: 0.
    fn uniformity(&self, cosines: &[f32], rows: &[usize]) -> f64 {
        let (mut sum, mut count) = (0.0, 0usize);
        for (at, i) in rows.iter().enumerate() {
            for j in &rows[at + 1..] {
                let cosine = f64::from(cosines[i * self.n + j]);
                sum += (-2.0 * (2.0 - 2.0 * cosine)).exp();
                count += 1;
            }
        }
        match count {
            0 => 0.0,
            _ => (sum / count as f64).ln(),
        }
    }
}

/// Row by row.
pub(super) fn values(x: Tensor<2>) -> Vec<f32> {
    x.into_data().iter::<f32>().collect()
}
