//! Why a cell is refused, each with what to do about it.

use crate::genes::Mismatch;

/// A record that cannot be encoded.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CellError {
    /// Names without values, or the other way round.
    #[error("{} but {}; every gene needs its value", counted(*genes, "gene"), counted(*values, "value"))]
    Lengths {
        /// Names given.
        genes: usize,
        /// Values given.
        values: usize,
    },
    /// A droplet without a cell, or a cell without a measurement.
    #[error("no gene has a value above 0; leave the cell out")]
    Empty,
    /// Scaled values.
    #[error(
        "the value of `{gene}` is {value}; values below 0 come from scaling (z-scores), which cannot be undone: give counts \
         or log-normalised values, of an h5ad file by `--layer raw` or by the name of another layer"
    )]
    Negative {
        /// Its gene.
        gene: String,
        /// What was given.
        value: f32,
    },
    /// NaN, an infinity, `null`, or a number beyond any measurement.
    #[error("the value of `{0}` is not a finite number; correct it or leave the gene out")]
    NotFinite(String),
    /// The names of the genes are not the model's.
    #[error("{0}")]
    Names(Box<Mismatch>),
    /// Ranks need to know whether a logarithm was taken.
    #[error(
        "the value of `{gene}` is {value}, which is no count, and ranking genes needs to know what was done to the counts: \
         set `values = \"log1p\"` where their logarithm was taken (scanpy's log1p), `values = \"counts\"` where they \
         were only divided or corrected, or give the counts themselves (of an h5ad file by `--layer`)"
    )]
    Ambiguous {
        /// Its gene.
        gene: String,
        /// What was given.
        value: f32,
    },
    /// Counts where logarithms were announced.
    #[error(
        "the value of `{gene}` is {value}, which is no logarithm of a count; `values = \"log1p\"` is not true of this file"
    )]
    NoLogarithm {
        /// Its gene.
        gene: String,
        /// What was given.
        value: f32,
    },
}

fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}
