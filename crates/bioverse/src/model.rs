//! LLM and projectors as one module: what stage 2 trains and what answers. The only place that builds `inputs_embeds`.
//! It knows neither data files nor chat templates.

use std::collections::BTreeMap;

use bioverse_core::{Layout, Projector, SoftTokens, inject};
use bioverse_nn::CausalLm;
use burn::prelude::*;
use burn::tensor::activation::log_softmax;

use crate::data::EncodedStore;
use crate::error::{Error, Result};
use crate::train::cross_entropy::cross_entropy;

/// A language model with the projectors of its modalities.
#[derive(Module, Debug)]
pub struct Bioverse {
    /// The language model.
    pub llm: CausalLm,
    /// Projectors, in the order of `names`.
    pub projectors: Vec<Projector>,
    #[module(skip)]
    names: Vec<String>,
}

impl Bioverse {
    /// Joins a model with named projectors.
    pub fn new(llm: CausalLm, projectors: Vec<(String, Projector)>) -> Self {
        let (names, projectors) = projectors.into_iter().unzip();
        Self {
            llm,
            projectors,
            names,
        }
    }

    /// Modality names.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The projector of a modality, or an error naming the command that makes one.
    pub fn projector(&self, modality: &str) -> Result<&Projector> {
        let index = self.names.iter().position(|name| name == modality);
        index
            .and_then(|index| self.projectors.get(index))
            .ok_or_else(|| {
                Error::Input(format!(
                    "the bundle has no `{modality}` projector (it has: {}); run `bioverse align` with a config that has \
                     `[modality.{modality}]`",
                    self.names.join(", ")
                ))
            })
    }

    /// Text embeddings with soft tokens injected; tracked if `device` is an autodiff device.
    ///
    /// # Shapes
    /// B rows of width T → `[B, T, d_model]`
    pub fn inputs_embeds(
        &self,
        layout: &Layout,
        encoded: &BTreeMap<String, EncodedStore>,
        device: &Device,
    ) -> Result<Tensor<3>> {
        let soft = self.soft_tokens(layout, encoded, &device.clone().inner())?;
        Ok(self.inputs_embeds_with(layout, soft, device))
    }

    /// Soft tokens of the layout's records, group by group; `plain` is the device without autodiff.
    ///
    /// # Shapes
    /// group g → `[records, soft_len, d_model]`
    pub fn soft_tokens(
        &self,
        layout: &Layout,
        encoded: &BTreeMap<String, EncodedStore>,
        plain: &Device,
    ) -> Result<Vec<SoftTokens>> {
        let groups = layout.groups.iter().map(|group| {
            let store = encoded
                .get(&group.modality)
                .ok_or_else(|| Error::Run(format!("no `{}` record was encoded", group.modality)))?;
            let pooled = store.get(&group.records, plain)?;
            Ok(self.projector(&group.modality)?.project(pooled))
        });
        groups.collect()
    }

    /// As [`inputs_embeds`](Self::inputs_embeds) with soft tokens made before, one batch for each group of the layout.
    ///
    /// # Shapes
    /// B rows of width T → `[B, T, d_model]`
    pub fn inputs_embeds_with(
        &self,
        layout: &Layout,
        soft: Vec<SoftTokens>,
        device: &Device,
    ) -> Tensor<3> {
        let mut text = self.llm.embed(layout.input_ids(&device.clone().inner()));
        // Dropout of adapters acts on autodiff tensors only; frozen embeddings have to become one.
        if device.is_autodiff() {
            text = text.autodiff();
        }
        inject(text, soft, layout)
    }

    /// Mean next-token cross-entropy over the layout's targets; logits are computed at target positions only.
    ///
    /// # Shapes
    /// → `[1]`
    pub fn loss(
        &self,
        layout: &Layout,
        encoded: &BTreeMap<String, EncodedStore>,
        device: &Device,
    ) -> Result<Tensor<1>> {
        let hidden = self.hidden(layout, encoded, device)?;
        self.target_loss(hidden, &layout.targets())
    }

    /// The LLM's last hidden states. Prompts that share a row do not see each other.
    ///
    /// # Shapes
    /// B rows of width T → `[B, T, d_model]`
    fn hidden(
        &self,
        layout: &Layout,
        encoded: &BTreeMap<String, EncodedStore>,
        device: &Device,
    ) -> Result<Tensor<3>> {
        let embeds = self.inputs_embeds(layout, encoded, device)?;
        Ok(self.read(layout, embeds, device))
    }

