//! Generated texts against references: every variant of BLEU, ROUGE, METEOR and exact match that papers on captions report,
//! under a name that says which. Where the texts come from is not known here.

use std::collections::BTreeMap;

use bioverse_nn::Tokenizer;

use super::facts::{Agreement, Facts, Vocabulary};
use crate::error::Result;
use crate::eval::findings::Method;
use crate::eval::text::bleu::{Counts, Orders};
use crate::eval::text::meteor::{Matching, meteor};
use crate::eval::text::rouge::Rouge;

/// Papers cut captions after as many WordPiece tokens.
const LONGEST: usize = 512;

/// What texts are compared with.
pub struct References<'a> {
    /// Row by row.
    pub texts: Vec<&'a str>,
    /// A WordPiece tokenizer, where one is at hand.
    pub wordpiece: Option<&'a Tokenizer>,
    /// Facts of each row, where rows have any.
    pub facts: Option<(&'a Vocabulary, Vec<Facts>)>,
}

impl References<'_> {
    /// All metrics of `said`, added to `method`.
    pub fn score(&self, method: Method, said: &[String]) -> Result<Method> {
        let method = self.rouge(self.bleu(method, said), said);
        let method = self.on_tokens(method, said, "words", |text| Ok(by_space(text)))?;
        let method = match self.wordpiece {
            None => method,
            Some(tokenizer) => {
                self.on_tokens(method, said, "wordpiece", |text| pieces(tokenizer, text))?
            }
        };
        let method = self.exact(method, said);
        Ok(self.facts(method, said))
    }

    fn rows(&self, said: &[String], value: impl Fn(&str, &str) -> f64) -> Vec<f64> {
        let pairs = said.iter().zip(&self.texts);
        pairs.map(|(said, due)| value(said, due)).collect()
    }

    fn bleu(&self, method: Method, said: &[String]) -> Method {
        let pairs = said.iter().zip(&self.texts);
        let counts: Vec<Counts> = pairs.map(|(a, b)| Counts::of_13a(a, b)).collect();
        let whole = |rows: &[usize]| rows.iter().map(|row| counts[*row]).sum::<Counts>();
        let n = counts.len();
        method
            .whole("sacrebleu", n, |rows| {
                whole(rows).sacrebleu(Orders::All).score
            })
            .whole("sacrebleu_effective", n, |rows| {
                whole(rows).sacrebleu(Orders::Effective).score
            })
            .whole("bleu2_hf_13a", n, |rows| whole(rows).hugging_face(2))
            .whole("bleu4_hf_13a", n, |rows| whole(rows).hugging_face(4))
    }

    fn rouge(&self, method: Method, said: &[String]) -> Method {
        let mut columns: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for (said, due) in said.iter().zip(&self.texts) {
            let (plain, stemmed) = (Rouge::of(said, due), Rouge::stemmed(said, due));
            for (name, score) in [
                ("rouge1", plain.rouge1),
                ("rouge2", plain.rouge2),
                ("rougeL", plain.rouge_l),
                ("rouge1_stem", stemmed.rouge1),
                ("rouge2_stem", stemmed.rouge2),
                ("rougeL_stem", stemmed.rouge_l),
            ] {
                columns.entry(name).or_default().push(score.f1);
            }
        }
        let columns = columns.into_iter();
        columns.fold(method, |method, (name, rows)| method.mean(name, rows))
    }

    /// nltk's metrics, which leave the tokens to the caller.
    fn on_tokens(
        &self,
        method: Method,
        said: &[String],
        tokens: &str,
        cut: impl Fn(&str) -> Result<Vec<String>>,
    ) -> Result<Method> {
        let cut_said: Vec<_> = said.iter().map(|text| cut(text)).collect::<Result<_>>()?;
        let cut_due: Vec<_> = self
            .texts
            .iter()
            .map(|text| cut(text))
            .collect::<Result<_>>()?;
        let pairs = || cut_said.iter().zip(&cut_due);
        let counts: Vec<Counts> = pairs().map(|(a, b)| Counts::of(a, b)).collect();
        let whole = |rows: &[usize]| rows.iter().map(|row| counts[*row]).sum::<Counts>();
        let sentences = counts.iter().map(|counts| counts.nltk(4)).collect();
        let by = |matching| pairs().map(|(a, b)| meteor(a, b, matching)).collect();
        let n = counts.len();
        Ok(method
            .whole(&format!("bleu2_nltk_{tokens}"), n, |rows| {
                whole(rows).nltk(2)
            })
            .whole(&format!("bleu4_nltk_{tokens}"), n, |rows| {
                whole(rows).nltk(4)
            })
            .mean(&format!("sentence_bleu_nltk_{tokens}"), sentences)
            .mean(&format!("meteor_exact_{tokens}"), by(Matching::Exact))
            .mean(
                &format!("meteor_exact_stem_{tokens}"),
                by(Matching::ExactAndStem),
            ))
    }

    fn exact(&self, method: Method, said: &[String]) -> Method {
        let equal = |equal: bool| f64::from(u8::from(equal));
        let as_it_is = self.rows(said, |a, b| equal(a.trim() == b.trim()));
        let letters = self.rows(said, |a, b| equal(word_characters(a) == word_characters(b)));
        method
            .mean("exact_match", as_it_is)
            .mean("exact_match_normalized", letters)
    }

    fn facts(&self, method: Method, said: &[String]) -> Method {
        let Some((vocabulary, due)) = &self.facts else {
            return method;
        };
        let rows = said.iter().zip(due).filter(|(_, due)| !due.is_empty());
        let agreed: Vec<Agreement> = rows
            .map(|(said, due)| Agreement::between(&vocabulary.named(said), due))
            .collect();
        let column = |value: fn(&Agreement) -> f64| agreed.iter().map(value).collect();
        let all = |rows: &[usize]| {
            rows.iter()
                .fold(Agreement::default(), |all, row| Agreement {
                    right: all.right + agreed[*row].right,
                    named: all.named + agreed[*row].named,
                    due: all.due + agreed[*row].due,
                })
        };
        method
            .mean("fact_f1", column(Agreement::f1))
            .mean("fact_precision", column(Agreement::precision))
            .mean("fact_recall", column(Agreement::recall))
            .whole("fact_f1_micro", agreed.len(), |rows| all(rows).f1())
    }
}

