//! Which rows are audited: those with a record of the modality, spread evenly over the file, because files are often
//! sorted. Knows no model.

use bioverse_core::{Prompt, Record, Segment};

use crate::data::spread;

use super::ROWS;
use super::report::Side;
use crate::instructions::Rows;

/// Fewer rows than this say nothing.
pub(super) const FEW: usize = 8;

/// The rows of one modality.
pub(super) struct Choice<'a> {
    pub modality: String,
    pub side: Side,
    /// All rows of that side.
    pub of: &'a Rows,
    /// Which of them.
    pub rows: Vec<usize>,
}

impl<'a> Choice<'a> {
    pub fn prompts(&self) -> impl Iterator<Item = &'a Prompt> {
        let all = self.of.prompts();
        self.rows.iter().filter_map(|row| all.get(*row))
    }
}

/// One choice for each modality that some row has a record of: at most `limit` rows in all, but never fewer than [`FEW`] of
/// a modality that has them.
pub(super) fn choose<'a>(
    modalities: &[String],
    (train, held_out): (Option<&'a Rows>, Option<&'a Rows>),
    limit: usize,
) -> Vec<Choice<'a>> {
    let found: Vec<Choice<'a>> = modalities
        .iter()
        .filter_map(|name| {
            let train = train.and_then(|rows| all(rows, Side::Training, name));
            let held_out = held_out.and_then(|rows| all(rows, Side::HeldOut, name));
            better(held_out, train)
        })
        .collect();
    let each = limit.div_ceil(found.len().max(1)).max(FEW);
    let thinned = found.into_iter().map(|choice| Choice {
        rows: spread(choice.rows.len(), each)
            .into_iter()
            .map(|i| choice.rows[i])
            .collect(),
        ..choice
    });
    thinned.collect()
}

/// The held-out rows; the training rows where those are too few and these are more.
fn better<'a>(held_out: Option<Choice<'a>>, train: Option<Choice<'a>>) -> Option<Choice<'a>> {
    match (held_out, train) {
        (Some(few), Some(more)) if few.rows.len() < FEW.min(more.rows.len()) => Some(more),
        (held_out, train) => held_out.or(train),
    }
}

/// All rows of one side with such a record, if there are any.
fn all<'a>(of: &'a Rows, side: Side, modality: &str) -> Option<Choice<'a>> {
    let prompts = of.prompts().iter().enumerate();
    let has = |prompt: &Prompt| records_of(prompt, modality).next().is_some();
    let rows: Vec<usize> = prompts
        .filter(|(_, prompt)| has(prompt))
        .map(|(row, _)| row)
        .collect();
    (!rows.is_empty()).then(|| Choice {
        modality: modality.to_owned(),
        side,
        of,
        rows,
    })
}

/// Records of `modality` whose soft tokens are averaged: spread evenly over the training rows, or over those audited where
/// there are no others.
pub(super) fn mean_records(train: Option<&Rows>, choice: &Choice<'_>) -> Vec<Record> {
    let prompts = train.unwrap_or(choice.of).prompts().iter();
    let records: Vec<&Record> = prompts
        .flat_map(|prompt| records_of(prompt, &choice.modality))
        .collect();
    let chosen = spread(records.len(), ROWS).into_iter();
    chosen.map(|i| records[i].clone()).collect()
}

/// The records of `modality` in a prompt, in order.
pub(super) fn records_of<'p>(
    prompt: &'p Prompt,
    modality: &str,
) -> impl Iterator<Item = &'p Record> {
    prompt
        .segments
        .iter()
        .filter_map(move |segment| match segment {
            Segment::Soft {
                modality: of,
                record,
            } if of == modality => Some(record),
            _ => None,
        })
}
