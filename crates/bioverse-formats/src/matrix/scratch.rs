//! Bytes that are put aside for a while: in memory, or in a temporary file that goes away with the value.

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    path::PathBuf,
    process,
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::{Error, Result};

/// Bytes at places.
#[derive(Debug)]
pub(crate) enum Scratch {
    /// In memory.
    Memory(Vec<u8>),
    /// In a file of the system's temporary folder.
    File(TemporaryFile),
}

/// A file that is removed when the value is dropped.
#[derive(Debug)]
pub(crate) struct TemporaryFile {
    path: PathBuf,
    file: File,
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Scratch {
    /// Nothing yet, in memory.
    pub(crate) fn in_memory() -> Self {
        Self::Memory(vec![])
    }

    /// Nothing yet, in a new file.
    pub(crate) fn in_file() -> Result<Self> {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("bioverse-{}-{number}.tmp", process::id());
        let path = env::temp_dir().join(name);
        let mut options = OpenOptions::new();
        let opened = options.read(true).write(true).create_new(true).open(&path);
        let file = opened.map_err(|error| Error::io(&path, error))?;
        Ok(Self::File(TemporaryFile { path, file }))
    }

    /// Puts bytes at a place.
    pub(crate) fn write(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Memory(all) => {
                let at = usize::try_from(at).unwrap_or(usize::MAX);
                let end = at.saturating_add(bytes.len());
                all.resize(all.len().max(end), 0);
                if let Some(place) = all.get_mut(at..end) {
                    place.copy_from_slice(bytes);
                }
                Ok(())
            }
            Self::File(TemporaryFile { path, file }) => {
                let written = file
                    .seek(SeekFrom::Start(at))
                    .and_then(|_| file.write_all(bytes));
                written.map_err(|error| Error::io(&*path, error))
            }
        }
    }

    /// The bytes at a place where bytes were put.
    pub(crate) fn read(&mut self, at: u64, count: u64) -> Result<Vec<u8>> {
        match self {
            Self::Memory(all) => {
                let range = usize::try_from(at)
                    .ok()
                    .zip(usize::try_from(at.saturating_add(count)).ok());
                let bytes = range.and_then(|(start, end)| all.get(start..end));
                Ok(bytes.unwrap_or_default().to_vec())
            }
            Self::File(TemporaryFile { path, file }) => {
                let mut bytes = vec![];
                let read = file
                    .seek(SeekFrom::Start(at))
                    .and_then(|_| file.take(count).read_to_end(&mut bytes));
                read.map_err(|error| Error::io(&*path, error))?;
                Ok(bytes)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn both_kinds_give_back_what_was_put_there() {
        for mut scratch in [Scratch::in_memory(), Scratch::in_file().unwrap()] {
            scratch.write(8, b"later").unwrap();
            scratch.write(0, b"first").unwrap();
            assert_eq!(scratch.read(0, 5).unwrap(), b"first");
            assert_eq!(scratch.read(8, 5).unwrap(), b"later");
        }
    }

    #[test]
    fn the_file_goes_away() {
        let scratch = Scratch::in_file().unwrap();
        let Scratch::File(TemporaryFile { path, .. }) = &scratch else {
            return;
        };
        let path = path.clone();
        assert!(path.exists());
        drop(scratch);
        assert!(!path.exists());
    }
}
