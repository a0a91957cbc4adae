//! What is in the cache, for people, and what they remove. Nothing is computed here.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{key::About, room, segment::Segment};
use crate::{
    config::suggest,
    error::{Error, Result},
};

/// One shelf.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its name, which [`remove`] takes.
    pub name: String,
    /// What it is of; `None` when its description is damaged.
    pub about: Option<About>,
    /// Rows.
    pub entries: usize,
    /// Bytes of its files.
    pub bytes: u64,
    /// When a row was last read or written.
    pub last_used: SystemTime,
    /// Whether a running process uses it.
    pub in_use: bool,
}

/// What was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// Shelves that are gone.
    pub names: Vec<String>,
    /// Bytes that are free now.
    pub bytes: u64,
    /// Shelves that a running process uses, which were left.
    pub left: Vec<String>,
}

/// Which shelves to remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// All, and the remembered hashes.
    All,
    /// Those not used for so long.
    Unused(Duration),
    /// Those of these names, or of the only name that begins so.
    Named(Vec<String>),
}

/// All shelves by name.
pub fn list(root: &Path) -> Vec<Listed> {
    room::names(root)
        .into_iter()
        .map(|name| listed(root, name))
        .collect()
}

/// Bytes that the last run allowed, if any did.
pub fn bound(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join(room::BOUND)).ok()?;
    text.trim().parse().ok()
}

fn listed(root: &Path, name: String) -> Listed {
    let dir = room::shelf_dir(root, &name);
    let about = fs::read(dir.join(room::ABOUT)).ok();
    let claim = room::claim(root, &name);
    let in_use = claim.is_none();
    drop(claim);
    let lock = room::lock_file(root, &name).ok().map(Arc::new);
    let entries = lock.map_or(0, |lock| entries(&dir, &lock));
    let (bytes, last_used) = files(&dir);
    Listed {
        about: about.and_then(|bytes| serde_json::from_slice(&bytes).ok()),
        name,
        entries,
        bytes,
        last_used,
        in_use,
    }
}

fn entries(dir: &Path, lock: &Arc<File>) -> usize {
    let segments = room::segments(dir).into_iter();
    let opened = segments.filter_map(|path| Segment::open(&path, lock).ok());
    opened.map(|segment| segment.count()).sum()
}

/// Bytes of the files of a folder, and the time of the latest.
fn files(dir: &Path) -> (u64, SystemTime) {
    let entries = fs::read_dir(dir).into_iter().flatten();
    let metas = entries.filter_map(|entry| entry.ok()?.metadata().ok());
    metas.fold((0, SystemTime::UNIX_EPOCH), |(bytes, last), meta| {
        let modified = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        (bytes + meta.len(), last.max(modified))
    })
}

/// Removes shelves that nobody uses.
///
/// # Errors
/// A name that no shelf or more than one has; a folder that cannot be removed.
pub fn remove(root: &Path, which: &Which) -> Result<Removed> {
    let listed = list(root);
    let chosen: Vec<&Listed> = match which {
        Which::All => listed.iter().collect(),
        Which::Unused(age) => {
            let unused = |shelf: &&Listed| shelf.last_used.elapsed().is_ok_and(|idle| idle >= *age);
            listed.iter().filter(unused).collect()
        }
        Which::Named(names) => {
            let found = names.iter().map(|name| named(&listed, name));
            found.collect::<Result<_>>()?
        }
    };
    if chosen.is_empty() && !root.is_dir() {
        return Ok(Removed::default());
    }
    let _writing = room::lock_for_writing(root)?;
    let mut removed = Removed::default();
    for shelf in chosen {
        let dir = room::shelf_dir(root, &shelf.name);
        if !dir.is_dir() {
            continue;
        }
        let Some(_claim) = room::claim(root, &shelf.name) else {
            removed.left.push(shelf.name.clone());
            continue;
        };
        removed.bytes += files(&dir).0;
        fs::remove_dir_all(&dir).map_err(|error| Error::io(&dir, error))?;
        removed.names.push(shelf.name.clone());
    }
    if *which == Which::All {
        let hashes: PathBuf = root.join("hashes");
        removed.bytes += files(&hashes).0;
        let _ = fs::remove_dir_all(hashes);
    }
    Ok(removed)
}

fn named<'a>(listed: &'a [Listed], name: &str) -> Result<&'a Listed> {
    if let Some(shelf) = listed.iter().find(|shelf| shelf.name == name) {
        return Ok(shelf);
    }
    let begins: Vec<&Listed> = listed
        .iter()
        .filter(|shelf| shelf.name.starts_with(name))
        .collect();
    match begins.as_slice() {
        [only] => Ok(only),
        [] => Err(Error::Input(format!(
            "nothing in the cache is called `{name}`{}; `bioverse cache ls` lists what there is",
            suggest::nearest(name, listed.iter().map(|shelf| shelf.name.as_str()))
                .map_or_else(String::new, |near| format!(" (did you mean `{near}`?)"))
        ))),
        several => {
            let names: Vec<&str> = several.iter().map(|shelf| shelf.name.as_str()).collect();
            Err(Error::Input(format!(
                "`{name}` could be {}; write more of the name",
                suggest::quoted(&names)
            )))
        }
    }
}
