//! Artifacts: name → trained projector, all into one LLM's input space. It holds no LLM and reads no file; whether
//! two spaces of equal width belong to the same LLM is for the bundle to know.

use std::collections::BTreeMap;

use crate::{Error, Hidden, Projector, Result, SoftTokens, placeholder};

/// The modalities aligned to one LLM.
#[derive(Debug, Clone)]
pub struct LlmSpace {
    name: String,
    d_model: usize,
    projectors: BTreeMap<String, Projector>,
}

impl LlmSpace {
    /// An empty space of width `d_model`; `name` is used in messages.
    pub fn new(name: &str, d_model: usize) -> Self {
        Self {
            name: name.into(),
            d_model,
            projectors: BTreeMap::new(),
        }
    }

    /// Width.
    pub fn d_model(&self) -> usize {
        self.d_model
    }

    /// Adds or replaces a projector; refuses another width.
    pub fn register(&mut self, modality: &str, projector: Projector) -> Result<()> {
        let (width, space) = (projector.d_model(), &self.name);
        if width != self.d_model {
            return Err(Error::Space(format!(
                "the `{modality}` projector is {width} wide, but space `{space}` is {} wide: it was aligned to another \
                 LLM, so align `{modality}` to this one",
                self.d_model
            )));
        }
        self.projectors.insert(modality.into(), projector);
        Ok(())
    }

    /// Aligned modalities, sorted.
    pub fn names(&self) -> Vec<&str> {
        self.projectors.keys().map(String::as_str).collect()
    }

    /// The projector, or an error naming the command that makes one.
    pub fn projector(&self, modality: &str) -> Result<&Projector> {
        self.projectors.get(modality).ok_or_else(|| {
            let (space, known) = (&self.name, placeholder::listed(&self.names()));
            Error::Space(format!(
                "space `{space}` has no `{modality}` projector (it has: {known}); run `cargo xtask align` with a \
                 config that has `[modality.{modality}]`"
            ))
        })
    }

    /// Soft tokens of encoder output.
    ///
    /// # Shapes
    /// states `[N, T, d_hidden]` → `[N, soft_len, d_model]`.
    pub fn project(&self, modality: &str, hidden: Hidden) -> Result<SoftTokens> {
        let projector = self.projector(modality)?;
        let [_, _, width] = hidden.states.dims();
        if width != projector.d_hidden() {
            return Err(Error::Space(format!(
                "the `{modality}` projector of space `{}` reads hidden states {} wide, but the encoder gives {width}: \
                 it was aligned to another encoder",
                self.name,
                projector.d_hidden()
            )));
        }
        Ok(projector.forward(hidden))
    }

    /// Takes the projectors out, sorted by name.
    pub fn into_projectors(self) -> Vec<(String, Projector)> {
        self.projectors.into_iter().collect()
    }
}
