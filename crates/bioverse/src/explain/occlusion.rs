//! Occlusion: how many nats of its log-probability the answer loses when a thing is taken away (Zeiler & Fergus 2014,
//! "Visualizing and Understanding Convolutional Networks", section 2.2; called erasure for text by Li, Monroe & Jurafsky 2016).
//! A negative value: the answer is likelier without it. What the parts add up to has no meaning, for parts may stand for one
//! another.

use std::ops::Range;

use bioverse_core::Hidden;
use burn::{prelude::*, tensor::TensorData};
use serde::Serialize;

use super::asked::{Asked, Place, TOGETHER};
use crate::error::{Error, Result};
use crate::interrupt;
use crate::telemetry::Progress;

/// How tokens of a record are taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// The record is encoded again without them, as its modality takes them out: masked, or left out.
    Encoded,
    /// The record is not encoded again; their states are left out when states are pooled.
    Pooled,
}

/// Nats lost without the record, and without each of its soft tokens alone.
pub(super) fn soft_tokens(
    asked: &Asked<'_>,
    place: &Place<'_>,
    baseline: &Tensor<3>,
    whole: f64,
) -> Result<(f64, Vec<f64>)> {
    let own = asked.soft_of(place);
    let [_, length, width] = own.dims();
    let without = |at: usize| {
        let span = [0..1, at..at + 1, 0..width];
        own.clone()
            .slice_assign(span, baseline.clone().narrow(1, at, 1))
    };
    let mut variants = vec![baseline.clone()];
    variants.extend((0..length).map(without));
    let found = asked.with(place, &Tensor::cat(variants, 0));
    let mut lost = found.into_iter().map(|with| whole - with);
    let all = lost.next().unwrap_or(0.0);
    Ok((all, lost.collect()))
}

/// The tokens of a record in runs that are taken away together.
pub(super) struct Runs {
    pub method: Method,
    /// Of states; ascending.
    pub spans: Vec<Range<usize>>,
    labels: Option<Vec<String>>,
    /// Place of each state in the record, from 1.
    numbers: Vec<usize>,
    hidden: Hidden,
}

impl Runs {
    /// At most `limit` runs, none across a token that stays.
    pub fn of(asked: &Asked<'_>, place: &Place<'_>, limit: usize) -> Result<Self> {
        let encoder = asked.session.encoders.get(place.modality);
        let encoder = encoder
            .ok_or_else(|| Error::Run(format!("the bundle has no `{}` encoder", place.modality)))?
            .get()?;
        let hidden = encoder.encode(std::slice::from_ref(place.record))?;
        let pooled: Vec<bool> = hidden.mask.to_data().iter::<bool>().collect();
        let parts = encoder.parts(place.record)?;
        let named = parts.labels.filter(|labels| labels.len() == pooled.len());
        let (method, free) = match named.is_some() && parts.removable.len() == pooled.len() {
            true => (Method::Encoded, parts.removable),
            false => (Method::Pooled, pooled),
        };
        let numbers = free.iter().scan(0, |count, free| {
            *count += usize::from(*free);
            Some(*count)
        });
        Ok(Self {
            method,
            numbers: numbers.collect(),
            spans: spans(&free, limit),
            labels: named,
            hidden,
        })
    }

    /// What the tokens of a run are called.
    pub fn labels(&self, run: usize) -> Vec<String> {
        let span = self.spans.get(run).cloned().unwrap_or_default();
        let number = |at: usize| self.numbers.get(at).copied().unwrap_or_default();
        match &self.labels {
            Some(labels) => labels.get(span).unwrap_or_default().to_vec(),
            None => span.map(|at| number(at).to_string()).collect(),
        }
    }

    /// Place of the first token of a run in the record, from 1.
    pub fn first(&self, run: usize) -> usize {
        let at = self.spans.get(run).map(|span| span.start);
        at.and_then(|at| self.numbers.get(at))
            .copied()
            .unwrap_or_default()
    }

    /// Every state of every run.
    pub fn all(&self) -> impl Iterator<Item = usize> + '_ {
        self.spans.iter().flat_map(Clone::clone)
    }
}

/// Free positions in runs of equal length, as long as it takes to have about `limit` of them; a position that stays ends a run.
fn spans(free: &[bool], limit: usize) -> Vec<Range<usize>> {
    let count = free.iter().filter(|free| **free).count();
    let length = count.div_ceil(limit.max(1)).max(1);
    let mut spans: Vec<Range<usize>> = vec![];
    for at in (0..free.len()).filter(|at| free[*at]) {
        match spans.last_mut() {
            Some(last) if last.end == at && last.len() < length => last.end = at + 1,
            _ => spans.push(at..at + 1),
        }
    }
    spans
}

/// Nats lost without each run.
pub(super) fn tokens(
    asked: &Asked<'_>,
    place: &Place<'_>,
    runs: &Runs,
    whole: f64,
) -> Result<Vec<f64>> {
    let projector = asked.model().projector(place.modality)?;
    let mut progress = Progress::new(&format!("explain {}", place.modality), runs.spans.len());
    let mut lost = vec![];
    for spans in runs.spans.chunks(TOGETHER) {
        if interrupt::requested() {
            return Err(Error::Interrupted {
                step: lost.len(),
                saved: "the explanation was given up".into(),
            });
        }
        let hidden = match runs.method {
            Method::Encoded => {
                let encoder = asked.session.encoders.get(place.modality);
                let encoder = encoder
                    .ok_or_else(|| Error::Run("an encoder is gone".into()))?
                    .get()?;
                encoder.encode_occluded(place.record, spans)?
            }
            Method::Pooled => unpooled(&runs.hidden, spans),
        };
        let soft = projector.forward(hidden).embeds;
        lost.extend(
            asked
                .with(place, &soft)
                .into_iter()
                .map(|with| whole - with),
        );
        progress.set(lost.len(), "");
    }
    progress.finish("");
    Ok(lost)
}

/// The record once for each span, its states not being real.
fn unpooled(hidden: &Hidden, spans: &[Range<usize>]) -> Hidden {
    let real: Vec<bool> = hidden.mask.to_data().iter::<bool>().collect();
    let row = |span: &Range<usize>| {
        let span = span.clone();
        real.iter()
            .enumerate()
            .map(move |(at, real)| *real && !span.contains(&at))
            .collect::<Vec<_>>()
    };
    let mask: Vec<bool> = spans.iter().flat_map(row).collect();
    let mask = TensorData::new(mask, [spans.len(), real.len()]);
    Hidden {
        states: hidden.states.clone().repeat_dim(0, spans.len()),
        mask: Tensor::from_data(mask, &hidden.mask.device()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_cover_what_is_free_and_nothing_else() {
        let free: Vec<bool> = "0111111110".chars().map(|c| c == '1').collect();
        let ones: Vec<Range<usize>> = (1..9).map(|at| at..at + 1).collect();
        assert_eq!(spans(&free, 8), ones);
        assert_eq!(spans(&free, 99), ones);
        assert_eq!(spans(&free, 3), [1..4, 4..7, 7..9]);
        assert_eq!(spans(&[true, true, false, true], 1), [0..2, 3..4]);
        assert!(spans(&[false], 4).is_empty());
    }
}
