//! All checkpoints of one run, in `run.dir/checkpoint`, one folder per training; and whether the run is finished. Knows
//! no parameter and no bundle.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use super::{Checkpoint, Fingerprint, fingerprint, same_configuration};
use crate::config::RunConfig;
use crate::error::{Error, Result};
use crate::files::{remove_dir, tidy, write_atomic};

/// All checkpoints of one run. They stay until the bundle is written.
#[derive(Debug)]
pub struct Checkpoints {
    run: PathBuf,
    stage: String,
    fingerprint: Fingerprint,
    resume: bool,
    /// Whether the best parameters stay where the bundle holds later ones.
    keep_best: bool,
    /// Held while the run lives; the operating system lets go of it whatever ends the process.
    lock: OnceLock<File>,
}

/// `finished.json`: what the run was, and which checkpoint of each training stays.
#[derive(Debug, Serialize, Deserialize)]
struct Finished {
    stage: String,
    fingerprint: Fingerprint,
    kept: BTreeMap<String, usize>,
}

impl Checkpoints {
    /// Of the stage that is not `other_stage`. Changes nothing yet.
    ///
    /// # Errors
    /// When another process trains in the same folder.
    pub fn new(config: &RunConfig, other_stage: &str, resume: bool) -> Result<Self> {
        let (stage, ends_with_best) = match other_stage {
            "align" => ("finetune", config.finetune.early_stopping),
            _ => ("align", config.align.early_stopping.is_some()),
        };
        let checkpoints = Self {
            run: config.run.dir.clone(),
            stage: stage.into(),
            fingerprint: fingerprint(config, other_stage)?,
            resume,
            keep_best: config.run.keep_best && !ends_with_best,
            lock: OnceLock::new(),
        };
        if checkpoints.run.is_dir() {
            checkpoints.take_lock()?;
        }
        Ok(checkpoints)
    }

    /// Adds what the training depends on beside its configuration and rows.
    pub fn depend_on(&mut self, hashes: impl IntoIterator<Item = (String, String)>) {
        self.fingerprint.extend(hashes);
    }

    /// Whether this run is to be resumed but has written its bundle.
    ///
    /// # Errors
    /// When it was finished with other values.
    pub fn finished(&self) -> Result<bool> {
        let found = fs::read(self.finished_file()).ok();
        let found = found.and_then(|text| serde_json::from_slice::<Finished>(&text).ok());
        let ours = |finished: &Finished| self.resume && finished.stage == self.stage;
        let Some(finished) = found.filter(ours) else {
            return Ok(false);
        };
        if !self.run.join("bundle").is_dir() {
            return Ok(false);
        }
        let file = self.finished_file();
        same_configuration(&file, &finished.fingerprint, &self.fingerprint)?;
        self.remove_but(&finished.kept)?;
        tracing::info!(
            "{}: this run is finished, there is nothing to resume",
            self.run.display()
        );
        Ok(true)
    }

    /// A run that starts anew discards what an earlier one left; one that is resumed without a checkpoint says that it
    /// starts at the beginning.
    ///
    /// # Errors
    /// When another process trains in the same folder.
    pub fn begin(&self) -> Result<()> {
        fs::create_dir_all(&self.run).map_err(|error| Error::io(&self.run, error))?;
        self.take_lock()?;
        if !self.resume {
            self.remove()?;
        } else if !self.trainings().iter().any(|name| self.of(name).exists()) {
            tracing::info!(
                "{}: there is no checkpoint yet, so the run starts at the beginning",
                self.dir().display()
            );
        }
        match fs::remove_file(self.finished_file()) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Error::io(self.finished_file(), error))
            }
            _ => Ok(()),
        }
    }

    /// Whether to go on.
    pub fn resume(&self) -> bool {
        self.resume
    }

    /// The checkpoint of one training.
    pub fn of(&self, name: &str) -> Checkpoint {
        Checkpoint {
            dir: self.dir().join(name),
            fingerprint: self.fingerprint.clone(),
        }
    }

    /// Notes that the bundle is written, and removes the checkpoints, which nothing needs any more. What stays is the
    /// best one where `run.keep_best` asks for it and the bundle holds a later one.
    pub fn finish(&self) -> Result<()> {
        let best = |name: String| {
            let step = self.of(&name).best_before_last()?;
            Some((name, step))
        };
        let kept: BTreeMap<String, usize> = match self.keep_best {
            true => self.trainings().into_iter().filter_map(best).collect(),
            false => BTreeMap::new(),
        };
        for (name, step) in &kept {
            let dir = self.of(name).at(*step);
            tracing::info!(
                "{}: measured best; the bundle holds the last step",
                dir.display()
            );
        }
        let finished = Finished {
            stage: self.stage.clone(),
            fingerprint: self.fingerprint.clone(),
            kept,
        };
        let text = serde_json::to_string_pretty(&finished)
            .map_err(|error| Error::Run(format!("finished.json cannot be written: {error}")))?;
        write_atomic(&self.finished_file(), text.as_bytes())?;
        self.remove_but(&finished.kept)
    }

    /// Removes them all.
    pub fn remove(&self) -> Result<()> {
        tidy(&self.run, "checkpoint")?;
        match self.dir().is_dir() {
            true => remove_dir(&self.dir()),
            false => Ok(()),
        }
    }

    fn remove_but(&self, kept: &BTreeMap<String, usize>) -> Result<()> {
        if kept.is_empty() {
            return self.remove();
        }
        for name in self.trainings() {
            match kept.get(&name) {
                Some(step) => self.of(&name).clear_but(*step)?,
                None => remove_dir(&self.dir().join(name))?,
            }
        }
        Ok(())
    }

    /// Names of trainings that have a folder.
    fn trainings(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir()).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .filter(|entry| entry.path().is_dir())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    fn dir(&self) -> PathBuf {
        self.run.join("checkpoint")
    }

    fn finished_file(&self) -> PathBuf {
        self.run.join("finished.json")
    }

    fn take_lock(&self) -> Result<()> {
        if self.lock.get().is_none()
            && let Some(file) = lock(&self.run)?
        {
            let _ = self.lock.set(file);
        }
        Ok(())
    }
}

/// Locks `<run>/.lock`. Some network file systems have no locks; that is no reason not to train.
fn lock(run: &Path) -> Result<Option<File>> {
    let path = run.join(".lock");
    let mut options = File::options();
    let file = options.create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|error| Error::io(&path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(Error::Input(format!(
            "{}: another process is training there; wait for it, or choose another `run.dir`",
            run.display()
        ))),
        Err(TryLockError::Error(_)) => Ok(None),
    }
}
