//! HDF5 files as this crate reads them: datasets in windows of rows, attributes, names. It owns the HDF5 library; what a
//! dataset means is unknown here.
//!
//! Files are opened for streaming: metadata and chunks are read as they are asked for. Sizes that a header claims are checked
//! against the size of the file before anything is allocated from them.

mod array;
mod element;
mod heap;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use hdf5_pure::{
    AttrValue, ChunkCacheConfig, DatasetAccessProperties, Error as Hdf5Error, File,
    FileAccessProperties, FileLocking, FormatError, Group,
};

pub(crate) use array::Array;
pub(crate) use element::{Element, Field, Number};
pub(crate) use heap::Heap;

use crate::{Error, Result, guard::guarded};

/// Bytes of decompressed chunks that are kept of a dataset that is streamed.
const STREAM_CACHE: usize = 32 << 20;

/// An open file.
#[derive(Debug, Clone)]
pub(crate) struct Container {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    bytes: u64,
    file: File,
}

/// A group of a file.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    container: Container,
    /// Its path in the file, `` for the root.
    pub(crate) name: String,
    group: Group,
}

/// A member of a group.
#[derive(Debug)]
pub(crate) enum Node {
    /// A group.
    Folder(Folder),
    /// A dataset.
    Array(Array),
}

impl Container {
    /// Opens a file for reading.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let bytes = fs::metadata(path)
            .map_err(|error| Error::io(path, error))?
            .len();
        let options = FileAccessProperties::new().with_locking(FileLocking::BestEffort);
        let file = guarded(path, || File::open_streaming_with_options(path, options))?
            .map_err(|error| Error::file(path, unreadable(&error)))?;
        let path = path.into();
        Ok(Self {
            shared: Arc::new(Shared { path, bytes, file }),
        })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.shared.path
    }

    /// The group that holds everything.
    pub(crate) fn root(&self) -> Folder {
        Folder {
            container: self.clone(),
            name: String::new(),
            group: self.shared.file.root(),
        }
    }

    /// An error about this file.
    pub(crate) fn error(&self, problem: impl Into<String>) -> Error {
        Error::file(self.path(), problem)
    }

    fn wrong(&self, name: &str, error: &Hdf5Error) -> Error {
        self.error(format!(
            "`{name}` cannot be read ({error}); the file may be damaged: copy or download it again, or open it with h5py"
        ))
    }

    /// The most bytes that so large a file can hold when it is decompressed: deflate makes at most 1032 of 1.
    fn most(&self) -> u64 {
        self.shared.bytes.saturating_mul(1032).max(1 << 20)
    }

    /// The most bytes of names, categories and other things that are held whole. Those of real files are packed tenfold.
    fn most_whole(&self) -> u64 {
        self.shared
            .bytes
            .saturating_mul(100)
            .saturating_add(1 << 24)
    }
}

impl Folder {
    /// The file.
    pub(crate) fn container(&self) -> &Container {
        &self.container
    }

    fn join(&self, name: &str) -> String {
        match self.name.as_str() {
            "" => name.to_owned(),
            above => format!("{above}/{name}"),
        }
    }

    /// A member; `None` where there is none of that name.
    pub(crate) fn get(&self, name: &str) -> Result<Option<Node>> {
        let full = self.join(name);
        match guarded(self.container.path(), || self.group.dataset(name))? {
            Ok(set) => {
                return Array::new(self.container.clone(), full, set).map(|a| Some(Node::Array(a)));
            }
            Err(Hdf5Error::Format(FormatError::PathNotFound(_))) => return Ok(None),
            Err(Hdf5Error::NotADataset(_)) => {}
            Err(error) => return Err(self.container.wrong(&full, &error)),
        }
        match guarded(self.container.path(), || self.group.group(name))? {
            Ok(group) => Ok(Some(Node::Folder(Self {
                container: self.container.clone(),
                name: full,
                group,
            }))),
            Err(error) => Err(self.container.wrong(&full, &error)),
        }
    }

    /// A dataset; `None` where there is none, or something else.
    pub(crate) fn array(&self, name: &str) -> Result<Option<Array>> {
        Ok(match self.get(name)? {
            Some(Node::Array(array)) => Some(array),
            _ => None,
        })
    }

    /// A dataset that is read from front to back, chunk by chunk: large chunks at the ends of windows are kept.
    pub(crate) fn stream(&self, name: &str) -> Result<Array> {
        let array = self.required(name)?;
        let cache = ChunkCacheConfig::new().with_max_bytes(STREAM_CACHE);
        let options = DatasetAccessProperties::default().with_chunk_cache(cache);
        match self.group.dataset_with_options(name, options) {
            Ok(set) => Ok(array.with(set)),
            Err(error) => Err(self.container.wrong(&self.join(name), &error)),
        }
    }

