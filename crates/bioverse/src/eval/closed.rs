//! Questions with a closed set of answers: which answers each one has, what a method says to it, and the metrics of that.
//! What answers them is not known here.

use std::collections::BTreeMap;

use bioverse_core::Example;
use serde_json::{Value, json};

use super::findings::{Method, Role};
use super::majority::question;
use super::metrics::{normalize, words};
use super::ranking::{auroc, average_precision};
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

/// Whether a text has an answer as whole words.
fn names(text: &str, answer: &str) -> bool {
    let inside = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    !answer.is_empty()
        && text.match_indices(answer).any(|(at, found)| {
            !inside(text[..at].chars().next_back())
                && !inside(text[at + found.len()..].chars().next())
        })
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

/// What one method says to every row.
#[derive(Debug, Clone)]
pub struct Said {
    /// As it stands in files.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// Row by row the share of each answer.
    pub shares: Vec<Vec<f64>>,
    /// Row by row `ln p` of the right answer per token, where a language model said it.
    pub log_likelihood: Option<Vec<f64>>,
}

impl Said {
    /// By something that is no language model.
    pub fn new(name: &str, role: Role, shares: Vec<Vec<f64>>) -> Self {
        Self {
            name: name.into(),
            role,
            shares,
            log_likelihood: None,
        }
    }

    /// The answer with the largest share; of equal ones the first.
    pub fn choice(&self, row: usize) -> usize {
        let Some(shares) = self.shares.get(row) else {
            return 0;
        };
        let best = (0..shares.len())
            .rev()
            .max_by(|a, b| shares[*a].total_cmp(&shares[*b]));
        best.unwrap_or_default()
    }

    /// 1 for each right answer, 0 for each wrong one.
    pub fn right(&self, rows: &[Asked]) -> Vec<f64> {
        let right = |(at, row): (usize, &Asked)| f64::from(u8::from(self.choice(at) == row.truth));
        rows.iter().enumerate().map(right).collect()
    }

    /// Rows with yes and no for answers: index, share of yes, whether yes is right.
    pub fn yes_or_no(&self, rows: &[Asked]) -> Vec<(usize, f64, bool)> {
        let rows = rows.iter().enumerate();
        let scored = rows.filter_map(|(at, row)| {
            let yes = row.positive()?;
            Some((at, *self.shares.get(at)?.get(yes)?, row.truth == yes))
        });
        scored.collect()
    }

    /// Its numbers: `accuracy`, `log_likelihood` where there is one, and over the rows with yes and no `auroc` and
    /// `average_precision`.
    pub fn method(&self, rows: &[Asked]) -> Method {
        let mut method = Method::new(&self.name, self.role).mean("accuracy", self.right(rows));
        if let Some(values) = &self.log_likelihood {
            method = method.mean("log_likelihood", values.clone());
        }
        let scored = self.yes_or_no(rows);
        if scored.is_empty() {
            return method;
        }
        let of = |statistic: fn(&[f64], &[bool]) -> f64| {
            let scored = scored.clone();
            move |drawn: &[usize]| {
                let drawn = drawn.iter().map(|at| (scored[*at].1, scored[*at].2));
                let (scores, positive): (Vec<f64>, Vec<bool>) = drawn.unzip();
                statistic(&scores, &positive)
            }
        };
        method.whole("auroc", scored.len(), of(auroc)).whole(
            "average_precision",
            scored.len(),
            of(average_precision),
        )
    }
}

/// What the metrics of [`Said::method`] are.
pub fn definitions() -> BTreeMap<String, String> {
    let all = [
        (
            "accuracy",
            "share of the rows whose most probable answer is the right one; the probability of an answer is the sum over the \
             texts that give it, that of a text the product over its tokens, end of turn included",
        ),
        (
            "log_likelihood",
            "ln p of the row's own answer per token, mean over rows; its negative is the loss in nats per token",
        ),
        (
            "auroc",
            "area under the ROC curve of p(yes) over the rows with yes and no for answers, ties counting half \
             (as sklearn.metrics.roc_auc_score, checked with scikit-learn 1.9.1)",
        ),
        (
            "average_precision",
            "average precision of p(yes) over the same rows (as sklearn.metrics.average_precision_score, checked with \
             scikit-learn 1.9.1)",
        ),
    ];
    let named = all.into_iter();
    named
        .map(|(name, text)| (name.into(), text.into()))
        .collect()
}

/// One object per row, from which every number can be computed again. The first method is the one asked about.
pub fn predictions(rows: &[Asked], said: &[Said]) -> Vec<Value> {
    let object = |(at, row): (usize, &Asked)| {
        let answer = |one: &Said| row.answers[one.choice(at).min(row.answers.len() - 1)].clone();
        let methods = said.iter().map(|one| {
            let likelihood = one
                .log_likelihood
                .as_ref()
                .and_then(|values| values.get(at));
            let mut method = json!({ "prediction": answer(one), "shares": one.shares.get(at) });
            if let Some(value) = likelihood {
                method["log_likelihood"] = json!(value);
            }
            (one.name.clone(), method)
        });
        json!({
            "id": row.id,
            "kind": row.kind,
            "question": row.question,
            "records": row.example.records,
            "answers": row.answers,
            "reference": row.answers[row.truth],
            "reference_text": row.texts[row.reference],
            "prediction": said.first().map(answer),
            "methods": methods.collect::<serde_json::Map<_, _>>(),
        })
    };
    rows.iter().enumerate().map(object).collect()
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
    use bioverse_core::Message;

    fn row(kind: &str, question: &str, answer: &str) -> Row {
        let message = |role: &str, content: &str| Message {
            role: role.into(),
            content: content.into(),
        };
        Row {
            id: question.into(),
            kind: kind.into(),
            example: Example {
                messages: vec![message("user", question), message("assistant", answer)],
                records: vec![],
                group: None,
            },
        }
    }

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

    #[test]
    fn numbers_of_a_method_by_hand() {
        let rows = [
            row("has", "1", "Yes."),
            row("has", "2", "Yes."),
            row("has", "3", "No."),
            row("has", "4", "No."),
        ];
        let (asked, _) = ask_all(&Answers::of(rows.iter()), &rows);
        // Answers are in alphabetical order: no, yes.
        let shares = [0.9, 0.4, 0.6, 0.1]
            .map(|yes| vec![1.0 - yes, yes])
            .to_vec();
        let said = Said::new("model", Role::Model, shares);
        let method = said.method(&asked);
        assert_eq!(method.numbers["accuracy"].value, 0.5);
        assert_eq!(method.numbers["auroc"].value, 0.75);
        // At .9: 1 of 1; at .6: 1 of 2; at .4: 2 of 3.
        assert!(
            (method.numbers["average_precision"].value - (0.5 + 0.5 * 2.0 / 3.0)).abs() < 1e-12
        );
        let written = predictions(&asked, &[said]);
        assert_eq!(written[1]["prediction"], "no");
        assert_eq!(written[1]["methods"]["model"]["shares"][1], 0.4);
        assert_eq!(fingerprint(&asked).len(), 64);
    }
}
