//! The encoder of cells: matches names, prepares values, runs the model that the folder holds.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::OnceLock;

use bioverse_core::{BoxError, Hidden};
use bioverse_nn::SequenceEncoder;
use burn::prelude::*;

use crate::error::CellError;
use crate::geneformer::{self, Geneformer};
use crate::genes::{Aliases, GeneMatcher, Mismatch};
use crate::record::CellRecord;
use crate::scgpt::{ScGpt, ScGptConfig, Tokens};
use crate::{Config, Values};

/// The logarithm of more than any cell counts.
const LARGEST_LOG: f32 = 50.0;

/// A cell encoder.
#[derive(Debug)]
pub struct Cell {
    pub(crate) model: Model,
    genes: GeneMatcher,
    values: Values,
    min_gene_match: f64,
    /// The first gene that a cell named twice.
    twice: OnceLock<String>,
    /// Whether a cell was cut; said once.
    cut: OnceLock<()>,
}

#[derive(Debug)]
pub(crate) enum Model {
    ScGpt(Box<ScGpt>),
    Geneformer(Box<Geneformer>),
}

/// The genes of a cell that the model knows.
struct Known {
    ids: Vec<u32>,
    values: Vec<f64>,
    /// Of all genes, known or not.
    total: f64,
}

impl Cell {
    pub(crate) fn open(config: &Config, device: &Device) -> Result<Self, BoxError> {
        check(config)?;
        let (model, vocabulary) = if ScGptConfig::is_in(&config.path) {
            let (scgpt, vocabulary) = ScGpt::load(config, device)?;
            (Model::ScGpt(Box::new(scgpt)), vocabulary)
        } else if geneformer::is_in(config) {
            let geneformer = Geneformer::load(config, device)?;
            let vocabulary = geneformer.vocabulary().clone();
            (Model::Geneformer(Box::new(geneformer)), vocabulary)
        } else {
            return Err(format!(
                "{}: holds neither scGPT (vocab.json with args.json or config.json) nor Geneformer (config.json of a BERT with \
                 token_dictionary* and gene_median_dictionary*); is the path right?",
                config.path.display()
            )
            .into());
        };
        let aliases = match &config.gene_aliases {
            Some(path) => Aliases::read(path, &vocabulary)?,
            None => Aliases::default(),
        };
        Ok(Self {
            model,
            genes: GeneMatcher::new(vocabulary, aliases),
            values: config.values,
            min_gene_match: config.min_gene_match,
            twice: OnceLock::new(),
            cut: OnceLock::new(),
        })
    }

    /// The names the model knows, and what was found of those that came.
    pub fn genes(&self) -> &GeneMatcher {
        &self.genes
    }

    /// The model, where it is scGPT.
    pub fn scgpt(&self) -> Option<&ScGpt> {
        match &self.model {
            Model::ScGpt(scgpt) => Some(scgpt),
            Model::Geneformer(_) => None,
        }
    }

    pub(crate) fn tokens(&self, record: &CellRecord) -> Result<Tokens, CellError> {
        let entries = record.expressed()?;
        let names = || entries.iter().map(|(name, _)| *name);
        let rows = self.genes.rows(names());
        Mismatch::check(names(), &rows, self.genes.vocabulary(), self.min_gene_match)
            .map_err(CellError::Names)?;
        let beyond = |(_, value): &&(&str, f32)| *value > LARGEST_LOG;
        if let (Values::Log1p, Some((gene, value))) = (self.values, entries.iter().find(beyond)) {
            let (gene, value) = ((*gene).to_owned(), *value);
            return Err(CellError::NoLogarithm { gene, value });
        }
        let fraction = entries.iter().find(|(_, value)| value.fract() != 0.0);
        let known = self.known(&entries, &rows);
        let tokens = match &self.model {
            Model::ScGpt(scgpt) => {
                scgpt.tokens(&known.ids, &known.values, self.values, fraction.is_none())
            }
            Model::Geneformer(geneformer) => {
                if let (Values::Auto, Some((gene, value))) = (self.values, fraction) {
                    let (gene, value) = ((*gene).to_owned(), *value);
                    return Err(CellError::Ambiguous { gene, value });
                }
                Tokens {
                    input_ids: geneformer.tokens(&known.ids, &known.values, known.total),
                    values: vec![],
                }
            }
        };
        self.note_cut(known.ids.len());
        Ok(tokens)
    }

