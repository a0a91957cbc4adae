//! Rows come back bit for bit or not at all, whatever happens to the files.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{
    listing::{Which, list, remove},
    *,
};

const WIDTH: usize = 16;

fn about(name: &str) -> About {
    About {
        kind: "records".into(),
        name: name.into(),
        model: "models/some".into(),
        identity: BTreeMap::from([("weights".into(), format!("hash of {name}"))]),
    }
}

/// Row `n` of a source: anything that f32 can be, NaN with a payload among it.
fn row(n: u64) -> Vec<f32> {
    let word = |i| crate::train::seed::mix(n, i) as u32;
    (0..WIDTH as u64).map(|i| f32::from_bits(word(i))).collect()
}

fn bits(row: impl IntoIterator<Item = f32>) -> Vec<u32> {
    row.into_iter().map(f32::to_bits).collect()
}

fn key_of(n: u64) -> Key {
    key([n.to_le_bytes().as_slice()])
}

fn fill(cache: &Cache, name: &str, rows: std::ops::Range<u64>) {
    let mut shelf = cache.shelf(&about(name));
    rows.for_each(|n| shelf.put(key_of(n), &row(n)));
    shelf.finish();
}

/// How many of `rows` are there; those that are must be right.
fn count(cache: &Cache, name: &str, rows: std::ops::Range<u64>) -> usize {
    let mut shelf = cache.shelf(&about(name));
    let found = rows.filter(|n| {
        let Some(found) = shelf.get(&key_of(*n)) else {
            return false;
        };
        assert_eq!(bits(found.values()), bits(row(*n)), "row {n} of {name}");
        true
    });
    found.count()
}

fn segments(root: &Path) -> Vec<PathBuf> {
    let shelves = room::names(root).into_iter();
    shelves
        .flat_map(|name| room::segments(&room::shelf_dir(root, &name)))
        .collect()
}

fn used(path: &Path, seconds_ago: u64) {
    let file = File::options().append(true).open(path).unwrap();
    let time = SystemTime::now() - Duration::from_secs(seconds_ago);
    file.set_modified(time).unwrap();
}

#[test]
fn rows_come_back_bit_for_bit_and_sources_do_not_mix() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::at(dir.path(), 1 << 30);
    fill(&cache, "molecule", 0..50);
    fill(&cache, "molecule", 40..60);
    assert_eq!(count(&cache, "molecule", 0..70), 60);
    assert_eq!(count(&cache, "protein", 0..70), 0);
    let mut other = about("molecule");
    other.identity.insert("weights".into(), "others".into());
    assert!(cache.shelf(&other).get(&key_of(1)).is_none());
    other = about("molecule");
    other.model = "moved/elsewhere".into();
    assert!(
        cache.shelf(&other).get(&key_of(1)).is_some(),
        "files count, not names"
    );
    assert!(
        Cache::off()
            .shelf(&about("molecule"))
            .get(&key_of(1))
            .is_none()
    );
}

#[test]
fn keys_of_other_cuts_differ() {
    let keys = [
        key([b"ab".as_slice(), b"c"]),
        key([b"a".as_slice(), b"bc"]),
        key([b"abc".as_slice()]),
        key([b"abc".as_slice(), b""]),
    ];
    let distinct: std::collections::BTreeSet<Key> = keys.into_iter().collect();
    assert_eq!(distinct.len(), keys.len());
}

#[test]
fn many_small_segments_become_one_and_readers_of_the_old_ones_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::at(dir.path(), 1 << 30);
    fill(&cache, "m", 0..2);
    let mut early = cache.shelf(&about("m"));
    let held = early.get(&key_of(1)).unwrap();
    (1..30).for_each(|n| fill(&cache, "m", n * 2..n * 2 + 2));
    assert!(
        segments(dir.path()).len() <= 8,
        "{:?}",
        segments(dir.path())
    );
    assert_eq!(count(&cache, "m", 0..60), 60);
    assert_eq!(bits(held.values()), bits(row(1)));
    assert!(
        early.get(&key_of(0)).is_some(),
        "its file is gone, its mapping is not"
    );
}

#[test]
fn damage_anywhere_is_seen_and_costs_only_time() {
    let whole = tempfile::tempdir().unwrap();
    let cache = Cache::at(whole.path(), 1 << 30);
    fill(&cache, "m", 0..20);
    let [segment] = segments(whole.path()).try_into().unwrap();
    let bytes = fs::read(&segment).unwrap();
    let damages: Vec<Vec<u8>> = (0..bytes.len())
        .step_by(7)
        .map(|at| {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            damaged
        })
        .chain([
            vec![],
            bytes[..40].to_vec(),
            bytes[..bytes.len() - 1].to_vec(),
        ])
        .chain([
            [bytes.as_slice(), &[0]].concat(),
            b"no segment at all".to_vec(),
        ])
        .collect();
    for damaged in damages {
        fs::write(&segment, &damaged).unwrap();
        let there = count(&cache, "m", 0..20);
        assert!(there < 20, "a changed byte went unseen");
        assert!(!segment.exists(), "what is damaged goes");
        fill(&cache, "m", 0..20);
        assert_eq!(count(&cache, "m", 0..20), 20);
        remove(whole.path(), &Which::All).unwrap();
        fs::create_dir_all(segment.parent().unwrap()).unwrap();
    }
}

