//! Frozen encoders on the CPU: a stack of transformer layers over plain slices.
//!
//! A tensor library computes a layer as some forty operations, each a pass over memory with a result of its own. Nothing of
//! that is needed where no gradient will be asked for: here a layer is two passes over blocks of rows that fit a core's
//! cache, padding is dropped before the first, and biases, norms, rotary positions, softmax and non-linearities are applied
//! to rows that are in cache anyway. Matrix products are those of the `gemm` crate; the rest is plain loops, compiled for
//! AVX-512, AVX2 and the target's baseline, of which the best is chosen at run time.
//!
//! The Burn modules stay the reference and the only path for training and for other devices. A module has its copy of the
//! weights made once, by the first call that needs it ([`Frozen`]): Burn lends no slices of its tensors. It costs the memory
//! of the layers once more (not that of the embedding tables).
//!
//! Numbers agree with Burn's to rounding. They do not depend on the number of threads, and for a record of two or more
//! tokens not on the records beside it.
//!
//! `BIOVERSE_FUSED=0` in the environment, read once, leaves everything to Burn.
//!
//! This module deliberately knows no family of encoders, no embeddings, no configuration and no files.

mod activation;
mod attention;
mod block;
mod dense;
mod exp;
mod frozen;
mod norm;
mod packed;
mod product;
mod rotary;
mod scratch;
mod simd;
mod stack;
mod tiles;

pub(crate) use block::{Block, FeedForward, NormPlace, SelfAttention};
pub(crate) use dense::Dense;
pub(crate) use frozen::Frozen;
pub(crate) use norm::Norm;
pub(crate) use packed::Packed;
pub(crate) use rotary::Rotary;
pub(crate) use stack::Stack;
