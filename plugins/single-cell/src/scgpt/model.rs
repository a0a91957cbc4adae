//! The transformer: gene and value embeddings, then post-norm layers without positions. It gets ids and numbers; what they
//! stand for is unknown here.
//!
//! `x = LN(gene[id]) + LN(W₂ relu(W₁ min(v, 512) + b₁) + b₂)`, then per layer `x = LN(x + attention(x))`,
//! `x = LN(x + W₂ act(W₁ x))`. Source: Cui et al., scGPT, Nature Methods 21 (2024), 1470–1480, and the published code.

use std::collections::BTreeMap;
use std::path::Path;

use bioverse_nn::{
    Error, Result, Weights,
    attention::{attend, padding_bias, split_heads},
    linear::{Embedding, Linear},
    norm::LayerNorm,
    params::stored_params,
    weights::{StoredDtype, save_safetensors},
    write_json,
};
use burn::{prelude::*, tensor::activation::relu};

use super::ScGptConfig;

/// Larger values are cut to this before they are embedded, as the published code does.
const LARGEST_VALUE: f32 = 512.0;

/// Standard deviation of fresh weights.
const INITIALIZER_RANGE: f64 = 0.02;

/// What marks the parameters of the model in a checkpoint, whatever wrapped it.
const FIRST: &str = "encoder.embedding.weight";

/// A frozen or trainable scGPT encoder.
///
/// ```
/// use bioverse_single_cell::{Config, Cell, ScGptConfig, ScGptEncoder, scgpt::save_vocabulary};
/// use bioverse_core::Modality;
/// use bioverse_nn::weights::StoredDtype;
/// use burn::prelude::*;
///
/// // A small one of one's own: on an autodiff device it could be trained before it is stored.
/// let args = r#"{"embsize": 8, "nheads": 2, "d_hid": 16, "nlayers": 1}"#;
/// let config: ScGptConfig = serde_json::from_str(args)?;
/// let dir = tempfile::tempdir()?;
/// let rows = save_vocabulary(dir.path(), &["CD3D", "LYZ"])?;
/// ScGptEncoder::init(&config, rows, &Device::flex())?.save(dir.path(), StoredDtype::F32)?;
///
/// let config = Config { path: dir.path().into(), ..Config::default() };
/// assert_eq!(Cell::load(&config, &Device::flex()).map_err(|e| e.to_string())?.d_hidden(), 8);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Module, Debug)]
pub struct ScGptEncoder {
    encoder: GeneEncoder,
    value_encoder: ValueEncoder,
    transformer_encoder: Transformer,
    #[module(skip)]
    config: ScGptConfig,
}

/// A vector per gene.
#[derive(Module, Debug)]
struct GeneEncoder {
    embedding: Embedding,
    enc_norm: LayerNorm,
}

/// A vector per value, of one number.
#[derive(Module, Debug)]
struct ValueEncoder {
    linear1: Linear,
    linear2: Linear,
    norm: LayerNorm,
}

#[derive(Module, Debug)]
struct Transformer {
    layers: Vec<Layer>,
}

#[derive(Module, Debug)]
struct Layer {
    self_attn: SelfAttention,
    linear1: Linear,
    linear2: Linear,
    norm1: LayerNorm,
    norm2: LayerNorm,
}

/// Queries, keys and values come from one product.
#[derive(Module, Debug)]
struct SelfAttention {
    in_proj: Linear,
    out_proj: Linear,
}

/// Where parameters are read from.
struct Stored<'a> {
    weights: &'a Weights,
    prefix: String,
    config: &'a ScGptConfig,
    device: &'a Device,
}

impl ScGptEncoder {
    /// Reads `args.json` (or `config.json`) and the weights of a folder. Attention may be stored under PyTorch's names
    /// (`in_proj_weight`) or those of flash-attention (`Wqkv.weight`), everything below a prefix such as `module.`; decoders
    /// and classifiers are left alone.
    ///
    /// Parameters are frozen on a plain device and trainable on an autodiff device.
    ///
    /// # Errors
    /// If a file is missing or damaged, or a tensor is missing or has another shape than the configuration says.
    pub fn load(dir: &Path, device: &Device) -> Result<Self> {
        Self::from_weights(ScGptConfig::load(dir)?, &Weights::open(dir)?, device)
    }

