//! Damaged files: the kept ones cut off, and with bytes changed at random. Reading them may fail with a sentence; it may
//! not panic, not allocate what a header claims, and not go on for ever. `BIOVERSE_DAMAGE=N` changes each file N times.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bioverse_formats::{
    Format, Options,
    anndata::{read_obsm, write_obsm},
    open,
};

/// Refuses what no file of some kilobytes can need; then what did not ask whether it may, aborts.
struct Limited;

const MOST: usize = 300 << 20;

// SAFETY: every call is passed on to the system's allocator, or refused as its contract allows.
unsafe impl GlobalAlloc for Limited {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match layout.size() > MOST {
            true => std::ptr::null_mut(),
            // SAFETY: the caller keeps the contract of `alloc`.
            false => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: `at` came from `System`.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static LIMITED: Limited = Limited;

/// Xorshift, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end.max(1) as u64) as usize
    }
}

fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/files")
        .join(name)
}

/// Reads everything there is, and says whether it was without error.
fn read(path: &Path, format: Format) -> bool {
    let mut fine = true;
    for layer in [None, Some("raw"), Some("counts")] {
        let options = Options {
            format: Some(format),
            layer: layer.filter(|_| format == Format::H5ad).map(str::to_owned),
            ..Options::default()
        };
        match open(path, &options) {
            Ok(rows) => {
                for row in rows.take(100) {
                    if let Err(error) = &row {
                        fine &= layer.is_some();
                        assert!(!error.to_string().contains('\n'), "{error}");
                    }
                }
            }
            Err(_) => fine &= layer.is_some(),
        }
        if format != Format::H5ad {
            return fine;
        }
    }
    let _ = read_obsm(path, Some("X_pca"));
    let _ = read_obsm(path, None);
    let output = path.with_extension("out");
    if let Ok(cells) = read_obsm(path, Some("X_umap")).map(|read| read.ids.len()) {
        let mut vectors = (0..cells).map(|_| Ok(Some(vec![1.0; 4])));
        let _ = write_obsm(path, &output, "X_new", 4, &mut vectors);
    }
    fine
}

fn rounds() -> usize {
    let rounds = env::var("BIOVERSE_DAMAGE").ok();
    rounds.and_then(|rounds| rounds.parse().ok()).unwrap_or(60)
}

fn damage(name: &str, format: Format, seed: u64) {
    let whole = fs::read(kept(name)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random(seed);
    let mut unlike = 0;
    for round in 0..rounds() {
        let mut bytes = whole.clone();
        if round % 4 == 0 {
            bytes.truncate(random.below(whole.len()));
        }
        for _ in 0..random.below(6) + usize::from(round % 4 != 0) {
            let at = random.below(bytes.len());
            let value = [0, 1, 0x7f, 0xff, random.below(256) as u8][random.below(5)];
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        let path = dir.path().join("damaged");
        fs::write(&path, &bytes).unwrap();
        let begun = Instant::now();
        let done = catch_unwind(AssertUnwindSafe(|| read(&path, format)));
        let took = begun.elapsed();
        assert!(done.is_ok(), "{name}, round {round}: panicked");
        assert!(
            took < Duration::from_secs(20),
            "{name}, round {round}: {took:?}"
        );
        unlike += usize::from(!done.unwrap());
    }
    assert!(unlike > 0, "no damage was seen in {name}");
    println!("{name}: {unlike} of {} could not be read whole", rounds());
}

#[test]
fn h5ad() {
    damage("modern.h5ad", Format::H5ad, 11);
    damage("old.h5ad", Format::H5ad, 12);
    damage("legacy.h5ad", Format::H5ad, 13);
}

#[test]
fn tenx_h5() {
    damage("tenx_v3.h5", Format::TenxH5, 14);
    damage("tenx_v2.h5", Format::TenxH5, 15);
}

#[test]
fn tenx_folder() {
    let dir = tempfile::tempdir().unwrap();
    let names = ["matrix.mtx.gz", "barcodes.tsv.gz", "features.tsv.gz"];
    let mut random = Random(16);
    let mut unlike = 0;
    for round in 0..rounds() {
        for name in names {
            fs::copy(kept("tenx_mtx").join(name), dir.path().join(name)).unwrap();
        }
        let damaged = dir.path().join(names[round % 3]);
        let mut bytes = fs::read(&damaged).unwrap();
        let at = random.below(bytes.len());
        match round % 2 {
            0 => bytes.truncate(at),
            _ => bytes[at] = random.below(256) as u8,
        }
        fs::write(&damaged, &bytes).unwrap();
        let done = catch_unwind(|| read(dir.path(), Format::TenxMtx));
        assert!(done.is_ok(), "round {round}");
        unlike += usize::from(!done.unwrap());
    }
    assert!(unlike > 0);
}
