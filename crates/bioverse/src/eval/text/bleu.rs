//! BLEU (Papineni et al., ACL 2002) as three programs compute it: sacrebleu, nltk and Hugging Face evaluate.

use super::{clipped, windows};

/// Longest n-gram of sacrebleu's score.
const ORDER: usize = 4;

/// What sacrebleu prints.
#[derive(Debug, Clone, PartialEq)]
pub struct Bleu {
    /// 0–100.
    pub score: f64,
    /// Percent, n = 1..4.
    pub precisions: [f64; ORDER],
    /// Brevity penalty.
    pub brevity_penalty: f64,
    /// Tokens of the predictions.
    pub sys_len: usize,
    /// Tokens of the references.
    pub ref_len: usize,
    /// Matching n-grams.
    pub counts: [usize; ORDER],
    /// N-grams of the predictions.
    pub totals: [usize; ORDER],
}

/// sacrebleu's corpus score, `nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp`.
pub fn sacrebleu<S: AsRef<str>>(predictions: &[S], references: &[S]) -> Bleu {
    let pairs = predictions.iter().zip(references);
    let counts = pairs.map(|(said, due)| Counts::of_13a(said.as_ref(), due.as_ref()));
    counts.sum::<Counts>().sacrebleu(Orders::All)
}

/// sacrebleu's sentence score, which stops at the longest n-gram that the prediction has (`eff:yes`).
pub fn sacrebleu_sentence(prediction: &str, reference: &str) -> Bleu {
    Counts::of_13a(prediction, reference).sacrebleu(Orders::Effective)
}

/// nltk's `corpus_bleu` with one reference each: [`Counts::nltk`] of all pairs.
pub fn corpus_bleu<T: Eq + std::hash::Hash>(
    predictions: &[Vec<T>],
    references: &[Vec<T>],
    order: usize,
) -> f64 {
    let pairs = predictions.iter().zip(references);
    let counts = pairs.map(|(said, due)| Counts::of(said, due));
    counts.sum::<Counts>().nltk(order)
}

/// What BLEU counts in one prediction or, added up, in many: a corpus need not be cut into n-grams again for every sample
/// of its rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    sys_len: usize,
    ref_len: usize,
    /// Matching n-grams, n = 1..4.
    matches: [usize; ORDER],
    /// N-grams of the predictions.
    totals: [usize; ORDER],
    /// The same as nltk counts them: at least one for each prediction, however short it is.
    at_least_one: [usize; ORDER],
}

/// Which n-gram lengths enter the mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Orders {
    /// All four (`eff:no`).
    All,
    /// Up to the longest that occurs (`eff:yes`).
    Effective,
}

impl Counts {
    /// Of one tokenised prediction.
    pub fn of<T: Eq + std::hash::Hash>(said: &[T], due: &[T]) -> Self {
        let totals = std::array::from_fn(|i| windows(said.len(), i + 1));
        Self {
            sys_len: said.len(),
            ref_len: due.len(),
            matches: std::array::from_fn(|i| clipped(said, due, i + 1)),
            totals,
            at_least_one: totals.map(|total| total.max(1)),
        }
    }

    /// Of one prediction, in [`tokens_13a`].
    pub fn of_13a(prediction: &str, reference: &str) -> Self {
        Self::of(&tokens_13a(prediction), &tokens_13a(reference))
    }

    /// `nltk.translate.bleu_score.corpus_bleu` with weights `1 / order` and no smoothing, 0–1. An n-gram length without any
    /// match makes the score vanish, as it does there. `order` is at most 4.
    pub fn nltk(&self, order: usize) -> f64 {
        if self.matches[0] == 0 {
            return 0.0;
        }
        let orders = self.matches.iter().zip(&self.at_least_one).take(order);
        let log = |(matches, total): (&usize, &usize)| match matches {
            0 => f64::MIN_POSITIVE.ln(),
            _ => (*matches as f64 / *total as f64).ln(),
        };
        let mean = orders.map(log).sum::<f64>() / order.clamp(1, ORDER) as f64;
        brevity_penalty(self.sys_len, self.ref_len) * mean.exp()
    }

