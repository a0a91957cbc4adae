//! Files of counts → cells with columns in one common table of genes, and the components of each file. Tokens and models are not
//! known here.

use std::collections::{HashMap, HashSet};

use bioverse_formats::Options;
use bioverse_single_cell::CellRecord;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;
use serde_json::Value;

use super::components::{Components, Counts};
use crate::data::read::{read_rows, read_rows_with};
use crate::data::split::held_out_at_random;
use crate::error::{Error, Result};
use crate::pretrain::config::PretrainConfig;

/// A cell ready for training.
#[derive(Debug, Clone)]
pub(super) struct CellSample {
    /// Counts by column of the gene table; what is beyond it was only counted.
    pub counts: Counts,
    /// Components of every file in turn, no number where the cell is of another file.
    pub targets: Vec<f32>,
}

/// Everything that a run learns from.
pub(super) struct Cells {
    /// The gene table: names of the columns that the model knows.
    pub genes: Vec<String>,
    pub train: Vec<CellSample>,
    pub held_out: Vec<CellSample>,
    /// Cells used, by corpus section.
    pub rows: Vec<usize>,
}

/// Reads every `[[corpus]]`. The gene table has the genes that most cells express, `tokenizer.min_count` cells at least.
pub(super) fn cells(config: &PretrainConfig) -> Result<Cells> {
    let excluded = excluded(config)?;
    let mut columns = Columns::default();
    let mut files: Vec<Vec<Counts>> = vec![];
    for section in &config.corpus {
        let path = config.resolve(&section.path);
        let mut found = vec![];
        let options = Options {
            gene_field: section.gene_field.clone(),
            ..Options::default()
        };
        for (number, row) in read_rows_with(&path, &options)? {
            let id = row.get("id").and_then(Value::as_str).unwrap_or_default();
            let cell = row.get("cell").unwrap_or(&Value::Null);
            let share = section.split_fraction.unwrap_or(0.0);
            if excluded.contains(id) || held_out_at_random("cell", cell, share) {
                continue;
            }
            let refuse = |problem: String| {
                Error::Input(format!("{} row {number}: {problem}", path.display()))
            };
            let record =
                CellRecord::deserialize(cell).map_err(|error| refuse(error.to_string()))?;
            let expressed = record
                .expressed()
                .map_err(|error| refuse(error.to_string()))?;
            found.push(columns.counts(&expressed));
        }
        found.shuffle(&mut ChaCha8Rng::seed_from_u64(config.seed));
        files.push(found);
    }
    let order = columns.frequent(config.tokenizer.min_count, config.tokenizer.vocab_size);
    Ok(divided(config, &columns, &order, &files))
}

/// Divides every file and computes its components on the cells to learn from.
fn divided(
    config: &PretrainConfig,
    columns: &Columns,
    order: &[usize],
    files: &[Vec<Counts>],
) -> Cells {
    let width: usize = config
        .corpus
        .iter()
        .filter_map(|section| section.components)
        .sum();
    let mut place = vec![None; columns.names.len()];
    order
        .iter()
        .enumerate()
        .for_each(|(to, from)| place[*from] = Some(to as u32));
    let mut cells = Cells {
        genes: order.iter().map(|at| columns.names[*at].clone()).collect(),
        train: vec![],
        held_out: vec![],
        rows: files.iter().map(Vec::len).collect(),
    };
    let mut start = 0;
    for (section, file) in config.corpus.iter().zip(files) {
        let held_out = (file.len() as f64 * config.train.held_out).ceil() as usize;
        let (held_out, train) = file.split_at(held_out.min(file.len()));
        let count = section.components.unwrap_or(0);
        let fitted = Components::fit(
            &train.iter().collect::<Vec<_>>(),
            columns.names.len(),
            count,
        );
        let sample = |counts: &Counts| {
            let mut targets = vec![f32::NAN; width];
            let own = fitted.of(counts);
            targets[start..start + own.len()].copy_from_slice(&own);
            let known = counts
                .iter()
                .filter_map(|(at, n)| Some((place[*at as usize]?, *n)));
            CellSample {
                counts: known.collect(),
                targets,
            }
        };
        cells.train.extend(train.iter().map(sample));
        cells.held_out.extend(held_out.iter().map(sample));
        start += count;
    }
    cells
}

/// Ids of cells that no corpus may contain.
fn excluded(config: &PretrainConfig) -> Result<HashSet<String>> {
    let Some(filter) = &config.exclude else {
        return Ok(HashSet::new());
    };
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let rows = read_rows(&config.resolve(&filter.path))?.into_iter();
    let wanted = rows.filter(|(_, row)| {
        let mut keep = filter.keep.iter();
        keep.all(|(field, value)| row.get(field).map(text).as_ref() == Some(value))
    });
    Ok(wanted
        .filter_map(|(_, row)| row.get(&filter.field).map(text))
        .collect())
}

/// Names of genes in the order in which they were met, with the cells that express them.
#[derive(Default)]
struct Columns {
    names: Vec<String>,
    cells: Vec<u64>,
    at: HashMap<String, u32>,
}

impl Columns {
    fn counts(&mut self, expressed: &[(&str, f32)]) -> Counts {
        let mut counts: Counts = vec![];
        for (name, value) in expressed {
            let at = match self.at.get(*name) {
                Some(at) => *at,
                None => {
                    let at = self.names.len() as u32;
                    self.names.push((*name).to_owned());
                    self.cells.push(0);
                    self.at.insert((*name).to_owned(), at);
                    at
                }
            };
            self.cells[at as usize] += 1;
            counts.push((at, *value));
        }
        counts
    }

    /// The columns that at least `least` cells express, the most frequent first, at most `most` of them.
    fn frequent(&self, least: u64, most: usize) -> Vec<usize> {
        let enough = (0..self.names.len()).filter(|at| self.cells[*at] >= least);
        let mut order: Vec<usize> = enough.collect();
        order.sort_by_key(|at| (std::cmp::Reverse(self.cells[*at]), self.names[*at].as_str()));
        order.truncate(most);
        order
    }
}
