//! All pairs of sets that are alike, exactly. Knows numbers, no records.
//!
//! Two sets whose Jaccard index reaches a threshold have an element in common among the rarest few of each (the prefix filter
//! of Bayardo, Ma & Srikant 2007, doi 10.1145/1242572.1242591, with the shorter index of Xiao et al. 2008,
//! doi 10.1145/1367497.1367516). So only the rarest elements are indexed, and only sets that meet there are compared.

use std::collections::HashMap;

/// Rounding of a threshold times a size.
const SLACK: f64 = 1e-9;

/// Sets, each sorted from its rarest element on.
pub struct Sets {
    sets: Vec<Vec<u32>>,
    elements: usize,
}

impl Sets {
    /// Of sets as [`bioverse_core::fingerprint::set`] gives them.
    pub fn new(sets: &[Vec<u64>]) -> Self {
        let mut counts: HashMap<u64, u32> = HashMap::new();
        for element in sets.iter().flatten() {
            *counts.entry(*element).or_default() += 1;
        }
        let mut by_rarity: Vec<(u32, u64)> = counts.into_iter().map(|(e, n)| (n, e)).collect();
        by_rarity.sort_unstable();
        let numbers: HashMap<u64, u32> = (0u32..)
            .zip(&by_rarity)
            .map(|(number, (_, element))| (*element, number))
            .collect();
        let renumbered = sets.iter().map(|set| {
            let mut set: Vec<u32> = set.iter().map(|element| numbers[element]).collect();
            set.sort_unstable();
            set
        });
        Self {
            sets: renumbered.collect(),
            elements: by_rarity.len(),
        }
    }

    /// Calls `found(i, j, likeness)` once for every pair of non-empty sets with a Jaccard index of at least `threshold` (above
    /// 0) that `wanted(i, j)` asks for. `wanted` is asked before a pair is compared, so it may spare work.
    pub fn alike<S>(
        &self,
        threshold: f64,
        state: &mut S,
        wanted: impl Fn(&mut S, usize, usize) -> bool,
        found: impl Fn(&mut S, usize, usize, f64),
    ) {
        let mut order: Vec<usize> = (0..self.sets.len()).collect();
        order.sort_by_key(|i| (self.sets[*i].len(), *i));
        let mut index: Vec<Vec<u32>> = vec![vec![]; self.elements];
        let mut met = vec![usize::MAX; self.sets.len()];
        for i in order {
            let set = &self.sets[i];
            let n = set.len() as f64;
            // An earlier set is not larger; one that is too small has too little in common with this one.
            let shortest = (threshold * n - SLACK).ceil() as usize;
            for element in &set[..prefix(set.len(), threshold)] {
                for j in &index[*element as usize] {
                    let j = *j as usize;
                    if met[j] == i || self.sets[j].len() < shortest {
                        continue;
                    }
                    met[j] = i;
                    if !wanted(state, i, j) {
                        continue;
                    }
                    let likeness = likeness(set, &self.sets[j], threshold);
                    if let Some(likeness) = likeness {
                        found(state, i, j, likeness);
                    }
                }
            }
            for element in &set[..prefix(set.len(), 2.0 * threshold / (1.0 + threshold))] {
                index[*element as usize].push(i as u32);
            }
        }
    }
}

/// How many of the rarest elements must hold one that is shared, if at least `share` of the set is.
fn prefix(len: usize, share: f64) -> usize {
    let shared = (share * len as f64 - SLACK).ceil().max(1.0) as usize;
    (len + 1).saturating_sub(shared).min(len)
}

/// The Jaccard index of two sorted sets, if it reaches `threshold`.
fn likeness(a: &[u32], b: &[u32], threshold: f64) -> Option<f64> {
    let total = a.len() + b.len();
    let needed = (threshold / (1.0 + threshold) * total as f64 - SLACK).ceil() as usize;
    let (mut i, mut j, mut both) = (0, 0, 0usize);
    while i < a.len() && j < b.len() {
        if both + (a.len() - i).min(b.len() - j) < needed {
            return None;
        }
        let (x, y) = (a[i], b[j]);
        both += usize::from(x == y);
        i += usize::from(x <= y);
        j += usize::from(y <= x);
    }
    (both >= needed.max(1)).then(|| both as f64 / (total - both) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::seed::mix;
    use bioverse_core::fingerprint::{jaccard, set};

    fn pairs(sets: &[Vec<u64>], threshold: f64) -> Vec<(usize, usize, f64)> {
        let mut found = vec![];
        Sets::new(sets).alike(
            threshold,
            &mut found,
            |_, _, _| true,
            |found: &mut Vec<_>, i, j, likeness| found.push((i.min(j), i.max(j), likeness)),
        );
        found.sort_by_key(|(i, j, _)| (*i, *j));
        found
    }

    #[test]
    fn pairs_by_hand() {
        let sets = [vec![1, 2, 3], vec![2, 3, 4], vec![], vec![9], vec![9]];
        assert_eq!(pairs(&sets, 0.5), [(0, 1, 0.5), (3, 4, 1.0)]);
        assert_eq!(pairs(&sets, 0.51), [(3, 4, 1.0)]);
    }

    /// What the index finds is what comparing everything with everything finds.
    #[test]
    fn no_pair_is_missed_and_none_is_made_up() {
        for trial in 0..300u64 {
            let draw = |n: u64, below: u64| mix(trial, n) % below;
            let sets: Vec<Vec<u64>> = (0..draw(0, 14))
                .map(|i| {
                    let size = draw(100 + i, 9);
                    set((0..size).map(|e| draw(1000 + 16 * i + e, 12)).collect())
                })
                .collect();
            let threshold = 0.05 + draw(1, 95) as f64 / 100.0;
            let mut expected = vec![];
            for i in 0..sets.len() {
                for j in i + 1..sets.len() {
                    let likeness = jaccard(&sets[i], &sets[j]);
                    if likeness >= threshold && !sets[i].is_empty() && !sets[j].is_empty() {
                        expected.push((i, j, likeness));
                    }
                }
            }
            assert_eq!(pairs(&sets, threshold), expected, "trial {trial}");
        }
    }
}
