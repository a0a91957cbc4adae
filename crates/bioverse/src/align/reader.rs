//! Records as the frozen LLM sees them inside a prompt: its states at their soft tokens. The prompt is the question alone, so
//! what the answer says cannot be read off.

use bioverse_core::{Layout, Projector, Slot};
use bioverse_nn::CausalLm;
use burn::prelude::*;

use super::autoregressive::soft_tokens;
use super::readout::Readout;
use crate::data::EncodedStore;
use crate::error::Result;
use crate::instructions::Rows;
use crate::model::Bioverse;

/// The frozen LLM and what is read from it.
pub(super) struct Reader {
    model: Bioverse,
    layer: usize,
    readout: Readout,
}

impl Reader {
    /// `llm` outside autodiff.
    ///
    /// # Errors
    /// When the LLM has no layer `align.text_layer`.
    pub fn new(llm: CausalLm, readout: Readout) -> Result<Self> {
        Ok(Self {
            layer: readout.index(llm.config().num_hidden_layers)?,
            model: Bioverse::new(llm, vec![]),
            readout,
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
        let real = TensorData::new(vec![true; rows * each], [rows, each]);
        let real = Tensor::<2, Bool>::from_data(real, device);
        Ok(self
            .readout
            .pool(states.reshape([rows, each, d_model]), real))
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
