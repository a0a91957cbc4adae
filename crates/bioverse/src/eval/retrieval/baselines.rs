//! What a modality's records are retrieved by beside the bundle: terms of the record, its frozen encoder, the frozen LLM.

use bioverse_core::Record;

use super::super::{bench::Bench, linear::Matrix, states, tfidf::substrings};
use super::Pair;
use super::ridge::Words;
use super::space::Space;
use super::written;
use crate::error::{Error, Result};
use crate::telemetry::Progress;

/// Longest k-mer.
const LONGEST: usize = 3;

/// What a baseline is, for definitions.
pub const DEFINITIONS: [(&str, &str); 7] = [
    (
        "substrings",
        "TF-IDF of the record's substrings of 1 to 4 characters → TF-IDF of the text's words, by ridge regression",
    ),
    (
        "morgan",
        "counts of circular environments of radius 0 to 2 (ECFP4, Rogers & Hahn 2010), TF-IDF → TF-IDF of the text's words, \
         by ridge regression",
    ),
    (
        "kmers",
        "TF-IDF of the sequence's 1- to 3-mers → TF-IDF of the text's words, by ridge regression",
    ),
    (
        "genes",
        "TF-IDF of the names of expressed genes → TF-IDF of the text's words, by ridge regression",
    ),
    (
        "encoder",
        "the frozen encoder's pooled states, standardised → TF-IDF of the text's words, by ridge regression",
    ),
    (
        "base_llm",
        "the frozen LLM reads the record written out as text; compared with the text in the space the bundle was aligned to",
    ),
    ("chance", "guessing, exactly: every rank is equally likely"),
];

/// How a record is cut into terms.
struct Terms {
    name: &'static str,
    text: fn(&Pair) -> String,
    cut: fn(&str) -> Vec<String>,
}

