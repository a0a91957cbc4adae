//! How probable does the LLM find each of several answers? For closed sets: labels, yes and no, options. What the numbers
//! decide (an argmax, a calibrated score, a curve) is for the suites to say.

use std::collections::BTreeMap;

use bioverse_core::{Example, Layout, PadSide, Prompt, SoftTokens};

use crate::{
    Session,
    data::EncodedStore,
    error::{Error, Result},
    telemetry::Progress,
};

/// A question with the answers to compare.
#[derive(Debug, Clone, Copy)]
pub struct Closed<'a> {
    /// The conversation; assistant turns behind its last question are dropped.
    pub example: &'a Example,
    /// Possible answers, as plain text.
    pub answers: &'a [String],
}

/// One answer as the LLM finds it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Likelihood {
    /// Sum over the answer's tokens, its end-of-turn token included, of `ln p(token | everything before)`. With the end
    /// included, "T cell" does not win because "T cell, activated" begins with it.
    pub log_probability: f64,
    /// How many tokens that are.
    pub tokens: usize,
}

impl Likelihood {
    /// Length-normalised: mean over the tokens.
    pub fn per_token(&self) -> f64 {
        self.log_probability / self.tokens.max(1) as f64
    }
}

/// Every answer of every question, in the order given. `encoded` holds the records
/// ([`Session::encode_examples`]); `label` names the progress bar.
///
/// # Errors
/// A question with its answer that is longer than the LLM reads; a record that was not encoded.
pub fn likelihoods(
    session: &Session,
    asked: &[Closed<'_>],
    encoded: &BTreeMap<String, EncodedStore>,
    batch_size: usize,
    label: &str,
) -> Result<Vec<Vec<Likelihood>>> {
    let soft = |layout: &Layout| {
        session
            .model
            .soft_tokens(layout, encoded, &session.device.clone().inner())
    };
    likelihoods_with(session, asked, &soft, batch_size, label)
}

/// As [`likelihoods`], with the soft tokens that `soft` gives for the records of a layout, one batch for each of its groups.
///
/// # Errors
/// A question with its answer that is longer than the LLM reads; whatever `soft` refuses.
pub fn likelihoods_with(
    session: &Session,
    asked: &[Closed<'_>],
    soft: &dyn Fn(&Layout) -> Result<Vec<SoftTokens>>,
    batch_size: usize,
    label: &str,
) -> Result<Vec<Vec<Likelihood>>> {
    let mut waiting = Waiting::of(session, asked)?;
    // Rows of like length stand together, which saves padding.
    waiting.prompts.sort_by_key(|(width, at, _)| (*width, *at));
    let mut found: Vec<Vec<Likelihood>> = asked
        .iter()
        .map(|row| vec![Likelihood::default(); row.answers.len()])
        .collect();
    let mut progress = Progress::new(label, waiting.prompts.len());
    let mut done = 0;
    for batch in waiting.prompts.chunks(batch_size.max(1)) {
        let prompts: Vec<Prompt> = batch.iter().map(|(.., prompt)| prompt.clone()).collect();
        for ((_, (row, answer), _), one) in batch.iter().zip(score(session, &prompts, soft)?) {
            found[*row][*answer] = one;
        }
        done += batch.len();
        progress.set(done, "");
    }
    progress.finish("");
    Ok(found)
}

/// Prompts with their widths and places: row and answer.
struct Waiting {
    prompts: Vec<(usize, (usize, usize), Prompt)>,
}

impl Waiting {
    fn of(session: &Session, asked: &[Closed<'_>]) -> Result<Self> {
        let room = session.model.llm.config().max_position_embeddings;
        let mut prompts = vec![];
        for (row, closed) in asked.iter().enumerate() {
            for (index, answer) in closed.answers.iter().enumerate() {
                let prompt = session.prompt_with(closed.example, answer)?;
                let width = session.width(&prompt)?;
                if width > room {
                    return Err(Error::Input(format!(
                        "question {} with its answer has {width} tokens, but the LLM reads {room} at most; shorten it",
                        row + 1
                    )));
                }
                prompts.push((width, (row, index), prompt));
            }
        }
        Ok(Self { prompts })
    }
}

/// One batch.
fn score(
    session: &Session,
    prompts: &[Prompt],
    soft: &dyn Fn(&Layout) -> Result<Vec<SoftTokens>>,
) -> Result<Vec<Likelihood>> {
    let layout = session.layout(prompts, PadSide::Right)?;
    let width = layout.width();
    let mut rows = vec![Likelihood::default(); layout.rows.len()];
    let (model, device) = (&session.model, &session.device);
    let embeds = model.inputs_embeds_with(&layout, soft(&layout)?, device);
    let hidden = model.read(&layout, embeds, device).inner();
    let targets = layout.targets();
    for ((at, _), score) in targets.iter().zip(model.scores_at(hidden, &targets)) {
        let row = &mut rows[at / width];
        row.log_probability -= score.loss;
        row.tokens += 1;
    }
    Ok(rows)
}

/// Shares of a whole from logarithms of unnormalised probabilities; equal shares where none is a number.
pub fn shares(logarithms: &[f64]) -> Vec<f64> {
    let largest = logarithms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !largest.is_finite() {
        return vec![1.0 / logarithms.len().max(1) as f64; logarithms.len()];
    }
    let each: Vec<f64> = logarithms.iter().map(|l| (l - largest).exp()).collect();
    let sum: f64 = each.iter().sum();
    each.iter().map(|value| value / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_and_keep_their_ratios() {
        let got = shares(&[-1000.0, -1000.0 + 3.0_f64.ln()]);
        assert!((got[0] - 0.25).abs() < 1e-12 && (got[1] - 0.75).abs() < 1e-12);
        assert_eq!(shares(&[f64::NEG_INFINITY; 2]), [0.5, 0.5]);
        assert!(shares(&[]).is_empty());
    }

    #[test]
    fn a_long_answer_is_not_punished_for_its_length() {
        let of = |log_probability, tokens| Likelihood {
            log_probability,
            tokens,
        };
        assert!(of(-4.0, 4).per_token() > of(-3.0, 2).per_token());
        assert_eq!(Likelihood::default().per_token(), 0.0);
    }
}
