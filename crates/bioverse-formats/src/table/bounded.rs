//! Bytes of a table as they are taken. No record may take more than a limit, for an unclosed quote makes the rest of a file one
//! field, which must not fill the memory; and where a file ends inside of quotes, that is known.

use std::{
    io::{self, Read},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use crate::lines::LIMIT;

/// What is known of the bytes that were taken.
#[derive(Debug, Clone, Default)]
pub(super) struct Taken {
    /// How many since the last record.
    bytes: Arc<AtomicUsize>,
    /// Whether they ended inside of quotes.
    unclosed: Arc<AtomicBool>,
}

impl Taken {
    /// Begins the next record.
    pub fn reset(&self) {
        self.bytes.store(0, Ordering::Relaxed);
    }

    /// Whether the end was reached inside of quotes.
    pub fn unclosed(&self) -> bool {
        self.unclosed.load(Ordering::Relaxed)
    }
}

/// Where the bytes so far end. A quote opens only at the beginning of a field; elsewhere it is a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Begin,
    Plain,
    Quoted,
    /// Behind a quote inside of quotes, which closes them or is the first of two.
    Quote,
}

/// A reader that fails once more than [`LIMIT`] bytes were taken for one record.
pub(super) struct Bounded<R> {
    inner: R,
    taken: Taken,
    delimiter: u8,
    place: Place,
}

impl<R> Bounded<R> {
    /// Reads from the beginning of a field.
    pub fn new(inner: R, taken: Taken, delimiter: u8) -> Self {
        Self {
            inner,
            taken,
            delimiter,
            place: Place::Begin,
        }
    }

    fn after(&self, byte: u8) -> Place {
        match (self.place, byte) {
            (Place::Begin | Place::Quote, b'"') => Place::Quoted,
            (Place::Quoted, b'"') => Place::Quote,
            (Place::Quoted, _) => Place::Quoted,
            (_, b'\n' | b'\r') => Place::Begin,
            (_, byte) if byte == self.delimiter => Place::Begin,
            _ => Place::Plain,
        }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        for byte in buffer.iter().take(n) {
            self.place = self.after(*byte);
        }
        if n == 0 && self.place == Place::Quoted {
            self.taken.unclosed.store(true, Ordering::Relaxed);
        }
        let before = self.taken.bytes.fetch_add(n, Ordering::Relaxed);
        match before.saturating_add(n) > LIMIT {
            true => Err(io::ErrorKind::FileTooLarge.into()),
            false => Ok(n),
        }
    }
}
