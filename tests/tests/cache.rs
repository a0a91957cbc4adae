//! The disk cache of encodings and text vectors: as a library, and with the real program, killed and in company. Which rows
//! the cache holds must never change what a run writes.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use bioverse::{
    align::{readout::Readout, texts::Texts},
    cache::{About, Cache, key, listing},
    config::{TextPool, TextSource},
    data::EncodedStore,
    encoders::EncoderSource,
    registry::standard,
};
use bioverse_core::{ProjectorConfig, Record};
use bioverse_tests::{Ended, bioverse, files_below, root, stage};
use burn::prelude::*;
use proptest::prelude::*;
use serde_json::json;

fn bits<const D: usize>(tensor: Tensor<D>) -> Vec<u32> {
    tensor.into_data().iter::<f32>().map(f32::to_bits).collect()
}

fn about(name: &str) -> About {
    About {
        kind: "records".into(),
        name: name.into(),
        model: "none".into(),
        identity: BTreeMap::from([("weights".into(), name.into())]),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_was_put_is_got_bit_for_bit(
        width in 1usize..40,
        sessions in prop::collection::vec(prop::collection::vec((any::<u16>(), any::<u32>()), 0..40), 1..12),
    ) {
        let dir = tempfile::tempdir().expect("a folder");
        let mut expected: BTreeMap<u16, u32> = BTreeMap::new();
        let row = |seed: u32| -> Vec<f32> {
            let word = |i: usize| seed.wrapping_mul(2_654_435_761).rotate_left(i as u32) ^ i as u32;
            (0..width).map(|i| f32::from_bits(word(i))).collect()
        };
        let cache = Cache::at(dir.path(), 1 << 30);
        for puts in sessions {
            let mut shelf = cache.shelf(&about("m"));
            for (name, seed) in puts {
                // A row is a function of its key: the first that is put is the one.
                let seed = *expected.entry(name).or_insert(seed);
                shelf.put(key([name.to_le_bytes().as_slice()]), &row(seed));
            }
            shelf.finish();
        }
        let mut shelf = cache.shelf(&about("m"));
        for (name, seed) in expected {
            let found = shelf.get(&key([name.to_le_bytes().as_slice()])).expect("it was put");
            let found: Vec<u32> = found.values().map(f32::to_bits).collect();
            let expected: Vec<u32> = row(seed).into_iter().map(f32::to_bits).collect();
            prop_assert_eq!(found, expected);
        }
        prop_assert!(shelf.get(&key([b"never put".as_slice()])).is_none());
    }
}

/// `[modality.<name>]` with the golden model `folder`.
fn source(name: &str, folder: &str) -> EncoderSource {
    let path = root().join("tests/golden").join(folder);
    let path = toml::Value::String(path.to_string_lossy().into_owned());
    let table = toml::Table::from_iter([("path".to_string(), path)]);
    EncoderSource::new(&standard(), name, &table, &Device::flex())
}

fn open(
    source: &EncoderSource,
    recipe: &ProjectorConfig,
    cache: &Cache,
    records: &[Record],
) -> EncodedStore {
    EncodedStore::open(source, recipe, cache, records, &|i| i.to_string()).expect("encoded")
}

/// Records of many lengths, each several times as long as another.
fn strings(alphabet: &str, count: usize) -> Vec<Record> {
    let letters: Vec<char> = alphabet.chars().collect();
    let letter = |i: usize, j: usize| letters[(i * 7 + j * j + 3 * j) % letters.len()];
    let string = |i: usize| -> String { (0..1 + i * 11 % 43).map(|j| letter(i, j)).collect() };
    (0..count).map(|i| json!(string(i))).collect()
}

#[test]
fn an_encoding_is_the_same_in_any_company_and_from_the_cache() {
    let kinds = [
        ("molecule", "chemberta", strings("CNO", 40)),
        ("protein", "esm2", strings("ACDEFGHIKLMNPQRSTVWY", 40)),
        ("dna", "modernbert", strings("ACGT", 40)),
    ];
    for (name, folder, records) in kinds {
        let recipe = ProjectorConfig {
            num_soft_tokens: 3,
            ..ProjectorConfig::default()
        };
        let dir = tempfile::tempdir().expect("a folder");
        let cache = Cache::at(dir.path(), 1 << 30);
        let device = Device::flex();
        let whole = open(&source(name, folder), &recipe, &Cache::off(), &records);
        let expected = bits(whole.get(&records, &device).expect("encoded"));
        let each = expected.len() / records.len();
        // Alone, and the cache filled in two runs of other company.
        for (record, expected) in records.iter().zip(expected.chunks(each)).step_by(9) {
            let one = std::slice::from_ref(record);
            let alone = open(&source(name, folder), &recipe, &Cache::off(), one);
            assert_eq!(
                bits(alone.get(one, &device).expect("encoded")),
                expected,
                "{name} {record}"
            );
        }
        let first = open(&source(name, folder), &recipe, &cache, &records[..13]);
        drop(first);
        let second = source(name, folder);
        let mixed = open(&second, &recipe, &cache, &records);
        assert!(second.is_loaded());
        assert_eq!(
            bits(mixed.get(&records, &device).expect("encoded")),
            expected,
            "{name}"
        );
        let third = source(name, folder);
        let kept = open(&third, &recipe, &cache, &records);
        assert!(
            !third.is_loaded(),
            "{name}: all is known, so nothing is loaded"
        );
        assert_eq!(
            bits(kept.get(&records, &device).expect("kept")),
            expected,
            "{name}"
        );
        assert_eq!(kept.d_hidden(), whole.d_hidden());
        // What is pooled otherwise is something else.
        let other = ProjectorConfig {
            num_soft_tokens: 1,
            ..recipe
        };
        let fourth = source(name, folder);
        open(&fourth, &other, &cache, &records[..2]);
        assert!(fourth.is_loaded());
    }
}

#[test]
fn a_text_is_the_same_in_any_company_and_from_the_cache() {
    let llm = root().join("tests/golden/llama");
    let device = Device::flex();
    let words = [
        "the", "molecule", "is", "an", "acid,", "soluble", "in", "water",
    ];
    let text = |i: usize| -> String {
        let words: Vec<&str> = (0..1 + i * 5 % 23)
            .map(|j| words[(i + j * j) % words.len()])
            .collect();
        words.join(" ")
    };
    let texts: Vec<String> = (0..30).map(text).collect();
    for source in [TextSource::InputEmbeddings, TextSource::HiddenStates] {
        for (layer, pool) in [
            (-1, TextPool::Mean),
            (1, TextPool::MeanStd),
            (0, TextPool::LastToken),
        ] {
            let readout = Readout {
                source,
                layer,
                pool,
                ..Readout::default()
            };
            let dir = tempfile::tempdir().expect("a folder");
            let cache = Cache::at(dir.path(), 1 << 30);
            let embed = |cache: &Cache, texts: &[String]| {
                let reader = Texts::new(llm.clone(), readout, cache.clone(), &device);
                bits(reader.embed(texts, &|i| i.to_string()).expect("embedded"))
            };
            let expected = embed(&Cache::off(), &texts);
            let each = expected.len() / texts.len();
            assert_eq!(each, readout.width(64));
            for (i, expected) in expected.chunks(each).enumerate().step_by(7) {
                assert_eq!(
                    embed(&Cache::off(), &texts[i..i + 1]),
                    expected,
                    "{readout:?} {i}"
                );
            }
            embed(&cache, &texts[..11]);
            assert_eq!(embed(&cache, &texts), expected, "{readout:?}");
            assert_eq!(embed(&cache, &texts), expected, "{readout:?}");
        }
    }
}

/// The real program with a cache of its own, which says what it does.
fn program(args: &[String], cache: &Path) -> Command {
    let mut command = bioverse(args);
    command
        .env("BIOVERSE_CACHE", cache)
        .env("RUST_LOG", "warn,bioverse=info");
    command
}

fn run(args: &[String], cache: &Path) -> Ended {
    let ended: Ended = program(args, cache)
        .output()
        .expect("the program starts")
        .into();
    ended.ok()
}

/// A tiny stage 1 with its results in `dir`.
fn align(dir: &Path, sets: &[&str]) -> Vec<String> {
    let mut all = vec![
        format!("run.dir={}", dir.display()),
        "align.steps=3".into(),
        "align.warmup_steps=1".into(),
    ];
    all.extend(sets.iter().map(|set| set.to_string()));
    stage("align", &all)
}

/// What was trained, byte for byte.
fn trained(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let bundle = dir.join("bundle");
    let files = files_below(&bundle).into_iter();
    let files = files.filter(|file| file.extension().is_some_and(|end| end == "safetensors"));
    files
        .map(|file| {
            (
                file.clone(),
                std::fs::read(bundle.join(file)).expect("a file"),
            )
        })
        .collect()
}

/// How many of how many came from the cache, by what was counted.
fn told(ended: &Ended) -> BTreeMap<String, (usize, usize)> {
    let lines = ended
        .stderr
        .lines()
        .filter(|line| line.ends_with("came from the cache"));
    lines
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let at = words
                .iter()
                .position(|word| *word == "of")
                .expect("a count of a count");
            let number = |word: &str| word.parse().expect("a number");
            let name = words[at - 2].trim_end_matches(':').to_string();
            (name, (number(words[at - 1]), number(words[at + 1])))
        })
        .collect()
}

