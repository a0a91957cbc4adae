//! Decoder-only language models: the Llama family.
//!
//! One module for all families; what sets them apart is in [`DecoderConfig`]. Knows no tokens' meaning and no loss.

mod cache;
mod checkpoint;
mod layer;
mod precision;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use burn::{
    prelude::*,
    tensor::{FloatDType, TensorData},
};

use crate::{
    attention::{causal_bias, packed_bias},
    config::DecoderConfig,
    error::Result,
    linear::{Embedding, Linear},
    norm::RmsNorm,
    params::stored_params,
    rope::Rotary,
    weights::{StoredDtype, Weights, save_safetensors},
};

pub use cache::KvCache;
pub use checkpoint::Checkpointed;
pub use layer::{DecoderLayer, SelfAttention};

/// Name of the token embedding in a folder of weights.
const EMBEDDING: &str = "model.embed_tokens";

/// A causal language model read from a Hugging Face folder.
#[derive(Module, Debug)]
pub struct CausalLm {
    /// Everything but the head.
    pub model: DecoderModel,
    /// The head; `None` when it shares the token embedding.
    pub lm_head: Option<Linear>,
    #[module(skip)]
    config: DecoderConfig,
}

/// Embedding, layers and final norm.
#[derive(Module, Debug)]
pub struct DecoderModel {
    /// Token embedding.
    pub embed_tokens: Embedding,
    /// The stack.
    pub layers: Vec<DecoderLayer>,
    /// Final norm.
    pub norm: RmsNorm,
}

/// What every layer needs of a batch besides its hidden states.
#[derive(Debug)]
struct Batch {
    rotary: Rotary,
    /// One bias per distinct window.
    biases: BTreeMap<Option<usize>, Tensor<4>>,
}

impl CausalLm {
    /// Loads `config.json` and `*.safetensors`.
    ///
    /// Parameters are frozen on a plain device and trainable on an autodiff device.
    pub fn load(dir: &Path, device: &Device) -> Result<Self> {
        Self::from_weights(DecoderConfig::load(dir)?, &Weights::open(dir)?, device)
    }

    /// The token embedding alone: what [`embed`](Self::embed) looks up, without the rest of the model in memory.
    ///
    /// # Shapes
    /// weight `[vocab_size, hidden_size]`
    pub fn load_embedding(dir: &Path, device: &Device) -> Result<Embedding> {
        let config = DecoderConfig::load(dir)?;
        let shape = [config.vocab_size, config.hidden_size];
        Embedding::load(&Weights::open(dir)?, EMBEDDING, shape, device)
    }

    pub(crate) fn from_weights(
        config: DecoderConfig,
        w: &Weights,
        device: &Device,
    ) -> Result<Self> {
        let (d, vocab) = (config.hidden_size, config.vocab_size);
        let layer = |i| DecoderLayer::load(w, &format!("model.layers.{i}"), &config, device);
        let lm_head = match config.tie_word_embeddings {
            true => None,
            false => Some(Linear::load(w, "lm_head", d, vocab, false, device)?),
        };
        Ok(Self {
            model: DecoderModel {
                embed_tokens: Embedding::load(w, EMBEDDING, [vocab, d], device)?,
                layers: (0..config.num_hidden_layers)
                    .map(layer)
                    .collect::<Result<_>>()?,
                norm: RmsNorm::load(w, "model.norm", d, config.rms_norm_eps, device)?,
            },
            lm_head,
            config,
        })
    }

    /// Fresh parameters: normal with `initializer_range`, norms 1, biases 0.
    pub fn init(config: &DecoderConfig, device: &Device) -> Self {
        let (d, vocab, std) = (
            config.hidden_size,
            config.vocab_size,
            config.initializer_range,
        );
        let layers = (0..config.num_hidden_layers).map(|_| DecoderLayer::init(config, device));
        let tied = config.tie_word_embeddings;
        Self {
            model: DecoderModel {
                embed_tokens: Embedding::init([vocab, d], std, device),
                layers: layers.collect(),
                norm: RmsNorm::init(d, config.rms_norm_eps, device),
            },
            lm_head: (!tied).then(|| Linear::init(d, vocab, false, std, device)),
            config: config.clone(),
        }
    }

