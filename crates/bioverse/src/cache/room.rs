//! How large the cache is, and what goes when it becomes too large: segments of shelves that nobody uses, those unused for
//! longest first. What is in a segment is unknown here.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{Place, segment::ENDING};
use crate::{
    error::{Error, Result},
    files,
};

/// Describes a shelf.
pub(super) const ABOUT: &str = "about.json";
/// Bytes that the last run allowed.
pub(super) const BOUND: &str = "bound";
/// A temporary file this old belongs to no process.
const STALE: Duration = Duration::from_secs(24 * 3600);

pub(super) fn shelves(root: &Path) -> PathBuf {
    root.join("shelves")
}

pub(super) fn shelf_dir(root: &Path, name: &str) -> PathBuf {
    shelves(root).join(name)
}

/// The lock of a shelf, or `room`. Lock files are never removed: another process may be waiting for one.
pub(super) fn lock_file(root: &Path, name: &str) -> Result<File> {
    let dir = root.join("locks");
    fs::create_dir_all(&dir).map_err(|error| Error::io(&dir, error))?;
    let path = dir.join(name);
    let mut options = File::options();
    let file = options.create(true).append(true).open(&path);
    file.map_err(|error| Error::io(path, error))
}

/// Held by whoever writes or removes.
pub(super) fn lock_for_writing(root: &Path) -> Result<File> {
    let lock = lock_file(root, "room")?;
    lock.lock().map_err(|error| Error::io(root, error))?;
    Ok(lock)
}

/// A lock on a shelf that nobody uses; `None` when somebody does.
pub(super) fn claim(root: &Path, name: &str) -> Option<File> {
    let lock = lock_file(root, name).ok()?;
    lock.try_lock().ok()?;
    Some(lock)
}

/// Segments of a shelf, oldest name first.
pub(super) fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = entries(dir)
        .filter(|path| path.extension().is_some_and(|ending| ending == ENDING))
        .filter(|path| !is_temporary(path))
        .collect();
    found.sort();
    found
}

/// Names of all shelves, sorted.
pub(super) fn names(root: &Path) -> Vec<String> {
    let dirs = entries(&shelves(root)).filter(|path| path.is_dir());
    let names = dirs.filter_map(|dir| Some(dir.file_name()?.to_str()?.to_owned()));
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

fn entries(dir: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path()))
}

fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.as_encoded_bytes().starts_with(b".")
}

/// A file of a shelf.
struct Found {
    shelf: String,
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

/// Every file of every shelf but its description.
fn found(root: &Path) -> Vec<Found> {
    let mut all = vec![];
    for shelf in names(root) {
        for path in entries(&shelf_dir(root, &shelf)) {
            let Ok(meta) = fs::metadata(&path) else {
                continue;
            };
            if path.file_name().is_some_and(|name| name == ABOUT) {
                continue;
            }
            all.push(Found {
                shelf: shelf.clone(),
                path,
                bytes: meta.len(),
                used: meta.modified().unwrap_or(SystemTime::UNIX_EPOCH),
            });
        }
    }
    all
}

/// Makes room for `bytes` more within the bound; whether there is. The lock for writing must be held.
pub(super) fn make(place: &Place, bytes: u64) -> bool {
    let (root, bound) = (&place.root, place.bound);
    let mut all = found(root);
    let mut total: u64 = all.iter().map(|file| file.bytes).sum();
    let fits = |total: u64| total.saturating_add(bytes) <= bound;
    all.sort_by(|a, b| (a.used, &a.path).cmp(&(b.used, &b.path)));
    let mut claims: BTreeMap<String, Option<File>> = BTreeMap::new();
    for file in &all {
        let stale = is_temporary(&file.path) && file.used.elapsed().is_ok_and(|age| age > STALE);
        if fits(total) && !stale {
            continue;
        }
        let claimed = claims
            .entry(file.shelf.clone())
            .or_insert_with(|| claim(root, &file.shelf));
        if (claimed.is_some() || stale) && fs::remove_file(&file.path).is_ok() {
            total -= file.bytes;
        }
    }
    for (shelf, _) in claims.iter().filter(|(_, claim)| claim.is_some()) {
        let dir = shelf_dir(root, shelf);
        if segments(&dir).is_empty() {
            let _ = fs::remove_dir_all(dir);
        }
    }
    fits(total)
}

/// Brings the cache within its bound and notes the bound for people. Nothing depends on whether that works.
pub(super) fn keep_bound(place: &Place) {
    if !shelves(&place.root).is_dir() {
        return;
    }
    let Ok(_writing) = lock_for_writing(&place.root) else {
        return;
    };
    make(place, 0);
    let (file, text) = (place.root.join(BOUND), place.bound.to_string());
    if fs::read_to_string(&file).ok().as_ref() != Some(&text) {
        let _ = files::write_atomic(&file, text.as_bytes());
    }
}
