//! Frozen encodings: every distinct record goes through its encoder once, and what the cache has does not go through it at
//! all. Encoders do not learn, so what they say about a record is the same in every epoch and in every run. It knows no
//! file; callers say what to call a record.

use std::collections::HashMap;

use bioverse_core::{Encoder, Projector, ProjectorConfig, Record};
use burn::{prelude::*, tensor::TensorData};
use rayon::prelude::*;

use super::batches::{BUDGET, alike, batches, length};
use super::refusal::brief;
use crate::{
    cache::{Cache, Key, Row, Shelf, key},
    encoders::EncoderSource,
    error::{Error, Result},
    interrupt,
    telemetry::Progress,
};

/// Pooled encoder states of the distinct records of one modality: `[N, num_soft_tokens, d_hidden]`. What was computed in
/// this run is in memory, what was known before is mapped from the cache.
#[derive(Debug, Clone)]
pub struct EncodedStore {
    index: HashMap<Key, Place>,
    computed: Vec<f32>,
    num_soft_tokens: usize,
    d_hidden: usize,
    /// Most states that a record had.
    longest: usize,
}

/// Where the states of a record are.
#[derive(Debug, Clone)]
enum Place {
    /// Number among those computed.
    Computed(usize),
    Kept(Row),
}

/// A distinct record, and where it was first seen.
struct Distinct<'a> {
    key: Key,
    record: &'a Record,
    first: usize,
    /// Tokens where they can be counted, else about how many.
    length: usize,
}

impl EncodedStore {
    /// [`open`](Self::open) with an encoder at hand and no cache.
    pub fn build(
        encoder: &Encoder,
        projector: &Projector,
        records: &[Record],
        rows: &dyn Fn(usize) -> String,
    ) -> Result<Self> {
        let mut store = Self::empty(projector.config());
        store.d_hidden = projector.d_hidden();
        store.encode(
            encoder,
            projector.config(),
            distinct(records),
            rows,
            &mut Shelf::none(),
        )?;
        Ok(store)
    }

    /// The states of the distinct records among `records`, pooled as `recipe` says: from the cache, or else encoded in batches
    /// with a progress bar. A bad record is an error naming its row, `rows(i)` being what to call record i (for example
    /// `file.jsonl row 7`); all are checked before the first is encoded. Where the cache has all, the encoder is not loaded.
    pub fn open(
        source: &EncoderSource,
        recipe: &ProjectorConfig,
        cache: &Cache,
        records: &[Record],
        rows: &dyn Fn(usize) -> String,
    ) -> Result<Self> {
        let mut store = Self::empty(recipe);
        let mut shelf = source.shelf(cache, recipe)?;
        let distinct = distinct(records);
        let (name, all) = (source.name(), distinct.len());
        let missing = store.look_up(distinct, &mut shelf);
        if shelf.is_on() && all > 1 {
            let had = all - missing.len();
            tracing::info!("{name}: {had} of {all} encodings came from the cache");
        }
        if !missing.is_empty() || store.is_empty() {
            let encoder = source.get()?;
            store.d_hidden = encoder.d_hidden();
            store.encode(encoder, recipe, missing, rows, &mut shelf)?;
        }
        shelf.finish();
        Ok(store)
    }

    fn empty(recipe: &ProjectorConfig) -> Self {
        Self {
            index: HashMap::new(),
            computed: vec![],
            num_soft_tokens: recipe.num_soft_tokens,
            d_hidden: 0,
            longest: 0,
        }
    }