    /// From a configuration and weights read elsewhere, as [`Self::load`].
    pub fn from_weights(config: ScGptConfig, weights: &Weights, device: &Device) -> Result<Self> {
        let stored = Stored {
            weights,
            prefix: prefix(weights),
            config: &config,
            device,
        };
        let rows = weights.shape(&stored.name(FIRST))?;
        let rows = rows.first().copied().unwrap_or_default();
        let layer = |i: usize| stored.layer(&format!("transformer_encoder.layers.{i}"));
        Ok(Self {
            encoder: GeneEncoder {
                embedding: stored.embedding("encoder.embedding", rows)?,
                enc_norm: stored.norm("encoder.enc_norm")?,
            },
            value_encoder: ValueEncoder {
                linear1: stored.linear("value_encoder.linear1", [1, config.embsize])?,
                linear2: stored.linear("value_encoder.linear2", [config.embsize; 2])?,
                norm: stored.norm("value_encoder.norm")?,
            },
            transformer_encoder: Transformer {
                layers: (0..config.nlayers).map(layer).collect::<Result<_>>()?,
            },
            config,
        })
    }

    /// Fresh parameters: weights normal with standard deviation 0.02, norms 1, biases 0; the gene table has `rows` rows,
    /// special tokens included.
    ///
    /// # Errors
    /// Sizes that make no model.
    pub fn init(config: &ScGptConfig, rows: usize, device: &Device) -> Result<Self> {
        config
            .check()
            .map_err(|problem| Error::Unsupported(problem.to_owned()))?;
        let (d, eps) = (config.embsize, config.layer_norm_eps);
        let linear = |d_in, d_out| Linear::init(d_in, d_out, true, INITIALIZER_RANGE, device);
        let norm = || LayerNorm::init(d, eps, device);
        let layer = |_| Layer {
            self_attn: SelfAttention {
                in_proj: linear(d, 3 * d),
                out_proj: linear(d, d),
            },
            linear1: linear(d, config.d_hid),
            linear2: linear(config.d_hid, d),
            norm1: norm(),
            norm2: norm(),
        };
        Ok(Self {
            encoder: GeneEncoder {
                embedding: Embedding::init([rows, d], INITIALIZER_RANGE, device),
                enc_norm: norm(),
            },
            value_encoder: ValueEncoder {
                linear1: linear(1, d),
                linear2: linear(d, d),
                norm: norm(),
            },
            transformer_encoder: Transformer {
                layers: (0..config.nlayers).map(layer).collect(),
            },
            config: config.clone(),
        })
    }

    /// The configuration.
    pub fn config(&self) -> &ScGptConfig {
        &self.config
    }

    /// Rows of the gene table.
    pub fn rows(&self) -> usize {
        self.encoder.embedding.weight.dims()[0]
    }

    /// What goes into the first layer. `input_ids [B, T]`, `values [B, T]` → `[B, T, embsize]`.
    ///
    /// # Panics
    /// If an id is not below [`Self::rows`].
    pub fn embed(&self, input_ids: Tensor<2, Int>, values: Tensor<2>) -> Tensor<3> {
        let genes = self.encoder.embedding.forward(input_ids);
        self.encoder.enc_norm.forward(genes) + self.value_encoder.forward(values)
    }

    /// The last hidden state. `input_ids [B, T]`, `values [B, T]`, `attention_mask [B, T]` (true = token) →
    /// `[B, T, embsize]`. States of padding are finite and mean nothing.
    ///
    /// # Panics
    /// As [`Self::embed`].
    pub fn forward(
        &self,
        input_ids: Tensor<2, Int>,
        values: Tensor<2>,
        attention_mask: Tensor<2, Bool>,
    ) -> Tensor<3> {
        self.run(input_ids, values, attention_mask, &mut |_| ())
    }

    /// What goes into the first layer, then the output of every layer: `nlayers + 1` tensors `[B, T, embsize]`, the last one
    /// what [`Self::forward`] gives.
    ///
    /// # Panics
    /// As [`Self::embed`].
    pub fn hidden_states(
        &self,
        input_ids: Tensor<2, Int>,
        values: Tensor<2>,
        attention_mask: Tensor<2, Bool>,
    ) -> Vec<Tensor<3>> {
        let mut states = Vec::new();
        let mut keep = |hidden: &Tensor<3>| states.push(hidden.clone());
        let last = self.run(input_ids, values, attention_mask, &mut keep);
        states.push(last);
        states
    }

    /// The last hidden state; `each` sees what goes into every layer.
    fn run(
        &self,
        input_ids: Tensor<2, Int>,
        values: Tensor<2>,
        attention_mask: Tensor<2, Bool>,
        each: &mut dyn FnMut(&Tensor<3>),
    ) -> Tensor<3> {
        let bias = padding_bias(attention_mask.inner());
        let mut hidden = self.embed(input_ids, values);
        for layer in &self.transformer_encoder.layers {
            each(&hidden);
            hidden = layer.forward(hidden, bias.clone(), &self.config);
        }
        hidden
    }

