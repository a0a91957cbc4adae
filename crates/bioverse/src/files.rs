//! Files and directories that are whole or absent: everything a run leaves behind passes through here. What the bytes
//! mean is unknown.

use std::{
    ffi::OsString,
    fmt::Write as _,
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// Writes a file: temporary sibling, fsync, rename. Whatever stood at `path` stays as it was until all is written.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let staged = sibling(path, "new");
    let written = File::create(&staged)
        .and_then(|file| fill(file, bytes))
        .and_then(|()| fs::rename(&staged, path))
        .and_then(|()| sync(parent(path)));
    written.map_err(|error| {
        let _ = fs::remove_file(&staged);
        Error::io(path, error)
    })
}

fn fill(mut file: File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.sync_all()
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
        fs::create_dir(&staged).map_err(|error| Error::io(&staged, error))?;
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
        sync_tree(&self.staged)?;
        let old = sibling(&self.target, "old");
        let replaces = self.target.exists();
        if replaces {
            fs::rename(&self.target, &old)?;
        }
        if let Err(error) = fs::rename(&self.staged, &self.target) {
            if replaces {
                fs::rename(&old, &self.target)?;
            }
            return Err(error);
        }
        sync(parent(&self.target))?;
        if replaces {
            fs::remove_dir_all(&old)?;
        }
        Ok(())
    }
}

impl Drop for StagedDir {
    fn drop(&mut self) {
        // After a commit there is nothing of that name, and nothing is removed.
        let _ = fs::remove_dir_all(&self.staged);
    }
}

/// Brings back the directory at `target` when a run died between taking the old one away and putting the new one in.
pub fn restore(target: &Path) -> Result<()> {
    if target.exists() {
        return Ok(());
    }
    match leftovers(target, "old")?.pop() {
        None => Ok(()),
        Some(old) => fs::rename(&old, target).map_err(|error| Error::io(target, error)),
    }
}

fn clear_leftovers(target: &Path) -> Result<()> {
    for state in ["new", "old"] {
        for path in leftovers(target, state)? {
            fs::remove_dir_all(&path).map_err(|error| Error::io(&path, error))?;
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
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_and_nothing_else_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.json");
        write_atomic(&path, b"old").unwrap();
        write_atomic(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(dir.path()), ["x.json"]);
    }

    #[test]
    fn a_missing_folder_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nowhere/x.json");
        let error = write_atomic(&path, b"x").unwrap_err();
        assert!(error.to_string().contains("nowhere/x.json"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn a_rename_that_fails_leaves_what_was_there_and_no_rubbish() {
        let dir = tempfile::tempdir().unwrap();
        let taken = dir.path().join("taken");
        fs::create_dir(&taken).unwrap();
        fs::write(taken.join("precious"), "x").unwrap();
        write_atomic(&taken, b"x").unwrap_err();
        assert_eq!(names(dir.path()), ["taken"]);
        assert_eq!(names(&taken), ["precious"]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_a_failed_run() {
        let file = File::options().write(true).open("/dev/full").unwrap();
        let error = fill(file, &[0; 1 << 16]).unwrap_err();
        assert_eq!(Error::io("x", error).exit_code(), 1);
    }

    #[test]
    fn sha256_of_the_standard_example() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("abc");
        fs::write(&path, "abc").unwrap();
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(&path).unwrap(), expected);
        assert!(sha256(&dir.path().join("none")).is_err());
    }

    #[test]
    fn a_directory_appears_at_once_and_replaces_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("run/bundle");
        for round in ["first", "second"] {
            let staged = StagedDir::new(&target).unwrap();
            fs::create_dir(staged.path().join("inner")).unwrap();
            fs::write(staged.path().join("inner").join(round), round).unwrap();
            assert!(!target.join("inner").join(round).exists());
            assert_eq!(staged.commit().unwrap(), target);
            assert_eq!(names(&target.join("inner")), [round]);
            assert_eq!(names(&dir.path().join("run")), ["bundle"]);
        }
    }

    #[test]
    fn without_commit_nothing_changes() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("bundle");
        fs::create_dir(&target).unwrap();
        fs::write(target.join("old"), "x").unwrap();
        let staged = StagedDir::new(&target).unwrap();
        fs::write(staged.path().join("new"), "x").unwrap();
        drop(staged);
        assert_eq!(names(dir.path()), ["bundle"]);
        assert_eq!(names(&target), ["old"]);
    }

    #[test]
    fn what_a_crash_left_is_put_right() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("bundle");
        fs::create_dir_all(dir.path().join(".bundle.new-7-0")).unwrap();
        fs::create_dir_all(dir.path().join(".bundle.old-7-1/kept")).unwrap();
        drop(StagedDir::new(&target).unwrap());
        assert_eq!(names(dir.path()), ["bundle"], "the old bundle is back");
        assert_eq!(names(&target), ["kept"]);
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "x").unwrap();
        assert!(
            StagedDir::new(&file)
                .unwrap_err()
                .to_string()
                .contains("is a file")
        );
        assert_eq!(
            StagedDir::new(&file.join("bundle"))
                .unwrap_err()
                .exit_code(),
            2
        );
        assert_eq!(fs::read(&file).unwrap(), b"x");
    }
}
