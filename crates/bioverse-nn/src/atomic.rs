//! A file appears under its name complete or not at all: written beside it, synced, renamed.
//!
//! Knows nothing of what is in the file.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{Error, Result};

/// Creates or replaces `path` with what `fill` writes. A failure leaves an older file as it was and nothing half-written.
pub fn write_atomically(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<()> {
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    fs::create_dir_all(dir).map_err(|e| Error::io(dir, e))?;
    let temporary = Temporary(temporary_name(path));
    let written = || -> std::io::Result<()> {
        let mut out = BufWriter::new(File::create(&temporary.0)?);
        fill(&mut out)?;
        out.flush()?;
        out.get_ref().sync_all()?;
        fs::rename(&temporary.0, path)?;
        sync_dir(dir)
    };
    written().map_err(|e| Error::io(path, e))
}

/// Pretty-prints `value` with a final newline.
pub fn write_json(path: &Path, value: &serde_json::Value) -> Result<()> {
    write_atomically(path, |out| writeln!(out, "{value:#}"))
}

/// Removes itself when dropped; after the rename there is nothing left to remove.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn temporary_name(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    // Two threads may write the same file.
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    name.push(format!(".tmp-{}-{count}", std::process::id()));
    path.with_file_name(name)
}

/// Makes the rename itself durable. Only Unix lets a directory be opened for this.
fn sync_dir(dir: &Path) -> std::io::Result<()> {
    if cfg!(unix) {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_failed_write_keeps_the_old_file_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weights.bin");
        write_atomically(&path, |out| out.write_all(b"old")).unwrap();
        let error = write_atomically(&path, |out| {
            out.write_all(b"new")?;
            Err(std::io::Error::from(std::io::ErrorKind::StorageFull))
        })
        .unwrap_err();
        assert!(error.to_string().contains("weights.bin"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(dir.path()), ["weights.bin"]);
    }

    #[test]
    fn missing_folders_are_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/config.json");
        write_json(&path, &serde_json::json!({"r": 8})).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\n  \"r\": 8\n}\n");
        assert_eq!(names(path.parent().unwrap()), ["config.json"]);
    }
}
