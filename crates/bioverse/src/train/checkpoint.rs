//! Everything a run needs to go on as if it had never stopped: trainable parameters, moments, the step, and the
//! configuration they belong to. Knows no stage.
//!
//! A checkpoint is a directory of `params.safetensors`, `optimizer.safetensors` and `state.json`; it is whole or absent.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bioverse_nn::params::load_params;
use bioverse_nn::weights::{StoredDtype, save_safetensors};
use burn::module::{Module, ModuleVisitor, Param};
use burn::prelude::*;
use serde::{Deserialize, Serialize};

pub use super::fingerprint::{Fingerprint, fingerprint};
use super::optimizer::Trainer;
use crate::config::RunConfig;
use crate::error::{Error, Result};
use crate::files::{StagedDir, restore, write_atomic};

#[derive(Debug, Serialize, Deserialize)]
struct State {
    step: usize,
    fingerprint: Fingerprint,
}

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
    /// Replaces what is there.
    pub fn save<M: Module>(&self, module: &M, trainer: &Trainer) -> Result<()> {
        let staged = StagedDir::new(&self.dir)?;
        let write = |name: &str, tensors| {
            save_safetensors(
                &staged.path().join(name),
                tensors,
                StoredDtype::F32,
                BTreeMap::new(),
            )
        };
        write("params.safetensors", trainable_params(module))?;
        write("optimizer.safetensors", trainer.optimizer.to_tensors())?;
        let state = State {
            step: trainer.step,
            fingerprint: self.fingerprint.clone(),
        };
        let text = serde_json::to_string_pretty(&state)
            .map_err(|error| Error::Run(format!("state.json cannot be written: {error}")))?;
        write_atomic(&staged.path().join("state.json"), text.as_bytes())?;
        staged.commit()?;
        Ok(())
    }

    /// Whether there is one.
    pub fn exists(&self) -> bool {
        // A run may have died while it replaced a checkpoint; what cannot be mended is not there.
        let _ = restore(&self.dir);
        self.dir.join("state.json").is_file()
    }

    /// Puts `module` and `trainer` where they were; `device` is where moments live (outside autodiff).
    ///
    /// # Errors
    /// When the checkpoint belongs to another configuration (the first differing key is named) or is damaged.
    pub fn load<M: Module>(&self, module: M, trainer: &mut Trainer, device: &Device) -> Result<M> {
        let state = self.state()?;
        self.same_configuration(&state)?;
        let params = read_tensors(&self.dir.join("params.safetensors"))?;
        let here = trainable_params(&module);
        if let Some((path, _)) = here.iter().find(|(path, _)| !params.contains_key(path)) {
            return Err(self.damaged(&format!("parameter `{path}` is missing")));
        }
        let (module, unknown) =
            load_params(module, params).map_err(|error| self.damaged(&error))?;
        if let Some(path) = unknown.first() {
            return Err(self.damaged(&format!("parameter `{path}` is not part of this model")));
        }
        let moments = read_tensors(&self.dir.join("optimizer.safetensors"))?;
        trainer
            .optimizer
            .load_tensors(&moments, device)
            .map_err(|error| self.damaged(&error))?;
        trainer.step = state.step;
        Ok(module)
    }

    fn state(&self) -> Result<State> {
        let path = self.dir.join("state.json");
        let text = std::fs::read_to_string(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => nothing_there(&self.dir),
            _ => Error::io(&path, error),
        })?;
        serde_json::from_str(&text).map_err(|error| self.damaged(&format!("state.json: {error}")))
    }

    fn same_configuration(&self, state: &State) -> Result<()> {
        let (then, now) = (&state.fingerprint, &self.fingerprint);
        let differs = |key: &&String| then.get(*key) != now.get(*key);
        let Some(key) = then.keys().chain(now.keys()).find(differs) else {
            return Ok(());
        };
        let show = |map: &Fingerprint| map.get(key).map_or("unset".to_string(), String::clone);
        Err(Error::Input(format!(
            "{}: this checkpoint was made with `{key}` = {}, but now it is {}; change it back, or start anew without --resume",
            self.dir.display(),
            show(then),
            show(now)
        )))
    }

    fn damaged(&self, problem: &str) -> Error {
        Error::Input(format!(
            "{}: this checkpoint cannot be used: {problem}; start anew without --resume",
            self.dir.display()
        ))
    }
}

/// All checkpoints of one run, in `run.dir/checkpoint`: one per training, by name. They stay until the bundle is written.
#[derive(Debug)]
pub struct Checkpoints {
    dir: PathBuf,
    fingerprint: Fingerprint,
    resume: bool,
}

impl Checkpoints {
    /// Changes nothing yet; resuming without a checkpoint is an error.
    pub fn new(config: &RunConfig, other_stage: &str, resume: bool) -> Result<Self> {
        let dir = config.run.dir.join("checkpoint");
        if resume && !dir.is_dir() {
            return Err(nothing_there(&dir));
        }
        Ok(Self {
            dir,
            fingerprint: fingerprint(config, other_stage)?,
            resume,
        })
    }

    /// A run that starts anew discards what an earlier one left.
    pub fn begin(&self) -> Result<()> {
        if self.resume { Ok(()) } else { self.remove() }
    }

    /// Whether to go on.
    pub fn resume(&self) -> bool {
        self.resume
    }

    /// The checkpoint of one training.
    pub fn of(&self, name: &str) -> Checkpoint {
        Checkpoint {
            dir: self.dir.join(name),
            fingerprint: self.fingerprint.clone(),
        }
    }

