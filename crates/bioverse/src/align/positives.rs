//! Which pairs of a modality belong together: those with equal texts, records, labels or groups. Knows no vector.

use super::objective::{Cell, Relations};
use super::pairs::{Pairs, numbered};
use crate::config::Positives;
use crate::error::{Error, Result};

/// What pairs are compared by, as numbers: equal numbers are equal things.
#[derive(Debug, Clone, Copy)]
pub struct Kinship<'a> {
    /// Of the text of each pair.
    pub texts: &'a [usize],
    /// Of its record.
    pub records: &'a [usize],
    /// Of its label or group, where `align.positives` asks for it and the pair has one.
    pub classes: &'a [Option<usize>],
}

impl Kinship<'_> {
    /// How the pairs `rows` of a batch stand to each other.
    pub fn relations(&self, rows: &[usize], positives: Positives) -> Relations {
        Relations::new(rows.len(), |i, j| {
            let (i, j) = (rows[i], rows[j]);
            let same = self.texts[i] == self.texts[j] || self.records[i] == self.records[j];
            let class = self.classes[i].is_some() && self.classes[i] == self.classes[j];
            match (same || class, positives) {
                (false, _) => Cell::Negative,
                (true, Positives::None) => Cell::LeftOut,
                (true, _) => Cell::Positive,
            }
        })
    }
}

/// Labels or groups that `align.positives` asks for must be there, and not all the same.
pub(super) fn check(pairs: &Pairs, modality: &str, positives: Positives) -> Result<()> {
    let (values, what, key) = match positives {
        Positives::Auto if pairs.labels.iter().all(Option::is_none) => return Ok(()),
        Positives::Label | Positives::Auto => (&pairs.labels, "label", "data.label_field"),
        Positives::Group => (&pairs.groups, "group", "data.group_field"),
        Positives::Text | Positives::None => return Ok(()),
    };
    let known: std::collections::BTreeSet<&String> = values.iter().flatten().collect();
    let all = values.iter().all(Option::is_some);
    match known.len() {
        0 => Err(Error::Input(format!(
            "`align.positives` = \"{what}\", but no `{modality}` pair has a {what}; name the field that holds it as `{key}`"
        ))),
        1 if all => Err(Error::Input(format!(
            "`align.positives` = \"{what}\", but all {} `{modality}` pairs have the same {what}, so nothing would be told \
             apart; name another field as `{key}`",
            pairs.len()
        ))),
        _ => Ok(()),
    }
}

/// The number of the label or group of each pair, where `positives` asks for it: equal values get equal numbers.
pub(super) fn classes(pairs: &Pairs, positives: Positives) -> Vec<Option<usize>> {
    let values = match positives {
        Positives::Label | Positives::Auto => &pairs.labels,
        Positives::Group => &pairs.groups,
        Positives::Text | Positives::None => return vec![None; pairs.len()],
    };
    let known: Vec<&String> = values.iter().flatten().collect();
    let mut numbers = numbered(&known).0.into_iter();
    let number = |value: &Option<String>| value.as_ref().and_then(|_| numbers.next());
    values.iter().map(number).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use serde_json::json;

    /// Five pairs: 0 and 1 share a text, 1 and 2 a record, 0 and 3 a label, 4 has none.
    fn pairs() -> Pairs {
        let text = |text: &str| Some(text.to_string());
        Pairs {
            records: ["A", "C", "C", "G", "T"].map(|record| json!(record)).into(),
            texts: ["x", "x", "y", "z", "w"].map(String::from).into(),
            rows: vec![String::new(); 5],
            labels: vec![text("B"), text("T"), text("NK"), text("B"), None],
            groups: vec![None, None, text("g"), None, text("g")],
            messages: vec![vec![]; 5],
            weights: vec![1.0; 5],
        }
    }

    fn relations(rows: &[usize], positives: Positives) -> Relations {
        let pairs = pairs();
        let kinship = Kinship {
            texts: &numbered(&pairs.texts).0,
            records: &numbered(&pairs.records).0,
            classes: &classes(&pairs, positives),
        };
        kinship.relations(rows, positives)
    }

    fn together(positives: Positives) -> Vec<(usize, usize)> {
        let cells = (0..5).flat_map(|i| (i + 1..5).map(move |j| (i, j)));
        let kin = |&(i, j): &(usize, usize)| relations(&[i, j], positives).together() == 1;
        cells.filter(kin).collect()
    }

    #[test]
    fn texts_and_records_always_count_labels_and_groups_when_asked() {
        assert_eq!(together(Positives::Text), [(0, 1), (1, 2)]);
        assert_eq!(together(Positives::Label), [(0, 1), (0, 3), (1, 2)]);
        assert_eq!(together(Positives::Group), [(0, 1), (1, 2), (2, 4)]);
        assert!(together(Positives::None).is_empty());
        let relations = relations(&[0, 1, 2, 3, 4], Positives::None);
        assert_eq!(relations.left_out(), 2);
    }

    #[test]
    fn a_batch_is_looked_at_in_its_own_order() {
        assert!(relations(&[4, 2, 0], Positives::Label).are_apart());
        let expected = Relations::new(3, |i, j| match (i, j) {
            (0, 2) => Cell::Positive,
            _ => Cell::Negative,
        });
        assert_eq!(relations(&[3, 4, 0], Positives::Label), expected);
    }

    #[test]
    fn labels_that_are_missing_or_all_alike_are_refused() {
        let mut pairs = pairs();
        assert!(check(&pairs, "dna", Positives::Label).is_ok());
        pairs.labels = vec![None; 5];
        let error = check(&pairs, "dna", Positives::Label).unwrap_err();
        assert!(error.to_string().contains("`data.label_field`"), "{error}");
        assert!(check(&pairs, "dna", Positives::Text).is_ok());
        pairs.labels = vec![Some("B".into()); 5];
        let error = check(&pairs, "dna", Positives::Label).unwrap_err();
        assert!(error.to_string().contains("the same label"), "{error}");
        pairs.labels[3] = None;
        assert!(check(&pairs, "dna", Positives::Label).is_ok());
    }
}
