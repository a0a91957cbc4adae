//! Everything the loop needs of one modality, computed once: pooled encodings, text vectors, the metric, a fresh projector.

use bioverse_core::{Projector, Record, Registry};
use bioverse_nn::{CausalLm, Tokenizer};
use burn::prelude::*;

use super::conversations;
use super::negatives::{self, Negatives};
use super::pairs::{Pairs, numbered};
use super::positives::{Kinship, classes};
use super::reader::Reader;
use super::space::{TextMetric, embed_texts};
use crate::config::{BioSource, Objective, RunConfig};
use crate::data::EncodedStore;
use crate::encoders;
use crate::error::{Error, Result};
use crate::instructions::Rows;
use crate::train::seed::{mix_name, seeded};

/// What a modality is prepared from.
pub(super) struct Sources<'a> {
    pub config: &'a RunConfig,
    pub registry: &'a Registry,
    pub llm: CausalLm,
    pub tokenizer: Tokenizer,
    pub device: &'a Device,
}

/// One modality, ready to be aligned.
pub(super) struct Target {
    pub name: String,
    /// Fresh, on the autodiff device.
    pub projector: Projector,
    pub encoded: EncodedStore,
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
    /// Equal records have equal numbers.
    pub record_numbers: Vec<usize>,
    /// Row of `texts` of each pair.
    pub text_numbers: Vec<usize>,
    /// Equal labels or groups have equal numbers, where `align.positives` asks for them.
    pub classes: Vec<Option<usize>>,
    /// The pairs as the LLM reads them, where it reads them.
    pub conversations: Option<Rows>,
    /// `[distinct texts, d]`, in the metric; `None` without pairs.
    pub texts: Option<Tensor<2>>,
}

impl PairVectors {
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

impl Sources<'_> {
    pub fn target(&self, name: &str, train: Pairs, held_out: Pairs) -> Result<Target> {
        let (config, d_model) = (self.config, self.llm.config().hidden_size);
        let encoder = encoders::load(self.registry, name, &table(config, name), self.device)?;
        let recipe = config.projector_for(name, self.registry)?;
        let seed = mix_name(config.run.seed, name);
        let training = self.device.clone().autodiff();
        let projector = seeded(&training, seed, || {
            Ok::<_, Error>(recipe.init(encoder.d_hidden(), d_model, &training))
        })?;
        let records = [train.records.clone(), held_out.records.clone()].concat();
        let rows = [train.rows.clone(), held_out.rows.clone()].concat();
        let name_row = |i: usize| rows.get(i).cloned().unwrap_or_default();
        let encoded = EncodedStore::build(&encoder, &projector, &records, &name_row)?;
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
            negatives: self.negatives(unpaired, &metric)?,
            llm: (config.align.objective == Objective::Autoregressive).then(|| self.llm.clone()),
            reader: match config.align.bio_from {
                BioSource::HiddenStates => Some(Reader::new(self.llm.clone(), &config.align)?),
                BioSource::SoftTokens => None,
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
        let vectors = embed_texts(&self.llm, &self.tokenizer, &texts, self.device)?;
        let (per_step, seed) = (self.config.align.negatives_per_step, self.config.run.seed);
        Ok(Some(Negatives::new(metric.apply(vectors), per_step, seed)))
    }

    fn vectors(&self, name: &str, soft_len: usize, pairs: Pairs) -> Result<PairVectors> {
        let (record_numbers, _) = numbered(&pairs.records);
        let (text_numbers, distinct) = numbered(&pairs.texts);
        let texts = match distinct.as_slice() {
            [] => None,
            distinct => Some(embed_texts(
                &self.llm,
                &self.tokenizer,
                distinct,
                self.device,
            )?),
        };
        Ok(PairVectors {
            classes: classes(&pairs, self.config.align.positives),
            conversations: match conversations::wanted(&self.config.align) {
                true => {
                    let models = (&self.llm, &self.tokenizer);
                    let modality = (name, soft_len);
                    Some(conversations::lay_out(
                        self.config,
                        models,
                        modality,
                        &pairs,
                    )?)
                }
                false => None,
            },
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
