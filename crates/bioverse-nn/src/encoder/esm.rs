//! ESM-2 and ESM-1b: pre-norm blocks, rotary or learned positions, embeddings rescaled for the share of `<mask>`.
//!
//! Knows tokens, not amino acids. Sources: Lin et al. 2023 (doi 10.1126/science.ade2574), Rives et al. 2021
//! (doi 10.1073/pnas.2016239118).

use burn::prelude::*;
use burn::tensor::TensorData;

use super::Input;
use super::bert::counted;
use super::block::{FeedForward, SelfAttention};
use super::frozen;
use super::names::{Names, Renames, Table};
use super::source::Source;
use crate::{
    attention::padding_bias,
    config::{EncoderConfig, PositionEmbedding},
    fused::{self, Block, NormPlace, Stack},
    linear::Embedding,
    norm::LayerNorm,
    rope::{Rotary, plain_frequencies},
    weights::StoredDtype,
};

const LAYER: Renames = &[
    ("attention_norm", "attention.LayerNorm"),
    ("attention.query", "attention.self.query"),
    ("attention.key", "attention.self.key"),
    ("attention.value", "attention.self.value"),
    ("attention.output", "attention.output.dense"),
    ("output_norm", "LayerNorm"),
    ("feed_forward.intermediate", "intermediate.dense"),
    ("feed_forward.output", "output.dense"),
    ("inv_freq", "attention.self.rotary_embeddings.inv_freq"),
];

/// Where ESM keeps its parameters.
pub(super) const TABLE: Table = Table {
    prefix: "esm.",
    layers: "encoder.layer",
    layer: LAYER,
    body: &[
        ("final_norm", "encoder.emb_layer_norm_after"),
        ("inv_freq", "rotary_embeddings.inv_freq"),
        ("pooler", "pooler.dense"),
    ],
    head: &[
        ("dense", "lm_head.dense"),
        ("layer_norm", "lm_head.layer_norm"),
        ("decoder", "lm_head.decoder"),
        ("bias", "lm_head.bias"),
    ],
};

/// The share of tokens that training hid: 15 % were chosen, 80 % of those became `<mask>`.
const HIDDEN_IN_TRAINING: f64 = 0.15 * 0.8;

/// Everything below the head.
#[derive(Module, Debug)]
pub(super) struct Esm {
    embeddings: Embeddings,
    layers: Vec<Layer>,
    final_norm: LayerNorm,
    /// Rotary frequencies, `head_dim / 2` of them; none with learned positions.
    #[module(skip)]
    inv_freq: Option<Vec<f32>>,
}

/// Token embeddings, with learned positions and a norm in older models.
#[derive(Module, Debug)]
struct Embeddings {
    word_embeddings: Embedding,
    position_embeddings: Option<Embedding>,
    layer_norm: Option<LayerNorm>,
}

/// Attention, then feed-forward; each reads the normalised states and adds to them.
#[derive(Module, Debug)]
struct Layer {
    attention_norm: LayerNorm,
    attention: SelfAttention,
    output_norm: LayerNorm,
    feed_forward: FeedForward,
}

impl Esm {
    pub(super) fn build<S: Source>(source: &S, config: &EncoderConfig) -> Result<Self, S::Problem> {
        let layer = |i| Layer::build(source, &format!("layers.{i}"), config);
        let inv_freq = match config.esm.position_embedding_type {
            PositionEmbedding::Rotary => Some(inv_freq(source, config)?),
            PositionEmbedding::Absolute => None,
        };
        Ok(Self {
            embeddings: Embeddings::build(source, config)?,
            layers: (0..config.num_hidden_layers)
                .map(layer)
                .collect::<Result<_, _>>()?,
            final_norm: source.norm("final_norm", config)?,
            inv_freq,
        })
    }

    /// The table that a tied head shares.
    pub(super) fn word_embeddings(&self) -> &Embedding {
        &self.embeddings.word_embeddings
    }

