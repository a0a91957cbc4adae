//! `config.json` of a Hugging Face folder, in the style of transformers 4 and of transformers 5.
//!
//! Knows names and defaults of configuration keys, nothing of tensors.

mod decoder;
mod decoder_file;
mod encoder;

use std::path::Path;

use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

pub use decoder::{DecoderConfig, DecoderFamily, RopeScaling};
pub use encoder::{
    EncoderConfig, EncoderFamily, EsmOptions, LayerType, ModernBertOptions, PositionEmbedding,
};

/// The non-linearity of a feed-forward layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Activation {
    /// The exact Gaussian error linear unit.
    #[serde(rename = "gelu")]
    Gelu,
    /// Its tanh approximation.
    #[serde(rename = "gelu_new", alias = "gelu_pytorch_tanh", alias = "gelu_fast")]
    GeluTanh,
    /// `max(0, x)`.
    #[serde(rename = "relu")]
    Relu,
    /// `x · sigmoid(x)`.
    #[serde(rename = "silu", alias = "swish")]
    Silu,
}

/// Parses a JSON file; the error names the file and, through serde, the key.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::format(
            path,
            "is not there; is this the folder of a Hugging Face model, and the download complete?",
        ),
        _ => Error::io(path, error),
    })?;
    serde_json::from_str(&text).map_err(|error| {
        let problem = match error.is_eof() || error.is_syntax() {
            true => format!("is not JSON ({error}); download the file again"),
            false => error.to_string(),
        };
        Error::format(path, problem)
    })
}

/// The family that a `config.json` names.
pub(crate) fn model_type(path: &Path) -> Result<String> {
    #[derive(serde::Deserialize)]
    struct Kind {
        model_type: Option<String>,
    }
    let kind: Kind = read_json(path)?;
    kind.model_type.ok_or_else(|| {
        let problem =
            "has no `model_type`; add the family of the model, such as \"model_type\": \"bert\"";
        Error::format(path, problem)
    })
}

/// Refuses a family before complaining about the keys it lacks.
fn check_model_type(path: &Path, supported: &[&str]) -> Result<()> {
    let family = model_type(path)?;
    if supported.contains(&family.as_str()) {
        return Ok(());
    }
    Err(Error::Unsupported(format!(
        "{}: model_type `{family}` is not supported here; supported are {}",
        path.display(),
        supported.join(", ")
    )))
}

/// Turns a broken promise between keys into an error that names the file.
fn require(path: &Path, holds: bool, problem: &str) -> Result<()> {
    match holds {
        true => Ok(()),
        false => Err(Error::format(path, problem)),
    }
}

#[cfg(test)]
mod tests;
