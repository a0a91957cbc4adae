//! Tables: CSV and TSV, JSONL, Parquet. Each row is an object of its columns; what they mean is unknown here.

mod bounded;
mod header;
mod jsonl;
mod parquet;
mod separated;
#[cfg(test)]
mod tests;

pub(crate) use jsonl::rows as json_lines;
pub(crate) use parquet::rows as parquet;
pub(crate) use separated::{delimiter, rows as separated};
