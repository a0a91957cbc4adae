//! A repository → a snapshot in the cache: what is missing is fetched, then the snapshot is linked, then the revision is
//! noted. How one file arrives is not known here.

use std::path::{Path, PathBuf};

use super::{
    api::{Api, RemoteFile},
    cache::RepoCache,
    config::HubConfig,
    fetch::{Fetch, part_of},
    http::Http,
    name::RepoName,
    select, sentences,
    trouble::Trouble,
};
use crate::{
    error::{Error, Result},
    telemetry::Progress,
};

/// Left free on the disk whatever is downloaded.
const SPARE: u64 = 64 << 20;

/// A model as the Hub has it, and how much of it is not here yet.
#[derive(Debug)]
pub struct Plan {
    /// The repository at the commit that its revision stands for now.
    pub name: RepoName,
    /// Where it lies or will lie.
    pub dir: PathBuf,
    /// Number of files.
    pub files: usize,
    /// Bytes of all files, as far as the Hub says.
    pub bytes: u64,
    /// Bytes that are not in the cache yet.
    pub missing: u64,
    wanted: Vec<RemoteFile>,
    commit: String,
}

/// Brings one repository into the cache.
pub(super) struct Download<'a> {
    config: &'a HubConfig,
    name: &'a RepoName,
    http: Http,
    cache: RepoCache,
}

impl<'a> Download<'a> {
    pub fn new(config: &'a HubConfig, name: &'a RepoName) -> Result<Self> {
        if !["http://", "https://"]
            .iter()
            .any(|scheme| config.endpoint.starts_with(scheme))
        {
            return Err(Error::Input(format!(
                "HF_ENDPOINT is `{}`; write an address such as https://huggingface.co",
                config.endpoint
            )));
        }
        Ok(Self {
            http: Http::new(config)?,
            cache: RepoCache::new(&config.cache, name),
            config,
            name,
        })
    }

