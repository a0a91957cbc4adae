//! Frozen encodings: every distinct record goes through its encoder once. Encoders do not learn, so what they say about
//! a record is the same in every epoch. It knows no file; callers say what to call a record.

use std::collections::HashMap;

use bioverse_core::{Encoder, Projector, Record};
use burn::{prelude::*, tensor::TensorData};
use rayon::prelude::*;

use super::batches::{BUDGET, batches, length};
use super::refusal::brief;
use crate::{
    error::{Error, Result},
    interrupt,
    telemetry::Progress,
};

/// Pooled encoder states of the distinct records of one modality, in memory: `[N, num_soft_tokens, d_hidden]`.
#[derive(Debug, Clone)]
pub struct EncodedStore {
    /// A record as JSON → its row in `pooled`.
    index: HashMap<String, usize>,
    pooled: Vec<f32>,
    num_soft_tokens: usize,
    d_hidden: usize,
    /// Most states that a record had.
    longest: usize,
}

/// A distinct record, and where it was first seen.
struct Distinct<'a> {
    key: String,
    record: &'a Record,
    length: usize,
    first: usize,
}

impl EncodedStore {
    /// Encodes the distinct records among `records` (sorted by length, in batches, with a progress bar) and pools them as
    /// `projector` does. A bad record is an error naming its row, `rows(i)` being what to call record i (for example
    /// `file.jsonl row 7`); all are checked before the first is encoded.
    pub fn build(
        encoder: &Encoder,
        projector: &Projector,
        records: &[Record],
        rows: &dyn Fn(usize) -> String,
    ) -> Result<Self> {
        let mut distinct = distinct(records);
        let bad = distinct.par_iter().find_map_first(|item| {
            encoder
                .check(item.record)
                .err()
                .map(|error| (item.first, error))
        });
        if let Some((first, error)) = bad {
            return Err(named(error, |_| rows(first)));
        }
        distinct.sort_by_key(|item| (item.length, item.first));
        let mut store = Self {
            index: HashMap::with_capacity(distinct.len()),
            pooled: vec![],
            num_soft_tokens: projector.config().num_soft_tokens,
            d_hidden: projector.d_hidden(),
            longest: 0,
        };
        let mut progress = Progress::new(&format!("encode {}", encoder.name()), distinct.len());
        let lengths: Vec<usize> = distinct.iter().map(|item| item.length).collect();
        for range in batches(&lengths, BUDGET) {
            let batch = &distinct[range];
            if interrupt::requested() {
                let saved = "nothing was trained yet, so run the same command again".into();
                return Err(Error::Interrupted { step: 0, saved });
            }
            store
                .add(encoder, projector, batch)
                .map_err(|error| named(error, |i| rows(batch[i].first)))?;
            progress.set(store.len(), "");
        }
        progress.finish("");
        store.report(encoder, projector);
        Ok(store)
    }

