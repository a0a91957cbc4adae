//! BERT and RoBERTa: learned positions, and blocks that normalise after adding (post-norm).
//!
//! One architecture for both families; they differ in positions, names and the non-linearity of the head, which is not
//! here. Sources: Devlin et al. 2019 (arXiv 1810.04805), Liu et al. 2019 (arXiv 1907.11692).

use burn::prelude::*;

use super::Input;
use super::block::{FeedForward, SelfAttention};
use super::frozen;
use super::names::{Renames, Table};
use super::source::Source;
use crate::{
    attention::padding_bias,
    config::{EncoderConfig, EncoderFamily},
    fused::{Block, NormPlace, Stack},
    linear::Embedding,
    norm::LayerNorm,
};

const LAYER: Renames = &[
    ("attention.query", "attention.self.query"),
    ("attention.key", "attention.self.key"),
    ("attention.value", "attention.self.value"),
    ("attention.output", "attention.output.dense"),
    ("attention_norm", "attention.output.LayerNorm"),
    ("feed_forward.intermediate", "intermediate.dense"),
    ("feed_forward.output", "output.dense"),
    ("output_norm", "output.LayerNorm"),
];

const BODY: Renames = &[
    ("embeddings.layer_norm", "embeddings.LayerNorm"),
    ("pooler", "pooler.dense"),
];

/// Where BERT keeps its parameters.
pub(super) const BERT: Table = Table {
    prefix: "bert.",
    layers: "encoder.layer",
    layer: LAYER,
    body: BODY,
    head: &[
        ("dense", "cls.predictions.transform.dense"),
        ("layer_norm", "cls.predictions.transform.LayerNorm"),
        ("decoder", "cls.predictions.decoder"),
        ("bias", "cls.predictions.bias"),
    ],
};

/// Where RoBERTa keeps its parameters.
pub(super) const ROBERTA: Table = Table {
    prefix: "roberta.",
    layers: "encoder.layer",
    layer: LAYER,
    body: BODY,
    head: &[
        ("dense", "lm_head.dense"),
        ("layer_norm", "lm_head.layer_norm"),
        ("decoder", "lm_head.decoder"),
        ("bias", "lm_head.bias"),
    ],
};

/// Everything below the head.
#[derive(Module, Debug)]
pub(super) struct Bert {
    embeddings: Embeddings,
    layers: Vec<Layer>,
}

/// Token, position and type embeddings, summed and normalised.
#[derive(Module, Debug)]
struct Embeddings {
    word_embeddings: Embedding,
    position_embeddings: Embedding,
    token_type_embeddings: Embedding,
    layer_norm: LayerNorm,
}

/// Attention, then feed-forward, each followed by add and LayerNorm.
#[derive(Module, Debug)]
struct Layer {
    attention: SelfAttention,
    attention_norm: LayerNorm,
    feed_forward: FeedForward,
    output_norm: LayerNorm,
}

impl Bert {
    pub(super) fn build<S: Source>(source: &S, config: &EncoderConfig) -> Result<Self, S::Problem> {
        let layer = |i| Layer::build(source, &format!("layers.{i}"), config);
        Ok(Self {
            embeddings: Embeddings::build(source, config)?,
            layers: (0..config.num_hidden_layers)
                .map(layer)
                .collect::<Result<_, _>>()?,
        })
    }

    /// The table that a tied head shares.
    pub(super) fn word_embeddings(&self) -> &Embedding {
        &self.embeddings.word_embeddings
    }

    /// What goes into the first layer, `[B, T, d]`.
    pub(super) fn embed(&self, input: Input, config: &EncoderConfig) -> Tensor<3> {
        self.embeddings.forward(input, config)
    }

    /// The layers for [`crate::fused`].
    pub(super) fn frozen(&self, config: &EncoderConfig) -> Option<Stack> {
        Some(Stack {
            blocks: self
                .layers
                .iter()
                .map(Layer::frozen)
                .collect::<Option<_>>()?,
            final_norm: None,
            rotaries: Vec::new(),
            width: config.hidden_size,
        })
    }

