//! The rows of one source: looked up among its segments, collected while they are computed, written as a segment now and
//! then. What is beyond the bound is decided in [`room`].

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use super::{
    Place,
    key::{About, Key},
    room,
    segment::{self, Row, Segment},
};
use crate::{
    error::{Error, Result},
    files,
};

/// Rows that wait to be written; what a kill costs at most.
const PENDING: usize = 32 << 20;
/// No row waits longer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Segments below this size are put together …
const SMALL: u64 = 8 << 20;
/// … once there are this many.
const MANY: usize = 8;

/// What is known of one source, and what is learnt about it in this run.
#[derive(Debug)]
pub struct Shelf {
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    place: Arc<Place>,
    about: About,
    name: String,
    dir: PathBuf,
    lock: Arc<File>,
    segments: Vec<Arc<Segment>>,
    pending: Vec<(Key, Vec<u8>)>,
    pending_bytes: usize,
    last_write: Instant,
    /// Nothing more is written: the disk is full, or the bound is reached.
    full: bool,
}

impl Shelf {
    /// One that is always empty.
    pub fn none() -> Self {
        Self { open: None }
    }

    pub(super) fn open(place: Arc<Place>, about: &About) -> Self {
        let opened = Open::new(place, about);
        if let Err(error) = &opened {
            tracing::warn!("the cache cannot be used, so everything is computed: {error}");
        }
        Self { open: opened.ok() }
    }

    /// Whether rows are kept.
    pub fn is_on(&self) -> bool {
        self.open.is_some()
    }

    /// Length of the rows that are there, if any are.
    pub fn width(&self) -> Option<usize> {
        let open = self.open.as_ref()?;
        open.segments.first().map(|segment| segment.width())
    }

    /// The row of a key, if it is there and whole.
    pub fn get(&mut self, key: &Key) -> Option<Row> {
        let open = self.open.as_mut()?;
        let mut damaged = vec![];
        let mut found = None;
        for (at, segment) in open.segments.iter().enumerate() {
            match segment.find(key) {
                None => {}
                Some(Err(())) => damaged.push(at),
                Some(Ok(row)) => {
                    found = Some(row);
                    break;
                }
            }
        }
        for at in damaged.into_iter().rev() {
            discard(&open.segments.swap_remove(at).path);
        }
        found
    }

    /// Keeps a row; it is written with others before long, at the latest by [`finish`](Self::finish).
    pub fn put(&mut self, key: Key, row: &[f32]) {
        let Some(open) = self.open.as_mut().filter(|open| !open.full) else {
            return;
        };
        let bytes: Vec<u8> = row.iter().flat_map(|value| value.to_le_bytes()).collect();
        open.pending_bytes += bytes.len();
        open.pending.push((key, bytes));
        let enough = PENDING.min((open.place.bound / 4) as usize);
        if open.pending_bytes >= enough || open.last_write.elapsed() >= PATIENCE {
            open.write();
        }
    }

    /// Writes what waits and notes what was used. Called when a run has all it needs.
    pub fn finish(&mut self) {
        let Some(open) = self.open.as_mut() else {
            return;
        };
        open.segments.iter().for_each(|segment| segment.note_use());
        open.write();
        room::keep_bound(&open.place);
    }
}

impl Open {
    fn new(place: Arc<Place>, about: &About) -> Result<Self> {
        let name = about.shelf_name();
        let lock = room::lock_file(&place.root, &name)?;
        // Whoever removes a shelf holds this exclusively, for a moment.
        lock.lock_shared()
            .map_err(|error| Error::io(&place.root, error))?;
        let dir = room::shelf_dir(&place.root, &name);
        let lock = Arc::new(lock);
        let mut segments = vec![];
        for path in room::segments(&dir) {
            match Segment::open(&path, &lock) {
                Ok(segment) => segments.push(Arc::new(segment)),
                Err(true) => discard(&path),
                // Another process has put small segments together, and this one is gone.
                Err(false) => {}
            }
        }
        // Rows of one source are equally long; others are of no use.
        if let Some(width) = segments
            .first()
            .map(|segment: &Arc<Segment>| segment.width())
        {
            segments.retain(|segment| segment.width() == width);
        }
        Ok(Self {
            place,
            about: about.clone(),
            name,
            dir,
            lock,
            segments,
            pending: vec![],
            pending_bytes: 0,
            last_write: Instant::now(),
            full: false,
        })
    }

