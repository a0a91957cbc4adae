//! sha256 of large files, remembered. A hash is a hint: it is believed only while size, times, inode and device say that the
//! file is the one that was hashed.

use std::{
    fs::{self, Metadata},
    path::Path,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use super::key::key;
use crate::{error::Result, files};

/// A file that was changed this short a time before it was hashed may be changed again within the same tick of its clock.
const SETTLED: Duration = Duration::from_secs(2);

/// Smaller files are hashed faster than they are looked up.
const SMALL: u64 = 1 << 18;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Remembered {
    path: String,
    stamp: Stamp,
    sha256: String,
}

/// What changes when a file does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Stamp {
    size: u64,
    modified: i128,
    changed: i128,
    inode: u64,
    device: u64,
}

/// Lower-case hex sha256 of a file, from memory where that can be trusted.
pub(super) fn sha256(root: &Path, file: &Path) -> Result<String> {
    let path = fs::canonicalize(file).unwrap_or_else(|_| file.to_path_buf());
    let Some(before) = stamp(&path).filter(|stamp| stamp.size >= SMALL) else {
        return files::sha256(file);
    };
    let name = key([path.as_os_str().as_encoded_bytes()]);
    let memory = root
        .join("hashes")
        .join(format!("{:032x}.json", u128::from_be_bytes(name)));
    let known = fs::read(&memory).ok();
    let known = known.and_then(|bytes| serde_json::from_slice::<Remembered>(&bytes).ok());
    if let Some(known) = known.filter(|known| known.stamp == before) {
        return Ok(known.sha256);
    }
    let sha256 = files::sha256(file)?;
    if stamp(&path).as_ref() == Some(&before) && before.is_settled() {
        let remembered = Remembered {
            path: path.to_string_lossy().into_owned(),
            stamp: before,
            sha256: sha256.clone(),
        };
        // A hash that cannot be remembered is computed again.
        let _ = remember(&memory, &remembered);
    }
    Ok(sha256)
}

fn remember(memory: &Path, remembered: &Remembered) -> Option<()> {
    fs::create_dir_all(memory.parent()?).ok()?;
    let bytes = serde_json::to_vec(remembered).ok()?;
    files::write_atomic(memory, &bytes).ok()
}

#[cfg(unix)]
fn stamp(path: &Path) -> Option<Stamp> {
    use std::os::unix::fs::MetadataExt;
    let meta: Metadata = fs::metadata(path).ok()?;
    let nanoseconds = |s: i64, ns: i64| i128::from(s) * 1_000_000_000 + i128::from(ns);
    Some(Stamp {
        size: meta.size(),
        modified: nanoseconds(meta.mtime(), meta.mtime_nsec()),
        changed: nanoseconds(meta.ctime(), meta.ctime_nsec()),
        inode: meta.ino(),
        device: meta.dev(),
    })
}

/// Elsewhere nothing tells a file that was replaced from one that was not.
#[cfg(not(unix))]
fn stamp(_: &Path) -> Option<Stamp> {
    None
}

impl Stamp {
    fn is_settled(&self) -> bool {
        let Ok(now) = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) else {
            return false;
        };
        let last = self.modified.max(self.changed);
        now.as_nanos() as i128 - last > SETTLED.as_nanos() as i128
    }
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use std::fs::File;

    /// Makes a file look as old as it takes to be remembered. Its inode change time cannot be set, so tests wait instead.
    fn settle() {
        std::thread::sleep(SETTLED + Duration::from_millis(100));
    }

    #[test]
    fn a_hash_is_believed_while_the_file_is_the_same_and_not_after() {
        let dir = tempfile::tempdir().unwrap();
        let (root, file) = (dir.path().join("cache"), dir.path().join("model"));
        let content = |byte: u8| vec![byte; SMALL as usize];
        fs::write(&file, content(1)).unwrap();
        let first = sha256(&root, &file).unwrap();
        assert_eq!(first, files::sha256(&file).unwrap());
        assert!(!root.exists(), "a file of this moment is not remembered");
        settle();
        assert_eq!(sha256(&root, &file).unwrap(), first);
        let entry = fs::read_dir(root.join("hashes")).unwrap().next().unwrap();
        let memory = entry.unwrap().path();
        // Believed: a lie in the memory comes back.
        let text = fs::read_to_string(&memory).unwrap();
        fs::write(&memory, text.replace(&first, "lie")).unwrap();
        assert_eq!(sha256(&root, &file).unwrap(), "lie");
        // The same size and the same time of change, but other bytes.
        let modified = fs::metadata(&file).unwrap().modified().unwrap();
        fs::write(&file, content(2)).unwrap();
        let opened = File::options().write(true).open(&file).unwrap();
        opened.set_modified(modified).unwrap();
        let second = sha256(&root, &file).unwrap();
        assert_eq!(second, files::sha256(&file).unwrap());
        assert_ne!(second, first);
        // Rubbish in the memory is not read.
        fs::write(&memory, "{").unwrap();
        assert_eq!(sha256(&root, &file).unwrap(), second);
    }
}
