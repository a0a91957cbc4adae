//! Files of biologists as rows: sequences, molecules, tables, count matrices, vectors.
//!
//! Every format, from FASTA to AnnData, is read as a stream of [`Row`]s: JSON objects with a number. So whatever reads rows
//! reads every format. This crate knows no modality, no tensor and no model; it never holds more than a few rows in memory.
//!
//! | format | fields of a row | the record is in |
//! |---|---|---|
//! | FASTA, FASTQ | `id`, `description`, `sequence`; from UniProt's headers also `accession`, `entry_name`, `organism`, `gene` | `sequence` |
//! | SMILES (`.smi`) | `smiles`, `id` | `smiles` |
//! | SDF | `id`, `smiles`, every data item | `smiles` |
//! | CSV, TSV, JSONL, Parquet | the columns | named by the caller |
//! | h5ad, 10x `.h5`, 10x `.mtx` folder | `id`, `cell`, every `obs` column | `cell` |
//! | plain text | `text` | `text` |
//!
//! A `cell` is `{"genes": [names], "values": [numbers]}`, the non-zero counts in the order of the matrix.

pub mod anndata;
mod codec;
pub mod embeddings;
pub mod error;
pub mod fasta;
pub mod format;
pub mod guard;
mod hdf5;
pub mod lines;
mod matrix;
pub mod rows;
pub mod sdf;
pub mod smiles;
pub mod source;
pub mod table;
pub mod tenx;
mod text;

pub use error::{Error, Result};
pub use format::Format;
pub use rows::{Object, Options, Row, Rows, open};