    /// A group; `None` where there is none, or something else.
    pub(crate) fn folder(&self, name: &str) -> Result<Option<Self>> {
        Ok(match self.get(name)? {
            Some(Node::Folder(folder)) => Some(folder),
            _ => None,
        })
    }

    /// A dataset that must be there.
    pub(crate) fn required(&self, name: &str) -> Result<Array> {
        self.array(name)?.ok_or_else(|| {
            self.container.error(format!(
                "there is no dataset `{}`; the file is not complete: write it again",
                self.join(name)
            ))
        })
    }

    /// Names of all members, groups last.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        let list = || -> std::result::Result<_, Hdf5Error> {
            let mut names = self.group.datasets()?;
            names.extend(self.group.groups()?);
            Ok(names)
        };
        guarded(self.container.path(), list)?
            .map_err(|error| self.container.wrong(&self.name, &error))
    }

    /// Text of an attribute; `None` where there is none, or it is not text.
    pub(crate) fn text(&self, attribute: &str) -> Option<String> {
        one_text(self.attribute(attribute)?)
    }

    /// Texts of an attribute; `None` where there is none, or it is not text.
    pub(crate) fn texts(&self, attribute: &str) -> Option<Vec<String>> {
        let value = self.attribute(attribute)?;
        one_text(value.clone())
            .map(|only| vec![only])
            .or_else(|| many_texts(value))
    }

    /// Whole numbers of an attribute; `None` where there is none, or it has others.
    pub(crate) fn integers(&self, attribute: &str) -> Option<Vec<u64>> {
        integers(self.attribute(attribute)?)
    }

    fn attribute(&self, name: &str) -> Option<AttrValue> {
        let all = guarded(self.container.path(), || self.group.attrs());
        all.ok()?.ok()?.remove(name)
    }
}

fn unreadable(error: &Hdf5Error) -> String {
    match error {
        Hdf5Error::Format(FormatError::SignatureNotFound) => {
            "this is not an HDF5 file; if it is compressed as a whole, decompress it first (gunzip)"
                .to_owned()
        }
        Hdf5Error::FileMarkedInUse { .. } => {
            format!("{error}; if no program is writing to it, clear the mark with `h5clear -s`")
        }
        other => format!(
            "the HDF5 file cannot be opened ({other}); it may be cut off or still being written: copy or download it again"
        ),
    }
}

fn one_text(value: AttrValue) -> Option<String> {
    match value {
        AttrValue::String(text)
        | AttrValue::AsciiString(text)
        | AttrValue::VarLenString(text)
        | AttrValue::VarLenAsciiString(text) => Some(text),
        AttrValue::StringSized { value, .. } | AttrValue::AsciiStringSized { value, .. } => {
            Some(value)
        }
        // Some writers (rhdf5) store one text as an array of one.
        array => match many_texts(array)?.as_slice() {
            [only] => Some(only.clone()),
            _ => None,
        },
    }
}

fn many_texts(value: AttrValue) -> Option<Vec<String>> {
    match value {
        AttrValue::StringArray(texts)
        | AttrValue::AsciiStringArray(texts)
        | AttrValue::VarLenStringArray(texts)
        | AttrValue::VarLenAsciiStringArray(texts)
        | AttrValue::VarLenAsciiCharArray(texts) => Some(texts),
        AttrValue::StringArraySized { values, .. }
        | AttrValue::AsciiStringArraySized { values, .. } => Some(values),
        _ => None,
    }
}

/// A float that is a whole number, as R stores shapes.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole, and within the range in which floats are exact"
)]
fn whole(float: f64) -> Option<u64> {
    let exact = (0.0..9e15).contains(&float) && float.fract() == 0.0;
    exact.then_some(float as u64)
}

fn integers(value: AttrValue) -> Option<Vec<u64>> {
    fn all<T: TryInto<u64>>(values: Vec<T>) -> Option<Vec<u64>> {
        values.into_iter().map(|one| one.try_into().ok()).collect()
    }
    match value {
        AttrValue::I64Array(values) => all(values),
        AttrValue::U64Array(values) => Some(values),
        AttrValue::I32Array(values) => all(values),
        AttrValue::U32Array(values) => all(values),
        AttrValue::I16Array(values) => all(values),
        AttrValue::U16Array(values) => all(values),
        AttrValue::F64Array(values) => values.into_iter().map(whole).collect(),
        _ => None,
    }
}
