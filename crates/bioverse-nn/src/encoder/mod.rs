//! Bidirectional encoders: RoBERTa (ChemBERTa), BERT.
//!
//! One module for both families; they differ in positions and in the names of their parameters.

mod layer;
mod names;

use std::collections::BTreeMap;
use std::path::Path;

use burn::{module::Param, prelude::*};

use crate::{
    atomic::write_json,
    attention::padding_bias,
    config::{Activation, EncoderConfig, EncoderFamily},
    error::Result,
    linear::{Embedding, Linear},
    norm::LayerNorm,
    params::{parameter, stored_params},
    weights::{StoredDtype, Weights, save_safetensors},
};

use layer::EncoderLayer;
use names::Names;

/// A frozen or trainable bidirectional encoder.
#[derive(Module, Debug)]
pub struct TransformerEncoder {
    embeddings: Embeddings,
    layers: Vec<EncoderLayer>,
    lm_head: Option<LmHead>,
    #[module(skip)]
    config: EncoderConfig,
}

/// Token, position and type-0 embeddings, summed and normalised.
#[derive(Module, Debug)]
struct Embeddings {
    word_embeddings: Embedding,
    position_embeddings: Embedding,
    token_type_embeddings: Embedding,
    layer_norm: LayerNorm,
}

/// The masked-language-model head.
#[derive(Module, Debug)]
struct LmHead {
    dense: Linear,
    layer_norm: LayerNorm,
    /// `None` when the token embedding serves.
    decoder: Option<Linear>,
    /// `[vocab_size]`.
    bias: Param<Tensor<1>>,
    #[module(skip)]
    act: Activation,
}

impl TransformerEncoder {
    /// Loads `config.json` and weights of a Hugging Face folder.
    ///
    /// Parameters are frozen on a plain device and trainable on an autodiff device.
    pub fn load(dir: &Path, device: &Device) -> Result<Self> {
        let config = EncoderConfig::load(dir)?;
        let w = Weights::open(dir)?;
        let names = Names::found(&config, &w);
        let layer = |i| EncoderLayer::load(&w, &names, i, &config, device);
        let lm_head = match w.contains(&names.file("lm_head.bias")) {
            true => Some(LmHead::load(&w, &names, &config, device)?),
            false => None,
        };
        Ok(Self {
            embeddings: Embeddings::load(&w, &names, &config, device)?,
            layers: (0..config.num_hidden_layers)
                .map(layer)
                .collect::<Result<_>>()?,
            lm_head,
            config,
        })
    }

    /// Fresh parameters: normal with `initializer_range`, norms 1, biases 0; with a tied language-model head.
    pub fn init(config: &EncoderConfig, device: &Device) -> Self {
        let layers = (0..config.num_hidden_layers).map(|_| EncoderLayer::init(config, device));
        Self {
            embeddings: Embeddings::init(config, device),
            layers: layers.collect(),
            lm_head: Some(LmHead::init(config, device)),
            config: EncoderConfig {
                tie_word_embeddings: true,
                ..config.clone()
            },
        }
    }

    /// The configuration.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// Last hidden state. `input_ids [B, T]`, `attention_mask [B, T]` (true = token) → `[B, T, hidden_size]`.
    ///
    /// # Panics
    /// If `T` exceeds [`EncoderConfig::max_tokens`] or an id is not below `vocab_size`.
    pub fn forward(&self, input_ids: Tensor<2, Int>, attention_mask: Tensor<2, Bool>) -> Tensor<3> {
        let bias = padding_bias(attention_mask.inner());
        let hidden = self.embeddings.forward(input_ids, &self.config);
        let layers = self.layers.iter();
        layers.fold(hidden, |hidden, layer| layer.forward(hidden, bias.clone()))
    }

    /// Embedding output, then the output of every layer: `num_hidden_layers + 1` tensors `[B, T, hidden_size]`.
    pub fn hidden_states(
        &self,
        input_ids: Tensor<2, Int>,
        attention_mask: Tensor<2, Bool>,
    ) -> Vec<Tensor<3>> {
        let bias = padding_bias(attention_mask.inner());
        let mut hidden = self.embeddings.forward(input_ids, &self.config);
        let mut states = vec![hidden.clone()];
        for layer in &self.layers {
            hidden = layer.forward(hidden, bias.clone());
            states.push(hidden.clone());
        }
        states
    }

    /// Masked-language-model logits `[B, T, vocab_size]`; `None` when the checkpoint has no LM head.
    pub fn mlm_logits(&self, hidden_states: Tensor<3>) -> Option<Tensor<3>> {
        let head = self.lm_head.as_ref()?;
        Some(head.forward(hidden_states, &self.embeddings.word_embeddings))
    }

