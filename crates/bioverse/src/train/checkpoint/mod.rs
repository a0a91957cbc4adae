//! Everything a run needs to go on as if it had never stopped: trainable parameters, moments, the step, how it stands,
//! and the configuration all that belongs to. Knows no stage.
//!
//! | place | what it holds |
//! |---|---|
//! | `checkpoint/<training>/step-000200/` | one checkpoint, whole or absent: `params.safetensors`, `optimizer.safetensors`, `state.json` |
//! | `finished.json` | once the bundle is written: what the run was |
//!
//! The newest checkpoint is the one to go on from; when it is damaged, the one before. The best one is an ordinary
//! checkpoint to which newer ones refer, so that a run never knows of a best that is not there.

mod run;
mod standing;
mod stored;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use bioverse_nn::params::load_params;
use burn::module::Module;
use burn::prelude::*;

pub use self::run::Checkpoints;
pub use self::standing::{Best, Standing};
pub use self::stored::trainable_params;
pub use super::fingerprint::{Fingerprint, fingerprint};
use super::optimizer::Trainer;
use crate::error::{Error, Result};
use crate::files::{remove_dir, tidy};
use stored::{State, Stored};

const PREFIX: &str = "step-";

/// Which checkpoints stay on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// So many, newest first; at least one.
    pub last: usize,
    /// The one with the best score too.
    pub best: bool,
}

/// A place for checkpoints of one training.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// The directory.
    pub dir: PathBuf,
    /// What its content depends on.
    pub fingerprint: Fingerprint,
}

impl Checkpoint {
    /// Adds one, then removes those that need not stay.
    pub fn save<M: Module>(
        &self,
        module: &M,
        trainer: &Trainer,
        standing: &Standing,
        keep: Keep,
    ) -> Result<()> {
        let dir = self.at(trainer.step);
        stored::write(&dir, module, trainer, standing, &self.fingerprint)?;
        self.thin(trainer.step, keep)
    }

    /// Whether there is one.
    pub fn exists(&self) -> bool {
        !self.steps().is_empty()
    }

    /// Puts `module` and `trainer` where they were; `device` is where moments live (outside autodiff). A damaged
    /// checkpoint is passed over with a warning.
    ///
    /// # Errors
    /// When the checkpoint belongs to another configuration (the first differing key is named), or all are damaged.
    pub fn load<M: Module>(
        &self,
        module: M,
        trainer: &mut Trainer,
        device: &Device,
    ) -> Result<(M, Standing)> {
        tidy(&self.dir, PREFIX)?;
        let (dir, stored) = self.newest()?;
        let Stored {
            state,
            params,
            moments,
        } = stored;
        same_configuration(&dir, &state.fingerprint, &self.fingerprint)?;
        let module = fill(&dir, module, params)?;
        trainer
            .optimizer
            .load_tensors(&moments, device)
            .map_err(|error| damaged(&dir, &error))?;
        trainer.step = state.step;
        Ok((module, state.standing))
    }

    /// The parameters after `step` steps, for which there is a checkpoint.
    ///
    /// # Errors
    /// When there is none, or it is damaged.
    pub fn params<M: Module>(&self, module: M, step: usize) -> Result<M> {
        let dir = self.at(step);
        let stored = stored::read(&dir).map_err(|problem| damaged(&dir, &problem))?;
        fill(&dir, module, stored.params)
    }

    /// Removes all of them.
    pub fn clear(&self) -> Result<()> {
        tidy(&self.dir, PREFIX)?;
        let mut steps = self.steps().into_iter();
        steps.try_for_each(|step| remove_dir(&self.at(step)))
    }

    /// Removes all but the one of `step`.
    fn clear_but(&self, kept: usize) -> Result<()> {
        tidy(&self.dir, PREFIX)?;
        let mut gone = self.steps().into_iter().filter(|step| *step != kept);
        gone.try_for_each(|step| remove_dir(&self.at(step)))
    }

