//! What a model asks its weights for, written down instead of read. Knows no model.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How a checkpoint and the model that its configuration describes agree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audit {
    /// Tensors that the model needs and the checkpoint lacks.
    pub missing: Vec<String>,
    /// Tensors of another shape than the configuration says, or of integers: name → what differs.
    pub misshapen: BTreeMap<String, String>,
    /// Tensors that the model has no use for: heads of other tasks, buffers, or a sign of a wrong configuration.
    pub unused: Vec<String>,
}

/// What was asked for so far.
#[derive(Debug, Default)]
pub(super) struct Probe(Mutex<Asked>);

#[derive(Debug, Default)]
struct Asked {
    names: BTreeSet<String>,
    missing: BTreeSet<String>,
    misshapen: BTreeMap<String, String>,
}

impl Probe {
    fn asked(&self) -> MutexGuard<'_, Asked> {
        // A list of names is whole whatever happened to the thread that wrote to it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes down that `name` was asked for with the shape `expected`; `found` is what there is.
    pub(super) fn note(&self, name: &str, expected: &[usize], found: Option<&[usize]>) {
        let mut asked = self.asked();
        asked.names.insert(name.to_owned());
        match found {
            None => {
                asked.missing.insert(name.to_owned());
            }
            Some(found) if found != expected => {
                let difference =
                    format!("is {found:?}, but the configuration makes it {expected:?}");
                asked.misshapen.insert(name.to_owned(), difference);
            }
            Some(_) => {}
        }
    }

    /// Takes down that a tensor cannot be used for another reason than its shape.
    pub(super) fn refuse(&self, name: &str, problem: String) {
        self.asked().misshapen.insert(name.to_owned(), problem);
    }

    /// The verdict, given the names of all tensors there are.
    pub(super) fn audit<'a>(&self, all: impl Iterator<Item = &'a String>) -> Audit {
        let asked = self.asked();
        Audit {
            missing: asked.missing.iter().cloned().collect(),
            misshapen: asked.misshapen.clone(),
            unused: all
                .filter(|name| !asked.names.contains(*name))
                .cloned()
                .collect(),
        }
    }
}
