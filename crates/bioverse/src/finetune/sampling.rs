//! How often a row is drawn: by its source, by its modalities, or so that modalities come equally often. It knows neither
//! files nor records.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{FinetuneSection, Sampling, suggest};
use crate::error::{Error, Result};
use crate::instructions::Rows;

/// The weight of every row, above 0; `None` where all are the same.
///
/// A row of source s with the modalities M has the weight `w_s · Π_{m ∈ M} v_m`. Balanced sampling divides it by the sum
/// of `w_s` over all rows with the same modalities, so that every set of modalities that occurs (rows without records being
/// one) comes equally often, times its `v_m`.
///
/// # Errors
/// A weight for a modality that no row has.
pub(super) fn weights(
    finetune: &FinetuneSection,
    sources: &[f64],
    rows: &Rows,
) -> Result<Option<Vec<f64>>> {
    let sets: Vec<BTreeSet<&str>> = (0..rows.len()).map(|row| rows.modalities(row)).collect();
    let there: BTreeSet<&str> = sets.iter().flatten().copied().collect();
    let wanted = &finetune.modality_weights;
    if let Some(name) = wanted.keys().find(|name| !there.contains(name.as_str())) {
        return Err(Error::Input(format!(
            "`finetune.modality_weights` names `{name}`, but no row to learn from has a record of that modality{}",
            suggest::hint(name, there.iter().copied())
        )));
    }
    let source = |row: usize| sources.get(rows.source(row)).copied().unwrap_or(1.0);
    let mut of_set: BTreeMap<&BTreeSet<&str>, f64> = BTreeMap::new();
    for (row, set) in sets.iter().enumerate() {
        *of_set.entry(set).or_default() += source(row);
    }
    let weight = |(row, set): (usize, &BTreeSet<&str>)| {
        let of = |name: &&str| wanted.get(*name).copied().unwrap_or(1.0);
        let weight = source(row) * set.iter().map(of).product::<f64>();
        match finetune.sampling {
            Sampling::Proportional => weight,
            Sampling::Balanced => weight / of_set.get(set).copied().unwrap_or(1.0),
        }
    };
    let weights: Vec<f64> = sets.iter().enumerate().map(weight).collect();
    let same = weights.windows(2).all(|pair| pair[0] == pair[1]);
    Ok((!same).then_some(weights))
}

/// How many rows of an epoch come from where, for people: one line for each source and each set of modalities.
pub(super) fn told(rows: &Rows, epoch: &[usize], files: &[String]) -> String {
    let mut by: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let name = |row: usize| {
        let set: Vec<&str> = rows.modalities(row).into_iter().collect();
        let records = match set.is_empty() {
            true => "no record".to_string(),
            false => set.join(" + "),
        };
        match files.get(rows.source(row)).filter(|_| files.len() > 1) {
            Some(file) => format!("{file}, {records}"),
            None => records,
        }
    };
    for row in 0..rows.len() {
        by.entry(name(row)).or_default().0 += 1;
    }
    for row in epoch {
        by.entry(name(*row)).or_default().1 += 1;
    }
    let share = |drawn: usize| 100.0 * drawn as f64 / epoch.len().max(1) as f64;
    let line = |(name, (there, drawn)): (&String, &(usize, usize))| {
        let share = share(*drawn);
        format!("  {name}: {there} rows, drawn {drawn} times ({share:.0} %)\n")
    };
    by.iter().map(line).collect()
}
