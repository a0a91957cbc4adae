//! Gradients of a large contrastive batch in the memory of a small one (Gao et al. 2021, "Scaling Deep Contrastive Learning
//! Batch Size under Memory Limited Setup", § 3.2). Knows neither records nor objectives.
//!
//! 1. Vectors of all chunks are computed, and each chunk's graph is forgotten.
//! 2. The loss goes back to the vectors, and to what it has parameters of its own for.
//! 3. Each chunk is computed again and goes back from the gradients of its vectors.
//!
//! The sum is the gradient of the whole batch. What is random must be drawn alike in 1 and 3, which is for the caller's
//! `vectors` to see to.

use burn::module::Module;
use burn::prelude::*;

use crate::error::Result;
use crate::train::{Accumulator, MicroBatch, gradients};

/// The micro-batch whose vectors come in chunks of these sizes; `vectors(i)` are those of the i-th, `loss` is that of all.
///
/// # Shapes
/// `vectors(i) [chunks[i], d]`, `loss([Σ chunks, d]) → [1]`
pub fn micro_batch<M: Module>(
    module: &M,
    chunks: &[usize],
    scale: f64,
    vectors: impl Fn(usize) -> Result<Tensor<2>>,
    loss: impl FnOnce(Tensor<2>) -> Tensor<1>,
) -> Result<MicroBatch> {
    let mut held = Vec::with_capacity(chunks.len());
    for chunk in 0..chunks.len() {
        held.push(vectors(chunk)?.inner());
    }
    let held = Tensor::from_inner(Tensor::cat(held, 0)).require_grad();
    let loss = loss(held.clone());
    let value = loss.clone().into_data().iter::<f64>().sum();
    let mut back = (loss * scale).backward();
    let by_vector = held.grad_remove(&mut back);
    let mut sum = Accumulator::new();
    sum.add(
        module,
        burn::optim::GradientsParams::from_grads(back, module),
    );
    let mut start = 0;
    for (chunk, size) in chunks.iter().enumerate() {
        if let Some(by_vector) = &by_vector {
            let by_vector = Tensor::from_inner(by_vector.clone().narrow(0, start, *size));
            let linear = (vectors(chunk)? * by_vector).sum();
            sum.add(module, gradients(linear, module));
        }
        start += size;
    }
    Ok(MicroBatch {
        loss: value,
        grads: sum.take(),
        rows: start,
        fields: crate::telemetry::Fields::new(),
    })
}
