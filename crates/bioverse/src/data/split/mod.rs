//! Which rows are held out where `data.split_by` says how: rows that belong together go to one side.
//!
//! A group goes to the side that a hash of `data.split_seed` and its name says, and to no other: not by its place in the file, and
//! not by which other groups there are. So rows that are added later move no row that was there, and stage 1 and stage 2, or
//! two sources of a mixture, hold out the same molecules although they read different files. The price is that the share
//! that is held out is met only on average over groups; the split report says what it became. Drawing groups until the
//! share is full would meet it, but any new row could move others across the line.
//!
//! Two exceptions, both for few large groups: a group that alone has more than the share asked for stays on the training
//! side, and where nothing is held out at all, the group is taken whose size is nearest to the share.

mod across;
mod groups;
mod join;
pub mod report;
#[cfg(test)]
mod tests;
mod union;

use std::collections::BTreeMap;

use bioverse_core::{Record, Registry, fingerprint};

use super::read::Row;
use crate::{
    config::DataSection,
    error::{Error, Result},
};

use groups::{Group, groups};

/// Where the rows of sources with `data.split_by` go.
pub(super) struct Drawn {
    /// Of each row, whether it is held out.
    pub held_out: Vec<bool>,
    /// Of each row, the number of its group.
    pub group: Vec<usize>,
}

/// Draws the held-out side of `rows`, which all come from sources with `split_by`.
///
/// # Errors
/// A row that lacks what it is divided by, and rows that are all one group; both say what to do.
pub(super) fn draw(rows: &[Row], sources: &[DataSection], registry: &Registry) -> Result<Drawn> {
    let groups = groups(rows, sources, registry)?;
    let mut drawn = Drawn {
        held_out: vec![false; rows.len()],
        group: vec![0; rows.len()],
    };
    let mut kinds: BTreeMap<&str, Vec<&Group>> = BTreeMap::new();
    for (number, group) in groups.iter().enumerate() {
        kinds.entry(&group.kind).or_default().push(group);
        group.rows.iter().for_each(|row| drawn.group[*row] = number);
    }
    for (kind, groups) in kinds {
        if let [all] = groups.as_slice() {
            return Err(one_group(kind, all.rows.len()));
        }
        let (share, seed) = sources
            .first()
            .map_or((0.1, 0), |data| (data.split_fraction, data.split_seed));
        for group in held_out(&groups, share, seed) {
            group
                .rows
                .iter()
                .for_each(|row| drawn.held_out[*row] = true);
        }
    }
    Ok(drawn)
}

/// The groups that are held out: at least one, and never all.
fn held_out<'a>(groups: &[&'a Group], share: f64, seed: u64) -> Vec<&'a Group> {
    let rows: usize = groups.iter().map(|group| group.rows.len()).sum();
    let wanted = share * rows as f64;
    let mut held: Vec<&Group> = groups
        .iter()
        .copied()
        .filter(|group| draw_of(group, seed) < share && group.rows.len() as f64 <= wanted.max(1.0))
        .collect();
    if held.is_empty() {
        let off = |group: &Group| (group.rows.len() as f64 - wanted).abs();
        let nearest = groups.iter().min_by(|a, b| {
            let (a, b) = ((off(a), draw_of(a, seed)), (off(b), draw_of(b, seed)));
            a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
        });
        held.extend(nearest);
    }
    if held.len() == groups.len() {
        let last = (0..held.len()).max_by(|a, b| {
            let of = |at: usize| draw_of(held[at], seed);
            of(*a).total_cmp(&of(*b))
        });
        last.map(|last| held.remove(last));
    }
    held
}

/// A number from 0 up to, not including, 1 that hangs on the name of a group alone.
fn draw_of(group: &Group, seed: u64) -> f64 {
    let text = format!("{seed}\n{}\n{}", group.kind, group.name);
    (fingerprint::hash(text.as_bytes()) >> 11) as f64 / (1u64 << 53) as f64
}

/// Whether `data.split_by = "random"` with seed 0 holds out a record, when it is alone in its row. For
/// pre-training, which must not see what a later run measures on.
pub(crate) fn held_out_at_random(modality: &str, record: &Record, share: f64) -> bool {
    let group = Group {
        kind: "random".into(),
        name: groups::named(modality, record),
        rows: vec![],
    };
    draw_of(&group, 0) < share
}

fn one_group(kind: &str, rows: usize) -> Error {
    let step = match kind {
        "cluster" => "raise `data.cluster_similarity`, or divide by something else",
        _ => "divide by something else",
    };
    Error::Input(format!(
        "`data.split_by = \"{kind}\"` puts all {rows} rows into one group, so nothing can be held out; {step}"
    ))
}
