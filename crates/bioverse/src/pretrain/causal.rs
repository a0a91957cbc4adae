//! A Llama language model that learns the next token of packed documents and conversations.
//! It knows neither files nor the loop.

use std::cell::RefCell;
use std::path::Path;

use bioverse_nn::CausalLm;
use bioverse_nn::chat::ChatTemplate;
use bioverse_nn::weights::StoredDtype;
use burn::prelude::*;
use burn::tensor::TensorData;
use burn::tensor::activation::log_softmax;
use rand::seq::SliceRandom;
use tokenizers::Tokenizer;

use super::config::PretrainConfig;
use super::corpus::{Document, Repeated, step_rng};
use super::trainer::{Numbers, Task};
use super::vocabulary::{self, CHAT_TEMPLATE, LM, LM_EOS, lm_special};
use crate::error::Result;
use crate::train::seed::mix;

/// A document as ids, from `<|bos|>` to `<|eos|>`.
#[derive(Debug, Clone)]
pub(super) struct Encoded {
    pub ids: Vec<u32>,
    pub chat: bool,
    pub repeat: usize,
}

/// Documents → ids; conversations go through the same template that a user of the model will use.
pub(super) fn prepare(documents: &[Repeated], tokenizer: &Tokenizer) -> Result<Vec<Encoded>> {
    let template = ChatTemplate::new(CHAT_TEMPLATE, lm_special())?;
    let encode = |(document, repeat): &Repeated| {
        let text = match document {
            Document::Text(text) => format!("{}{text}{}", LM[1], LM[LM_EOS as usize]),
            Document::Chat(_) => template.render(&document.messages(), false)?,
        };
        Ok(Encoded {
            ids: vocabulary::ids(tokenizer, &text)?,
            chat: matches!(document, Document::Chat(_)),
            repeat: *repeat,
        })
    };
    documents.iter().map(encode).collect()
}

/// Documents one after the other, cut into windows of `length + 1` tokens that overlap by one.
fn windows<'a>(documents: impl Iterator<Item = &'a Encoded>, length: usize) -> Vec<Vec<u32>> {
    let stream: Vec<u32> = documents
        .flat_map(|document| document.ids.iter().copied())
        .collect();
    let starts = (0..)
        .step_by(length)
        .take_while(|start| start + length < stream.len());
    starts
        .map(|start| stream[start..=start + length].to_vec())
        .collect()
}

/// Pre-training on text.
pub(super) struct CausalTask {
    pub config: PretrainConfig,
    pub tokenizer: Tokenizer,
    pub train: Vec<Encoded>,
    pub held_out: Vec<Encoded>,
    pub device: Device,
    epoch: RefCell<Option<(usize, Vec<Vec<u32>>)>>,
}

impl CausalTask {
    /// Joins what a run needs.
    pub(super) fn new(
        config: PretrainConfig,
        tokenizer: Tokenizer,
        train: Vec<Encoded>,
        held_out: Vec<Encoded>,
        device: Device,
    ) -> Self {
        Self {
            config,
            tokenizer,
            train,
            held_out,
            device,
            epoch: RefCell::default(),
        }
    }

    /// The documents of an epoch in an order of its own, repeated as configured.
    fn shuffled(&self, epoch: usize) -> Vec<Vec<u32>> {
        let mut order = Vec::new();
        for document in &self.train {
            order.extend(std::iter::repeat_n(document, document.repeat));
        }
        order.shuffle(&mut step_rng(mix(self.config.seed, 1), epoch));
        windows(order.into_iter(), self.config.train.max_length)
    }

    /// The windows of a step. Every epoch has as many tokens, so every epoch has as many batches.
    fn batch(&self, step: usize) -> Vec<Vec<u32>> {
        let rows = self.config.train.batch_tokens / self.config.train.max_length;
        let mut cache = self.epoch.borrow_mut();
        let (mut at, mut windows) = cache.take().unwrap_or_else(|| (0, self.shuffled(0)));
        let per_epoch = (windows.len() / rows).max(1);
        if at != step / per_epoch {
            at = step / per_epoch;
            windows = self.shuffled(at);
        }
        let start = (step % per_epoch) * rows;
        let batch = windows[start..(start + rows).min(windows.len())].to_vec();
        *cache = Some((at, windows));
        batch
    }

