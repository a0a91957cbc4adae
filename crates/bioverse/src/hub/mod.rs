//! Models by name: a folder on this machine, or a repository of the Hugging Face Hub, downloaded once into the cache that
//! Python's tools use. It knows which files make a model, nothing of what is in them.

mod api;
mod cache;
mod checksum;
mod config;
mod download;
mod fetch;
mod http;
mod name;
mod run;
mod select;
mod sentences;
mod trouble;

use std::path::{Path, PathBuf};

pub use config::HubConfig;
pub use download::Plan;
pub(crate) use download::readable;
pub use name::RepoName;
pub use run::{base_name, fetch, not_here, pin, preview};

use cache::{RepoCache, Snapshot};
use download::Download;

use crate::error::Result;

/// Where a model is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// Its folder.
    pub dir: PathBuf,
    /// `org/name@commit` when it came from the Hub; `org/name` when it is a folder below `BIOVERSE_MODELS`.
    pub source: Option<String>,
}

/// Finds the model that a person named: a folder, `org/name` or `org/name@revision`. A folder of that name wins over the Hub.
///
/// The places, in this order: a folder (or file) of that name; `$BIOVERSE_MODELS/org/name`; the cache of the Hub; the Hub
/// itself, unless `HF_HUB_OFFLINE` is set.
///
/// # Errors
/// One sentence that names the places, the likely slip, and how to fetch the model.
///
/// ```no_run
/// let model = bioverse::hub::locate("facebook/esm2_t6_8M_UR50D".as_ref())?;
/// assert!(model.dir.join("config.json").is_file());
/// # Ok::<(), bioverse::Error>(())
/// ```
pub fn locate(given: &Path) -> Result<Located> {
    // A folder, which is what most runs name, needs no environment.
    match here(given) {
        Some(found) => Ok(found),
        None => Hub::from_env().locate(given),
    }
}

/// The folder of a model that is named as on the Hub; any other path stays as it is, for commands that read files too. What is
/// missing from a folder that is here was meant to be in it.
pub fn folder_or_path(given: &Path) -> Result<PathBuf> {
    let beside = given.parent().is_some_and(Path::exists);
    match RepoName::of(given).filter(|_| !given.exists() && !beside) {
        Some(_) => Ok(locate(given)?.dir),
        None => Ok(given.into()),
    }
}

/// Whether a model can be opened without downloading anything.
pub fn is_here(given: &Path) -> bool {
    matches!(Hub::from_env().look(given), Ok(Found::Here(_)))
}

/// What was found without asking anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It is here.
    Here(Located),
    /// It has to be downloaded, or the rest of it.
    Missing(RepoName),
}

/// The search for models with its settings given.
#[derive(Debug, Clone)]
pub struct Hub {
    config: HubConfig,
}

impl Hub {
    /// With these settings.
    pub fn new(config: HubConfig) -> Self {
        Self { config }
    }

    /// With the settings of the environment.
    pub fn from_env() -> Self {
        Self::new(HubConfig::from_env())
    }

    /// As [`locate`](fn@locate).
    pub fn locate(&self, given: &Path) -> Result<Located> {
        match self.look(given)? {
            Found::Here(found) => Ok(found),
            Found::Missing(name) => self.fetch(&name),
        }
    }

    /// Looks on this machine only. A path that is neither here nor a name is an error.
    pub fn look(&self, given: &Path) -> Result<Found> {
        if let Some(found) = here(given) {
            return Ok(Found::Here(found));
        }
        let name =
            RepoName::of(given).ok_or_else(|| sentences::no_such_model(given, &self.config))?;
        if let Some(models) = &self.config.models {
            let dir = models.join(name.to_string());
            if dir.is_dir() {
                let source = Some(name.to_string());
                return Ok(Found::Here(Located { dir, source }));
            }
        }
        Ok(match self.snapshot(&name) {
            // Whether a model without a tokenizer is whole, only the Hub knows.
            Some(found) if found.lacks.is_none() && (!found.doubtful || self.config.offline) => {
                Found::Here(located(&name, found))
            }
            _ => Found::Missing(name),
        })
    }

    /// What [`download`](Self::download) would do. Asks the Hub, fetches nothing.
    pub fn plan(&self, name: &RepoName) -> Result<Plan> {
        self.allowed(name)?;
        Download::new(&self.config, name)?.plan()
    }

    /// Brings the cache up to the revision as the Hub has it now, whether or not it was there before.
    pub fn download(&self, name: &RepoName) -> Result<Plan> {
        self.allowed(name)?;
        let download = Download::new(&self.config, name)?;
        let plan = download.plan()?;
        download.run(&plan)?;
        Ok(plan)
    }

    /// The same name at the commit that it stands for, from the cache or the Hub; a folder is its own name.
    pub fn pin(&self, given: &Path) -> Result<PathBuf> {
        match self.look(given)? {
            Found::Here(Located {
                source: Some(source),
                ..
            }) if !given.exists() => Ok(source.into()),
            Found::Here(_) => Ok(given.into()),
            Found::Missing(name) if name.is_pinned() => Ok(given.into()),
            Found::Missing(name) => {
                self.allowed(&name)?;
                let commit = Download::new(&self.config, &name)?.commit();
                let commit =
                    commit.map_err(|error| sentences::after_all(&name, &self.config, error))?;
                Ok(name.at(&commit).to_string().into())
            }
        }
    }

    /// Notes in the cache which commit the branch of a name stood for when it was pinned.
    pub fn note(&self, given: &Path, pinned: &Path) -> Result<()> {
        match (RepoName::of(given), RepoName::of(pinned)) {
            (Some(name), Some(pinned)) if pinned.is_pinned() && !given.exists() => {
                RepoCache::new(&self.config.cache, &name).refer(pinned.revision())
            }
            _ => Ok(()),
        }
    }

    fn fetch(&self, name: &RepoName) -> Result<Located> {
        self.allowed(name)?;
        let download = Download::new(&self.config, name)?;
        let planned = download.plan();
        let planned = planned.map_err(|error| sentences::after_all(name, &self.config, error));
        let fetched = planned.and_then(|plan| download.run(&plan).map(|()| plan));
        match (fetched, self.snapshot(name)) {
            (Ok(plan), _) => Ok(Located {
                source: Some(plan.name.to_string()),
                dir: plan.dir,
            }),
            (Err(error), Some(found)) if found.lacks.is_none() => {
                tracing::warn!("using {name} as it is in the cache: {error}");
                Ok(located(name, found))
            }
            (Err(error), _) => Err(error),
        }
    }

    fn allowed(&self, name: &RepoName) -> Result<()> {
        match self.config.offline {
            false => Ok(()),
            true => {
                let found = self.snapshot(name);
                let cached = found.as_ref().map(|found| found.lacks.as_deref());
                Err(sentences::offline(name, &self.config, cached))
            }
        }
    }

    fn snapshot(&self, name: &RepoName) -> Option<Snapshot> {
        RepoCache::new(&self.config.cache, name).find()
    }
}

/// A folder or file of that name. A snapshot that is given by its folder still tells where it came from.
fn here(given: &Path) -> Option<Located> {
    given.exists().then(|| Located {
        dir: given.into(),
        source: cache::source_of(given),
    })
}

fn located(name: &RepoName, found: Snapshot) -> Located {
    Located {
        source: Some(name.at(&found.commit).to_string()),
        dir: found.dir,
    }
}
