//! The cache on disk, in the layout of Python's `huggingface_hub`, so that both find what the other downloaded:
//! `models--org--name/{refs,blobs,snapshots}` and `.locks`. Nothing is downloaded here.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use hf_hub::{Cache, CacheRepo};

use super::name::{RepoName, is_commit};
use crate::{
    error::{Error, Result},
    files,
};

/// Any of these configures a model.
const CONFIGS: [&str; 2] = ["config.json", "args.json"];

/// Any of these is a tokenizer. Not every model has one: a few bring their own dictionary.
const TOKENIZERS: [&str; 5] = [
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "tokenizer.model",
    "spiece.model",
];

/// Weights under the names they usually have.
const WEIGHTS: [&str; 4] = [
    "model.safetensors",
    "pytorch_model.bin",
    "best_model.pt",
    "model.pt",
];

/// Weights in shards: the index that names them.
const INDEXES: [&str; 2] = [
    "model.safetensors.index.json",
    "pytorch_model.bin.index.json",
];

/// One repository in the cache.
pub(super) struct RepoCache {
    root: PathBuf,
    repo: CacheRepo,
    folder: String,
    name: RepoName,
}

/// A snapshot that is there, whole or not.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub commit: String,
    pub dir: PathBuf,
    /// What it lacks to be loaded, in words.
    pub lacks: Option<String>,
    /// Whether it lacks a tokenizer, which the repository may have or not.
    pub doubtful: bool,
}

impl RepoCache {
    /// Where `name` is, or would be, below the cache at `root`.
    pub fn new(root: &Path, name: &RepoName) -> Self {
        let repo = name.repo();
        Self {
            folder: repo.folder_name(),
            repo: Cache::new(root.into()).repo(repo),
            root: root.into(),
            name: name.clone(),
        }
    }

    /// The snapshot of the revision, if there is one.
    pub fn find(&self) -> Option<Snapshot> {
        let revision = self.name.revision();
        let commit = match is_commit(revision) {
            true => revision.to_owned(),
            false => fs::read_to_string(self.reference(revision))
                .ok()?
                .trim()
                .to_owned(),
        };
        let dir = is_commit(&commit).then(|| self.snapshot(&commit))?;
        dir.is_dir().then(|| Snapshot {
            lacks: lacks(&dir),
            doubtful: !is_adapter(&dir) && !has_any(&dir, &TOKENIZERS),
            commit,
            dir,
        })
    }

    /// Folder of a commit.
    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.repo.pointer_path(commit)
    }

    /// Where the bytes named `etag` lie when they are whole.
    pub fn blob(&self, etag: &str) -> PathBuf {
        self.repo.blob_path(etag)
    }

    /// Whoever writes that blob holds a lock on this file; Python's tools do too.
    pub fn lock(&self, etag: &str) -> PathBuf {
        let locks = self.root.join(".locks").join(&self.folder);
        locks.join(format!("{etag}.lock"))
    }

    /// Whether a snapshot already has `path` in the size it should have.
    pub fn has(&self, commit: &str, path: &str, size: Option<u64>) -> bool {
        let found = fs::metadata(self.snapshot(commit).join(path));
        found.is_ok_and(|found| found.is_file() && size.is_none_or(|size| size == found.len()))
    }

    /// Lets `path` of a snapshot point to a blob.
    pub fn link(&self, commit: &str, path: &str, etag: &str) -> Result<()> {
        let (blob, pointer) = (self.blob(etag), self.snapshot(commit).join(path));
        let up = Path::new(path).components().count() + 1;
        let mut target: PathBuf = std::iter::repeat_n(Component::ParentDir, up).collect();
        target.push("blobs");
        target.push(etag);
        let folder = pointer.parent().unwrap_or(&pointer);
        fs::create_dir_all(folder)
            .and_then(|()| point(&target, &blob, &pointer))
            .map_err(|error| Error::io(pointer, error))
    }

    /// Notes which commit the revision stands for.
    pub fn refer(&self, commit: &str) -> Result<()> {
        let file = self.reference(self.name.revision());
        let same = || fs::read_to_string(&file).is_ok_and(|found| found.trim() == commit);
        if self.name.revision() == commit || same() {
            return Ok(());
        }
        let folder = file.parent().unwrap_or(&file);
        fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
        files::write_atomic(&file, commit.as_bytes())
    }

    fn reference(&self, revision: &str) -> PathBuf {
        self.root.join(&self.folder).join("refs").join(revision)
    }
}