fn ls(cache: &Path) -> serde_json::Value {
    let ended = run(&["cache", "ls", "--json"].map(String::from), cache);
    serde_json::from_str(&ended.stdout).expect("one JSON object")
}

#[test]
fn runs_with_and_without_cache_write_the_same_and_the_second_computes_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let (cache, at) = (dir.path().join("cache"), |name: &str| dir.path().join(name));
    let off = run(&align(&at("off"), &["run.cache=false"]), &cache);
    assert!(told(&off).is_empty() && !cache.exists(), "{}", off.stderr);
    let expected = trained(&at("off"));
    let half = run(&align(&at("half"), &["data.limit=20"]), &cache);
    assert!(told(&half)["molecule"].0 == 0);
    let rest = run(&align(&at("rest"), &[]), &cache);
    let (had, all) = told(&rest)["molecule"];
    assert!(had > 10 && had < all, "{had} of {all}");
    let again = run(&align(&at("again"), &[]), &cache);
    assert!(
        told(&again).values().all(|(had, all)| had == all),
        "{:?}",
        told(&again)
    );
    for name in ["rest", "again"] {
        assert!(trained(&at(name)) == expected, "{name} differs");
    }
    // Stage 2 asks about the same molecules.
    let finetune = |name: &str, sets: &[&str]| {
        let mut all = vec![
            format!("run.dir={}", at(name).display()),
            format!("finetune.from={}", at("rest").display()),
            "finetune.steps=2".into(),
            "finetune.warmup_steps=1".into(),
        ];
        all.extend(sets.iter().map(|set| set.to_string()));
        stage("finetune", &all)
    };
    let first = run(&finetune("tuned", &[]), &cache);
    assert!(told(&first)["molecule"].0 > 0, "{:?}", told(&first));
    let second = run(&finetune("tuned2", &[]), &cache);
    assert!(told(&second).values().all(|(had, all)| had == all));
    run(&finetune("tuned3", &["run.cache=false"]), &cache);
    assert!(trained(&at("tuned")) == trained(&at("tuned2")));
    assert!(trained(&at("tuned")) == trained(&at("tuned3")));
    // So does measuring.
    let eval = |bundle: &Path| {
        let bundle = bundle.display().to_string();
        run(
            &["eval", "--bundle", &bundle, "--suite", "retrieval"].map(String::from),
            &cache,
        )
    };
    let (first, second) = (eval(&at("rest")), eval(&at("rest")));
    assert_eq!(first.stdout, second.stdout);
    assert!(told(&second)["molecule"].0 > 0 && told(&second)["texts"].0 > 0);
}