    /// The configuration.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// `[B, T] → [B, T, hidden_size]` (no multiplier applied).
    pub fn embed(&self, input_ids: Tensor<2, Int>) -> Tensor<3> {
        self.model.embed_tokens.forward(input_ids)
    }

    /// The embedding matrix `[vocab_size, hidden_size]`.
    pub fn embedding_matrix(&self) -> Tensor<2> {
        self.model.embed_tokens.weight.val()
    }

    /// Hidden states after the final norm.
    ///
    /// `inputs_embeds [B, T, hidden_size]`; `attention_mask [B, T_past + T]`, true = token; positions are
    /// `cumsum(mask) - 1` clamped at 0, so left and right padding both work. → `[B, T, hidden_size]`.
    pub fn forward(
        &self,
        inputs_embeds: Tensor<3>,
        attention_mask: Tensor<2, Bool>,
        mut cache: Option<&mut KvCache>,
    ) -> Tensor<3> {
        let [_, len, _] = inputs_embeds.dims();
        let batch = self.batch(attention_mask, len);
        let mut hidden = self.scale_inputs(inputs_embeds);
        for (i, layer) in self.model.layers.iter().enumerate() {
            let slot = cache.as_deref_mut().map(|cache| cache.layer(i));
            hidden = layer.forward(hidden, &batch.rotary, batch.bias(self.window(i)), slot);
        }
        if let Some(cache) = cache {
            cache.advance(len);
        }
        self.model.norm.forward(hidden)
    }

    /// As [`forward`](Self::forward) without cache, for rows that hold several texts, none of which sees another:
    /// `segments [B, T]` numbers the texts of a row in order, 0 = padding; positions begin anew with every text.
    ///
    /// `inputs_embeds [B, T, hidden_size]` → `[B, T, hidden_size]`.
    pub fn forward_packed(&self, inputs_embeds: Tensor<3>, segments: Tensor<2, Int>) -> Tensor<3> {
        let batch = self.packed_batch(segments);
        let mut hidden = self.scale_inputs(inputs_embeds);
        for (i, layer) in self.model.layers.iter().enumerate() {
            hidden = layer.forward(hidden, &batch.rotary, batch.bias(self.window(i)), None);
        }
        self.model.norm.forward(hidden)
    }

    /// As `forward` without cache: inputs of layer 0, outputs of each layer but the last, output after the final norm.
    pub fn hidden_states(
        &self,
        inputs_embeds: Tensor<3>,
        attention_mask: Tensor<2, Bool>,
    ) -> Vec<Tensor<3>> {
        let [_, len, _] = inputs_embeds.dims();
        let batch = self.batch(attention_mask, len);
        let mut states = Vec::with_capacity(self.model.layers.len() + 1);
        let mut hidden = self.scale_inputs(inputs_embeds);
        for (i, layer) in self.model.layers.iter().enumerate() {
            states.push(hidden.clone());
            hidden = layer.forward(hidden, &batch.rotary, batch.bias(self.window(i)), None);
        }
        states.push(self.model.norm.forward(hidden));
        states
    }

    /// One of [`hidden_states`](Self::hidden_states), counted as Hugging Face does: 0 = inputs of layer 0, the number of
    /// layers (or more) = after the final norm. Layers above it are not computed.
    ///
    /// # Shapes
    /// `[B, T, hidden_size]`, mask `[B, T]` → `[B, T, hidden_size]`
    pub fn hidden_state(
        &self,
        inputs_embeds: Tensor<3>,
        attention_mask: Tensor<2, Bool>,
        index: usize,
    ) -> Tensor<3> {
        let [_, len, _] = inputs_embeds.dims();
        let batch = self.batch(attention_mask, len);
        let mut hidden = self.scale_inputs(inputs_embeds);
        for (i, layer) in self.model.layers.iter().enumerate().take(index) {
            hidden = layer.forward(hidden, &batch.rotary, batch.bias(self.window(i)), None);
        }
        match index < self.model.layers.len() {
            true => hidden,
            false => self.model.norm.forward(hidden),
        }
    }

