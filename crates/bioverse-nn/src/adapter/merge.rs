//! An adapter folded into the files of its model, tensor by tensor.
//!
//! `W' = W + s · B A` in f32, stored again as the model stores it. Works on names and shapes in files, so it serves
//! every family of models and never holds more than one tensor. Knows no forward pass.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use burn::prelude::*;

use super::{
    HEAD, TABLE,
    file::read_config,
    tensors::{AdapterTensors, Thin},
};
use crate::error::{Error, Result};
use crate::lora::{Rank, Selection};
use crate::weights::{Outgoing, Weights, encode_floats};

/// A model with an adapter, both as files, about to become one model.
#[derive(Debug)]
pub struct Merge {
    model: PathBuf,
    base: Weights,
    adapter: AdapterTensors,
    selection: Selection,
    unties: bool,
}

impl Merge {
    /// Opens the model in `model` and the PEFT adapter in `adapter`, and checks that every tensor of the adapter has a
    /// place in the model.
    pub fn open(model: &Path, adapter: &Path) -> Result<Self> {
        let config = read_config(adapter)?;
        let problem = |problem| Error::format(adapter.join(super::file::CONFIG), problem);
        let merge = Self {
            model: model.to_owned(),
            selection: Selection::new(&config).map_err(problem)?,
            base: Weights::open(model)?,
            adapter: AdapterTensors::open(adapter)?,
            unties: false,
        };
        let tied = !merge.base.contains(&weight(HEAD)) && merge.base.contains(&weight(TABLE))
            || tied_by_config(model)?;
        let unties = tied && (merge.adapter.changes(HEAD) || merge.adapter.changes(TABLE));
        let merge = Self { unties, ..merge };
        merge.check()?;
        Ok(merge)
    }

    /// Whether head and token embedding, which the model shares, become two tensors because the adapter changes only
    /// one of them: `config.json` has to say so.
    pub fn unties(&self) -> bool {
        self.unties
    }

    /// How many modules the adapter changes.
    pub fn changes(&self) -> usize {
        let trained = self
            .adapter
            .whole
            .values()
            .filter(|whole| !whole.base_layer);
        self.adapter.pairs.len() + trained.count()
    }

    /// The tensors of the merged model.
    pub fn outgoing(&self) -> Result<Vec<Outgoing<'_>>> {
        let mut names: BTreeSet<&str> = self.base.names().into_iter().collect();
        let head = weight(HEAD);
        if self.unties {
            names.insert(&head);
        }
        names.into_iter().map(|name| self.tensor(name)).collect()
    }

    fn tensor(&self, name: &str) -> Result<Outgoing<'_>> {
        let source = self.source(name);
        let dtype = self.base.element(&source)?;
        let shape = self.base.shape(&source)?;
        let name = name.to_owned();
        if !self.touches(&name) {
            return Ok(Outgoing::new(name, dtype, shape, move || {
                self.base.bytes(&source)
            }));
        }
        let (of, to) = (name.clone(), shape.clone());
        Ok(Outgoing::new(name, dtype, shape, move || {
            let values = self.merged(&of, &source, &to)?;
            let bytes = encode_floats(&values, dtype);
            let bytes = bytes.map_err(|problem| self.error(&of, problem))?;
            Ok(Cow::Owned(bytes))
        }))
    }

    /// The tensor of the model that the one called `name` comes from.
    fn source(&self, name: &str) -> String {
        match self.unties && name == weight(HEAD) {
            true => weight(TABLE),
            false => name.to_owned(),
        }
    }

    fn touches(&self, name: &str) -> bool {
        let pair = name
            .strip_suffix(".weight")
            .is_some_and(|path| self.adapter.pairs.contains_key(path));
        pair || self.adapter.whole.contains_key(name)
    }

    /// The values of a changed tensor.
    fn merged(&self, name: &str, source: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let mut values = match self.adapter.whole.get(name) {
            Some(whole) => self.adapter.weights.values(&whole.key, shape)?,
            None => self.base.values(source, shape)?,
        };
        let Some(path) = name.strip_suffix(".weight") else {
            return Ok(values);
        };
        if let (Some(pair), [rows, columns]) = (self.adapter.pairs.get(path), shape) {
            let rank = self.selection.rank(path);
            let delta = match pair.of_embedding {
                true => embedding_delta(
                    self.adapter.thin(path, rank, [*rows, *columns])?,
                    rank,
                    [*rows, *columns],
                ),
                false => linear_delta(
                    self.adapter.thin(path, rank, [*columns, *rows])?,
                    rank,
                    [*rows, *columns],
                ),
            };
            let delta: Vec<f32> = delta
                .into_data()
                .try_to_vec()
                .map_err(|e| self.error(name, format!("{e:?}")))?;
            values
                .iter_mut()
                .zip(delta)
                .for_each(|(value, delta)| *value += delta);
        }
        Ok(values)
    }

    /// Every tensor of the adapter must end up somewhere, with the right shape.
    fn check(&self) -> Result<()> {
        for path in self.adapter.pairs.keys() {
            let source = self.source(&weight(path));
            if !self.base.contains(&source) {
                return Err(self.adapter.homeless(path));
            }
            if let shape @ ([] | [_] | [_, _, _, ..]) = self.base.shape(&source)?.as_slice() {
                return Err(self.error(
                    &source,
                    format!("has shape {shape:?}; an adapter needs a matrix"),
                ));
            }
        }
        for (name, whole) in &self.adapter.whole {
            let source = self.source(name);
            if !self.base.contains(&source) {
                return Err(self.adapter.homeless(name));
            }
            let (ours, theirs) = (
                self.base.shape(&source)?,
                self.adapter.weights.shape(&whole.key)?,
            );
            if ours != theirs {
                return Err(self.error(
                    name,
                    format!(
                        "has shape {ours:?} in the model and {theirs:?} in the adapter; was the vocabulary enlarged? Use \
                         the model that the adapter was trained on"
                    ),
                ));
            }
        }
        Ok(())
    }

    fn error(&self, name: &str, problem: String) -> Error {
        Error::Tensor {
            path: self.model.clone(),
            name: name.to_owned(),
            problem,
        }
    }
}

fn weight(path: &str) -> String {
    format!("{path}.weight")
}

/// Whether `config.json` says that head and token embedding are one.
fn tied_by_config(model: &Path) -> Result<bool> {
    #[derive(serde::Deserialize)]
    struct Tied {
        #[serde(default)]
        tie_word_embeddings: Option<bool>,
    }
    let path = model.join("config.json");
    if !path.is_file() {
        return Ok(false);
    }
    let tied: Tied = crate::config::read_json(&path)?;
    Ok(tied.tie_word_embeddings.unwrap_or(false))
}

fn matrix(values: Vec<f32>, shape: [usize; 2]) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

/// `s · B A`, `[d_out, d_in]`.
pub(super) fn linear_delta(thin: Thin, rank: Rank, [d_out, d_in]: [usize; 2]) -> Tensor<2> {
    let (a, b) = (
        matrix(thin.a, [rank.r, d_in]),
        matrix(thin.b, [d_out, rank.r]),
    );
    b.matmul(a).mul_scalar(rank.scaling)
}

/// `s · (B A)ᵀ`, `[rows, d]`.
pub(super) fn embedding_delta(thin: Thin, rank: Rank, [rows, d]: [usize; 2]) -> Tensor<2> {
    let (a, b) = (matrix(thin.a, [rank.r, rows]), matrix(thin.b, [d, rank.r]));
    a.transpose().matmul(b.transpose()).mul_scalar(rank.scaling)
}