#[test]
fn two_processes_fill_one_cache_at_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let (cache, at) = (dir.path().join("cache"), |name: &str| dir.path().join(name));
    run(&align(&at("off"), &["run.cache=false"]), &cache);
    let spawn = |name: &str| -> Child {
        let mut command = program(&align(&at(name), &[]), &cache);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().expect("the program starts")
    };
    let (a, b) = (spawn("a"), spawn("b"));
    for child in [a, b] {
        let ended: Ended = child.wait_with_output().expect("it ends").into();
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        assert!(!ended.stderr.contains("damaged"), "{}", ended.stderr);
    }
    let third = run(&align(&at("c"), &[]), &cache);
    assert!(
        told(&third).values().all(|(had, all)| had == all),
        "{:?}",
        told(&third)
    );
    for name in ["a", "b", "c"] {
        assert!(trained(&at(name)) == trained(&at("off")), "{name} differs");
    }
}

/// Writes rows in many small segments, one shelf after another, until it is killed. Not a test of its own: it is what
/// `a_cache_survives_kills` starts.
#[test]
#[ignore = "started by another test"]
fn writer() {
    let dir = PathBuf::from(std::env::var_os("WRITER_CACHE").expect("a place"));
    let cache = Cache::at(&dir, 256 << 10);
    for round in 0u64.. {
        let mut shelf = cache.shelf(&about(&format!("m{}", round % 3)));
        for n in 0..2000 {
            shelf.put(key([u64::to_le_bytes(n).as_slice()]), &written(n));
        }
        shelf.finish();
    }
}

