//! The work folder beside an output: whole chunks and a manifest that says what they were made of. A chunk appears complete
//! or not at all, so whatever ends a run, the next one goes on behind the last chunk. What the numbers mean is unknown here.

use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    io::{BufReader, Read},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::request::beside;
use crate::{
    error::{Error, Result},
    files,
};

const MANIFEST: &str = "manifest.json";
const TOTAL: &str = "total.json";
const CHUNK: &str = "chunk-";
/// Locked by the run that writes. The operating system lets it go with the process, however that ends.
const LOCK: &str = "lock";

/// A record that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reject {
    pub row: usize,
    /// `None` = the row could not be read so far.
    pub id: Option<String>,
    pub reason: String,
}

/// The rows of a window.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chunk {
    pub ids: Vec<String>,
    /// Vectors of each row; 0 = it was rejected.
    pub lengths: Vec<usize>,
    pub rejected: Vec<Reject>,
    pub values: Vec<f32>,
}

/// All of a chunk but its numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    pub ids: Vec<String>,
    pub lengths: Vec<usize>,
    pub rejected: Vec<Reject>,
}

/// The chunks made so far.
pub(super) struct Partial {
    dir: PathBuf,
    chunks: usize,
    rows: usize,
    total: Option<usize>,
    /// The first record that an earlier run left out.
    rejected: Option<Reject>,
    lock: File,
}

impl Partial {
    /// Opens the work folder of `output`. Chunks of an earlier run are used when `fingerprint` is theirs, and removed
    /// otherwise. An output that is already there is refused, unless it is to be replaced or a run died while finishing it.
    pub fn open(
        output: &Path,
        fingerprint: &BTreeMap<String, String>,
        force: bool,
    ) -> Result<Self> {
        let dir = beside(output, "partial");
        let same = read_manifest(&dir)?.as_ref() == Some(fingerprint);
        // An empty file holds nothing that could be lost; programs that make up names leave one.
        let occupied = fs::metadata(output).is_ok_and(|found| found.is_dir() || found.len() > 0);
        if occupied && !force && !same {
            return Err(Error::Input(format!(
                "{} is already there; give --force to replace it, or choose another name",
                output.display()
            )));
        }
        let lock = lock(&dir, output)?;
        // Another run may have ended, or begun and died, since.
        let earlier = read_manifest(&dir)?;
        let same = earlier.as_ref() == Some(fingerprint);
        if let Some(earlier) = earlier.filter(|_| !same) {
            tracing::warn!(
                "{}: the work of an earlier run is not used, for {}",
                dir.display(),
                difference(&earlier, fingerprint)
            );
            clear(&dir)?;
        }
        let mut partial = Self {
            dir,
            chunks: 0,
            rows: 0,
            total: None,
            rejected: None,
            lock,
        };
        match same {
            true => partial.look()?,
            false => partial.begin(fingerprint)?,
        }
        Ok(partial)
    }

    fn begin(&self, fingerprint: &BTreeMap<String, String>) -> Result<()> {
        write_json(&self.dir.join(MANIFEST), fingerprint)
    }

