//! One file of a repository → one blob of the cache: continued where an earlier attempt ended, checked before it gets its
//! name, by one process at a time. Which files are wanted is not known here.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{
    api::{Api, RemoteFile},
    cache::RepoCache,
    checksum::Checksum,
    http::{Method, Reply},
    trouble::{Status, Trouble},
};
use crate::interrupt;

/// Between two looks at a lock that another process holds.
const LOOK: Duration = Duration::from_millis(100);

/// A wait for another process that is worth a word.
const WORTH_A_WORD: Duration = Duration::from_secs(3);

/// Bytes written at a time.
const CHUNK: usize = 256 * 1024;

/// Why there is no blob.
#[derive(Debug)]
pub(super) enum Failed {
    /// The other side.
    Remote(Trouble),
    /// This side.
    Local(PathBuf, io::Error),
    /// What came is not what was promised, twice.
    Corrupt(String),
    /// Ctrl-C.
    Interrupted,
}

impl Failed {
    /// Names the file that could not be read or written.
    fn at(self, path: &Path) -> Self {
        match self {
            Self::Local(_, error) => Self::Local(path.into(), error),
            other => other,
        }
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Local(PathBuf::new(), error)
    }
}

impl From<Trouble> for Failed {
    fn from(trouble: Trouble) -> Self {
        Self::Remote(trouble)
    }
}

/// How one request ended.
enum Step {
    /// The file ended.
    Done,
    /// It broke off; the next request goes on from there.
    Again(Trouble),
    /// What comes cannot be what was promised, in words.
    Wrong(String),
}

/// One blob to be.
pub(super) struct Fetch<'a> {
    pub api: &'a Api<'a>,
    pub cache: &'a RepoCache,
    pub commit: &'a str,
    pub file: &'a RemoteFile,
    /// Name of the blob.
    pub etag: &'a str,
    /// Told how many bytes of this file are there.
    pub progress: &'a mut dyn FnMut(u64),
}

