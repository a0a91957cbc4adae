//! Everything the loop needs of one modality, computed once: pooled encodings, text vectors, the metric, a fresh projector.

use std::path::Path;

use bioverse_core::{Projector, Record, Registry};
use bioverse_nn::{CausalLm, DecoderConfig, Tokenizer};
use burn::prelude::*;

use super::conversations;
use super::negatives::{self, Negatives};
use super::pairs::{Pairs, numbered};
use super::positives::{Kinship, classes};
use super::reader::Reader;
use super::readout::Readout;
use super::space::TextMetric;
use super::texts::Texts;
use crate::cache::Cache;
use crate::config::{BioSource, Objective, RunConfig};
use crate::data::encoded::{EncodedKey, EncodedStore, never_encoded};
use crate::encoders::EncoderSource;
use crate::error::{Error, Result};
use crate::instructions::Rows;
use crate::train::seed::{mix_name, seeded};

/// What a modality is prepared from.
pub(super) struct Sources<'a> {
    config: &'a RunConfig,
    registry: &'a Registry,
    texts: Texts,
    readout: Readout,
    cache: Cache,
    /// Width of the LLM's input embeddings.
    d_model: usize,
    /// The LLM, where it reads conversations; texts alone often need less of it, and nothing when they are in the cache.
    models: Option<(CausalLm, Tokenizer)>,
    device: &'a Device,
}

/// One modality, ready to be aligned.
pub(super) struct Target {
    pub name: String,
    /// Fresh, on the autodiff device.
    pub projector: Projector,
    pub encoded: EncodedStore,
    pub readout: Readout,
    pub metric: TextMetric,
    /// Texts that belong to no record.
    pub negatives: Option<Negatives>,
    /// The frozen LLM, where the objective is what it says.
    pub llm: Option<CausalLm>,
    /// The frozen LLM, where its states stand for records.
    pub reader: Option<Reader>,
    pub train: PairVectors,
    pub held_out: PairVectors,
}

/// Pairs by number, with the vectors of their distinct texts.
pub(super) struct PairVectors {
    pub records: Vec<Record>,
    /// Under which their encodings are found.
    pub keys: Vec<EncodedKey>,
    /// Equal records have equal numbers.
    pub record_numbers: Vec<usize>,
    /// Row of `texts` of each pair.
    pub text_numbers: Vec<usize>,
    /// Equal labels or groups have equal numbers, where `align.positives` asks for them.
    pub classes: Vec<Option<usize>>,
    /// How often each pair is drawn, relative to the others.
    pub weights: Vec<f64>,
    /// The pairs as the LLM reads them, where it reads them.
    pub conversations: Option<Rows>,
    /// `[distinct texts, d]`, in the metric; `None` without pairs.
    pub texts: Option<Tensor<2>>,
}

impl PairVectors {
    /// Pooled states of `rows`, `[rows, num_soft_tokens, d_hidden]`.
    pub fn pooled(
        &self,
        encoded: &EncodedStore,
        rows: &[usize],
        device: &Device,
    ) -> Result<Tensor<3>> {
        let keys: Vec<EncodedKey> = rows.iter().map(|row| self.keys[*row]).collect();
        encoded
            .take(&keys, device)
            .map_err(|index| never_encoded(&self.records[rows[index]]))
    }

    /// What pairs are compared by.
    pub fn kinship(&self) -> Kinship<'_> {
        Kinship {
            texts: &self.text_numbers,
            records: &self.record_numbers,
            classes: &self.classes,
        }
    }

    /// Vectors of the texts of `rows`, `[rows, d]`.
    pub fn texts_of(&self, rows: &[usize], device: &Device) -> Option<Tensor<2>> {
        let numbers: Vec<i64> = rows
            .iter()
            .map(|row| self.text_numbers[*row] as i64)
            .collect();
        let shape = [numbers.len()];
        let index = Tensor::<1, Int>::from_data(TensorData::new(numbers, shape), device);
        self.texts.clone().map(|texts| texts.select(0, index))
    }
}

impl<'a> Sources<'a> {
    /// Reads of the LLM in the folder `llm` what the objective needs.
    pub fn open(
        config: &'a RunConfig,
        registry: &'a Registry,
        llm: &Path,
        device: &'a Device,
    ) -> Result<Self> {
        let shape = DecoderConfig::load(llm)?;
        let (readout, cache) = (Readout::of(&config.align), Cache::of(&config.run));
        readout.index(shape.num_hidden_layers)?;
        let mut texts = Texts::new(llm.to_path_buf(), readout, cache.clone(), device);
        let mut models = None;
        if conversations::wanted(&config.align) {
            let model = CausalLm::load(llm, device)?;
            texts = texts.with_model(model.clone());
            models = Some((model, Tokenizer::load(llm)?));
        }
        Ok(Self {
            config,
            registry,
            texts,
            readout,
            cache,
            d_model: shape.hidden_size,
            models,
            device,
        })
    }

