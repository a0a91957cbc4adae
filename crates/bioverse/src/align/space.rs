//! The metric in which both sides of stage 1 are compared. Knows neither record nor text.
//!
//! Mean embeddings of texts all point the same way and differ along a few directions; cosines between them say little.
//! Centring and whitening spread them out. The map is applied to text vectors and to soft vectors alike, so soft tokens
//! themselves stay in the LLM's input space.

use std::collections::BTreeMap;

use burn::prelude::*;

use super::whiten::whitening;
use crate::config::TextSpace;
use crate::error::{Error, Result};

/// The word of the configuration file.
pub(super) fn label(kind: TextSpace) -> &'static str {
    match kind {
        TextSpace::Raw => "raw",
        TextSpace::Centered => "centered",
        TextSpace::Whitened => "whitened",
    }
}

/// `x ↦ (x - mean) W`, fitted on training texts.
#[derive(Debug, Clone)]
pub struct TextMetric {
    mean: Option<Tensor<2>>,
    weight: Option<Tensor<2>>,
}

impl TextMetric {
    /// Fits on the vectors of training texts.
    ///
    /// # Shapes
    /// `texts [N, d_model]`
    ///
    /// # Errors
    /// When a vector is not a number.
    pub fn fit(kind: TextSpace, texts: Tensor<2>) -> Result<Self> {
        if kind == TextSpace::Raw {
            return Ok(Self {
                mean: None,
                weight: None,
            });
        }
        let mean = texts.clone().mean_dim(0);
        let weight = match kind {
            TextSpace::Whitened => Some(whitening(texts - mean.clone())?),
            _ => None,
        };
        Ok(Self {
            mean: Some(mean),
            weight,
        })
    }

    /// # Shapes
    /// `[N, d_model] → [N, d]`
    pub fn apply(&self, x: Tensor<2>) -> Tensor<2> {
        let x = match &self.mean {
            Some(mean) => x - mean.clone(),
            None => x,
        };
        match &self.weight {
            Some(weight) => x.matmul(weight.clone()),
            None => x,
        }
    }

    /// For the bundle: `mean [d_model]`, `weight [d_model, d]`; nothing for raw.
    pub fn to_tensors(&self) -> Vec<(String, TensorData)> {
        let mean = self.mean.clone().map(|mean| {
            let [_, width] = mean.dims();
            ("mean".to_string(), mean.reshape([width]).into_data())
        });
        let weight = self
            .weight
            .clone()
            .map(|weight| ("weight".to_string(), weight.into_data()));
        mean.into_iter().chain(weight).collect()
    }

    /// The inverse.
    ///
    /// # Errors
    /// When the tensors do not fit together.
    pub fn from_tensors(tensors: &BTreeMap<String, TensorData>, device: &Device) -> Result<Self> {
        let misfit = || {
            Error::Input(
                "the text metric of this bundle is damaged: `mean` and `weight` do not fit together; align again".into(),
            )
        };
        let dims = |name: &str| {
            let shape = tensors.get(name).map(|data| data.shape().to_vec());
            shape.unwrap_or_default()
        };
        let (mean_dims, weight_dims) = (dims("mean"), dims("weight"));
        let fits = match (mean_dims.as_slice(), weight_dims.as_slice()) {
            ([], []) => true,
            ([width], []) => *width > 0,
            ([width], [rows, _]) => width == rows,
            _ => false,
        };
        if !fits {
            return Err(misfit());
        }
        let mean = tensors
            .get("mean")
            .cloned()
            .map(|data| Tensor::<1>::from_data(data, device).unsqueeze::<2>());
        let weight = tensors
            .get("weight")
            .cloned()
            .map(|data| Tensor::<2>::from_data(data, device));
        Ok(Self { mean, weight })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn texts() -> Tensor<2> {
        let word = |n| crate::train::seed::mix(3, n) >> 40;
        let values: Vec<f32> = (0..200u64)
            .map(|n| word(n) as f32 / (1u64 << 23) as f32 + (n % 4) as f32)
            .collect();
        Tensor::from_data(TensorData::new(values, [50, 4]), &Device::flex())
    }

    fn largest(x: Tensor<2>) -> f64 {
        x.abs().max().into_data().iter::<f64>().next().unwrap()
    }

    #[test]
    fn raw_changes_nothing_and_centred_texts_have_no_mean() {
        let raw = TextMetric::fit(TextSpace::Raw, texts()).unwrap();
        assert_eq!(largest(raw.apply(texts()) - texts()), 0.0);
        assert!(raw.to_tensors().is_empty());
        let centered = TextMetric::fit(TextSpace::Centered, texts()).unwrap();
        assert!(largest(centered.apply(texts()).mean_dim(0)) < 1e-5);
        assert_eq!(centered.to_tensors().len(), 1);
    }

    #[test]
    fn tensors_bring_the_same_map_back() {
        let device = Device::flex();
        for kind in [TextSpace::Raw, TextSpace::Centered, TextSpace::Whitened] {
            let metric = TextMetric::fit(kind, texts()).unwrap();
            let tensors: BTreeMap<_, _> = metric.to_tensors().into_iter().collect();
            let back = TextMetric::from_tensors(&tensors, &device).unwrap();
            assert_eq!(largest(back.apply(texts()) - metric.apply(texts())), 0.0);
        }
    }

    #[test]
    fn tensors_that_do_not_fit_are_refused() {
        let metric = TextMetric::fit(TextSpace::Whitened, texts()).unwrap();
        let mut tensors: BTreeMap<_, _> = metric.to_tensors().into_iter().collect();
        tensors.remove("mean");
        assert!(TextMetric::from_tensors(&tensors, &Device::flex()).is_err());
        tensors.insert("mean".into(), TensorData::new(vec![0f32; 3], [3]));
        assert!(TextMetric::from_tensors(&tensors, &Device::flex()).is_err());
    }
}
