//! A start for training: heads that look at a token so many places away. What a short stretch of residues says is told by
//! neighbours, and heads find them late, from a start that looks everywhere alike. Only rotary attention can be told so by a
//! bias; what is learnt afterwards is not constrained.
//!
//! With frequencies ω, a query bias `a·e^{iδω}` and a key bias `a`, the score of a key at distance n is `a²·Σ cos((n − δ)ω)`, which
//! is largest at n = δ (from equation 16 of Su et al. 2021, RoFormer, arXiv 2104.09864).

use burn::{module::Param, prelude::*, tensor::TensorData};

use super::{Body, TransformerEncoder};
use crate::{
    error::{Error, Result},
    linear::Linear,
};

/// Frequencies that are used, the fastest ones: slower ones hardly tell one place from the next.
const FREQUENCIES: usize = 4;
/// What the score at the wanted distance is above that one place further, divided by the temperature of the softmax.
const CONTRAST: f64 = 4.0;

impl TransformerEncoder {
    /// Lets the first heads of the first layer look at tokens `offsets` places away (`-1` = the one before), one head each.
    ///
    /// # Errors
    /// A model without rotary positions, or with fewer heads than offsets.
    pub fn looking_at(mut self, offsets: &[i32]) -> Result<Self> {
        let heads = self.config.num_attention_heads;
        let attention = match &mut self.body {
            Body::Esm(esm) if offsets.len() <= heads => esm.first_attention(),
            _ => None,
        };
        let Some((attention, frequencies)) = attention else {
            return Err(Error::Unsupported(format!(
                "{} heads cannot start at places of their own; that takes rotary positions, as ESM-2 has, and as many heads \
                 (here {heads})",
                offsets.len()
            )));
        };
        let (query, key) = biases(offsets, heads, &frequencies);
        shift(&mut attention.query, query);
        shift(&mut attention.key, key);
        Ok(self)
    }
}

/// Biases of queries and keys, head after head; zero for heads without an offset.
fn biases(offsets: &[i32], heads: usize, frequencies: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let half = frequencies.len();
    let used = &frequencies[..half.min(FREQUENCIES)];
    let step: f64 = used.iter().map(|w| 1.0 - f64::from(*w).cos()).sum();
    let length = (CONTRAST * ((2 * half) as f64).sqrt() / step).sqrt();
    let (mut query, mut key) = (vec![0.0; heads * 2 * half], vec![0.0; heads * 2 * half]);
    for (head, offset) in offsets.iter().enumerate() {
        for (i, frequency) in used.iter().enumerate() {
            let angle = f64::from(*offset) * f64::from(*frequency);
            let at = head * 2 * half + i;
            query[at] = (length * angle.cos()) as f32;
            query[at + half] = (length * angle.sin()) as f32;
            key[at] = length as f32;
        }
    }
    (query, key)
}

fn shift(linear: &mut Linear, by: Vec<f32>) {
    let add = |bias: Param<Tensor<1>>| {
        bias.map(|bias| {
            let width = by.len();
            let by = Tensor::from_data(TensorData::new(by.clone(), [width]), &bias.device());
            // Still a parameter, not the result of a computation.
            let required = bias.is_require_grad();
            let moved = (bias + by).detach();
            if required {
                moved.require_grad()
            } else {
                moved
            }
        })
    };
    linear.bias = linear.bias.take().map(add);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::config::{EncoderConfig, PositionEmbedding};

    fn config() -> EncoderConfig {
        let mut config = EncoderConfig {
            model_type: "esm".into(),
            hidden_size: 64,
            num_hidden_layers: 1,
            num_attention_heads: 2,
            intermediate_size: 32,
            vocab_size: 33,
            max_position_embeddings: 66,
            initializer_range: 0.02,
            ..Default::default()
        };
        config.esm.position_embedding_type = PositionEmbedding::Rotary;
        config
    }

    #[test]
    fn a_head_weighs_the_token_at_its_offset_most() {
        let frequencies = crate::rope::plain_frequencies(10000.0, 32);
        for offset in [-3, -1, 0, 2] {
            let (query, key) = biases(&[offset], 1, &frequencies);
            // Turned by positions m and n, as rotary attention does it.
            let score = |distance: f32| -> f32 {
                let each = frequencies.iter().enumerate();
                let parts = each.map(|(i, w)| {
                    let turn = distance * w;
                    let (re, im) = (key[i] * turn.cos(), key[i] * turn.sin());
                    query[i] * re + query[i + 16] * im
                });
                parts.sum::<f32>() / 32f32.sqrt()
            };
            let total: f32 = (-40..=40).map(|n| score(n as f32).exp()).sum();
            let share = score(offset as f32).exp() / total;
            assert!(share > 0.9, "{offset}: {share}");
        }
    }

    /// The state of a token changes with the token at the offset, and hardly with others.
    #[test]
    fn the_model_reads_what_stands_there() {
        let device = Device::flex();
        let model = TransformerEncoder::init(&config(), &device)
            .looking_at(&[2, 2])
            .unwrap();
        let state = |changed: Option<usize>| -> Vec<f32> {
            let mut ids: Vec<i32> = (0..20).map(|i| 4 + i % 7).collect();
            if let Some(at) = changed {
                ids[at] = 20;
            }
            let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [1, 20]), &device);
            let mask = ids.clone().greater_elem(0);
            let states = model.forward(ids, mask);
            states.narrow(1, 10, 1).into_data().try_to_vec().unwrap()
        };
        let plain = state(None);
        let moved = |at: usize| -> f32 {
            let other = state(Some(at));
            plain
                .iter()
                .zip(other)
                .map(|(a, b)| (a - b).powi(2))
                .sum::<f32>()
                .sqrt()
        };
        let (there, elsewhere) = (moved(12), moved(5).max(moved(8)).max(moved(15)));
        assert!(there > 10.0 * elsewhere, "{there} {elsewhere}");
    }

    #[test]
    fn learned_positions_and_too_many_offsets_are_refused() {
        let device = Device::flex();
        let model = || TransformerEncoder::init(&config(), &device);
        assert!(model().looking_at(&[1, 2, 3]).is_err());
        let bert = EncoderConfig {
            model_type: "bert".into(),
            ..config()
        };
        let refused = TransformerEncoder::init(&bert, &device).looking_at(&[1]);
        assert!(refused.unwrap_err().to_string().contains("rotary"));
    }
}
