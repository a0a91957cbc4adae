//! Contrastive objectives over a batch of pairs. They know vectors, and which pairs belong together: no record, no text.
//!
//! | module | what it holds |
//! |---|---|
//! | [`relations`] | which pairs of a batch belong together, and which are left out |
//! | [`info_nce`](mod@info_nce) | softmax over the batch, one or both directions, several right answers, extra wrong ones |
//! | [`siglip`](mod@siglip) | a sigmoid for each pair |

pub mod info_nce;
pub mod relations;
pub mod siglip;
#[cfg(test)]
mod tests;

use burn::prelude::*;

pub use info_nce::info_nce;
pub use relations::{Cell, Relations};
pub use siglip::siglip;

/// Added to a squared length before the root, so that a zero vector has a gradient.
const TINY: f64 = 1e-12;

/// What similarities are multiplied by.
#[derive(Debug, Clone)]
pub enum Scale {
    /// One over this temperature.
    Fixed(f64),
    /// A factor that is learnt, `[1]`.
    Learnt(Box<Tensor<1>>),
}

impl Scale {
    fn of(&self, similarities: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Fixed(temperature) => similarities / *temperature,
            Self::Learnt(factor) => similarities * factor.as_ref().clone().unsqueeze(),
        }
    }
}

/// Scaled cosines of a batch.
#[derive(Debug, Clone)]
pub struct Logits {
    /// Record i with text j, `[N, N]`.
    pub pairs: Tensor<2>,
    /// Record i with text g that belongs to no record, `[N, G]`.
    pub extra: Option<Tensor<2>>,
}

impl Logits {
    /// Vectors are brought to unit length here.
    ///
    /// # Shapes
    /// `bio, text [N, d]`, `negatives [G, d]`
    pub fn new(
        bio: Tensor<2>,
        text: Tensor<2>,
        negatives: Option<Tensor<2>>,
        scale: &Scale,
    ) -> Self {
        let (bio, text) = (normalize(bio), normalize(text));
        let extra =
            negatives.map(|texts| scale.of(bio.clone().matmul(normalize(texts).transpose())));
        Self {
            pairs: scale.of(bio.matmul(text.transpose())),
            extra,
        }
    }

    /// Everything a record is held against, `[N, N + G]`.
    fn columns(self) -> Tensor<2> {
        match self.extra {
            Some(extra) => Tensor::cat(vec![self.pairs, extra], 1),
            None => self.pairs,
        }
    }
}

/// `[N, d]` to unit length.
pub(super) fn normalize(x: Tensor<2>) -> Tensor<2> {
    let length = (x.clone().square().sum_dim(1) + TINY).sqrt();
    x / length
}