    /// The metric `bleu` of Hugging Face `evaluate` without smoothing (`compute_bleu` of TensorFlow's nmt), 0–1: 0 where an
    /// n-gram length has no match. `order` is at most 4.
    pub fn hugging_face(&self, order: usize) -> f64 {
        let orders = self.matches.iter().zip(&self.totals).take(order);
        let log = |(matches, total): (&usize, &usize)| (*matches as f64 / *total as f64).ln();
        if orders.clone().any(|(matches, _)| *matches == 0) {
            return 0.0;
        }
        let mean = orders.map(log).sum::<f64>() / order.clamp(1, ORDER) as f64;
        brevity_penalty(self.sys_len, self.ref_len) * mean.exp()
    }

    /// sacrebleu's score with exponential smoothing, 0–100.
    pub fn sacrebleu(self, orders: Orders) -> Bleu {
        let brevity_penalty = brevity_penalty(self.sys_len, self.ref_len);
        let mut precisions = [0.0; ORDER];
        let mut score = 0.0;
        if self.matches.iter().any(|count| *count > 0) {
            let present = self.totals.iter().take_while(|total| **total > 0).count();
            let mut halvings = 1.0;
            let orders_there = self.matches.iter().zip(&self.totals).take(present);
            for (precision, (matches, total)) in precisions.iter_mut().zip(orders_there) {
                // Each order without a match counts half as much as the one before (NIST's smoothing).
                let matches = if *matches == 0 {
                    halvings *= 2.0;
                    1.0 / halvings
                } else {
                    *matches as f64
                };
                *precision = 100.0 * matches / *total as f64;
            }
            let order = match orders {
                Orders::All => ORDER,
                Orders::Effective => present,
            };
            // An order that does not occur has precision 0, whose logarithm is taken to be very small.
            let log = |p: &f64| if *p == 0.0 { -9_999_999_999.0 } else { p.ln() };
            let sum: f64 = precisions[..order].iter().map(log).sum();
            score = brevity_penalty * (sum / order as f64).exp();
        }
        Bleu {
            score,
            precisions,
            brevity_penalty,
            sys_len: self.sys_len,
            ref_len: self.ref_len,
            counts: self.matches,
            totals: self.totals,
        }
    }
}

impl std::iter::Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |all, one| {
            let plus = |a: [usize; ORDER], b: [usize; ORDER]| std::array::from_fn(|i| a[i] + b[i]);
            Self {
                sys_len: all.sys_len + one.sys_len,
                ref_len: all.ref_len + one.ref_len,
                matches: plus(all.matches, one.matches),
                totals: plus(all.totals, one.totals),
                at_least_one: plus(all.at_least_one, one.at_least_one),
            }
        })
    }
}

fn brevity_penalty(said: usize, due: usize) -> f64 {
    match said {
        0 if due > 0 => 0.0,
        _ if said >= due => 1.0,
        _ => (1.0 - due as f64 / said as f64).exp(),
    }
}

/// The tokenization of NIST's mteval-v13a: entities resolved, ASCII symbols set apart, full stops and commas set apart
/// unless they stand between digits, a dash after a digit set apart.
pub fn tokens_13a(text: &str) -> Vec<String> {
    let text = text
        .trim_end()
        .replace("<skipped>", "")
        .replace("-\n", "")
        .replace('\n', " ")
        .replace("&quot;", "\"")
        .replace("&amp;", "&")
        .replace("&lt;", "<")
        .replace("&gt;", ">");
    let apart: String = format!(" {text} ")
        .chars()
        .flat_map(|c| match is_symbol(c) {
            true => vec![' ', c, ' '],
            false => vec![c],
        })
        .collect();
    let stop = |c: char| c == '.' || c == ',';
    let before = pairs(&apart, |a, b| !a.is_ascii_digit() && stop(b), [0, 1]);
    let after = pairs(&before, |a, b| stop(a) && !b.is_ascii_digit(), [1, 0]);
    let dashed = pairs(&after, |a, b| a.is_ascii_digit() && b == '-', [0, 1]);
    dashed.split_whitespace().map(str::to_owned).collect()
}

