//! What the training stages share. Knows modules, losses and steps; knows no modality, no prompt and no bundle.
//!
//! | module | what it holds |
//! |---|---|
//! | [`cross_entropy`](mod@cross_entropy) | the loss over a vocabulary, in little memory |
//! | [`gradients`](mod@gradients) | backward, accumulation, the global norm and clipping by it |
//! | [`optimizer`] | AdamW, with moments kept under parameter paths |
//! | [`schedule`] | learning rate by step |
//! | `slices` | AdamW and sums of squares in one pass, on the CPU |
//! | [`seed`] | randomness that depends on (seed, step) and on nothing else |
//! | [`rates`] | learning rates by parameter path |
//! | [`order`] | which rows make up the n-th batch |
//! | [`mixed_order`] | the same for rows of different length and weight |
//! | [`packing`] | which rows share a sequence |
//! | [`checkpoint`] | everything a run needs to go on as if it had never stopped |
//! | [`fingerprint`] | what a checkpoint depends on |
//! | [`steps`] | the loop itself |
//! | `log` | what the loop says while it goes on |
//!
//! One optimiser step by hand, which is what [`steps::run`] does `steps` times:
//!
//! ```ignore
//! let mut trainer = Trainer::new(Schedule::Constant { lr: 1e-3 }, 0.01, Some(1.0));
//! let mut sum = Accumulator::new();
//! for loss in micro_batches {                      // each `[1]`, tracked
//!     sum.add(&module, gradients(loss / accumulation, &module));
//! }
//! let grads = sum.take();                          // burn::optim::GradientsParams
//! let (module, report) = trainer.step(module, grads)?;   // report.grad_norm is the norm before clipping
//! ```
//!
//! `Trainer::new(schedule, weight_decay, None)` does not clip. A gradient is read with
//! `grads.get::<D>(id)`, `id` being that of [`bioverse_nn::params::named_params`].

pub mod checkpoint;
pub mod cross_entropy;
pub mod fingerprint;
pub mod gradients;
mod log;
pub mod mixed_order;
pub mod optimizer;
pub mod order;
pub mod packing;
pub mod rates;
pub mod schedule;
pub mod seed;
mod slices;
pub mod steps;

pub use gradients::{Accumulator, global_norm, gradients};
pub use mixed_order::{MixedOrder, Sequences};
pub use optimizer::{AdamW, StepReport, Trainer};
pub use order::BatchOrder;
pub use rates::{Rate, Rates};
pub use schedule::Schedule;
pub use steps::{MicroBatch, Observation, Stage};
