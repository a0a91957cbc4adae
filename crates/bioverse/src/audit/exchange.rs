//! Prompts with the records of other rows: a derangement, the same every time. Knows no model.

use std::collections::BTreeMap;
use std::ops::Bound;

use bioverse_core::{Prompt, Record, Segment};

use super::choice::records_of;
use super::text_of;
use crate::eval::swap::{Asked, distant_partners};

/// The prompts with each record of `modality` replaced by one of another row, never by an equal one; `None` when there is
/// only one record to choose from.
///
/// Rows with the same question trade with rows that have another answer to it, if there are any: that is where a model
/// which looks at its records has most to lose.
pub(super) fn exchanged(prompts: &[Prompt], modality: &str) -> Option<Vec<Prompt>> {
    let mut pool: BTreeMap<String, &Record> = BTreeMap::new();
    for record in prompts
        .iter()
        .flat_map(|prompt| records_of(prompt, modality))
    {
        pool.insert(record.to_string(), record);
    }
    if pool.len() < 2 {
        return None;
    }
    let described: Vec<[String; 4]> = prompts
        .iter()
        .map(|prompt| describe(prompt, modality))
        .collect();
    let asked: Vec<Asked<'_>> = described
        .iter()
        .map(|[kind, question, answer, record]| Asked {
            kind,
            question,
            answer,
            record,
        })
        .collect();
    let partners = distant_partners(&asked);
    let pairs = prompts.iter().zip(partners);
    let exchanged = pairs.map(|(prompt, partner)| {
        let theirs: Vec<&Record> = records_of(&prompts[partner], modality).collect();
        replace(prompt, modality, &theirs, &pool)
    });
    Some(exchanged.collect())
}

/// How many records, the question, the answer and the records of a prompt.
fn describe(prompt: &Prompt, modality: &str) -> [String; 4] {
    let records: Vec<String> = records_of(prompt, modality)
        .map(Record::to_string)
        .collect();
    [
        records.len().to_string(),
        text_of(prompt, false),
        text_of(prompt, true),
        records.join("\n"),
    ]
}

/// Puts `theirs` where the prompt's own records stand, in turn; where that would be an equal one, the next of the pool.
fn replace(
    prompt: &Prompt,
    modality: &str,
    theirs: &[&Record],
    pool: &BTreeMap<String, &Record>,
) -> Prompt {
    let mut theirs = theirs.iter().cycle();
    let mut prompt = prompt.clone();
    for segment in &mut prompt.segments {
        if let Segment::Soft {
            modality: of,
            record,
        } = segment
            && of == modality
        {
            let other = theirs.next().filter(|other| **other != record);
            let other = other.copied().or_else(|| next(&record.to_string(), pool));
            if let Some(other) = other {
                record.clone_from(other);
            }
        }
    }
    prompt
}

/// The record behind `key` in the pool, cyclically.
fn next<'r>(key: &str, pool: &BTreeMap<String, &'r Record>) -> Option<&'r Record> {
    let mut behind = pool.range::<str, _>((Bound::Excluded(key), Bound::Unbounded));
    let next = behind.next().or_else(|| pool.first_key_value());
    next.map(|(_, record)| *record)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::train::seed::mix;
    use serde_json::json;

    fn prompt(question: &str, records: &[&str], answer: &str) -> Prompt {
        let text = |text: &str, loss| Segment::Text {
            text: text.into(),
            loss,
        };
        let soft = |modality: &str, record: &str| Segment::Soft {
            modality: modality.into(),
            record: json!(record),
        };
        let mut segments = vec![text(question, false), soft("protein", "MKT")];
        segments.extend(records.iter().map(|record| soft("molecule", record)));
        segments.push(text(answer, true));
        Prompt { segments }
    }

    fn of(prompt: &Prompt) -> Vec<String> {
        records_of(prompt, "molecule")
            .map(Record::to_string)
            .collect()
    }

    #[test]
    fn equal_questions_trade_with_other_answers() {
        let prompts = [
            prompt("acid?", &["a"], "yes"),
            prompt("acid?", &["b"], "yes"),
            prompt("acid?", &["c"], "no"),
            prompt("acid?", &["d"], "no"),
        ];
        let got = exchanged(&prompts, "molecule").unwrap();
        let records: Vec<String> = got.iter().flat_map(of).collect();
        assert!(
            records[..2]
                .iter()
                .all(|record| ["\"c\"", "\"d\""].contains(&record.as_str()))
        );
        assert!(
            records[2..]
                .iter()
                .all(|record| ["\"a\"", "\"b\""].contains(&record.as_str()))
        );
    }

    #[test]
    fn one_record_cannot_be_exchanged() {
        let prompts = [prompt("q", &["a"], "x"), prompt("q", &["a"], "y")];
        assert!(exchanged(&prompts, "molecule").is_none());
        assert!(exchanged(&[], "molecule").is_none());
    }

    /// Rows with zero to three records of few kinds, so that equal ones abound.
    fn rows(seed: u64) -> Vec<Prompt> {
        let mut count = 0;
        let mut below = |n: u64| {
            count += 1;
            (mix(seed, count) % n) as usize
        };
        let row = |_| {
            let records: Vec<&str> = (0..below(4))
                .map(|_| ["a", "b", "c", "d"][below(4)])
                .collect();
            prompt(
                &format!("q{}", below(3)),
                &records,
                &format!("a{}", below(3)),
            )
        };
        (0..1 + seed % 30).map(row).collect()
    }

    #[test]
    fn no_record_stays_and_nothing_else_changes() {
        let rest = |prompt: &Prompt| {
            let mut prompt = prompt.clone();
            prompt.segments.retain(|segment| {
                !matches!(segment, Segment::Soft { modality, .. } if modality == "molecule")
            });
            prompt
        };
        let mut exchanges = 0;
        for prompts in (0..300).map(rows) {
            let Some(got) = exchanged(&prompts, "molecule") else {
                continue;
            };
            exchanges += 1;
            assert_eq!(got.len(), prompts.len());
            for (new, old) in got.iter().zip(&prompts) {
                assert_eq!(of(new).len(), of(old).len());
                assert!(of(new).iter().zip(of(old)).all(|(new, old)| *new != old));
                assert_eq!(rest(new), rest(old));
            }
            assert_eq!(
                exchanged(&prompts, "molecule"),
                Some(got),
                "the same every time"
            );
        }
        assert!(exchanges > 250, "{exchanges}");
    }
}
