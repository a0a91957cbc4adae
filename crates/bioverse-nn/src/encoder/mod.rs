//! Bidirectional encoders: RoBERTa (ChemBERTa), BERT, ESM-2, ModernBERT.
//!
//! One public type for all of them; the architectures are in a file each. Knows ids and masks, no text and no biology.

mod bert;
mod block;
mod esm;
mod frozen;
mod head;
mod modernbert;
mod names;
mod neighbours;
mod source;

use std::collections::BTreeMap;
use std::path::Path;

use burn::prelude::*;
use serde_json::json;

use crate::{
    atomic::write_json,
    config::{EncoderConfig, EncoderFamily},
    error::{Error, Result},
    fused::{Frozen, Stack},
    linear::{Embedding, Linear},
    params::stored_params,
    weights::{StoredDtype, Weights, save_safetensors},
};

use head::LmHead;
use names::{Names, Table};
use source::{Fresh, Source, Stored};

/// A frozen or trainable bidirectional encoder.
///
/// ```no_run
/// use bioverse_nn::TransformerEncoder;
/// use burn::prelude::*;
///
/// let device = Device::flex();
/// let encoder = TransformerEncoder::load("models/esm2_t6_8M_UR50D".as_ref(), &device)?;
/// let input_ids = Tensor::<2, Int>::from_data([[0, 20, 15, 11, 2]], &device); // <cls> M K T <eos>
/// let mask = input_ids.clone().not_equal_elem(encoder.config().pad_token_id as i64);
/// assert_eq!(encoder.forward(input_ids, mask).dims(), [1, 5, 320]);
/// # Ok::<_, bioverse_nn::Error>(())
/// ```
#[derive(Module, Debug)]
pub struct TransformerEncoder {
    body: Body,
    pooler: Option<Linear>,
    lm_head: Option<LmHead>,
    /// The layers, for the CPU.
    fused: Frozen,
    #[module(skip)]
    config: EncoderConfig,
}

/// Everything below head and pooler.
#[derive(Module, Debug)]
enum Body {
    Bert(bert::Bert),
    Esm(esm::Esm),
    ModernBert(modernbert::ModernBert),
}

/// A padded batch.
#[derive(Clone)]
struct Input {
    /// `[B, T]`.
    ids: Tensor<2, Int>,
    /// `[B, T]`, true = token, without a graph.
    mask: Tensor<2, Bool>,
    /// `[B, T]`.
    types: Option<Tensor<2, Int>>,
}

impl TransformerEncoder {
    /// Loads `config.json` and weights of a Hugging Face folder.
    ///
    /// Parameters are frozen on a plain device and trainable on an autodiff device. Tensors that the architecture does
    /// not have (`position_ids`, a contact head, a classifier) are left alone.
    ///
    /// # Errors
    /// If a file is missing or damaged, the family or an option of it is not run here, or a tensor is missing or has
    /// another shape than the configuration says; the error names it.
    pub fn load(dir: &Path, device: &Device) -> Result<Self> {
        Self::from_weights(EncoderConfig::load(dir)?, &Weights::open(dir)?, device)
    }

    pub(crate) fn from_weights(
        config: EncoderConfig,
        weights: &Weights,
        device: &Device,
    ) -> Result<Self> {
        let names = Names::found(table(&config), weights);
        let source = Stored {
            weights,
            names,
            device,
        };
        let square = [config.hidden_size; 2];
        Ok(Self {
            body: Body::build(&source, &config)?,
            pooler: match source.has("pooler.weight") {
                true => Some(source.linear("pooler", square, true)?),
                false => None,
            },
            lm_head: LmHead::load(&source, &config)?,
            fused: Frozen::default(),
            config,
        })
    }

    /// Fresh parameters: normal with `initializer_range`, norms 1, biases 0; with a tied language-model head and without
    /// a pooler.
    pub fn init(config: &EncoderConfig, device: &Device) -> Self {
        let config = EncoderConfig {
            tie_word_embeddings: true,
            ..config.clone()
        };
        let source = Fresh {
            initializer_range: config.initializer_range,
            device,
        };
        let Ok(body) = Body::build(&source, &config);
        let Ok(lm_head) = LmHead::build(&source, &config, "lm_head.bias");
        Self {
            body,
            pooler: None,
            lm_head: Some(lm_head),
            fused: Frozen::default(),
            config,
        }
    }

