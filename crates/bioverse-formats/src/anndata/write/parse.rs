//! The parts of a classic HDF5 file that change when a name is added to a group: superblock, group headers, and the names of
//! a group. Whatever is not classic is answered with `None`; sizes are checked against the file.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
};

use super::encode::ENTRY;

/// A file that is read and written at places.
pub(super) struct Bytes {
    file: File,
    length: u64,
}

/// What the superblock says.
#[derive(Debug)]
pub(super) struct Superblock {
    /// Where the address of the end of the file is kept.
    pub(super) end_at: u64,
    /// Where the entry of the root group is.
    pub(super) root_at: u64,
    /// Entries of a symbol table node, at most.
    pub(super) leaf: usize,
    /// Children of a B-tree node of a group, at most.
    pub(super) internal: usize,
}

/// A group: where the addresses of its B-tree and heap are kept, and what is in them.
#[derive(Debug)]
pub(super) struct Group {
    /// Place of the addresses of B-tree and heap in the group's header.
    pub(super) table_at: u64,
    /// Names in the order of the tree, with the place of each entry in the file, and the entry.
    pub(super) entries: Vec<(Vec<u8>, u64, [u8; ENTRY])>,
    /// The names of the heap, as they are stored.
    pub(super) names: Vec<u8>,
}

/// Most bytes of a header, and of the names of a group.
const MOST: u64 = 1 << 26;

