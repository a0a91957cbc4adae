//! ModernBERT: pre-norm blocks, rotary positions, layers that see everything among layers that see a window, gated
//! feed-forward layers, and no biases unless the configuration asks for them.
//!
//! Source: Warner et al. 2024 (arXiv 2412.13663).

use burn::prelude::*;

use super::Input;
use super::frozen::{dense, norm};
use super::names::{Renames, Table};
use super::source::Source;
use crate::{
    attention::{attend, local_bias, padding_bias, split_heads},
    config::{Activation, EncoderConfig, LayerType},
    fused::{self, Block, NormPlace, Stack},
    linear::{Embedding, Linear},
    norm::LayerNorm,
    rope::{Rotary, plain_frequencies},
};

const LAYER: Renames = &[
    ("attention_norm", "attn_norm"),
    ("qkv", "attn.Wqkv"),
    ("attention_output", "attn.Wo"),
    ("gate_up", "mlp.Wi"),
    ("down", "mlp.Wo"),
];

/// Where ModernBERT keeps its parameters.
pub(super) const TABLE: Table = Table {
    prefix: "model.",
    layers: "layers",
    layer: LAYER,
    body: &[
        ("embeddings.word_embeddings", "embeddings.tok_embeddings"),
        ("embeddings.layer_norm", "embeddings.norm"),
        ("pooler", "pooler.dense"),
    ],
    head: &[
        ("dense", "head.dense"),
        ("layer_norm", "head.norm"),
        ("decoder", "decoder"),
        ("bias", "decoder.bias"),
    ],
};

/// Everything below the head.
#[derive(Module, Debug)]
pub(super) struct ModernBert {
    embeddings: Embeddings,
    layers: Vec<Layer>,
    final_norm: LayerNorm,
}

/// Token embeddings, normalised.
#[derive(Module, Debug)]
struct Embeddings {
    word_embeddings: Embedding,
    layer_norm: LayerNorm,
}

/// Attention, then feed-forward; each reads the normalised states and adds to them.
#[derive(Module, Debug)]
struct Layer {
    /// The first layer has none: its input is the output of a norm.
    attention_norm: Option<LayerNorm>,
    /// Queries, keys and values side by side.
    qkv: Linear,
    attention_output: Linear,
    mlp_norm: LayerNorm,
    /// The gate, then what it gates.
    gate_up: Linear,
    down: Linear,
    #[module(skip)]
    heads: usize,
    #[module(skip)]
    act: Activation,
    #[module(skip)]
    sees: LayerType,
}

/// What layers of one kind see, and how they turn queries and keys.
struct View {
    bias: Tensor<4>,
    rotary: Rotary,
}

impl ModernBert {
    pub(super) fn build<S: Source>(source: &S, config: &EncoderConfig) -> Result<Self, S::Problem> {
        let words = [config.vocab_size, config.hidden_size];
        Ok(Self {
            embeddings: Embeddings {
                word_embeddings: source.embedding("embeddings.word_embeddings", words)?,
                layer_norm: source.norm("embeddings.layer_norm", config)?,
            },
            layers: (0..config.num_hidden_layers)
                .map(|i| Layer::build(source, i, config))
                .collect::<Result<_, _>>()?,
            final_norm: source.norm("final_norm", config)?,
        })
    }

    /// The table that a tied head shares.
    pub(super) fn word_embeddings(&self) -> &Embedding {
        &self.embeddings.word_embeddings
    }

    /// What goes into the first layer, `[B, T, d]`.
    pub(super) fn embed(&self, input: Input) -> Tensor<3> {
        let words = self.embeddings.word_embeddings.forward(input.ids);
        self.embeddings.layer_norm.forward(words)
    }