    /// Writes `config.json` and `model.safetensors` under Hugging Face names (`[out, in]`).
    pub fn save(&self, dir: &Path, dtype: StoredDtype) -> Result<()> {
        let names = Names::written(&self.config);
        let tensors = stored_params(self);
        let tensors = tensors
            .into_iter()
            .map(|(path, data)| (names.file(&path), data));
        let file = dir.join("model.safetensors");
        save_safetensors(&file, tensors.collect(), dtype, BTreeMap::new())?;
        write_json(&dir.join("config.json"), &self.config.to_json(dtype))
    }
}

impl Embeddings {
    fn load(w: &Weights, names: &Names, config: &EncoderConfig, device: &Device) -> Result<Self> {
        let table = |name: &str, rows| {
            let name = names.file(&format!("embeddings.{name}"));
            Embedding::load(w, &name, [rows, config.hidden_size], device)
        };
        let norm = names.file("embeddings.layer_norm");
        let (d, eps) = (config.hidden_size, config.layer_norm_eps);
        Ok(Self {
            word_embeddings: table("word_embeddings", config.vocab_size)?,
            position_embeddings: table("position_embeddings", config.max_position_embeddings)?,
            token_type_embeddings: table("token_type_embeddings", config.type_vocab_size)?,
            layer_norm: LayerNorm::load(w, &norm, d, eps, device)?,
        })
    }

    fn init(config: &EncoderConfig, device: &Device) -> Self {
        let (d, std) = (config.hidden_size, config.initializer_range);
        let table = |rows| Embedding::init([rows, d], std, device);
        Self {
            word_embeddings: table(config.vocab_size),
            position_embeddings: table(config.max_position_embeddings),
            token_type_embeddings: table(config.type_vocab_size),
            layer_norm: LayerNorm::init(d, config.layer_norm_eps, device),
        }
    }

    fn forward(&self, input_ids: Tensor<2, Int>, config: &EncoderConfig) -> Tensor<3> {
        let positions = positions(input_ids.clone(), config);
        let types = self
            .token_type_embeddings
            .weight
            .val()
            .narrow(0, 0, 1)
            .unsqueeze::<3>();
        let sum = self.word_embeddings.forward(input_ids)
            + self.position_embeddings.forward(positions)
            + types;
        self.layer_norm.forward(sum)
    }
}

/// BERT counts columns; RoBERTa counts tokens from `pad_token_id + 1` and leaves padding at `pad_token_id`.
fn positions(input_ids: Tensor<2, Int>, config: &EncoderConfig) -> Tensor<2, Int> {
    let [batch, len] = input_ids.dims();
    match config.family() {
        EncoderFamily::Bert => {
            let columns = Tensor::<1, Int>::arange(0..len as i64, &input_ids.device());
            columns.unsqueeze::<2>().expand([batch, len])
        }
        EncoderFamily::Roberta => {
            let tokens = input_ids.not_equal_elem(config.pad_token_id as i64).int();
            tokens
                .clone()
                .cumsum(1)
                .mul(tokens)
                .add_scalar(config.pad_token_id as i64)
        }
    }
}

impl LmHead {
    fn load(w: &Weights, names: &Names, config: &EncoderConfig, device: &Device) -> Result<Self> {
        let (d, vocab) = (config.hidden_size, config.vocab_size);
        let file = |part: &str| names.file(&format!("lm_head.{part}"));
        let decoder = file("decoder");
        // A file may repeat the tied matrix; it is its own one only if the configuration says so.
        let decoder = match config.tie_word_embeddings {
            true => None,
            false => Some(Linear::load(w, &decoder, d, vocab, false, device)?),
        };
        let eps = config.layer_norm_eps;
        Ok(Self {
            dense: Linear::load(w, &file("dense"), d, d, true, device)?,
            layer_norm: LayerNorm::load(w, &file("layer_norm"), d, eps, device)?,
            decoder,
            bias: parameter(w.tensor(&file("bias"), [vocab], device)?),
            act: head_act(config),
        })
    }

    fn init(config: &EncoderConfig, device: &Device) -> Self {
        let d = config.hidden_size;
        Self {
            dense: Linear::init(d, d, true, config.initializer_range, device),
            layer_norm: LayerNorm::init(d, config.layer_norm_eps, device),
            decoder: None,
            bias: parameter(Tensor::zeros([config.vocab_size], device)),
            act: head_act(config),
        }
    }

    fn forward(&self, hidden: Tensor<3>, word_embeddings: &Embedding) -> Tensor<3> {
        let hidden = self
            .layer_norm
            .forward(self.act.forward(self.dense.forward(hidden)));
        let logits = match &self.decoder {
            Some(decoder) => decoder.forward(hidden),
            None => word_embeddings.attend(hidden),
        };
        logits + self.bias.val().unsqueeze::<3>()
    }
}

/// RoBERTa's head is always gelu; BERT's follows the configuration.
fn head_act(config: &EncoderConfig) -> Activation {
    match config.family() {
        EncoderFamily::Roberta => Activation::Gelu,
        EncoderFamily::Bert => config.hidden_act,
    }
}

#[cfg(test)]
mod tests;