    /// The last hidden state; `each` sees what goes into every layer.
    pub(super) fn run(
        &self,
        input: Input,
        config: &EncoderConfig,
        each: &mut dyn FnMut(&Tensor<3>),
    ) -> Tensor<3> {
        let bias = padding_bias(input.mask.clone());
        let mut hidden = self.embed(input, config);
        for layer in &self.layers {
            each(&hidden);
            hidden = layer.forward(hidden, bias.clone());
        }
        hidden
    }
}

impl Embeddings {
    fn build<S: Source>(source: &S, config: &EncoderConfig) -> Result<Self, S::Problem> {
        let table = |name: &str, rows| {
            source.embedding(&format!("embeddings.{name}"), [rows, config.hidden_size])
        };
        Ok(Self {
            word_embeddings: table("word_embeddings", config.vocab_size)?,
            position_embeddings: table("position_embeddings", config.max_position_embeddings)?,
            token_type_embeddings: table("token_type_embeddings", config.type_vocab_size)?,
            layer_norm: source.norm("embeddings.layer_norm", config)?,
        })
    }

    fn forward(&self, input: Input, config: &EncoderConfig) -> Tensor<3> {
        let positions = match config.family() {
            EncoderFamily::Bert => columns(&input.ids),
            _ => counted(&input.ids, config.pad_token_id),
        };
        let types = match input.types {
            Some(types) => self.token_type_embeddings.forward(types),
            None => self.first_type(),
        };
        let sum = self.word_embeddings.forward(input.ids)
            + self.position_embeddings.forward(positions)
            + types;
        self.layer_norm.forward(sum)
    }

    /// Type 0, which is added even when nobody speaks of types; `[1, 1, d]`.
    fn first_type(&self) -> Tensor<3> {
        let weight = self.token_type_embeddings.weight.val();
        weight.narrow(0, 0, 1).unsqueeze::<3>()
    }
}

impl Layer {
    fn build<S: Source>(
        source: &S,
        path: &str,
        config: &EncoderConfig,
    ) -> Result<Self, S::Problem> {
        let norm = |part: &str| source.norm(&format!("{path}.{part}"), config);
        Ok(Self {
            attention: SelfAttention::build(source, &format!("{path}.attention"), config)?,
            attention_norm: norm("attention_norm")?,
            feed_forward: FeedForward::build(source, &format!("{path}.feed_forward"), config)?,
            output_norm: norm("output_norm")?,
        })
    }

    /// `hidden [B, T, d]`, `bias [B, 1, 1, T]` → `[B, T, d]`.
    fn forward(&self, hidden: Tensor<3>, bias: Tensor<4>) -> Tensor<3> {
        let mixed = self.attention.forward(hidden.clone(), bias, None);
        let hidden = self.attention_norm.forward(mixed + hidden);
        let inner = self.feed_forward.forward(hidden.clone());
        self.output_norm.forward(inner + hidden)
    }

    fn frozen(&self) -> Option<Block> {
        Some(Block {
            place: NormPlace::After,
            attention_norm: Some(frozen::norm(&self.attention_norm)?),
            attention: self.attention.frozen(None)?,
            feed_norm: frozen::norm(&self.output_norm)?,
            feed: self.feed_forward.frozen()?,
        })
    }
}

/// BERT's positions: the columns, padding or not. `[B, T] → [B, T]`.
fn columns(ids: &Tensor<2, Int>) -> Tensor<2, Int> {
    let [batch, len] = ids.dims();
    let columns = Tensor::<1, Int>::arange(0..len as i64, &ids.device());
    columns.unsqueeze::<2>().expand([batch, len])
}

/// RoBERTa's positions: the n-th token, from 1, has position `pad + n`, padding has `pad`. `[B, T] → [B, T]`.
pub(super) fn counted(ids: &Tensor<2, Int>, pad: u32) -> Tensor<2, Int> {
    let tokens = ids.clone().not_equal_elem(i64::from(pad)).int();
    let numbers = tokens.clone().cumsum(1);
    numbers.mul(tokens).add_scalar(i64::from(pad))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn positions_follow_the_family() {
        let ids = Tensor::from_data([[1, 3, 4, 1, 5, 1]], &Device::flex());
        let values = |positions: Tensor<2, Int>| positions.into_data().iter::<i64>().collect();
        let numbers: Vec<i64> = values(counted(&ids, 1));
        assert_eq!(numbers, [1, 2, 3, 1, 4, 1]);
        let numbers: Vec<i64> = values(columns(&ids));
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5]);
    }
}
