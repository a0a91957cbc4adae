//! One dataset, read in windows of rows. What its rows mean is unknown.

use hdf5_pure::{Dataset, Layout};

use super::{Container, Element, Number};
use crate::{Error, Result, guard::guarded};

/// A dataset of any rank; a row is everything of one index of the first dimension.
#[derive(Debug, Clone)]
pub(crate) struct Array {
    container: Container,
    /// Its path in the file.
    pub(crate) name: String,
    set: Dataset,
    /// Length of each dimension; empty for a scalar.
    pub(crate) shape: Vec<usize>,
    /// What an element is.
    pub(crate) element: Element,
    /// Rows of a chunk, where it is stored in chunks.
    pub(crate) chunk_rows: Option<usize>,
}

/// The largest chunk that is decompressed.
const LARGEST_CHUNK: u64 = 1 << 30;

/// The largest element. (Records of vectors are long.)
const LARGEST_ELEMENT: u64 = 1 << 20;

/// Elements, and bytes, that are read at once where a whole dataset is wanted.
const WINDOW: (usize, usize) = (1 << 16, 1 << 24);

/// Filters that can be undone, by their registered numbers.
const KNOWN_FILTERS: [u16; 5] = [1, 2, 3, 6, 32000];

impl Array {
    pub(super) fn new(container: Container, name: String, set: Dataset) -> Result<Self> {
        let wrong = |error| container.wrong(&name, &error);
        let shape = set.shape().map_err(wrong)?;
        let element = Element::of(&set.datatype().map_err(wrong)?);
        let width = set.element_size().map_err(wrong)?;
        let chunk = set.chunk_shape().map_err(wrong)?;
        check_filters(&container, &name, &set)?;
        check_sizes(&container, &name, width, &shape, chunk.as_deref())?;
        let small = |n: &u64| usize::try_from(*n).unwrap_or(usize::MAX);
        Ok(Self {
            shape: shape.iter().map(small).collect(),
            chunk_rows: chunk.and_then(|chunk| chunk.first().map(small)),
            container,
            name,
            set,
            element,
        })
    }

    /// The same dataset read through `set`.
    pub(super) fn with(self, set: Dataset) -> Self {
        Self { set, ..self }
    }

    /// Whether it is a single value that was never written, such as one without a dataspace.
    pub(crate) fn is_void(&self) -> bool {
        let unwritten = Layout::Contiguous {
            address: None,
            size: 0,
        };
        self.shape.is_empty() && self.set.layout().is_ok_and(|layout| layout == unwritten)
    }

    /// Text of an attribute; `None` where there is none, or it is not text.
    pub(crate) fn text(&self, attribute: &str) -> Option<String> {
        super::one_text(self.set.attrs().ok()?.remove(attribute)?)
    }

    /// An error about this dataset.
    pub(crate) fn error(&self, problem: &str) -> Error {
        self.container.error(format!("`{}` {problem}", self.name))
    }

    /// Rows; 1 for a scalar.
    pub(crate) fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// Elements of a row.
    pub(crate) fn width(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    /// Bytes of a row.
    pub(crate) fn row_bytes(&self) -> usize {
        self.width().saturating_mul(self.element.size())
    }

    /// How its numbers are stored.
    pub(crate) fn number(&self) -> Result<Number> {
        match &self.element {
            Element::Number(number) => Ok(*number),
            Element::Bool => Ok(Number {
                class: super::element::Class::Unsigned,
                size: 1,
                big_endian: false,
            }),
            other => Err(self.error(&format!(
                "should hold numbers, but holds {}",
                other.describe()
            ))),
        }
    }

    /// The bytes of `count` rows from `start`.
    pub(crate) fn raw(&self, start: usize, count: usize) -> Result<Vec<u8>> {
        let wide = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let read = || self.set.read_raw_rows(wide(start), wide(count));
        let bytes = guarded(self.container.path(), read)?
            .map_err(|error| self.container.wrong(&self.name, &error))?;
        match Some(bytes.len()) == count.checked_mul(self.row_bytes()) {
            true => Ok(bytes),
            false => Err(self.error(&format!(
                "has no rows {start} to {}; the file is not complete: write it again",
                start.saturating_add(count)
            ))),
        }
    }

    /// Integers of `count` rows from `start`.
    pub(crate) fn integers(&self, start: usize, count: usize) -> Result<Vec<i64>> {
        let number = self.number()?;
        let raw = self.raw(start, count)?;
        let all = raw.chunks_exact(number.size);
        Ok(all.map(|bytes| number.integer(bytes)).collect())
    }

    /// Texts of `count` rows from `start`.
    pub(crate) fn texts(&self, start: usize, count: usize) -> Result<Vec<String>> {
        let wide = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        match &self.element {
            Element::Variable => {
                if self.text_bytes(start, count)? > self.container.most_whole() {
                    return Err(self
                        .error("repeats text more often than a real file; write the file again"));
                }
                let read = || self.set.read_string_rows(wide(start), wide(count));
                let texts = guarded(self.container.path(), read)?
                    .map_err(|error| self.container.wrong(&self.name, &error))?;
                match Some(texts.len()) == count.checked_mul(self.width()) {
                    true => Ok(texts),
                    false => Err(self.error("is cut off; copy or download the file again")),
                }
            }
            Element::Fixed { size: 0, .. } => {
                Ok(vec![String::new(); count.saturating_mul(self.width())])
            }
            Element::Fixed { size, spaces } => {
                let raw = self.raw(start, count)?;
                let all = raw.chunks_exact(*size);
                Ok(all
                    .map(|bytes| super::element::text(bytes, *spaces))
                    .collect())
            }
            other => Err(self.error(&format!("should hold text, but holds {}", other.describe()))),
        }
    }

    /// All rows through `read`, a window at a time, so that nothing is allocated for rows that are claimed but not there. For
    /// what is small in a real file: more than a hundred times the size of the file is refused.
    pub(crate) fn whole<T>(
        &self,
        read: impl Fn(&Self, usize, usize) -> Result<Vec<T>>,
    ) -> Result<Vec<T>> {
        let most = self.container.most_whole();
        let mut bytes = (self.rows() as u64).saturating_mul(self.row_bytes() as u64);
        self.windows(|start, count| {
            if self.element == Element::Variable {
                bytes = bytes.saturating_add(self.text_bytes(start, count)?);
            }
            match bytes <= most {
                true => read(self, start, count),
                false => Err(self.error(
                    "is packed more than a hundredfold, which names are not; if it is right, write the file without compression",
                )),
            }
        })
    }

    /// All rows through `read`, a window at a time.
    pub(crate) fn windows<T>(
        &self,
        mut read: impl FnMut(usize, usize) -> Result<Vec<T>>,
    ) -> Result<Vec<T>> {
        let (elements, bytes) = WINDOW;
        let step = (elements / self.width().max(1)).min(bytes / self.row_bytes().max(1));
        let step = step.max(1);
        let mut all = vec![];
        let mut start = 0;
        while start < self.rows() {
            let count = step.min(self.rows() - start);
            all.append(&mut read(start, count)?);
            start += count;
        }
        Ok(all)
    }

    /// Bytes of the texts that references in these rows point to; they may all point to one.
    fn text_bytes(&self, start: usize, count: usize) -> Result<u64> {
        let raw = self.raw(start, count)?;
        let lengths = raw.chunks_exact(super::element::REFERENCE);
        let lengths = lengths.filter_map(|reference| reference.first_chunk().copied());
        Ok(lengths
            .map(|length| u64::from(u32::from_le_bytes(length)))
            .sum())
    }
}

impl Element {
    /// Words for an error.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Number(_) => "numbers".to_owned(),
            Self::Bool => "booleans".to_owned(),
            Self::Fixed { .. } | Self::Variable => "text".to_owned(),
            Self::Record { .. } => "records".to_owned(),
            Self::Other(words) => words.clone(),
        }
    }
}