/// Printable ASCII that is no letter or digit, without the four that depend on what stands beside them: `' , - .`
fn is_symbol(c: char) -> bool {
    matches!(c, '{'..='~' | '['..='`' | ' '..='&' | '('..='+' | ':'..='@' | '/')
}

/// Rewrites each pair of neighbours that `is` accepts, from the left, no character in two pairs: spaces go around the first
/// (`[1, 0]`) or the second (`[0, 1]`) of the two.
fn pairs(text: &str, is: impl Fn(char, char) -> bool, apart: [u8; 2]) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len() + 8);
    let mut at = 0;
    while let Some(&a) = chars.get(at) {
        match chars.get(at + 1) {
            Some(&b) if is(a, b) => {
                for (c, spaced) in [a, b].into_iter().zip(apart) {
                    match spaced {
                        0 => out.push(c),
                        _ => out.extend([' ', c, ' ']),
                    }
                }
                at += 2;
            }
            _ => {
                out.push(a);
                at += 1;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<&str> {
        text.split_whitespace().collect()
    }

    #[test]
    fn tokens_follow_mteval() {
        assert_eq!(
            tokens_13a("α-helix, (2R)-β; 3.5 mg/ml!"),
            words("α-helix , ( 2R ) -β ; 3.5 mg / ml !")
        );
        assert_eq!(
            tokens_13a("2-fold &amp; 1,000."),
            words("2 - fold & 1,000 .")
        );
        assert_eq!(tokens_13a("end..\n"), words("end . ."));
        assert!(tokens_13a(" \n").is_empty());
    }

    #[test]
    fn a_perfect_prediction_scores_100_and_a_disjoint_one_0() {
        let text = "the compound is a primary alcohol";
        assert!((sacrebleu(&[text], &[text]).score - 100.0).abs() < 1e-9);
        assert_eq!(sacrebleu(&["xyz"], &[text]).score, 0.0);
        assert_eq!(sacrebleu(&[""], &[text]).score, 0.0);
    }

    #[test]
    fn a_sentence_by_hand() {
        // "a b" against "a b c": 2 of 2 words, 1 of 1 pairs, no longer n-grams; penalty exp(1 - 3/2).
        let got = sacrebleu_sentence("a b", "a b c");
        assert!(
            (got.score - 100.0 * (-0.5f64).exp()).abs() < 1e-9,
            "{got:?}"
        );
        assert!(sacrebleu(&["a b"], &["a b c"]).score < 1e-9);
    }

    #[test]
    fn a_short_prediction_counts_for_nltk_and_not_for_evaluate() {
        // "a" against "a", and "a b" against "a b": nltk counts one pair in "a", evaluate none.
        let pairs = [(vec!["a"], vec!["a"]), (vec!["a", "b"], vec!["a", "b"])];
        let counts: Counts = pairs.iter().map(|(said, due)| Counts::of(said, due)).sum();
        assert!((counts.nltk(2) - 0.5f64.sqrt()).abs() < 1e-12);
        assert!((counts.hugging_face(2) - 1.0).abs() < 1e-12);
        assert_eq!(counts.hugging_face(4), 0.0);
    }

    #[test]
    fn nltk_by_hand() {
        let tokens = |text: &str| words(text).into_iter().map(str::to_owned).collect();
        let (said, due): (Vec<Vec<String>>, Vec<Vec<String>>) =
            (vec![tokens("a b x d")], vec![tokens("a b c d")]);
        // 3 of 4 words, 1 of 3 pairs.
        let want = (3.0f64 / 4.0 * 1.0 / 3.0).sqrt();
        assert!((corpus_bleu(&said, &due, 2) - want).abs() < 1e-12);
        assert!(corpus_bleu(&said, &due, 4) < 1e-70);
        assert_eq!(corpus_bleu(&[tokens("x")], &due, 2), 0.0);
    }
}
