//! Questions with a closed set of answers: which answers each one has. What answers them, and how well, is not known here.

use std::collections::BTreeMap;

use bioverse_core::Example;
use serde_json::json;

use super::majority::question;
use super::metrics::{names, normalize, words};
use super::rows::{self, Row};

/// More different answers than this are no closed set, unless the question names those it offers.
const MOST: usize = 32;

/// A question with its possible answers.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Id of the row.
    pub id: String,
    /// What is asked.
    pub kind: String,
    /// Everything said before the answer.
    pub question: String,
    /// The row.
    pub example: Example,
    /// Possible answers, at least two.
    pub answers: Vec<String>,
    /// Place of the right one.
    pub truth: usize,
    /// Every text that gives an answer: `Yes, it binds.` and `Yes.` are both yes.
    pub texts: Vec<String>,
    /// Of each text, the place of the answer it gives.
    pub gives: Vec<usize>,
    /// Place of the row's own text.
    pub reference: usize,
}

impl Asked {
    /// Place of `yes`, where the answers are yes and no.
    pub fn positive(&self) -> Option<usize> {
        let names: Vec<String> = self
            .answers
            .iter()
            .map(|answer| normalize(answer))
            .collect();
        let yes = names.iter().position(|name| name == "yes")?;
        (names.len() == 2 && names.iter().any(|name| name == "no")).then_some(yes)
    }

    /// Names of its modalities, in the order of its records.
    pub fn modalities(&self) -> Vec<&str> {
        let records = self.example.records.iter();
        records.map(|(name, _)| name.as_str()).collect()
    }
}

/// The answers that rows of each kind have.
pub struct Answers {
    /// Kind → its answers.
    kinds: BTreeMap<String, Vec<Answer>>,
}

/// An answer and how it is put.
struct Answer {
    /// `yes`, `no`, or the one text there is.
    name: String,
    /// Texts as they are written most often, by their normalised form.
    texts: BTreeMap<String, String>,
}

impl Answers {
    /// Of all rows there are. Where every text of a kind begins with yes or no, those two are the answers.
    pub fn of<'a>(rows: impl Iterator<Item = &'a Row>) -> Self {
        let mut written: BTreeMap<String, BTreeMap<String, BTreeMap<String, usize>>> =
            BTreeMap::new();
        for row in rows {
            let answer = row.example.answer().trim().to_owned();
            let of_kind = written.entry(row.kind.clone()).or_default();
            let spellings = of_kind.entry(normalize(&answer)).or_default();
            *spellings.entry(answer).or_default() += 1;
        }
        let best = |spellings: BTreeMap<String, usize>| {
            let most = spellings.into_iter().max_by_key(|(_, count)| *count);
            most.map(|(spelling, _)| spelling).unwrap_or_default()
        };
        let kinds = written.into_iter().map(|(kind, texts)| {
            let texts = texts
                .into_iter()
                .map(|(name, spellings)| (name, best(spellings)));
            (kind, grouped(texts.collect()))
        });
        Self {
            kinds: kinds.collect(),
        }
    }

    /// The row with its possible answers: those of its kind that the question names, if it names the right one and another;
    /// else all of its kind. Nothing where that is no closed set.
    pub fn ask(&self, row: &Row) -> Option<Asked> {
        let all = self.kinds.get(&row.kind)?;
        let question = question(row);
        let right = normalize(&row.example.answer());
        let offered = normalize(&question);
        let is_right = |answer: &&Answer| answer.texts.contains_key(&right);
        let is_named = |answer: &&Answer| answer.texts.keys().any(|name| names(&offered, name));
        let named: Vec<&Answer> = all.iter().filter(is_named).collect();
        let named = (named.len() > 1 && named.iter().any(is_right)).then_some(named);
        let possible: Vec<&Answer> = named.unwrap_or_else(|| all.iter().collect());
        let truth = possible.iter().position(is_right)?;
        let texts = possible.iter().enumerate().flat_map(|(at, answer)| {
            let texts = answer.texts.iter();
            texts.map(move |(name, text)| (at, name, text))
        });
        let texts: Vec<(usize, &String, &String)> = texts.collect();
        let reference = texts.iter().position(|(_, name, _)| **name == right)?;
        (possible.len() > 1 && texts.len() <= MOST).then(|| Asked {
            id: row.id.clone(),
            kind: row.kind.clone(),
            question,
            example: row.example.clone(),
            answers: possible.iter().map(|answer| answer.name.clone()).collect(),
            truth,
            gives: texts.iter().map(|(at, ..)| *at).collect(),
            texts: texts.iter().map(|(.., text)| (*text).clone()).collect(),
            reference,
        })
    }
}

