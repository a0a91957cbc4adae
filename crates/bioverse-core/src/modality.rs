//! The one extension point, [`Modality`], and its type-erased form, [`Encoder`].
//!
//! Below [`Encoder::new`] a plugin author has full types; above it nobody needs them. This module knows neither
//! how an encoder works nor where its records come from.

mod parts;

use std::{ops::Range, path::PathBuf, sync::Arc};

use burn::{prelude::*, tensor::TensorData};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{BoxError, Error, Pooling, ProjectorConfig, Record, Result};

pub use parts::Parts;

/// A kind of biological record with its frozen encoder.
///
/// A plugin implements this once and hands the type to [`Registry::with`](crate::Registry::with). Errors may be of any
/// type: the core adds which modality and which record they concern.
pub trait Modality: Sized + Send + Sync + 'static {
    /// Registry key, config table `[modality.<NAME>]` and `<placeholder>`: `[a-z][a-z0-9-]*`.
    const NAME: &'static str;
    /// Other names under which people look for it; the registry takes them for [`NAME`](Self::NAME).
    const ALIASES: &'static [&'static str] = &[];
    /// The config table; give it `#[serde(deny_unknown_fields)]` so that a misspelt key is an error.
    type Config: DeserializeOwned + Serialize + Default;
    /// One raw record, parsed not validated.
    type Input: DeserializeOwned;
    /// One tokenised record: CPU data, no tensor.
    type Tokens: Send;

    /// Loads the frozen encoder.
    fn load(config: &Self::Config, device: &Device) -> Result<Self, BoxError>;

    /// Validates and tokenises one record.
    fn tokenize(&self, input: &Self::Input) -> Result<Self::Tokens, BoxError>;

    /// Pads and runs the frozen encoder. `batch` is never empty; the states come in its order.
    fn encode(&self, batch: &[Self::Tokens]) -> Result<Hidden, BoxError>;

    /// Width of the hidden states.
    fn d_hidden(&self) -> usize;

    /// How many states a record will have, where its tokens tell.
    ///
    /// Records of equal count share a batch that holds no padding, so that what an encoder says about a record does not
    /// depend, in the last bit, on what it was encoded with; that is what lets encodings be kept between runs.
    fn token_count(_tokens: &Self::Tokens) -> Option<usize> {
        None
    }

    /// How the encoder's authors make one vector of a record: the mean of its real states, or its first state (`[CLS]`).
    fn pooling(&self) -> Pooling {
        Pooling::Mean
    }

    /// Whether the encoder's authors divide that vector by its length.
    fn normalized(&self) -> bool {
        false
    }

    /// One sentence about the records seen so far that their owner should read, such as how many gene names the model
    /// knows; `None` when there is nothing to say.
    fn summary(&self) -> Option<String> {
        None
    }

    /// The projector recommended for this encoder.
    fn projector() -> ProjectorConfig {
        ProjectorConfig::default()
    }

    /// What each state of a record is the state of: a residue, an atom, a gene, `<cls>`; as many as there are states, none
    /// empty. `None` = nothing is said, and states go by their numbers.
    fn labels(&self, _tokens: &Self::Tokens) -> Option<Vec<String>> {
        None
    }

    /// The record without what the tokens of `span` say: the mask token in their place where the encoder was trained with one,
    /// else without them. `None` where the span holds a token that is not read from the record (`<cls>`), goes beyond it, or
    /// would leave nothing; and always, for a modality that does not say.
    fn occluded(&self, _tokens: &Self::Tokens, _span: Range<usize>) -> Option<Self::Tokens> {
        None
    }

    /// What a record is made of, as hashes ([`fingerprint`](crate::fingerprint)): substructures of a molecule, k-mers of a
    /// sequence. Records that share most of it are kept on one side of a split by `cluster`, and counted as near-duplicates
    /// across it. `None` = nothing is said, and only equal records are known to be alike. No encoder is needed for it.
    fn fingerprint(_input: &Self::Input) -> Option<Result<Vec<u64>, BoxError>> {
        None
    }

    /// The framework that related records have in common, by which they are kept on one side of a split by `scaffold`:
    /// the ring system of a molecule. `None` = this modality has no such thing.
    fn scaffold(_input: &Self::Input) -> Option<Result<String, BoxError>> {
        None
    }

    /// Files whose hashes identify the encoder in a bundle.
    fn weights(_config: &Self::Config) -> Vec<PathBuf> {
        vec![]
    }
}