    /// Values that several names of a gene have add up: they were counted apart.
    ///
    /// Logarithms are undone for it. Where they were taken and nobody says so, which only scGPT takes, the logarithms add up;
    /// either way the gene is higher than each of its parts.
    fn known(&self, entries: &[(&str, f32)], rows: &[Option<u32>]) -> Known {
        let log = self.values == Values::Log1p;
        let linear = |value: f32| match log {
            true => f64::from(value).exp_m1(),
            false => f64::from(value),
        };
        let mut known = Known {
            ids: Vec::with_capacity(entries.len()),
            values: Vec::with_capacity(entries.len()),
            total: entries.iter().map(|(_, value)| linear(*value)).sum(),
        };
        let mut at = HashMap::with_capacity(entries.len());
        for ((name, value), row) in entries.iter().zip(rows) {
            let Some(id) = row else {
                continue;
            };
            let first = *at.entry(*id).or_insert(known.ids.len());
            match known.values.get_mut(first) {
                Some(sum) => {
                    *sum += linear(*value);
                    self.twice.get_or_init(|| (*name).to_owned());
                }
                None => {
                    known.ids.push(*id);
                    known.values.push(linear(*value));
                }
            }
        }
        known
    }

    fn note_cut(&self, genes: usize) {
        let room = match &self.model {
            Model::ScGpt(scgpt) => scgpt.preprocessing().max_length - 1,
            Model::Geneformer(geneformer) => geneformer.room(),
        };
        if genes > room && self.cut.set(()).is_ok() {
            tracing::info!(
                "a cell has {genes} genes and the encoder reads {room}: the highest are kept, here and in every such cell; \
                 `max_length` changes how many"
            );
        }
    }

    /// # Shapes
    /// B cells → states `[B, T, d]`, mask `[B, T]`, T = the longest cell.
    pub(crate) fn hidden(&self, batch: &[Tokens]) -> Hidden {
        match &self.model {
            Model::ScGpt(scgpt) => scgpt.hidden(batch),
            Model::Geneformer(geneformer) => {
                let rows: Vec<Vec<u32>> = batch.iter().map(|cell| cell.input_ids.clone()).collect();
                geneformer.encode(&rows)
            }
        }
    }

    pub(crate) fn width(&self) -> usize {
        match &self.model {
            Model::ScGpt(scgpt) => scgpt.d_hidden(),
            Model::Geneformer(geneformer) => geneformer.d_hidden(),
        }
    }

    pub(crate) fn report(&self) -> Option<String> {
        let counts = self.genes.counts();
        if counts.names() == 0 {
            return None;
        }
        let twice = match self.twice.get() {
            Some(name) => {
                format!("; values of a gene that a cell names twice are added (first: {name})")
            }
            None => String::new(),
        };
        Some(format!("{counts}{twice}"))
    }
}

/// What no model can work with.
fn check(config: &Config) -> Result<(), BoxError> {
    if config.path.as_os_str().is_empty() {
        return Err("`path` is not set; it names the folder of a scGPT or Geneformer model".into());
    }
    if !config.path.is_dir() {
        return Err(format!(
            "{}: is not a folder; give the path of a model folder",
            config.path.display()
        )
        .into());
    }
    // NaN is not in the range either.
    if !(0.0..=1.0).contains(&config.min_gene_match) {
        return Err(format!(
            "`min_gene_match` is {}; give a share from 0 to 1",
            config.min_gene_match
        )
        .into());
    }
    Ok(())
}

/// The files that decide what the encoder computes, of those that are there. Aliases are not among them: they belong to the
/// data, and tomorrow's may need others.
pub(crate) fn files(config: &Config) -> Vec<PathBuf> {
    let mut files = SequenceEncoder::files(&config.path);
    if files.is_empty() {
        return files;
    }
    match ScGptConfig::is_in(&config.path) {
        true => files.extend(["args.json", "vocab.json"].map(|name| config.path.join(name))),
        false => files.extend(geneformer::files(config).unwrap_or_default()),
    }
    files.retain(|file| file.is_file());
    files.sort();
    files.dedup();
    files
}
