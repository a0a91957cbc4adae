//! Greedy and sampled decoding from `inputs_embeds`.
//!
//! A batch of left-padded rows goes through the model once; after that every step feeds one token per row and reads the
//! rest from the KV cache. Where the embeddings came from (text, soft tokens) is not known here.

mod sample;

use std::ops::ControlFlow;

use burn::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::decoder::{CausalLm, KvCache};
use crate::error::{Error, Result};
pub use sample::Sampler;

/// How to decode; names of `transformers`.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GenerationConfig {
    /// Longest continuation.
    pub max_new_tokens: usize,
    /// 0 = greedy.
    pub temperature: f64,
    /// Keep the k likeliest (0 = all).
    pub top_k: usize,
    /// Keep the smallest set with this mass (1 = all).
    pub top_p: f64,
    /// Seed of the sampler.
    pub seed: u64,
    /// Ids that end a row.
    pub eos_token_id: Vec<u32>,
    /// Strings that end a row (cut off from the text).
    pub stop: Vec<String>,
}

impl Default for GenerationConfig {
    fn default() -> Self {
        Self {
            max_new_tokens: 64,
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            seed: 0,
            eos_token_id: vec![],
            stop: vec![],
        }
    }
}

/// `text` up to the first of the `stop` strings in it.
pub fn before_stop<'a>(text: &'a str, stop: &[String]) -> &'a str {
    let end = stop
        .iter()
        .filter(|stop| !stop.is_empty())
        .filter_map(|stop| text.find(stop.as_str()))
        .min();
    &text[..end.unwrap_or(text.len())]
}

/// A batch in the middle of being continued: the model, what it has seen, and which positions are real.
#[derive(Debug)]
pub struct Continuation<'a> {
    lm: &'a CausalLm,
    cache: KvCache,
    /// `[B, T + room]`; the positions still to come count as real.
    mask: Tensor<2, Bool>,
}

impl<'a> Continuation<'a> {
    /// Reads the prompt and returns the logits of the first new token of every row. There is room for `room` tokens
    /// after the prompt.
    ///
    /// # Shapes
    /// `inputs_embeds [B, T, hidden_size]`, left-padded; `attention_mask [B, T]`, true = token → `[B, vocab_size]`
    pub fn start(
        lm: &'a CausalLm,
        inputs_embeds: Tensor<3>,
        attention_mask: Tensor<2, Bool>,
        room: usize,
    ) -> (Self, Tensor<2>) {
        let [batch, len, _] = inputs_embeds.dims();
        let mut cache = KvCache::new(lm, batch, len + room);
        let hidden = lm.forward(inputs_embeds, attention_mask.clone(), Some(&mut cache));
        let device = attention_mask.device();
        let to_come = Tensor::<2, Int>::ones([batch, room.max(1)], &device).greater_elem(0);
        let mask = Tensor::cat(vec![attention_mask, to_come], 1);
        let logits = last_logits(lm, hidden);
        (Self { lm, cache, mask }, logits)
    }

    /// Appends one token to every row and returns the logits of the next.
    ///
    /// # Shapes
    /// `ids`: B tokens → `[B, vocab_size]`
    pub fn push(&mut self, ids: &[u32]) -> Tensor<2> {
        let ids: Vec<i64> = ids.iter().map(|id| i64::from(*id)).collect();
        let batch = ids.len();
        let data = TensorData::new(ids, [batch, 1]);
        let embeds = self.lm.embed(Tensor::from_data(data, &self.mask.device()));
        let seen = self.mask.clone().narrow(1, 0, self.cache.len() + 1);
        let hidden = self.lm.forward(embeds, seen, Some(&mut self.cache));
        last_logits(self.lm, hidden)
    }

    /// The logits behind each of some tokens, were they appended to every row alike; nothing is appended. There must be room
    /// for them.
    ///
    /// # Shapes
    /// `ids`: T tokens, at least one → `[B, T, vocab_size]`
    pub fn look_ahead(&mut self, ids: &[u32]) -> Tensor<3> {
        let (past, [batch, _]) = (self.cache.len(), self.mask.dims());
        let values: Vec<i64> = ids.iter().map(|id| i64::from(*id)).collect();
        let data = TensorData::new(values, [1, ids.len()]);
        let embeds = self.lm.embed(Tensor::from_data(data, &self.mask.device()));
        let seen = self.mask.clone().narrow(1, 0, past + ids.len());
        let embeds = embeds.repeat_dim(0, batch);
        let hidden = self.lm.forward(embeds, seen, Some(&mut self.cache));
        self.cache.truncate(past);
        self.lm.logits(hidden)
    }
}

/// `[B, T, hidden_size] → [B, vocab_size]`, at the last position.
fn last_logits(lm: &CausalLm, hidden: Tensor<3>) -> Tensor<2> {
    let [_, len, _] = hidden.dims();
    lm.logits(hidden.narrow(1, len - 1, 1)).squeeze_dim(1)
}

