//! Which held-out records have their like among the training records. What is to be thought of it is unknown here.

use std::collections::{BTreeMap, HashMap};

use bioverse_core::{Record, Registry};

use super::{
    groups::{fingerprints, named},
    join::Sets,
};
use crate::data::read::{Row, Sides};

/// What stands on both sides of a split.
pub(super) struct Across<'a> {
    /// Held-out records with their likest training record, where one is like enough: each once.
    pub hits: Vec<Hit<'a>>,
    /// Distinct records to learn from.
    pub train_records: usize,
    /// Distinct records to measure on.
    pub held_out_records: usize,
    /// Modalities that do not say what their records are made of.
    pub only_equal: Vec<String>,
}

/// A held-out record and the likest training record, each with the first row that has it.
pub(super) struct Hit<'a> {
    pub modality: &'a str,
    /// What [`named`] calls the held-out record.
    pub name: String,
    pub held_out: (&'a Row, &'a Record),
    pub train: (&'a Row, &'a Record),
    pub similarity: f64,
    /// The same record, letter by letter.
    pub equal: bool,
}

/// One record, with the first row of each side that has it.
struct Seen<'a> {
    name: String,
    record: &'a Record,
    train: Option<&'a Row>,
    held_out: Option<&'a Row>,
}

impl<'a> Across<'a> {
    /// Compares the records of both sides, each modality by itself.
    pub fn of(sides: &'a Sides, threshold: f64, registry: &Registry) -> Self {
        let seen = seen(sides);
        let count = |on_side: fn(&Seen<'_>) -> bool| {
            let all = seen.values().flatten();
            all.filter(|seen| on_side(seen)).count()
        };
        let mut across = Self {
            hits: vec![],
            train_records: count(|seen| seen.train.is_some()),
            held_out_records: count(|seen| seen.held_out.is_some()),
            only_equal: vec![],
        };
        for (modality, seen) in &seen {
            let records = seen.iter().map(|seen| seen.record);
            let sets = fingerprints(modality, records, registry);
            if sets.iter().all(Vec::is_empty) {
                across.only_equal.push((*modality).to_owned());
            }
            let likest = likest(seen, &sets, threshold);
            across.hits.extend(hits(modality, seen, &likest));
        }
        across
    }
}

/// All distinct records by modality, in order of their first row.
fn seen(sides: &Sides) -> BTreeMap<&str, Vec<Seen<'_>>> {
    let mut seen: BTreeMap<&str, Vec<Seen<'_>>> = BTreeMap::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for (rows, held_out) in [(&sides.train, false), (&sides.held_out, true)] {
        for row in rows {
            for (modality, record) in &row.example.records {
                let of = seen.entry(modality).or_default();
                let name = named(modality, record);
                let place = *places.entry(name.clone()).or_insert(of.len());
                if place == of.len() {
                    of.push(Seen {
                        name,
                        record,
                        train: None,
                        held_out: None,
                    });
                }
                let side = match held_out {
                    true => &mut of[place].held_out,
                    false => &mut of[place].train,
                };
                side.get_or_insert(row);
            }
        }
    }
    seen
}

/// Of every record that is held out only, the likest training record and how like it is; the first of several.
fn likest(seen: &[Seen<'_>], sets: &[Vec<u64>], threshold: f64) -> Vec<Option<(usize, f64)>> {
    let mut best: Vec<Option<(usize, f64)>> = vec![None; seen.len()];
    let held_out_only = |at: usize| seen[at].train.is_none();
    Sets::new(sets).alike(
        threshold,
        &mut best,
        |_, i, j| held_out_only(i) != held_out_only(j),
        |best, i, j, similarity| {
            let (held_out, train) = if held_out_only(i) { (i, j) } else { (j, i) };
            let better = |(other, least): (usize, f64)| {
                similarity > least || (similarity == least && train < other)
            };
            if best[held_out].is_none_or(better) {
                best[held_out] = Some((train, similarity));
            }
        },
    );
    best
}

/// Held-out records that stand among the training records too, or are like one.
fn hits<'a>(modality: &'a str, seen: &[Seen<'a>], likest: &[Option<(usize, f64)>]) -> Vec<Hit<'a>> {
    let of = |(one, likest): (&Seen<'a>, &Option<(usize, f64)>)| {
        let held_out = one.held_out?;
        let (other, similarity, equal) = match (one.train, likest) {
            (Some(row), _) => ((row, one.record), 1.0, true),
            (None, Some((other, similarity))) => {
                let other = &seen[*other];
                ((other.train?, other.record), *similarity, false)
            }
            (None, None) => return None,
        };
        Some(Hit {
            modality,
            name: one.name.clone(),
            held_out: (held_out, one.record),
            train: other,
            similarity,
            equal,
        })
    };
    seen.iter().zip(likest).filter_map(of).collect()
}