/// `org/name@commit` of a folder that is a snapshot in some cache.
pub(super) fn source_of(dir: &Path) -> Option<String> {
    let mut parts = dir.components().rev().map(|part| part.as_os_str().to_str());
    let commit = parts.next()??;
    let (snapshots, folder) = (parts.next()??, parts.next()??);
    let (org, name) = folder.strip_prefix("models--")?.split_once("--")?;
    let name = RepoName::parse(&format!("{org}/{name}@{commit}"))?;
    (snapshots == "snapshots" && name.is_pinned()).then(|| name.to_string())
}

fn has_any(dir: &Path, names: &[&str]) -> bool {
    names.iter().any(|name| dir.join(name).is_file())
}

fn is_adapter(dir: &Path) -> bool {
    has_any(dir, &["adapter_config.json"]) && !has_any(dir, &CONFIGS)
}

/// What a folder lacks to be loaded as a model or an adapter, as far as names tell.
fn lacks(dir: &Path) -> Option<String> {
    if is_adapter(dir) {
        let weights = ["adapter_model.safetensors", "adapter_model.bin"];
        return (!has_any(dir, &weights)).then(|| "the adapter's weights".into());
    }
    if !has_any(dir, &CONFIGS) {
        return Some("its configuration".into());
    }
    if has_any(dir, &WEIGHTS) {
        return None;
    }
    if let Some(index) = INDEXES.iter().find(|name| dir.join(name).is_file()) {
        return missing_shard(dir, index);
    }
    let checkpoint = |name: &str| name.ends_with(".pt") || name.ends_with(".pth");
    let mut names = fs::read_dir(dir)
        .ok()?
        .filter_map(Result::ok)
        .map(|entry| entry.path());
    let found = names.any(|path| path.is_file() && path.to_str().is_some_and(checkpoint));
    (!found).then(|| "its weights".into())
}

/// The first shard of an index that is not there.
fn missing_shard(dir: &Path, index: &str) -> Option<String> {
    let bytes = fs::read(dir.join(index)).ok()?;
    let index: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let mut shards = index
        .get("weight_map")?
        .as_object()?
        .values()
        .filter_map(|shard| shard.as_str());
    let missing = shards.find(|shard| !dir.join(shard).is_file());
    missing.map(|shard| format!("`{shard}`"))
}

/// Makes `pointer` lead to the blob: a link relative to it, or a copy where the file system has no links.
fn point(target: &Path, blob: &Path, pointer: &Path) -> io::Result<()> {
    if fs::read_link(pointer).is_ok_and(|found| found == target) {
        return Ok(());
    }
    // Others may make the same link at this moment; renaming over it is right whoever comes first.
    let name = pointer.file_name().unwrap_or_default().to_string_lossy();
    let staged = pointer.with_file_name(format!(".{name}.new-{}", std::process::id()));
    let _ = fs::remove_file(&staged);
    let linked = symlink(target, &staged).or_else(|_| fs::copy(blob, &staged).map(drop));
    linked
        .and_then(|()| fs::rename(&staged, pointer))
        .inspect_err(|_| {
            let _ = fs::remove_file(&staged);
        })
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(windows)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, link)
}

