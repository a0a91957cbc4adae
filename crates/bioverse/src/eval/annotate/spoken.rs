//! What the LLM itself says about each row: the likelihood of every label, free answers, and the frozen LLM that never saw a
//! record.

use std::collections::BTreeMap;

use bioverse_core::{Example, Message, Record};
use burn::prelude::*;

use super::closed::{Asked, likelihoods};
use super::labels::Closed;
use super::mapping::Names;
use super::measure::Said;
use super::rows::Labelled;
use super::variants::Scored;
use crate::{
    Session,
    data::{EncodedStore, spread},
    error::Result,
    eval::{
        Bench,
        findings::Role,
        likelihood::{self, Likelihood, shares},
        worded::worded,
    },
};

/// Records that go through the projector at a time.
const RECORDS: usize = 64;
/// Training rows that the variant and its temperature are chosen on.
const SAMPLE: usize = 256;

/// The LLM with what it is asked.
pub struct Speaker<'a> {
    /// The bundle and the request.
    pub bench: &'a Bench<'a>,
    /// Modality of the records.
    pub modality: &'a str,
    /// Question and labels.
    pub closed: &'a Closed,
}

/// Free answers and what they name.
pub struct Spoken {
    /// The answers.
    pub texts: Vec<String>,
    /// As a method.
    pub said: Said,
}

impl Speaker<'_> {
    /// Likelihoods of all labels for measured rows and for some training rows (with their labels).
    pub fn score(&self, eval: &[Labelled], train: &[(&Labelled, usize)]) -> Result<Scored> {
        let sample: Vec<(&Labelled, usize)> = spread::spread(train.len(), SAMPLE)
            .into_iter()
            .map(|at| train[at])
            .collect();
        let measured: Vec<&Record> = eval.iter().map(|row| &row.record).collect();
        let learnt: Vec<&Record> = sample.iter().map(|(row, _)| &row.record).collect();
        let soft = self.soft(&measured)?;
        // What all records have in common says nothing about one.
        let mean = soft.clone().mean_dim(0);
        let mut parts = vec![soft, mean];
        if !learnt.is_empty() {
            parts.push(self.soft(&learnt)?);
        }
        let answers: Vec<String> = self
            .closed
            .labels
            .iter()
            .map(|l| l.answer.clone())
            .collect();
        let asked = Asked {
            session: self.bench.session,
            modality: self.modality,
            question: &self.closed.question,
            answers: &answers,
            batch_size: self.bench.request.batch_size,
        };
        let mut rows = likelihoods(&asked, &Tensor::cat(parts, 0))?;
        let sampled = rows.split_off(eval.len() + 1);
        Ok(Scored {
            prior: rows.pop().unwrap_or_default(),
            rows,
            sample: sampled,
            labels: sample.into_iter().map(|(_, label)| label).collect(),
        })
    }

    /// # Shapes
    /// n records → `[n, soft_len, d_model]`
    fn soft(&self, records: &[&Record]) -> Result<Tensor<3>> {
        let session = self.bench.session;
        let records: Vec<Record> = records.iter().map(|record| (*record).clone()).collect();
        let store = session.encode(self.modality, &records)?;
        let projector = session.model.projector(self.modality)?;
        let parts = records.chunks(RECORDS).map(|records| {
            let pooled = store.get(records, &session.device)?;
            Ok(projector.project(pooled).embeds)
        });
        Ok(Tensor::cat(parts.collect::<Result<Vec<_>>>()?, 0))
    }

    /// Greedy answers, each with the label it names.
    pub fn generate(&self, eval: &[Labelled]) -> Result<Spoken> {
        let (session, request) = (self.bench.session, self.bench.request);
        let examples: Vec<Example> = eval.iter().map(|row| self.example(&row.record)).collect();
        let texts = session.answer(&examples, &request.generation, request.batch_size)?;
        let names = Names::of(&self.closed.labels);
        let said = Said {
            name: "generated",
            role: Role::Model,
            chosen: texts.iter().map(|text| names.map(text)).collect(),
            shares: None,
        };
        Ok(Spoken { texts, said })
    }

    /// The frozen LLM, without adapter and projector: a record that is text is written into the question, of any other it sees
    /// nothing. Length-normalised likelihoods.
    pub fn base(&self, eval: &[Labelled]) -> Result<Said> {
        let base: Session = self.bench.session.base()?;
        let examples: Vec<Example> = eval
            .iter()
            .map(|row| worded(&self.example(&row.record)))
            .collect();
        let mut distinct: Vec<&Example> = vec![];
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        let place = |example: &Example| example.messages.first().map(|m| m.content.clone());
        let asked: Vec<String> = examples
            .iter()
            .map(|e| place(e).unwrap_or_default())
            .collect();
        for (example, key) in examples.iter().zip(&asked) {
            places.entry(key).or_insert_with(|| {
                distinct.push(example);
                distinct.len() - 1
            });
        }
        let answers: Vec<String> = self
            .closed
            .labels
            .iter()
            .map(|l| l.answer.clone())
            .collect();
        let questions: Vec<likelihood::Closed<'_>> = distinct
            .iter()
            .map(|example| likelihood::Closed {
                example,
                answers: &answers,
            })
            .collect();
        let none: BTreeMap<String, EncodedStore> = BTreeMap::new();
        let size = self.bench.request.batch_size;
        let found = likelihood::likelihoods(&base, &questions, &none, size, "frozen LLM")?;
        let probable = |row: &Vec<Likelihood>| -> Vec<f64> {
            shares(&row.iter().map(Likelihood::per_token).collect::<Vec<_>>())
        };
        let rows = asked
            .iter()
            .map(|key| probable(&found[places[key.as_str()]]));
        Ok(Said::by_shares("base_llm", Role::Baseline, rows.collect()))
    }

    fn example(&self, record: &Record) -> Example {
        Example {
            messages: vec![Message {
                role: "user".into(),
                content: self.closed.question.clone(),
            }],
            records: vec![(self.modality.into(), record.clone())],
            group: None,
        }
    }
}
