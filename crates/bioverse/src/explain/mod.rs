//! Why an answer: which soft tokens, and which residues, atoms or genes of a record, it was made of. Two methods that share
//! nothing but the answer's log-probability: taking a thing away and looking again ([`occlusion`]), and the gradient at the
//! thing ([`gradient`]). How an explanation is shown is for [`terminal`] and [`page`]; it trains nothing.
//!
//! Both say what the *model* used, not what is true of the record. Where they disagree, the answer does not depend on its input
//! in a simple way (two parts that stand for one another, a saturated layer), and neither is the whole truth.

mod asked;
pub mod gradient;
pub mod occlusion;
pub mod page;
mod reference;
pub mod terminal;
#[cfg(test)]
mod tests;

use bioverse_core::{Example, Registry};
use serde::{Deserialize, Serialize};

use crate::Session;
use crate::error::{Error, Result};
use asked::{Asked, Place};
use occlusion::Runs;

/// What stands in for a soft token that is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Baseline {
    /// Nothing: a vector of zeros.
    #[default]
    Zero,
    /// The mean soft token, at its place, of records that the bundle was trained on.
    Mean,
}

/// How to explain.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// What stands in for a soft token that is taken away.
    pub baseline: Baseline,
    /// Most occlusions of a record's own tokens; a longer record is occluded in runs of neighbouring tokens.
    pub limit: usize,
}

/// Occlusions of a record's own tokens unless told otherwise.
pub const LIMIT: usize = 256;

/// An answer taken apart.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// The last thing that was asked, with its placeholders.
    pub question: String,
    /// The answer, trimmed.
    pub answer: String,
    /// Tokens of the answer, the one that ended it included.
    pub answer_tokens: usize,
    /// Sum of their log-probabilities in nats, given everything before them.
    pub log_probability: f64,
    /// What stands in for a soft token that is taken away.
    pub baseline: Baseline,
    /// One entry for each record of the conversation, by modality, in the order of their placeholders.
    pub records: Vec<Part>,
}

/// What one record did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// Its modality.
    pub modality: String,
    /// The record, or the beginning of a long one.
    pub record: String,
    /// Nats that the answer loses with all soft tokens of the record taken away.
    pub occlusion: f64,
    /// Its soft tokens, in order.
    pub soft: Vec<Soft>,
    /// How tokens of the record were taken away.
    pub method: occlusion::Method,
    /// Its own tokens, in runs of one unless there were too many.
    pub tokens: Vec<Run>,
    /// Gradient × input summed over states that are no token of the record, such as `<cls>`.
    pub special_gradient: f64,
}

/// One soft token.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Soft {
    /// Nats that the answer loses without it.
    pub occlusion: f64,
    /// Gradient × input: the slope of the answer's log-probability along the token.
    pub gradient: f64,
}

/// One token of the record, or a run of neighbouring ones.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Run {
    /// What the tokens are called; their numbers where the modality gives no names.
    pub labels: Vec<String>,
    /// Place of the first in the record, from 1.
    pub at: usize,
    /// Nats that the answer loses without them.
    pub occlusion: f64,
    /// Gradient × input at their hidden states.
    pub gradient: f64,
}

/// Explains the answer `ids` to the last question of a conversation.
///
/// # Errors
/// A conversation without records; an answer without tokens; records that cannot be encoded; Ctrl-C.
pub fn explain(
    session: &Session,
    registry: &Registry,
    (example, ids): (&Example, &[u32]),
    options: Options,
) -> Result<Explanation> {
    let asked = Asked::new(session, example, ids)?;
    let log_probability = asked.whole()?;
    let gradients = gradient::at_soft_tokens(&asked)?;
    let mut records = vec![];
    for place in asked.places() {
        let baseline = reference::baseline(session, registry, place.modality, options.baseline)?;
        let gradient = gradients.get(place.group).map(|all| all.at(&place));
        let gradient = gradient.ok_or_else(|| Error::Run("a group has no gradient".into()))?;
        records.push(part(
            &asked,
            &place,
            (baseline, gradient),
            (log_probability, options),
        )?);
    }
    let question = example
        .messages
        .iter()
        .rfind(|message| message.role == "user");
    Ok(Explanation {
        question: question.map_or(String::new(), |message| message.content.clone()),
        answer: asked.answer()?,
        answer_tokens: ids.len(),
        log_probability,
        baseline: options.baseline,
        records,
    })
}

fn part(
    asked: &Asked<'_>,
    place: &Place<'_>,
    (baseline, gradient): (burn::prelude::Tensor<3>, gradient::AtSoft),
    (whole, options): (f64, Options),
) -> Result<Part> {
    let (all, each) = occlusion::soft_tokens(asked, place, &baseline, whole)?;
    let runs = Runs::of(asked, place, options.limit)?;
    let lost = occlusion::tokens(asked, place, &runs, whole)?;
    let states = gradient::at_states(asked, place, &gradient)?;
    let soft = each.iter().zip(&gradient.products);
    let inside: f64 = runs
        .all()
        .map(|at| states.get(at).copied().unwrap_or(0.0))
        .sum();
    let tokens = runs.spans.iter().zip(lost).enumerate();
    Ok(Part {
        modality: place.modality.to_owned(),
        record: brief(place.record),
        occlusion: all,
        soft: soft
            .map(|(occlusion, gradient)| Soft {
                occlusion: *occlusion,
                gradient: *gradient,
            })
            .collect(),
        method: runs.method,
        tokens: tokens
            .map(|(number, (span, occlusion))| Run {
                labels: runs.labels(number),
                at: runs.first(number),
                occlusion,
                gradient: span.clone().filter_map(|at| states.get(at)).sum(),
            })
            .collect(),
        special_gradient: states.iter().sum::<f64>() - inside,
    })
}

/// Characters of a record that are kept.
const SHOWN: usize = 200;

/// A record as text, cut if it is long.
fn brief(record: &bioverse_core::Record) -> String {
    let text = record
        .as_str()
        .map_or_else(|| record.to_string(), str::to_owned);
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
