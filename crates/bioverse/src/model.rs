//! LLM and projectors as one module: what stage 2 trains and what answers. The only place that builds `inputs_embeds`.
//! It knows neither data files nor chat templates.

use std::collections::BTreeMap;

use bioverse_core::{Layout, Projector, SoftTokens, inject};
use bioverse_nn::CausalLm;
use burn::prelude::*;
use burn::tensor::activation::log_softmax;

use crate::data::EncodedStore;
use crate::error::{Error, Result};

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
        let embeds = self.inputs_embeds(layout, encoded, device)?;
        let mask = layout.attention_mask(&device.clone().inner());
        let hidden = self.llm.forward(embeds, mask, None);
        self.target_loss(hidden, &layout.targets())
    }

    /// Mean over `targets`, given as `(row * T + position, id)`, of the cross-entropy of the token at a position given
    /// everything before it.
    ///
    /// # Shapes
    /// `hidden [B, T, d_model]` → `[1]`
    pub fn target_loss(&self, hidden: Tensor<3>, targets: &[(usize, u32)]) -> Result<Tensor<1>> {
        let [batch, width, d_model] = hidden.dims();
        let count = targets.len();
        if count == 0 {
            return Err(Error::Run(
                "a batch has no training target; every row needs an answer".into(),
            ));
        }
        let device = hidden.device();
        let column = |values: Vec<i64>| {
            Tensor::<1, Int>::from_data(TensorData::new(values, [count]), &device)
        };
        // The token at a position is predicted by the state one before it.
        let states = column(targets.iter().map(|(at, _)| *at as i64 - 1).collect());
        let ids = column(targets.iter().map(|(_, id)| i64::from(*id)).collect());
        let states = hidden.reshape([batch * width, d_model]).select(0, states);
        let logits = self.llm.logits(states.unsqueeze_dim(0)).squeeze_dim(0);
        let log_probabilities = log_softmax::<2>(logits, 1);
        Ok(log_probabilities
            .gather(1, ids.unsqueeze_dim(1))
            .mean()
            .neg())
    }
}