    /// The frozen LLM, where it is `wanted`.
    fn llm_for(&self, wanted: bool) -> Option<CausalLm> {
        let (llm, _) = self.models.as_ref().filter(|_| wanted)?;
        Some(llm.clone())
    }

    pub fn target(&self, name: &str, train: Pairs, held_out: Pairs) -> Result<Target> {
        let config = self.config;
        let recipe = config.projector_for(name, self.registry)?;
        self.readout.check(name, recipe.num_soft_tokens)?;
        let records = [train.records.clone(), held_out.records.clone()].concat();
        let rows = [train.rows.clone(), held_out.rows.clone()].concat();
        let name_row = |i: usize| rows.get(i).cloned().unwrap_or_default();
        let encoder = EncoderSource::new(self.registry, name, &table(config, name), self.device);
        let encoded = EncodedStore::open(&encoder, &recipe, &self.cache, &records, &name_row)?;
        let seed = mix_name(config.run.seed, name);
        let training = self.device.clone().autodiff();
        let projector = seeded(&training, seed, || {
            Ok::<_, Error>(recipe.init(encoded.d_hidden(), self.d_model, &training))
        })?;
        let soft_len = projector.soft_len();
        let unpaired = negatives::read(&config.align, &config.data, &train.texts)?;
        let raw = self.vectors(name, soft_len, train)?;
        let all: Vec<usize> = (0..raw.records.len()).collect();
        // Fitted on the texts as often as they occur: the metric is for the distribution that is trained on.
        let texts = raw
            .texts_of(&all, self.device)
            .ok_or_else(|| no_pairs(name))?;
        let metric = TextMetric::fit(config.align.text_space, texts)?;
        let measured = |vectors: PairVectors| PairVectors {
            texts: vectors.texts.map(|texts| metric.apply(texts)),
            ..vectors
        };
        Ok(Target {
            name: name.to_string(),
            projector,
            encoded,
            readout: self.readout,
            negatives: self.negatives(unpaired, &metric)?,
            llm: self.llm_for(config.align.objective == Objective::Autoregressive),
            reader: match self.llm_for(config.align.bio_from == BioSource::HiddenStates) {
                Some(llm) => Some(Reader::new(llm, self.readout)?),
                None => None,
            },
            train: measured(raw),
            held_out: measured(self.vectors(name, soft_len, held_out)?),
            metric,
        })
    }

    fn negatives(
        &self,
        texts: Option<Vec<String>>,
        metric: &TextMetric,
    ) -> Result<Option<Negatives>> {
        let Some(texts) = texts else {
            return Ok(None);
        };
        let vectors = self
            .texts
            .embed(&texts, &|i| format!("negative {}", i + 1))?;
        let (per_step, seed) = (self.config.align.negatives_per_step, self.config.run.seed);
        Ok(Some(Negatives::new(metric.apply(vectors), per_step, seed)))
    }

    fn vectors(&self, name: &str, soft_len: usize, pairs: Pairs) -> Result<PairVectors> {
        let (record_numbers, _) = numbered(&pairs.records);
        let (text_numbers, distinct) = numbered(&pairs.texts);
        let called = |number: usize| {
            let first = text_numbers.iter().position(|n| *n == number);
            let row = first.and_then(|row| pairs.rows.get(row));
            row.cloned().unwrap_or_default()
        };
        let texts = match distinct.as_slice() {
            [] => None,
            distinct => Some(self.texts.embed(distinct, &called)?),
        };
        Ok(PairVectors {
            classes: classes(&pairs, self.config.align.positives),
            conversations: match &self.models {
                Some((llm, tokenizer)) => {
                    let (models, modality) = ((llm, tokenizer), (name, soft_len));
                    let rows = conversations::lay_out(self.config, models, modality, &pairs)?;
                    Some(rows)
                }
                None => None,
            },
            weights: pairs.weights,
            keys: pairs.records.iter().map(EncodedKey::of).collect(),
            records: pairs.records,
            record_numbers,
            text_numbers,
            texts,
        })
    }
}

/// `[modality.<name>]`.
pub(super) fn table(config: &RunConfig, name: &str) -> toml::Table {
    config.modality.get(name).cloned().unwrap_or_default()
}

fn no_pairs(name: &str) -> Error {
    Error::Input(format!("there are no `{name}` pairs to align"))
}
