//! `args.json` of a scGPT folder, or the same keys in a `config.json`. Knows no tensor.

use std::path::Path;

use bioverse_nn::{Error, Result, config::Activation};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Files that hold the keys; a key of the second one wins.
const FILES: [&str; 2] = ["args.json", "config.json"];

/// No published model comes near; a file that claims more is damaged, and must not decide what we allocate.
const LARGEST: usize = 1 << 24;
const MOST_LAYERS: usize = 4096;

/// Hyper-parameters of scGPT, under the names of its own `args.json`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ScGptConfig {
    /// Width of the hidden states.
    pub embsize: usize,
    /// Attention heads.
    pub nheads: usize,
    /// Width of the feed-forward layers.
    pub d_hid: usize,
    /// Layers.
    pub nlayers: usize,
    /// Bins of expression, the one of zero included.
    #[serde(default = "ScGptConfig::default_n_bins")]
    pub n_bins: usize,
    /// Tokens of a training row, `<cls>` included. There are no positions: longer rows can be computed.
    #[serde(default = "ScGptConfig::default_max_seq_len")]
    pub max_seq_len: usize,
    /// What stands where a token has no value: at padding, and in the published `embed_data` at `<cls>`.
    #[serde(default = "ScGptConfig::default_pad_value")]
    pub pad_value: f32,
    /// The non-linearity of the feed-forward layers.
    #[serde(default = "ScGptConfig::default_activation")]
    pub activation: Activation,
    /// Epsilon of every LayerNorm.
    #[serde(default = "ScGptConfig::default_eps")]
    pub layer_norm_eps: f64,
}

impl ScGptConfig {
    fn default_n_bins() -> usize {
        51
    }

    fn default_max_seq_len() -> usize {
        1200
    }

    fn default_pad_value() -> f32 {
        -2.0
    }

    fn default_activation() -> Activation {
        Activation::Relu
    }

    fn default_eps() -> f64 {
        1e-5
    }

    /// Whether a folder holds a scGPT model, as far as its small files tell.
    pub fn is_in(dir: &Path) -> bool {
        let sized = || {
            let keys = object(&dir.join("config.json")).unwrap_or_default();
            keys.is_some_and(|keys| keys.contains_key("embsize"))
        };
        dir.join("vocab.json").is_file() && (dir.join("args.json").is_file() || sized())
    }

    /// Reads `dir/args.json` and `dir/config.json`, one of which has to be there.
    ///
    /// # Errors
    /// If neither is there, one is no JSON object, a size is missing or makes no sense, or the model reads values in another
    /// way than binned and continuous.
    pub fn load(dir: &Path) -> Result<Self> {
        let mut path = dir.join(FILES[0]);
        let mut keys = Map::new();
        for file in FILES {
            if let Some(found) = object(&dir.join(file))? {
                path = dir.join(file);
                keys.extend(found);
            }
        }
        if keys.is_empty() {
            return Err(Error::format(
                dir,
                "holds neither args.json nor config.json",
            ));
        }
        for (key, run) in [("input_style", "binned"), ("input_emb_style", "continuous")] {
            match keys.get(key).and_then(Value::as_str) {
                Some(other) if other != run => {
                    return Err(Error::Unsupported(format!(
                        "{}: {key} `{other}` is not run here, only `{run}`",
                        path.display()
                    )));
                }
                _ => {}
            }
        }
        let config = Self::deserialize(Value::Object(keys))
            .map_err(|e| Error::format(&path, e.to_string()))?;
        config
            .check()
            .map_err(|problem| Error::format(&path, problem))?;
        Ok(config)
    }

    /// What must hold between the values.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let sizes = [
            self.embsize,
            self.nheads,
            self.d_hid,
            self.max_seq_len,
            self.n_bins,
        ];
        let plausible =
            sizes.iter().all(|size| (1..LARGEST).contains(size)) && self.nlayers <= MOST_LAYERS;
        let rules = [
            (
                plausible,
                "every size must be above 0 and plausible; is the file damaged?",
            ),
            (
                self.embsize.is_multiple_of(self.nheads.max(1)),
                "embsize is not a multiple of nheads",
            ),
            (self.n_bins >= 2, "n_bins must be 2 or more"),
            (
                self.pad_value.is_finite(),
                "pad_value must be a finite number",
            ),
            (
                self.layer_norm_eps.is_finite() && self.layer_norm_eps >= 0.0,
                "layer_norm_eps must be a number from 0",
            ),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, problem)) => Err(problem),
            None => Ok(()),
        }
    }

    /// The keys, as scGPT writes them.
    pub fn to_json(&self) -> Value {
        json!({
            "model_type": "scgpt",
            "input_style": "binned",
            "input_emb_style": "continuous",
            "embsize": self.embsize,
            "nheads": self.nheads,
            "d_hid": self.d_hid,
            "nlayers": self.nlayers,
            "n_bins": self.n_bins,
            "max_seq_len": self.max_seq_len,
            "pad_token": super::PAD,
            "pad_value": self.pad_value,
            "activation": self.activation,
            "layer_norm_eps": self.layer_norm_eps,
        })
    }
}

/// The object in a file; `None` when there is no such file.
fn object(path: &Path) -> Result<Option<Map<String, Value>>> {
    let text = match std::fs::read_to_string(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io(path, e)),
        Ok(text) => text,
    };
    let object = serde_json::from_str(&text).map_err(|e| Error::format(path, e.to_string()))?;
    Ok(Some(object))
}
