//! TF-IDF vectors of any kind of term. It knows no molecule: terms are what its caller cuts a text into.

use std::collections::{BTreeMap, HashMap};

use rayon::prelude::*;

use super::linear::Matrix;

/// Longest substring, in characters.
const LONGEST: usize = 4;

/// Terms that were seen while fitting, with their weights.
#[derive(Debug, Clone)]
pub struct TfIdf {
    terms: HashMap<String, usize>,
    idf: Vec<f32>,
    cut: fn(&str) -> Vec<String>,
}

impl TfIdf {
    /// Keeps the `most` terms that occur in most texts (ties in alphabetical order), `idf = ln((1+n)/(1+df)) + 1`.
    pub fn fit<S: AsRef<str> + Sync>(
        texts: &[S],
        most: usize,
        cut: fn(&str) -> Vec<String>,
    ) -> Self {
        let mut frequency: BTreeMap<String, usize> = BTreeMap::new();
        for text in texts {
            let mut terms = cut(text.as_ref());
            terms.sort_unstable();
            terms.dedup();
            for term in terms {
                *frequency.entry(term).or_default() += 1;
            }
        }
        let mut kept: Vec<(String, usize)> = frequency.into_iter().collect();
        kept.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        kept.truncate(most);
        let n = texts.len() as f64;
        let idf = kept
            .iter()
            .map(|(_, df)| (((1.0 + n) / (1.0 + *df as f64)).ln() + 1.0) as f32);
        let idf = idf.collect();
        let terms = kept.into_iter().enumerate().map(|(i, (term, _))| (term, i));
        Self {
            terms: terms.collect(),
            idf,
            cut,
        }
    }

    /// One unit vector per text, `[texts, terms]`, with `1 + ln tf` for a term that occurs tf times.
    pub fn transform<S: AsRef<str> + Sync>(&self, texts: &[S]) -> Matrix {
        let mut matrix = Matrix::zeros(texts.len(), self.idf.len());
        if matrix.data.is_empty() {
            return matrix;
        }
        let rows = matrix.data.par_chunks_mut(self.idf.len());
        rows.zip(texts.par_iter()).for_each(|(row, text)| {
            for term in (self.cut)(text.as_ref()) {
                if let Some(at) = self.terms.get(&term) {
                    row[*at] += 1.0;
                }
            }
            for (value, idf) in row.iter_mut().zip(&self.idf) {
                if *value > 0.0 {
                    *value = (1.0 + value.ln()) * idf;
                }
            }
        });
        matrix.normalized()
    }
}

/// All substrings of one to four characters.
pub fn substrings(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let of_length = |n: usize| chars.windows(n).map(|w| w.iter().collect());
    (1..=LONGEST).flat_map(of_length).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::eval::metrics::words;

    #[test]
    fn substrings_of_a_short_text() {
        assert_eq!(
            substrings("CCO"),
            ["C", "C", "O", "CC", "CO", "CCO"].map(String::from)
        );
    }

    #[test]
    fn a_rare_term_weighs_more() {
        let texts = ["red fish", "blue fish"];
        let tfidf = TfIdf::fit(&texts, 10, words);
        let m = tfidf.transform(&texts);
        // idf(fish) = 1, idf(red) = ln(3/2) + 1 = 1.405465; the unit vector of "red fish" follows.
        let norm = (1.0f32 + 1.405_465 * 1.405_465).sqrt();
        let mut row = m.row(0).to_vec();
        row.sort_by(f32::total_cmp);
        assert_eq!(row[0], 0.0);
        assert!((row[1] - 1.0 / norm).abs() < 1e-5 && (row[2] - 1.405_465 / norm).abs() < 1e-5);
    }

    #[test]
    fn unseen_terms_are_ignored_and_the_cap_holds() {
        let tfidf = TfIdf::fit(&["a a b", "a c"], 1, words);
        let m = tfidf.transform(&["b c d", "a"]);
        assert_eq!((m.cols, m.data), (1, vec![0.0, 1.0]));
    }
}
