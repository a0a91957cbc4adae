//! ROUGE-1, ROUGE-2 and ROUGE-L (Lin, 2004) as the program rouge-score computes them, one prediction at a time.

use super::{clipped, porter::stem, windows};

/// Precision, recall and their harmonic mean.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Score {
    /// Share of the prediction that is in the reference.
    pub precision: f64,
    /// Share of the reference that is in the prediction.
    pub recall: f64,
    /// Harmonic mean.
    pub f1: f64,
}

/// The three scores of one prediction.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rouge {
    /// Words.
    pub rouge1: Score,
    /// Pairs of words.
    pub rouge2: Score,
    /// Longest common subsequence.
    pub rouge_l: Score,
}

impl Rouge {
    /// Compares words as they are: what molecule and protein captioning papers report.
    pub fn of(prediction: &str, reference: &str) -> Self {
        Self::of_tokens(&tokens(prediction), &tokens(reference))
    }

    /// Compares stems; words of up to three characters stay as they are.
    pub fn stemmed(prediction: &str, reference: &str) -> Self {
        let stems = |text: &str| -> Vec<String> {
            let tokens = tokens(text).into_iter();
            tokens
                .map(|token| if token.len() > 3 { stem(&token) } else { token })
                .collect()
        };
        Self::of_tokens(&stems(prediction), &stems(reference))
    }

    fn of_tokens(said: &[String], due: &[String]) -> Self {
        let grams = |n: usize| {
            let (of_said, of_due) = (windows(said.len(), n), windows(due.len(), n));
            score(clipped(said, due, n), of_said, of_due)
        };
        Self {
            rouge1: grams(1),
            rouge2: grams(2),
            rouge_l: score(common(said, due), said.len(), due.len()),
        }
    }
}

/// Lower case, everything but `a-z0-9` separates.
fn tokens(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    let separates = |c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit();
    let tokens = lower.split(separates).filter(|token| !token.is_empty());
    tokens.map(str::to_owned).collect()
}

fn score(common: usize, said: usize, due: usize) -> Score {
    let share = |of: usize| common as f64 / of.max(1) as f64;
    let (precision, recall) = (share(said), share(due));
    let sum = precision + recall;
    Score {
        precision,
        recall,
        f1: if sum > 0.0 {
            2.0 * precision * recall / sum
        } else {
            0.0
        },
    }
}

/// Length of the longest common subsequence, in one row of memory.
fn common(a: &[String], b: &[String]) -> usize {
    let mut row = vec![0; b.len() + 1];
    for x in a {
        let mut diagonal = 0;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = if x == y {
                diagonal + 1
            } else {
                above.max(row[j])
            };
            diagonal = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let got = Rouge::of("The molecule, an acid", "an acid: the molecule is strong");
        // All 4 of 4 and 6 words; pairs "the molecule", "an acid" of 3 and 5; subsequence "an acid" or "the molecule".
        assert_eq!((got.rouge1.precision, got.rouge1.recall), (1.0, 4.0 / 6.0));
        assert_eq!((got.rouge2.precision, got.rouge2.recall), (2.0 / 3.0, 0.4));
        assert_eq!(got.rouge_l.precision, 0.5);
        assert!((got.rouge1.f1 - 0.8).abs() < 1e-12);
    }

    #[test]
    fn stems_match_where_words_do_not() {
        let (said, due) = ("kinases regulate", "a kinase regulates");
        assert_eq!(Rouge::of(said, due).rouge1.f1, 0.0);
        assert!((Rouge::stemmed(said, due).rouge1.f1 - 0.8).abs() < 1e-12);
    }

    #[test]
    fn nothing_scores_nothing() {
        assert_eq!(Rouge::of("", ""), Rouge::default());
        assert_eq!(Rouge::of("α β", "word"), Rouge::default());
    }
}