/// What an encoder returns.
#[derive(Debug, Clone)]
pub struct Hidden {
    /// `[B, T, d_hidden]`; what stands at padding is never looked at.
    pub states: Tensor<3>,
    /// `[B, T]`, true = real token.
    pub mask: Tensor<2, Bool>,
}

/// A modality with its types erased.
pub struct Encoder {
    name: String,
    d_hidden: usize,
    pooling: Pooling,
    normalized: bool,
    encode: EncodeFn,
    measure: MeasureFn,
    summary: SummaryFn,
    parts: PartsFn,
    occlude: OccludeFn,
}

type EncodeFn = Box<dyn Fn(&[Record]) -> Result<Hidden> + Send + Sync>;
type MeasureFn = Box<dyn Fn(&Record) -> Result<Option<usize>> + Send + Sync>;
type PartsFn = Box<dyn Fn(&Record) -> Result<Parts> + Send + Sync>;
type OccludeFn = Box<dyn Fn(&Record, &[Range<usize>]) -> Result<Hidden> + Send + Sync>;
type SummaryFn = Box<dyn Fn() -> Option<String> + Send + Sync>;

impl Encoder {
    /// Erases a loaded modality.
    pub fn new<M: Modality>(modality: M) -> Self {
        let (d_hidden, pooling) = (modality.d_hidden(), modality.pooling());
        let normalized = modality.normalized();
        let shared = Arc::new(modality);
        let (checker, summarised) = (Arc::clone(&shared), Arc::clone(&shared));
        let (named, cut) = (Arc::clone(&shared), Arc::clone(&shared));
        Self {
            name: M::NAME.into(),
            d_hidden,
            pooling,
            normalized,
            summary: Box::new(move || summarised.summary()),
            measure: Box::new(move |record| Ok(M::token_count(&tokens_of(&*checker, 0, record)?))),
            parts: Box::new(move |record| parts::of(&*named, record)),
            occlude: Box::new(move |record, spans| parts::occlude(&*cut, record, spans)),
            encode: Box::new(move |records| {
                let tokens = records
                    .iter()
                    .enumerate()
                    .map(|(i, record)| tokens_of(&*shared, i, record));
                let hidden = shared.encode(&tokens.collect::<Result<Vec<_>>>()?);
                hidden.map_err(|source| Error::Modality {
                    modality: M::NAME.into(),
                    source,
                })
            }),
        }
    }

    /// An encoder that is no [`Modality`], such as a table of vectors made elsewhere. `check` refuses a bad record; `encode`
    /// gets records that it has not seen before and answers for them in their order.
    pub fn from_fn(
        name: &str,
        d_hidden: usize,
        check: impl Fn(&Record) -> Result<(), BoxError> + Send + Sync + 'static,
        encode: impl Fn(&[Record]) -> Result<Hidden, BoxError> + Send + Sync + 'static,
    ) -> Self {
        let refuse = |modality: &str, index, source| Error::Record {
            modality: modality.into(),
            index,
            source,
        };
        let check = Arc::new(check);
        let (checker, owner) = (Arc::clone(&check), name.to_owned());
        let modality = name.to_owned();
        Self {
            name: name.to_owned(),
            d_hidden,
            pooling: Pooling::Mean,
            normalized: false,
            summary: Box::new(|| None),
            parts: Box::new(|_| Ok(Parts::default())),
            occlude: Box::new(|_, _| Err(parts::indivisible())),
            measure: Box::new(move |record| {
                checker(record).map_err(|source| refuse(&owner, 0, source))?;
                Ok(None)
            }),
            encode: Box::new(move |records| {
                for (i, record) in records.iter().enumerate() {
                    check(record).map_err(|source| refuse(&modality, i, source))?;
                }
                encode(records).map_err(|source| Error::Modality {
                    modality: modality.clone(),
                    source,
                })
            }),
        }
    }

    /// Registry key.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How the encoder's authors make one vector of a record.
    pub fn pooling(&self) -> Pooling {
        self.pooling
    }

