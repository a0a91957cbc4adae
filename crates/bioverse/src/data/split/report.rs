//! What a split became: rows and groups of each side, and what stands on both. It judges nothing that was not counted.

use std::{collections::BTreeSet, path::Path};

use bioverse_core::{Record, Registry};
use serde::Serialize;

use super::{
    across::{Across, Hit},
    groups::named,
};
use crate::{
    config::DataSection,
    data::{
        read::{Row, Sides},
        refusal::shortened,
    },
    error::{Error, Result},
    files::write_atomic,
};

/// Pairs that are shown.
const SHOWN: usize = 3;

/// A split in numbers: `run.dir/split.json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SplitReport {
    /// How the held-out side came about: `data.eval`, `data.split_field`, or what `data.split_by` says; several in a mixture.
    pub by: Vec<String>,
    /// Share of the rows that was asked for, where it was drawn here.
    pub asked: Option<f64>,
    /// Share that it became.
    pub share: f64,
    /// The side to learn from.
    pub train: Side,
    /// The side to measure on.
    pub held_out: Side,
    /// Groups that have rows on both sides.
    pub groups_on_both_sides: Option<usize>,
    /// Held-out rows with a record that stands in a training row too.
    pub exact_duplicates: Duplicates,
    /// Other held-out rows with a record that is nearly one of a training row.
    pub near_duplicates: Duplicates,
    /// Likeness (Jaccard index) from which two records are nearly the same.
    pub duplicate_similarity: f64,
    /// Modalities that do not say what their records are made of: only equal records are found.
    pub only_equal: Vec<String>,
}

/// One side.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Side {
    /// Rows.
    pub rows: usize,
    /// Groups, where rows have one.
    pub groups: Option<usize>,
    /// Distinct records.
    pub records: usize,
}

/// What stands on both sides.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Duplicates {
    /// Held-out rows concerned.
    pub rows: usize,
    /// The likest few.
    pub examples: Vec<Example>,
}

impl Duplicates {
    /// Rows with an equal record, or the others with one that is nearly the same.
    fn of(across: &Across<'_>, sides: &Sides, equal: bool) -> Self {
        let names = |equal: bool| -> BTreeSet<&str> {
            let hits = across.hits.iter().filter(|hit| hit.equal == equal);
            hits.map(|hit| hit.name.as_str()).collect()
        };
        let (same, near) = (names(true), names(false));
        let concerned = |row: &&Row| {
            let has = |names: &BTreeSet<&str>| {
                let mut records = row.example.records.iter();
                records.any(|(modality, record)| names.contains(named(modality, record).as_str()))
            };
            match equal {
                true => has(&same),
                false => has(&near) && !has(&same),
            }
        };
        let mut hits: Vec<&Hit<'_>> = across
            .hits
            .iter()
            .filter(|hit| hit.equal == equal)
            .collect();
        hits.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));
        Self {
            rows: sides.held_out.iter().filter(concerned).count(),
            examples: hits.into_iter().take(SHOWN).map(Example::of).collect(),
        }
    }
}

/// Two records on different sides.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Example {
    /// Of what kind they are.
    pub modality: String,
    /// A row to measure on.
    pub held_out: String,
    /// Its record, the beginning of a long one.
    pub held_out_record: String,
    /// A row to learn from.
    pub train: String,
    /// Its record.
    pub train_record: String,
    /// Jaccard index; 1 for equal records.
    pub similarity: f64,
}

impl Example {
    fn of(hit: &Hit<'_>) -> Self {
        let shown = |record: &Record| match record.as_str() {
            Some(text) => shortened(text),
            None => shortened(&record.to_string()),
        };
        Self {
            modality: hit.modality.to_owned(),
            held_out: hit.held_out.0.name(),
            held_out_record: shown(hit.held_out.1),
            train: hit.train.0.name(),
            train_record: shown(hit.train.1),
            similarity: hit.similarity,
        }
    }
}

