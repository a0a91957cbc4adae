//! The records of other rows, drawn blindly: what an answer is worth that is about something else. Unlike the partners of
//! [`swap`](super::swap), who have another answer where they can, these are any other rows, so a method that reads the
//! records falls to what it knows of the question, and not below.

use std::collections::BTreeMap;

use bioverse_core::Example;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Every example with its records of `modalities` replaced by those of another example, the rest as it was. Partners have
/// records of the same modalities in the same order; they are a random rotation, the same for one seed, so that every record
/// stands as often as before. A row whose partner has equal records takes those of the next one that has others; where there
/// is none it keeps its own.
pub fn exchanged(examples: &[&Example], modalities: &[&str], seed: u64) -> Vec<Example> {
    let mut alike: BTreeMap<Vec<&str>, Vec<usize>> = BTreeMap::new();
    for (at, example) in examples.iter().enumerate() {
        let names = example.records.iter().map(|(name, _)| name.as_str());
        alike.entry(names.collect()).or_default().push(at);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut out: Vec<Example> = examples.iter().map(|example| (*example).clone()).collect();
    for mut group in alike.into_values() {
        group.shuffle(&mut rng);
        for (place, at) in group.iter().enumerate() {
            let behind = (1..group.len()).map(|step| group[(place + step) % group.len()]);
            let other = |partner: &usize| differ(examples[*at], examples[*partner], modalities);
            if let Some(partner) = { behind }.find(other) {
                replace(&mut out[*at], examples[partner], modalities);
            }
        }
    }
    out
}

/// Whether every record of `modalities` is another one.
fn differ(a: &Example, b: &Example, modalities: &[&str]) -> bool {
    let mut pairs = a.records.iter().zip(&b.records);
    pairs.all(|((name, a), (_, b))| !modalities.contains(&name.as_str()) || a != b)
}

fn replace(example: &mut Example, by: &Example, modalities: &[&str]) {
    for ((name, record), (_, other)) in example.records.iter_mut().zip(&by.records) {
        if modalities.contains(&name.as_str()) {
            record.clone_from(other);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn pair(molecule: &str, protein: &str) -> Example {
        Example {
            messages: vec![],
            records: vec![
                ("molecule".into(), molecule.into()),
                ("protein".into(), protein.into()),
            ],
            group: None,
        }
    }

    #[test]
    fn only_the_records_asked_for_are_exchanged_and_none_is_kept() {
        let rows = [
            pair("a", "x"),
            pair("a", "y"),
            pair("b", "x"),
            pair("c", "z"),
        ];
        let rows: Vec<&Example> = rows.iter().collect();
        let got = exchanged(&rows, &["protein"], 7);
        for (before, after) in rows.iter().zip(&got) {
            assert_eq!(before.records[0], after.records[0]);
            assert_ne!(before.records[1], after.records[1]);
        }
        let both = exchanged(&rows, &["molecule", "protein"], 7);
        for (before, after) in rows.iter().zip(&both) {
            assert_ne!(before.records[0], after.records[0]);
            assert_ne!(before.records[1], after.records[1]);
        }
        assert_eq!(got, exchanged(&rows, &["protein"], 7));
    }

    #[test]
    fn rows_of_other_modalities_and_lonely_ones_keep_theirs() {
        let mut one = pair("a", "x");
        one.records.pop();
        let (two, three) = (pair("b", "y"), pair("b", "y"));
        let rows = [&one, &two, &three];
        let got = exchanged(&rows, &["molecule", "protein"], 1);
        assert_eq!(got[0], one);
        assert_eq!(got[1], two, "there is no other record");
    }
}
