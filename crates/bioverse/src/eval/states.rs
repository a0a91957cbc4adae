//! What frozen encoders say of records, as rows for baselines that need no language model. What is learnt from them is for the
//! suites to say.

use std::collections::BTreeMap;

use bioverse_core::Record;

use super::linear::Matrix;
use crate::Session;
use crate::data::EncodedStore;
use crate::error::{Error, Result};

/// The mean of each record's pooled states; `name(i)` is what to call record i in a message.
///
/// # Shapes
/// n records → `[n, d_hidden]`
pub fn means(
    session: &Session,
    modality: &str,
    records: &[Record],
    name: &dyn Fn(usize) -> String,
) -> Result<Matrix> {
    let vectors = session.encoder_vectors(modality, records, name)?;
    Ok(Matrix::from_tensor(vectors))
}

/// [`means`] of records that were encoded before.
///
/// # Errors
/// A record that was not.
pub fn encoded_means(
    session: &Session,
    encoded: &BTreeMap<String, EncodedStore>,
    modality: &str,
    records: &[Record],
) -> Result<Matrix> {
    let store = encoded
        .get(modality)
        .ok_or_else(|| Error::Run(format!("no `{modality}` record was encoded")))?;
    let vectors = store.means(records, &session.device)?;
    Ok(Matrix::from_tensor(vectors))
}

/// All pooled states of each record side by side, as the projector gets them: more than their mean where there are several.
///
/// # Shapes
/// n records → `[n, num_soft_tokens · d_hidden]`
pub fn side_by_side(session: &Session, modality: &str, records: &[Record]) -> Result<Matrix> {
    let store = session.encode(modality, records)?;
    let states = store.get(records, &session.device)?;
    let [n, count, width] = states.dims();
    Ok(Matrix::from_tensor(states.reshape([n, count * width])))
}
