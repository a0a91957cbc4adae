//! What stands in for the soft tokens of a record that is taken away. It knows neither question nor answer.

use bioverse_core::{Record, Registry};
use burn::prelude::*;

use super::Baseline;
use crate::Session;
use crate::data::{Split, read_split, spread};
use crate::error::{Error, Result};

/// Records whose soft tokens are averaged.
const RECORDS: usize = 64;

/// Soft tokens of no record, `[1, soft_len, d_model]`.
///
/// # Errors
/// [`Baseline::Mean`] where the rows that the bundle was trained on cannot be read, or have no record of the modality.
pub(super) fn baseline(
    session: &Session,
    registry: &Registry,
    modality: &str,
    baseline: Baseline,
) -> Result<Tensor<3>> {
    let projector = session.model.projector(modality)?;
    let shape = [1, projector.soft_len(), projector.d_model()];
    if baseline == Baseline::Zero {
        return Ok(Tensor::zeros(shape, &session.device));
    }
    let config = session.bundle.config()?;
    let names: Vec<&str> = session.model.names().iter().map(String::as_str).collect();
    let rows = read_split(&config.data, Split::Train, &names, registry).map_err(|error| {
        Error::Input(format!(
            "the mean soft token is that of the rows the bundle was trained on, and they cannot be read: {error}; \
             --explain-baseline zero needs none"
        ))
    })?;
    let records = rows.into_iter().flat_map(|row| row.example.records);
    let records = records.filter(|(name, _)| name == modality);
    let records: Vec<Record> = records.map(|(_, record)| record).collect();
    let chosen: Vec<Record> = spread(records.len(), RECORDS)
        .into_iter()
        .filter_map(|at| records.get(at).cloned())
        .collect();
    if chosen.is_empty() {
        return Err(Error::Input(format!(
            "the rows that the bundle was trained on have no `{modality}` record, so there is no mean soft token; use \
             --explain-baseline zero"
        )));
    }
    let store = session.encode(modality, &chosen)?;
    let soft = projector.project(store.get(&chosen, &session.device)?);
    Ok(soft.embeds.mean_dim(0))
}
