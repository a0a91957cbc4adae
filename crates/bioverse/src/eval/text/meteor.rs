//! METEOR (Lavie and Agarwal, WMT 2007) as nltk computes it, without the stage that needs WordNet: words are matched
//! exactly, then by stem. Published numbers that include synonyms are slightly higher, so call these `meteor_exact` and
//! `meteor_exact_stem`.

use std::collections::HashMap;

use super::porter::stem;

// Weight of recall in the mean; exponent and weight of the fragmentation penalty.
const ALPHA: f64 = 0.9;
const BETA: i32 = 3;
const GAMMA: f64 = 0.5;

/// Which words match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matching {
    /// Equal ones.
    Exact,
    /// Equal ones, then those with equal Porter stems.
    ExactAndStem,
}

/// Score of one tokenised prediction, 0–1; case does not matter.
pub fn meteor<S: AsRef<str>>(prediction: &[S], reference: &[S], matching: Matching) -> f64 {
    let lower = |tokens: &[S]| -> Vec<(usize, String)> {
        let lower = tokens.iter().map(|token| token.as_ref().to_lowercase());
        lower.enumerate().collect()
    };
    let (mut said, mut due) = (lower(prediction), lower(reference));
    let mut matches = take_matches(&mut said, &mut due);
    if matching == Matching::ExactAndStem {
        for (_, word) in said.iter_mut().chain(&mut due) {
            *word = stem(word);
        }
        matches.extend(take_matches(&mut said, &mut due));
    }
    if matches.is_empty() {
        return 0.0;
    }
    matches.sort_unstable();
    let found = matches.len() as f64;
    let (precision, recall) = (
        found / prediction.len() as f64,
        found / reference.len() as f64,
    );
    let mean = precision * recall / (ALPHA * precision + (1.0 - ALPHA) * recall);
    let penalty = GAMMA * (chunks(&matches) as f64 / found).powi(BETA);
    (1.0 - penalty) * mean
}

/// Takes equal words out of both lists, from the last word on, each with the last equal one that is left, and returns their
/// places.
fn take_matches(
    said: &mut Vec<(usize, String)>,
    due: &mut Vec<(usize, String)>,
) -> Vec<(usize, usize)> {
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (place, word) in due.iter() {
        places.entry(word).or_default().push(*place);
    }
    let matched: HashMap<usize, usize> = said
        .iter()
        .rev()
        .filter_map(|(place, word)| Some((*place, places.get_mut(word.as_str())?.pop()?)))
        .collect();
    let used: std::collections::HashSet<usize> = matched.values().copied().collect();
    said.retain(|(place, _)| !matched.contains_key(place));
    due.retain(|(place, _)| !used.contains(place));
    matched.into_iter().collect()
}

/// Runs of matches that are neighbours in both texts.
fn chunks(sorted: &[(usize, usize)]) -> usize {
    let broken = |pair: &&[(usize, usize)]| (pair[0].0 + 1, pair[0].1 + 1) != pair[1];
    1 + sorted.windows(2).filter(broken).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(said: &str, due: &str, matching: Matching) -> f64 {
        let tokens = |text: &str| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };
        meteor(&tokens(said), &tokens(due), matching)
    }

    #[test]
    fn by_hand() {
        // 2 of 2 and 4 words in one chunk: mean = .5 / (.9 + .05), penalty = .5 * (1/2)^3.
        let want = 0.5 / 0.95 * (1.0 - 0.0625);
        assert!(
            (score("The kinase", "the kinase binds ATP", Matching::Exact) - want).abs() < 1e-12
        );
        assert_eq!(score("x", "y", Matching::Exact), 0.0);
    }

    #[test]
    fn stems_come_after_words() {
        let (said, due) = ("kinases bind", "kinase binds");
        assert_eq!(score(said, due, Matching::Exact), 0.0);
        let got = score(said, due, Matching::ExactAndStem);
        assert!((got - (1.0 - 0.0625)).abs() < 1e-12, "{got}");
    }

    #[test]
    fn an_empty_text_scores_nothing() {
        assert_eq!(meteor::<&str>(&[], &["a"], Matching::Exact), 0.0);
        assert_eq!(meteor::<&str>(&["a"], &[], Matching::Exact), 0.0);
    }
}