    /// `[B, T, hidden_size] → [B, T, vocab_size]`, in f32 whatever the weights are in.
    pub fn logits(&self, hidden_states: Tensor<3>) -> Tensor<3> {
        let logits = match &self.lm_head {
            Some(head) => head.forward(hidden_states),
            None => self.model.embed_tokens.attend(hidden_states),
        };
        let logits = logits.cast(FloatDType::F32);
        match self.config.logits_scaling {
            1.0 => logits,
            divisor => logits.div_scalar(divisor),
        }
    }

    /// Writes `config.json`, `generation_config.json` and `model.safetensors` under Hugging Face names. Adapters are
    /// left out: merge them first or save them apart.
    pub fn save(&self, dir: &Path, dtype: StoredDtype) -> Result<()> {
        let tensors = stored_params(self);
        save_safetensors(
            &dir.join("model.safetensors"),
            tensors,
            dtype,
            BTreeMap::new(),
        )?;
        self.config.save(dir, dtype)
    }

    /// Says that the head is a layer of its own from now on.
    pub(crate) fn own_head(&mut self) {
        self.config.tie_word_embeddings = false;
    }

    fn scale_inputs(&self, inputs_embeds: Tensor<3>) -> Tensor<3> {
        match self.config.embedding_multiplier {
            1.0 => inputs_embeds,
            factor => inputs_embeds.mul_scalar(factor),
        }
    }

    fn window(&self, layer: usize) -> Option<usize> {
        self.config.sliding_windows.get(layer).copied().flatten()
    }

    fn batch(&self, attention_mask: Tensor<2, Bool>, len: usize) -> Batch {
        // Masks and angles are constants: on the plain device they add nothing to an autodiff graph.
        let mask = attention_mask.inner();
        let seen = mask.dims()[1];
        let positions = mask.clone().int().cumsum(1).sub_scalar(1).clamp_min(0);
        let positions = positions.narrow(1, seen - len, len);
        Batch {
            rotary: Rotary::new(&self.config, positions),
            biases: self.biases(|window| causal_bias(mask.clone(), len, window)),
        }
    }

    fn packed_batch(&self, segments: Tensor<2, Int>) -> Batch {
        let segments = segments.inner();
        Batch {
            rotary: Rotary::new(&self.config, positions_within(segments.clone())),
            biases: self.biases(|window| packed_bias(segments.clone(), window)),
        }
    }

    fn biases(
        &self,
        bias: impl Fn(Option<usize>) -> Tensor<4>,
    ) -> BTreeMap<Option<usize>, Tensor<4>> {
        let windows = (0..self.model.layers.len()).map(|i| self.window(i));
        let windows: BTreeSet<_> = windows.collect();
        windows
            .into_iter()
            .map(|window| (window, bias(window)))
            .collect()
    }
}

/// How far each position is from the beginning of its text, `[B, T] → [B, T]`.
fn positions_within(segments: Tensor<2, Int>) -> Tensor<2, Int> {
    let ([batch, len], device) = (segments.dims(), segments.device());
    let numbers: Vec<i64> = segments.into_data().iter::<i64>().collect();
    let mut positions = Vec::with_capacity(numbers.len());
    for row in numbers.chunks(len.max(1)) {
        let mut start = 0;
        for (at, number) in row.iter().enumerate() {
            if at > 0 && row[at - 1] != *number {
                start = at;
            }
            positions.push((at - start) as i64);
        }
    }
    Tensor::from_data(TensorData::new(positions, [batch, len]), &device)
}

impl Batch {
    fn bias(&self, window: Option<usize>) -> Tensor<4> {
        self.biases[&window].clone()
    }
}

#[cfg(test)]
mod tests;