    /// Held-out windows of conversations or of plain texts; `quick` gives the first few.
    pub(super) fn held_out_windows(&self, chat: bool, quick: bool) -> Vec<Vec<u32>> {
        let documents = self
            .held_out
            .iter()
            .filter(|document| document.chat == chat);
        let mut windows = windows(documents, self.config.train.max_length);
        if quick {
            windows.truncate(16);
        }
        windows
    }

    /// Mean negative log-likelihood of a token.
    fn nats(&self, model: &CausalLm, windows: &[Vec<u32>]) -> f64 {
        let rows = (self.config.train.batch_tokens / self.config.train.max_length).max(1);
        let device = self.device.clone().inner();
        let of_batch = |batch: &[Vec<u32>]| {
            let loss = next_token_loss(model, batch, &device);
            f64::from(loss.into_scalar::<f32>()) * batch.len() as f64
        };
        windows.chunks(rows).map(of_batch).sum::<f64>() / windows.len().max(1) as f64
    }
}

/// Mean cross-entropy of every token but the first of each window, given those before it.
///
/// # Shapes
/// `windows`: B of T + 1 ids → `[1]`
fn next_token_loss(model: &CausalLm, windows: &[Vec<u32>], device: &Device) -> Tensor<1> {
    let (height, width) = (windows.len(), windows.first().map_or(0, Vec::len) - 1);
    let part = |skip: usize| {
        let ids = windows
            .iter()
            .flat_map(|ids| ids[skip..skip + width].iter());
        ids.map(|id| *id as i32).collect::<Vec<i32>>()
    };
    let ids = Tensor::<2, Int>::from_data(TensorData::new(part(0), [height, width]), device);
    let targets =
        Tensor::<2, Int>::from_data(TensorData::new(part(1), [height * width, 1]), device);
    let mask = Tensor::<2, Bool>::full([height, width], true, device);
    let logits = model.logits(model.forward(model.embed(ids), mask, None));
    let vocabulary = logits.dims()[2];
    let log_probs = log_softmax(logits.reshape([height * width, vocabulary]), 1);
    log_probs.gather(1, targets).mean().neg()
}

impl Task for CausalTask {
    type Model = CausalLm;

    fn loss(&self, model: &CausalLm, step: usize) -> Result<(Tensor<1>, usize)> {
        let batch = self.batch(step);
        let loss = next_token_loss(model, &batch, &self.device);
        Ok((loss, batch.len()))
    }

    fn measure(&self, model: &CausalLm, quick: bool) -> Result<Numbers> {
        let model = model.valid();
        let perplexity = |chat| self.nats(&model, &self.held_out_windows(chat, quick)).exp();
        Ok(vec![
            ("text_perplexity", perplexity(false)),
            ("chat_perplexity", perplexity(true)),
        ])
    }

    fn export(&self, model: &CausalLm, dir: &Path) -> Result<()> {
        model.save(dir, StoredDtype::F16)?;
        let config = vocabulary::lm_config(self.config.train.max_length);
        vocabulary::write(dir, &self.tokenizer, &config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(ids: &[u32]) -> Encoded {
        Encoded {
            ids: ids.to_vec(),
            chat: false,
            repeat: 1,
        }
    }

    #[test]
    fn windows_overlap_by_one_so_that_every_token_is_a_target_once() {
        let documents = [
            document(&[1, 10, 11, 2]),
            document(&[1, 12, 13, 14, 2]),
            document(&[1, 2]),
        ];
        let made = windows(documents.iter(), 4);
        assert_eq!(made, [vec![1, 10, 11, 2, 1], vec![1, 12, 13, 14, 2]]);
        assert!(windows(documents.iter(), 11).is_empty());
        assert_eq!(windows(documents.iter(), 10).len(), 1);
    }
}
