//! How the states of a text become one vector, and how the soft tokens of a record become one beside it. Knows neither where
//! states come from nor in which metric vectors are compared.

use bioverse_core::Projector;
use burn::prelude::*;
use serde::{Deserialize, Serialize};

use crate::config::{AlignSection, BioSource, TextPool, TextSource};
use crate::error::{Error, Result};

/// Under the square root of a variance: the slope of a standard deviation at zero has to be finite.
const EPSILON: f64 = 1e-8;

/// Where the vectors of both sides come from. A bundle stores it, for what was aligned to one is lost in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readout {
    /// States of a text.
    pub source: TextSource,
    /// Which hidden states, counted as Hugging Face does; without meaning for input embeddings.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub layer: i64,
    /// How states become one vector.
    pub pool: TextPool,
    /// What stands for a record.
    #[serde(default, skip_serializing_if = "is_default")]
    pub records: BioSource,
}

fn is_zero(layer: &i64) -> bool {
    *layer == 0
}

fn is_default(records: &BioSource) -> bool {
    *records == BioSource::default()
}

impl Default for Readout {
    /// The mean of input embeddings, which bundles that say nothing were aligned to.
    fn default() -> Self {
        Self {
            source: TextSource::InputEmbeddings,
            layer: 0,
            pool: TextPool::Mean,
            records: BioSource::SoftTokens,
        }
    }
}

impl Readout {
    /// As the configuration says.
    pub fn of(align: &AlignSection) -> Self {
        Self {
            source: align.text_from,
            layer: match align.text_from {
                TextSource::InputEmbeddings => 0,
                TextSource::HiddenStates => align.text_layer,
            },
            pool: align.text_pool,
            records: align.bio_from,
        }
    }

    /// Whether bundles need not mention it.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The index among the hidden states of an LLM of `layers` layers: 0 = its inputs, `layers` = after the final norm.
    ///
    /// # Errors
    /// When the LLM has no such layer.
    pub fn index(&self, layers: usize) -> Result<usize> {
        let count = layers as i64 + 1;
        let index = if self.layer < 0 {
            self.layer + count
        } else {
            self.layer
        };
        match (0..count).contains(&index) {
            true => Ok(index as usize),
            false => Err(Error::Input(format!(
                "align.text_layer is {}, but the LLM has hidden states 0 to {layers} (or -{count} to -1, counted from the \
                 last); choose one of them",
                self.layer
            ))),
        }
    }

    /// Width of a vector for an LLM of width `d_model`.
    pub fn width(&self, d_model: usize) -> usize {
        match self.pool {
            TextPool::MeanStd => 2 * d_model,
            TextPool::Mean | TextPool::LastToken => d_model,
        }
    }

    /// One vector per row of states. The standard deviation is the population's, over real positions.
    ///
    /// # Shapes
    /// `states [N, T, d]`, `mask [N, T]` (true = real, at least one a row) → `[N, width(d)]`
    pub fn pool(&self, states: Tensor<3>, mask: Tensor<2, Bool>) -> Tensor<2> {
        let [n, t, _] = states.dims();
        let real: Vec<bool> = mask.to_data().iter::<bool>().collect();
        let weights: Vec<f32> = real
            .chunks(t.max(1))
            .flat_map(|row| match self.pool {
                TextPool::LastToken => last(row),
                TextPool::Mean | TextPool::MeanStd => equal(row),
            })
            .collect();
        // Constants belong on the plain device: they are no part of a graph.
        let device = mask.device().inner();
        let weights = Tensor::<2>::from_data(TensorData::new(weights, [n, t]), &device);
        let weights = weights.unsqueeze_dim::<3>(2);
        let sum = |x: Tensor<3>| -> Tensor<2> { x.sum_dim(1).squeeze_dim(1) };
        let mean = sum(states.clone() * weights.clone());
        match self.pool {
            TextPool::Mean | TextPool::LastToken => mean,
            TextPool::MeanStd => {
                let centred = states - mean.clone().unsqueeze_dim::<3>(1);
                let variance = sum(centred.clone() * centred * weights);
                Tensor::cat(vec![mean, variance.add_scalar(EPSILON).sqrt()], 1)
            }
        }
    }