#[cfg(not(any(unix, windows)))]
fn symlink(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    /// A cache as Python leaves it, with these files at one commit.
    fn cached(files: &[&str]) -> (tempfile::TempDir, RepoCache) {
        let dir = tempfile::tempdir().unwrap();
        let cache = RepoCache::new(dir.path(), &RepoName::parse("a/b").unwrap());
        for (number, file) in files.iter().enumerate() {
            let etag = format!("etag{number}");
            fs::create_dir_all(cache.blob(&etag).parent().unwrap()).unwrap();
            fs::write(cache.blob(&etag), file).unwrap();
            cache.link(COMMIT, file, &etag).unwrap();
        }
        cache.refer(COMMIT).unwrap();
        (dir, cache)
    }

    #[test]
    fn the_layout_is_that_of_python() {
        let (dir, cache) = cached(&["config.json", "1_Pooling/config.json"]);
        let repo = dir.path().join("models--a--b");
        assert_eq!(fs::read_to_string(repo.join("refs/main")).unwrap(), COMMIT);
        let snapshot = repo.join("snapshots").join(COMMIT);
        let link = |path: &str| fs::read_link(snapshot.join(path)).unwrap();
        assert_eq!(link("config.json"), Path::new("../../blobs/etag0"));
        assert_eq!(
            link("1_Pooling/config.json"),
            Path::new("../../../blobs/etag1")
        );
        assert_eq!(
            fs::read_to_string(snapshot.join("1_Pooling/config.json")).unwrap(),
            "1_Pooling/config.json"
        );
        assert_eq!(
            cache.lock("e"),
            dir.path().join(".locks/models--a--b/e.lock")
        );
        assert!(
            cache.has(COMMIT, "config.json", Some(11))
                && !cache.has(COMMIT, "config.json", Some(12))
        );
        cache.link(COMMIT, "config.json", "etag1").unwrap();
        assert_eq!(link("config.json"), Path::new("../../blobs/etag1"));
        assert_eq!(
            fs::read_dir(&snapshot).unwrap().count(),
            2,
            "nothing temporary stays"
        );
    }

    #[test]
    fn a_revision_is_found_by_branch_and_by_commit() {
        let (dir, cache) = cached(&["config.json", "tokenizer.json", "model.safetensors"]);
        let snapshot = cache.find().unwrap();
        assert_eq!((snapshot.commit.as_str(), snapshot.lacks), (COMMIT, None));
        assert_eq!(source_of(&snapshot.dir).unwrap(), format!("a/b@{COMMIT}"));
        let at = |name: &str| RepoCache::new(dir.path(), &RepoName::parse(name).unwrap()).find();
        assert!(at(&format!("a/b@{COMMIT}")).is_some());
        assert!(at("a/b@v2").is_none() && at("a/c").is_none());
        assert!(at(&format!("a/b@{}", COMMIT.replace('0', "f"))).is_none());
    }

    #[test]
    fn a_snapshot_that_is_not_whole_says_what_it_lacks() {
        for (files, lacks) in [
            (&["config.json", "vocab.txt"][..], Some("its weights")),
            (
                &["model.safetensors", "vocab.txt"],
                Some("its configuration"),
            ),
            (&["config.json", "model.safetensors"], None),
            (&["args.json", "vocab.json", "best_model.pt"], None),
            (&["adapter_config.json"], Some("the adapter's weights")),
            (&["adapter_config.json", "adapter_model.bin"], None),
            (&["config.json", "vocab.txt", "other.pt"], None),
        ] {
            assert_eq!(
                cached(files).1.find().unwrap().lacks.as_deref(),
                lacks,
                "{files:?}"
            );
        }
        assert!(
            cached(&["config.json", "model.safetensors"])
                .1
                .find()
                .unwrap()
                .doubtful
        );
        let (_dir, cache) = cached(&["config.json", "vocab.txt", "model-1.safetensors"]);
        assert!(!cache.find().unwrap().doubtful);
        let snapshot = cache.find().unwrap().dir;
        let index = r#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}"#;
        fs::write(snapshot.join("model.safetensors.index.json"), index).unwrap();
        assert_eq!(
            cache.find().unwrap().lacks.as_deref(),
            Some("`model-2.safetensors`")
        );
    }

    #[test]
    fn only_snapshots_have_a_source() {
        for dir in [
            "models/pocket",
            "snapshots/x",
            "/models--a--b/snapshots/main",
            "/models--a/snapshots/0",
        ] {
            assert_eq!(source_of(Path::new(dir)), None, "{dir}");
        }
    }
}
