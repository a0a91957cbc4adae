//! Splits of rows made here: what belongs together stays together, and what is on both sides is counted.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use std::collections::BTreeSet;

use bioverse_core::{BoxError, Hidden, Modality, Record};
use burn::prelude::Device;
use serde_json::{Value, json};

use super::*;
use crate::data::read::{Sides, Split, read_sides, read_split};
use crate::data::{Screen, split::report::SplitReport};

/// Words: made of their letters, built upon their first one.
struct Word;

impl Modality for Word {
    const NAME: &'static str = "word";
    type Config = ();
    type Input = String;
    type Tokens = ();
    fn load(_: &(), _: &Device) -> std::result::Result<Self, BoxError> {
        Ok(Self)
    }
    fn tokenize(&self, _: &String) -> std::result::Result<(), BoxError> {
        Ok(())
    }
    fn encode(&self, _: &[()]) -> std::result::Result<Hidden, BoxError> {
        Err("not needed".into())
    }
    fn d_hidden(&self) -> usize {
        1
    }
    fn fingerprint(input: &String) -> Option<std::result::Result<Vec<u64>, BoxError>> {
        Some(Ok(fingerprint::windows(input.as_bytes(), 1)))
    }
    fn scaffold(input: &String) -> Option<std::result::Result<String, BoxError>> {
        Some(match input.chars().next() {
            Some('!') => Err("it shouts".into()),
            first => Ok(first.into_iter().collect()),
        })
    }
}

fn registry() -> Registry {
    Registry::new().with::<Word>()
}

/// A file of rows and its section.
fn file(rows: &[Value], edit: impl FnOnce(&mut DataSection)) -> (tempfile::TempDir, DataSection) {
    let dir = tempfile::tempdir().unwrap();
    let train = dir.path().join("rows.jsonl");
    let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
    std::fs::write(&train, text).unwrap();
    let mut data = DataSection {
        train,
        split_fraction: 0.2,
        ..DataSection::default()
    };
    edit(&mut data);
    (dir, data)
}

fn by(way: &str) -> impl FnOnce(&mut DataSection) + '_ {
    move |data| data.split_by = Some(way.into())
}

fn row(records: &[&str], donor: &str) -> Value {
    let records: Vec<(&str, Record)> = records.iter().map(|r| ("word", json!(r))).collect();
    let content = "<word>".repeat(records.len());
    json!({"messages": [{"role": "user", "content": content}, {"role": "assistant", "content": "x"}], "records": records,
        "donor": donor, "group": donor})
}

fn read(data: &DataSection) -> Result<Sides> {
    read_sides(data, &["word", "other"], &mut Screen::knowing(&registry()))
}

/// The words of one side.
fn words(rows: &[Row]) -> BTreeSet<String> {
    let records = rows.iter().flat_map(|row| &row.example.records);
    let text = |(_, record): &(String, Record)| record.as_str().unwrap_or_default().to_owned();
    records.map(text).collect()
}

fn donors(rows: &[Row]) -> BTreeSet<String> {
    let donor = |row: &Row| row.extra["donor"].as_str().unwrap_or_default().to_owned();
    rows.iter().map(donor).collect()
}

fn many(donors: usize, each: usize) -> Vec<Value> {
    (0..donors * each)
        .map(|n| row(&[&format!("w{n}")], &format!("d{}", n % donors)))
        .collect()
}

#[test]
fn rows_of_a_group_go_to_one_side_and_all_rows_go_somewhere() {
    for way in ["donor", "group"] {
        let (_dir, data) = file(&many(60, 5), by(way));
        let sides = read(&data).unwrap();
        let (train, held_out) = (donors(&sides.train), donors(&sides.held_out));
        assert!(train.is_disjoint(&held_out));
        assert_eq!(sides.train.len() + sides.held_out.len(), 300);
        // 12 of 60 groups are asked for; the draw is fixed.
        assert!((6..=18).contains(&held_out.len()), "{}", held_out.len());
        let one_side = read_split(&data, Split::Eval, &["word"], &registry()).unwrap();
        assert_eq!(one_side, sides.held_out);
    }
}

#[test]
fn new_rows_move_none_that_was_there() {
    let rows = many(40, 2);
    let (_dir, data) = file(&rows, by("donor"));
    let before = read(&data).unwrap();
    let mut more: Vec<Value> = (0..50).map(|n| row(&["z"], &format!("e{n}"))).collect();
    more.extend(rows.into_iter().rev());
    let (_dir, data) = file(&more, by("donor"));
    let after = read(&data).unwrap();
    assert!(words(&before.train).is_subset(&words(&after.train)));
    assert!(words(&before.held_out).is_subset(&words(&after.held_out)));
}