    /// Takes what the cache has, and returns the others.
    fn look_up<'a>(&mut self, distinct: Vec<Distinct<'a>>, shelf: &mut Shelf) -> Vec<Distinct<'a>> {
        let Some(width) = shelf.width() else {
            return distinct;
        };
        self.d_hidden = width / self.num_soft_tokens.max(1);
        let missing = distinct.into_iter().filter(|item| {
            let row = shelf.get(&item.key);
            let found = row.is_some();
            self.index
                .extend(row.map(|row| (item.key, Place::Kept(row))));
            !found
        });
        missing.collect()
    }

    fn encode(
        &mut self,
        encoder: &Encoder,
        recipe: &ProjectorConfig,
        mut missing: Vec<Distinct<'_>>,
        rows: &dyn Fn(usize) -> String,
        shelf: &mut Shelf,
    ) -> Result<()> {
        let counted = measure(encoder, &mut missing)
            .map_err(|(first, error)| named(error, |_| rows(first)))?;
        missing.sort_by_key(|item| (item.length, item.first));
        let mut progress = Progress::new(&format!("encode {}", encoder.name()), missing.len());
        let lengths: Vec<usize> = missing.iter().map(|item| item.length).collect();
        // Without padding, what is said about a record does not depend on its company, to the last bit.
        let ranges = match counted {
            true => alike(&lengths, BUDGET),
            false => batches(&lengths, BUDGET),
        };
        for range in ranges {
            let batch = &missing[range.clone()];
            if interrupt::requested() {
                let saved = "nothing was trained yet, so run the same command again".into();
                return Err(Error::Interrupted { step: 0, saved });
            }
            let states = self
                .add(encoder, recipe, batch)
                .map_err(|error| named(error, |i| rows(batch[i].first)))?;
            if counted {
                let each = self.num_soft_tokens * self.d_hidden;
                let rows = states.chunks(each.max(1));
                batch
                    .iter()
                    .zip(rows)
                    .for_each(|(item, row)| shelf.put(item.key, row));
            }
            self.computed.extend(states);
            progress.set(range.end, "");
        }
        progress.finish("");
        self.report(encoder);
        Ok(())
    }

    /// What the owner of the records should know about them.
    fn report(&self, encoder: &Encoder) {
        let (name, several) = (encoder.name(), self.num_soft_tokens);
        if let Some(summary) = encoder.summary() {
            tracing::info!("{name}: {summary}");
        }
        if several > 1 && self.longest == 1 {
            tracing::warn!(
                "each `{name}` record has one state only, so its {several} soft tokens are made of the same vector; \
                 `projector.num_soft_tokens = 1` says the same in less room"
            );
        }
    }

    /// The pooled states of a batch, one record behind the other; its records are in the index from now on.
    fn add(
        &mut self,
        encoder: &Encoder,
        recipe: &ProjectorConfig,
        batch: &[Distinct<'_>],
    ) -> bioverse_core::Result<Vec<f32>> {
        let records: Vec<Record> = batch.iter().map(|item| item.record.clone()).collect();
        let hidden = encoder.encode(&records)?;
        let [_, states, width] = hidden.states.dims();
        self.longest = self.longest.max(states);
        if width != self.d_hidden {
            return Err(other_width(encoder.name(), self.d_hidden, width));
        }
        let each = self.num_soft_tokens * self.d_hidden;
        let first = self.computed.len() / each.max(1);
        for (i, item) in batch.iter().enumerate() {
            self.index.insert(item.key, Place::Computed(first + i));
        }
        let pooled = recipe.pool(hidden).into_data().convert::<f32>();
        Ok(pooled.iter::<f32>().collect())
    }

    /// Width of the encoder's states.
    pub fn d_hidden(&self) -> usize {
        self.d_hidden
    }

    /// Refuses states that `projector` cannot read.
    ///
    /// # Errors
    /// When the projector was aligned to an encoder of another width.
    pub fn check(&self, modality: &str, projector: &Projector) -> Result<()> {
        match projector.d_hidden() == self.d_hidden {
            true => Ok(()),
            false => Err(other_width(modality, projector.d_hidden(), self.d_hidden).into()),
        }
    }

    /// Number of distinct records.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Pooled states of `records` in the order given, on `device`; a record that was never encoded is an error.
    ///
    /// # Shapes
    /// n records → `[n, num_soft_tokens, d_hidden]`.
    pub fn get(&self, records: &[Record], device: &Device) -> Result<Tensor<3>> {
        let keys = records.iter().map(EncodedKey::of).collect::<Vec<_>>();
        self.take(&keys, device)
            .map_err(|index| never_encoded(&records[index]))
    }

    /// What the encoder says of each of `records` in one vector: the mean of its pooled states.
    ///
    /// # Shapes
    /// n records → `[n, d_hidden]`.
    pub fn means(&self, records: &[Record], device: &Device) -> Result<Tensor<2>> {
        Ok(self.get(records, device)?.mean_dim(1).squeeze_dim(1))
    }

    /// [`get`](Self::get) by keys, which a training asks for again in every epoch; else the place of the first record that
    /// was never encoded.
    pub fn take(
        &self,
        keys: &[EncodedKey],
        device: &Device,
    ) -> std::result::Result<Tensor<3>, usize> {
        let size = self.num_soft_tokens * self.d_hidden;
        let mut states = Vec::with_capacity(keys.len() * size);
        for (index, key) in keys.iter().enumerate() {
            match self.index.get(&key.0).ok_or(index)? {
                Place::Computed(row) => {
                    states.extend_from_slice(&self.computed[row * size..][..size]);
                }
                Place::Kept(row) => states.extend(row.values()),
            }
        }
        let data = TensorData::new(states, [keys.len(), self.num_soft_tokens, self.d_hidden]);
        Ok(Tensor::from_data(data, device))
    }
}

