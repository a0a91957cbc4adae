//! Rotary position embedding, half-split as in Hugging Face models: element `i` turns with element `i + head_dim / 2`.
//!
//! Angles are f32 whatever the weights were stored in.

use burn::{prelude::*, tensor::TensorData};

use crate::config::{DecoderConfig, RopeScaling};

/// Angles of one batch, shared by all layers.
#[derive(Debug, Clone)]
pub struct Rotary {
    /// `[B or 1, 1, T, head_dim]`.
    cos: Tensor<4>,
    /// `[B or 1, 1, T, head_dim]`.
    sin: Tensor<4>,
    /// `[head_dim, head_dim]`: `x · half_turn = (-x₂, x₁)`.
    half_turn: Tensor<2>,
}

impl Rotary {
    /// Angles for `position_ids [B, T]`.
    pub fn new(config: &DecoderConfig, position_ids: Tensor<2, Int>) -> Self {
        Self::turning(frequencies(config), position_ids)
    }

    /// Angles for columns `0..len` of any batch, from `head_dim / 2` frequencies in radians per position.
    pub fn columns(frequencies: Vec<f32>, len: usize, device: &Device) -> Self {
        let positions = Tensor::<1, Int>::arange(0..len as i64, device);
        Self::turning(frequencies, positions.unsqueeze())
    }

    fn turning(frequencies: Vec<f32>, position_ids: Tensor<2, Int>) -> Self {
        let device = position_ids.device().inner();
        let half = frequencies.len();
        let frequencies = Tensor::<1>::from_data(TensorData::new(frequencies, [half]), &device);
        let [batch, len] = position_ids.dims();
        let positions = position_ids.float().reshape([batch, 1, len, 1]);
        let angles = positions * frequencies.reshape([1, 1, 1, half]);
        let angles = Tensor::cat(vec![angles.clone(), angles], 3);
        Self {
            cos: angles.clone().cos(),
            sin: angles.sin(),
            half_turn: half_turn(half, &device),
        }
    }

    /// Turns queries or keys, `[B, heads, T, head_dim] → [B, heads, T, head_dim]`.
    ///
    /// The half turn is a product with a signed permutation: exact, and much cheaper to differentiate than two slices
    /// and a concatenation.
    pub fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        let shape = x.dims();
        let flat = x.clone().reshape([-1, shape[3] as i32]);
        let dtype = x.dtype();
        let turned = flat.matmul(self.half_turn.clone().cast(dtype));
        let turned = turned.reshape(shape) * self.sin.clone().cast(dtype);
        x * self.cos.clone().cast(dtype) + turned
    }
}

fn half_turn(half: usize, device: &Device) -> Tensor<2> {
    let width = 2 * half;
    let mut values = vec![0.0f32; width * width];
    for i in 0..half {
        values[(half + i) * width + i] = -1.0;
        values[i * width + half + i] = 1.0;
    }
    Tensor::from_data(TensorData::new(values, [width, width]), device)
}

/// `head_dim / 2` frequencies in radians per position, scaled as the configuration says.
fn frequencies(config: &DecoderConfig) -> Vec<f32> {
    unscaled(config.rope_theta, config.head_dim)
        .map(|frequency| scaled(frequency, config.rope_scaling) as f32)
        .collect()
}

/// `head_dim / 2` frequencies in radians per position: `theta^(-2i / head_dim)`.
pub fn plain_frequencies(theta: f64, head_dim: usize) -> Vec<f32> {
    unscaled(theta, head_dim).map(|f| f as f32).collect()
}

fn unscaled(theta: f64, head_dim: usize) -> impl Iterator<Item = f64> {
    let one = move |i: usize| theta.powf(-(i as f64) / head_dim as f64);
    (0..head_dim).step_by(2).map(one)
}

fn scaled(frequency: f64, scaling: RopeScaling) -> f64 {
    match scaling {
        RopeScaling::None => frequency,
        RopeScaling::Linear { factor } => frequency / factor,
        RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_max_position_embeddings,
        } => {
            let original = original_max_position_embeddings as f64;
            // How many turns the frequency makes within the original context.
            let turns = original * frequency / std::f64::consts::TAU;
            if turns < low_freq_factor {
                frequency / factor
            } else if turns > high_freq_factor {
                frequency
            } else {
                let kept = (turns - low_freq_factor) / (high_freq_factor - low_freq_factor);
                frequency * (kept + (1.0 - kept) / factor)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn config(rope_scaling: RopeScaling) -> DecoderConfig {
        DecoderConfig {
            head_dim: 8,
            rope_scaling,
            ..Default::default()
        }
    }

    fn rotate(values: &[f32], position: i32) -> Vec<f32> {
        let device = Device::flex();
        let positions = Tensor::<2, Int>::from_data([[position]], &device);
        let x = Tensor::<1>::from_data(values, &device).reshape([1, 1, 1, 8]);
        let rotary = Rotary::new(&config(RopeScaling::None), positions);
        rotary.apply(x).into_data().try_to_vec().unwrap()
    }

    #[test]
    fn pairs_are_half_a_head_apart() {
        let mut x = [0.0; 8];
        x[1] = 1.0;
        let got = rotate(&x, 3);
        let angle = 3.0 * 10_000f32.powf(-0.25);
        let mut want = [0.0; 8];
        (want[1], want[5]) = (angle.cos(), angle.sin());
        assert!(
            got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-6),
            "{got:?} {want:?}"
        );
    }

    #[test]
    fn frequencies_fall_from_one_by_powers_of_the_base() {
        assert_eq!(plain_frequencies(16.0, 4), [1.0, 0.25]);
        let device = Device::flex();
        let columns = Rotary::columns(vec![1.0, 0.25], 3, &device);
        let angles: Vec<f32> = columns.sin.into_data().try_to_vec().unwrap();
        let want = [
            0.0f32, 0.0, 0.0, 0.0, 1.0, 0.25, 1.0, 0.25, 2.0, 0.5, 2.0, 0.5,
        ]
        .map(f32::sin);
        assert!(angles.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6));
    }

    #[test]
    fn scores_depend_on_the_distance_only() {
        let a = [0.3, -1.0, 0.5, 2.0, -0.7, 0.1, 0.9, -0.4];
        let b = [1.1, 0.2, -0.6, 0.8, 0.4, -1.5, 0.3, 0.7];
        let score = |p: i32, q: i32| -> f32 {
            rotate(&a, p)
                .iter()
                .zip(rotate(&b, q))
                .map(|(x, y)| x * y)
                .sum()
        };
        assert!((score(9, 4) - score(105, 100)).abs() < 1e-4);
        assert!((score(9, 4) - score(9, 5)).abs() > 1e-2);
    }

    #[test]
    fn llama3_scaling_has_three_branches() {
        let llama3 = RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 64,
        };
        let plain = frequencies(&config(RopeScaling::None));
        let scaled = frequencies(&config(llama3));
        // Within 64 positions the four frequencies make 10.2, 1.02, 0.1 and 0.01 turns.
        assert_eq!(scaled[0], plain[0]);
        assert!(scaled[1] > plain[1] / 8.0 && scaled[1] < plain[1]);
        assert_eq!(scaled[2..], [plain[2] / 8.0, plain[3] / 8.0]);
        let linear = frequencies(&config(RopeScaling::Linear { factor: 4.0 }));
        assert_eq!(linear[0], plain[0] / 4.0);
    }
}