    /// Writes the rows that wait; that they cannot be written is told once, and is no error.
    fn write(&mut self) {
        let rows = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        self.last_write = Instant::now();
        if rows.is_empty() || self.full {
            return;
        }
        match self.write_rows(rows) {
            Ok(true) => {}
            Ok(false) => {
                self.full = true;
                tracing::warn!(
                    "the cache holds {:.1} GB that running processes use, as much as `run.cache_gb` allows, so not all \
                     of `{}` is kept; raise `run.cache_gb` to compute it only once",
                    self.place.bound as f64 / 1e9,
                    self.about.name
                );
            }
            Err(error) => {
                self.full = true;
                tracing::warn!(
                    "encodings are not kept, because the cache cannot be written: {error}"
                );
            }
        }
    }

    /// Whether there was room.
    fn write_rows(&self, mut rows: Vec<(Key, Vec<u8>)>) -> Result<bool> {
        let Some(width) = rows.first().map(|(_, row)| row.len() / 4) else {
            return Ok(true);
        };
        rows.retain(|(_, row)| row.len() == width * 4);
        let here = |error| Error::io(&self.dir, error);
        fs::create_dir_all(&self.dir).map_err(here)?;
        let _writing = room::lock_for_writing(&self.place.root)?;
        let about = self.dir.join(room::ABOUT);
        if !about.is_file() {
            let json = serde_json::to_vec_pretty(&self.about)
                .map_err(|error| Error::Run(error.to_string()))?;
            files::write_atomic(&about, &json)?;
        }
        let small = self.small_segments(width);
        rows.extend(small.iter().flat_map(|segment| segment.rows()));
        let bytes = segment::to_bytes(width, rows);
        let replaced: u64 = small.iter().map(|segment| segment.bytes()).sum();
        if !room::make(&self.place, (bytes.len() as u64).saturating_sub(replaced)) {
            return Ok(false);
        }
        files::write_atomic(&self.dir.join(segment_name()), &bytes)?;
        for segment in small {
            let _ = fs::remove_file(&segment.path);
        }
        Ok(true)
    }

    /// Segments to be put together with what is written now: all small ones, once there are many.
    fn small_segments(&self, width: usize) -> Vec<Segment> {
        let paths = room::segments(&self.dir).into_iter();
        let is_small = |path: &PathBuf| fs::metadata(path).is_ok_and(|meta| meta.len() < SMALL);
        let paths: Vec<PathBuf> = paths.filter(is_small).collect();
        if paths.len() < MANY {
            return vec![];
        }
        let opened = paths
            .iter()
            .filter_map(|path| Segment::open(path, &self.lock).ok());
        opened.filter(|segment| segment.width() == width).collect()
    }
}

impl Drop for Open {
    /// A run that ends early keeps what it has computed.
    fn drop(&mut self) {
        self.write();
        tracing::trace!("{} closed", self.name);
    }
}

/// A name that no other segment has.
fn segment_name() -> String {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.map(|now| now.as_millis()).unwrap_or_default();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!(
        "{now:012x}-{}-{count}.{}",
        std::process::id(),
        segment::ENDING
    )
}

/// Takes a damaged file away, so that it is told of once.
fn discard(path: &Path) {
    tracing::warn!(
        "{} in the cache is damaged; it is removed, and what it held is computed again",
        path.display()
    );
    let _ = fs::remove_file(path);
}
