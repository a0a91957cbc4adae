//! Metrics as pure functions of scores and strings. It knows no model, no file and no suite.

use serde::Serialize;

/// One-based rank of the item at `target` among `scores`, higher being better: one, plus what is strictly better, plus
/// half of what ties with it. So a model that scores everything alike gets the rank of chance, not the first.
pub fn rank_of(scores: &[f32], target: usize) -> f64 {
    rank_among(scores, target, |_| true)
}

/// The same among the item itself and those others that are `wrong`: what is right too neither stands before it nor ties
/// with it (the filtered ranks of Bordes et al. 2013, "Translating embeddings for modeling multi-relational data").
pub fn rank_among(scores: &[f32], target: usize, wrong: impl Fn(usize) -> bool) -> f64 {
    let own = scores.get(target).copied().unwrap_or(f32::NEG_INFINITY);
    let others = scores.iter().enumerate();
    let others =
        others.filter(|(other, score)| *other != target && **score >= own && wrong(*other));
    let (mut better, mut tied) = (0usize, 0usize);
    others.for_each(|(_, score)| match *score > own {
        true => better += 1,
        false => tied += 1,
    });
    1.0 + better as f64 + tied as f64 / 2.0
}

/// Rank as most papers count it: one, plus what is strictly better. Ties count for the model, so one that scores everything
/// alike is always right; compare with [`rank_of`] before believing it.
pub fn optimistic_rank_of(scores: &[f32], target: usize) -> usize {
    let own = scores.get(target).copied().unwrap_or(f32::NEG_INFINITY);
    1 + scores.iter().filter(|score| **score > own).count()
}

/// Indices of the `k` best scores, best first; ties in order of index.
pub fn top(scores: &[f32], k: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)));
    order.truncate(k);
    order
}

/// How well the right item is found, over all queries of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Retrieval {
    /// Share of queries whose right item comes first.
    #[serde(rename = "r@1")]
    pub r1: f64,
    /// … is among the first five.
    #[serde(rename = "r@5")]
    pub r5: f64,
    /// … is among the first ten.
    #[serde(rename = "r@10")]
    pub r10: f64,
    /// Mean of 1 / rank.
    pub mrr: f64,
    /// Median rank.
    pub median_rank: f64,
}

impl Retrieval {
    /// From the rank of the right item of each query; all zero without queries.
    pub fn from_ranks(ranks: &[f64]) -> Self {
        let mean = |value: &dyn Fn(f64) -> f64| mean(ranks.iter().map(|rank| value(*rank)));
        let within = |k: f64| mean(&|rank| f64::from(u8::from(rank <= k)));
        Self {
            r1: within(1.0),
            r5: within(5.0),
            r10: within(10.0),
            mrr: mean(&|rank| 1.0 / rank),
            median_rank: median(ranks),
        }
    }

    /// What guessing gives among `n` candidates, exactly: every rank from 1 to n is equally likely.
    pub fn chance(n: usize) -> Self {
        let ranks: Vec<f64> = (1..=n).map(|rank| rank as f64).collect();
        Self::from_ranks(&ranks)
    }

    /// Names and values, for tables and flat files.
    pub fn entries(&self) -> [(&'static str, f64); 5] {
        [
            ("r@1", self.r1),
            ("r@5", self.r5),
            ("r@10", self.r10),
            ("mrr", self.mrr),
            ("median_rank", self.median_rank),
        ]
    }
}

/// Arithmetic mean; 0 of nothing.
pub fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0usize), |(sum, n), value| (sum + value, n + 1));
    if n == 0 { 0.0 } else { sum / n as f64 }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

/// An answer as it is compared: lower case, white space collapsed, punctuation at both ends dropped.
pub fn normalize(answer: &str) -> String {
    let words: Vec<&str> = answer.split_whitespace().collect();
    let joined = words.join(" ").to_lowercase();
    let edge = |c: char| c.is_ascii_punctuation() || c.is_whitespace();
    joined.trim_matches(edge).to_owned()
}

/// Whether two answers are the same after [`normalize`].
pub fn exact_match(prediction: &str, reference: &str) -> bool {
    normalize(prediction) == normalize(reference)
}

/// Whether a text has an answer in it as whole words, both after [`normalize`]: "known" says nothing about "no".
pub fn names(text: &str, answer: &str) -> bool {
    let inside = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    !answer.is_empty()
        && text.match_indices(answer).any(|(at, found)| {
            !inside(text[..at].chars().next_back())
                && !inside(text[at + found.len()..].chars().next())
        })
}

