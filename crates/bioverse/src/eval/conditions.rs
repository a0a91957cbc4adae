//! What the bundle says to closed questions with its own records, with others, with none: shares of the answers under each
//! condition. Which records take whose place is for the suites to say.

use std::collections::BTreeMap;

use bioverse_core::{Example, Layout, Record, SoftTokens};
use burn::prelude::*;

use super::closed::Asked;
use super::findings::Role;
use super::likelihood::{Closed, Likelihood, likelihoods, likelihoods_with, shares};
use super::said::Said;
use super::worded::worded;
use crate::Session;
use crate::audit::mean_soft;
use crate::data::{EncodedStore, spread};
use crate::error::{Error, Result};

/// Records whose soft tokens are averaged at most.
const AVERAGED: usize = 512;

/// A bundle that is asked closed questions again and again.
pub struct Examiner<'a> {
    /// The bundle.
    pub session: &'a Session,
    /// Encodings of all records.
    pub encoded: &'a BTreeMap<String, EncodedStore>,
    /// Prompts at a time.
    pub batch_size: usize,
}

impl Examiner<'_> {
    /// With each question's own records, or with those of `examples` in their place.
    pub fn ask(
        &self,
        (name, role): (&str, Role),
        rows: &[Asked],
        examples: Option<&[Example]>,
    ) -> Result<Said> {
        let asked = closed(rows, examples);
        let found = likelihoods(self.session, &asked, self.encoded, self.batch_size, name)?;
        Ok(said((name, role), rows, &found))
    }

    /// With the same soft tokens, `[1, soft_len, d_model]`, for every record of `modality`.
    pub fn ask_constant(
        &self,
        (name, role): (&str, Role),
        rows: &[Asked],
        modality: &str,
        tokens: &Tensor<3>,
    ) -> Result<Said> {
        let soft = |layout: &Layout| {
            let plain = self.session.device.clone().inner();
            let mut soft = self
                .session
                .model
                .soft_tokens(layout, self.encoded, &plain)?;
            for (group, soft) in layout.groups.iter().zip(&mut soft) {
                if group.modality == modality {
                    let embeds = tokens.clone().repeat_dim(0, group.records.len());
                    *soft = SoftTokens { embeds };
                }
            }
            Ok(soft)
        };
        let asked = closed(rows, None);
        let found = likelihoods_with(self.session, &asked, &soft, self.batch_size, name)?;
        Ok(said((name, role), rows, &found))
    }

    /// The mean soft tokens of records spread evenly over those given, which were encoded.
    ///
    /// # Shapes
    /// → `[1, soft_len, d_model]`
    pub fn mean(&self, modality: &str, records: &[Record]) -> Result<Tensor<3>> {
        let chosen = spread(records.len(), AVERAGED).into_iter();
        let chosen: Vec<Record> = chosen.map(|at| records[at].clone()).collect();
        let (model, device) = (&self.session.model, &self.session.device);
        mean_soft(model, self.encoded, modality, &chosen, device)
    }
}

/// The LLM without adapter and projectors, records written out as text; `Err` with the reason where it cannot read that.
pub fn base_llm(
    session: &Session,
    rows: &[Asked],
    batch_size: usize,
) -> Result<std::result::Result<Said, String>> {
    let base = session.base()?;
    let examples: Vec<Example> = rows.iter().map(|row| worded(&row.example)).collect();
    let asked = closed(rows, Some(&examples));
    match likelihoods(&base, &asked, &BTreeMap::new(), batch_size, "base_llm") {
        Ok(found) => Ok(Ok(said(("base_llm", Role::Baseline), rows, &found))),
        Err(Error::Input(reason)) => Ok(Err(reason)),
        Err(error) => Err(error),
    }
}

/// The questions of rows, about the records of `examples` where those are given.
fn closed<'a>(rows: &'a [Asked], examples: Option<&'a [Example]>) -> Vec<Closed<'a>> {
    let each = rows.iter().enumerate().map(|(at, row)| Closed {
        example: examples.and_then(|all| all.get(at)).unwrap_or(&row.example),
        answers: &row.texts,
    });
    each.collect()
}

/// The probability of an answer is the sum of those of its texts.
fn said((name, role): (&str, Role), rows: &[Asked], found: &[Vec<Likelihood>]) -> Said {
    let rows = || rows.iter().zip(found);
    let of = |(row, found): (&Asked, &Vec<Likelihood>)| {
        let logarithms: Vec<f64> = found.iter().map(|one| one.log_probability).collect();
        let mut of_answers = vec![0.0; row.answers.len()];
        for (answer, share) in row.gives.iter().zip(shares(&logarithms)) {
            of_answers[*answer] += share;
        }
        of_answers
    };
    let own = |(row, found): (&Asked, &Vec<Likelihood>)| {
        let own = found.get(row.reference);
        own.map_or(f64::NAN, Likelihood::per_token)
    };
    Said {
        log_likelihood: Some(rows().map(own).collect()),
        ..Said::new(name, role, rows().map(of).collect())
    }
}
