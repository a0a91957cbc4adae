//! Files and directories that are whole or absent: everything a run leaves behind passes through here. What the bytes
//! mean is unknown.

mod fault;

use std::{
    ffi::OsString,
    fmt::Write as _,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
#[cfg(test)]
pub(crate) use fault::crash_at;

/// Writes a file: temporary sibling, fsync, rename. Whatever stood at `path` stays as it was until all is written. The
/// folder must be there: a run that is to make one says so with [`StagedDir`].
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    fault::point().map_err(|error| Error::io(path, error))?;
    if !parent(path).is_dir() {
        return Err(Error::io(path, io::ErrorKind::NotFound.into()));
    }
    Ok(bioverse_nn::atomic::write_atomically(path, |out| {
        out.write_all(bytes)
    })?)
}

/// Lower-case hex sha256 of a file, streamed.
pub fn sha256(path: &Path) -> Result<String> {
    let digest = digest(path).map_err(|error| Error::io(path, error))?;
    Ok(digest.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    }))
}

fn digest(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finalize().to_vec()),
            n => hasher.update(&buffer[..n]),
        }
    }
}

/// A directory that appears at `target` only as a whole: fill [`path`](Self::path), then [`commit`](Self::commit).
/// Dropped without commit it removes itself. One process at a time may stage the same target.
#[derive(Debug)]
pub struct StagedDir {
    staged: PathBuf,
    target: PathBuf,
}

impl StagedDir {
    /// Stages beside `target`, after putting right what a crashed run may have left there.
    pub fn new(target: &Path) -> Result<Self> {
        if target.exists() && !target.is_dir() {
            return Err(Error::Input(format!(
                "{} is a file, but a directory is to be written there; move it, or choose another place",
                target.display()
            )));
        }
        let above = parent(target);
        fs::create_dir_all(above).map_err(|error| Error::io(above, error))?;
        restore(target)?;
        clear_leftovers(target)?;
        let staged = sibling(target, "new");
        fault::point()
            .and_then(|()| fs::create_dir(&staged))
            .map_err(|error| Error::io(&staged, error))?;
        Ok(Self {
            staged,
            target: target.into(),
        })
    }

    /// Where to write.
    pub fn path(&self) -> &Path {
        &self.staged
    }

    /// Fsyncs everything and swaps it in; an older directory at `target` is replaced.
    pub fn commit(self) -> Result<PathBuf> {
        self.swap()
            .map_err(|error| Error::io(&self.target, error))?;
        Ok(self.target.clone())
    }

    fn swap(&self) -> io::Result<()> {
        fault::point()?;
        sync_tree(&self.staged)?;
        let old = sibling(&self.target, "old");
        let replaces = self.target.exists();
        if replaces {
            fault::point()?;
            fs::rename(&self.target, &old)?;
        }
        if let Err(error) = fault::point().and_then(|()| fs::rename(&self.staged, &self.target)) {
            if replaces {
                fault::point()?;
                fs::rename(&old, &self.target)?;
            }
            return Err(error);
        }
        fault::point()?;
        sync(parent(&self.target))?;
        if replaces {
            fault::point()?;
            fs::remove_dir_all(&old)?;
        }
        Ok(())
    }
}

impl Drop for StagedDir {
    fn drop(&mut self) {
        // After a commit there is nothing of that name, and nothing is removed.
        if fault::point().is_ok() {
            let _ = fs::remove_dir_all(&self.staged);
        }
    }
}

/// Brings back the directory at `target` when a run died between taking the old one away and putting the new one in.
pub fn restore(target: &Path) -> Result<()> {
    if target.exists() {
        return Ok(());
    }
    match leftovers(target, "old")?.pop() {
        None => Ok(()),
        Some(old) => fault::point()
            .and_then(|()| fs::rename(&old, target))
            .map_err(|error| Error::io(target, error)),
    }
}

/// Removes a file, if it is there.
pub fn forget(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(file, error)),
        _ => Ok(()),
    }
}

/// Removes a directory under a name that nothing looks for, so that it is never seen half removed.
pub fn remove_dir(target: &Path) -> Result<()> {
    let gone = sibling(target, "gone");
    let renamed = fault::point().and_then(|()| fs::rename(target, &gone));
    renamed.map_err(|error| Error::io(target, error))?;
    fault::point()
        .and_then(|()| fs::remove_dir_all(&gone))
        .map_err(|error| Error::io(&gone, error))
}

/// Puts right what crashed runs left of directories called `prefix…` in `dir`, which one process at a time may do: old
/// ones whose successor never came are brought back, the rest is removed.
pub fn tidy(dir: &Path, prefix: &str) -> Result<()> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Ok(());
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(rest) = name.strip_prefix('.').filter(|n| n.starts_with(prefix)) else {
            continue;
        };
        if let Some((target, _)) = rest.rsplit_once('.') {
            restore(&dir.join(target))?;
            clear_leftovers(&dir.join(target))?;
        }
    }
    Ok(())
}

fn clear_leftovers(target: &Path) -> Result<()> {
    for state in ["new", "old", "gone"] {
        for path in leftovers(target, state)? {
            fault::point()
                .and_then(|()| fs::remove_dir_all(&path))
                .map_err(|error| Error::io(&path, error))?;
        }
    }
    Ok(())
}

/// Directories that [`sibling`] named for `target`, sorted.
fn leftovers(target: &Path, state: &str) -> Result<Vec<PathBuf>> {
    let above = parent(target);
    let prefix = prefix(target, state);
    let prefix = prefix.to_string_lossy();
    let Ok(entries) = fs::read_dir(above) else {
        return Ok(vec![]);
    };
    let entries: io::Result<Vec<_>> = entries.collect();
    let mut found: Vec<PathBuf> = entries
        .map_err(|error| Error::io(above, error))?
        .into_iter()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&*prefix))
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    found.sort();
    Ok(found)
}

/// `.<name>.<state>-<process>-<n>` beside `path`: on the same file system, so that renaming it is one step.
fn sibling(path: &Path, state: &str) -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let mut name = prefix(path, state);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    name.push(format!("{}-{count}", std::process::id()));
    parent(path).join(name)
}

fn prefix(path: &Path, state: &str) -> OsString {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{state}-"));
    name
}

/// The directory a path stands in; `.` for a bare name.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn sync_tree(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            sync_tree(&path)?;
        } else {
            sync(&path)?;
        }
    }
    sync(dir)
}

#[cfg(test)]
mod tests;
