//! The keys of `config.json` that are peculiar to ModernBERT, as transformers 4 and transformers 5 write them.

use std::path::Path;

use serde_json::{Value, json};

use super::{EncoderConfig, Rope, check_rotary};
use crate::config::{Activation, read_json, require};
use crate::error::Result;

/// What a layer attends to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum LayerType {
    /// Every token.
    #[serde(rename = "full_attention")]
    Full,
    /// Tokens at most `local_attention / 2` away.
    #[serde(rename = "sliding_attention")]
    Sliding,
}

/// What distinguishes one ModernBERT from another beyond sizes.
#[derive(Debug, Clone, PartialEq)]
pub struct ModernBertOptions {
    /// One entry a layer; layers beyond the list attend to everything.
    pub layer_types: Vec<LayerType>,
    /// Window of the sliding layers: tokens up to half of it away are seen, on either side.
    pub local_attention: usize,
    /// Base of the rotary frequencies in layers that see everything.
    pub global_rope_theta: f64,
    /// The same in sliding layers.
    pub local_rope_theta: f64,
    /// Bias in every LayerNorm.
    pub norm_bias: bool,
    /// Bias in the projections of attention.
    pub attention_bias: bool,
    /// Bias in the feed-forward layers.
    pub mlp_bias: bool,
    /// Bias of the logits.
    pub decoder_bias: bool,
    /// Bias in the dense layer of the language-model head.
    pub classifier_bias: bool,
    /// The non-linearity of the language-model head.
    pub classifier_activation: Activation,
}

impl Default for ModernBertOptions {
    /// ModernBERT-base, but for the list of layers.
    fn default() -> Self {
        Self {
            layer_types: Vec::new(),
            local_attention: 128,
            global_rope_theta: 160_000.0,
            local_rope_theta: 10_000.0,
            norm_bias: false,
            attention_bias: false,
            mlp_bias: false,
            decoder_bias: true,
            classifier_bias: false,
            classifier_activation: Activation::Gelu,
        }
    }
}

impl ModernBertOptions {
    /// Layers `0, n, 2n, …` of `layers` see everything, the others slide.
    pub fn every(n: usize, layers: usize) -> Vec<LayerType> {
        let kind = |i: usize| match i.is_multiple_of(n) {
            true => LayerType::Full,
            false => LayerType::Sliding,
        };
        (0..layers).map(kind).collect()
    }

    /// What layer `i` attends to.
    pub fn layer_type(&self, i: usize) -> LayerType {
        self.layer_types.get(i).copied().unwrap_or(LayerType::Full)
    }
}

#[derive(serde::Deserialize)]
struct File {
    pad_token_id: Option<u32>,
    norm_eps: Option<f64>,
    hidden_activation: Option<Activation>,
    layer_types: Option<Vec<LayerType>>,
    global_attn_every_n_layers: Option<usize>,
    local_attention: Option<usize>,
    rope_parameters: Option<RopeParameters>,
    rope_scaling: Option<Rope>,
    global_rope_theta: Option<f64>,
    /// Left out: the default. `null`: the global one.
    #[serde(default = "local_theta")]
    local_rope_theta: Option<f64>,
    norm_bias: Option<bool>,
    attention_bias: Option<bool>,
    mlp_bias: Option<bool>,
    decoder_bias: Option<bool>,
    classifier_bias: Option<bool>,
    classifier_activation: Option<Activation>,
}

#[derive(Default, serde::Deserialize)]
struct RopeParameters {
    full_attention: Option<Rope>,
    sliding_attention: Option<Rope>,
}

fn local_theta() -> Option<f64> {
    Some(ModernBertOptions::default().local_rope_theta)
}