    /// The same with every layer computed by Burn, as on other devices: the reference of tests and benchmarks.
    ///
    /// A frozen encoder on the CPU otherwise computes its layers without Burn, faster and to the same
    /// numbers but for rounding; its first call copies their weights for that.
    pub fn without_fused_layers(mut self) -> Self {
        self.fused = Frozen::off();
        self
    }

    /// The configuration.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// Last hidden state. `input_ids [B, T]`, `attention_mask [B, T]` (true = token) → `[B, T, hidden_size]`.
    ///
    /// States of padding are finite and mean nothing.
    ///
    /// # Panics
    /// If an id is not below `vocab_size`, or if positions are learned and `T` exceeds [`EncoderConfig::max_tokens`].
    pub fn forward(&self, input_ids: Tensor<2, Int>, attention_mask: Tensor<2, Bool>) -> Tensor<3> {
        self.run(Input::new(input_ids, attention_mask), &mut |_| ())
    }

    /// Embedding output, then the output of every layer: `num_hidden_layers + 1` tensors `[B, T, hidden_size]`.
    ///
    /// The last one is what [`Self::forward`] gives: in pre-norm families (ESM, ModernBERT) it went through the final
    /// norm. Panics as [`Self::forward`] does.
    pub fn hidden_states(
        &self,
        input_ids: Tensor<2, Int>,
        attention_mask: Tensor<2, Bool>,
    ) -> Vec<Tensor<3>> {
        self.states(Input::new(input_ids, attention_mask))
    }

    /// As [`Self::hidden_states`], for rows made of several texts: `token_type_ids [B, T]` says which of them a token
    /// belongs to. Without types, every token has type 0.
    ///
    /// # Errors
    /// If the family has no token types (ESM, ModernBERT).
    ///
    /// # Panics
    /// As [`Self::forward`], and if a type is not below `type_vocab_size`.
    pub fn hidden_states_with_types(
        &self,
        input_ids: Tensor<2, Int>,
        attention_mask: Tensor<2, Bool>,
        token_type_ids: Tensor<2, Int>,
    ) -> Result<Vec<Tensor<3>>> {
        let Body::Bert(_) = &self.body else {
            let kind = &self.config.model_type;
            let problem = "has no token types; leave token_type_ids out";
            return Err(Error::Unsupported(format!("model_type `{kind}` {problem}")));
        };
        let input = Input::new(input_ids, attention_mask);
        Ok(self.states(Input {
            types: Some(token_type_ids),
            ..input
        }))
    }

    /// `tanh(dense(state of the first token))`, `hidden_states [B, T, hidden_size] → [B, hidden_size]`; `None` when the
    /// checkpoint has no pooler.
    ///
    /// This is what transformers calls `pooler_output`. It is not the CLS embedding.
    pub fn pooler_output(&self, hidden_states: Tensor<3>) -> Option<Tensor<2>> {
        let pooler = self.pooler.as_ref()?;
        let first = hidden_states.narrow(1, 0, 1).squeeze_dim::<2>(1);
        Some(pooler.forward(first).tanh())
    }

    /// Masked-language-model logits, `[B, T, hidden_size] → [B, T, vocab_size]`; `None` when the checkpoint has no
    /// language-model head.
    pub fn mlm_logits(&self, hidden_states: Tensor<3>) -> Option<Tensor<3>> {
        let head = self.lm_head.as_ref()?;
        Some(head.forward(hidden_states, self.body.word_embeddings()))
    }

    /// Writes `config.json` and `model.safetensors` under Hugging Face names (`[out, in]`).
    ///
    /// # Errors
    /// If a file cannot be written, or a value does not fit `dtype`.
    pub fn save(&self, dir: &Path, dtype: StoredDtype) -> Result<()> {
        let names = Names::written(table(&self.config));
        let mut tensors = self.body.constants(&names, &self.config, dtype);
        let params = stored_params(self).into_iter();
        tensors.extend(params.map(|(path, data)| (names.file(below_body(&path)), data)));
        let file = dir.join("model.safetensors");
        save_safetensors(&file, tensors, dtype, BTreeMap::new())?;
        let mut config = self.config.to_json(dtype);
        if self.lm_head.is_none() {
            let class = config["architectures"][0].as_str().unwrap_or_default();
            config["architectures"] = json!([class.replace("ForMaskedLM", "Model")]);
        }
        write_json(&dir.join("config.json"), &config)
    }

