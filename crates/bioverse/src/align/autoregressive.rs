//! Alignment by prediction: the frozen LLM must say the text behind a record's soft tokens, and only the projector learns how
//! to make it. Rows are laid out as in stage 2, answers alone are predicted.

use std::cell::RefCell;

use bioverse_core::Projector;
use bioverse_nn::CausalLm;
use burn::module::Module;
use burn::prelude::*;

use super::aligner::Aligner;
use super::target::Target;
use crate::config::RunConfig;
use crate::data::EncodedStore;
use crate::error::{Error, Result};
use crate::instructions::Rows;
use crate::model::Bioverse;
use crate::train::{MicroBatch, MixedOrder, Observation};

/// What says how well soft tokens are read.
pub(super) struct Teacher<'a> {
    /// Without projectors: the one that learns is handed in.
    model: Bioverse,
    target: &'a Target,
    order: RefCell<MixedOrder>,
    batch_size: usize,
    /// Outside autodiff.
    device: &'a Device,
}

impl<'a> Teacher<'a> {
    /// `llm` on the device outside autodiff, where no gradient can reach it; `seed` is that of the training.
    pub fn new(
        llm: CausalLm,
        config: &RunConfig,
        target: &'a Target,
        seed: u64,
        device: &'a Device,
    ) -> Result<Self> {
        let lengths = laid_out(&target.train.conversations)?.lengths.clone();
        let batch_size = config.align.batch_size;
        let order = MixedOrder::new(lengths, batch_size, seed);
        Ok(Self {
            model: Bioverse::new(llm, vec![]),
            target,
            order: RefCell::new(order.weighted(&target.train.weights)),
            batch_size,
            device,
        })
    }

    /// The n-th batch.
    pub fn micro_batch(&self, aligner: &Aligner, n: usize, scale: f64) -> Result<MicroBatch> {
        let batch = self.order.borrow_mut().batch(n).concat();
        let rows = laid_out(&self.target.train.conversations)?;
        let device = self.device.clone().autodiff();
        let (loss, _) = self.loss(&aligner.projector, rows, &batch, &device)?;
        Ok(MicroBatch::of(aligner, loss, batch.len(), scale))
    }

    /// Adds to what was measured on held-out pairs their loss per answer token, which is also what the best is chosen by,
    /// unless `align.early_stopping` says otherwise.
    pub fn observe(
        &self,
        aligner: &Aligner,
        config: &RunConfig,
        measured: Option<Observation>,
    ) -> Result<Option<Observation>> {
        let Some(mut observation) = measured else {
            return Ok(None);
        };
        let loss = self.held_out_loss(&aligner.projector.valid())?;
        observation
            .fields
            .insert("held_out_loss".into(), loss.into());
        observation.message = format!("held-out loss {loss:.4} · {}", observation.message);
        if matches!(config.align.early_stopping.as_deref(), None | Some("loss")) {
            observation.score = Some(-loss);
        }
        Ok(Some(observation))
    }

    /// Mean loss per answer token of all held-out pairs.
    fn held_out_loss(&self, projector: &Projector) -> Result<f64> {
        let rows = laid_out(&self.target.held_out.conversations)?;
        let all: Vec<usize> = (0..rows.len()).collect();
        let (mut sum, mut count) = (0.0, 0);
        for batch in all.chunks(self.batch_size) {
            let (loss, tokens) = self.loss(projector, rows, batch, self.device)?;
            sum += loss.into_data().iter::<f64>().sum::<f64>() * tokens as f64;
            count += tokens;
        }
        Ok(sum / count.max(1) as f64)
    }

    /// Mean next-token cross-entropy of the answers of `batch`, `[1]`, and the number of tokens it is taken over.
    fn loss(
        &self,
        projector: &Projector,
        rows: &Rows,
        batch: &[usize],
        device: &Device,
    ) -> Result<(Tensor<1>, usize)> {
        let layout = rows.layout(batch)?;
        let soft = soft_tokens(projector, &self.target.encoded, &layout, self.device)?;
        let embeds = self.model.inputs_embeds_with(&layout, soft, device);
        let mask = layout.attention_mask(self.device);
        let hidden = self.model.llm.forward(embeds, mask, None);
        let targets = layout.targets();
        Ok((self.model.target_loss(hidden, &targets)?, targets.len()))
    }
}

/// Soft tokens of all records of a layout that holds one modality.
pub(super) fn soft_tokens(
    projector: &Projector,
    encoded: &EncodedStore,
    layout: &bioverse_core::Layout,
    device: &Device,
) -> Result<Vec<bioverse_core::SoftTokens>> {
    let groups = layout.groups.iter();
    let soft = groups.map(|group| Ok(projector.project(encoded.get(&group.records, device)?)));
    soft.collect()
}

/// Conversations that an objective asked for.
pub(super) fn laid_out(rows: &Option<Rows>) -> Result<&Rows> {
    rows.as_ref().ok_or_else(|| {
        Error::Run("the pairs were not laid out; this is an error of bioverse".into())
    })
}
