//! What is reached by always giving the most frequent answer, knowing the question but not the record.

use std::collections::BTreeMap;

use super::{
    metrics::{names, normalize},
    rows::Row,
};

/// Answers counted on training rows.
#[derive(Debug, Default)]
pub struct Majority {
    by_question: BTreeMap<(String, String), Counts>,
    by_kind: BTreeMap<String, Counts>,
}

type Counts = BTreeMap<String, usize>;

impl Majority {
    /// Counts the answers of training rows.
    pub fn fit(rows: &[Row]) -> Self {
        let mut majority = Self::default();
        for row in rows {
            let answer = row.example.answer();
            let key = (row.kind.clone(), question(row));
            let of_question = majority.by_question.entry(key).or_default();
            *of_question.entry(answer.clone()).or_default() += 1;
            let of_kind = majority.by_kind.entry(row.kind.clone()).or_default();
            *of_kind.entry(answer).or_default() += 1;
        }
        majority
    }

    /// The most frequent answer to the same question; for a question that was never asked, the most frequent answer of its
    /// kind among those that the question itself offers; failing that, of the kind.
    pub fn answer(&self, row: &Row) -> &str {
        let question = question(row);
        if let Some(counts) = self.by_question.get(&(row.kind.clone(), question.clone())) {
            return most_frequent(counts.iter());
        }
        let Some(counts) = self.by_kind.get(&row.kind) else {
            return "";
        };
        let offered = normalize(&question);
        let mut named = counts
            .iter()
            .filter(|(answer, _)| names(&offered, &normalize(answer)))
            .peekable();
        if named.peek().is_some() {
            most_frequent(named)
        } else {
            most_frequent(counts.iter())
        }
    }
}

/// Everything said before the answer.
pub fn question(row: &Row) -> String {
    let turns = row.example.messages.iter();
    let turns = turns.filter(|message| message.role != "assistant");
    turns
        .map(|message| message.content.as_str())
        .collect::<Vec<_>>()
        .join("\n")
}

/// Ties go to the first in alphabetical order.
fn most_frequent<'a>(counts: impl Iterator<Item = (&'a String, &'a usize)>) -> &'a str {
    counts
        .reduce(|best, next| if next.1 > best.1 { next } else { best })
        .map_or("", |(answer, _)| answer)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::eval::rows;

    fn row(question: &str, answer: &str) -> Row {
        rows::tests::row("k", question, answer)
    }

    #[test]
    fn the_same_question_decides_first() {
        let rows = [
            row("a?", "Yes."),
            row("a?", "No."),
            row("a?", "No."),
            row("b?", "Yes."),
            row("b?", "Yes."),
        ];
        let majority = Majority::fit(&rows);
        assert_eq!(majority.answer(&row("a?", "")), "No.");
        assert_eq!(majority.answer(&row("b?", "")), "Yes.");
        assert_eq!(majority.answer(&row("never asked?", "")), "Yes.");
    }

    #[test]
    fn a_new_question_may_offer_its_answers() {
        let rows = [
            row("x?", "A ketone."),
            row("y?", "A ketone."),
            row("z?", "An amide."),
        ];
        let majority = Majority::fit(&rows);
        assert_eq!(
            majority.answer(&row("An ester or an amide?", "")),
            "An amide."
        );
        assert_eq!(majority.answer(&row("An ester?", "")), "A ketone.");
    }

    #[test]
    fn without_training_rows_it_says_nothing() {
        assert_eq!(Majority::fit(&[]).answer(&row("a?", "")), "");
    }
}