#[test]
fn another_seed_draws_others_and_the_limit_comes_after_the_draw() {
    let rows = many(50, 2);
    let of = |seed| {
        let (_dir, data) = file(&rows, |data| {
            data.split_by = Some("donor".into());
            data.split_seed = seed;
        });
        donors(&read(&data).unwrap().held_out)
    };
    assert_ne!(of(0), of(1));
    assert_eq!(of(1), of(1));
    let (_dir, data) = file(&rows, |data| {
        data.split_by = Some("donor".into());
        data.limit = Some(3);
    });
    let sides = read(&data).unwrap();
    assert_eq!((sides.train.len(), sides.held_out.len()), (3, 3));
    assert!(donors(&sides.held_out).is_subset(&of(0)));
}

#[test]
fn few_large_groups_still_leave_two_sides() {
    for donors_there in 2..7 {
        let (_dir, data) = file(&many(donors_there, 10), by("donor"));
        let sides = read(&data).unwrap();
        assert!(!sides.train.is_empty() && !sides.held_out.is_empty());
        assert!(donors(&sides.held_out).len() < donors_there);
    }
    // One group of 90 rows and one of 10: the small one is nearest to a fifth.
    let mut rows = vec![row(&["a"], "large"); 90];
    rows.extend(vec![row(&["b"], "small"); 10]);
    let (_dir, data) = file(&rows, by("donor"));
    assert_eq!(read(&data).unwrap().held_out.len(), 10);
}

#[test]
fn records_tie_rows_together() {
    let rows: Vec<Value> = (0..200)
        .map(|n| {
            let own = format!("{}{n}", (b'a' + (n % 26) as u8) as char);
            match n % 50 {
                // A row with two words holds both their groups together.
                0 => row(&[&own, "zz"], ""),
                _ => row(&[&own], ""),
            }
        })
        .chain([row(&["zz"], ""), row(&["zz"], "")])
        .collect();
    for way in ["scaffold", "random"] {
        let (_dir, data) = file(&rows, by(way));
        let sides = read(&data).unwrap();
        let (train, held_out) = (words(&sides.train), words(&sides.held_out));
        assert!(train.is_disjoint(&held_out), "{way}");
        if way == "scaffold" {
            let first = |words: &BTreeSet<String>| -> BTreeSet<char> {
                words
                    .iter()
                    .filter_map(|word| word.chars().next())
                    .collect()
            };
            assert!(first(&train).is_disjoint(&first(&held_out)));
        }
    }
}

#[test]
fn alike_records_stay_together() {
    // Words of five letters of which neighbours share four (likeness 4/6), in chains that have nothing in common.
    let alphabet: Vec<char> = ('a'..='z').chain('A'..='Z').chain('0'..='9').collect();
    let rows: Vec<Value> = alphabet
        .chunks(6)
        .filter(|chunk| chunk.len() == 6)
        .flat_map(|chunk| {
            let word = |from: usize| chunk[from..from + 5].iter().collect::<String>();
            [row(&[&word(0)], ""), row(&[&word(1)], "")]
        })
        .collect();
    let apart = |likeness: f64| {
        let (_dir, data) = file(&rows, |data| {
            data.split_by = Some("cluster".into());
            data.cluster_similarity = likeness;
            data.duplicate_similarity = 0.5;
        });
        let sides = read(&data).unwrap();
        let report = SplitReport::of(&sides, &data, &registry());
        (
            report.near_duplicates.rows,
            report.train.groups,
            report.held_out.groups,
        )
    };
    let (near, train, held_out) = apart(0.6);
    assert_eq!(near, 0);
    assert_eq!(train.unwrap() + held_out.unwrap(), 10);
    let (near, train, held_out) = apart(0.7);
    assert!(near > 0, "each word is a cluster of its own now");
    assert_eq!(train.unwrap() + held_out.unwrap(), 20);
}

