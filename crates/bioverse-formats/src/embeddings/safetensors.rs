//! Vectors in safetensors: the header is read, then only the tensors that are wanted. What is claimed is compared with the
//! length of the file before anything is allocated.

use std::{
    fs::File,
    io::{BufReader, Read, Seek, SeekFrom},
    path::Path,
};

use safetensors::{
    Dtype,
    tensor::{Metadata, TensorInfo},
};

use super::{
    numbers::{Stored, each},
    vectors::{Vectors, expect_ids, lines, numbered},
};
use crate::{Error, Result};

/// Longest header that the format allows.
const LONGEST_HEADER: u64 = 100_000_000;

pub(super) fn read(path: &Path, key: Option<&str>) -> Result<Vectors> {
    let mut tensors = Tensors::open(path)?;
    let (name, info) = tensors.choose(key)?;
    let stored = stored(info.dtype).ok_or_else(|| {
        let dtype = info.dtype;
        tensors.refuse(format!(
            "tensor `{name}` is {dtype:?}; vectors are F32, F16, BF16 or F64"
        ))
    })?;
    let values = tensors.floats(&info, stored)?;
    let given = tensors.ids()?;
    let ids = |rows: usize| match given {
        None => Ok(numbered(rows)),
        Some(ids) => expect_ids(path, "its tensor `ids`", ids, rows),
    };
    match (info.shape.as_slice(), tensors.lengths(&name)?) {
        (&[_, width], Some(lengths)) => {
            Vectors::several(path, ids(lengths.len())?, &lengths, width, values)
        }
        (&[rows, width], None) => Vectors::new(path, ids(rows)?, width, values),
        (&[rows, several, width], None) => {
            // Zero widths would let a header claim rows that no byte stands for.
            if values.is_empty() {
                return Err(tensors.refuse(format!("tensor `{name}` is empty")));
            }
            Vectors::several(path, ids(rows)?, &vec![several; rows], width, values)
        }
        (shape, _) => Err(tensors.refuse(format!(
            "tensor `{name}` has the shape {shape:?}; vectors are [n, d]"
        ))),
    }
}

/// An open file and what its header says, checked against its length.
struct Tensors<'a> {
    path: &'a Path,
    file: BufReader<File>,
    metadata: Metadata,
    /// Where the data begins, and how much there is.
    data: (u64, u64),
}

impl<'a> Tensors<'a> {
    fn open(path: &'a Path) -> Result<Self> {
        let here = |error| Error::io(path, error);
        let broken = |problem: String| {
            Error::file(
                path,
                format!("is no whole safetensors file ({problem}); write or fetch it again"),
            )
        };
        let file = File::open(path).map_err(here)?;
        let length = file.metadata().map_err(here)?.len();
        let mut file = BufReader::new(file);
        let mut size = [0; 8];
        file.read_exact(&mut size).map_err(here)?;
        let header = u64::from_le_bytes(size);
        if header > LONGEST_HEADER || header > length.saturating_sub(8) {
            return Err(broken(format!(
                "its header claims {header} bytes of {length}"
            )));
        }
        let mut text = vec![];
        (&mut file)
            .take(header)
            .read_to_end(&mut text)
            .map_err(here)?;
        let metadata: Metadata =
            serde_json::from_slice(&text).map_err(|error| broken(error.to_string()))?;
        let data = (8 + header, length - 8 - header);
        for (name, info) in metadata.tensors() {
            let (start, end) = info.data_offsets;
            let numbers = info
                .shape
                .iter()
                .try_fold(1_usize, |n, d| n.checked_mul(*d));
            let bits = numbers.and_then(|n| n.checked_mul(info.dtype.bitsize()));
            let fits = start <= end && end as u64 <= data.1;
            if !fits || bits != (end - start).checked_mul(8) {
                return Err(broken(format!(
                    "tensor `{name}` claims the shape {:?} in bytes {start} to {end} of {}",
                    info.shape, data.1
                )));
            }
        }
        Ok(Self {
            path,
            file,
            metadata,
            data,
        })
    }

    fn refuse(&self, problem: String) -> Error {
        Error::file(self.path, problem)
    }