    /// Whether the encoder's authors divide that vector by its length.
    pub fn normalized(&self) -> bool {
        self.normalized
    }

    /// What the owner of the records seen so far should read; see [`Modality::summary`].
    pub fn summary(&self) -> Option<String> {
        (self.summary)()
    }

    /// Width of the hidden states.
    pub fn d_hidden(&self) -> usize {
        self.d_hidden
    }

    /// Parses, tokenises and encodes records in the order given.
    ///
    /// # Shapes
    /// N records → states `[N, T, d_hidden]`, mask `[N, T]`.
    ///
    /// # Errors
    /// The first record that the modality refuses, by its index; no records at all; an encoder that fails or returns
    /// other shapes than it promised.
    pub fn encode(&self, records: &[Record]) -> Result<Hidden> {
        if records.is_empty() {
            return Err(self.broken("there are no records to encode".into()));
        }
        let hidden = (self.encode)(records)?;
        let ([b, t, d], mask) = (hidden.states.dims(), hidden.mask.dims());
        if [b, d] != [records.len(), self.d_hidden] || mask != [b, t] {
            return Err(self.broken(format!(
                "its encoder returned states [{b}, {t}, {d}] and mask {mask:?} for {} records of width {}; this is an error of the plugin",
                records.len(),
                self.d_hidden
            )));
        }
        Ok(hidden)
    }

    /// Parses and tokenises one record without running the encoder: the cheap check for bad input.
    pub fn check(&self, record: &Record) -> Result<()> {
        (self.measure)(record).map(drop)
    }

    /// As [`check`](Self::check), with how many states the record will have, where that is known; see
    /// [`Modality::token_count`].
    pub fn measure(&self, record: &Record) -> Result<Option<usize>> {
        (self.measure)(record)
    }

    /// What the states of a record are called, and which of its tokens can be taken out.
    ///
    /// # Errors
    /// A record that the modality refuses.
    pub fn parts(&self, record: &Record) -> Result<Parts> {
        (self.parts)(record)
    }

    /// The record encoded without the tokens of each span, which [`Parts::removable`] says can be taken out.
    ///
    /// # Shapes
    /// N spans → states `[N, T, d_hidden]`, mask `[N, T]`.
    ///
    /// # Errors
    /// No spans; a span with a token that cannot be taken out; as [`encode`](Self::encode).
    pub fn encode_occluded(&self, record: &Record, spans: &[Range<usize>]) -> Result<Hidden> {
        (self.occlude)(record, spans)
    }

    fn broken(&self, problem: String) -> Error {
        Error::Modality {
            modality: self.name.clone(),
            source: problem.into(),
        }
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder")
            .field("name", &self.name)
            .field("d_hidden", &self.d_hidden)
            .finish_non_exhaustive()
    }
}

fn tokens_of<M: Modality>(modality: &M, index: usize, record: &Record) -> Result<M::Tokens> {
    let refuse = |source: BoxError| Error::Record {
        modality: M::NAME.into(),
        index,
        source,
    };
    let input = M::Input::deserialize(record).map_err(|e| refuse(e.into()))?;
    modality.tokenize(&input).map_err(refuse)
}

/// Right-pads id rows.
///
/// # Shapes
/// B rows → ids `[B, T]` and mask `[B, T]` (true = token), T = the longest row, at least 1.
pub fn pad_ids(rows: &[Vec<u32>], pad: u32, device: &Device) -> (Tensor<2, Int>, Tensor<2, Bool>) {
    let width = rows.iter().map(Vec::len).max().unwrap_or(0).max(1);
    let at = |row: &Vec<u32>, t: usize| i64::from(row.get(t).copied().unwrap_or(pad));
    let ids: Vec<i64> = rows
        .iter()
        .flat_map(|row| (0..width).map(move |t| at(row, t)))
        .collect();
    let mask: Vec<bool> = rows
        .iter()
        .flat_map(|row| (0..width).map(|t| t < row.len()))
        .collect();
    let shape = [rows.len(), width];
    (
        Tensor::from_data(TensorData::new(ids, shape), device),
        Tensor::from_data(TensorData::new(mask, shape), device),
    )
}