    fn states(&self, input: Input) -> Vec<Tensor<3>> {
        let mut states = Vec::new();
        let mut keep = |hidden: &Tensor<3>| states.push(hidden.clone());
        let last = self.run(input, &mut keep);
        states.push(last);
        states
    }

    /// The last hidden state; `each` sees what goes into every layer.
    fn run(&self, input: Input, each: &mut dyn FnMut(&Tensor<3>)) -> Tensor<3> {
        let (body, config) = (&self.body, &self.config);
        let stack = self.fused.stack(|| body.frozen(config));
        let fused = stack.and_then(|s| frozen::run(&s, body, input.clone(), config, each));
        fused.unwrap_or_else(|| body.run(input, config, each))
    }
}

/// The names of the family.
fn table(config: &EncoderConfig) -> &'static Table {
    match config.family() {
        EncoderFamily::Bert => &bert::BERT,
        EncoderFamily::Roberta => &bert::ROBERTA,
        EncoderFamily::Esm => &esm::TABLE,
        EncoderFamily::ModernBert => &modernbert::TABLE,
    }
}

/// `body.Esm.layers.0.…` → `layers.0.…`: Burn puts the variant into the path.
fn below_body(path: &str) -> &str {
    let below = path.strip_prefix("body.").and_then(|p| p.split_once('.'));
    below.map_or(path, |(_, below)| below)
}

impl Input {
    fn new(ids: Tensor<2, Int>, mask: Tensor<2, Bool>) -> Self {
        Self {
            ids,
            mask: mask.inner(),
            types: None,
        }
    }
}

impl Body {
    fn build<S: Source>(source: &S, config: &EncoderConfig) -> Result<Self, S::Problem> {
        Ok(match config.family() {
            EncoderFamily::Bert | EncoderFamily::Roberta => {
                Self::Bert(bert::Bert::build(source, config)?)
            }
            EncoderFamily::Esm => Self::Esm(esm::Esm::build(source, config)?),
            EncoderFamily::ModernBert => {
                Self::ModernBert(modernbert::ModernBert::build(source, config)?)
            }
        })
    }

    fn run(
        &self,
        input: Input,
        config: &EncoderConfig,
        each: &mut dyn FnMut(&Tensor<3>),
    ) -> Tensor<3> {
        match self {
            Self::Bert(body) => body.run(input, config, each),
            Self::Esm(body) => body.run(input, config, each),
            Self::ModernBert(body) => body.run(input, config, each),
        }
    }

    /// What goes into the first layer, `[B, T, d]`.
    fn embed(&self, input: Input, config: &EncoderConfig) -> Tensor<3> {
        match self {
            Self::Bert(body) => body.embed(input, config),
            Self::Esm(body) => body.embed(input, config),
            Self::ModernBert(body) => body.embed(input),
        }
    }

    /// The layers for [`crate::fused`], if their parameters are plain and on the CPU.
    fn frozen(&self, config: &EncoderConfig) -> Option<Stack> {
        match self {
            Self::Bert(body) => body.frozen(config),
            Self::Esm(body) => body.frozen(config),
            Self::ModernBert(body) => body.frozen(config),
        }
    }

    fn word_embeddings(&self) -> &Embedding {
        match self {
            Self::Bert(body) => body.word_embeddings(),
            Self::Esm(body) => body.word_embeddings(),
            Self::ModernBert(body) => body.word_embeddings(),
        }
    }

    /// Tensors that files hold and training does not touch.
    fn constants(
        &self,
        names: &Names,
        config: &EncoderConfig,
        dtype: StoredDtype,
    ) -> Vec<(String, TensorData)> {
        match self {
            Self::Esm(body) => body.constants(names, config, dtype),
            Self::Bert(_) | Self::ModernBert(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
