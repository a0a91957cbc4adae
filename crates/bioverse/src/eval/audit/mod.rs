//! Suite `audit`: does the bundle need its records, and does anything simpler do as well? Closed questions answered with the
//! records, with those of other rows, with none, and by heads on the frozen encoder. Whether losses rise is for
//! [`crate::audit`] to judge; its verdict stands in the notes.

use std::collections::{BTreeMap, BTreeSet};

use bioverse_core::{Example, Record};
use tracing::info;

use super::bench::{Bench, Sides};
use super::closed::{Answers, Asked, ask_all};
use super::examination::{Examination, chosen};
use super::exchange::exchanged;
use super::findings::{Findings, Role};
use super::fitted::{Fit, Groups, frequencies};
use super::heads::{NEIGHBOURS, logistic, nearest};
use super::linear::Matrix;
use super::said::Said;
use super::scale::Scale;
use super::states;
use crate::audit::{self, bundle::Given};
use crate::error::{Error, Result};

/// Most rows that heads learn from.
const LEARNT: usize = 8000;
/// The same rows take each other's records in every bundle.
const SEED: u64 = 20_251_124;

/// Runs the suite: findings for each modality that rows have records of.
pub fn run(bench: &Bench<'_>) -> Result<Vec<Findings>> {
    let Some(sides) = &bench.plan.instructions else {
        return Err(nothing(bench));
    };
    let (eval, train) = (bench.all_rows(sides)?, bench.train_rows(sides)?);
    let answers = Answers::of(train.iter().chain(&eval));
    let (eval, left_out) = ask_all(&answers, &eval);
    let (train, _) = ask_all(&answers, &train);
    let verdicts = verdicts(bench, sides)?;
    let mut all = vec![];
    for name in bench.plan.modalities(bench.request, &sides.eval)? {
        let has = |row: &Asked| row.modalities().contains(&name.as_str());
        let rows = chosen(&eval, &has, bench.request.limit.unwrap_or(audit::ROWS));
        if rows.is_empty() {
            continue;
        }
        let mut findings = modality(bench, &name, (&chosen(&train, &has, LEARNT), &rows))?;
        findings.notes.splice(0..0, verdicts.get(&name).cloned());
        if !left_out.is_empty() {
            let kinds: Vec<String> = left_out
                .iter()
                .map(|(kind, n)| format!("{kind} ({n})"))
                .collect();
            findings.notes.push(format!(
                "left out, for their answers are no closed set: {}; the verdict on the loss counts them too",
                kinds.join(", ")
            ));
        }
        all.push(findings);
    }
    match all.is_empty() {
        true => Err(nothing(bench)),
        false => Ok(all),
    }
}

/// What [`crate::audit`] says of the same rows, modality by modality.
fn verdicts(bench: &Bench<'_>, sides: &Sides) -> Result<BTreeMap<String, String>> {
    let given = Given {
        train: sides.train.clone(),
        held_out: Some(sides.eval.clone()),
        is_own: bench.request.data.is_none(),
    };
    let (limit, batch) = (
        bench.request.limit.unwrap_or(audit::ROWS),
        bench.request.batch_size,
    );
    let report = audit::bundle::of_session(bench.session, bench.registry, &given, limit, batch)?;
    let verdicts = report.modalities.into_iter();
    Ok(verdicts
        .map(|(name, report)| (name, report.verdict))
        .collect())
}

fn modality(
    bench: &Bench<'_>,
    name: &str,
    (train, eval): (&[Asked], &[Asked]),
) -> Result<Findings> {
    info!(rows = eval.len(), train = train.len(), "audit {name}");
    let rows = Examination::new(bench, (train, eval))?;
    let mut findings = rows.findings("audit", Some(name));
    let mut said = conditions(&rows, name)?;
    said.extend(rows.base_llm(&mut findings.notes)?);
    if train.is_empty() {
        findings.notes.push(
            "no head could learn: there are no training rows; name the field that splits the file with --split-field".into(),
        );
    } else {
        said.extend(heads(&rows, name)?);
    }
    findings.notes.insert(0, winner(&said, eval));
    rows.enter(&mut findings, &said, ["accuracy", "log_likelihood"])?;
    Ok(findings)
}

/// Own records, others', none, the mean.
fn conditions(rows: &Examination<'_>, name: &str) -> Result<Vec<Said>> {
    let (examiner, train, eval) = (rows.examiner(), rows.train, rows.eval);
    let own: Vec<&Example> = eval.iter().map(|row| &row.example).collect();
    let shuffled = exchanged(&own, &[name], SEED);
    let averaged = if train.is_empty() { eval } else { train };
    let mean = examiner.mean(name, &records(averaged, name))?;
    let constant =
        |what: &str, tokens| examiner.ask_constant((what, Role::Control), eval, name, tokens);
    Ok(vec![
        examiner.ask(("model", Role::Model), eval, None)?,
        examiner.ask(("shuffled", Role::Control), eval, Some(&shuffled))?,
        constant("zeroed", &mean.zeros_like())?,
        constant("mean", &mean)?,
    ])
}