/// Under which a record is found. Hashing a cell with thousands of genes takes longer than a step.
#[derive(Debug, Clone, Copy)]
pub struct EncodedKey(Key);

impl EncodedKey {
    /// The key of a record.
    pub fn of(record: &Record) -> Self {
        Self(key([record.to_string().as_bytes()]))
    }
}

/// A record that was asked for and never encoded.
pub fn never_encoded(record: &Record) -> Error {
    Error::Run(format!(
        "the record {record} was not encoded before it was asked for; this is an error of bioverse"
    ))
}

/// Checks all records and counts their tokens. Whether all could be counted; else the first bad one, by its place.
fn measure(
    encoder: &Encoder,
    missing: &mut [Distinct<'_>],
) -> std::result::Result<bool, (usize, bioverse_core::Error)> {
    let measured: Vec<_> = missing
        .par_iter()
        .map(|item| {
            encoder
                .measure(item.record)
                .map_err(|error| (item.first, error))
        })
        .collect();
    let counts: Vec<Option<usize>> = measured
        .into_iter()
        .collect::<std::result::Result<_, _>>()?;
    let counted = counts.iter().all(Option::is_some);
    for (item, count) in missing.iter_mut().zip(counts) {
        item.length = count
            .filter(|_| counted)
            .unwrap_or_else(|| length(item.record));
    }
    Ok(counted)
}

fn other_width(modality: &str, reads: usize, gives: usize) -> bioverse_core::Error {
    bioverse_core::Error::Space(format!(
        "the `{modality}` projector reads hidden states {reads} wide, but the encoder gives {gives}: it was aligned to \
         another encoder"
    ))
}

/// Each record once, in order of first appearance.
fn distinct(records: &[Record]) -> Vec<Distinct<'_>> {
    let mut seen = std::collections::HashSet::new();
    let items = records.iter().enumerate().map(|(first, record)| Distinct {
        key: key([record.to_string().as_bytes()]),
        record,
        first,
        length: 0,
    });
    items.filter(|item| seen.insert(item.key)).collect()
}

/// An error about a record, with the name of its row instead of its place in a batch.
fn named(error: bioverse_core::Error, row: impl Fn(usize) -> String) -> Error {
    match error {
        bioverse_core::Error::Record {
            modality,
            index,
            source,
        } => Error::Input(format!(
            "{}: the `{modality}` record does not parse: {}; mend it, or leave such rows out (`--skip-bad` of eval, \
             `data.skip_bad = true` of a run)",
            row(index),
            brief(source.to_string())
        )),
        other => Error::Core(other),
    }
}

#[cfg(test)]
mod tests;