    /// The layers for [`crate::fused`]; rotary positions of full layers first, then those of sliding ones.
    pub(super) fn frozen(&self, config: &EncoderConfig) -> Option<Stack> {
        let own = &config.modernbert;
        let blocks = self.layers.iter().map(|layer| layer.frozen(config));
        let rotary = |theta| fused::Rotary::new(plain_frequencies(theta, config.head_dim()));
        Some(Stack {
            blocks: blocks.collect::<Option<_>>()?,
            final_norm: Some(norm(&self.final_norm)?),
            rotaries: vec![rotary(own.global_rope_theta), rotary(own.local_rope_theta)],
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
        let own = &config.modernbert;
        let mask = input.mask.clone();
        let view = |theta: f64, bias| View {
            bias,
            rotary: Rotary::columns(
                plain_frequencies(theta, config.head_dim()),
                mask.dims()[1],
                &mask.device(),
            ),
        };
        let full = view(own.global_rope_theta, padding_bias(mask.clone()));
        let reach = own.local_attention / 2;
        let sliding = view(own.local_rope_theta, local_bias(mask.clone(), reach));
        let mut hidden = self.embed(input);
        for layer in &self.layers {
            each(&hidden);
            hidden = layer.forward(
                hidden,
                match layer.sees {
                    LayerType::Full => &full,
                    LayerType::Sliding => &sliding,
                },
            );
        }
        self.final_norm.forward(hidden)
    }
}

impl Layer {
    fn build<S: Source>(source: &S, i: usize, config: &EncoderConfig) -> Result<Self, S::Problem> {
        let own = &config.modernbert;
        let (d, ffn) = (config.hidden_size, config.intermediate_size);
        let path = |part: &str| format!("layers.{i}.{part}");
        let attention = |part: &str, shape| source.linear(&path(part), shape, own.attention_bias);
        let mlp = |part: &str, shape| source.linear(&path(part), shape, own.mlp_bias);
        Ok(Self {
            attention_norm: match i {
                0 => None,
                _ => Some(source.norm(&path("attention_norm"), config)?),
            },
            qkv: attention("qkv", [d, 3 * d])?,
            attention_output: attention("attention_output", [d, d])?,
            mlp_norm: source.norm(&path("mlp_norm"), config)?,
            gate_up: mlp("gate_up", [d, 2 * ffn])?,
            down: mlp("down", [ffn, d])?,
            heads: config.num_attention_heads,
            act: config.hidden_act,
            sees: own.layer_type(i),
        })
    }

    fn frozen(&self, config: &EncoderConfig) -> Option<Block> {
        let (rotary, reach) = match self.sees {
            LayerType::Full => (0, None),
            LayerType::Sliding => (1, Some(config.modernbert.local_attention / 2)),
        };
        let attention_norm = match &self.attention_norm {
            Some(own) => Some(norm(own)?),
            None => None,
        };
        Some(Block {
            place: NormPlace::Before,
            attention_norm,
            attention: fused::SelfAttention {
                qkv: dense(&self.qkv)?,
                output: dense(&self.attention_output)?,
                heads: self.heads,
                rotary: Some(rotary),
                reach,
            },
            feed_norm: norm(&self.mlp_norm)?,
            feed: fused::FeedForward {
                up: dense(&self.gate_up)?,
                down: dense(&self.down)?,
                act: self.act,
                gated: true,
            },
        })
    }

    /// `[B, T, d] → [B, T, d]`.
    fn forward(&self, hidden: Tensor<3>, view: &View) -> Tensor<3> {
        let normed = match &self.attention_norm {
            Some(norm) => norm.forward(hidden.clone()),
            None => hidden.clone(),
        };
        let hidden = hidden + self.attend(normed, view);
        let normed = self.mlp_norm.forward(hidden.clone());
        hidden + self.feed_forward(normed)
    }

    fn attend(&self, hidden: Tensor<3>, view: &View) -> Tensor<3> {
        let d = hidden.dims()[2];
        let qkv = self.qkv.forward(hidden);
        let third = |n: usize| split_heads(qkv.clone().narrow(2, n * d, d), self.heads);
        let query = view.rotary.apply(third(0));
        let scale = (query.dims()[3] as f64).powf(-0.5);
        let key = view.rotary.apply(third(1));
        let mixed = attend(query, key, third(2), view.bias.clone(), scale);
        self.attention_output.forward(mixed)
    }

    /// `down(act(gate) · up)`.
    fn feed_forward(&self, hidden: Tensor<3>) -> Tensor<3> {
        let both = self.gate_up.forward(hidden);
        let ffn = both.dims()[2] / 2;
        let gate = self.act.forward(both.clone().narrow(2, 0, ffn));
        self.down.forward(gate * both.narrow(2, ffn, ffn))
    }
}