/// What needs no language model.
fn heads(rows: &Examination<'_>, name: &str) -> Result<Vec<Said>> {
    let (train, eval) = (rows.train, rows.eval);
    let of = |asked| features(rows, name, asked);
    let known = of(train)?;
    let scale = Scale::fit(&known);
    let (known, asked) = (scale.apply(&known), scale.apply(&of(eval)?));
    let linear = |known: &Matrix, asked: &Matrix, fit: &Fit<'_>| {
        let (x, q) = (known.select(fit.train), asked.select(fit.eval));
        logistic(&x, fit.labels, fit.classes, &q)
    };
    let apart = apart(train, &|fit| linear(&known, &known, fit));
    let groups = Groups::of(train, eval, &|kind| apart.contains(kind));
    let near = |fit: &Fit<'_>| {
        let (x, q) = (known.select(fit.train), asked.select(fit.eval));
        nearest((&x, fit.labels), fit.classes, &q, NEIGHBOURS)
    };
    // What the question alone tells, at its best: by question wherever one was asked often.
    let by_question = Groups::of(train, eval, &|_| true);
    let said = |name: &str, shares| Said::new(name, Role::Baseline, shares);
    Ok(vec![
        said("head", groups.shares(&|fit| linear(&known, &asked, fit))),
        said(&format!("knn_{NEIGHBOURS}"), groups.shares(&near)),
        said("majority", by_question.shares(&frequencies)),
    ])
}

/// Kinds whose questions each need a head of their own, for they ask different things; wordings of one question do not. Told
/// on every fifth training row, by heads that learnt from the others.
fn apart(train: &[Asked], head: &dyn Fn(&Fit<'_>) -> Vec<Vec<f64>>) -> BTreeSet<String> {
    let (check, learn): (Vec<usize>, Vec<usize>) = (0..train.len()).partition(|at| at % 5 == 4);
    let rows =
        |places: &[usize]| -> Vec<Asked> { places.iter().map(|at| train[*at].clone()).collect() };
    let (learnt, checked) = (rows(&learn), rows(&check));
    // Heads look rows up by their place among all.
    let placed = |fit: &Fit<'_>| {
        let train: Vec<usize> = fit.train.iter().map(|at| learn[*at]).collect();
        let eval: Vec<usize> = fit.eval.iter().map(|at| check[*at]).collect();
        head(&Fit {
            train: &train,
            eval: &eval,
            ..*fit
        })
    };
    let right = |by_question: bool| {
        let shares = Groups::of(&learnt, &checked, &|_| by_question).shares(&placed);
        let mut of_kind: BTreeMap<String, f64> = BTreeMap::new();
        let right = Said::new("", Role::Baseline, shares).right(&checked);
        for (row, right) in checked.iter().zip(right) {
            *of_kind.entry(row.kind.clone()).or_default() += right;
        }
        of_kind
    };
    let (together, apart) = (right(false), right(true));
    let better = apart
        .into_iter()
        .filter(|(kind, right)| together.get(kind).is_some_and(|together| right > together));
    better.map(|(kind, _)| kind).collect()
}

/// Mean over the records of the modality of their states, row by row.
fn features(rows: &Examination<'_>, name: &str, asked: &[Asked]) -> Result<Matrix> {
    let all = records(asked, name);
    let states = states::encoded_means(rows.bench.session, &rows.encoded, name, &all)?;
    let mut next = 0;
    let means = asked.iter().map(|row| {
        let count = row.modalities().iter().filter(|own| **own == name).count();
        let mut sum = vec![0.0; states.cols];
        for at in next..next + count {
            let values = sum.iter_mut().zip(states.row(at));
            values.for_each(|(sum, value)| *sum += value / count as f32);
        }
        next += count;
        sum
    });
    let data: Vec<f32> = means.flatten().collect();
    Ok(Matrix {
        rows: asked.len(),
        cols: states.cols,
        data,
    })
}

/// Records of a modality, row after row.
fn records(rows: &[Asked], name: &str) -> Vec<Record> {
    let all = rows.iter().flat_map(|row| &row.example.records);
    let own = all.filter(|(own, _)| own == name);
    own.map(|(_, record)| record.clone()).collect()
}

/// Who is right most often.
fn winner(said: &[Said], eval: &[Asked]) -> String {
    let accuracy = |one: &Said| one.right(eval).iter().sum::<f64>() / eval.len().max(1) as f64;
    let mut ranked: Vec<(f64, &str)> = said
        .iter()
        .map(|one| (accuracy(one), one.name.as_str()))
        .collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    let listed: Vec<String> = ranked
        .iter()
        .map(|(share, name)| format!("{name} {:.1} %", 100.0 * share))
        .collect();
    format!("right answers, best first: {}", listed.join(", "))
}

fn nothing(bench: &Bench<'_>) -> Error {
    Error::Input(format!(
        "the bundle {} has no held-out question with a closed set of answers; bring rows with --data FILE (`messages` and \
         `records`), or records with labels (--label-field)",
        bench.session.bundle.dir.display()
    ))
}
