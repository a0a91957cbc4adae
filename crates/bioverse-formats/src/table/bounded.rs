//! Bytes of which no record may take more than a limit: an unclosed quote makes the rest of a file one field, and must not
//! fill the memory.

use std::{
    io::{self, Read},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::lines::LIMIT;

/// Bytes taken since the last record.
#[derive(Debug, Clone, Default)]
pub(super) struct Taken(Arc<AtomicUsize>);

impl Taken {
    /// Begins the next record.
    pub fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// A reader that fails once more than [`LIMIT`] bytes were taken for one record.
pub(super) struct Bounded<R> {
    pub inner: R,
    pub taken: Taken,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        let before = self.taken.0.fetch_add(n, Ordering::Relaxed);
        match before.saturating_add(n) > LIMIT {
            true => Err(io::ErrorKind::FileTooLarge.into()),
            false => Ok(n),
        }
    }
}
