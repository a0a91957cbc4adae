//! Rows of data files as [`Example`](bioverse_core::Example)s, records given one at a time, and frozen encodings of
//! records. What is learnt from them is unknown here.

pub mod attachment;
pub(crate) mod batches;
pub mod encoded;
pub mod read;
pub(crate) mod refusal;
pub mod rejected;
pub(crate) mod rows;
pub mod screen;
pub(crate) mod shape;
pub mod split;
pub mod spread;

pub use encoded::{EncodedKey, EncodedStore};
pub use read::{
    Row, Sides, Split, read_examples, read_rows, read_rows_with, read_sides, read_split,
};
pub use rejected::Rejected;
pub use screen::Screen;
pub use spread::spread;
