//! What frozen models said, kept on disk: encodings of records and vectors of texts are computed once and read back bit for
//! bit. It knows keys and rows of f32, neither an encoder nor a text.
//!
//! | path below the cache | holds |
//! |---|---|
//! | `shelves/<name>/about.json` | what its rows come from, in full; the name ends in the hash of it |
//! | `shelves/<name>/*.rows` | segments: whole, checksummed, never changed, only added and removed |
//! | `locks/<name>` | held shared by whoever uses a shelf, so that nobody removes what another reads |
//! | `locks/room` | held by whoever writes or removes, for as long as that takes |
//! | `hashes/` | sha256 of model files, believed as long as the file is the same by size, times and inode |
//! | `bound` | bytes that the last run allowed |
//!
//! A cache that cannot be used is no error: what it would have given is computed again. Killing a process leaves at most a
//! temporary file, which the next one removes.

mod hashes;
mod key;
pub mod listing;
mod place;
mod room;
mod segment;
mod shelf;
#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

pub use key::{About, Key, key};
pub use place::{VARIABLE, root};
pub use segment::Row;
pub use shelf::Shelf;

use crate::{config::RunSection, error::Result, files};

/// A cache, or none: then everything is computed and nothing is kept.
#[derive(Debug, Clone, Default)]
pub struct Cache {
    open: Option<Arc<Place>>,
}

/// Where it is and how large it may become.
#[derive(Debug)]
struct Place {
    root: PathBuf,
    bound: u64,
}

impl Cache {
    /// No cache.
    pub fn off() -> Self {
        Self::default()
    }

    /// As `run.cache` and `run.cache_gb` say, at the place that the environment names.
    pub fn of(run: &RunSection) -> Self {
        // Unit tests of this crate must never meet the cache of whoever runs them.
        match root().filter(|_| run.cache && !cfg!(test)) {
            Some(root) => Self::at(&root, (run.cache_gb * 1e9) as u64),
            None => Self::off(),
        }
    }

    /// At a folder, which is made when something is written; `bound` is in bytes.
    pub fn at(root: &Path, bound: u64) -> Self {
        let root = root.to_path_buf();
        Self {
            open: Some(Arc::new(Place { root, bound })),
        }
    }

    /// Whether anything is kept.
    pub fn is_on(&self) -> bool {
        self.open.is_some()
    }

    /// The rows of one source. Without a cache, or when the folder cannot be used, a shelf that is always empty.
    pub fn shelf(&self, about: &About) -> Shelf {
        match &self.open {
            Some(place) => Shelf::open(Arc::clone(place), about),
            None => Shelf::none(),
        }
    }

    /// Lower-case hex sha256 of a file; not read again while it is the same file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn sha256(&self, file: &Path) -> Result<String> {
        match &self.open {
            Some(place) => hashes::sha256(&place.root, file),
            None => files::sha256(file),
        }
    }
}