    /// The step of the best measurement, when a later checkpoint refers to it.
    fn best_before_last(&self) -> Option<usize> {
        let last = self.steps().pop()?;
        let best = stored::state(&self.at(last)).ok()?.standing.best?.step;
        (best != last && self.at(best).is_dir()).then_some(best)
    }

    fn at(&self, step: usize) -> PathBuf {
        self.dir.join(format!("{PREFIX}{step:06}"))
    }

    /// Steps of which there is a checkpoint, oldest first.
    fn steps(&self) -> Vec<usize> {
        let entries = std::fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let step = |name: &str| -> Option<usize> {
            // One that was being replaced when the run died is still there, under another name.
            let name = match name.strip_prefix('.') {
                Some(hidden) => hidden.split_once(".old-")?.0,
                None => name,
            };
            name.strip_prefix(PREFIX)?.parse().ok()
        };
        let mut steps: Vec<usize> = entries
            .filter_map(|entry| step(&entry.file_name().to_string_lossy()))
            .collect();
        steps.sort_unstable();
        steps.dedup();
        steps
    }

    /// The newest one that is whole.
    fn newest(&self) -> Result<(PathBuf, Stored)> {
        let mut problem = None;
        for step in self.steps().into_iter().rev() {
            let dir = self.at(step);
            match stored::read(&dir) {
                Ok(stored) => return Ok((dir, stored)),
                Err(damage) => {
                    tracing::warn!("{}: damaged ({damage}); passed over", dir.display());
                    problem.get_or_insert_with(|| damaged(&dir, &damage));
                }
            }
        }
        Err(problem.unwrap_or_else(|| {
            Error::Input(format!(
                "{}: there is no checkpoint; run the same command without --resume",
                self.dir.display()
            ))
        }))
    }

    /// After `newest` was saved: later ones are of a run that was given up, and of the others only some stay.
    fn thin(&self, newest: usize, keep: Keep) -> Result<()> {
        let (own, later): (Vec<_>, Vec<_>) =
            self.steps().into_iter().partition(|step| *step <= newest);
        let first = own.len().saturating_sub(keep.last.max(1));
        let (old, last) = own.split_at(first);
        let best = |step: &usize| -> Option<usize> {
            let state: State = stored::state(&self.at(*step)).ok()?;
            state.standing.best.map(|best| best.step)
        };
        let best: Vec<usize> = match keep.best {
            true => last.iter().filter_map(best).collect(),
            false => vec![],
        };
        let gone = old.iter().filter(|step| !best.contains(step));
        for step in gone.chain(&later) {
            remove_dir(&self.at(*step))?;
        }
        Ok(())
    }
}

/// `module` with the parameters of the checkpoint in `dir`.
fn fill<M: Module>(
    dir: &Path,
    module: M,
    params: std::collections::BTreeMap<String, TensorData>,
) -> Result<M> {
    let here = trainable_params(&module);
    if let Some((path, _)) = here.iter().find(|(path, _)| !params.contains_key(path)) {
        return Err(damaged(dir, &format!("parameter `{path}` is missing")));
    }
    let (module, unknown) = load_params(module, params).map_err(|error| damaged(dir, &error))?;
    match unknown.first() {
        Some(path) => {
            let problem = format!("parameter `{path}` is not part of this model");
            Err(damaged(dir, &problem))
        }
        None => Ok(module),
    }
}

/// Refuses what was made with other values, naming the first that differs.
fn same_configuration(place: &Path, then: &Fingerprint, now: &Fingerprint) -> Result<()> {
    let differs = |key: &&String| then.get(*key) != now.get(*key);
    let Some(key) = then.keys().chain(now.keys()).find(differs) else {
        return Ok(());
    };
    let show = |map: &Fingerprint| map.get(key).map_or("unset".to_string(), String::clone);
    Err(Error::Input(format!(
        "{}: this was made with `{key}` = {}, but now it is {}; change it back, or start anew without --resume",
        place.display(),
        show(then),
        show(now)
    )))
}

fn damaged(dir: &Path, problem: &str) -> Error {
    Error::Input(format!(
        "{}: this checkpoint cannot be used: {problem}; start anew without --resume",
        dir.display()
    ))
}
