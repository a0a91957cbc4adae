//! Text of variable length inside records: references are followed into the file's global heap, collection by collection.
//! (Datasets that are text as a whole are read by the HDF5 library; it does not follow references inside records.)

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
};

use super::{Container, element::REFERENCE};
use crate::{Error, Result};

/// Reads texts that references point to; keeps the collection it read last.
#[derive(Debug)]
pub(crate) struct Heap {
    container: Container,
    file: File,
    at: u64,
    collection: Vec<u8>,
}

/// Bytes before the objects of a collection, and before the data of an object.
const HEADER: usize = 16;

impl Heap {
    /// The heap of a file.
    pub(crate) fn open(container: &Container) -> Result<Self> {
        let path = container.path();
        Ok(Self {
            file: File::open(path).map_err(|error| Error::io(path, error))?,
            container: container.clone(),
            at: u64::MAX,
            collection: vec![],
        })
    }

    /// The text of a reference; a reference to nothing is empty.
    pub(crate) fn text(&mut self, reference: &[u8]) -> Result<String> {
        let (Some(length), Some(at), Some(index), REFERENCE) = (
            number(reference, 0, 4),
            number(reference, 4, 8),
            number(reference, 12, 4),
            reference.len(),
        ) else {
            return Err(self.broken());
        };
        if length == 0 || at == 0 || at == u64::MAX {
            return Ok(String::new());
        }
        if self.at != at {
            self.load(at)?;
        }
        let object = find(&self.collection, index).ok_or_else(|| self.broken())?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let text = object.get(..length).unwrap_or(object);
        Ok(super::element::text(text, false))
    }

    fn broken(&self) -> Error {
        self.container
            .error("text of a table cannot be found in the heap of the file; it may be damaged: copy or download it again")
    }

    fn load(&mut self, at: u64) -> Result<()> {
        let path = self.container.path().to_path_buf();
        let failed = |error| Error::io(&path, error);
        self.at = u64::MAX;
        let mut header = [0; HEADER];
        self.file.seek(SeekFrom::Start(at)).map_err(failed)?;
        self.file.read_exact(&mut header).map_err(failed)?;
        let size = number(&header, 8, 8).filter(|_| header.starts_with(b"GCOL\x01"));
        let rest = size.and_then(|size| size.checked_sub(HEADER as u64));
        let rest = rest.ok_or_else(|| self.broken())?;
        self.collection.clear();
        // As many bytes as there are: the size is only a claim.
        let read = (&mut self.file)
            .take(rest)
            .read_to_end(&mut self.collection);
        read.map_err(failed)?;
        self.at = at;
        Ok(())
    }
}

/// The data of object `index` of a collection.
fn find(collection: &[u8], index: u64) -> Option<&[u8]> {
    let mut rest = collection;
    loop {
        let (this, size) = (number(rest, 0, 2)?, number(rest, 8, 8)?);
        let size = usize::try_from(size).ok()?;
        if this == 0 {
            return None;
        }
        if this == index {
            return rest.get(HEADER..HEADER.checked_add(size)?);
        }
        let padded = size.checked_next_multiple_of(8)?;
        rest = rest.get(HEADER.checked_add(padded)?..)?;
    }
}

fn number(bytes: &[u8], from: usize, size: usize) -> Option<u64> {
    let bytes = bytes.get(from..from.checked_add(size)?)?;
    Some(
        bytes
            .iter()
            .rev()
            .fold(0, |all, byte| (all << 8) | u64::from(*byte)),
    )
}

#[cfg(test)]
mod tests {
    use super::find;

    fn object(index: u8, data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![index, 0, 1, 0, 0, 0, 0, 0];
        bytes.extend((data.len() as u64).to_le_bytes());
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    #[test]
    fn objects_are_found_by_index_and_claims_are_checked() {
        let mut collection = object(1, b"B cell");
        collection.extend(object(2, b"NK"));
        collection.extend(object(0, b""));
        assert_eq!(find(&collection, 1), Some(&b"B cell"[..]));
        assert_eq!(find(&collection, 2), Some(&b"NK"[..]));
        assert_eq!(find(&collection, 3), None);
        let mut liar = object(1, b"B cell");
        liar[8] = 200;
        assert_eq!(find(&liar, 1), None);
        assert_eq!(find(&liar, 2), None);
        assert_eq!(find(&[], 1), None);
    }
}