fn written(n: u64) -> Vec<f32> {
    (0..16).map(|i| (n * 31 + i) as f32 * 0.37).collect()
}

/// Rows that are there; each must be right.
fn intact(cache: &Cache) -> usize {
    let mut there = 0;
    for shelf in 0..3 {
        let mut shelf = cache.shelf(&about(&format!("m{shelf}")));
        for n in 0..2000 {
            if let Some(row) = shelf.get(&key([u64::to_le_bytes(n).as_slice()])) {
                assert!(
                    row.values().eq(written(n)),
                    "row {n} is not what was written"
                );
                there += 1;
            }
        }
    }
    there
}

#[test]
fn a_cache_survives_kills_at_any_moment_and_keeps_its_bound() {
    let dir = tempfile::tempdir().expect("a folder");
    let cache = Cache::at(dir.path(), 256 << 10);
    let mut there = vec![];
    for round in 0..12u64 {
        let mut writer = Command::new(std::env::current_exe().expect("this test"))
            .args(["--ignored", "--exact", "writer"])
            .env("WRITER_CACHE", dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the writer starts");
        std::thread::sleep(Duration::from_millis(60 + round * 37 % 200));
        writer.kill().expect("it is killed");
        writer.wait().expect("it is gone");
        there.push(intact(&cache));
        let files = files_below(&dir.path().join("shelves"));
        let rows = files
            .iter()
            .filter(|file| file.extension().is_some_and(|end| end == "rows"));
        let size = |file: &PathBuf| {
            std::fs::metadata(dir.path().join("shelves").join(file)).map_or(0, |meta| meta.len())
        };
        let total: u64 = rows.map(size).sum();
        assert!(total <= 256 << 10, "{total} bytes after {round} kills");
    }
    assert!(
        there.iter().any(|rows| *rows > 0),
        "nothing was ever written: {there:?}"
    );
}

#[test]
fn a_run_that_was_killed_while_it_encoded_ends_like_any_other() {
    let dir = tempfile::tempdir().expect("a folder");
    let (cache, at) = (dir.path().join("cache"), |name: &str| dir.path().join(name));
    // A bound this small has rows written every hundred records.
    let sets = [
        "data.train=datasets/pocket/molecules.jsonl",
        "data.limit=600",
        "align.batch_size=64",
        "run.cache_gb=0.0002",
    ];
    let off: Vec<&str> = sets[..3]
        .iter()
        .copied()
        .chain(["run.cache=false"])
        .collect();
    let start = Instant::now();
    run(&align(&at("off"), &off), &cache);
    let took = start.elapsed();
    let mut kept = vec![];
    for part in 1..=4 {
        let mut command = program(&align(&at("killed"), &sets), &cache);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        std::thread::sleep(took * part / 5);
        child.kill().expect("it is killed");
        child.wait().expect("it is gone");
        kept.push(ls(&cache)["total_bytes"].as_u64().unwrap_or(0));
    }
    assert!(
        kept.iter().any(|bytes| *bytes > 0),
        "nothing was kept: {kept:?}"
    );
    run(&align(&at("whole"), &sets), &cache);
    assert!(trained(&at("whole")) == trained(&at("off")));
    assert!(ls(&cache)["total_bytes"].as_u64() <= Some(200_000 + 4_000));
}

#[test]
fn a_damaged_cache_is_told_of_and_computed_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let (cache, at) = (dir.path().join("cache"), |name: &str| dir.path().join(name));
    run(&align(&at("first"), &[]), &cache);
    for file in files_below(&cache.join("shelves")) {
        let path = cache.join("shelves").join(file);
        let mut bytes = std::fs::read(&path).expect("a file");
        let middle = bytes.len() / 2;
        bytes.truncate(middle);
        std::fs::write(&path, bytes).expect("damaged");
    }
    let second = run(&align(&at("second"), &[]), &cache);
    assert!(second.stderr.contains("damaged"), "{}", second.stderr);
    assert!(told(&second).values().all(|(had, _)| *had == 0));
    assert!(trained(&at("second")) == trained(&at("first")));
    let third = run(&align(&at("third"), &[]), &cache);
    assert!(!third.stderr.contains("damaged"));
    assert!(told(&third).values().all(|(had, all)| had == all));
}