impl SplitReport {
    /// Counts both sides.
    pub fn of(sides: &Sides, data: &DataSection, registry: &Registry) -> Self {
        let across = Across::of(sides, data.duplicate_similarity, registry);
        let (train, held_out) = (sides.train.len(), sides.held_out.len());
        let groups = Groups::of(sides);
        let sources: Vec<DataSection> = data.sources().into_iter().map(|(data, _)| data).collect();
        let drawn = sources.iter().any(|source| source.split_by.is_some());
        Self {
            by: ways(&sources),
            asked: drawn.then_some(data.split_fraction),
            share: held_out as f64 / (train + held_out).max(1) as f64,
            train: Side {
                rows: train,
                groups: groups.as_ref().map(|groups| groups.train),
                records: across.train_records,
            },
            held_out: Side {
                rows: held_out,
                groups: groups.as_ref().map(|groups| groups.held_out),
                records: across.held_out_records,
            },
            groups_on_both_sides: groups.as_ref().map(|groups| groups.both),
            exact_duplicates: Duplicates::of(&across, sides, true),
            near_duplicates: Duplicates::of(&across, sides, false),
            duplicate_similarity: data.duplicate_similarity,
            only_equal: across.only_equal,
        }
    }

    /// Writes `<run>/split.json`.
    pub fn write(&self, run: &Path) -> Result<()> {
        let file = run.join("split.json");
        std::fs::create_dir_all(run).map_err(|error| Error::io(run, error))?;
        let mut bytes = serde_json::to_vec_pretty(self)
            .map_err(|error| Error::Run(format!("{}: {error}", file.display())))?;
        bytes.push(b'\n');
        write_atomic(&file, &bytes)
    }

    /// At the start of a run: the file, and a warning where something stands on both sides.
    pub fn tell(&self, run: &Path) -> Result<()> {
        self.write(run)?;
        if let Some(warning) = self.warning() {
            tracing::warn!("{warning}; see {}", run.join("split.json").display());
        }
        Ok(())
    }

    /// One sentence on what leaks, if anything does.
    pub fn warning(&self) -> Option<String> {
        let (exact, near) = (self.exact_duplicates.rows, self.near_duplicates.rows);
        let groups = self.groups_on_both_sides.unwrap_or(0);
        let mut found = vec![];
        if exact > 0 {
            found.push(format!("{exact} have a record that training rows have too"));
        }
        if near > 0 {
            let likeness = self.duplicate_similarity;
            found.push(format!(
                "{near} have one that is nearly the same (likeness {likeness} or more)"
            ));
        }
        if groups > 0 {
            found.push(format!("{groups} groups have rows on both sides"));
        }
        (!found.is_empty()).then(|| {
            let rows = self.held_out.rows;
            format!(
                "of {rows} held-out rows {}; what is measured on them flatters the model",
                found.join(", ")
            )
        })
    }
}

/// How each source holds rows out.
fn ways(sources: &[DataSection]) -> Vec<String> {
    let of = |data: &DataSection| match (&data.split_by, &data.eval, &data.split_field) {
        (Some(by), ..) => Some(by.clone()),
        (None, Some(_), _) => Some("data.eval".into()),
        (None, None, Some(_)) => Some("data.split_field".into()),
        _ => None,
    };
    let ways: BTreeSet<String> = sources.iter().filter_map(of).collect();
    ways.into_iter().collect()
}

/// How many groups there are on each side.
struct Groups {
    train: usize,
    held_out: usize,
    both: usize,
}

impl Groups {
    /// Those that a split was drawn by, else those that rows name.
    fn of(sides: &Sides) -> Option<Self> {
        let side = |rows: &[Row], drawn: &[Option<usize>]| -> BTreeSet<String> {
            let named = rows.iter().zip(drawn).filter_map(|(row, drawn)| {
                let drawn = drawn.map(|number| format!("drawn {number}"));
                drawn.or_else(|| {
                    row.example
                        .group
                        .as_ref()
                        .map(|name| format!("named {name}"))
                })
            });
            named.collect()
        };
        let train = side(&sides.train, &sides.train_groups);
        let held_out = side(&sides.held_out, &sides.held_out_groups);
        let both = train.intersection(&held_out).count();
        (!train.is_empty() && !held_out.is_empty()).then_some(Self {
            train: train.len(),
            held_out: held_out.len(),
            both,
        })
    }
}
