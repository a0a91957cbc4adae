//! The masked-language-model head, of one shape in all families.
//!
//! Does not know where the hidden states come from.

use burn::{module::Param, prelude::*};

use super::source::{Source, Stored};
use crate::{
    config::{Activation, EncoderConfig, EncoderFamily},
    error::Result,
    linear::{Embedding, Linear},
    norm::LayerNorm,
};

/// `decoder(norm(act(dense(x)))) + bias`.
#[derive(Module, Debug)]
pub(super) struct LmHead {
    dense: Linear,
    layer_norm: LayerNorm,
    /// `None` when the token embedding serves.
    decoder: Option<Linear>,
    /// `[vocab_size]`.
    bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    act: Activation,
}

/// Where the bias of the logits is; newer files may keep it with the decoder it is tied to.
const BIAS: [&str; 2] = ["lm_head.bias", "lm_head.decoder.bias"];

impl LmHead {
    /// The checkpoint's head; `None` if it has none.
    pub(super) fn load(source: &Stored, config: &EncoderConfig) -> Result<Option<Self>> {
        let bias = BIAS.into_iter().find(|path| source.has(path));
        let there = source.has("lm_head.dense.weight");
        match (bias, has_bias(config)) {
            (Some(path), true) => Self::build(source, config, path).map(Some),
            (_, false) if there => Self::build(source, config, BIAS[0]).map(Some),
            _ => Ok(None),
        }
    }

    /// A head with its bias at `bias`.
    pub(super) fn build<S: Source>(
        source: &S,
        config: &EncoderConfig,
        bias: &str,
    ) -> Result<Self, S::Problem> {
        let (d, vocab) = (config.hidden_size, config.vocab_size);
        let dense_bias =
            config.family() != EncoderFamily::ModernBert || config.modernbert.classifier_bias;
        Ok(Self {
            dense: source.linear("lm_head.dense", [d, d], dense_bias)?,
            layer_norm: source.norm("lm_head.layer_norm", config)?,
            // A file may repeat the tied matrix; it is its own one only if the configuration says so.
            decoder: match config.tie_word_embeddings {
                true => None,
                false => Some(source.linear("lm_head.decoder", [d, vocab], false)?),
            },
            bias: match has_bias(config) {
                true => Some(source.vector(bias, vocab)?),
                false => None,
            },
            act: activation(config),
        })
    }

    /// `[B, T, d] → [B, T, vocab_size]`.
    pub(super) fn forward(&self, hidden: Tensor<3>, word_embeddings: &Embedding) -> Tensor<3> {
        let hidden = self.act.forward(self.dense.forward(hidden));
        let hidden = self.layer_norm.forward(hidden);
        let logits = match &self.decoder {
            Some(decoder) => decoder.forward(hidden),
            None => word_embeddings.attend(hidden),
        };
        match &self.bias {
            Some(bias) => logits + bias.val().unsqueeze::<3>(),
            None => logits,
        }
    }
}

fn has_bias(config: &EncoderConfig) -> bool {
    config.family() != EncoderFamily::ModernBert || config.modernbert.decoder_bias
}

/// BERT's head follows the body, ModernBERT's has a key of its own, the others compute gelu whatever the file says.
fn activation(config: &EncoderConfig) -> Activation {
    match config.family() {
        EncoderFamily::Roberta | EncoderFamily::Esm => Activation::Gelu,
        EncoderFamily::Bert => config.hidden_act,
        EncoderFamily::ModernBert => config.modernbert.classifier_activation,
    }
}
