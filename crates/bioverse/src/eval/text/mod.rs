//! How close a generated text comes to its reference, in the variants that papers report. Each function names the program
//! whose numbers it gives, because variants of one name differ by points.
//!
//! | metric | program | tokens | range |
//! |---|---|---|---|
//! | [`bleu::sacrebleu`] | sacrebleu 2, `tok:13a`, `smooth:exp` | mteval 13a | 0–100 |
//! | [`bleu::corpus_bleu`] | nltk `corpus_bleu` without smoothing | the caller's | 0–1 |
//! | [`bleu::Counts::hugging_face`] | Hugging Face evaluate `bleu` without smoothing | the caller's (13a there) | 0–1 |
//! | [`rouge::Rouge`] | rouge-score 0.1.2, with or without stemming | lower case, `[a-z0-9]+` | 0–1 |
//! | [`meteor::meteor`] | nltk `meteor_score` without WordNet synonyms | the caller's, lower case | 0–1 |
//!
//! It knows no model and no file.

pub mod bleu;
pub mod meteor;
pub mod porter;
pub mod rouge;

use std::{collections::HashMap, hash::Hash};

/// How often each run of `n` tokens occurs.
fn ngrams<T: Eq + Hash>(tokens: &[T], n: usize) -> HashMap<&[T], usize> {
    let mut counts = HashMap::new();
    for gram in tokens.windows(n) {
        *counts.entry(gram).or_default() += 1;
    }
    counts
}

/// How many n-grams of `said` are also in `due`, each at most as often as there.
fn clipped<T: Eq + Hash>(said: &[T], due: &[T], n: usize) -> usize {
    let due = ngrams(due, n);
    let said = ngrams(said, n);
    said.iter()
        .map(|(gram, count)| *count.min(due.get(gram).unwrap_or(&0)))
        .sum()
}

/// Number of n-grams of a text of `len` tokens.
fn windows(len: usize, n: usize) -> usize {
    (len + 1).saturating_sub(n)
}
