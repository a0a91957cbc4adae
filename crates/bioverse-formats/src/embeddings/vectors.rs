//! Vectors by id, checked once, in memory. Which file format they came from is unknown here.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use crate::{Error, Result, anndata::Obsm};

/// A table of vectors: every id has one, or several of the same width. All numbers are finite and all ids distinct.
#[derive(Debug, Clone, PartialEq)]
pub struct Vectors {
    path: PathBuf,
    ids: Vec<String>,
    /// Places in `ids`, sorted by id.
    sorted: Vec<usize>,
    width: usize,
    values: Vec<f32>,
    /// Where the vectors of each id begin, counted in vectors, and after them the number of all; `None` = one each.
    starts: Option<Vec<usize>>,
    /// Ids that the file names without a vector: cells that were left out when it was written.
    without: HashSet<String>,
}

impl Vectors {
    /// Vectors `values` `[ids.len(), width]`.
    ///
    /// # Errors
    /// As [`read`](super::read).
    pub fn new(path: &Path, ids: Vec<String>, width: usize, values: Vec<f32>) -> Result<Self> {
        Self::checked(path, ids, width, values, None)
    }

    /// Vectors `values` `[lengths.sum(), width]`, `lengths[i]` of them for the id i.
    ///
    /// # Errors
    /// As [`read`](super::read); an id without any vector.
    pub fn several(
        path: &Path,
        ids: Vec<String>,
        lengths: &[usize],
        width: usize,
        values: Vec<f32>,
    ) -> Result<Self> {
        let mut starts = Vec::with_capacity(lengths.len() + 1);
        starts.push(0_usize);
        for (i, length) in lengths.iter().enumerate() {
            if *length == 0 {
                return Err(Error::file(
                    path,
                    format!(
                        "row {} has no vector (its length is 0); leave it out",
                        i + 1
                    ),
                ));
            }
            let end = starts.last().and_then(|start| start.checked_add(*length));
            starts.push(end.ok_or_else(|| absurd(path))?);
        }
        Self::checked(path, ids, width, values, Some(starts))
    }

    /// Cells with their vectors. A row of nothing but NaN is a cell that has none.
    pub(super) fn of_cells(path: &Path, obsm: Obsm) -> Result<Self> {
        let Obsm { ids, width, values } = obsm;
        let size = ids.len().checked_mul(width);
        if width == 0 || size != Some(values.len()) {
            return Err(absurd(path));
        }
        let (mut kept, mut numbers) = (vec![], vec![]);
        let mut without = HashSet::new();
        for (id, row) in ids.into_iter().zip(values.chunks(width)) {
            if row.iter().all(|value| value.is_nan()) {
                without.insert(id);
            } else {
                kept.push(id);
                numbers.extend_from_slice(row);
            }
        }
        let vectors = Self::new(path, kept, width, numbers)?;
        Ok(Self { without, ..vectors })
    }

    fn checked(
        path: &Path,
        ids: Vec<String>,
        width: usize,
        values: Vec<f32>,
        starts: Option<Vec<usize>>,
    ) -> Result<Self> {
        if ids.is_empty() || width == 0 {
            return Err(Error::file(
                path,
                format!(
                    "holds {} vectors of {width} numbers; a table needs at least one vector",
                    ids.len()
                ),
            ));
        }
        let rows = starts
            .as_ref()
            .map_or(ids.len(), |starts| starts.last().copied().unwrap_or(0));
        let listed = starts
            .as_ref()
            .is_none_or(|starts| starts.len() == ids.len() + 1);
        if !listed || rows.checked_mul(width) != Some(values.len()) {
            return Err(absurd(path));
        }
        let sorted = sorted(path, &ids)?;
        let vectors = Self {
            path: path.into(),
            ids,
            sorted,
            width,
            values,
            starts,
            without: HashSet::new(),
        };
        vectors.all_finite()?;
        Ok(vectors)
    }

    fn all_finite(&self) -> Result<()> {
        let Some(at) = self.values.iter().position(|value| !value.is_finite()) else {
            return Ok(());
        };
        let vector = at / self.width;
        let row = match &self.starts {
            None => vector,
            Some(starts) => starts.partition_point(|start| *start <= vector) - 1,
        };
        let id = self.ids.get(row).map_or("", String::as_str);
        let value = self.values.get(at).copied().unwrap_or(f32::NAN);
        Err(Error::file(
            &self.path,
            format!(
                "row {} (`{id}`) holds {value} at place {}; every number must be finite in 32 bits, so make that vector again \
                 or leave the row out",
                row + 1,
                at % self.width + 1
            ),
        ))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Ids in the order of the file.
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// Number of ids.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none; no table is.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Width of a vector.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Whether every id has exactly one vector.
    pub fn one_each(&self) -> bool {
        self.starts.is_none()
    }

    /// Where `id` stands among [`ids`](Self::ids).
    pub fn find(&self, id: &str) -> Option<usize> {
        let name = |at: &usize| self.ids.get(*at).map_or("", String::as_str);
        let found = self.sorted.binary_search_by(|at| name(at).cmp(id)).ok()?;
        self.sorted.get(found).copied()
    }

    /// Whether the file names `id` but says that it has no vector.
    pub fn lacks(&self, id: &str) -> bool {
        self.without.contains(id)
    }

    /// The vectors of the id at place `at`, one after the other: `[vectors, width]`.
    pub fn get(&self, at: usize) -> Option<&[f32]> {
        let (start, end) = match &self.starts {
            None => (at, at.checked_add(1)?),
            Some(starts) => (*starts.get(at)?, *starts.get(at + 1)?),
        };
        self.values.get(start * self.width..end * self.width)
    }
}

/// Row numbers from 0 as ids.
pub(super) fn numbered(rows: usize) -> Vec<String> {
    (0..rows).map(|row| row.to_string()).collect()
}

/// Ids from text with one per line; a last line break is no id.
pub(super) fn lines(text: &str) -> Vec<String> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let lines = text.split('\n');
    lines
        .map(|line| line.strip_suffix('\r').unwrap_or(line).to_owned())
        .collect()
}

/// As many ids as rows.
pub(super) fn expect_ids(
    path: &Path,
    from: &str,
    ids: Vec<String>,
    rows: usize,
) -> Result<Vec<String>> {
    match ids.len() == rows {
        true => Ok(ids),
        false => Err(Error::file(
            path,
            format!(
                "has {rows} vectors, but {from} has {} ids; write one id for each vector",
                ids.len()
            ),
        )),
    }
}

/// Places sorted by id; two equal ones are refused with both rows.
fn sorted(path: &Path, ids: &[String]) -> Result<Vec<usize>> {
    let name = |at: usize| ids.get(at).map_or("", String::as_str);
    let mut sorted: Vec<usize> = (0..ids.len()).collect();
    sorted.sort_by(|a, b| name(*a).cmp(name(*b)).then(a.cmp(b)));
    let twice = sorted.windows(2).filter_map(|pair| match pair {
        [a, b] if name(*a) == name(*b) => Some((*b, *a)),
        _ => None,
    });
    match twice.min() {
        None => Ok(sorted),
        Some((second, first)) => Err(Error::file(
            path,
            format!(
                "rows {} and {} have the same id `{}`; keep one of them, or give them different ids",
                first + 1,
                second + 1,
                name(first)
            ),
        )),
    }
}

fn absurd(path: &Path) -> Error {
    Error::file(
        path,
        "its shape and its number of values do not fit together; write it again",
    )
}
