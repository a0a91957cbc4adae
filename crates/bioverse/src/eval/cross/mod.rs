//! Suite `cross`: questions about several records at once (does this molecule bind this protein?), from instruction rows or
//! from a knowledge graph, beside what a single record, a popular record or the frozen encoders would answer.
//!
//! | module | what it holds |
//! |---|---|
//! | [`graph`], [`negatives`], [`wording`] | edges as questions with yes and no |
//! | [`baselines`] | what needs no language model |
//!
//! How answers are scored is for [`conditions`](super::conditions) to know.

pub mod baselines;
pub mod graph;
pub mod negatives;
pub mod wording;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use bioverse_core::Example;
use tracing::info;

use super::bench::{Bench, Sides};
use super::closed::{Answers, Asked, ask_all};
use super::conditions::Examiner;
use super::examination::{Examination, chosen};
use super::exchange::exchanged;
use super::findings::{Findings, Role, Sheet};
use super::rows::Row;
use super::said::Said;
use super::table::Table;
use crate::data::Split;
use crate::error::{Error, Result};
use graph::Graph;
use wording::Wording;

/// Rows that are measured if nobody says otherwise.
const ROWS: usize = 2000;
/// Most rows that baselines learn from.
const LEARNT: usize = 4000;
/// The same rows take each other's records in every bundle.
const SEED: u64 = 20_251_123;

/// Runs the suite: findings for each set of modalities that questions are about.
pub fn run(bench: &Bench<'_>) -> Result<Vec<Findings>> {
    let Some(sides) = &bench.plan.instructions else {
        return Err(nothing(bench));
    };
    let found = read(bench, sides)?;
    let answers = Answers::of(found.train.iter().chain(&found.eval));
    let (eval, left_out) = ask_all(&answers, &found.eval);
    let (train, _) = ask_all(&answers, &found.train);
    let sets: BTreeSet<Vec<String>> = eval.iter().map(modalities).collect();
    if sets.is_empty() {
        return Err(nothing(bench));
    }
    let several = sets.len() > 1;
    let mut all = vec![];
    for set in &sets {
        let own = |row: &Asked| modalities(row) == *set;
        let rows = chosen(&eval, &own, bench.request.limit.unwrap_or(ROWS));
        let learnt = chosen(&train, &own, LEARNT);
        let name = several.then(|| set.join("+"));
        let mut findings = one(bench, name.as_deref(), set, (&learnt, &rows))?;
        let left: usize = left_out.values().sum();
        if left > 0 {
            findings.notes.push(format!(
                "{left} rows about several records are left out, for their answers are no closed set"
            ));
        }
        findings.notes.extend(found.notes.iter().cloned());
        all.push(findings);
    }
    Ok(all)
}

/// Rows about several records.
struct Found {
    eval: Vec<Row>,
    train: Vec<Row>,
    notes: Vec<String>,
}

fn read(bench: &Bench<'_>, sides: &Sides) -> Result<Found> {
    let several = |mut rows: Vec<Row>| {
        rows.retain(|row| row.example.records.len() > 1);
        rows
    };
    let own = || bench.train_rows(sides).map(several);
    match (&bench.request.nodes, &bench.request.data) {
        (Some(nodes), Some(data)) => {
            let graph = Graph::read(nodes, data, &bench.plan.modalities)?;
            // With a split of its own, the graph is also what there is to learn from.
            let learnt = match data.split_field {
                Some(_) => vec![],
                None => own()?,
            };
            Ok(of_graph(bench, &graph, learnt))
        }
        _ => Ok(Found {
            eval: several(bench.all_rows(sides)?),
            train: own()?,
            notes: vec![],
        }),
    }
}

fn of_graph(bench: &Bench<'_>, graph: &Graph, learnt: Vec<Row>) -> Found {
    let wording = Wording::of(&learnt, bench.request.question.as_deref());
    let data = bench.request.data.clone().unwrap_or_default();
    let most = bench.request.limit.unwrap_or(ROWS);
    let asked = graph.questions(&data, Split::Eval, most, &wording);
    let mut notes = vec![format!(
        "{} of {} edges of the graph are asked about, each with a pair that is no edge and has the same ends as other edges \
         (every record stands in as many negatives as positives)",
        asked.rows.len() / 2,
        asked.edges
    )];
    if asked.unmatched > 0 {
        notes.push(format!(
            "{} edges are left out, for no such pair was found",
            asked.unmatched
        ));
    }
    if graph.left_out > 0 {
        notes.push(format!(
            "{} edges are left out, for an end has no record of a modality of the bundle",
            graph.left_out
        ));
    }
    let known = wording.relations();
    if !known.is_empty() {
        let known: BTreeSet<&str> = known.into_iter().collect();
        let known: Vec<&str> = known.into_iter().collect();
        notes.push(format!(
            "asked in the words the bundle learnt: {}",
            known.join(", ")
        ));
    }
    let train = match data.split_field {
        Some(_) => graph.questions(&data, Split::Train, LEARNT, &wording).rows,
        None => learnt,
    };
    Found {
        eval: asked.rows,
        train,
        notes,
    }
}

