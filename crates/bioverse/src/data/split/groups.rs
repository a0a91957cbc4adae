//! Which rows must stay together. Which side they go to is unknown here.

use std::collections::HashMap;

use bioverse_core::{Record, Registry, fingerprint};
use rayon::prelude::*;

use super::{join::Sets, union::Union};
use crate::{
    config::{DataSection, suggest},
    data::{
        read::Row,
        refusal::{MEND, refusal, with_step},
        shape,
    },
    error::{Error, Result},
};

/// Rows that must stay together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    /// What `data.split_by` says of the source of its rows.
    pub kind: String,
    /// The first of the names that hold it together, in alphabetical order: the same whatever other rows there are, as long
    /// as none of them joins two groups.
    pub name: String,
    /// Indices of its rows.
    pub rows: Vec<usize>,
}

/// The words of `data.split_by` that are no columns.
const WORDS: [&str; 4] = ["group", "scaffold", "cluster", "random"];

/// What holds a row together with others: names, and the records behind them where likeness counts.
struct Tie {
    name: String,
    record: Option<(usize, usize)>,
}

/// The groups of `rows`, which all come from sources with `split_by`, ordered by their first row.
pub(super) fn groups(
    rows: &[Row],
    sources: &[DataSection],
    registry: &Registry,
) -> Result<Vec<Group>> {
    let ties: Vec<Result<Vec<Tie>>> = rows
        .par_iter()
        .enumerate()
        .map(|(index, row)| ties(index, row, &sources[row.source], registry))
        .collect();
    let ties: Vec<Vec<Tie>> = ties.into_iter().collect::<Result<_>>()?;
    let mut numbers: HashMap<(&str, &str), usize> = HashMap::new();
    let mut first: Vec<&Tie> = vec![];
    // Nodes 0.. are the rows, those behind them the names.
    let mut edges = vec![];
    for (row, ties) in ties.iter().enumerate() {
        let kind = sources[rows[row].source].split_by.as_deref();
        for tie in ties {
            let key = (kind.unwrap_or_default(), tie.name.as_str());
            let number = *numbers.entry(key).or_insert_with(|| {
                first.push(tie);
                first.len() - 1
            });
            edges.push((row, rows.len() + number));
        }
    }
    let mut union = Union::new(rows.len() + first.len());
    edges.into_iter().for_each(|(a, b)| union.join(a, b));
    join_alike(&first, rows, sources, registry, &mut union);
    let mut names: HashMap<usize, &str> = HashMap::new();
    for (number, tie) in first.iter().enumerate() {
        let root = union.root(rows.len() + number);
        let name = names.entry(root).or_insert(&tie.name);
        *name = (*name).min(&tie.name);
    }
    let mut places: HashMap<usize, usize> = HashMap::new();
    let mut groups: Vec<Group> = vec![];
    for (row, of) in rows.iter().enumerate() {
        let root = union.root(row);
        let place = *places.entry(root).or_insert_with(|| {
            groups.push(Group {
                kind: sources[of.source].split_by.clone().unwrap_or_default(),
                name: names.get(&root).copied().unwrap_or_default().to_owned(),
                rows: vec![],
            });
            groups.len() - 1
        });
        groups[place].rows.push(row);
    }
    Ok(groups)
}

/// What holds one row together with others.
fn ties(index: usize, row: &Row, data: &DataSection, registry: &Registry) -> Result<Vec<Tie>> {
    let refuse = |problem: String| Error::Input(format!("{}: {problem}", row.name()));
    let one = |name: String| vec![Tie { name, record: None }];
    match data.split_by.as_deref().unwrap_or_default() {
        "group" => match &row.example.group {
            Some(group) => Ok(one(group.clone())),
            None => Err(refuse(
                "says nothing of its group, which `data.split_by = \"group\"` needs; name its field as `data.group_field`"
                    .into(),
            )),
        },
        "scaffold" => scaffolds(row, registry).map_err(refuse),
        "random" | "cluster" => Ok(records(index, row)),
        column => {
            let candidates = row.extra.keys().map(String::as_str).chain(WORDS);
            let hint = suggest::hint(column, candidates);
            let value = row.extra.get(column).ok_or_else(|| {
                refuse(format!("there is no field `{column}`, which `data.split_by` names{hint}"))
            })?;
            match shape::text(value).trim() {
                "" => Err(refuse(format!(
                    "field `{column}`, by which `data.split_by` divides, is empty; fill it or remove the row"
                ))),
                value => Ok(one(value.to_owned())),
            }
        }
    }
}

