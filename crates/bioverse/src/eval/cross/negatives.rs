//! Pairs that are no edge, as many as there are edges and with the same ends: every node stands in as many negatives as
//! positives, so neither end alone tells the answer. It knows neither records nor relations.

use std::collections::{HashMap, HashSet};

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Rounds in which pairs that are none yet look for another end.
const ROUNDS: usize = 30;
/// Ends that each tries in a round.
const TRIES: usize = 100;

/// For each edge a pair of its source with the target of another edge, or nothing where no such pair was found: the targets
/// are permuted at random (the configuration model, Newman 2010), then pairs that are `known` or that come twice trade
/// targets with others. The same for one seed.
pub fn negatives(
    edges: &[(usize, usize)],
    known: &HashSet<(usize, usize)>,
    seed: u64,
) -> Vec<Option<(usize, usize)>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut targets: Vec<usize> = edges.iter().map(|(_, target)| *target).collect();
    targets.shuffle(&mut rng);
    let mut counts: HashMap<(usize, usize), usize> = HashMap::new();
    for ((source, _), target) in edges.iter().zip(&targets) {
        *counts.entry((*source, *target)).or_default() += 1;
    }
    let never = |pair: &(usize, usize)| pair.0 == pair.1 || known.contains(pair);
    for _ in 0..ROUNDS {
        let mut left = false;
        for i in 0..edges.len() {
            let own = (edges[i].0, targets[i]);
            if !never(&own) && counts[&own] == 1 {
                continue;
            }
            left = true;
            for _ in 0..TRIES {
                let j = rng.random_range(0..edges.len());
                let other = (edges[j].0, targets[j]);
                let new = [(own.0, other.1), (other.0, own.1)];
                let free = |pair| counts.get(pair).is_none_or(|count| *count == 0);
                if new[0] != new[1] && new.iter().all(|pair| !never(pair) && free(pair)) {
                    for pair in [own, other] {
                        counts.entry(pair).and_modify(|count| *count -= 1);
                    }
                    for pair in new {
                        *counts.entry(pair).or_default() += 1;
                    }
                    targets.swap(i, j);
                    break;
                }
            }
        }
        if !left {
            break;
        }
    }
    let mut taken = HashSet::new();
    let pairs = edges
        .iter()
        .zip(targets)
        .map(|((source, _), target)| (*source, target));
    pairs
        .map(|pair| (!never(&pair) && taken.insert(pair)).then_some(pair))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(pairs: &[(usize, usize)], of: fn(&(usize, usize)) -> usize) -> Vec<usize> {
        let mut ends: Vec<usize> = pairs.iter().map(of).collect();
        ends.sort_unstable();
        ends
    }

    /// Over many random graphs: every source keeps its number, every target too, and no negative is an edge or comes twice.
    #[test]
    fn ends_stand_as_often_as_before() {
        let mut whole = 0;
        for seed in 0..200 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let drawn = (0..rng.random_range(1..40))
                .map(|_| (rng.random_range(0..12), rng.random_range(20..40)));
            let known: HashSet<(usize, usize)> = drawn.collect();
            let mut edges: Vec<(usize, usize)> = known.iter().copied().collect();
            edges.sort_unstable();
            let got = negatives(&edges, &known, seed);
            assert_eq!(got, negatives(&edges, &known, seed));
            let found: Vec<(usize, usize)> = got.iter().flatten().copied().collect();
            let distinct: HashSet<&(usize, usize)> = found.iter().collect();
            assert_eq!(distinct.len(), found.len());
            assert!(found.iter().all(|pair| !known.contains(pair)));
            if found.len() == edges.len() {
                whole += 1;
                assert_eq!(ends(&found, |pair| pair.0), ends(&edges, |pair| pair.0));
                assert_eq!(ends(&found, |pair| pair.1), ends(&edges, |pair| pair.1));
            }
        }
        assert!(whole > 100, "{whole} of 200 graphs");
    }

    #[test]
    fn a_sparse_graph_has_a_negative_for_every_edge() {
        let edges: Vec<(usize, usize)> = (0..200).map(|i| (i % 50, 1000 + (i * 7) % 90)).collect();
        let known: HashSet<(usize, usize)> = edges.iter().copied().collect();
        assert!(negatives(&edges, &known, 3).iter().all(Option::is_some));
    }

    #[test]
    fn where_all_is_joined_there_is_none() {
        let edges = [(0, 2), (0, 3), (1, 2), (1, 3)];
        let known = edges.into_iter().collect();
        assert_eq!(negatives(&edges, &known, 1), [None; 4]);
    }
}
