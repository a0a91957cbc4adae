//! Records as the frozen LLM sees them inside a prompt: its states at their soft tokens. The prompt is the question alone, so
//! what the answer says cannot be read off.

use bioverse_core::{Layout, Projector, Slot};
use bioverse_nn::CausalLm;
use burn::prelude::*;

use super::autoregressive::soft_tokens;
use crate::config::{AlignSection, TextPool};
use crate::data::EncodedStore;
use crate::error::{Error, Result};
use crate::instructions::Rows;
use crate::model::Bioverse;

/// Added to a variance before the root, so that one soft token has a gradient.
const TINY: f64 = 1e-12;

/// The frozen LLM and what is read from it.
pub(super) struct Reader {
    model: Bioverse,
    layer: usize,
    pool: TextPool,
}

impl Reader {
    /// `llm` outside autodiff.
    ///
    /// # Errors
    /// When the LLM has no layer `align.text_layer`.
    pub fn new(llm: CausalLm, align: &AlignSection) -> Result<Self> {
        let states = llm.config().num_hidden_layers as i64 + 1;
        let layer = match align.text_layer {
            from_the_end @ ..0 => from_the_end + states,
            layer => layer,
        };
        if !(0..states).contains(&layer) {
            return Err(Error::Input(format!(
                "`align.text_layer` is {}, but this LLM has {} layers; give 0 to {}, or -1 for the last",
                align.text_layer,
                states - 1,
                states - 1
            )));
        }
        Ok(Self {
            model: Bioverse::new(llm, vec![]),
            layer: layer as usize,
            pool: align.text_pool,
        })
    }

    /// Vectors of the records of `batch`, before the metric, with a graph where the projector has one.
    ///
    /// # Shapes
    /// n rows → `[n, d_model]`, twice as wide with mean and deviation
    pub fn vectors(
        &self,
        projector: &Projector,
        encoded: &EncodedStore,
        rows: &Rows,
        batch: &[usize],
        device: &Device,
    ) -> Result<Tensor<2>> {
        let layout = rows.layout(batch)?;
        let soft = soft_tokens(projector, encoded, &layout, device)?;
        let learns = soft.iter().any(|soft| soft.embeds.device().is_autodiff());
        let place = match learns {
            true => device.clone().autodiff(),
            false => device.clone(),
        };
        let embeds = self.model.inputs_embeds_with(&layout, soft, &place);
        let mask = layout.attention_mask(device);
        let states = self.model.llm.hidden_state(embeds, mask, self.layer);
        let [rows, width, d_model] = states.dims();
        let (at, each) = soft_positions(&layout, width);
        let index = Tensor::<1, Int>::from_data(TensorData::new(at, [rows * each]), device);
        let states = states.reshape([rows * width, d_model]).select(0, index);
        Ok(pooled(states.reshape([rows, each, d_model]), self.pool))
    }
}

/// Flat positions of soft tokens, row after row, and how many each row has.
fn soft_positions(layout: &Layout, width: usize) -> (Vec<i64>, usize) {
    let of = |(number, row): (usize, &bioverse_core::Row)| {
        let slots = row.slots.iter().enumerate();
        let soft = slots.filter(|(_, slot)| matches!(slot, Slot::Soft { .. }));
        soft.map(|(at, _)| (number * width + at) as i64).collect()
    };
    let rows: Vec<Vec<i64>> = layout.rows.iter().enumerate().map(of).collect();
    let each = rows.first().map_or(0, Vec::len);
    (rows.concat(), each)
}

/// `[N, k, d] → [N, d]`, or `[N, 2d]` with the deviation.
fn pooled(states: Tensor<3>, pool: TextPool) -> Tensor<2> {
    let [n, k, d] = states.dims();
    let mean = states.clone().mean_dim(1);
    match pool {
        TextPool::Mean => mean.reshape([n, d]),
        TextPool::LastToken => states.narrow(1, k - 1, 1).reshape([n, d]),
        TextPool::MeanStd => {
            let spread = (states - mean.clone()).square().mean_dim(1);
            let spread = (spread + TINY).sqrt();
            Tensor::cat(vec![mean.reshape([n, d]), spread.reshape([n, d])], 1)
        }
    }
}