#[test]
fn a_damaged_description_or_a_cut_temporary_file_does_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::at(dir.path(), 1 << 30);
    fill(&cache, "m", 0..5);
    let [segment] = segments(dir.path()).try_into().unwrap();
    let shelf = segment.parent().unwrap();
    fs::write(shelf.join("about.json"), "{").unwrap();
    fs::write(shelf.join(".x.rows.new-1-0"), "half").unwrap();
    assert_eq!(count(&cache, "m", 0..5), 5);
    assert!(list(dir.path())[0].about.is_none());
    used(&shelf.join(".x.rows.new-1-0"), 100_000);
    fill(&cache, "m", 5..6);
    assert!(!shelf.join(".x.rows.new-1-0").exists(), "nobody's by now");
}

#[test]
fn the_bound_holds_and_what_was_unused_for_longest_goes_first() {
    let dir = tempfile::tempdir().unwrap();
    let one = segment::size(100, WIDTH);
    let cache = Cache::at(dir.path(), 5 * one);
    for (age, name) in [(500, "a"), (400, "b"), (300, "c"), (200, "d"), (100, "e")] {
        fill(&cache, name, 0..100);
        let newest = segments(dir.path())
            .into_iter()
            .max_by_key(|path| fs::metadata(path).unwrap().modified().unwrap());
        used(&newest.unwrap(), age);
    }
    // Reading is use.
    let mut shelf = cache.shelf(&about("a"));
    shelf.get(&key_of(3)).unwrap();
    shelf.finish();
    drop(shelf);
    fill(&cache, "f", 0..100);
    let total: u64 = segments(dir.path())
        .iter()
        .map(|path| fs::metadata(path).unwrap().len())
        .sum();
    assert!(total <= 5 * one, "{total}");
    let left: Vec<usize> = ["a", "b", "c", "d", "e", "f"]
        .map(|name| count(&cache, name, 0..100))
        .into();
    assert_eq!(left, [100, 0, 100, 100, 100, 100]);
}

#[test]
fn what_is_in_use_stays_and_then_nothing_more_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let one = segment::size(100, WIDTH);
    let cache = Cache::at(dir.path(), one + one / 2);
    fill(&cache, "a", 0..100);
    let mut reader = cache.shelf(&about("a"));
    let held = reader.get(&key_of(7)).unwrap();
    fill(&cache, "b", 0..100);
    assert_eq!(
        (count(&cache, "a", 0..100), count(&cache, "b", 0..100)),
        (100, 0)
    );
    // A row alone keeps its shelf.
    drop(reader);
    fill(&cache, "b", 0..100);
    assert_eq!(count(&cache, "b", 0..100), 0);
    assert_eq!(remove(dir.path(), &Which::All).unwrap().left.len(), 1);
    drop(held);
    fill(&cache, "b", 0..100);
    assert_eq!(
        (count(&cache, "a", 0..100), count(&cache, "b", 0..100)),
        (0, 100)
    );
}

#[test]
fn a_place_that_cannot_be_used_is_no_cache() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    let cache = Cache::at(&file, 1 << 30);
    fill(&cache, "m", 0..3);
    assert_eq!(count(&cache, "m", 0..3), 0);
    assert!(list(&file).is_empty());
    assert_eq!(fs::read(&file).unwrap(), b"x");
}

#[test]
fn shelves_are_listed_and_removed_by_age_and_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::at(dir.path(), 1 << 30);
    fill(&cache, "molecule", 0..3);
    fill(&cache, "texts", 0..4);
    let listed = list(dir.path());
    let entries: Vec<usize> = listed.iter().map(|shelf| shelf.entries).collect();
    assert_eq!(entries, [3, 4]);
    assert!(listed.iter().all(|shelf| shelf.bytes > 0 && !shelf.in_use));
    assert_eq!(listing::bound(dir.path()), Some(1 << 30));
    let day = Duration::from_secs(24 * 3600);
    assert_eq!(
        remove(dir.path(), &Which::Unused(day)).unwrap(),
        listing::Removed::default()
    );
    let shelf = room::shelf_dir(dir.path(), &listed[0].name);
    for path in fs::read_dir(&shelf).unwrap() {
        used(&path.unwrap().path(), 2 * 24 * 3600);
    }
    let removed = remove(dir.path(), &Which::Unused(day)).unwrap();
    assert_eq!(
        (removed.names.as_slice(), removed.bytes),
        ([listed[0].name.clone()].as_slice(), listed[0].bytes)
    );
    let error = remove(dir.path(), &Which::Named(vec!["textts".into()])).unwrap_err();
    assert!(error.to_string().contains("`textts`"), "{error}");
    let removed = remove(dir.path(), &Which::Named(vec!["texts".into()])).unwrap();
    assert_eq!(removed.names, [listed[1].name.clone()]);
    assert!(list(dir.path()).is_empty());
}