    /// The LLM's last hidden states for inputs that were made before, as
    /// [`inputs_embeds_with`](Self::inputs_embeds_with) does.
    ///
    /// # Shapes
    /// `[B, T, d_model] → [B, T, d_model]`
    pub fn read(&self, layout: &Layout, embeds: Tensor<3>, device: &Device) -> Tensor<3> {
        let plain = device.clone().inner();
        match layout.is_packed() {
            true => self.llm.forward_packed(embeds, layout.segments(&plain)),
            false => {
                let mask = layout.attention_mask(&plain);
                self.llm.forward(embeds, mask, None)
            }
        }
    }

    /// Every target of the layout with its loss, in the order of [`Layout::targets`]; for measuring, outside any graph.
    pub fn scores(
        &self,
        layout: &Layout,
        encoded: &BTreeMap<String, EncodedStore>,
        device: &Device,
    ) -> Result<Vec<Score>> {
        let hidden = self.hidden(layout, encoded, device)?.inner();
        Ok(self.scores_at(hidden, &layout.targets()))
    }

    /// Each of `targets` with its loss, outside any graph.
    ///
    /// # Shapes
    /// `hidden [B, T, d_model]`
    pub fn scores_at(&self, hidden: Tensor<3>, targets: &[(usize, u32)]) -> Vec<Score> {
        let mut scores = vec![];
        for targets in targets.chunks(LOGITS) {
            let log_probabilities = self.log_probabilities(hidden.clone(), targets);
            let said = log_probabilities.clone().argmax(1).into_data();
            let losses = at(log_probabilities, targets).neg().into_data();
            let said = said.iter::<i64>().zip(targets);
            scores.extend(
                losses
                    .iter::<f64>()
                    .zip(said)
                    .map(|(loss, (said, (_, id)))| Score {
                        loss,
                        said: said as u32,
                        right: said == i64::from(*id),
                    }),
            );
        }
        scores
    }

    /// Mean over `targets`, given as `(row * T + position, id)`, of the cross-entropy of the token at a position given
    /// everything before it.
    ///
    /// # Shapes
    /// `hidden [B, T, d_model]` → `[1]`
    pub fn target_loss(&self, hidden: Tensor<3>, targets: &[(usize, u32)]) -> Result<Tensor<1>> {
        if targets.is_empty() {
            return Err(Error::Run(
                "a batch has no training target; every row needs an answer".into(),
            ));
        }
        let states = self.states_before(hidden, targets);
        let ids: Vec<u32> = targets.iter().map(|(_, id)| *id).collect();
        let vocabulary = self.llm.config().vocab_size;
        Ok(cross_entropy(states, &ids, vocabulary, |states| {
            self.logits(states)
        }))
    }

    /// What the LLM expects at each of n targets.
    ///
    /// # Shapes
    /// `hidden [B, T, d_model]` → `[n, vocab_size]`
    fn log_probabilities(&self, hidden: Tensor<3>, targets: &[(usize, u32)]) -> Tensor<2> {
        log_softmax(self.logits(self.states_before(hidden, targets)), 1)
    }

    /// The states that predict n targets: the token at a position is predicted by the state one before it.
    ///
    /// # Shapes
    /// `hidden [B, T, d_model]` → `[n, d_model]`
    fn states_before(&self, hidden: Tensor<3>, targets: &[(usize, u32)]) -> Tensor<2> {
        let [batch, width, d_model] = hidden.dims();
        let states = targets.iter().map(|(position, _)| *position as i64 - 1);
        let states = column(states, &hidden.device());
        hidden.reshape([batch * width, d_model]).select(0, states)
    }

    /// `[n, d_model] → [n, vocab_size]`
    fn logits(&self, states: Tensor<2>) -> Tensor<2> {
        self.llm.logits(states.unsqueeze_dim(0)).squeeze_dim(0)
    }
}

/// One target, measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Cross-entropy.
    pub loss: f64,
    /// The most probable token in its place.
    pub said: u32,
    /// Whether it is the most probable token.
    pub right: bool,
}

/// Targets whose logits are held at once while measuring.
const LOGITS: usize = 512;

/// The entries of the targets' ids, `[n, vocab_size] → [n, 1]`.
fn at(log_probabilities: Tensor<2>, targets: &[(usize, u32)]) -> Tensor<2> {
    let ids = targets.iter().map(|(_, id)| i64::from(*id));
    let ids = column(ids, &log_probabilities.device());
    log_probabilities.gather(1, ids.unsqueeze_dim(1))
}

fn column(values: impl Iterator<Item = i64>, device: &Device) -> Tensor<1, Int> {
    let values: Vec<i64> = values.collect();
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), device)
}