#[test]
fn the_cache_is_listed_and_removed_also_while_it_is_used() {
    let dir = tempfile::tempdir().expect("a folder");
    let cache = dir.path().join("cache");
    let call = |args: &[&str]| -> Ended {
        let args: Vec<String> = args.iter().map(|arg| arg.to_string()).collect();
        program(&args, &cache).output().expect("it starts").into()
    };
    let empty = call(&["cache", "ls"]).ok();
    assert!(
        empty.stdout.starts_with("0 bytes of 20 GB in "),
        "{}",
        empty.stdout
    );
    assert_eq!(
        call(&["cache", "rm", "--all"]).ok().stdout,
        "removed 0, freed 0 bytes\n"
    );
    run(
        &align(&dir.path().join("run"), &["run.cache_gb=1.5"]),
        &cache,
    );
    let listed = ls(&cache);
    assert_eq!(listed["bound_bytes"], 1_500_000_000u64);
    let shelves = listed["shelves"].as_array().expect("a list");
    let name = |at: usize| shelves[at]["name"].as_str().expect("a name").to_string();
    assert!(
        name(0).starts_with("molecule-") && name(1).starts_with("texts-"),
        "{listed}"
    );
    assert_eq!(shelves[0]["model"], "tests/golden/chemberta");
    assert!(
        shelves
            .iter()
            .all(|shelf| shelf["entries"].as_u64() > Some(10) && shelf["in_use"] == false)
    );
    let table = call(&["cache", "ls"]).ok().stdout;
    assert!(
        table.contains("tests/golden/chemberta") && table.contains("of 1.5 GB in"),
        "{table}"
    );
    // Held as a process that trains holds it.
    let library = Cache::at(&cache, 1 << 30);
    let about = listing::list(&cache)[0]
        .about
        .clone()
        .expect("its description");
    let held = library.shelf(&about);
    let named = call(&["cache", "rm", &name(0)]);
    assert_eq!(named.code, 1);
    assert!(
        named.error().contains("used by a running process"),
        "{named:?}"
    );
    let all = call(&["cache", "rm", "--all"]).ok();
    assert!(
        all.stdout.starts_with("removed 1, freed ") && all.stderr.contains(&name(0)),
        "{all:?}"
    );
    drop(held);
    let left = call(&["cache", "rm", "molecule"]).ok();
    assert!(left.stdout.starts_with("removed 1, freed "), "{left:?}");
    assert_eq!(ls(&cache)["total_bytes"], 0);
}

#[test]
fn removals_that_say_nothing_clear_are_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    run(
        &align(&dir.path().join("run"), &[]),
        &dir.path().join("cache"),
    );
    let refuse = |args: &[&str]| -> String {
        let args: Vec<String> = ["cache", "rm"]
            .iter()
            .chain(args)
            .map(|arg| arg.to_string())
            .collect();
        let ended: Ended = program(&args, &dir.path().join("cache"))
            .output()
            .expect("it starts")
            .into();
        assert_eq!(ended.code, 2, "{ended:?}");
        ended.stderr
    };
    assert!(refuse(&[]).contains("`--all`"));
    assert!(refuse(&["molecula"]).contains("nothing in the cache is called `molecula`"));
    assert!(refuse(&["--older-than", "3m"]).contains("`3m` is no age"));
    assert!(refuse(&["--all", "texts"]).contains("--all"));
    assert!(refuse(&[""]).contains("could be"));
    assert_eq!(
        ls(&dir.path().join("cache"))["shelves"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
}