    /// The vector of a record beside that of its text: the mean of its soft tokens, with their standard deviation where
    /// texts have theirs. Soft tokens have no last one that would stand for all, so with `last-token` too it is the mean.
    /// The task token, equal for all records, is left out.
    ///
    /// # Shapes
    /// `pooled [N, num_soft_tokens, d_hidden]` → `[N, width(d_model)]`
    pub fn soft(&self, projector: &Projector, pooled: Tensor<3>) -> Tensor<2> {
        if self.pool != TextPool::MeanStd {
            return projector.embed(pooled);
        }
        let count = projector.config().num_soft_tokens;
        let tokens = projector.project(pooled).embeds.narrow(1, 0, count);
        let [n, k, _] = tokens.dims();
        let mask = Tensor::<2, Bool>::from_data(
            TensorData::new(vec![true; n * k], [n, k]),
            &tokens.device().inner(),
        );
        self.pool(tokens, mask)
    }

    /// Refuses what could not be compared.
    ///
    /// # Errors
    /// The spread of a single soft token is always zero.
    pub fn check(&self, modality: &str, num_soft_tokens: usize) -> Result<()> {
        let alone = self.records == BioSource::SoftTokens && num_soft_tokens < 2;
        match self.pool == TextPool::MeanStd && alone {
            true => Err(Error::Input(format!(
                "align.text_pool = \"mean-std\" compares the spread of soft tokens too, but a `{modality}` record has one \
                 only; set `projector.num_soft_tokens` to 2 or more, or `align.text_pool` to \"mean\""
            ))),
            false => Ok(()),
        }
    }

    /// For people: `mean of input embeddings`.
    pub fn label(&self) -> String {
        let pool = match self.pool {
            TextPool::Mean => "mean",
            TextPool::MeanStd => "mean and standard deviation",
            TextPool::LastToken => "last token",
        };
        match self.source {
            TextSource::InputEmbeddings => format!("{pool} of input embeddings"),
            TextSource::HiddenStates => format!("{pool} of hidden states {}", self.layer),
        }
    }
}

/// Weights of a mean over what is real.
fn equal(row: &[bool]) -> Vec<f32> {
    let share = 1.0 / row.iter().filter(|real| **real).count().max(1) as f32;
    row.iter()
        .map(|real| if *real { share } else { 0.0 })
        .collect()
}

