//! The data in the repository: nothing stands on both sides of a split, nothing twice, questions fit their records, and no answer
//! can be had from the frequency of answers. Which sentences are true is beyond this; `datasets/pocket/check_pocket.py` also looks for
//! sentences of the sources.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};

use bioverse_tests::root;
use flate2::read::MultiGzDecoder;
use serde_json::Value;

/// Files of records: name, field of the record, fewest rows.
const RECORDS: [(&str, &str, usize); 3] = [
    ("molecules.jsonl", "smiles", 3_000),
    ("proteins.jsonl", "seq", 1_500),
    ("texts.jsonl", "text", 1_500),
];
/// Files of instruction rows, and how many rows they have at least.
const QUESTIONS: [(&str, usize); 5] = [
    ("questions.jsonl", 10_000),
    ("protein_questions.jsonl.gz", 5_000),
    ("cell_questions.jsonl.gz", 2_000),
    ("text_questions.jsonl.gz", 2_000),
    ("pairs.jsonl.gz", 1_500),
];

fn rows(name: &str) -> Vec<Value> {
    let file = File::open(root().join("datasets/pocket").join(name)).expect(name);
    let read: Box<dyn Read> = if name.ends_with(".gz") {
        Box::new(MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    BufReader::new(read)
        .lines()
        .map(|line| serde_json::from_str(&line.expect("a line")).expect("JSON"))
        .collect()
}

fn text<'a>(row: &'a Value, field: &str) -> &'a str {
    row[field]
        .as_str()
        .unwrap_or_else(|| panic!("no {field} in {row}"))
}

fn turn(row: &Value, n: usize) -> &str {
    row["messages"][n]["content"].as_str().expect("a turn")
}

/// Names of the modalities that the placeholders of a question stand for, in its order.
fn placeholders(question: &str) -> Vec<&str> {
    question
        .split('<')
        .skip(1)
        .filter_map(|rest| rest.split_once('>').map(|(name, _)| name))
        .collect()
}

fn apart(name: &str, rows: &[Value]) {
    let mut sides: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for row in rows {
        sides
            .entry(text(row, "split"))
            .or_default()
            .insert(text(row, "group"));
    }
    assert!(sides.len() >= 2, "{name}: {:?}", sides.keys());
    let shared: Vec<_> = sides["test"].intersection(&sides["train"]).collect();
    assert!(shared.is_empty(), "{name}: {shared:?} on both sides");
}

#[test]
fn records_stand_once_and_their_groups_on_one_side() {
    for (name, record, fewest) in RECORDS {
        let rows = rows(name);
        assert!(rows.len() >= fewest, "{name}: {}", rows.len());
        apart(name, &rows);
        for field in ["id", record, "text"] {
            let distinct: BTreeSet<&str> = rows.iter().map(|row| text(row, field)).collect();
            assert_eq!(distinct.len(), rows.len(), "{name}: {field}");
        }
    }
}

#[test]
fn questions_name_their_records_in_order_and_stand_once() {
    for (name, fewest) in QUESTIONS {
        let rows = rows(name);
        assert!(rows.len() >= fewest, "{name}: {}", rows.len());
        apart(name, &rows);
        let mut seen = BTreeSet::new();
        for row in &rows {
            let records = row["records"].as_array().expect("records");
            let names: Vec<_> = records.iter().map(|r| r[0].as_str().unwrap()).collect();
            assert_eq!(
                placeholders(turn(row, 0)),
                names,
                "{name}: {}",
                row["messages"]
            );
            assert!(turn(row, 1).ends_with('.'), "{name}: {}", row["messages"]);
            let key = (turn(row, 0).to_owned(), row["records"].to_string());
            assert!(seen.insert(key), "{name}: twice: {}", row["messages"]);
        }
    }
}

/// Of a kind that is answered by yes and no (and maybe) alone, no answer is more than a little above its share.
#[test]
fn the_most_frequent_verdict_is_worth_little() {
    for (name, _) in QUESTIONS {
        let mut kinds: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        for row in rows(name) {
            let verdict = turn(&row, 1)
                .split([',', '.', ';'])
                .next()
                .unwrap()
                .to_owned();
            let kind = (
                text(&row, "kind").to_owned(),
                text(&row, "split").to_owned(),
            );
            kinds.entry(kind).or_default().push(verdict);
        }
        for (kind, verdicts) in kinds {
            let of = |word: &str| verdicts.iter().filter(|v| *v == word).count();
            let counts = ["Yes", "No", "Maybe"].map(of);
            if counts.iter().sum::<usize>() < verdicts.len() {
                continue;
            }
            let most = *counts.iter().max().unwrap();
            let answers = counts.iter().filter(|n| **n > 0).count();
            // half or a third, and a tenth of that for odd numbers
            assert!(
                most * answers * 10 <= verdicts.len() * 11,
                "{name} {kind:?}: {counts:?}"
            );
        }
    }
}

/// What is called new is new by itself: a molecule or a protein of a test pair is in no pair to learn from, and of pairs with one
/// new part that part.
#[test]
fn new_parts_of_pairs_are_not_learnt_from() {
    let mut sides: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for row in rows("pairs.jsonl.gz") {
        if text(&row, "kind") == "binds" {
            for record in row["records"].as_array().unwrap() {
                let part = (record[0].to_string(), record[1].to_string());
                let side = text(&row, "split").to_owned();
                sides.entry(part).or_default().insert(side);
            }
        }
    }
    assert!(sides.len() > 500, "{}", sides.len());
    for ((modality, record), on) in &sides {
        let own = format!("test_{}", modality.trim_matches('"'));
        let new = on.contains("test") || on.contains(&own);
        assert!(!(new && on.contains("train")), "{record}: {on:?}");
    }
}

#[test]
fn the_data_stay_small() {
    let folder = fs::read_dir(root().join("datasets/pocket")).unwrap();
    let bytes: u64 = folder.map(|f| f.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes < 15_000_000, "{bytes}");
}