fn check_filters(container: &Container, name: &str, set: &Dataset) -> Result<()> {
    let unknown = |filter: &u16| !KNOWN_FILTERS.contains(filter);
    let Some(filter) = set.filters().into_iter().find(unknown) else {
        return Ok(());
    };
    let called = match filter {
        4 => "szip",
        5 => "nbit",
        307 => "bzip2",
        32001 => "blosc",
        32004 => "lz4",
        32008 => "bitshuffle",
        32013 => "zfp",
        32015 => "zstd",
        32026 => "blosc2",
        _ => "unknown",
    };
    Err(container.error(format!(
        "`{name}` is compressed with the HDF5 filter {filter} ({called}), which is not read; rewrite the file in Python: \
         import hdf5plugin, then anndata.read_h5ad(old).write_h5ad(new, compression='gzip')"
    )))
}

/// Refuses sizes that the file cannot have, before anything is allocated from them.
fn check_sizes(
    container: &Container,
    name: &str,
    width: u64,
    shape: &[u64],
    chunk: Option<&[u64]>,
) -> Result<()> {
    let product = |sizes: &[u64]| sizes.iter().try_fold(width, |all, n| all.checked_mul(*n));
    let fits = |bytes: Option<u64>, most: u64| bytes.is_some_and(|bytes| bytes <= most);
    if !fits(product(shape), container.most()) {
        return Err(container.error(format!(
            "`{name}` claims the shape {shape:?}, more than the file can hold; it is damaged: copy or download it again"
        )));
    }
    if width > LARGEST_ELEMENT {
        return Err(container.error(format!(
            "`{name}` has elements of {width} bytes, which are not read; write the file again with shorter ones"
        )));
    }
    if chunk.is_some_and(|chunk| !fits(product(chunk), LARGEST_CHUNK)) {
        return Err(container.error(format!(
            "`{name}` is stored in chunks of more than 1 GiB; write the file again with smaller chunks"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use hdf5_pure::FileBuilder;

    use super::*;

    fn zeros(count: usize) -> Array {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("zeros.h5");
        let mut file = FileBuilder::new();
        file.create_dataset("zeros")
            .with_i64_data(&vec![0; count])
            .with_shape(&[count as u64])
            .with_chunks(&[1 << 16])
            .with_deflate(9);
        file.write(&path).unwrap();
        let container = Container::open(&path).unwrap();
        container.root().array("zeros").unwrap().unwrap()
    }

    #[test]
    fn what_is_held_whole_may_not_be_packed_beyond_belief() {
        let error = zeros(4 << 20).whole(Array::integers).unwrap_err();
        assert!(error.to_string().contains("hundredfold"), "{error}");
        let few = zeros(1 << 20).whole(Array::integers).unwrap();
        assert_eq!(few.len(), 1 << 20);
    }

    #[test]
    fn windows_follow_one_another_and_end_with_the_rows() {
        let array = zeros(200_000);
        let rows = array.windows(|start, count| Ok((start..start + count).collect()));
        assert!(rows.unwrap().into_iter().eq(0..200_000));
        assert!(
            array
                .raw(199_990, 20)
                .unwrap_err()
                .to_string()
                .contains("199990")
        );
        assert!(array.texts(0, 1).unwrap_err().to_string().contains("text"));
    }
}
