//! Suite `annotate`: which of a closed set of labels has a record? Cell types, enzyme classes, classes of molecules: any
//! modality with a label.
//!
//! | module | what it holds |
//! |---|---|
//! | [`rows`] | records with labels, measured and learnt from |
//! | [`labels`], [`mapping`] | the closed set, its wording, and what a text names |
//! | [`closed`], [`variants`], [`spoken`] | the LLM's own answer: likelihoods, calibrated, and free text |
//! | [`similarity`] | the aligned space, without the LLM |
//! | [`supervised`], [`features`] | baselines that learn |
//! | [`ontology`] | how near a wrong answer is |
//! | [`measure`], [`tables`], [`pictures`] | numbers and how they are shown |

pub mod closed;
pub mod features;
pub mod labels;
pub mod mapping;
pub mod measure;
pub mod ontology;
pub mod pictures;
pub mod rows;
pub mod similarity;
pub mod spoken;
pub mod supervised;
pub mod tables;
pub mod variants;

use serde_json::{Map, Value, json};

use super::bench::Bench;
use super::findings::Findings;
use crate::error::{Error, Result};
use labels::Closed;
use measure::{Said, Truth};
use ontology::Ontology;
use rows::{Labelled, Sides};
use similarity::Aligned;
use spoken::{Speaker, Spoken};

/// Numbers that are looked for first.
const HEADLINE: [&str; 1] = ["accuracy"];

/// Types the records of every modality that has labels.
pub fn run(bench: &Bench<'_>) -> Result<Vec<Findings>> {
    let data = bench.request.data.clone();
    let modalities = bench
        .plan
        .modalities(bench.request, &data.unwrap_or_default())?;
    let several = modalities.len() > 1;
    if several && bench.request.data.is_some() {
        return Err(Error::Input(format!(
            "the bundle has several modalities, so --modality must say which one the file holds: {}",
            modalities.join(", ")
        )));
    }
    let mut found = vec![];
    let mut why = None;
    for modality in &modalities {
        match rows::read(bench, modality) {
            Ok(sides) => found.push(one(bench, modality, sides)?),
            // Not every modality has labels.
            Err(error @ Error::Input(_)) if several => why = Some(error),
            Err(error) => return Err(error),
        }
    }
    match (found.is_empty(), why) {
        (true, Some(error)) => Err(error),
        _ => Ok(found),
    }
}

fn one(bench: &Bench<'_>, modality: &str, sides: Sides) -> Result<Findings> {
    let mut closed = labels::close(bench, modality, &sides)?;
    let mut notes = sides.notes.clone();
    notes.push(closed.origin.clone());
    let ontology = match &bench.request.ontology {
        Some(file) => Some(Ontology::read(file)?),
        None => None,
    };
    if let Some(ontology) = &ontology {
        let missing = ontology.name(&mut closed.labels);
        if !missing.is_empty() {
            notes.push(format!(
                "No term of the ontology was found for {}: rows with these labels have no ontology scores.",
                missing.join(", ")
            ));
        }
    }
    let truth = Truth {
        labels: sides
            .eval
            .iter()
            .map(|row| closed.place(&row.label))
            .collect(),
        classes: closed.labels.len(),
        nearness: ontology
            .as_ref()
            .map(|found| found.nearness(&closed.labels)),
    };
    notes.extend(outside(&sides.eval, &truth));
    let asked = Asked {
        bench,
        modality,
        sides: &sides,
        closed: &closed,
        ontology: ontology.as_ref(),
    };
    let answers = asked.answers(&mut notes)?;
    let content = |row: &Labelled| format!("{}\t{}", super::rows::text_of(&row.record), row.label);
    let split =
        super::rows::fingerprint(sides.eval.iter().map(|row| (row.id.as_str(), content(row))));
    let mut findings = Findings::new("annotate", Some(modality), sides.eval.len(), split);
    findings.train_rows = sides.train.len();
    findings.headline = HEADLINE.map(str::to_owned).into();
    findings.methods = answers
        .said
        .iter()
        .map(|said| measure::measure(&truth, said))
        .collect();
    findings.definitions = measure::definitions();
    findings.definitions.extend(tables::methods());
    findings.notes = notes;
    findings.sheets = tables::sheets(&findings, &truth, &answers.said[0], &closed);
    findings.pictures = pictures::all(modality, &sides.eval, &truth, &answers, &closed)?;
    findings.predictions = predictions(&sides.eval, &answers, &closed);
    Ok(findings)
}