impl Bytes {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self { file, length })
    }

    /// The end of the file, at a multiple of 8.
    pub(super) fn end(&self) -> u64 {
        self.length.next_multiple_of(8)
    }

    /// `size` bytes at a place; `None` beyond the end.
    fn read(&mut self, at: u64, size: u64) -> io::Result<Option<Vec<u8>>> {
        let within = at.checked_add(size).is_some_and(|end| end <= self.length);
        if !within || size > MOST {
            return Ok(None);
        }
        let mut bytes = vec![];
        self.file.seek(SeekFrom::Start(at))?;
        (&mut self.file).take(size).read_to_end(&mut bytes)?;
        Ok((bytes.len() as u64 == size).then_some(bytes))
    }

    /// Writes bytes at a place.
    pub(super) fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(at))?;
        self.file.write_all(bytes)?;
        self.length = self.length.max(at.saturating_add(bytes.len() as u64));
        Ok(())
    }

    /// Writes bytes at the end, and gives their place.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let at = self.end();
        self.write(at, bytes)?;
        Ok(at)
    }

    pub(super) fn superblock(&mut self) -> io::Result<Option<Superblock>> {
        let Some(bytes) = self.read(0, 100)? else {
            return Ok(None);
        };
        let version = bytes.get(8).copied();
        let shift = match version {
            Some(0) => 0,
            Some(1) => 4,
            _ => return Ok(None),
        };
        let sized = bytes.get(13..15) == Some(&[8, 8]);
        let base = number(&bytes, 24 + shift, 8);
        let (leaf, internal) = (number(&bytes, 16, 2), number(&bytes, 18, 2));
        let (Some(leaf), Some(internal), true, Some(0), true) = (
            leaf,
            internal,
            sized,
            base,
            bytes.starts_with(b"\x89HDF\r\n\x1a\n"),
        ) else {
            return Ok(None);
        };
        if leaf == 0 || internal == 0 {
            return Ok(None);
        }
        Ok(Some(Superblock {
            end_at: 40 + shift as u64,
            root_at: 56 + shift as u64,
            leaf: 2 * leaf as usize,
            internal: 2 * internal as usize,
        }))
    }

    /// The address of the header that an entry names.
    pub(super) fn header_of(&mut self, entry_at: u64) -> io::Result<Option<u64>> {
        let entry = self.read(entry_at, ENTRY as u64)?;
        Ok(entry.and_then(|entry| number(&entry, 8, 8)))
    }

    /// The group whose header is at a place.
    pub(super) fn group(&mut self, header: u64) -> io::Result<Option<Group>> {
        let Some(table_at) = self.table(header)? else {
            return Ok(None);
        };
        let Some(table) = self.read(table_at, 16)? else {
            return Ok(None);
        };
        let (Some(tree), Some(heap)) = (number(&table, 0, 8), number(&table, 8, 8)) else {
            return Ok(None);
        };
        let Some(names) = self.names(heap)? else {
            return Ok(None);
        };
        let mut nodes = vec![];
        if self.nodes(tree, 0, &mut nodes)?.is_none() {
            return Ok(None);
        }
        let mut entries = vec![];
        for node in nodes {
            let Some(bytes) = self
                .read(node, 8)?
                .filter(|bytes| bytes.starts_with(b"SNOD\x01"))
            else {
                return Ok(None);
            };
            for index in 0..number(&bytes, 6, 2).unwrap_or(0) {
                let at = node + 8 + index * ENTRY as u64;
                let Some(entry) = self.entry(at)? else {
                    return Ok(None);
                };
                let Some(name) = name(&names, &entry) else {
                    return Ok(None);
                };
                entries.push((name, at, entry));
            }
        }
        Ok(Some(Group {
            table_at,
            entries,
            names,
        }))
    }

    fn entry(&mut self, at: u64) -> io::Result<Option<[u8; ENTRY]>> {
        let bytes = self.read(at, ENTRY as u64)?;
        Ok(bytes.and_then(|bytes| bytes.try_into().ok()))
    }

    /// The place of the symbol table message in an object header, its continuations included.
    fn table(&mut self, header: u64) -> io::Result<Option<u64>> {
        let Some(prefix) = self
            .read(header, 16)?
            .filter(|bytes| bytes.starts_with(&[1, 0]))
        else {
            return Ok(None);
        };
        let Some(size) = number(&prefix, 8, 4) else {
            return Ok(None);
        };
        let mut blocks = vec![(header + 16, size)];
        let mut next = 0;
        while let Some((at, size)) = blocks.get(next).copied() {
            next += 1;
            let Some(block) = self.read(at, size)? else {
                return Ok(None);
            };
            let mut place = 0;
            while let (Some(kind), Some(size)) =
                (number(&block, place, 2), number(&block, place + 2, 2))
            {
                let body = place + 8;
                match kind {
                    0x11 => return Ok(Some(at + body as u64)),
                    0x10 if blocks.len() < 64 => {
                        let (to, long) = (number(&block, body, 8), number(&block, body + 8, 8));
                        blocks.extend(to.zip(long));
                    }
                    _ => {}
                }
                place = body + size as usize;
            }
        }
        Ok(None)
    }

    fn names(&mut self, heap: u64) -> io::Result<Option<Vec<u8>>> {
        let header = self.read(heap, 32)?;
        let header = header.filter(|bytes| bytes.starts_with(b"HEAP\0"));
        let place = header.and_then(|bytes| number(&bytes, 24, 8).zip(number(&bytes, 8, 8)));
        match place {
            Some((at, size)) => self.read(at, size),
            None => Ok(None),
        }
    }

    /// Addresses of the symbol table nodes below a B-tree node, in order.
    fn nodes(&mut self, at: u64, depth: usize, found: &mut Vec<u64>) -> io::Result<Option<()>> {
        let node = self.read(at, 24)?;
        let Some(node) = node.filter(|bytes| bytes.starts_with(b"TREE\0") && depth < 8) else {
            return Ok(None);
        };
        let (level, used) = (number(&node, 5, 1), number(&node, 6, 2));
        let (Some(level), Some(used)) = (level, used) else {
            return Ok(None);
        };
        let Some(body) = self.read(at + 24, 16 * used + 8)? else {
            return Ok(None);
        };
        for child in 0..used as usize {
            let Some(child) = number(&body, 8 + 16 * child, 8) else {
                return Ok(None);
            };
            match level {
                0 => found.push(child),
                _ => {
                    if self.nodes(child, depth + 1, found)?.is_none() {
                        return Ok(None);
                    }
                }
            }
        }
        Ok((found.len() < 1 << 16).then_some(()))
    }
}

fn name(names: &[u8], entry: &[u8; ENTRY]) -> Option<Vec<u8>> {
    let at = usize::try_from(number(entry, 0, 8)?).ok()?;
    let rest = names.get(at..)?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    rest.get(..end).map(<[u8]>::to_vec)
}

/// A little-endian number of `size` bytes.
fn number(bytes: &[u8], at: usize, size: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(size)?)?;
    Some(
        bytes
            .iter()
            .rev()
            .fold(0, |all, byte| (all << 8) | u64::from(*byte)),
    )
}