    /// The attention of the first layer, with its rotary frequencies; none with learned positions.
    pub(super) fn first_attention(&mut self) -> Option<(&mut SelfAttention, Vec<f32>)> {
        let frequencies = self.inv_freq.clone()?;
        let first = self.layers.first_mut()?;
        Some((&mut first.attention, frequencies))
    }

    /// What goes into the first layer, `[B, T, d]`.
    pub(super) fn embed(&self, input: Input, config: &EncoderConfig) -> Tensor<3> {
        self.embeddings.forward(input, config)
    }

    /// The layers for [`crate::fused`].
    pub(super) fn frozen(&self, config: &EncoderConfig) -> Option<Stack> {
        let rotary = self.inv_freq.as_ref().map(|_| 0);
        let blocks = self.layers.iter().map(|layer| layer.frozen(rotary));
        let rotaries = self.inv_freq.iter().cloned();
        Some(Stack {
            blocks: blocks.collect::<Option<_>>()?,
            final_norm: Some(frozen::norm(&self.final_norm)?),
            rotaries: rotaries.map(fused::Rotary::new).collect(),
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
        let [_, len] = input.mask.dims();
        let device = input.mask.device();
        let rotary = self.inv_freq.clone();
        let rotary = rotary.map(|frequencies| Rotary::columns(frequencies, len, &device));
        let bias = padding_bias(input.mask.clone());
        let mut hidden = self.embed(input, config);
        for layer in &self.layers {
            each(&hidden);
            hidden = layer.forward(hidden, bias.clone(), rotary.as_ref());
        }
        self.final_norm.forward(hidden)
    }

    /// The rotary frequencies under the names files have for them, so that other programs need not compute them.
    ///
    /// They are left out where the file would round them, unless they were rounded before.
    pub(super) fn constants(
        &self,
        names: &Names,
        config: &EncoderConfig,
        dtype: StoredDtype,
    ) -> Vec<(String, TensorData)> {
        let computed = plain_frequencies(config.esm.rope_theta, config.head_dim());
        let near = |(own, computed): (&f32, &f32)| (own - computed).abs() <= 1e-5 * computed;
        let plain = |own: &Vec<f32>| own.iter().zip(&computed).all(near);
        let kept = |own: &&Vec<f32>| dtype == StoredDtype::F32 || !plain(own);
        let Some(own) = self.inv_freq.as_ref().filter(kept) else {
            return Vec::new();
        };
        let one = |i| {
            let data = TensorData::new(own.clone(), [own.len()]);
            (names.file(&format!("layers.{i}.inv_freq")), data)
        };
        (0..self.layers.len()).map(one).collect()
    }
}

/// The frequencies in the file, if it has any: those of large models are rounded as they were in training, and one
/// part in two thousand is half a radian at position 1000. Else those of the configuration.
fn inv_freq<S: Source>(source: &S, config: &EncoderConfig) -> Result<Vec<f32>, S::Problem> {
    let half = config.head_dim() / 2;
    // Of the model; of its first layer; and as transformers 5 writes it, with the asterisk.
    for path in ["inv_freq", "layers.0.inv_freq", "layers.*.inv_freq"] {
        if let Some(found) = source.constants(path, half)? {
            return Ok(found);
        }
    }
    let theta = config.esm.rope_theta;
    Ok(plain_frequencies(theta, config.head_dim()))
}

impl Embeddings {
    fn build<S: Source>(source: &S, config: &EncoderConfig) -> Result<Self, S::Problem> {
        let table = |name: &str, rows| {
            source.embedding(&format!("embeddings.{name}"), [rows, config.hidden_size])
        };
        Ok(Self {
            word_embeddings: table("word_embeddings", config.vocab_size)?,
            position_embeddings: match config.esm.position_embedding_type {
                PositionEmbedding::Absolute => Some(table(
                    "position_embeddings",
                    config.max_position_embeddings,
                )?),
                PositionEmbedding::Rotary => None,
            },
            layer_norm: match config.esm.emb_layer_norm_before {
                true => Some(source.norm("embeddings.layer_norm", config)?),
                false => None,
            },
        })
    }

    /// `[B, T, d]`, zero at padding.
    fn forward(&self, input: Input, config: &EncoderConfig) -> Tensor<3> {
        let Input { ids, mask, .. } = input;
        let tokens = mask.float();
        let mut hidden = self.word_embeddings.forward(ids.clone());
        if let Some(id) = config
            .esm
            .mask_token_id
            .filter(|_| config.esm.token_dropout)
        {
            hidden = hidden * token_dropout(&ids, tokens.clone(), id).unsqueeze_dim::<3>(2);
        }
        if let Some(positions) = &self.position_embeddings {
            hidden = hidden + positions.forward(counted(&ids, config.pad_token_id));
        }
        if let Some(norm) = &self.layer_norm {
            hidden = norm.forward(hidden);
        }
        hidden * tokens.unsqueeze_dim::<3>(2)
    }
}

/// The factor on every embedding: 0 at `<mask>`, elsewhere the share of tokens that was visible in training divided by
/// the share that is visible here. 0.88 in a row without `<mask>`.
///
/// # Shapes
/// `ids [B, T]`, `tokens [B, T]` (1 = token) → `[B, T]`
fn token_dropout(ids: &Tensor<2, Int>, tokens: Tensor<2>, mask_token_id: u32) -> Tensor<2> {
    let visible = ids.clone().inner().not_equal_elem(i64::from(mask_token_id));
    let visible = visible.float();
    let hidden = visible.clone().neg().add_scalar(1.0).sum_dim(1);
    let length = tokens.sum_dim(1).clamp_min(1.0);
    // Rows that are all `<mask>`, or all padding, would divide by zero.
    let share = (hidden / length).neg().add_scalar(1.0).clamp_min(1e-6);
    visible * share.recip().mul_scalar(1.0 - HIDDEN_IN_TRAINING)
}

impl Layer {
    fn build<S: Source>(
        source: &S,
        path: &str,
        config: &EncoderConfig,
    ) -> Result<Self, S::Problem> {
        let norm = |part: &str| source.norm(&format!("{path}.{part}"), config);
        Ok(Self {
            attention_norm: norm("attention_norm")?,
            attention: SelfAttention::build(source, &format!("{path}.attention"), config)?,
            output_norm: norm("output_norm")?,
            feed_forward: FeedForward::build(source, &format!("{path}.feed_forward"), config)?,
        })
    }

    /// `hidden [B, T, d]`, `bias [B, 1, 1, T]` → `[B, T, d]`.
    fn forward(&self, hidden: Tensor<3>, bias: Tensor<4>, rotary: Option<&Rotary>) -> Tensor<3> {
        let normed = self.attention_norm.forward(hidden.clone());
        let hidden = hidden + self.attention.forward(normed, bias, rotary);
        let normed = self.output_norm.forward(hidden.clone());
        hidden + self.feed_forward.forward(normed)
    }

    fn frozen(&self, rotary: Option<usize>) -> Option<Block> {
        Some(Block {
            place: NormPlace::Before,
            attention_norm: Some(frozen::norm(&self.attention_norm)?),
            attention: self.attention.frozen(rotary)?,
            feed_norm: frozen::norm(&self.output_norm)?,
            feed: self.feed_forward.frozen()?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn embeddings_are_scaled_by_what_is_hidden() {
        let device = Device::flex();
        let ids = Tensor::<2, Int>::from_data(
            [[0, 5, 6, 1], [0, 9, 6, 2], [9, 9, 9, 9], [1; 4]],
            &device,
        );
        let tokens = Tensor::<2>::from_data(
            [[1.0f32, 1.0, 1.0, 0.0], [1.0; 4], [1.0; 4], [0.0; 4]],
            &device,
        );
        let got: Vec<f32> = token_dropout(&ids, tokens, 9)
            .into_data()
            .try_to_vec()
            .unwrap();
        let (none, quarter) = (0.88, 0.88 / 0.75);
        let want = [none, none, none, none, quarter, 0.0, quarter, quarter];
        assert!(
            got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-6),
            "{got:?}"
        );
        assert_eq!(got[8..12], [0.0; 4]);
        assert!(got.iter().all(|factor| factor.is_finite()));
    }
}
