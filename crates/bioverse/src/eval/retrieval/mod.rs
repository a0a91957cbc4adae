//! Which text belongs to which record? The whole eval side is the set of candidates, in both directions, raw and filtered.
//!
//! | module | what it holds |
//! |---|---|
//! | [`same`] | which candidates are right too |
//! | [`space`] | vectors of records and texts, and ranks by their cosine |
//! | [`ridge`] | terms or vectors of a record → words of its text |
//! | [`written`] | a record as text |
//! | [`baselines`] | which of them a modality has |
//! | [`tables`], [`pictures`] | how it is shown |

pub mod baselines;
pub mod pictures;
pub mod ridge;
pub mod same;
pub mod space;
pub mod tables;
pub mod written;

use bioverse_core::Record;
use rayon::prelude::*;
use serde_json::{Map, Value, json};

pub use super::rows::Pair;
use super::{
    bench::{Bench, Sides},
    findings::{Findings, Method, Role},
    linear::Matrix,
    rows,
};
use crate::error::{Error, Result};
use same::Same;
use space::{Ranks, Space};

/// Ids of the best candidates that a prediction keeps.
const KEPT: usize = 10;

/// Ranks the whole eval side of every modality that has pairs, with the bundle and with the baselines.
pub fn run(bench: &Bench<'_>) -> Result<Vec<Findings>> {
    let Some(sides) = &bench.plan.pairs else {
        return Err(Error::Input(
            "the bundle does not say where its pairs are; name them with --data FILE --input-field X --text-field Y".into(),
        ));
    };
    let modalities = bench.plan.modalities(bench.request, &sides.eval)?;
    let each = modalities
        .iter()
        .map(|modality| one(bench, sides, modality));
    each.collect()
}

fn one(bench: &Bench<'_>, sides: &Sides, modality: &str) -> Result<Findings> {
    let eval = bench.eval_pairs(sides, modality)?;
    let (train, note) = match bench.request.alone {
        true => (vec![], None),
        false => train_rows(bench, sides, modality)?,
    };
    let content = |pair: &Pair| format!("{}\t{}", pair.input, pair.text);
    let split = rows::fingerprint(eval.iter().map(|pair| (pair.id.as_str(), content(pair))));
    let mut findings = Findings::new("retrieval", Some(modality), eval.len(), split);
    findings.train_rows = train.len();
    findings.notes.extend(note);

    let same = Same::of(modality, &eval);
    findings.notes.extend(learnt_from(modality, &train, &eval));
    let model = aligned(bench, modality, &eval)?;
    let mut ranked = vec![("model", Role::Model, model.ranks(&same))];
    let (others, notes) = match bench.request.alone {
        true => (vec![], vec![]),
        false => baselines::run(bench, modality, &train, &eval)?,
    };
    findings.notes.extend(notes);
    for (name, space) in others {
        ranked.push((name, Role::Baseline, space.ranks(&same)));
    }
    findings.methods = ranked
        .iter()
        .map(|(name, role, ranks)| ranks.method(name, *role))
        .collect();
    findings
        .methods
        .push(same.chance(Method::new("chance", Role::Baseline)));
    findings.headline = space::HEADLINE.map(str::to_owned).into();
    findings.definitions = tables::definitions(&findings);
    findings.sheets = tables::sheets(modality, &findings, &same);
    findings.pictures = pictures::curves(modality, &ranked, &same)?;
    findings
        .pictures
        .extend(pictures::maps(modality, &eval, &same, &model)?);
    findings.predictions = predictions(modality, &eval, &model, &ranked);
    Ok(findings)
}

/// Rows for baselines; where there are none, why.
fn train_rows(
    bench: &Bench<'_>,
    sides: &Sides,
    modality: &str,
) -> Result<(Vec<Pair>, Option<String>)> {
    let none = |why: String| {
        let note = format!(
            "Baselines that learn were left out: {why}. They learn from rows beside those that are measured; name the field \
             that splits the file with --split-field, or keep the file the bundle was aligned on where its configuration says."
        );
        (vec![], Some(note))
    };
    match bench.train_pairs(sides, modality) {
        Ok(train) if train.is_empty() => Ok(none("there is no training side".into())),
        Ok(train) => Ok((train, None)),
        Err(error @ Error::Interrupted { .. }) => Err(error),
        Err(error) => Ok(none(error.to_string())),
    }
}

/// A warning where measured records are among those that were learnt from.
fn learnt_from(modality: &str, train: &[Pair], eval: &[Pair]) -> Option<String> {
    let known: std::collections::HashSet<String> = train
        .iter()
        .map(|pair| same::record_key(modality, pair))
        .collect();
    let n = eval
        .iter()
        .filter(|pair| known.contains(&same::record_key(modality, pair)))
        .count();
    (n > 0).then(|| {
        format!(
            "{n} of the {} records are among those that the bundle and the baselines learnt from: these numbers say more \
             about memory than about new records.",
            eval.len()
        )
    })
}

/// Soft vectors and text vectors, both in the bundle's metric.
fn aligned(bench: &Bench<'_>, modality: &str, pairs: &[Pair]) -> Result<Space> {
    let session = bench.session;
    let records: Vec<Record> = pairs.iter().map(|pair| pair.record.clone()).collect();
    let texts: Vec<String> = pairs.iter().map(|pair| pair.text.clone()).collect();
    let metric = session.text_metric(modality)?;
    let name = |i: usize| format!("`{}`", pairs[i].id);
    let records = metric.apply(session.embed_records(modality, &records, &name)?);
    let texts = metric.apply(session.embed_texts(modality, &texts, &name)?);
    Ok(Space::new(
        Matrix::from_tensor(records),
        Matrix::from_tensor(texts),
    ))
}

/// One eval row as it was ranked; the metrics can be computed again from these.
fn predictions(
    modality: &str,
    eval: &[Pair],
    model: &Space,
    ranked: &[(&str, Role, Ranks)],
) -> Vec<Value> {
    let (texts, records) = (model.best_texts(KEPT), model.best_records(KEPT));
    let ids =
        |best: &[usize]| -> Vec<&str> { best.iter().map(|at| eval[*at].id.as_str()).collect() };
    let one = |(i, pair): (usize, &Pair)| {
        let by_method: Map<String, Value> = ranked
            .iter()
            .map(|(name, _, ranks)| ((*name).to_owned(), ranks.row(i)))
            .collect();
        json!({
            "id": pair.id,
            "modality": modality,
            "record": pair.record,
            "reference": pair.text,
            "prediction": texts[i].first().map(|at| &eval[*at].text),
            "top_texts": ids(&texts[i]),
            "top_records": ids(&records[i]),
            "ranks": by_method,
        })
    };
    eval.par_iter().enumerate().map(one).collect()
}