/// Continues every row. `inputs_embeds [B, T, d]` left-padded, `attention_mask [B, T]`.
/// Returns the new ids of each row, the ending eos included. `decode` turns ids to text (for `stop`);
/// `on_token(row, id)` is called as tokens arrive.
///
/// Row `i` draws from its own generator, seeded with `config.seed + i`, so what it says does not depend on the others.
///
/// # Errors
/// When the prompt is empty or not left-padded, the configuration makes no sense, or the model yields no number.
pub fn generate(
    lm: &CausalLm,
    inputs_embeds: Tensor<3>,
    attention_mask: Tensor<2, Bool>,
    config: &GenerationConfig,
    decode: &dyn Fn(&[u32]) -> String,
    on_token: &mut dyn FnMut(usize, u32),
) -> Result<Vec<Vec<u32>>> {
    let mut always = |row, id| {
        on_token(row, id);
        ControlFlow::Continue(())
    };
    generate_while(
        lm,
        inputs_embeds,
        attention_mask,
        config,
        decode,
        &mut always,
    )
}

/// As [`generate`], until `on_token` breaks: the rows are returned as far as they came then, the token it was told of included.
///
/// # Errors
/// As [`generate`].
pub fn generate_while(
    lm: &CausalLm,
    inputs_embeds: Tensor<3>,
    attention_mask: Tensor<2, Bool>,
    config: &GenerationConfig,
    decode: &dyn Fn(&[u32]) -> String,
    on_token: &mut dyn FnMut(usize, u32) -> ControlFlow<()>,
) -> Result<Vec<Vec<u32>>> {
    let sampler = Sampler::new(config)?;
    check_prompt(&inputs_embeds, &attention_mask)?;
    let [batch, _, _] = inputs_embeds.dims();
    let mut rows: Vec<RowState> = (0..batch)
        .map(|row| RowState::new(config.seed, row))
        .collect();
    if config.max_new_tokens == 0 {
        return Ok(rows.into_iter().map(|row| row.ids).collect());
    }
    let (mut continuation, mut logits) =
        Continuation::start(lm, inputs_embeds, attention_mask, config.max_new_tokens);
    let mut broken = false;
    for step in 1.. {
        let values = to_floats(logits)?;
        let width = values.len() / batch;
        for (index, (row, logits)) in rows.iter_mut().zip(values.chunks(width)).enumerate() {
            if row.done {
                continue;
            }
            let id = sampler
                .choose(logits, &mut row.rng)
                .ok_or_else(|| no_number(index, step))?;
            row.ids.push(id);
            broken |= on_token(index, id).is_break();
            row.done = config.eos_token_id.contains(&id) || stops(&row.ids, config, decode);
        }
        if broken || step == config.max_new_tokens || rows.iter().all(|row| row.done) {
            break;
        }
        let next: Vec<u32> = rows.iter().map(RowState::last).collect();
        logits = continuation.push(&next);
    }
    Ok(rows.into_iter().map(|row| row.ids).collect())
}

/// One row on its way.
struct RowState {
    ids: Vec<u32>,
    rng: ChaCha8Rng,
    done: bool,
}

impl RowState {
    fn new(seed: u64, row: usize) -> Self {
        Self {
            ids: vec![],
            rng: ChaCha8Rng::seed_from_u64(seed.wrapping_add(row as u64)),
            done: false,
        }
    }

    /// The token to feed next; a finished row repeats its last one, which no other row sees.
    fn last(&self) -> u32 {
        self.ids.last().copied().unwrap_or_default()
    }
}

/// A stop string may straddle tokens, so the whole new text is looked at.
fn stops(ids: &[u32], config: &GenerationConfig, decode: &dyn Fn(&[u32]) -> String) -> bool {
    if config.stop.iter().all(String::is_empty) {
        return false;
    }
    let text = decode(ids);
    before_stop(&text, &config.stop).len() < text.len()
}

/// Reading the last position of every row is only right when every row ends there.
fn check_prompt(inputs_embeds: &Tensor<3>, attention_mask: &Tensor<2, Bool>) -> Result<()> {
    let [batch, len, _] = inputs_embeds.dims();
    if batch == 0 || len == 0 {
        return Err(Error::Text(
            "there is no prompt to continue; give at least one token".into(),
        ));
    }
    if attention_mask.dims() != [batch, len] {
        return Err(Error::Text(format!(
            "the attention mask is {:?}, but the prompt has {batch} rows of {len} positions",
            attention_mask.dims()
        )));
    }
    let last = attention_mask.clone().narrow(1, len - 1, 1);
    match last.into_data().iter::<bool>().position(|real| !real) {
        Some(row) => Err(Error::Text(format!(
            "row {row} of the prompt ends in padding; pad on the left before generating"
        ))),
        None => Ok(()),
    }
}

fn to_floats(logits: Tensor<2>) -> Result<Vec<f32>> {
    logits
        .into_data()
        .convert::<f32>()
        .try_into_vec::<f32>()
        .map_err(|error| Error::Unsupported(format!("logits cannot be read as f32: {error:?}")))
}

fn no_number(row: usize, step: usize) -> Error {
    Error::Unsupported(format!(
        "row {row}, new token {step}: every logit is NaN; the weights or the soft tokens hold values that are no numbers"
    ))
}

#[cfg(test)]
mod tests;