/// Weights that choose the last real one.
fn last(row: &[bool]) -> Vec<f32> {
    let at = row.iter().rposition(|real| *real);
    (0..row.len())
        .map(|i| if Some(i) == at { 1.0 } else { 0.0 })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use bioverse_core::{Preset, ProjectorConfig};

    fn readout(pool: TextPool) -> Readout {
        Readout {
            pool,
            ..Readout::default()
        }
    }

    fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
        x.into_data().iter::<f32>().collect()
    }

    /// Two rows of three states, the first with padding at both sides of it.
    fn states(device: &Device) -> (Tensor<3>, Tensor<2, Bool>) {
        let states = Tensor::from_data(
            [
                [[9.0f32, 9.0], [1.0, -2.0], [3.0, 2.0], [7.0, 7.0]],
                [[1.0, 1.0], [2.0, 1.0], [3.0, 1.0], [6.0, 1.0]],
            ],
            device,
        );
        let mask = [[false, true, true, false], [true; 4]];
        (states, Tensor::from_data(mask, &device.clone().inner()))
    }

    #[test]
    fn pools_are_what_their_names_say_and_padding_has_no_part() {
        let device = Device::flex();
        let (states, mask) = states(&device);
        let of = |pool| values(readout(pool).pool(states.clone(), mask.clone()));
        assert_eq!(of(TextPool::Mean), [2.0, 0.0, 3.0, 1.0]);
        assert_eq!(of(TextPool::LastToken), [3.0, 2.0, 6.0, 1.0]);
        let expected = [2.0, 0.0, 1.0, 2.0, 3.0, 1.0, 3.5f32.sqrt(), 1e-4];
        for (got, expected) in of(TextPool::MeanStd).into_iter().zip(expected) {
            assert!((got - expected).abs() < 1e-6, "{got} {expected}");
        }
    }

    #[test]
    fn gradients_of_the_spread_agree_with_differences_and_are_finite_at_zero() {
        let device = Device::flex().autodiff();
        let (x, mask) = states(&device);
        let weights = Tensor::<2>::from_data(
            [[0.3f32, -0.7, 1.1, 0.5], [-0.2, 0.4, 0.9, 0.0]],
            &Device::flex(),
        );
        let readout = readout(TextPool::MeanStd);
        let loss = |x: Tensor<3>| (readout.pool(x, mask.clone()) * weights.clone()).sum();
        let x = x.require_grad();
        let gradient = values(x.grad(&loss(x.clone()).backward()).unwrap());
        assert!(gradient.iter().all(|g| g.is_finite()));
        let base = values(x.clone().inner());
        for i in (0..base.len()).filter(|i| *i < 8 || i % 2 == 0) {
            let at = |delta: f32| {
                let mut moved = base.clone();
                moved[i] += delta;
                let data = TensorData::new(moved, [2, 4, 2]);
                values(loss(Tensor::from_data(data, &Device::flex())))[0]
            };
            let difference = (at(1e-2) - at(-1e-2)) / 2e-2;
            assert!(
                (gradient[i] - difference).abs() < 2e-3,
                "{i}: {} {difference}",
                gradient[i]
            );
        }
    }

    #[test]
    fn soft_tokens_are_read_as_texts_are_and_the_task_token_is_left_out() {
        let device = Device::flex();
        let config = ProjectorConfig {
            preset: Preset::Linear,
            num_soft_tokens: 3,
            task_token: true,
            ..ProjectorConfig::default()
        };
        let projector = config.init(2, 4, &device);
        let pooled = Tensor::from_data([[[1.0f32, 2.0], [0.0, 1.0], [5.0, -1.0]]], &device);
        let tokens = values(projector.project(pooled.clone()).embeds);
        let mean = |j: usize| (0..3).map(|i| tokens[i * 4 + j]).sum::<f32>() / 3.0;
        let both = values(readout(TextPool::MeanStd).soft(&projector, pooled.clone()));
        let last = values(readout(TextPool::LastToken).soft(&projector, pooled));
        for j in 0..4 {
            let spread = (0..3).map(|i| (tokens[i * 4 + j] - mean(j)).powi(2));
            let std = (spread.sum::<f32>() / 3.0).sqrt();
            assert!((both[j] - mean(j)).abs() < 1e-5 && (last[j] - mean(j)).abs() < 1e-5);
            assert!((both[4 + j] - std).abs() < 1e-4);
        }
    }

    #[test]
    fn layers_count_from_both_ends_and_others_are_refused() {
        let at = |layer| {
            Readout {
                layer,
                ..Readout::default()
            }
            .index(3)
        };
        let found: Vec<usize> = (-4..4).map(|layer| at(layer).unwrap()).collect();
        assert_eq!(found, [0, 1, 2, 3, 0, 1, 2, 3]);
        for layer in [-5, 4] {
            let error = at(layer).unwrap_err();
            assert!(error.to_string().contains("0 to 3"), "{error}");
            assert_eq!(error.exit_code(), 2);
        }
        assert!(readout(TextPool::MeanStd).check("molecule", 1).is_err());
        assert!(readout(TextPool::MeanStd).check("molecule", 2).is_ok());
        assert!(readout(TextPool::Mean).check("molecule", 1).is_ok());
    }

    #[test]
    fn it_is_stored_in_the_words_of_the_configuration() {
        let default = serde_json::to_string(&Readout::default()).unwrap();
        assert_eq!(default, r#"{"source":"input-embeddings","pool":"mean"}"#);
        let other = Readout {
            source: TextSource::HiddenStates,
            layer: -2,
            pool: TextPool::MeanStd,
            records: BioSource::HiddenStates,
        };
        let json = serde_json::to_string(&other).unwrap();
        assert_eq!(serde_json::from_str::<Readout>(&json).unwrap(), other);
    }
}
