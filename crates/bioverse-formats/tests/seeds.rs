//! The seeds of the fuzz targets, damaged at random: reading one ends in rows or in an error that names the file, never in a
//! panic, and in little time and memory. `PROPTEST_CASES=5000` damages each so often.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use bioverse_formats::{Format, Options, embeddings, open};
use proptest::{prelude::*, test_runner::Config};

/// Longest that a small file may take, with much room for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// Most memory that may be asked for at once: what a header merely claims must not be.
const AT_ONCE: usize = 512 << 20;

/// Remembers the largest piece of memory asked for.
struct Watched;

static LARGEST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is handed on to the system's allocator.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are those of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LARGEST.fetch_max(size, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(old, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watched = Watched;

/// One thing done to a file. Places are fractions of its length.
#[derive(Debug, Clone)]
enum Damage {
    Cut(f64),
    Set(f64, Vec<u8>),
    Insert(f64, Vec<u8>),
    Remove(f64, usize),
    Repeat(f64, usize),
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let length = bytes.len();
        let at = |place: f64| ((length as f64 * place) as usize).min(length);
        match self {
            Self::Cut(place) => bytes.truncate(at(*place)),
            Self::Set(place, with) => {
                for (byte, new) in bytes.iter_mut().skip(at(*place)).zip(with) {
                    *byte = *new;
                }
            }
            Self::Insert(place, what) => {
                let place = at(*place);
                bytes.splice(place..place, what.iter().copied());
            }
            Self::Remove(place, n) => {
                let from = at(*place);
                bytes.drain(from..from.saturating_add(*n).min(length));
            }
            Self::Repeat(place, n) => {
                let from = at(*place);
                let part = bytes[from..from.saturating_add(*n).min(length)].to_vec();
                bytes.splice(from..from, part);
            }
        }
    }
}

fn damage() -> impl Strategy<Value = Vec<Damage>> {
    let absurd = prop_oneof![
        Just(vec![0xff; 8]),
        Just(vec![0xff, 0xff, 0xff, 0x7f]),
        Just(vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
        Just(vec![0; 8]),
        Just(f32::NAN.to_le_bytes().to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\"".to_vec()),
        Just(b"-1".to_vec()),
        Just(b"99999999999999999999".to_vec()),
        prop::collection::vec(any::<u8>(), 1..9),
    ];
    let one = (0usize..5, 0.0..1.0f64, 1usize..300, absurd);
    let one = one.prop_map(|(kind, place, n, bytes)| match kind {
        0 => Damage::Cut(place),
        1 | 2 => Damage::Set(place, bytes),
        3 => Damage::Insert(place, bytes),
        _ if n % 2 == 0 => Damage::Remove(place, n),
        _ => Damage::Repeat(place, n),
    });
    prop::collection::vec(one, 1..4)
}

/// The seeds of some targets.
fn seeds(targets: &[&str]) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
    let mut files: Vec<PathBuf> = targets
        .iter()
        .flat_map(|target| fs::read_dir(root.join(target)).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= targets.len(), "the seeds are gone");
    files
}

/// Damages every seed `cases` times, and hands each to `read` in a folder of its own.
fn run(targets: &[&str], cases: u32, read: impl Fn(&Path)) {
    let more = std::env::var("PROPTEST_CASES").ok();
    let config = Config {
        cases: more.and_then(|more| more.parse().ok()).unwrap_or(cases),
        failure_persistence: None,
        ..Config::default()
    };
    for seed in seeds(targets) {
        let whole = fs::read(&seed).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(seed.file_name().unwrap());
        fs::write(&path, &whole).unwrap();
        read(&path);
        let mut runner = proptest::test_runner::TestRunner::new(config.clone());
        let outcome = runner.run(&damage(), |edits| {
            let mut bytes = whole.clone();
            edits.iter().for_each(|edit| edit.apply(&mut bytes));
            fs::write(&path, &bytes).unwrap();
            let begun = Instant::now();
            read(&path);
            prop_assert!(begun.elapsed() < PATIENCE, "took {:?}", begun.elapsed());
            let largest = LARGEST.swap(0, Ordering::Relaxed);
            prop_assert!(largest < AT_ONCE, "asked for {largest} bytes at once");
            Ok(())
        });
        outcome.unwrap_or_else(|error| panic!("{}: {error}", seed.display()));
    }
}

/// Reads a file to its end; every error names it.
fn rows(path: &Path, format: Option<Format>) {
    let options = Options {
        format,
        ..Options::default()
    };
    let named = |error: bioverse_formats::Error| {
        let text = error.to_string();
        let folder = path.parent().unwrap().to_string_lossy();
        assert!(text.contains(&*folder), "{text}");
        assert!(text.len() < 4000, "an error of {} letters", text.len());
    };
    match open(path, &options) {
        Ok(rows) => {
            let mut last = 0;
            for row in rows {
                match row {
                    Ok(row) => {
                        assert!(row.number > last, "row {} after {last}", row.number);
                        last = row.number;
                    }
                    Err(error) => named(error),
                }
            }
        }
        Err(error) => named(error),
    }
}

#[test]
fn sequences_molecules_and_tables() {
    run(&["fasta", "smiles", "sdf", "table"], 150, |path| {
        rows(path, None);
    });
}

#[test]
fn formats_read_as_one_another() {
    let formats = [
        Format::Fasta,
        Format::Smiles,
        Format::Sdf,
        Format::Csv,
        Format::Jsonl,
        Format::Text,
        Format::Parquet,
    ];
    run(&["fasta", "smiles", "sdf", "table"], 10, |path| {
        formats.iter().for_each(|format| rows(path, Some(*format)));
    });
}

#[test]
fn matrices() {
    run(&["h5ad", "tenx_h5"], 100, |path| rows(path, None));
}

#[test]
fn matrix_folders() {
    const GENES: &str =
        "ENSG1\tONE\tGene Expression\nENSG2\tTWO\tGene Expression\nENSG3\tTHREE\tGene Expression\n";
    run(&["mtx"], 150, |path| {
        let folder = path.parent().unwrap();
        fs::write(
            folder.join("barcodes.tsv"),
            "AAAC-1\nAAAG-1\nAAAT-1\nAACA-1\n",
        )
        .unwrap();
        fs::write(folder.join("features.tsv"), GENES).unwrap();
        rows(folder, None);
    });
}

#[test]
fn vectors() {
    run(&["npy", "embeddings"], 150, |path| {
        if let Ok(vectors) = embeddings::read(path, &embeddings::Choice::default()) {
            assert!(vectors.len() < 1 << 20, "more rows than the file has bytes");
        }
    });
}
