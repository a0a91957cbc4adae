//! Closed questions of one modality, or of several together, as the suites `audit` and `cross` put them: records encoded
//! once, the frozen LLM asked beside the bundle, findings put together from what was said. Which conditions and baselines
//! there are is for the suites to say.

use std::collections::BTreeMap;

use super::bench::Bench;
use super::closed::{Asked, fingerprint};
use super::conditions::{Examiner, base_llm};
use super::findings::Findings;
use super::pictures;
use super::said::{Said, definitions, predictions};
use crate::data::{EncodedStore, spread};
use crate::error::Result;

/// Rows to measure and to learn from, with the encodings of their records.
pub struct Examination<'a> {
    /// Bundle and request.
    pub bench: &'a Bench<'a>,
    /// Encodings of the records of both sides.
    pub encoded: BTreeMap<String, EncodedStore>,
    /// Rows that baselines may learn from.
    pub train: &'a [Asked],
    /// Rows to measure.
    pub eval: &'a [Asked],
}

impl<'a> Examination<'a> {
    /// Encodes the records of all rows.
    pub fn new(bench: &'a Bench<'a>, (train, eval): (&'a [Asked], &'a [Asked])) -> Result<Self> {
        let examples = eval.iter().chain(train).map(|row| row.example.clone());
        let examples: Vec<_> = examples.collect();
        Ok(Self {
            encoded: bench.session.encode_examples(&examples)?,
            bench,
            train,
            eval,
        })
    }

    /// The bundle, to be asked.
    pub fn examiner(&self) -> Examiner<'_> {
        Examiner {
            session: self.bench.session,
            encoded: &self.encoded,
            batch_size: self.bench.request.batch_size,
        }
    }

    /// What the frozen LLM says; where it cannot be asked, a note why.
    pub fn base_llm(&self, notes: &mut Vec<String>) -> Result<Option<Said>> {
        match base_llm(self.bench.session, self.eval, self.bench.request.batch_size)? {
            Ok(base) => Ok(Some(base)),
            Err(why) => {
                notes.push(format!("the frozen LLM was not asked: {why}"));
                Ok(None)
            }
        }
    }

    /// Findings about these rows, without numbers yet.
    pub fn findings(&self, suite: &'static str, name: Option<&str>) -> Findings {
        let mut findings = Findings::new(suite, name, self.eval.len(), fingerprint(self.eval));
        findings.train_rows = self.train.len();
        findings
    }

    /// Numbers, pictures and predictions of what was said.
    pub fn enter(&self, findings: &mut Findings, said: &[Said], headline: [&str; 2]) -> Result<()> {
        findings.methods = said.iter().map(|one| one.method(self.eval)).collect();
        findings.headline = headline.map(str::to_owned).to_vec();
        findings.definitions = definitions();
        findings.pictures = pictures::all(findings, self.eval, said)?;
        findings.predictions = predictions(self.eval, said);
        Ok(())
    }
}

/// The rows that are `wanted`, at most `most` of them, evenly spaced.
pub fn chosen(rows: &[Asked], wanted: &dyn Fn(&Asked) -> bool, most: usize) -> Vec<Asked> {
    let own: Vec<&Asked> = rows.iter().filter(|row| wanted(row)).collect();
    let places = spread(own.len(), most).into_iter();
    places.map(|at| own[at].clone()).collect()
}
