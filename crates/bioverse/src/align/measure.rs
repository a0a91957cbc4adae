//! What is measured on held-out pairs while a projector is being aligned.

use bioverse_core::Projector;
use burn::module::Module;
use burn::prelude::*;

use super::diagnose::retrieval;
use super::target::Target;
use super::train::vectors;
use crate::config::RunConfig;
use crate::error::Result;
use crate::train::Observation;

/// Retrieval among the held-out pairs, if there are any.
pub(super) fn measure(
    target: &Target,
    projector: &Projector,
    step: usize,
    config: &RunConfig,
    device: &Device,
) -> Result<Option<Observation>> {
    let _ = (step, config);
    let pairs = &target.held_out;
    if pairs.records.is_empty() {
        return Ok(None);
    }
    let rows: Vec<usize> = (0..pairs.records.len()).collect();
    let (bio, text) = vectors(target, &projector.valid(), pairs, &rows, device)?;
    let found = retrieval(bio, text, &pairs.text_numbers);
    let mut observation = Observation {
        message: format!(
            "held-out R@1 {:.1} % · MRR {:.3} of {}",
            100.0 * found.r1,
            found.mrr,
            found.candidates
        ),
        ..Observation::default()
    };
    for (key, value) in [("held_out_r1", found.r1), ("held_out_mrr", found.mrr)] {
        observation.fields.insert(key.into(), value.into());
    }
    observation
        .fields
        .insert("held_out_texts".into(), found.candidates.into());
    Ok(Some(observation))
}
