//! How well records and texts lie together: measures of two sets of vectors whose rows belong together. Knows vectors and
//! which rows are equal, no projector and no file.

mod geometry;
mod likeness;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use burn::prelude::*;

use geometry::Cosines;
pub(super) use likeness::{cka, mutual_knn};

use crate::eval::metrics::Retrieval;

/// Neighbours that [`mutual_knn`] compares.
pub(super) const NEIGHBOURS: usize = 10;

/// What is measured of held-out pairs. Vectors are compared by cosine, as they are in training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Diagnosis {
    /// Records look for their text among the distinct texts.
    pub to_text: Retrieval,
    /// Texts look for their record among the distinct records.
    pub to_bio: Retrieval,
    /// InfoNCE, mean of both directions, as a batch of all these pairs.
    pub loss: f64,
    /// Distance between the centroids of the unit vectors (Liang et al. 2022, arXiv 2203.02053, §2.1).
    pub modality_gap: f64,
    /// Fraction of samples closer than the true match, mean of both directions (Liu et al. 2019, doi 10.4230/LIPIcs.WABI.2019.10):
    /// 0 is best, one half is chance.
    pub foscttm: f64,
    /// Mean squared distance of the pairs (Wang & Isola 2020, arXiv 2005.10242, eq. 1 with α = 2).
    pub alignment: f64,
    /// Logarithm of the mean of `exp(-2 ‖x - y‖²)` over distinct records (the same, eq. 2 with t = 2): lower is more spread out.
    pub uniformity_bio: f64,
    /// The same over distinct texts.
    pub uniformity_text: f64,
    /// Distinct texts.
    pub texts: usize,
}

/// Which rows are equal.
#[derive(Debug, Clone, Copy)]
pub struct Numbers<'a> {
    /// Pairs with an equal text have equal numbers.
    pub texts: &'a [usize],
    /// Pairs with an equal record have equal numbers.
    pub records: &'a [usize],
}

impl Numbers<'_> {
    /// Whether `i` and `j` are the same thing said twice: neither is a wrong answer for the other.
    fn same(&self, i: usize, j: usize) -> bool {
        self.texts[i] == self.texts[j] || self.records[i] == self.records[j]
    }
}

/// Measures N pairs. A text that belongs to several records is one candidate, and right for each of them; so is a record
/// with several texts. Ties count half, so that vectors which are all alike are at chance.
///
/// # Shapes
/// `bio, text [N, d]`, N numbers of each kind
pub fn diagnose(
    bio: Tensor<2>,
    text: Tensor<2>,
    numbers: Numbers<'_>,
    temperature: f64,
) -> Diagnosis {
    let cosines = Cosines::of(bio, text);
    let (texts, records) = (first_of(numbers.texts), first_of(numbers.records));
    let to_text = ranks(&texts, numbers, |i, j| cosines.across(i, j));
    let to_bio = ranks(&records, numbers, |i, j| cosines.across(j, i));
    let closer = |ranks: &[Rank]| {
        let share = |rank: &Rank| (rank.rank - 1.0) / (rank.candidates.max(2) - 1) as f64;
        mean(ranks.iter().map(share))
    };
    let of = |ranks: &[Rank]| {
        let ranks: Vec<f64> = ranks.iter().map(|rank| rank.rank).collect();
        Retrieval::from_ranks(&ranks)
    };
    Diagnosis {
        to_text: of(&to_text),
        to_bio: of(&to_bio),
        loss: info_nce(&cosines, numbers, temperature),
        modality_gap: cosines.gap(),
        foscttm: (closer(&to_text) + closer(&to_bio)) / 2.0,
        alignment: mean((0..cosines.len()).map(|i| 2.0 - 2.0 * cosines.across(i, i))),
        uniformity_bio: cosines.uniformity_bio(&records),
        uniformity_text: cosines.uniformity_text(&texts),
        texts: texts.len(),
    }
}

/// Where the right answer of a query stands.
struct Rank {
    rank: f64,
    /// Among how many: the right one and the wrong ones.
    candidates: usize,
}

/// The rank of each pair's own answer among `candidates`, leaving out other answers that are right as well.
fn ranks(
    candidates: &[usize],
    numbers: Numbers<'_>,
    score: impl Fn(usize, usize) -> f64,
) -> Vec<Rank> {
    let rank = |i: usize| {
        let own = score(i, i);
        let wrong: Vec<f64> = candidates
            .iter()
            .filter(|j| !numbers.same(i, **j))
            .map(|j| score(i, *j))
            .collect();
        let better = wrong.iter().filter(|other| **other > own).count();
        let tied = wrong.iter().filter(|other| **other == own).count();
        Rank {
            rank: 1.0 + better as f64 + tied as f64 / 2.0,
            candidates: 1 + wrong.len(),
        }
    };
    (0..numbers.texts.len()).map(rank).collect()
}

/// The first row of each number.
fn first_of(numbers: &[usize]) -> Vec<usize> {
    let rows = numbers.iter().enumerate().rev();
    let first: BTreeMap<usize, usize> = rows.map(|(row, number)| (*number, row)).collect();
    let mut rows: Vec<usize> = first.into_values().collect();
    rows.sort_unstable();
    rows
}

/// Mean of both directions of InfoNCE over all pairs at once, equal texts and records left out.
fn info_nce(cosines: &Cosines, numbers: Numbers<'_>, temperature: f64) -> f64 {
    let n = cosines.len();
    let term = |i: usize, score: &dyn Fn(usize) -> f64| {
        let others = (0..n).filter(|j| *j == i || !numbers.same(i, *j));
        let logits: Vec<f64> = others.map(|j| score(j) / temperature).collect();
        let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = logits.iter().map(|logit| (logit - largest).exp()).sum();
        largest + sum.ln() - score(i) / temperature
    };
    let to_text = mean((0..n).map(|i| term(i, &|j| cosines.across(i, j))));
    let to_bio = mean((0..n).map(|i| term(i, &|j| cosines.across(j, i))));
    (to_text + to_bio) / 2.0
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    crate::eval::metrics::mean(values)
}
