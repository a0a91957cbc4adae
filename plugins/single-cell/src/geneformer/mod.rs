//! Geneformer: the genes of a cell in the order of their expression, relative to what each usually has, as a sentence for a
//! BERT. Names of genes are matched elsewhere.
//!
//! Source: Theodoris et al., Transfer learning enables predictions in network biology, Nature 618 (2023), 616–624, and the
//! published tokenizer. The first version reads 2,048 genes; the second reads 4,096 tokens, the first `<cls>`, the last `<eos>`.

mod dictionaries;

use std::path::Path;

use bioverse_core::{BoxError, Hidden, pad_ids};
use bioverse_nn::TransformerEncoder;
use burn::{prelude::*, tensor::TensorData};

use crate::Config;
use crate::genes::Vocabulary;

pub(crate) use dictionaries::{Dictionaries, files};

/// What the values of a cell add up to before they are compared with the usual ones.
const TARGET_SUM: f64 = 1e4;

/// Tokens around the genes of the second version.
const SPECIALS: usize = 2;

/// A BERT over ranked genes.
#[derive(Debug)]
pub(crate) struct Geneformer {
    encoder: TransformerEncoder,
    dictionaries: Dictionaries,
    max_length: usize,
    layer: EmbLayer,
    device: Device,
}

/// The layer whose states are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EmbLayer {
    Last,
    SecondToLast,
}

impl Geneformer {
    pub(crate) fn load(config: &Config, device: &Device) -> Result<Self, BoxError> {
        if config.hidden_layers.is_some() {
            return Err(
                "`hidden_layers` is for scGPT; of a Geneformer name one layer with `emb_layer`"
                    .into(),
            );
        }
        let encoder = TransformerEncoder::load(&config.path, device)?;
        let rows = encoder.config().vocab_size;
        let dictionaries = Dictionaries::load(config, rows)?;
        let (shortest, longest) = (dictionaries.around() + 1, encoder.config().max_tokens());
        let max_length = config.max_length.unwrap_or(longest);
        if !(shortest..=longest).contains(&max_length) {
            return Err(format!(
                "`max_length` is {max_length}; this model takes from {shortest} to {longest} tokens"
            )
            .into());
        }
        Ok(Self {
            encoder,
            dictionaries,
            max_length,
            layer: layer(config.emb_layer)?,
            device: device.clone(),
        })
    }

    pub(crate) fn vocabulary(&self) -> &Vocabulary {
        &self.dictionaries.genes
    }

    pub(crate) fn d_hidden(&self) -> usize {
        self.encoder.config().hidden_size
    }

    /// Ids of `<cls>` and `<eos>`, where rows have them.
    pub(crate) fn specials(&self) -> Option<(u32, u32)> {
        self.dictionaries.cls_eos
    }

    /// Most genes of a row.
    pub(crate) fn room(&self) -> usize {
        self.max_length - self.dictionaries.around()
    }

    /// Ids of a cell; `total` is the sum over all its genes, known or not.
    pub(crate) fn tokens(&self, ids: &[u32], values: &[f64], total: f64) -> Vec<u32> {
        let median = |id: u32| self.dictionaries.medians.get(&id).copied();
        let mut ranked = ranked(ids, values, total, median);
        ranked.truncate(self.room());
        match self.dictionaries.cls_eos {
            None => ranked,
            Some((cls, eos)) => std::iter::once(cls).chain(ranked).chain([eos]).collect(),
        }
    }

    /// States of all tokens; the mask is true on genes alone, over which the authors take the mean.
    pub(crate) fn encode(&self, rows: &[Vec<u32>]) -> Hidden {
        let pad = self.encoder.config().pad_token_id;
        let (input_ids, mask) = pad_ids(rows, pad, &self.device);
        let states = self.states(input_ids, mask.clone());
        let around = self.dictionaries.around();
        let mask = match around {
            0 => mask,
            _ => inner(rows, &self.device),
        };
        Hidden { states, mask }
    }

    /// `[B, T]` → `[B, T, d_hidden]`
    fn states(&self, input_ids: Tensor<2, Int>, mask: Tensor<2, Bool>) -> Tensor<3> {
        match self.layer {
            EmbLayer::Last => self.encoder.forward(input_ids, mask),
            EmbLayer::SecondToLast => {
                // The embedding is always there, and the only one in a model without layers.
                let mut states = self.encoder.hidden_states(input_ids, mask);
                states.swap_remove(states.len().saturating_sub(2))
            }
        }
    }
}

fn layer(number: i32) -> Result<EmbLayer, BoxError> {
    match number {
        0 => Ok(EmbLayer::Last),
        -1 => Ok(EmbLayer::SecondToLast),
        other => {
            Err(format!("`emb_layer` is {other}; 0 is the last layer, -1 the one before").into())
        }
    }
}

impl Dictionaries {
    /// Special tokens around the genes.
    fn around(&self) -> usize {
        self.cls_eos.map_or(0, |_| SPECIALS)
    }
}

/// Ids by `value / total · 10,000 / median`, the highest first. Of equal ones the lower id comes first, so that the order in
/// which a file holds the genes does not matter. Genes without a median are left out.
fn ranked(
    ids: &[u32],
    values: &[f64],
    total: f64,
    median: impl Fn(u32) -> Option<f64>,
) -> Vec<u32> {
    let relative =
        |(id, value): (&u32, &f64)| Some((value / total * TARGET_SUM / median(*id)?, *id));
    let mut genes: Vec<(f64, u32)> = ids.iter().zip(values).filter_map(relative).collect();
    genes.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    genes.into_iter().map(|(_, id)| id).collect()
}

/// True between the first and the last token of a row. B rows → `[B, T]`, T = the longest row.
fn inner(rows: &[Vec<u32>], device: &Device) -> Tensor<2, Bool> {
    let width = rows.iter().map(Vec::len).max().unwrap_or(0).max(1);
    let row = |row: &Vec<u32>| {
        let last = row.len().saturating_sub(1);
        (0..width).map(move |t| t > 0 && t < last)
    };
    let mask: Vec<bool> = rows.iter().flat_map(row).collect();
    Tensor::from_data(TensorData::new(mask, [rows.len(), width]), device)
}

/// Whether a folder, with what the configuration adds, looks like one of these models.
pub(crate) fn is_in(config: &Config) -> bool {
    let bert = |path: &Path| {
        let text = std::fs::read_to_string(path.join("config.json")).unwrap_or_default();
        let config: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        config["model_type"] == "bert"
    };
    config.token_dictionary.is_some()
        || bert(&config.path)
        || files(config).is_some_and(|files| !files.is_empty())
}

#[cfg(test)]
mod tests;