    /// Writes `args.json` and `model.safetensors` under the published names. The vocabulary belongs to whoever made it:
    /// [`super::save_vocabulary`].
    ///
    /// # Errors
    /// If a file cannot be written, or a value does not fit `dtype`.
    pub fn save(&self, dir: &Path, dtype: StoredDtype) -> Result<()> {
        let tensors = stored_params(self).into_iter();
        let tensors = tensors.map(|(path, data)| (path.replace("in_proj.", "in_proj_"), data));
        let file = dir.join("model.safetensors");
        save_safetensors(&file, tensors.collect(), dtype, BTreeMap::new())?;
        write_json(&dir.join("args.json"), &self.config.to_json())
    }
}

impl ValueEncoder {
    /// `[B, T] → [B, T, embsize]`
    fn forward(&self, values: Tensor<2>) -> Tensor<3> {
        let values: Tensor<3> = values.clamp_max(LARGEST_VALUE).unsqueeze_dim(2);
        let inner = relu(self.linear1.forward(values));
        self.norm.forward(self.linear2.forward(inner))
    }
}

impl Layer {
    /// `hidden [B, T, d]`, `bias [B, 1, 1, T]` → `[B, T, d]`
    fn forward(&self, hidden: Tensor<3>, bias: Tensor<4>, config: &ScGptConfig) -> Tensor<3> {
        let mixed = self.self_attn.forward(hidden.clone(), bias, config.nheads);
        let hidden = self.norm1.forward(hidden + mixed);
        let inner = config
            .activation
            .forward(self.linear1.forward(hidden.clone()));
        self.norm2.forward(hidden + self.linear2.forward(inner))
    }
}

impl SelfAttention {
    /// `hidden [B, T, d]`, `bias [B, 1, 1, T]` → `[B, T, d]`
    fn forward(&self, hidden: Tensor<3>, bias: Tensor<4>, heads: usize) -> Tensor<3> {
        let [_, _, d] = hidden.dims();
        let all = self.in_proj.forward(hidden);
        let part = |i: usize| split_heads(all.clone().narrow(2, i * d, d), heads);
        let scale = (d as f64 / heads as f64).powf(-0.5);
        self.out_proj
            .forward(attend(part(0), part(1), part(2), bias, scale))
    }
}

impl Stored<'_> {
    fn name(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    fn linear(&self, path: &str, [d_in, d_out]: [usize; 2]) -> Result<Linear> {
        Linear::load(
            self.weights,
            &self.name(path),
            d_in,
            d_out,
            true,
            self.device,
        )
    }

    fn norm(&self, path: &str) -> Result<LayerNorm> {
        let (d, eps) = (self.config.embsize, self.config.layer_norm_eps);
        LayerNorm::load(self.weights, &self.name(path), d, eps, self.device)
    }

    fn embedding(&self, path: &str, rows: usize) -> Result<Embedding> {
        Embedding::load(
            self.weights,
            &self.name(path),
            [rows, self.config.embsize],
            self.device,
        )
    }

    fn layer(&self, path: &str) -> Result<Layer> {
        let (d, d_hid) = (self.config.embsize, self.config.d_hid);
        Ok(Layer {
            self_attn: self.attention(&format!("{path}.self_attn"))?,
            linear1: self.linear(&format!("{path}.linear1"), [d, d_hid])?,
            linear2: self.linear(&format!("{path}.linear2"), [d_hid, d])?,
            norm1: self.norm(&format!("{path}.norm1"))?,
            norm2: self.norm(&format!("{path}.norm2"))?,
        })
    }

    fn attention(&self, path: &str) -> Result<SelfAttention> {
        let d = self.config.embsize;
        let flash = self.name(&format!("{path}.Wqkv"));
        let [weight, bias] = match self.weights.contains(&format!("{flash}.weight")) {
            true => [format!("{flash}.weight"), format!("{flash}.bias")],
            false => ["weight", "bias"].map(|part| self.name(&format!("{path}.in_proj_{part}"))),
        };
        Ok(SelfAttention {
            in_proj: Linear::load_parts(
                self.weights,
                &weight,
                Some(&bias),
                [d, 3 * d],
                self.device,
            )?,
            out_proj: self.linear(&format!("{path}.out_proj"), [d, d])?,
        })
    }
}

/// What stands before every name: nothing, or `module.` and the like where a program wrapped the model.
fn prefix(weights: &Weights) -> String {
    let names = weights.names();
    let prefixes: Vec<&str> = names
        .iter()
        .filter_map(|name| name.strip_suffix(FIRST))
        .collect();
    let mut prefixes = prefixes
        .into_iter()
        .filter(|prefix| prefix.is_empty() || prefix.ends_with('.'));
    match (prefixes.next(), prefixes.next()) {
        (Some(only), None) => only.to_owned(),
        // Whoever asks for the tensor says what is missing.
        _ => String::new(),
    }
}
