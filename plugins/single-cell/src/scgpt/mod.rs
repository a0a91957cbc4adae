//! scGPT: genes of a cell with their binned values as a set of tokens, `<cls>` first. Names of genes are matched elsewhere.
//!
//! Source: Cui et al., scGPT: toward building a foundation model for single-cell multi-omics using generative AI, Nature Methods
//! 21 (2024), 1470–1480, and the published code (`embed_data`), but for what is random there: see [`Preprocessing`].

mod config;
mod frozen;
mod model;
mod vocabulary;

use serde::{Deserialize, Serialize};

use crate::expression::{TARGET_SUM, bin, log1p, normalize_total};

pub use config::ScGptConfig;
pub use frozen::ScGpt;
pub use model::ScGptEncoder;
pub use vocabulary::{ScGptVocabulary, save_vocabulary};

/// The padding token.
pub const PAD: &str = "<pad>";
/// The token of the whole cell.
pub const CLS: &str = "<cls>";
/// The end of a cell; in every vocabulary, in no row.
pub const EOC: &str = "<eoc>";

/// The value that `<cls>` carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClsValue {
    /// The padding value, -2: what the published `embed_data` does.
    #[default]
    Pad,
    /// 0: what the tutorials' tokenizer does.
    Zero,
}

/// One cell as the model reads it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tokens {
    /// Rows of the embedding table.
    pub input_ids: Vec<u32>,
    /// A value for every id; empty for a model that reads ranks.
    pub values: Vec<f32>,
}

/// From genes and values to tokens.
///
/// Where the published code draws at random, this does not: a value on several edges gets the highest of their bins, and of too
/// many genes those with the highest values are kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocessing {
    /// Id of `<cls>`.
    pub cls: u32,
    /// The value it carries.
    pub cls_value: f32,
    /// Bins, the one of zero included; at least 2.
    pub n_bins: usize,
    /// Most tokens, `<cls>` included.
    pub max_length: usize,
}

impl Preprocessing {
    /// What is binned: counts are normalised to 10,000 and their `ln(1 + x)` taken.
    pub fn expression(&self, counts: &[f32]) -> Vec<f32> {
        log1p(&normalize_total(counts, TARGET_SUM))
    }

    /// Tokens of a cell from the ids of its genes and their expression, none of which is 0. Genes keep their order; bins are
    /// made before genes are left out.
    pub fn tokens(&self, ids: &[u32], expression: &[f32]) -> Tokens {
        let bins = bin(expression, self.n_bins);
        let kept = highest(expression, self.max_length.saturating_sub(1));
        let pick = |i: &usize| Some((*ids.get(*i)?, *bins.get(*i)? as f32));
        let genes = kept.iter().filter_map(pick);
        let (input_ids, values) = std::iter::once((self.cls, self.cls_value))
            .chain(genes)
            .unzip();
        Tokens { input_ids, values }
    }
}

/// Positions of the `most` highest values, in order; of equal ones the earlier.
fn highest(values: &[f32], most: usize) -> Vec<usize> {
    let mut order: Vec<(f32, usize)> = values.iter().copied().zip(0..).collect();
    if most < order.len() {
        let higher = |a: &(f32, usize), b: &(f32, usize)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        order.select_nth_unstable_by(most, higher);
        order.truncate(most);
    }
    let mut kept: Vec<usize> = order.into_iter().map(|(_, i)| i).collect();
    kept.sort_unstable();
    kept
}

#[cfg(test)]
mod tests;
