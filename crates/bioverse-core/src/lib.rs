//! The vocabulary of bioverse: what a modality is, and how its records become vectors in a language model's input.
//!
//! ```text
//! Example ── check ──► Prompt        text segments and records, in order           [prompt]
//!                        │
//!                        ▼
//!                      Layout        ids, masks and soft slots as plain data       [layout]
//!                        │ groups: the records of each modality
//!                        ▼
//! Registry ── load ──► Encoder       frozen: records ──► Hidden [N, T, d_hidden]   [registry, modality]
//!                        ▼
//! LlmSpace ──────────► Projector     Hidden ──► SoftTokens [N, soft_len, d_model]  [space, projector]
//!                        ▼
//!                      inject        soft tokens at their slots of inputs_embeds   [inject]
//! ```
//!
//! One trait, [`Modality`], is open; everything after it is concrete. The crate names no file format, no transformer, no
//! tokenizer and no backend: the caller brings the text's ids and embeddings.
//!
//! ```
//! use bioverse_core::{Layout, LlmSpace, PadSide, ProjectorConfig, Prompt, Hidden, inject};
//! use burn::prelude::*;
//!
//! # fn main() -> bioverse_core::Result<()> {
//! let device = Device::flex();
//! let mut space = LlmSpace::new("tiny", 8);
//! space.register("molecule", ProjectorConfig::default().init(4, 8, &device))?;
//!
//! let records = [("molecule".to_string(), "CCO".into())];
//! let prompt = Prompt::parse("What is <molecule>?", &records, &space.names())?;
//! let ids = |text: &str| Ok(text.bytes().map(u32::from).collect());
//! let soft_len = |name: &str| Ok(space.projector(name)?.soft_len());
//! let layout = Layout::new(&[prompt], 0, PadSide::Right, ids, soft_len)?;
//! assert_eq!(layout.groups[0].records, ["CCO"]);
//!
//! // Where a program runs an encoder and the LLM's embedding table:
//! let hidden = Hidden { states: Tensor::ones([1, 3, 4], &device), mask: Tensor::full([1, 3], true, &device) };
//! let text = Tensor::zeros([1, layout.width(), 8], &device);
//!
//! let inputs_embeds = inject(text, vec![space.project("molecule", hidden)?], &layout);
//! assert_eq!(inputs_embeds.dims(), [1, "What is ?".len() + 1, 8]);
//! # Ok(())
//! # }
//! ```

pub mod error;
pub mod fingerprint;
pub mod inject;
pub mod layout;
pub mod modality;
pub mod placeholder;
pub mod projector;
pub mod prompt;
pub mod registry;
pub mod space;
pub mod splitmix;
#[cfg(feature = "testing")]
pub mod testing;

pub use error::{BoxError, Error, Result};
pub use inject::inject;
pub use layout::{Group, Layout, PadSide, Row, Slot};
pub use modality::{Encoder, Hidden, Modality, Parts, pad_ids};
pub use projector::{Pooling, Preset, Projector, ProjectorConfig, SoftTokens};
pub use prompt::{Example, Message, Piece, Prompt, Record, Segment};
pub use registry::Registry;
pub use space::LlmSpace;

#[cfg(test)]
mod tests;