    /// Removes them once nothing needs them.
    pub fn remove(&self) -> Result<()> {
        match std::fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io(&self.dir, error))
            }
            _ => Ok(()),
        }
    }
}

fn nothing_there(dir: &Path) -> Error {
    Error::Input(format!(
        "{}: there is no checkpoint to go on from; run the same command without --resume",
        dir.display()
    ))
}

/// Every trainable parameter by path, as Burn holds it.
pub fn trainable_params<M: Module>(module: &M) -> Vec<(String, TensorData)> {
    let mut visitor = Trainable::default();
    module.visit(&mut visitor);
    visitor.found
}

#[derive(Default)]
struct Trainable {
    path: Vec<String>,
    found: Vec<(String, TensorData)>,
}

impl ModuleVisitor for Trainable {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        if value.is_require_grad() {
            self.found.push((self.path.join("."), value.into_data()));
        }
    }
}

/// All tensors of an f32 safetensors file.
fn read_tensors(path: &Path) -> Result<BTreeMap<String, TensorData>> {
    let bytes = std::fs::read(path).map_err(|error| Error::io(path, error))?;
    let broken = |problem: String| {
        Error::Input(format!(
            "{}: {problem}; start anew without --resume",
            path.display()
        ))
    };
    let file =
        safetensors::SafeTensors::deserialize(&bytes).map_err(|error| broken(error.to_string()))?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.tensors() {
        if view.dtype() != safetensors::Dtype::F32 {
            return Err(broken(format!("tensor `{name}` is not f32")));
        }
        let (words, _) = view.data().as_chunks::<4>();
        let values: Vec<f32> = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
        tensors.insert(name, TensorData::new(values, view.shape().to_vec()));
    }
    Ok(tensors)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::train::{Schedule, gradients};
    use burn::nn::{Linear, LinearConfig};

    fn trained(dir: &Path) -> (Linear, Trainer, Checkpoint) {
        let device = Device::flex().autodiff();
        let module = LinearConfig::new(3, 2).init(&device);
        let mut trainer = Trainer::new(Schedule::Constant { lr: 0.1 }, 0.0, None);
        let loss = module.forward(Tensor::<2>::ones([1, 3], &device)).sum();
        let grads = gradients(loss, &module);
        let (module, _) = trainer.step(module, grads).unwrap();
        let checkpoint = Checkpoint {
            dir: dir.join("checkpoint"),
            fingerprint: fingerprint(&RunConfig::default(), "finetune").unwrap(),
        };
        (module, trainer, checkpoint)
    }

    #[test]
    fn what_is_saved_comes_back_bit_for_bit() {
        let dir = tempfile::tempdir().unwrap();
        let (module, trainer, checkpoint) = trained(dir.path());
        assert!(!checkpoint.exists());
        checkpoint.save(&module, &trainer).unwrap();
        assert!(checkpoint.exists());
        let fresh = LinearConfig::new(3, 2).init(&Device::flex().autodiff());
        let mut empty = Trainer::new(Schedule::Constant { lr: 0.1 }, 0.0, None);
        let back = checkpoint.load(fresh, &mut empty, &Device::flex()).unwrap();
        assert_eq!(trainable_params(&back), trainable_params(&module));
        assert_eq!(empty.optimizer.to_tensors(), trainer.optimizer.to_tensors());
        assert_eq!(empty.step, 1);
    }

    #[test]
    fn a_new_run_discards_old_checkpoints_and_a_resumed_one_needs_them() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = RunConfig::default();
        config.run.dir = dir.path().into();
        let error = Checkpoints::new(&config, "finetune", true).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        let (module, trainer, _) = trained(dir.path());
        let fresh = Checkpoints::new(&config, "finetune", false).unwrap();
        fresh.of("dna").save(&module, &trainer).unwrap();
        let resumed = Checkpoints::new(&config, "finetune", true).unwrap();
        resumed.begin().unwrap();
        assert!(resumed.of("dna").exists());
        fresh.begin().unwrap();
        assert!(!fresh.of("dna").exists());
        fresh.remove().unwrap();
    }

    #[test]
    fn another_configuration_is_refused_by_key() {
        let dir = tempfile::tempdir().unwrap();
        let (module, mut trainer, mut checkpoint) = trained(dir.path());
        checkpoint.save(&module, &trainer).unwrap();
        let mut config = RunConfig::default();
        config.run.dir = "elsewhere".into();
        config.finetune.lr = 7.0;
        checkpoint.fingerprint = fingerprint(&config, "finetune").unwrap();
        let device = Device::flex();
        let module = checkpoint.load(module, &mut trainer, &device).unwrap();
        config.align.lr = 0.5;
        checkpoint.fingerprint = fingerprint(&config, "finetune").unwrap();
        let error = checkpoint.load(module, &mut trainer, &device).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("align.lr"), "{error}");
    }

    #[test]
    fn no_checkpoint_and_another_model_are_said_plainly() {
        let dir = tempfile::tempdir().unwrap();
        let (module, mut trainer, checkpoint) = trained(dir.path());
        let device = Device::flex();
        let error = checkpoint
            .load(module.clone(), &mut trainer, &device)
            .unwrap_err();
        assert!(error.to_string().contains("no checkpoint"), "{error}");
        checkpoint.save(&module, &trainer).unwrap();
        let wide = LinearConfig::new(4, 2).init(&Device::flex().autodiff());
        let error = checkpoint.load(wide, &mut trainer, &device).unwrap_err();
        assert!(error.to_string().contains("weight"), "{error}");
    }
}