/// Fills in what `base` does not know yet. What a file leaves out has the default of transformers.
pub(super) fn read(path: &Path, base: EncoderConfig) -> Result<EncoderConfig> {
    let file: File = read_json(path)?;
    let (layer_types, thetas) = (file.layer_types(path, &base)?, file.thetas(path)?);
    let defaults = ModernBertOptions::default();
    Ok(EncoderConfig {
        pad_token_id: file.pad_token_id.unwrap_or(50_283),
        layer_norm_eps: file.norm_eps.unwrap_or(1e-5),
        type_vocab_size: 1,
        hidden_act: file.hidden_activation.unwrap_or(Activation::Gelu),
        modernbert: ModernBertOptions {
            layer_types,
            local_attention: file.local_attention.unwrap_or(defaults.local_attention),
            global_rope_theta: thetas.0,
            local_rope_theta: thetas.1,
            norm_bias: file.norm_bias.unwrap_or(false),
            attention_bias: file.attention_bias.unwrap_or(false),
            mlp_bias: file.mlp_bias.unwrap_or(false),
            decoder_bias: file.decoder_bias.unwrap_or(true),
            classifier_bias: file.classifier_bias.unwrap_or(false),
            classifier_activation: file.classifier_activation.unwrap_or(Activation::Gelu),
        },
        ..base
    })
}

impl File {
    fn layer_types(&self, path: &Path, base: &EncoderConfig) -> Result<Vec<LayerType>> {
        let layers = base.num_hidden_layers;
        if let Some(types) = &self.layer_types {
            let problem = "layer_types does not have num_hidden_layers entries";
            require(path, types.len() == layers, problem)?;
            return Ok(types.clone());
        }
        let n = self.global_attn_every_n_layers.unwrap_or(3);
        require(path, n > 0, "global_attn_every_n_layers must be above 0")?;
        Ok(ModernBertOptions::every(n, layers))
    }

    /// The rotary bases of layers that see everything and of those that slide.
    fn thetas(&self, path: &Path) -> Result<(f64, f64)> {
        let tables = self.rope_parameters.as_ref();
        let full = tables.and_then(|tables| tables.full_attention.as_ref());
        let sliding = tables.and_then(|tables| tables.sliding_attention.as_ref());
        let given = [full, sliding, self.rope_scaling.as_ref()];
        given
            .into_iter()
            .flatten()
            .try_for_each(|rope| rope.check(path))?;
        let theta = |rope: Option<&Rope>| rope.and_then(|rope| rope.rope_theta);
        let default = ModernBertOptions::default().global_rope_theta;
        let global = theta(full).or(self.global_rope_theta).unwrap_or(default);
        let local = theta(sliding).or(self.local_rope_theta).unwrap_or(global);
        Ok((global, local))
    }
}

/// What must hold between the keys.
pub(super) fn check(path: &Path, config: &EncoderConfig) -> Result<()> {
    let own = &config.modernbert;
    check_rotary(path, config, &[own.global_rope_theta, own.local_rope_theta])
}

/// The same keys, for writing: in both styles, so that either version of transformers reads them.
pub(super) fn keys(config: &EncoderConfig) -> Value {
    let own = &config.modernbert;
    let layers = config.num_hidden_layers;
    let types: Vec<_> = (0..layers).map(|i| own.layer_type(i)).collect();
    let regular = |n: &usize| ModernBertOptions::every(*n, layers) == types;
    let rope = |theta: f64| json!({"rope_type": "default", "rope_theta": theta});
    let mut keys = json!({
        "norm_eps": config.layer_norm_eps,
        "hidden_activation": config.hidden_act,
        "layer_types": types,
        "local_attention": own.local_attention,
        "rope_parameters": {
            "full_attention": rope(own.global_rope_theta),
            "sliding_attention": rope(own.local_rope_theta),
        },
        "global_rope_theta": own.global_rope_theta,
        "local_rope_theta": own.local_rope_theta,
        "norm_bias": own.norm_bias,
        "attention_bias": own.attention_bias,
        "mlp_bias": own.mlp_bias,
        "decoder_bias": own.decoder_bias,
        "classifier_bias": own.classifier_bias,
        "classifier_activation": own.classifier_activation,
        "attention_dropout": 0.0,
        "embedding_dropout": 0.0,
        "mlp_dropout": 0.0,
    });
    // A pattern that is not regular cannot be said in the older style.
    if let Some(n) = (1..=layers).find(regular) {
        keys["global_attn_every_n_layers"] = json!(n);
    }
    keys
}