#[test]
fn what_stands_on_both_sides_is_counted() {
    let side = |word: &str, split: &str, donor: &str| {
        let mut row = row(&[word], donor);
        row["split"] = split.into();
        row
    };
    let rows = [
        side("abcdefghij", "train", "1"),
        side("xyz", "train", "2"),
        side("abcdefghij", "test", "3"),
        side("abcdefghij", "test", "2"),
        side("abcdefghijk", "test", "4"),
        side("qrs", "test", "5"),
    ];
    let (dir, data) = file(&rows, |data| {
        data.split_field = Some("split".into());
        data.duplicate_similarity = 0.9;
    });
    let sides = read(&data).unwrap();
    let report = SplitReport::of(&sides, &data, &registry());
    assert_eq!(
        (report.exact_duplicates.rows, report.near_duplicates.rows),
        (2, 1)
    );
    assert_eq!(report.by, ["data.split_field"]);
    assert_eq!((report.train.rows, report.held_out.rows), (2, 4));
    assert_eq!((report.train.records, report.held_out.records), (2, 3));
    assert_eq!(
        (report.train.groups, report.held_out.groups),
        (Some(2), Some(4))
    );
    assert_eq!(report.groups_on_both_sides, Some(1));
    let near = &report.near_duplicates.examples[0];
    assert!((near.similarity - 10.0 / 11.0).abs() < 1e-12);
    assert!(near.held_out.ends_with("rows.jsonl row 5") && near.train.ends_with("row 1"));
    let warning = report.warning().unwrap();
    assert!(
        warning.contains("of 4 held-out rows 2 have a record"),
        "{warning}"
    );
    assert!(
        warning.contains("1 have one that is nearly the same"),
        "{warning}"
    );
    report.tell(&dir.path().join("run")).unwrap();
    let text = std::fs::read_to_string(dir.path().join("run/split.json")).unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["exact_duplicates"]["rows"], 2);
    let (_dir, data) = file(&many(30, 2), by("donor"));
    let report = SplitReport::of(&read(&data).unwrap(), &data, &registry());
    assert_eq!(report.groups_on_both_sides, Some(0));
    assert_eq!(report.exact_duplicates.rows, 0);
    assert!(!report.warning().unwrap_or_default().contains("groups"));
}

#[test]
fn what_cannot_be_divided_is_refused() {
    let say = |rows: &[Value], way: &str| {
        let (_dir, data) = file(rows, by(way));
        let error = read(&data).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        error.to_string()
    };
    let words = many(10, 1);
    let unknown = say(&words, "donr");
    assert!(
        unknown.contains("rows.jsonl row 1: there is no field `donr`"),
        "{unknown}"
    );
    assert!(unknown.contains("did you mean `donor`?"), "{unknown}");
    assert!(say(&words, "scafold").contains("did you mean `scaffold`?"));
    let same = vec![row(&["a"], "one"), row(&["b"], "one")];
    let one = say(&same, "donor");
    assert!(one.contains("all 2 rows into one group"), "{one}");
    assert!(say(&[row(&["a"], "")], "donor").contains("is empty"));
    let mut nameless = row(&["a"], "");
    nameless["group"] = Value::Null;
    assert!(say(&[nameless], "group").contains("data.group_field"));
    let mut other = row(&["a"], "");
    other["records"] = json!([["other", "a"]]);
    other["messages"][0]["content"] = "<other>".into();
    let none = say(&[other], "scaffold");
    assert!(
        none.contains("holds a `other` record, which has no scaffold"),
        "{none}"
    );
    let loud = say(&[row(&["!a"], "")], "scaffold");
    assert!(
        loud.contains("row 1: the `word` record does not parse: it shouts"),
        "{loud}"
    );
}

#[test]
fn two_files_of_a_mixture_hold_out_the_same() {
    let (dir, mut data) = file(&many(40, 1), by("random"));
    let again = dir.path().join("again.jsonl");
    let text: String = many(60, 1).iter().map(|row| format!("{row}\n")).collect();
    std::fs::write(&again, text).unwrap();
    let alone = words(&read(&data).unwrap().held_out);
    let sources = [data.train.clone(), again];
    data.mixture = toml::Value::Array(
        sources
            .iter()
            .map(|file| {
                let table = format!("train = '{}'", file.display());
                toml::Value::Table(table.parse().unwrap())
            })
            .collect(),
    )
    .try_into()
    .unwrap();
    data.train = Default::default();
    let sides = read(&data).unwrap();
    assert!(words(&sides.train).is_disjoint(&words(&sides.held_out)));
    assert!(alone.is_subset(&words(&sides.held_out)));
    let sources: BTreeSet<usize> = sides.held_out.iter().map(|row| row.source).collect();
    assert_eq!(sources, BTreeSet::from([0, 1]));
}
