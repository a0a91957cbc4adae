//! Partners for the swapped-record control: if answers do not change when the record does, they were not about it.

use std::collections::BTreeMap;

/// What decides a partner.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// What kind of question it is.
    pub kind: &'a str,
    /// The question, word by word.
    pub question: &'a str,
    /// The reference answer.
    pub answer: &'a str,
    /// The record as text.
    pub record: &'a str,
}

/// For every row the index of the row whose record it gets instead, always another record where there is one.
///
/// Rows of the same question trade among themselves when their answers differ, because then the partner's own answer to
/// that very question is known to be another one; the rest trade within their kind. In a group, rows are ordered by answer
/// and each takes the one that stands as far ahead as the most frequent answer is frequent: nobody keeps an answer unless
/// one answer has the majority.
pub fn partners(rows: &[Asked<'_>]) -> Vec<usize> {
    // A majority answer would rotate onto itself: half-way round is then the best there is.
    trade_all(rows, |len, most| most.min(len.div_ceil(2)))
}

/// As [`partners`], but each takes the one that stands half-way round: long answers that begin alike stand side by side in
/// the order of answers, so the next one would be the most similar there is.
pub fn distant_partners(rows: &[Asked<'_>]) -> Vec<usize> {
    trade_all(rows, |len, _| len.div_ceil(2))
}

/// Partners by rotation; `shift` is asked how far, given the size of a group and how often its most frequent answer occurs.
fn trade_all(rows: &[Asked<'_>], shift: impl Fn(usize, usize) -> usize) -> Vec<usize> {
    let mut partner: Vec<usize> = (0..rows.len()).collect();
    let mut rest: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let mut same_question: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    for (i, row) in rows.iter().enumerate() {
        let group = same_question.entry((row.kind, row.question));
        group.or_default().push(i);
    }
    for ((kind, _), group) in same_question {
        if group
            .iter()
            .any(|i| rows[*i].answer != rows[group[0]].answer)
        {
            trade(rows, &group, &shift, &mut partner);
        } else {
            rest.entry(kind).or_default().extend(group);
        }
    }
    for group in rest.values() {
        trade(rows, group, &shift, &mut partner);
    }
    for i in 0..rows.len() {
        if rows[partner[i]].record == rows[i].record {
            partner[i] = any_other(rows, i).unwrap_or(i);
        }
    }
    partner
}

/// A rotation of the group in order of answers.
fn trade(
    rows: &[Asked<'_>],
    group: &[usize],
    shift: &impl Fn(usize, usize) -> usize,
    partner: &mut [usize],
) {
    let mut order = group.to_vec();
    order.sort_by_key(|i| (rows[*i].answer, *i));
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for i in &order {
        *counts.entry(rows[*i].answer).or_default() += 1;
    }
    let most = counts.values().copied().max().unwrap_or(0);
    let shift = shift(order.len(), most).max(1);
    for (at, i) in order.iter().enumerate() {
        partner[*i] = order[(at + shift) % order.len()];
    }
}

/// The next row, cyclically, with another record: of the same kind and another answer if possible.
fn any_other(rows: &[Asked<'_>], i: usize) -> Option<usize> {
    let after = || (1..rows.len()).map(|step| (i + step) % rows.len());
    let other = |j: &usize| rows[*j].record != rows[i].record;
    let kind = |j: &usize| rows[*j].kind == rows[i].kind;
    let answer = |j: &usize| rows[*j].answer != rows[i].answer;
    after()
        .find(|j| other(j) && kind(j) && answer(j))
        .or_else(|| after().find(|j| other(j) && kind(j)))
        .or_else(|| after().find(other))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const fn row<'a>(
        kind: &'a str,
        question: &'a str,
        answer: &'a str,
        record: &'a str,
    ) -> Asked<'a> {
        Asked {
            kind,
            question,
            answer,
            record,
        }
    }

    #[test]
    fn the_same_question_gets_another_answer() {
        let rows = [
            row("has", "ring?", "yes", "a"),
            row("has", "ring?", "no", "b"),
            row("has", "ring?", "yes", "c"),
            row("has", "ring?", "no", "d"),
        ];
        let got = partners(&rows);
        for (i, j) in got.iter().enumerate() {
            assert_ne!(rows[i].answer, rows[*j].answer, "{got:?}");
        }
        let mut sorted = got.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, [0, 1, 2, 3], "a permutation");
    }

    #[test]
    fn distant_partners_change_the_answer_whenever_none_has_the_majority() {
        let answers = ["a", "a", "b", "b", "c", "c", "d"];
        let records: Vec<String> = (0..answers.len()).map(|i| format!("m{i}")).collect();
        let rows: Vec<Asked<'_>> = answers
            .iter()
            .zip(&records)
            .map(|(answer, record)| row("describe", "?", answer, record))
            .collect();
        let mut got = distant_partners(&rows);
        for (i, j) in got.iter().enumerate() {
            assert_ne!(answers[i], answers[*j], "{got:?}");
        }
        assert_eq!(got[0], 4, "half-way round, not the neighbour");
        got.sort_unstable();
        assert_eq!(got, [0, 1, 2, 3, 4, 5, 6], "a permutation");
    }

    #[test]
    fn questions_without_a_rival_trade_within_their_kind() {
        let rows = [
            row("which", "a or b?", "a", "m1"),
            row("which", "c or d?", "c", "m2"),
            row("which", "e or f?", "e", "m3"),
            row("class", "class?", "acid", "m1"),
            row("class", "class?", "base", "m4"),
        ];
        let got = partners(&rows);
        for (i, j) in got.iter().enumerate() {
            assert_eq!(rows[i].kind, rows[*j].kind, "{got:?}");
            assert_ne!(rows[i].record, rows[*j].record, "{got:?}");
        }
    }

    #[test]
    fn rows_of_one_record_look_further() {
        let rows = [
            row("has", "x?", "yes", "a"),
            row("has", "x?", "no", "a"),
            row("class", "c?", "acid", "b"),
        ];
        let got = partners(&rows);
        assert_eq!(got, [2, 2, 0]);
    }

    #[test]
    fn a_single_record_has_no_partner() {
        assert_eq!(partners(&[row("k", "q", "a", "r")]), [0]);
        assert_eq!(partners(&[]), Vec::<usize>::new());
    }

    #[test]
    fn a_majority_answer_still_moves() {
        let answers = ["no", "no", "no", "no", "yes"];
        let records = ["1", "2", "3", "4", "5"];
        let rows: Vec<Asked<'_>> = (0..5)
            .map(|i| row("has", "q", answers[i], records[i]))
            .collect();
        let got = partners(&rows);
        assert!(got.iter().enumerate().all(|(i, j)| i != *j), "{got:?}");
    }
}