    /// What the owner of the records should know about them.
    fn report(&self, encoder: &Encoder, projector: &Projector) {
        let (name, several) = (encoder.name(), projector.config().num_soft_tokens);
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

    fn add(
        &mut self,
        encoder: &Encoder,
        projector: &Projector,
        batch: &[Distinct<'_>],
    ) -> bioverse_core::Result<()> {
        let records: Vec<Record> = batch.iter().map(|item| item.record.clone()).collect();
        let hidden = encoder.encode(&records)?;
        let [_, states, width] = hidden.states.dims();
        self.longest = self.longest.max(states);
        if width != self.d_hidden {
            return Err(bioverse_core::Error::Space(format!(
                "the `{}` projector reads hidden states {} wide, but the encoder gives {width}: it was aligned to another \
                 encoder",
                encoder.name(),
                self.d_hidden
            )));
        }
        let pooled = projector.pool(hidden).into_data().convert::<f32>();
        self.pooled.extend(pooled.iter::<f32>());
        for item in batch {
            self.index.insert(item.key.clone(), self.index.len());
        }
        Ok(())
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
        let size = self.num_soft_tokens * self.d_hidden;
        let mut states = Vec::with_capacity(records.len() * size);
        for record in records {
            let key = record.to_string();
            let row = self.index.get(&key).ok_or_else(|| {
                Error::Run(format!("the record {key} was not encoded before it was asked for; this is an error of bioverse"))
            })?;
            states.extend_from_slice(&self.pooled[row * size..][..size]);
        }
        let data = TensorData::new(states, [records.len(), self.num_soft_tokens, self.d_hidden]);
        Ok(Tensor::from_data(data, device))
    }
}

/// Each record once, in order of first appearance.
fn distinct(records: &[Record]) -> Vec<Distinct<'_>> {
    let mut seen = std::collections::HashSet::new();
    let items = records.iter().enumerate().map(|(first, record)| Distinct {
        key: record.to_string(),
        record,
        length: length(record),
        first,
    });
    items.filter(|item| seen.insert(item.key.clone())).collect()
}

/// An error about a record, with the name of its row instead of its place in a batch.
fn named(error: bioverse_core::Error, row: impl Fn(usize) -> String) -> Error {
    match error {
        bioverse_core::Error::Record {
            modality,
            index,
            source,
        } => Error::Input(format!(
            "{}: the `{modality}` record does not parse: {}",
            row(index),
            brief(source.to_string())
        )),
        other => Error::Core(other),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use bioverse_core::{BoxError, Hidden, Modality, Preset, ProjectorConfig};
    use serde_json::json;
    use std::sync::{Arc, Mutex};

    /// Encodes a text as its bytes, two states wide, and remembers the sizes of the batches it saw.
    #[derive(Default)]
    struct Letters {
        seen: Arc<Mutex<Vec<usize>>>,
    }

    impl Modality for Letters {
        const NAME: &'static str = "letters";
        type Config = ();
        type Input = String;
        type Tokens = Vec<u8>;
        fn load(_: &(), _: &Device) -> std::result::Result<Self, BoxError> {
            Ok(Self::default())
        }
        fn tokenize(&self, input: &String) -> std::result::Result<Vec<u8>, BoxError> {
            match input.contains('!') {
                true => Err(format!("`{input}` shouts").into()),
                false => Ok(input.bytes().collect()),
            }
        }
        fn encode(&self, batch: &[Vec<u8>]) -> std::result::Result<Hidden, BoxError> {
            self.seen.lock().unwrap().push(batch.len());
            let rows: Vec<Vec<u32>> = batch
                .iter()
                .map(|row| row.iter().map(|b| u32::from(*b)).collect())
                .collect();
            let (ids, mask) = bioverse_core::pad_ids(&rows, 0, &Device::flex());
            Ok(Hidden {
                states: ids.float().unsqueeze_dim::<3>(2).repeat_dim(2, 2),
                mask,
            })
        }
        fn d_hidden(&self) -> usize {
            2
        }
    }

    fn projector(d_hidden: usize) -> Projector {
        let config = ProjectorConfig {
            preset: Preset::Linear,
            ..ProjectorConfig::default()
        };
        config.init(d_hidden, 3, &Device::flex())
    }

    fn build(encoder: &Encoder, records: &[Record]) -> Result<EncodedStore> {
        EncodedStore::build(encoder, &projector(2), records, &|i| {
            format!("rows.jsonl row {}", i + 1)
        })
    }

    #[test]
    fn records_come_back_in_the_order_asked_for_and_are_encoded_once() {
        let letters = Letters::default();
        let seen = letters.seen.clone();
        let texts = ["ccc", "a", "bb", "a", "ccc", "a"].map(|text| json!(text));
        let store = build(&Encoder::new(letters), &texts).unwrap();
        assert_eq!(store.len(), 3);
        assert_eq!(seen.lock().unwrap().iter().sum::<usize>(), 3);
        let states = store.get(&texts, &Device::flex()).unwrap();
        assert_eq!(states.dims(), [6, 1, 2]);
        let values: Vec<f32> = states.into_data().iter::<f32>().step_by(2).collect();
        assert_eq!(
            values,
            [99.0, 97.0, 98.0, 97.0, 99.0, 97.0],
            "the mean of equal letters is the letter"
        );
    }

    #[test]
    fn the_first_bad_record_is_named_by_its_row() {
        let letters = Letters::default();
        let seen = letters.seen.clone();
        let texts = ["a much longer text", "fine", "no!", "fine", "NO!!"].map(|text| json!(text));
        let error = build(&Encoder::new(letters), &texts).unwrap_err();
        assert_eq!(
            error.to_string(),
            "rows.jsonl row 3: the `letters` record does not parse: `no!` shouts"
        );
        assert_eq!(error.exit_code(), 2);
        assert!(
            seen.lock().unwrap().is_empty(),
            "nothing is encoded before all is checked"
        );
        let error = build(&Encoder::new(Letters::default()), &[json!(7)]).unwrap_err();
        assert!(
            error.to_string().starts_with("rows.jsonl row 1: "),
            "{error}"
        );
    }

    #[test]
    fn a_record_that_was_never_encoded_and_a_wrong_width_are_errors() {
        let encoder = Encoder::new(Letters::default());
        let store = build(&encoder, &[json!("a")]).unwrap();
        assert!(
            store
                .get(&[json!("b")], &Device::flex())
                .unwrap_err()
                .to_string()
                .contains("\"b\"")
        );
        let error = EncodedStore::build(&encoder, &projector(5), &[json!("a")], &|_| String::new())
            .unwrap_err();
        assert!(
            error.to_string().contains("5 wide") && error.to_string().contains("gives 2"),
            "{error}"
        );
    }
}
