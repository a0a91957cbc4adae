//! Single cells: gene counts through scGPT or a ranked-gene BERT (Geneformer).
//!
//! A record is one cell, `{"genes": ["CD3D", …], "values": [3, …]}`. The names of its genes are matched to the model's
//! ([`genes`]), and what is done to the values is part of the model: bins ([`scgpt`]) for the one, ranks relative to what every
//! gene usually has for the other. Which of the two a folder holds is told from its files. The crate knows no other modality, no LLM and no training loop.
//!
//! ```toml
//! [modality.cell]
//! path = "models/scGPT_human"      # vocab.json, args.json, best_model.pt or model.safetensors
//! gene_aliases = "ensembl.tsv"     # optional: two columns, an alias and the model's name for it
//! ```

mod cell;
pub mod dictionary;
pub mod error;
pub mod expression;
mod geneformer;
pub mod genes;
mod parts;
pub mod record;
pub mod scgpt;

use std::{ops::Range, path::PathBuf};

use bioverse_core::{BoxError, Hidden, Modality, Pooling, ProjectorConfig, fingerprint};
use burn::prelude::*;
use serde::{Deserialize, Serialize};

pub use cell::Cell;
pub use error::CellError;
pub use record::{CellRecord, GeneNames};
pub use scgpt::{ClsValue, ScGpt, ScGptConfig, ScGptEncoder, Tokens};

/// `[modality.cell]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folder of a scGPT model (`vocab.json`, `args.json`, weights) or of a Geneformer (`config.json`, weights, dictionaries).
    pub path: PathBuf,
    /// Most tokens of a cell, special ones included; a cell with more genes keeps the highest values. Not set = what the model
    /// was made for: of scGPT at most 1,200, as its authors embed cells, of Geneformer all positions.
    pub max_length: Option<usize>,
    /// What the values of a record are.
    pub values: Values,
    /// scGPT: bins of expression, the one of zero included. Not set = what the model says (51).
    pub n_bins: Option<usize>,
    /// scGPT: the value that `<cls>` carries.
    pub cls_value: ClsValue,
    /// scGPT: how many of the encoder's last hidden states are joined to one wide state; `nlayers` + 1 takes all, the embeddings
    /// with them. Not set = the last one alone.
    pub hidden_layers: Option<usize>,
    /// Geneformer: the dictionary from Ensembl ids to token ids, `.pkl` or `.json`. Not set = `token_dictionary*` in `path`.
    pub token_dictionary: Option<PathBuf>,
    /// Geneformer: the dictionary of gene medians, `.pkl` or `.json`. Not set = `gene_median_dictionary*` in `path`.
    pub gene_medians: Option<PathBuf>,
    /// Geneformer: the layer whose states are taken, 0 for the last, -1 for the one before, as its authors count.
    pub emb_layer: i32,
    /// Other names of genes: a file with two columns, an alias and the name the model knows, or a `.json` or `.pkl` dictionary.
    pub gene_aliases: Option<PathBuf>,
    /// A cell is refused when a smaller share of its genes is in the model's vocabulary, from 0 to 1. In human cells with
    /// the right kind of names it is above 0.9, with the wrong kind 0.
    pub min_gene_match: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            max_length: None,
            values: Values::Auto,
            n_bins: None,
            cls_value: ClsValue::Pad,
            hidden_layers: None,
            token_dictionary: None,
            gene_medians: None,
            emb_layer: 0,
            gene_aliases: None,
            min_gene_match: 0.3,
        }
    }
}

/// What the values of a record are.
///
/// To scGPT it makes no difference: bins depend on the order of the values alone. Ranks relative to other cells do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Values {
    /// Whole numbers are counts. Of others, scGPT bins what it is given, and Geneformer refuses the cell.
    #[default]
    Auto,
    /// Counts, or numbers in proportion to them (corrected, or normalised without a logarithm).
    Counts,
    /// `ln(1 + x)` of such numbers, as scanpy's `log1p` leaves them.
    Log1p,
}

impl Modality for Cell {
    const NAME: &'static str = "cell";
    const ALIASES: &'static [&'static str] = &["single-cell"];
    type Config = Config;
    type Input = CellRecord;
    type Tokens = Tokens;

    fn load(config: &Config, device: &Device) -> Result<Self, BoxError> {
        Self::open(config, device)
    }

    fn tokenize(&self, input: &CellRecord) -> Result<Tokens, BoxError> {
        Ok(self.tokens(input)?)
    }

    fn encode(&self, batch: &[Tokens]) -> Result<Hidden, BoxError> {
        Ok(self.hidden(batch))
    }

    fn d_hidden(&self) -> usize {
        self.width()
    }

    fn token_count(tokens: &Tokens) -> Option<usize> {
        Some(tokens.input_ids.len())
    }

    /// Genes by the model's names.
    fn labels(&self, tokens: &Tokens) -> Option<Vec<String>> {
        Some(self.names(tokens))
    }

    /// The cell as if the genes had not been measured: what is binned or ranked is not binned or ranked again. For a Geneformer
    /// this is its authors' deletion in silico.
    fn occluded(&self, tokens: &Tokens, span: Range<usize>) -> Option<Tokens> {
        self.without(tokens, span)
    }

    /// scGPT's cell embedding is the state of `<cls>`, Geneformer's the mean over genes.
    fn pooling(&self) -> Pooling {
        match self.scgpt() {
            Some(_) => Pooling::First,
            None => Pooling::Mean,
        }
    }

    fn summary(&self) -> Option<String> {
        self.report()
    }

    /// For scGPT; to a Geneformer give `pooling = "mean"` in `[projector]`.
    fn projector() -> ProjectorConfig {
        ProjectorConfig {
            pooling: Pooling::First,
            ..ProjectorConfig::default()
        }
    }

    /// The genes that are expressed, by name.
    fn fingerprint(input: &CellRecord) -> Option<Result<Vec<u64>, BoxError>> {
        let expressed = input.expressed().map_err(Into::into);
        let hash = |(gene, _): (&str, f32)| fingerprint::hash(gene.as_bytes());
        Some(expressed.map(|genes| genes.into_iter().map(hash).collect()))
    }

    fn weights(config: &Config) -> Vec<PathBuf> {
        cell::files(config)
    }
}

#[cfg(test)]
mod tests;