impl Fetch<'_> {
    /// Brings the blob into the cache, unless another process does so first.
    pub fn run(&mut self) -> Result<(), Failed> {
        let blob = self.cache.blob(self.etag);
        for folder in [blob.parent(), self.cache.lock(self.etag).parent()]
            .into_iter()
            .flatten()
        {
            fs::create_dir_all(folder).map_err(|error| Failed::Local(folder.into(), error))?;
        }
        let _lock = self.lock()?;
        if self.is_there(&blob) {
            return Ok(());
        }
        let part = part_of(&blob);
        self.fill(&part, &blob).or_else(|failed| {
            // Nothing to go on from is nothing to keep.
            if fs::metadata(&part).is_ok_and(|part| part.len() == 0) {
                let _ = fs::remove_file(&part);
            }
            // Where there are no locks, another process may have been faster.
            match self.is_there(&blob) {
                true => Ok(()),
                false => Err(failed),
            }
        })
    }

    /// Fills `part` and gives it its name.
    fn fill(&mut self, part: &Path, blob: &Path) -> Result<(), Failed> {
        let first = self.attempt(part)?;
        let difference = match first {
            None => None,
            // What an earlier run left may have been the bad part; from the start it is the server's word alone.
            Some(difference) => {
                tracing::warn!("{}: {difference}; fetching it again", self.file.path);
                self.attempt(part)?
            }
        };
        if let Some(difference) = difference {
            return Err(Failed::Corrupt(difference));
        }
        let named = File::open(part)
            .and_then(|file| file.sync_all())
            .and_then(|()| fs::rename(part, blob));
        named.map_err(|error| Failed::Local(blob.into(), error))
    }

    /// Whether the blob is whole. Other programs name blobs too, and not all of them look at the bytes.
    fn is_there(&self, blob: &Path) -> bool {
        let length = fs::metadata(blob).map(|found| found.len());
        length.is_ok_and(|length| {
            self.file.size.is_none_or(|size| size == length)
                && Checksum::of_etag(self.etag)
                    .is_none_or(|checksum| matches!(checksum.difference(blob), Ok(None)))
        })
    }

    /// All bytes in `part`, checked. What is wrong with them, in words, if something is; they are deleted then.
    fn attempt(&mut self, part: &Path) -> Result<Option<String>, Failed> {
        let local = |error| Failed::Local(part.into(), error);
        let mut difference = self.receive(part)?;
        if difference.is_none() {
            let length = fs::metadata(part).map_err(local)?.len();
            difference = match (self.file.size, Checksum::of_etag(self.etag)) {
                (Some(size), _) if size != length => {
                    Some(format!("{length} bytes instead of {size}"))
                }
                (_, Some(checksum)) => checksum.difference(part).map_err(local)?,
                // Nothing is promised but the length.
                (_, None) => None,
            };
        }
        if difference.is_some() {
            fs::remove_file(part).map_err(local)?;
        }
        Ok(difference)
    }

    /// Fills `part`, again and again while that brings more.
    fn receive(&mut self, part: &Path) -> Result<Option<String>, Failed> {
        let local = |error| Failed::Local(part.into(), error);
        // Never shortened while it grows, and written at offsets: where locks do not work, two processes write the same
        // bytes to the same places.
        let opened = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(part);
        let mut file = opened.map_err(local)?;
        let mut have = file.metadata().map_err(local)?.len();
        if self.file.size.is_some_and(|size| have > size) {
            have = 0;
            file.set_len(0).map_err(local)?;
        }
        let (mut best, mut failures) = (have, 0);
        loop {
            (self.progress)(have);
            if have > 0 && self.file.size == Some(have) {
                return Ok(None);
            }
            let trouble = match self
                .go_on(&mut file, &mut have)
                .map_err(|failed| failed.at(part))?
            {
                Step::Done => return Ok(None),
                Step::Wrong(difference) => return Ok(Some(difference)),
                Step::Again(trouble) => trouble,
            };
            if have > best {
                (best, failures) = (have, 0);
            }
            let wait = trouble.wait(failures, self.api.config);
            failures += 1;
            match wait {
                Some(wait) if failures < self.api.config.attempts => {
                    tracing::debug!(
                        "{}: {trouble:?} after {have} bytes, going on in {wait:?}",
                        self.file.path
                    );
                    sleep(wait)?;
                }
                _ => return Err(trouble.into()),
            }
        }
    }

    /// One request from `have` on.
    fn go_on(&mut self, file: &mut File, have: &mut u64) -> Result<Step, Failed> {
        let asked = self
            .api
            .file(Method::Get, self.commit, &self.file.path, *have);
        let mut reply = match asked {
            // More is here than the server has.
            Err(Trouble::Status(Status { code: 416, .. })) if *have > 0 => {
                return Ok(Step::Wrong(format!(
                    "the server has no more than {have} bytes of it"
                )));
            }
            // The Hub answered a moment ago: a network that is gone may come back.
            Err(Trouble::Unreachable(why)) => return Ok(Step::Again(Trouble::Broken(why))),
            Err(trouble) => return Ok(Step::Again(trouble)),
            Ok(reply) => reply,
        };
        if reply.is_page() && !self.file.path.ends_with(".html") {
            return Ok(Step::Again(Trouble::Page));
        }
        if let (Some(size), Some(total)) = (self.file.size, total(&reply))
            && size != total
        {
            return Ok(Step::Wrong(format!("{total} bytes instead of {size}")));
        }
        *have = match reply.status {
            206 => range_start(&reply).unwrap_or(*have),
            // A server that knows no ranges begins at the beginning.
            _ => 0,
        };
        file.seek(SeekFrom::Start(*have))?;
        self.copy(&mut reply, file, have)
    }

    fn copy(&mut self, reply: &mut Reply, file: &mut File, have: &mut u64) -> Result<Step, Failed> {
        let limit = self.file.size.unwrap_or(u64::MAX);
        let mut reader = reply.body.as_reader();
        let mut buffer = vec![0; CHUNK];
        loop {
            if interrupt::requested() {
                return Err(Failed::Interrupted);
            }
            let n = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) => return Ok(Step::Again(Trouble::Broken(error.to_string()))),
            };
            *have += n as u64;
            // One byte too many is enough to know.
            if *have > limit {
                return Ok(Step::Wrong(format!("more than {limit} bytes")));
            }
            file.write_all(&buffer[..n])?;
            (self.progress)(*have);
        }
        match self.file.size {
            Some(size) if *have < size => Ok(Step::Again(Trouble::Broken(format!(
                "it ended after {have} of {size} bytes"
            )))),
            Some(_) => Ok(Step::Done),
            // An earlier attempt may have got further into something longer.
            None => Ok(file.set_len(*have).map(|()| Step::Done)?),
        }
    }

    /// Waits until no other process writes this blob. `None` where the file system has no locks.
    fn lock(&self) -> Result<Option<File>, Failed> {
        let path = self.cache.lock(self.etag);
        let local = |error| Failed::Local(path.clone(), error);
        let opened = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path);
        let file = opened.map_err(local)?;
        let start = Instant::now();
        let mut said = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(file)),
                Err(TryLockError::WouldBlock) => {}
                // Some network file systems know no locks.
                Err(TryLockError::Error(error)) => {
                    tracing::debug!("{}: {error}; going on without a lock", path.display());
                    return Ok(None);
                }
            }
            if start.elapsed() > WORTH_A_WORD && !said {
                said = true;
                tracing::info!(
                    "another process is downloading {} of {}; waiting for it",
                    self.file.path,
                    self.api.name
                );
            }
            sleep(LOOK)?;
        }
    }
}

/// Where the bytes of a blob gather until they are checked.
pub(super) fn part_of(blob: &Path) -> PathBuf {
    let mut name = blob.file_name().unwrap_or_default().to_owned();
    name.push(".incomplete");
    blob.with_file_name(name)
}

/// Length of the whole file, as the server that has the bytes says.
fn total(reply: &Reply) -> Option<u64> {
    if reply
        .header("content-encoding")
        .is_some_and(|coding| coding != "identity")
    {
        return None;
    }
    let total = match reply.status {
        206 => reply.header("content-range")?.rsplit_once('/')?.1,
        _ => reply.header("content-length")?,
    };
    total.trim().parse().ok()
}

/// The first byte of a partial answer.
fn range_start(reply: &Reply) -> Option<u64> {
    let range = reply
        .header("content-range")?
        .trim()
        .strip_prefix("bytes ")?;
    range.split('-').next()?.trim().parse().ok()
}

/// Sleeps, unless Ctrl-C was pressed.
fn sleep(wait: Duration) -> Result<(), Failed> {
    let end = Instant::now() + wait;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        match interrupt::requested() {
            true => return Err(Failed::Interrupted),
            false if left.is_zero() => return Ok(()),
            false => std::thread::sleep(left.min(LOOK)),
        }
    }
}
