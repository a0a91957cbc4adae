//! How the bundle answers closed questions: by the likelihood of each option, and by what it says freely. The same for the
//! frozen LLM, which is asked in words.

use std::collections::BTreeMap;

use bioverse_core::Example;

use super::item::{Item, Passage, Set};
use super::measure::Said;
use crate::Session;
use crate::data::EncodedStore;
use crate::error::{Error, Result};
use crate::eval::bench::Bench;
use crate::eval::likelihood::{Closed, likelihoods, shares};
use crate::eval::metrics::{normalize, words};

/// Questions as they are put to a session, with the encodings of their records.
pub struct Questions<'a> {
    session: &'a Session,
    encoded: BTreeMap<String, EncodedStore>,
    batch_size: usize,
}

impl<'a> Questions<'a> {
    /// For the examples given; none other can be asked.
    pub fn new(bench: &Bench<'_>, session: &'a Session, examples: &[Example]) -> Result<Self> {
        Ok(Self {
            session,
            encoded: session.encode_examples(examples)?,
            batch_size: bench.request.batch_size,
        })
    }

    /// Shares of the length-normalised likelihoods of the options.
    pub fn likely(&self, items: &[Item], examples: &[Example], label: &str) -> Result<Said> {
        let asked: Vec<Closed<'_>> = items
            .iter()
            .zip(examples)
            .map(|(item, example)| Closed {
                example,
                answers: &item.options,
            })
            .collect();
        let found = likelihoods(self.session, &asked, &self.encoded, self.batch_size, label)?;
        let per_token = |row: &Vec<_>| -> Vec<f64> {
            row.iter()
                .map(crate::eval::likelihood::Likelihood::per_token)
                .collect()
        };
        Ok(Said::of(
            found.iter().map(|row| shares(&per_token(row))).collect(),
        ))
    }

    /// What is said freely, and which option that is.
    pub fn free(
        &self,
        bench: &Bench<'_>,
        items: &[Item],
        examples: &[Example],
    ) -> Result<(Vec<String>, Said)> {
        let generation = &bench.request.generation;
        let session = self.session;
        let texts = session.answer_encoded(examples, &self.encoded, generation, self.batch_size)?;
        let pairs = items.iter().zip(&texts);
        let said = Said {
            chosen: pairs
                .map(|(item, text)| option_in(text, &item.options))
                .collect(),
            shares: None,
        };
        Ok((texts, said))
    }
}

/// The option that an answer is, or else the one whose words occur in it first; of two that begin at the same word the
/// longer one. Nothing where none occurs.
pub fn option_in(answer: &str, options: &[String]) -> Option<usize> {
    let same = |option: &String| normalize(option) == normalize(answer);
    if let Some(at) = options.iter().position(same) {
        return Some(at);
    }
    let said = words(answer);
    let found = options.iter().enumerate().filter_map(|(at, option)| {
        let option = words(option);
        let first = said
            .windows(option.len().max(1))
            .position(|run| run == option)?;
        Some((first, std::cmp::Reverse(option.len()), at))
    });
    found.min().map(|(.., at)| at)
}

/// Probabilities after the mean logarithm of each option over all rows was taken away (batch calibration, Zhou et al. 2023):
/// what the LLM finds likely whatever it is asked about. Only where all rows have the same options.
pub fn calibrated(set: &Set, said: &Said) -> Option<Said> {
    let rows = said.shares.as_ref().filter(|_| set.common)?;
    let logarithm = |share: &f64| share.max(f64::MIN_POSITIVE).ln();
    let classes = set.classes.len();
    let mean: Vec<f64> = (0..classes)
        .map(|class| rows.iter().map(|row| logarithm(&row[class])).sum::<f64>() / rows.len() as f64)
        .collect();
    let moved = rows.iter().map(|row| {
        let pairs = row.iter().zip(&mean);
        shares(
            &pairs
                .map(|(share, mean)| logarithm(share) - mean)
                .collect::<Vec<_>>(),
        )
    });
    Some(Said::of(moved.collect()))
}

/// The prompts of passages, cut so that passage, question and the longest answer fit into what the LLM reads, and how many
/// were cut.
pub fn fitted(session: &Session, items: &[Item]) -> Result<(Vec<Example>, usize)> {
    let mut cut = 0;
    let mut examples = vec![];
    for item in items {
        let Some(passage) = &item.passage else {
            examples.push(item.example.clone());
            continue;
        };
        let (example, whole) = fit(session, item, passage)?;
        cut += usize::from(!whole);
        examples.push(example);
    }
    Ok((examples, cut))
}

/// One prompt, and whether its passage is whole.
fn fit(session: &Session, item: &Item, passage: &Passage) -> Result<(Example, bool)> {
    let room = session.model.llm.config().max_position_embeddings;
    let longest = item.options.iter().max_by_key(|option| option.len());
    let longest = longest.map_or("", String::as_str);
    let all = passage.context.chars().count();
    let mut kept = all;
    loop {
        let example = passage.in_words(kept);
        let width = session.width(&session.prompt_with(&example, longest)?)?;
        if width <= room {
            return Ok((example, kept == all));
        }
        if kept == 0 {
            return Err(Error::Input(format!(
                "{}: the question alone has {width} tokens with its answers, but the LLM reads {room} at most; remove the row",
                item.id
            )));
        }
        // A little less than in proportion, and less in any case: few turns are enough.
        let less = kept * room / width * 9 / 10;
        kept = if less < kept / 20 { 0 } else { less };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_the_option_that_comes_first_in_it() {
        let options: Vec<String> = ["Yes.", "No.", "T cell", "T cell, activated"]
            .map(String::from)
            .into();
        let of = |answer: &str| option_in(answer, &options);
        assert_eq!(of("no"), Some(1));
        assert_eq!(of("Yes, it has no ring."), Some(0));
        assert_eq!(of("It is a T cell, activated by LPS."), Some(3));
        assert_eq!(of("A B cell."), None);
        assert_eq!(of(""), None);
    }

    #[test]
    fn calibration_takes_away_what_is_always_likely() {
        let set = Set {
            classes: vec!["yes".into(), "no".into()],
            common: true,
            ..Set::default()
        };
        let said = Said::of(vec![vec![0.9, 0.1], vec![0.6, 0.4]]);
        assert_eq!(said.chosen, [Some(0), Some(0)]);
        let got = calibrated(&set, &said).map(|said| said.chosen);
        assert_eq!(got, Some(vec![Some(0), Some(1)]));
    }
}