/// Modalities of a row, sorted.
fn modalities(row: &Asked) -> Vec<String> {
    let mut names: Vec<String> = row.modalities().into_iter().map(str::to_owned).collect();
    names.sort_unstable();
    names
}

fn one(
    bench: &Bench<'_>,
    name: Option<&str>,
    modalities: &[String],
    (train, eval): (&[Asked], &[Asked]),
) -> Result<Findings> {
    info!(
        rows = eval.len(),
        train = train.len(),
        "cross {}",
        modalities.join("+")
    );
    let rows = Examination::new(bench, (train, eval))?;
    let mut findings = rows.findings("cross", name);
    let mut said = vec![rows.examiner().ask(("model", Role::Model), eval, None)?];
    said.extend(ablations(&rows.examiner(), modalities, eval)?);
    said.extend(rows.base_llm(&mut findings.notes)?);
    if train.is_empty() {
        findings.notes.push(
            "no baseline could learn: there are no training rows about these modalities; name the field that splits the \
             file with --split-field"
                .into(),
        );
    } else {
        said.extend(baselines::all(&rows, modalities)?);
        findings.notes.push(known(train, eval));
    }
    findings.sheets.push(by_kind(eval, &said));
    rows.enter(&mut findings, &said, ["accuracy", "auroc"])?;
    Ok(findings)
}

/// One modality at a time keeps its records, then none does.
fn ablations(examiner: &Examiner<'_>, modalities: &[String], eval: &[Asked]) -> Result<Vec<Said>> {
    let own: Vec<&Example> = eval.iter().map(|row| &row.example).collect();
    let names: BTreeSet<&str> = modalities.iter().map(String::as_str).collect();
    let ask = |name: &str, others: &[&str]| {
        let examples = exchanged(&own, others, SEED);
        examiner.ask((name, Role::Control), eval, Some(&examples))
    };
    let mut said = vec![];
    if names.len() > 1 {
        for kept in &names {
            let others: Vec<&str> = names.iter().filter(|name| *name != kept).copied().collect();
            said.push(ask(&format!("only_{kept}"), &others)?);
        }
    }
    let all: Vec<&str> = names.into_iter().collect();
    said.push(ask("neither", &all)?);
    Ok(said)
}

/// How much of what is measured was there to learn from.
fn known(train: &[Asked], eval: &[Asked]) -> String {
    let pair = |row: &Asked| {
        let mut records: Vec<String> = row
            .example
            .records
            .iter()
            .map(|(name, record)| format!("{name} {record}"))
            .collect();
        records.sort_unstable();
        records
    };
    let pairs: HashSet<Vec<String>> = train.iter().map(pair).collect();
    let records: HashSet<String> = pairs.iter().flatten().cloned().collect();
    let same = eval.iter().filter(|row| pairs.contains(&pair(row))).count();
    let new = eval
        .iter()
        .filter(|row| !pair(row).iter().any(|record| records.contains(record)));
    format!(
        "of {} questions, {same} are about records that stand together in a training row too, and {} about records of which \
         none stands in one",
        eval.len(),
        new.count()
    )
}

/// Kind by kind, the bundle beside the best of the others.
fn by_kind(rows: &[Asked], said: &[Said]) -> Sheet {
    let mut kinds: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, row) in rows.iter().enumerate() {
        kinds.entry(&row.kind).or_default().push(at);
    }
    let mut table = Table::new(2, ["kind", "method", "n", "yes", "accuracy", "AUROC"]);
    for (kind, places) in kinds {
        let own: Vec<Asked> = places.iter().map(|at| rows[*at].clone()).collect();
        for one in said {
            let part = Said {
                shares: places.iter().map(|at| one.shares[*at].clone()).collect(),
                ..one.clone()
            };
            let scored = part.yes_or_no(&own);
            let (scores, positive): (Vec<f64>, Vec<bool>) =
                scored.iter().map(|(_, score, yes)| (*score, *yes)).unzip();
            let right = part.right(&own).iter().sum::<f64>() / own.len() as f64;
            let auroc = super::ranking::auroc(&scores, &positive);
            table.cells(vec![
                kind.to_owned(),
                one.name.clone(),
                own.len().to_string(),
                positive.iter().filter(|yes| **yes).count().to_string(),
                format!("{:.3}", right),
                if auroc.is_finite() {
                    format!("{auroc:.3}")
                } else {
                    String::new()
                },
            ]);
        }
    }
    Sheet {
        title: "By kind of question".into(),
        table,
        legend: "yes: rows whose right answer is yes. A method that looks at one record only has AUROC .5 where every record \
                 stands in as many negatives as positives."
            .into(),
    }
}

fn nothing(bench: &Bench<'_>) -> Error {
    Error::Input(format!(
        "the bundle {} has no held-out question about several records with a closed set of answers; bring rows with \
         --data FILE (`messages` and two or more `records`), or a knowledge graph with --data EDGES.tsv --nodes NODES.jsonl",
        bench.session.bundle.dir.display()
    ))
}