    /// Counts the whole chunks from the first on.
    fn look(&mut self) -> Result<()> {
        while let Some(head) = self.head_if_whole(self.chunks)? {
            self.rows += head.ids.len();
            self.chunks += 1;
            self.rejected = self.rejected.take().or(head.rejected.into_iter().next());
        }
        self.total = fs::read(self.dir.join(TOTAL))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Ok(())
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Rows done.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of chunks.
    pub fn len(&self) -> usize {
        self.chunks
    }

    /// The first record that an earlier run left out of the chunks that are used again.
    pub fn rejected(&self) -> Option<&Reject> {
        self.rejected.as_ref()
    }

    /// Whether nothing is kept that a later run could use.
    pub fn is_empty(&self) -> bool {
        self.chunks == 0 && self.total.is_none()
    }

    /// How many rows the input has, if that was found out.
    pub fn total(&self) -> Option<usize> {
        self.total
    }

    /// Remembers how many rows the input has.
    pub fn set_total(&mut self, rows: usize) -> Result<usize> {
        write_json(&self.dir.join(TOTAL), &rows)?;
        self.total = Some(rows);
        Ok(rows)
    }

    /// Adds a chunk: length of its head, head, numbers.
    pub fn push(&mut self, chunk: &Chunk) -> Result<()> {
        let head = Head {
            ids: chunk.ids.clone(),
            lengths: chunk.lengths.clone(),
            rejected: chunk.rejected.clone(),
        };
        let head = serde_json::to_vec(&head).map_err(|error| Error::Run(error.to_string()))?;
        let mut bytes = Vec::with_capacity(8 + head.len() + 4 * chunk.values.len());
        bytes.extend((head.len() as u64).to_le_bytes());
        bytes.extend(head);
        bytes.extend(chunk.values.iter().flat_map(|value| value.to_le_bytes()));
        files::write_atomic(&self.file(self.chunks), &bytes)?;
        self.chunks += 1;
        self.rows += chunk.ids.len();
        Ok(())
    }

    fn file(&self, chunk: usize) -> PathBuf {
        self.dir.join(format!("{CHUNK}{chunk:08}"))
    }

    /// All of a chunk but its numbers.
    pub fn head(&self, chunk: usize) -> Result<Head> {
        self.head_if_whole(chunk)?.ok_or_else(|| self.gone(chunk))
    }

    /// The numbers of a chunk.
    pub fn values(&self, chunk: usize) -> Result<Vec<f32>> {
        let file = self.file(chunk);
        let bytes = fs::read(&file).map_err(|error| Error::io(&file, error))?;
        let size = bytes
            .first_chunk::<8>()
            .map_or(0, |size| u64::from_le_bytes(*size));
        let start = usize::try_from(size)
            .ok()
            .and_then(|size| size.checked_add(8));
        let numbers = start
            .and_then(|start| bytes.get(start..))
            .ok_or_else(|| self.gone(chunk))?;
        let (numbers, _) = numbers.as_chunks::<4>();
        Ok(numbers
            .iter()
            .map(|number| f32::from_le_bytes(*number))
            .collect())
    }

    fn gone(&self, chunk: usize) -> Error {
        Error::Run(format!(
            "{} was changed while it was in use; run the command again",
            self.file(chunk).display()
        ))
    }

    fn head_if_whole(&self, chunk: usize) -> Result<Option<Head>> {
        let path = self.file(chunk);
        let Ok(file) = File::open(&path) else {
            return Ok(None);
        };
        let here = |error| Error::io(&path, error);
        let length = file.metadata().map_err(here)?.len();
        let mut file = BufReader::new(file);
        let mut size = [0; 8];
        if file.read_exact(&mut size).is_err() {
            return Ok(None);
        }
        let mut text = vec![];
        file.take(u64::from_le_bytes(size))
            .read_to_end(&mut text)
            .map_err(here)?;
        let head = serde_json::from_slice::<Head>(&text).ok();
        // A file system that lost what was synced has lost its last pages.
        let least = 8 + text.len() as u64;
        let whole = head.filter(|head| {
            let vectors: usize = head.lengths.iter().sum();
            let numbers = length.saturating_sub(least);
            head.lengths.len() == head.ids.len()
                && match vectors {
                    0 => numbers == 0,
                    n => numbers > 0 && numbers % (4 * n as u64) == 0,
                }
        });
        Ok(whole)
    }

    /// Removes the folder: its work is done. What cannot be removed does no harm.
    pub fn remove(self) {
        let _ = clear(&self.dir);
        drop(self.lock);
        let _ = fs::remove_file(self.dir.join(LOCK));
        let _ = fs::remove_dir(&self.dir);
    }
}

/// Makes the work folder this run's own for as long as the file is open. A folder with other files in it is left alone.
fn lock(dir: &Path, output: &Path) -> Result<File> {
    fs::create_dir_all(dir).map_err(|error| Error::io(dir, error))?;
    let foreign = fs::read_dir(dir)
        .map_err(|error| Error::io(dir, error))?
        .flatten()
        .find(|entry| !is_ours(&entry.file_name().to_string_lossy()));
    if let Some(entry) = foreign {
        return Err(Error::Input(format!(
            "{} is needed for the work in progress, but holds other files such as {}; move it away",
            dir.display(),
            entry.file_name().to_string_lossy()
        )));
    }
    let path = dir.join(LOCK);
    let file = File::create(&path).map_err(|error| Error::io(&path, error))?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(Error::Input(format!(
            "another run is writing {}; wait until it is done, or choose another output",
            output.display()
        ))),
        // Some file systems have no locks.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(file),
    }
}

fn is_ours(name: &str) -> bool {
    let name = name.strip_prefix('.').unwrap_or(name);
    [CHUNK, MANIFEST, TOTAL, LOCK]
        .iter()
        .any(|ours| name.starts_with(ours))
}

/// Removes our files, the manifest last: without it chunks would have no owner.
fn clear(dir: &Path) -> Result<()> {
    let entries = fs::read_dir(dir).map_err(|error| Error::io(dir, error))?;
    let ours = entries
        .flatten()
        .filter(|entry| is_ours(&entry.file_name().to_string_lossy()))
        .filter(|entry| entry.file_name() != LOCK);
    let (manifest, others): (Vec<PathBuf>, Vec<PathBuf>) = ours
        .map(|entry| entry.path())
        .partition(|path| path.ends_with(MANIFEST));
    for path in others.into_iter().chain(manifest) {
        fs::remove_file(&path).map_err(|error| Error::io(&path, error))?;
    }
    Ok(())
}

fn read_manifest(dir: &Path) -> Result<Option<BTreeMap<String, String>>> {
    let file = dir.join(MANIFEST);
    match fs::read(&file) {
        // One that cannot be read belongs to no run of today.
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes).unwrap_or_default())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(file, error)),
    }
}

fn write_json(file: &Path, value: &impl Serialize) -> Result<()> {
    let bytes = serde_json::to_vec_pretty(value).map_err(|error| Error::Run(error.to_string()))?;
    files::write_atomic(file, &bytes)
}

/// The first thing that is not as it was.
fn difference(earlier: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> String {
    let changed = now
        .iter()
        .find(|(key, value)| earlier.get(*key) != Some(value));
    let gone = earlier.iter().find(|(key, _)| !now.contains_key(*key));
    match (changed, gone) {
        (Some((key, value)), _) => match earlier.get(key) {
            Some(then) if then.len() + value.len() < 200 => {
                format!("its {key} is not the same: {then}, now {value}")
            }
            _ => format!("its {key} is not the same"),
        },
        (None, Some((key, _))) => format!("it had {key}"),
        (None, None) => "its manifest cannot be read".into(),
    }
}
