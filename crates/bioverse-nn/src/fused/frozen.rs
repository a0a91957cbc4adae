//! The copy of its weights that a module keeps beside them.

use std::sync::{Arc, OnceLock};

use burn::module::{
    Content, Devices, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor,
};
use burn::prelude::*;

use super::Stack;

/// A field of a module: a [`Stack`] made when it is first asked for.
///
/// Whatever could change parameters (training, loading, moving to a device) goes through [`Module`]'s methods that take the
/// module, or through a clone; all of them drop the copy, so that it cannot outlive the weights it was made of.
#[derive(Default)]
pub(crate) struct Frozen {
    made: OnceLock<Option<Arc<Stack>>>,
    /// Never used.
    off: bool,
}

impl Frozen {
    /// One that gives no stack.
    pub(crate) fn off() -> Self {
        Self {
            off: true,
            ..Self::default()
        }
    }

    /// The stack, if `make` has one to give; it is asked once.
    pub(crate) fn stack(&self, make: impl FnOnce() -> Option<Stack>) -> Option<Arc<Stack>> {
        if self.off || !allowed() {
            return None;
        }
        self.made.get_or_init(|| make().map(Arc::new)).clone()
    }

    fn emptied(&self) -> Self {
        Self {
            off: self.off,
            ..Self::default()
        }
    }
}

/// Whether the environment leaves this path on.
fn allowed() -> bool {
    static ALLOWED: OnceLock<bool> = OnceLock::new();
    *ALLOWED.get_or_init(|| std::env::var("BIOVERSE_FUSED").map_or(true, |value| value != "0"))
}

impl Clone for Frozen {
    fn clone(&self) -> Self {
        self.emptied()
    }
}

impl std::fmt::Debug for Frozen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = match (self.off, self.made.get()) {
            (true, _) => "off",
            (false, Some(Some(_))) => "made",
            (false, _) => "not made",
        };
        write!(f, "Frozen({state})")
    }
}

impl Module for Frozen {
    fn collect_devices(&self, devices: Devices) -> Devices {
        devices
    }

    fn fork(self, _device: &Device) -> Self {
        self.emptied()
    }

    fn to_device(self, _device: &Device) -> Self {
        self.emptied()
    }

    fn train(self) -> Self {
        self.emptied()
    }

    fn valid(&self) -> Self {
        self.emptied()
    }

    fn materialize(self) -> Self {
        self.emptied()
    }

    fn visit<V: ModuleVisitor>(&self, _visitor: &mut V) {}

    fn map<M: ModuleMapper>(self, _mapper: &mut M) -> Self {
        self.emptied()
    }
}

impl ModuleDisplayDefault for Frozen {
    fn content(&self, content: Content) -> Option<Content> {
        content.add_formatted(&format!("{self:?}")).optional()
    }
}

impl ModuleDisplay for Frozen {}
