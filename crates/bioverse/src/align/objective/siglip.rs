//! The sigmoid loss of SigLIP (Zhai et al. 2023, algorithm 1): every record with every text, judged alone.

use burn::prelude::*;
use burn::tensor::activation::log_sigmoid;

use super::{Cell, Logits, Relations};

/// Where the bias of SigLIP starts: nearly all pairs of a batch are wrong, and so they begin (Zhai et al. 2023, § 3.2).
pub const BIAS: f64 = -10.0;

/// What is added to every logit.
#[derive(Debug, Clone)]
pub enum Bias {
    /// This number.
    Fixed(f64),
    /// `[1]`
    Learnt(Box<Tensor<1>>),
}

/// `-1/N Σ_ij log σ(z_ij (s_ij + b))`, z = 1 for right answers and -1 for wrong ones; what is left out is not summed.
/// Texts that belong to no record are wrong answers of all.
pub fn siglip(logits: Logits, bias: &Bias, relations: &Relations) -> Tensor<1> {
    let columns = logits.columns();
    let ([n, width], device) = (columns.dims(), columns.device());
    let columns = match bias {
        Bias::Fixed(bias) => columns + *bias,
        Bias::Learnt(bias) => columns + bias.as_ref().clone().unsqueeze(),
    };
    let matrix =
        |value: fn(Cell) -> f32| Tensor::<2>::from_data(relations.matrix(width, value), &device);
    let sign = matrix(|cell| match cell {
        Cell::Positive => 1.0,
        Cell::Negative => -1.0,
        Cell::LeftOut => 0.0,
    });
    let judged = log_sigmoid(columns * sign);
    let judged = match relations.left_out() {
        0 => judged,
        _ => judged * matrix(|cell| f32::from(u8::from(cell != Cell::LeftOut))),
    };
    judged.sum().neg() / n as f64
}