fn by_space(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn pieces(tokenizer: &Tokenizer, text: &str) -> Result<Vec<String>> {
    let mut ids = tokenizer.encode(text)?;
    ids.truncate(LONGEST);
    Ok(tokenizer.tokens(&ids))
}

/// Lower case, letters, digits and `_` only: Python's `re.sub(r"\W", "", text.lower())`.
fn word_characters(text: &str) -> String {
    let lower = text.to_lowercase();
    let kept = lower.chars().filter(|c| c.is_alphanumeric() || *c == '_');
    kept.collect()
}

/// Metric → what exactly it is. `tokenizer` names the folder of the WordPiece tokenizer.
pub fn definitions(tokenizer: Option<&str>, facts: bool) -> BTreeMap<String, String> {
    let mut all: Vec<(String, String)> = DEFINITIONS
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect();
    let mut on = |tokens: &str, what: &str| {
        for (name, text) in ON_TOKENS {
            all.push((
                format!("{name}_{tokens}"),
                format!("{text} Tokens: {what}."),
            ));
        }
    };
    on("words", "split at white space");
    if let Some(folder) = tokenizer {
        on(
            "wordpiece",
            &format!("of the tokenizer in {folder}, without special tokens, at most {LONGEST}"),
        );
    }
    if facts {
        all.extend(FACTS.map(|(name, text)| (name.to_owned(), text.to_owned())));
    }
    all.into_iter().collect()
}

const DEFINITIONS: [(&str, &str); 12] = [
    (
        "sacrebleu",
        "sacrebleu 2 corpus_bleu, nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp, 0-100.",
    ),
    (
        "sacrebleu_effective",
        "sacrebleu 2 corpus BLEU with effective_order, nrefs:1|case:mixed|eff:yes|tok:13a|smooth:exp, 0-100.",
    ),
    (
        "bleu2_hf_13a",
        "Hugging Face evaluate `bleu`, max_order 2, 13a tokens, no smoothing, 0-1 (Prot2Text-V2).",
    ),
    (
        "bleu4_hf_13a",
        "Hugging Face evaluate `bleu`, max_order 4, 13a tokens, no smoothing, 0-1 (Prot2Text-V2).",
    ),
    (
        "rouge1",
        "rouge-score 0.1.2, use_stemmer=False, F-measure, mean over rows.",
    ),
    (
        "rouge2",
        "rouge-score 0.1.2, use_stemmer=False, F-measure, mean over rows.",
    ),
    (
        "rougeL",
        "rouge-score 0.1.2, use_stemmer=False, F-measure, mean over rows.",
    ),
    (
        "rouge1_stem",
        "rouge-score 0.1.2, use_stemmer=True, F-measure, mean over rows.",
    ),
    (
        "rouge2_stem",
        "rouge-score 0.1.2, use_stemmer=True, F-measure, mean over rows.",
    ),
    (
        "rougeL_stem",
        "rouge-score 0.1.2, use_stemmer=True, F-measure, mean over rows.",
    ),
    (
        "exact_match",
        "Share of texts that equal their reference, white space at both ends aside.",
    ),
    (
        "exact_match_normalized",
        "The same in lower case without non-word characters (Prot2Text-V2).",
    ),
];

const ON_TOKENS: [(&str, &str); 5] = [
    (
        "bleu2_nltk",
        "nltk corpus_bleu, weights (1/2, 1/2), no smoothing, 0-1 (MolT5 and later papers on molecule captions).",
    ),
    (
        "bleu4_nltk",
        "nltk corpus_bleu, weights (1/4, 1/4, 1/4, 1/4), no smoothing, 0-1 (MolT5 and later papers on molecule captions).",
    ),
    (
        "sentence_bleu_nltk",
        "Mean of nltk sentence_bleu, weights 1/4 each, no smoothing, 0-1 (Mol-Instructions).",
    ),
    (
        "meteor_exact",
        "nltk meteor_score (alpha .9, beta 3, gamma .5), exact matches only: without Porter stems and WordNet synonyms.",
    ),
    (
        "meteor_exact_stem",
        "nltk meteor_score (alpha .9, beta 3, gamma .5), exact and Porter-stem matches: without WordNet synonyms.",
    ),
];

const FACTS: [(&str, &str); 4] = [
    (
        "fact_f1",
        "F1 between names in the text and the row's `facts`, mean over rows with facts (scikit-learn f1_score, \
         average=\"samples\", zero_division=0). Names: facts of training and measured rows that some reference says of its \
         own record, compared by Porter stems, longest first; behind no, not, without, nor they do not count.",
    ),
    (
        "fact_precision",
        "Share of the names in a text that are true of its record, mean over rows; 0 without names.",
    ),
    (
        "fact_recall",
        "Share of the row's facts that the text names, mean over rows.",
    ),
    (
        "fact_f1_micro",
        "F1 of all names and facts of all rows counted together.",
    ),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::eval::findings::Role;

    fn scored(said: &[&str], due: &[&str]) -> Method {
        let references = References {
            texts: due.to_vec(),
            wordpiece: None,
            facts: None,
        };
        let said: Vec<String> = said.iter().map(|text| (*text).to_owned()).collect();
        let method = Method::new("model", Role::Model);
        references.score(method, &said).unwrap()
    }

    #[test]
    fn numbers_are_those_of_the_python_libraries() {
        // sacrebleu 2.6.0, nltk 3.10.4 and rouge-score 0.1.2 on the same two pairs; Hugging Face's compute_bleu by its formula.
        let method = scored(
            &["a small amide with one ring", "It is a fatty acid."],
            &[
                "a small amide with two rings and an ester",
                "It is a fatty acid.",
            ],
        );
        let want = [
            ("sacrebleu", 59.17606269910581),
            ("sacrebleu_effective", 59.17606269910581),
            ("bleu2_hf_13a", 0.6358881766016378),
            ("bleu4_hf_13a", 0.5917606269910581),
            ("rouge1", 0.7666666666666666),
            ("rouge2", 0.7307692307692307),
            ("rougeL", 0.7666666666666666),
            ("rouge1_stem", 0.8333333333333334),
            ("rouge2_stem", 0.7307692307692307),
            ("rougeL_stem", 0.8333333333333334),
            ("bleu2_nltk_words", 0.6073076164884471),
            ("bleu4_nltk_words", 0.5501589630653061),
            ("sentence_bleu_nltk_words", 0.6540990454799059),
            ("meteor_exact_words", 0.7260890804597702),
            ("meteor_exact_stem_words", 0.7761609195402299),
            ("exact_match", 0.5),
            ("exact_match_normalized", 0.5),
        ];
        for (metric, value) in want {
            let got = method.numbers[metric].value;
            assert!(
                (got - value).abs() < 1e-9,
                "{metric}: {got} instead of {value}"
            );
        }
        assert_eq!(method.rows["exact_match"], [0.0, 1.0]);
    }

    #[test]
    fn every_number_is_defined() {
        let method = scored(&["a"], &["a"]);
        let definitions = definitions(None, false);
        for metric in method.numbers.keys() {
            assert!(definitions.contains_key(metric), "{metric}");
        }
        assert_eq!(definitions.len(), method.numbers.len());
    }

    #[test]
    fn letters_decide_whether_two_texts_are_the_same() {
        assert_eq!(word_characters("(2R)-β, a_1!"), "2rβa_1");
    }
}