    /// The tensor meant: the one named, else `embeddings`, `states`, or the only table of numbers.
    fn choose(&self, key: Option<&str>) -> Result<(String, TensorInfo)> {
        let tensors = self.metadata.tensors();
        let found = |name: &str| {
            tensors
                .get(name)
                .map(|info| (name.to_owned(), (*info).clone()))
        };
        let mut names: Vec<&str> = tensors.keys().map(String::as_str).collect();
        names.sort_unstable();
        if let Some(key) = key {
            return found(key).ok_or_else(|| {
                self.refuse(format!(
                    "has no tensor `{key}` (it has: {})",
                    names.join(", ")
                ))
            });
        }
        if let Some(usual) = found("embeddings").or_else(|| found("states")) {
            return Ok(usual);
        }
        let table = |name: &&str| {
            tensors
                .get(*name)
                .is_some_and(|info| info.shape.len() == 2 && stored(info.dtype).is_some())
        };
        let tables: Vec<&str> = names.iter().copied().filter(table).collect();
        match tables.as_slice() {
            [only] => found(only).ok_or_else(|| self.refuse("is empty".into())),
            [] => Err(self.refuse(format!(
                "has no tensor of vectors [n, d] (it has: {}); call it `embeddings`",
                names.join(", ")
            ))),
            several => Err(self.refuse(format!(
                "has several tensors that could be meant: {}; name one with `embeddings_key`",
                several.join(", ")
            ))),
        }
    }

    fn at(&mut self, info: &TensorInfo) -> Result<()> {
        let start = self.data.0 + info.data_offsets.0 as u64;
        let moved = self.file.seek(SeekFrom::Start(start));
        moved.map(drop).map_err(|error| Error::io(self.path, error))
    }

    /// The numbers of a tensor whose size was checked.
    fn floats(&mut self, info: &TensorInfo, stored: Stored) -> Result<Vec<f32>> {
        let count = (info.data_offsets.1 - info.data_offsets.0) / stored.size();
        self.at(info)?;
        let mut values = Vec::with_capacity(count);
        each(&mut self.file, stored, false, count, &mut |value| {
            values.push(value)
        })
        .map_err(|error| Error::io(self.path, error))?;
        Ok(values)
    }

    fn bytes(&mut self, info: &TensorInfo) -> Result<Vec<u8>> {
        self.at(info)?;
        let (start, end) = info.data_offsets;
        let mut bytes = Vec::with_capacity(end - start);
        let taken = (&mut self.file)
            .take((end - start) as u64)
            .read_to_end(&mut bytes);
        taken.map_err(|error| Error::io(self.path, error))?;
        Ok(bytes)
    }

    fn ids(&mut self) -> Result<Option<Vec<String>>> {
        let Some(info) = self.metadata.info("ids").cloned() else {
            return Ok(None);
        };
        if info.dtype != Dtype::U8 {
            return Err(self.refuse(format!(
                "its tensor `ids` is {:?}; ids are U8, the names in UTF-8 with a line break between them",
                info.dtype
            )));
        }
        let text = String::from_utf8(self.bytes(&info)?)
            .map_err(|error| self.refuse(format!("its tensor `ids` is not UTF-8 ({error})")))?;
        Ok(Some(lines(&text)))
    }

    /// How many vectors of `states` each id has.
    fn lengths(&mut self, name: &str) -> Result<Option<Vec<usize>>> {
        if name != "states" {
            return Ok(None);
        }
        let Some(info) = self.metadata.info("lengths").cloned() else {
            return Err(self.refuse(
                "has `states` without `lengths`, which says how many of them each id has; add it, or call the tensor `embeddings`".into(),
            ));
        };
        let size = match info.dtype {
            Dtype::I64 | Dtype::U64 => 8,
            Dtype::I32 | Dtype::U32 => 4,
            other => {
                return Err(self.refuse(format!(
                    "its tensor `lengths` is {other:?}; give whole numbers, such as I64"
                )));
            }
        };
        let number = |bytes: &[u8]| {
            let number = bytes
                .iter()
                .rev()
                .fold(0_u64, |n, byte| n << 8 | u64::from(*byte));
            // A negative length is above every total, and refused as such.
            usize::try_from(number).unwrap_or(usize::MAX)
        };
        Ok(Some(
            self.bytes(&info)?.chunks_exact(size).map(number).collect(),
        ))
    }
}

fn stored(dtype: Dtype) -> Option<Stored> {
    match dtype {
        Dtype::F16 => Some(Stored::F16),
        Dtype::BF16 => Some(Stored::Bf16),
        Dtype::F32 => Some(Stored::F32),
        Dtype::F64 => Some(Stored::F64),
        _ => None,
    }
}