/// The scaffolds of all records of a row.
fn scaffolds(row: &Row, registry: &Registry) -> Result<Vec<Tie>, String> {
    let mut ties = vec![];
    for (modality, record) in &row.example.records {
        let found = match registry.contains(modality) {
            true => registry.scaffold(modality, record).map_err(|error| {
                let reason = with_step(&refusal(record, error), MEND);
                format!("the `{modality}` record does not parse: {reason}")
            })?,
            false => None,
        };
        let Some(scaffold) = found else {
            return Err(format!(
                "holds a `{modality}` record, which has no scaffold; set `data.split_by` to `cluster`, `random`, `group` or a \
                 column"
            ));
        };
        ties.push(Tie {
            name: scaffold,
            record: None,
        });
    }
    Ok(match ties.is_empty() {
        true => vec![words_of(row)],
        false => ties,
    })
}

/// Every record of a row by what it says: equal records stay together.
fn records(index: usize, row: &Row) -> Vec<Tie> {
    let ties = row.example.records.iter().enumerate();
    let ties: Vec<Tie> = ties
        .map(|(at, (modality, record))| Tie {
            name: named(modality, record),
            record: Some((index, at)),
        })
        .collect();
    match ties.is_empty() {
        true => vec![words_of(row)],
        false => ties,
    }
}

/// A row without records is held together with those that say the same.
fn words_of(row: &Row) -> Tie {
    let said: Vec<&str> = row
        .example
        .messages
        .iter()
        .map(|message| message.content.as_str())
        .collect();
    Tie {
        name: format!("{:016x}", fingerprint::hash(said.join("\n").as_bytes())),
        record: None,
    }
}

/// A short name for a record that may be thousands of numbers.
pub(super) fn named(modality: &str, record: &Record) -> String {
    let text = format!("{modality} {record}");
    format!("{:016x}", fingerprint::hash(text.as_bytes()))
}

/// Joins records that are alike, where `data.split_by` is `cluster`. Records of different modalities are not compared.
fn join_alike(
    first: &[&Tie],
    rows: &[Row],
    sources: &[DataSection],
    registry: &Registry,
    union: &mut Union,
) {
    let mut of: HashMap<&str, Vec<(usize, &Record)>> = HashMap::new();
    for (number, tie) in first.iter().enumerate() {
        let Some((row, at)) = tie.record else {
            continue;
        };
        let row = &rows[row];
        if sources[row.source].split_by.as_deref() == Some("cluster") {
            let (modality, record) = &row.example.records[at];
            let node = rows.len() + number;
            of.entry(modality).or_default().push((node, record));
        }
    }
    let threshold = sources.first().map_or(1.0, |data| data.cluster_similarity);
    for (modality, records) in of {
        let sets = fingerprints(
            modality,
            records.iter().map(|(_, record)| *record),
            registry,
        );
        let nodes: Vec<usize> = records.iter().map(|(node, _)| *node).collect();
        Sets::new(&sets).alike(
            threshold,
            union,
            |union, i, j| union.root(nodes[i]) != union.root(nodes[j]),
            |union, i, j, _| union.join(nodes[i], nodes[j]),
        );
    }
}

/// What records are made of, in their order; empty where the modality does not say, or refuses the record.
pub(super) fn fingerprints<'a>(
    modality: &str,
    records: impl Iterator<Item = &'a Record>,
    registry: &Registry,
) -> Vec<Vec<u64>> {
    let records: Vec<&Record> = records.collect();
    let of = |record: &&Record| registry.fingerprint(modality, record).ok().flatten();
    records
        .par_iter()
        .map(|record| of(record).unwrap_or_default())
        .collect()
}
