//! A record token by token: what its states are called, and its encoding without some of them. It knows no encoder and no
//! reason for asking.

use std::ops::Range;

use super::{Hidden, Modality, tokens_of};
use crate::{Error, Record, Result};

/// The tokens of a record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parts {
    /// What each state is called; `None` where the modality does not say.
    pub labels: Option<Vec<String>>,
    /// Which tokens can be taken out alone, as long as `labels`; empty where the modality takes none out.
    pub removable: Vec<bool>,
}

/// The parts of a record.
pub(super) fn of<M: Modality>(modality: &M, record: &Record) -> Result<Parts> {
    let tokens = tokens_of(modality, 0, record)?;
    let labels = modality.labels(&tokens);
    let count = labels.as_ref().map_or(0, Vec::len);
    let removable = (0..count).map(|at| modality.occluded(&tokens, at..at + 1).is_some());
    let removable: Vec<bool> = removable.collect();
    Ok(Parts {
        removable: match removable.contains(&true) {
            true => removable,
            false => vec![],
        },
        labels,
    })
}

/// Encodes a record without each of `spans`.
pub(super) fn occlude<M: Modality>(
    modality: &M,
    record: &Record,
    spans: &[Range<usize>],
) -> Result<Hidden> {
    let failed = |source| Error::Modality {
        modality: M::NAME.into(),
        source,
    };
    let tokens = tokens_of(modality, 0, record)?;
    let without = |span: &Range<usize>| {
        let said = || format!("the tokens {span:?} of a record cannot be taken out of it");
        let cut = modality.occluded(&tokens, span.clone());
        cut.ok_or_else(|| failed(said().into()))
    };
    let batch = spans.iter().map(without).collect::<Result<Vec<_>>>()?;
    match batch.is_empty() {
        true => Err(failed("there are no tokens to take out".into())),
        false => modality.encode(&batch).map_err(failed),
    }
}

/// The error of an encoder that knows records as a whole.
pub(super) fn indivisible() -> Error {
    Error::Modality {
        modality: "vectors made elsewhere".into(),
        source: "nothing can be taken out of a record that came as a vector".into(),
    }
}