/// What to say about rows whose label is outside of the set.
fn outside(eval: &[Labelled], truth: &Truth) -> Option<String> {
    let n = eval.len() - truth.inside().len();
    (n > 0).then(|| {
        format!(
            "{n} of {} rows have a label that no training row has: they count in `total_accuracy` alone, as wrong.",
            eval.len()
        )
    })
}

/// What every method says.
pub struct Answers {
    /// The bundle first.
    said: Vec<Said>,
    spoken: Spoken,
    aligned: Option<Aligned>,
}

/// Everything that methods need.
struct Asked<'a> {
    bench: &'a Bench<'a>,
    modality: &'a str,
    sides: &'a Sides,
    closed: &'a Closed,
    ontology: Option<&'a Ontology>,
}

impl Asked<'_> {
    fn answers(&self, notes: &mut Vec<String>) -> Result<Answers> {
        let (session, eval) = (self.bench.session, &self.sides.eval);
        let train = self.learnt();
        let speaker = Speaker {
            bench: self.bench,
            modality: self.modality,
            closed: self.closed,
        };
        let (mut said, note) = speaker.score(eval, &train)?.said();
        notes.push(note);
        let spoken = speaker.generate(eval)?;
        said.push(spoken.said.clone());
        let labels = &self.closed.labels;
        let aligned = similarity::run(session, self.modality, eval, labels, self.ontology);
        let aligned = match aligned {
            Ok(aligned) => Some(aligned),
            Err(Error::Input(why)) => {
                notes.push(format!("`similarity` was left out: {why}"));
                None
            }
            Err(error) => return Err(error),
        };
        said.extend(aligned.iter().map(|aligned| aligned.said.clone()));
        said.push(speaker.base(eval)?);
        said.extend(self.supervised(&train, notes)?);
        Ok(Answers {
            said,
            spoken,
            aligned,
        })
    }

    /// Training rows with a label of the set.
    fn learnt(&self) -> Vec<(&Labelled, usize)> {
        let rows = self.sides.train.iter();
        rows.filter_map(|row| Some((row, self.closed.place(&row.label)?)))
            .collect()
    }

    fn supervised(
        &self,
        train: &[(&Labelled, usize)],
        notes: &mut Vec<String>,
    ) -> Result<Vec<Said>> {
        if train.is_empty() {
            return Ok(vec![]);
        }
        let task = supervised::Task {
            train: train.iter().map(|(row, _)| &row.record).collect(),
            labels: train.iter().map(|(_, label)| *label).collect(),
            eval: self.sides.eval.iter().map(|row| &row.record).collect(),
            classes: self.closed.labels.len(),
        };
        let mut said = vec![];
        if let Some((plain, what)) = task.plain() {
            said.extend(plain);
            notes.push(what);
        }
        said.extend(task.encoder(self.bench.session, self.modality)?);
        said.push(task.majority());
        Ok(said)
    }
}

/// One measured row with what every method said; the metrics can be computed again from these.
fn predictions(eval: &[Labelled], answers: &Answers, closed: &Closed) -> Vec<Value> {
    let names = closed.names();
    let name = |label: Option<usize>| label.map_or(Value::Null, |at| names[at].clone().into());
    let all: Vec<(&Said, Option<Vec<f64>>)> = answers
        .said
        .iter()
        .map(|said| (said, said.confidence()))
        .collect();
    let one = |(row, labelled): (usize, &Labelled)| {
        let methods: Map<String, Value> = all
            .iter()
            .map(|(said, _)| (said.name.to_owned(), name(said.chosen[row])))
            .collect();
        let confidence: Map<String, Value> = all
            .iter()
            .filter_map(|(said, confidence)| {
                Some((said.name.to_owned(), confidence.as_ref()?[row].into()))
            })
            .collect();
        let model = &answers.said[0];
        let shares = model.shares.as_ref().map(|shares| &shares[row]);
        let probabilities: Map<String, Value> = names
            .iter()
            .zip(shares.into_iter().flatten())
            .map(|(name, share)| (name.clone(), (*share).into()))
            .collect();
        json!({
            "id": labelled.id,
            "reference": labelled.label,
            "prediction": name(model.chosen[row]),
            "in_set": closed.place(&labelled.label).is_some(),
            "probabilities": probabilities,
            "methods": methods,
            "confidence": confidence,
            "answer": answers.spoken.texts[row],
        })
    };
    eval.iter().enumerate().map(one).collect()
}
