//! Rows of data files as [`Example`](bioverse_core::Example)s, and frozen encodings of their records. What is learnt
//! from them is unknown here.

pub mod encoded;
pub mod read;
mod rows;

pub use encoded::EncodedStore;
pub use read::{Row, Split, read_examples, read_rows, read_split};
