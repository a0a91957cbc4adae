//! A file of rows: written as a whole, mapped when read, each row with its checksum. What a row means is unknown.
//!
//! ```text
//! "bioverse rows 1\n"  width: u32  count: u32  checksum of all before the rows: u32  zero: u32
//! keys: count x 16 bytes, ascending   checksums of rows: count x u32   zeros up to a multiple of 64
//! rows: count x width x f32
//! ```
//! Numbers are little-endian, checksums are CRC-32C.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use memmap2::Mmap;

use super::key::Key;

const MAGIC: &[u8; 16] = b"bioverse rows 1\n";
const HEADER: usize = 32;
const CHECKSUM: std::ops::Range<usize> = 24..28;
const ALIGNMENT: usize = 64;

/// The ending of a segment's file name.
pub(super) const ENDING: &str = "rows";

/// A segment, mapped. It keeps its shelf from being removed.
#[derive(Debug)]
pub(super) struct Segment {
    pub path: PathBuf,
    map: Mmap,
    width: usize,
    count: usize,
    used: AtomicBool,
    _lock: Arc<File>,
}

/// A row on disk.
#[derive(Debug, Clone)]
pub struct Row {
    segment: Arc<Segment>,
    at: usize,
}

/// Where the rows of a segment begin.
fn rows_at(count: usize) -> usize {
    (HEADER + count * 20).next_multiple_of(ALIGNMENT)
}

/// Bytes of a segment.
pub(super) fn size(count: usize, width: usize) -> u64 {
    (rows_at(count) + count * width * 4) as u64
}

/// The bytes of a segment of `rows`, all `width` long; of rows with one key the first is taken.
pub(super) fn to_bytes(width: usize, mut rows: Vec<(Key, Vec<u8>)>) -> Vec<u8> {
    rows.sort_by_key(|(key, _)| *key);
    rows.dedup_by_key(|(key, _)| *key);
    let mut bytes = Vec::with_capacity(size(rows.len(), width) as usize);
    bytes.extend(MAGIC);
    bytes.extend((width as u32).to_le_bytes());
    bytes.extend((rows.len() as u32).to_le_bytes());
    bytes.extend([0; 8]);
    rows.iter().for_each(|(key, _)| bytes.extend(key));
    for (_, row) in &rows {
        bytes.extend(crc32c::crc32c(row).to_le_bytes());
    }
    bytes.resize(rows_at(rows.len()), 0);
    let checksum = crc32c::crc32c(&bytes).to_le_bytes();
    bytes[CHECKSUM].copy_from_slice(&checksum);
    rows.iter().for_each(|(_, row)| bytes.extend(row));
    bytes
}

impl Segment {
    /// Maps a file; `Err(true)` when it is damaged, `Err(false)` when it cannot be read.
    pub fn open(path: &Path, lock: &Arc<File>) -> Result<Self, bool> {
        let file = File::open(path).map_err(|_| false)?;
        // SAFETY: segments are written beside their place, renamed into it and never changed after that; they end by being
        // unlinked, which leaves a mapping whole.
        let map = unsafe { Mmap::map(&file) }.map_err(|_| false)?;
        let (width, count) = check(&map).ok_or(true)?;
        Ok(Self {
            path: path.into(),
            map,
            width,
            count,
            used: AtomicBool::new(false),
            _lock: Arc::clone(lock),
        })
    }

    pub fn width(&self) -> usize {
        self.width
    }

    pub fn count(&self) -> usize {
        self.count
    }

    pub fn bytes(&self) -> u64 {
        self.map.len() as u64
    }

    fn key(&self, at: usize) -> &[u8] {
        &self.map[HEADER + at * 16..][..16]
    }

    fn row(&self, at: usize) -> &[u8] {
        &self.map[rows_at(self.count) + at * self.width * 4..][..self.width * 4]
    }

    fn is_whole(&self, at: usize) -> bool {
        let stored = &self.map[HEADER + self.count * 16 + at * 4..][..4];
        crc32c::crc32c(self.row(at)).to_le_bytes() == stored
    }

    /// Where `key` is; `Some(Err)` when its row is damaged.
    pub fn find(self: &Arc<Self>, key: &Key) -> Option<Result<Row, ()>> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = (low + high) / 2;
            match self.key(middle).cmp(key) {
                std::cmp::Ordering::Less => low = middle + 1,
                _ => high = middle,
            }
        }
        if low == self.count || self.key(low) != key {
            return None;
        }
        if !self.is_whole(low) {
            return Some(Err(()));
        }
        self.used.store(true, Ordering::Relaxed);
        Some(Ok(Row {
            segment: Arc::clone(self),
            at: low,
        }))
    }

    /// All whole rows with their keys.
    pub fn rows(&self) -> impl Iterator<Item = (Key, Vec<u8>)> + '_ {
        let whole = (0..self.count).filter(|at| self.is_whole(*at));
        whole.map(|at| {
            let mut key = Key::default();
            key.copy_from_slice(self.key(at));
            (key, self.row(at).to_vec())
        })
    }

    /// Says on disk that it was used now, if any of its rows was.
    pub fn note_use(&self) {
        if self.used.load(Ordering::Relaxed) {
            let file = File::options().append(true).open(&self.path);
            // Only the order in which files are removed depends on it.
            let _ = file.and_then(|file| file.set_modified(SystemTime::now()));
        }
    }
}

impl Row {
    /// Its values, bit for bit as they were put.
    pub fn values(&self) -> impl Iterator<Item = f32> + '_ {
        let bytes = self.segment.row(self.at).chunks_exact(4);
        bytes.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    }

    /// How many there are.
    pub fn width(&self) -> usize {
        self.segment.width
    }
}

/// Width and count, if everything but the rows is whole.
fn check(bytes: &[u8]) -> Option<(usize, usize)> {
    if bytes.get(..MAGIC.len())? != MAGIC {
        return None;
    }
    let number = |at: usize| {
        let bytes = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(bytes))
    };
    let (width, count) = (number(16)? as usize, number(20)? as usize);
    let expected = count
        .checked_mul(20)
        .and_then(|index| index.checked_add(HEADER + ALIGNMENT))
        .and_then(|_| count.checked_mul(width)?.checked_mul(4))
        .and_then(|rows| rows.checked_add(rows_at(count)))?;
    if width == 0 || bytes.len() != expected {
        return None;
    }
    let mut index = bytes[..rows_at(count)].to_vec();
    index[CHECKSUM].fill(0);
    let ascending = (1..count).all(|at| {
        let key = |at: usize| &index[HEADER + at * 16..][..16];
        key(at - 1) < key(at)
    });
    (crc32c::crc32c(&index) == number(CHECKSUM.start)? && ascending).then_some((width, count))
}