/// Baselines by name, and what must be said of those that were left out.
type Found = (Vec<(&'static str, Space)>, Vec<String>);

/// Every baseline that the rows allow, with what was left out and why. Those that learn need training rows.
pub fn run(bench: &Bench<'_>, modality: &str, train: &[Pair], eval: &[Pair]) -> Result<Found> {
    let (mut spaces, mut notes) = (vec![], vec![]);
    let terms = terms(modality, eval);
    if !train.is_empty() {
        let mut progress = Progress::new("baselines", terms.len() + 1);
        let words = Words::of(train, eval);
        for (done, kind) in terms.iter().enumerate() {
            let text = |pairs: &[Pair]| -> Vec<String> { pairs.iter().map(kind.text).collect() };
            match words.terms_space(&text(train), &text(eval), kind.cut)? {
                Some(space) => spaces.push((kind.name, space)),
                None => notes.push(format!(
                    "The baseline `{}` was left out: the records have nothing in common that it could read.",
                    kind.name
                )),
            }
            progress.set(done + 1, kind.name);
        }
        match encoder(bench, modality, &words, train, eval) {
            Ok(space) => spaces.push(("encoder", space)),
            Err(error @ Error::Interrupted { .. }) => return Err(error),
            Err(error) => notes.push(format!("The baseline `encoder` was left out: {error}.")),
        }
        progress.set(terms.len() + 1, "");
        progress.finish("");
    }
    match frozen_llm(bench, modality, eval) {
        Ok(space) => spaces.extend(space.map(|space| ("base_llm", space))),
        Err(error @ Error::Interrupted { .. }) => return Err(error),
        Err(error) => notes.push(format!("The baseline `base_llm` was left out: {error}.")),
    }
    Ok((spaces, notes))
}

/// What the records can be cut into.
fn terms(modality: &str, eval: &[Pair]) -> Vec<Terms> {
    let input = |pair: &Pair| pair.input.clone();
    if eval.iter().any(|pair| !pair.record.is_string()) {
        let cells = eval
            .iter()
            .all(|pair| written::genes(&pair.record).is_some());
        let genes = Terms {
            name: "genes",
            text: |pair| written::in_words(&pair.record),
            cut: |text| text.split_whitespace().map(str::to_owned).collect(),
        };
        return cells.then_some(genes).into_iter().collect();
    }
    let mut terms = vec![Terms {
        name: "substrings",
        text: input,
        cut: substrings,
    }];
    #[cfg(feature = "molecule")]
    if modality == "molecule" {
        terms.push(Terms {
            name: "morgan",
            text: input,
            cut: environments,
        });
    }
    if modality == "protein" {
        terms.push(Terms {
            name: "kmers",
            text: input,
            cut: kmers,
        });
    }
    terms
}

/// Every circular environment of a molecule, as often as it occurs; none of what is no molecule.
#[cfg(feature = "molecule")]
fn environments(smiles: &str) -> Vec<String> {
    let counts = bioverse_molecule::fingerprint::environment_counts(smiles).unwrap_or_default();
    let terms = counts
        .into_iter()
        .map(|(hash, count)| (hash.to_string(), count));
    terms
        .flat_map(|(term, count)| std::iter::repeat_n(term, count))
        .collect()
}

/// Runs of one to three letters.
fn kmers(sequence: &str) -> Vec<String> {
    let letters: Vec<char> = sequence.to_ascii_uppercase().chars().collect();
    let of_length = |k: usize| letters.windows(k).map(|w| w.iter().collect());
    (1..=LONGEST).flat_map(of_length).collect()
}

fn encoder(
    bench: &Bench<'_>,
    modality: &str,
    words: &Words,
    train: &[Pair],
    eval: &[Pair],
) -> Result<Space> {
    let vectors = |pairs: &[Pair]| -> Result<Matrix> {
        let records: Vec<Record> = pairs.iter().map(|pair| pair.record.clone()).collect();
        let name = |i: usize| format!("`{}`", pairs[i].id);
        states::means(bench.session, modality, &records, &name)
    };
    words.vectors_space(&vectors(train)?, &vectors(eval)?)
}

/// Nothing where a record cannot be read as text.
fn frozen_llm(bench: &Bench<'_>, modality: &str, eval: &[Pair]) -> Result<Option<Space>> {
    let session = bench.session;
    if !eval.iter().all(|pair| written::is_readable(&pair.record)) {
        return Ok(None);
    }
    let room = session.model.llm.config().max_position_embeddings / 2;
    let in_words = |pair: &Pair| {
        let text = written::in_words(&pair.record);
        written::cut(&session.tokenizer, &text, room)
    };
    let written: Vec<String> = eval.iter().map(in_words).collect();
    let texts: Vec<String> = eval.iter().map(|pair| pair.text.clone()).collect();
    let name = |i: usize| format!("`{}`", eval[i].id);
    let metric = session.text_metric(modality)?;
    let read = |texts: &[String]| -> Result<Matrix> {
        let vectors = session.embed_texts(modality, texts, &name)?;
        Ok(Matrix::from_tensor(metric.apply(vectors)))
    };
    Ok(Some(Space::new(read(&written)?, read(&texts)?)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::super::same::tests::pair;
    use super::*;

    #[test]
    fn kmers_of_a_short_sequence() {
        assert_eq!(kmers("mkM"), ["M", "K", "M", "MK", "KM", "MKM"]);
    }

    #[cfg(feature = "molecule")]
    #[test]
    fn an_environment_counts_as_often_as_it_occurs() {
        // Two methyl ends and the carbon between them, of radius 0 to 2.
        let found = environments("CCC");
        assert_eq!(found.len(), 9);
        let distinct: std::collections::BTreeSet<&String> = found.iter().collect();
        assert!(distinct.len() < 9, "{found:?}");
        assert!(environments("no molecule").is_empty());
    }

    #[test]
    fn a_modality_has_the_baselines_of_its_records() {
        let names = |modality: &str, record: serde_json::Value| -> Vec<&str> {
            let mut pair = pair("A", "x");
            pair.record = record;
            terms(modality, &[pair])
                .iter()
                .map(|terms| terms.name)
                .collect()
        };
        assert_eq!(names("protein", "MK".into()), ["substrings", "kmers"]);
        assert_eq!(names("text", "a b".into()), ["substrings"]);
        let cell = serde_json::json!({"genes": ["LYZ"], "values": [1.0]});
        assert_eq!(names("cell", cell), ["genes"]);
        assert!(names("other", serde_json::json!({"x": 1})).is_empty());
    }
}