    fn api(&self) -> Api<'_> {
        Api {
            http: &self.http,
            config: self.config,
            name: self.name,
        }
    }

    /// The commit that the revision stands for now. Nothing is fetched.
    pub fn commit(&self) -> Result<String> {
        self.api()
            .repo()
            .map(|repo| repo.commit)
            .map_err(|trouble| self.refused(&trouble))
    }

    /// Which files are wanted and how much of them is missing.
    pub fn plan(&self) -> Result<Plan> {
        let api = self.api();
        let repo = api.repo().map_err(|trouble| self.refused(&trouble))?;
        let chosen = select::select(&repo.files).ok_or_else(|| self.nothing(&repo.files))?;
        let described = chosen.into_iter().map(|file| {
            let path = file.path.clone();
            let file = api.described(&repo.commit, file);
            file.map_err(|trouble| {
                sentences::not_fetched(self.name, &path, self.config, trouble.into())
            })
        });
        let wanted: Vec<RemoteFile> = described.collect::<Result<_>>()?;
        let size = |file: &RemoteFile| file.size.unwrap_or(0);
        let missing = wanted
            .iter()
            .filter(|file| !self.is_here(&repo.commit, file));
        Ok(Plan {
            name: self.name.at(&repo.commit),
            dir: self.cache.snapshot(&repo.commit),
            files: wanted.len(),
            bytes: wanted.iter().map(size).sum(),
            missing: missing
                .map(|file| size(file).saturating_sub(self.begun(file)))
                .sum(),
            wanted,
            commit: repo.commit,
        })
    }

    /// Does what was planned.
    pub fn run(&self, plan: &Plan) -> Result<()> {
        let missing: Vec<&RemoteFile> = plan
            .wanted
            .iter()
            .filter(|file| !self.is_here(&plan.commit, file))
            .collect();
        if !missing.is_empty() {
            self.check_space(plan.missing)?;
            self.fetch(&plan.commit, &missing)?;
        }
        // Only now, so that a snapshot that can be seen is whole.
        for file in missing {
            self.cache
                .link(&plan.commit, &file.path, self.etag(file)?)?;
        }
        self.cache.refer(&plan.commit)
    }

    fn fetch(&self, commit: &str, missing: &[&RemoteFile]) -> Result<()> {
        let api = self.api();
        let total: u64 = missing.iter().filter_map(|file| file.size).sum();
        tracing::info!(
            "downloading {} at {commit}: {} files, {}",
            self.name.id(),
            missing.len(),
            readable(total)
        );
        let mut bar = Progress::bytes(self.name.id(), total);
        let mut before = 0;
        for file in missing {
            let mut fetch = Fetch {
                api: &api,
                cache: &self.cache,
                commit,
                file,
                etag: self.etag(file)?,
                progress: &mut |bytes| bar.set((before + bytes) as usize, &file.path),
            };
            let fetched = fetch.run();
            fetched.map_err(|failed| {
                sentences::not_fetched(self.name, &file.path, self.config, failed)
            })?;
            before += file.size.unwrap_or(0);
        }
        bar.finish("");
        Ok(())
    }

    /// Whether the snapshot already has the file.
    fn is_here(&self, commit: &str, file: &RemoteFile) -> bool {
        self.cache.has(commit, &file.path, file.size)
    }

    /// Bytes that an earlier attempt left, or another revision has in common.
    fn begun(&self, file: &RemoteFile) -> u64 {
        let Some(etag) = &file.etag else { return 0 };
        let blob = self.cache.blob(etag);
        let length = |path: &Path| std::fs::metadata(path).ok().map(|found| found.len());
        length(&blob)
            .or_else(|| length(&part_of(&blob)))
            .unwrap_or(0)
    }

    fn etag<'f>(&self, file: &'f RemoteFile) -> Result<&'f str> {
        file.etag.as_deref().ok_or_else(|| {
            let trouble = Trouble::Nonsense(format!("it gives no hash for `{}`", file.path));
            self.refused(&trouble)
        })
    }

    fn check_space(&self, needed: u64) -> Result<()> {
        let root = &self.config.cache;
        std::fs::create_dir_all(root).map_err(|error| Error::io(root, error))?;
        match free(root) {
            Some(free) if free < needed.saturating_add(SPARE) => Err(Error::Run(format!(
                "{} needs {} more, but the disk of the cache {} has {} left; free some space, or set HF_HUB_CACHE to another disk",
                self.name,
                readable(needed),
                root.display(),
                readable(free)
            ))),
            _ => Ok(()),
        }
    }

    fn nothing(&self, files: &[RemoteFile]) -> Error {
        let foreign = select::foreign(files);
        let has = match foreign.is_empty() {
            true => "no weights".to_owned(),
            false => format!("weights only as {}", foreign.join(", ")),
        };
        Error::Input(format!(
            "{} has {has}; what is read are model.safetensors, pytorch_model.bin, their shards, best_model.pt and PEFT adapters: \
             choose a repository or revision that has one of them",
            self.name
        ))
    }

    fn refused(&self, trouble: &Trouble) -> Error {
        let asked = matches!(trouble, Trouble::Status(status) if status.code == 404 && status.kind.is_empty());
        let known = asked && self.api().exists();
        sentences::refused(self.name, self.config, trouble, known)
    }
}

/// `1.2 GB`
pub(crate) fn readable(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} bytes"),
        _ if value < 9.95 => format!("{value:.1} {}", UNITS[unit]),
        _ => format!("{value:.0} {}", UNITS[unit]),
    }
}

/// Bytes that this user may still write to the disk of `path`, where the system says.
#[cfg(unix)]
fn free(path: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(path).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(not(unix))]
fn free(_: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_readable() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (1_000, "1.0 kB"),
            (31_380_000, "31 MB"),
            (999_600_000, "1.0 GB"),
            (16_000_000_000, "16 GB"),
        ] {
            assert_eq!(readable(bytes), text);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_disk_has_some_space() {
        assert!(free(Path::new("/")).is_some());
        assert_eq!(free(Path::new("/no/such/folder")), None);
    }
}