/// Words of a text: lower case, split at everything that is neither letter nor digit.
pub fn words(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric());
    words
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// F1 of the two bags of words: what was said and should have been, each word as often as it occurs.
pub fn token_f1(prediction: &str, reference: &str) -> f64 {
    let (said, mut due) = (words(prediction), words(reference));
    let (n_said, n_due) = (said.len(), due.len());
    if n_said == 0 || n_due == 0 {
        return f64::from(u8::from(n_said == n_due));
    }
    let mut common = 0;
    for word in said {
        if let Some(at) = due.iter().position(|other| *other == word) {
            due.swap_remove(at);
            common += 1;
        }
    }
    2.0 * f64::from(common) / (n_said + n_due) as f64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn ranks_count_what_is_better_and_share_ties() {
        assert_eq!(rank_of(&[0.1, 0.9, 0.5], 1), 1.0);
        assert_eq!(rank_of(&[0.1, 0.9, 0.5], 0), 3.0);
        // Two tie for places 2 and 3.
        assert_eq!(rank_of(&[0.9, 0.5, 0.5, 0.1], 1), 2.5);
        // Everything alike among five: the middle.
        assert_eq!(rank_of(&[0.3; 5], 4), 3.0);
        assert_eq!(optimistic_rank_of(&[0.3; 5], 4), 1);
        assert_eq!(optimistic_rank_of(&[0.9, 0.5, 0.5, 0.1], 2), 2);
    }

    #[test]
    fn a_score_that_is_no_number_is_not_first() {
        assert!(rank_of(&[f32::NAN, 0.2, 0.1], 1) >= 1.0);
        assert_eq!(rank_of(&[], 0), 1.0);
    }

    #[test]
    fn retrieval_by_hand() {
        // Ranks 1, 2, 4, 11: R@1 = 1/4, R@5 = 3/4, R@10 = 3/4, MRR = (1 + 1/2 + 1/4 + 1/11) / 4, median = 3.
        let got = Retrieval::from_ranks(&[1.0, 2.0, 4.0, 11.0]);
        assert_eq!(
            (got.r1, got.r5, got.r10, got.median_rank),
            (0.25, 0.75, 0.75, 3.0)
        );
        assert!((got.mrr - 0.460_227_272_727).abs() < 1e-9, "{}", got.mrr);
    }

    #[test]
    fn chance_is_k_of_n_and_the_harmonic_mean() {
        let got = Retrieval::chance(400);
        assert!((got.r1 - 1.0 / 400.0).abs() < 1e-12);
        assert!((got.r10 - 10.0 / 400.0).abs() < 1e-12);
        let harmonic: f64 = (1..=400).map(|i| 1.0 / f64::from(i)).sum();
        assert!((got.mrr - harmonic / 400.0).abs() < 1e-12);
        assert_eq!(got.median_rank, 200.5);
        // Fewer candidates than k: the right one is always among them.
        assert_eq!(Retrieval::chance(3).r5, 1.0);
    }

    #[test]
    fn no_queries_are_no_success() {
        let got = Retrieval::from_ranks(&[]);
        assert_eq!((got.r1, got.mrr, got.median_rank), (0.0, 0.0, 0.0));
    }

    #[test]
    fn top_is_best_first_with_ties_in_order() {
        assert_eq!(top(&[0.1, 0.7, 0.7, 0.9], 3), [3, 1, 2]);
    }

    #[test]
    fn answers_are_compared_without_case_space_and_final_dot() {
        assert!(exact_match(
            "  yes,  it is a Ketone ",
            "Yes, it is a ketone."
        ));
        assert!(!exact_match("Yes, it is.", "No, it is not."));
        // Punctuation inside a name is part of it.
        assert!(!exact_match("1,2-diol", "12-diol"));
    }

    #[test]
    fn f1_counts_each_word_as_often_as_it_occurs() {
        // 2 of 3 said, 2 of 4 due: P = 2/3, R = 1/2, F1 = 4/7.
        assert!((token_f1("a small amide", "A small polar molecule.") - 4.0 / 7.0).abs() < 1e-12);
        assert!((token_f1("one one one", "one two") - 2.0 / 5.0).abs() < 1e-12);
        assert_eq!(token_f1("", "x"), 0.0);
        assert_eq!(token_f1("", ""), 1.0);
    }
}