/// Yes and no where every text begins with one of them and both occur, else every text for itself.
fn grouped(texts: BTreeMap<String, String>) -> Vec<Answer> {
    let mut sides: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for (name, text) in &texts {
        let first = words(name).into_iter().next().unwrap_or_default();
        sides
            .entry(first)
            .or_default()
            .insert(name.clone(), text.clone());
    }
    let sided = sides.len() == 2 && ["no", "yes"].iter().all(|side| sides.contains_key(*side));
    let answer = |(name, texts)| Answer { name, texts };
    match sided {
        true => sides.into_iter().map(answer).collect(),
        false => texts
            .into_iter()
            .map(|(name, text)| answer((text.clone(), BTreeMap::from([(name, text)]))))
            .collect(),
    }
}

/// Closed rows among all, and how many of each kind are none.
pub fn ask_all(answers: &Answers, rows: &[Row]) -> (Vec<Asked>, BTreeMap<String, usize>) {
    let (mut asked, mut left_out) = (vec![], BTreeMap::new());
    for row in rows {
        match answers.ask(row) {
            Some(row) => asked.push(row),
            None => *left_out.entry(row.kind.clone()).or_default() += 1,
        }
    }
    (asked, left_out)
}

/// sha256 of what is asked.
pub fn fingerprint(rows: &[Asked]) -> String {
    rows::fingerprint(rows.iter().map(|row| {
        let content = json!([row.example.messages, row.example.records]);
        (row.id.as_str(), content.to_string())
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::eval::rows::tests::row;

    #[test]
    fn answers_are_those_the_question_names_or_those_of_the_kind() {
        let mut rows = vec![
            row("which", "An ester or an amide?", "An amide."),
            row("which", "A ketone or an ester?", "An ester."),
            row("which", "A ketone, or an etherester?", "A ketone."),
            row("has", "A ring?", "Yes."),
            row("has", "A chain?", "No."),
            row("has", "A tail?", "no"),
        ];
        for i in 0..40 {
            rows.push(row(
                "describe",
                "What is it?",
                &format!("It is number {i}."),
            ));
        }
        let (asked, left_out) = ask_all(&Answers::of(rows.iter()), &rows);
        assert_eq!(asked[0].answers, ["An amide.", "An ester."]);
        assert_eq!((asked[0].truth, asked[0].positive()), (0, None));
        assert_eq!(asked[2].answers.len(), 3, "an ester is not named there");
        assert_eq!(asked[3].answers[asked[3].positive().unwrap()], "yes");
        assert_eq!(
            (asked[5].truth, asked[5].texts.len()),
            (0, 2),
            "either spelling is right"
        );
        assert_eq!((asked.len(), left_out["describe"]), (6, 40));
        assert_eq!(fingerprint(&asked).len(), 64);
    }

    #[test]
    fn texts_that_begin_with_yes_or_no_give_two_answers() {
        let rows = [
            row("binds", "1", "Yes, it binds."),
            row("binds", "2", "Yes, the two bind."),
            row("binds", "3", "No, nothing is on record."),
            row("said", "4", "Yes."),
            row("said", "5", "No."),
            row("said", "6", "Maybe."),
        ];
        let (asked, _) = ask_all(&Answers::of(rows.iter()), &rows);
        assert_eq!(asked[1].answers, ["no", "yes"]);
        assert_eq!(asked[1].gives, [0, 1, 1]);
        assert_eq!(asked[1].texts[asked[1].reference], "Yes, the two bind.");
        assert_eq!((asked[1].truth, asked[1].positive()), (1, Some(1)));
        assert_eq!((asked[5].answers.len(), asked[5].positive()), (3, None));
    }
}
