//! What holds for every family: padding, batches, masks, gradients. Files are in `tests/files.rs`, what is peculiar to a
//! family in `tests/families.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod families;
mod files;
mod fused;

use super::*;
use crate::config::{LayerType, PositionEmbedding};

/// Id 1 is padding, id 2 is `<mask>`.
fn config(model_type: &str) -> EncoderConfig {
    let mut config = EncoderConfig {
        model_type: model_type.to_owned(),
        hidden_size: 16,
        num_hidden_layers: 3,
        num_attention_heads: 4,
        intermediate_size: 24,
        vocab_size: 11,
        max_position_embeddings: 12,
        initializer_range: 0.3,
        type_vocab_size: if has_types(model_type) { 2 } else { 1 },
        layer_norm_eps: 1e-6,
        ..Default::default()
    };
    match config.family() {
        EncoderFamily::Bert | EncoderFamily::Roberta => {}
        EncoderFamily::Esm => config.esm.mask_token_id = Some(2),
        EncoderFamily::ModernBert => {
            let own = &mut config.modernbert;
            own.layer_types = vec![LayerType::Full, LayerType::Sliding, LayerType::Sliding];
            own.local_attention = 2;
        }
    }
    config
}

fn has_types(model_type: &str) -> bool {
    !["esm", "modernbert"].contains(&model_type)
}

/// Every family, and the members of it that have more parameters.
fn configs() -> Vec<EncoderConfig> {
    let mut all: Vec<_> = EncoderConfig::SUPPORTED
        .iter()
        .map(|family| config(family))
        .collect();
    let mut esm = config("esm");
    esm.esm.position_embedding_type = PositionEmbedding::Absolute;
    esm.esm.emb_layer_norm_before = true;
    esm.esm.token_dropout = false;
    let mut modern = config("modernbert");
    let own = &mut modern.modernbert;
    (own.norm_bias, own.attention_bias, own.mlp_bias) = (true, true, true);
    (own.classifier_bias, own.decoder_bias) = (true, false);
    all.extend([esm, modern]);
    all
}

fn models(device: &Device) -> Vec<TransformerEncoder> {
    configs()
        .iter()
        .map(|config| TransformerEncoder::init(config, device))
        .collect()
}

fn batch<const N: usize>(rows: [[i32; 5]; N]) -> (Tensor<2, Int>, Tensor<2, Bool>) {
    let ids = Tensor::<2, Int>::from_data(rows, &Device::flex());
    (ids.clone(), ids.not_equal_elem(1))
}

fn difference<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> f32 {
    (a - b).abs().max().into_scalar()
}

#[test]
fn neither_padding_nor_company_changes_a_row() {
    for encoder in models(&Device::flex()) {
        let run = |(ids, mask)| encoder.forward(ids, mask);
        let alone = run(batch([[3, 2, 5, 1, 1]])).narrow(1, 0, 3);
        let both = run(batch([[6, 7, 8, 9, 10], [3, 2, 5, 1, 1]]));
        let both = both.narrow(0, 1, 1).narrow(1, 0, 3);
        assert!(difference(alone.clone(), both) < 1e-5);
        let (ids, mask) = batch([[3, 2, 5, 1, 1]]);
        let short = encoder.forward(ids.narrow(1, 0, 3), mask.narrow(1, 0, 3));
        assert!(difference(alone, short) < 1e-5);
    }
}

/// BERT counts columns, so that its states depend on where padding stands; in transformers too.
#[test]
fn padding_may_stand_on_the_left() {
    for encoder in models(&Device::flex()) {
        let run = |(ids, mask)| encoder.forward(ids, mask);
        let right = run(batch([[3, 2, 5, 1, 1]])).narrow(1, 0, 3);
        let left = run(batch([[1, 1, 3, 2, 5]])).narrow(1, 2, 3);
        let same = difference(right, left) < 1e-5;
        assert_eq!(same, encoder.config().model_type != "bert");
    }
}

#[test]
fn a_row_of_padding_is_finite() {
    for encoder in models(&Device::flex()) {
        let (ids, mask) = batch([[1; 5], [3, 4, 5, 6, 7]]);
        let hidden = encoder.forward(ids, mask);
        let logits = encoder.mlm_logits(hidden.clone()).unwrap();
        for tensor in [hidden, logits] {
            let values: Vec<f32> = tensor.into_data().try_to_vec().unwrap();
            assert!(values.iter().all(|value| value.is_finite()));
        }
    }
}

#[test]
fn the_last_of_the_hidden_states_is_what_forward_gives() {
    for encoder in models(&Device::flex()) {
        let (ids, mask) = batch([[3, 4, 5, 6, 1]]);
        let states = encoder.hidden_states(ids.clone(), mask.clone());
        assert_eq!(states.len(), 4);
        let last = states.last().unwrap().clone();
        assert_eq!(difference(last, encoder.forward(ids, mask)), 0.0);
        let ends = states.iter().zip(&states[1..]);
        assert!(
            ends.into_iter()
                .all(|(a, b)| difference(a.clone(), b.clone()) > 1e-3)
        );
    }
}

#[test]
fn order_matters() {
    for encoder in models(&Device::flex()) {
        let run = |(ids, mask)| encoder.forward(ids, mask).narrow(1, 0, 1);
        let there = run(batch([[3, 4, 5, 6, 7]]));
        let back = run(batch([[3, 7, 6, 5, 4]]));
        assert!(difference(there, back) > 1e-3);
    }
}

#[test]
fn every_parameter_gets_a_gradient_when_trainable() {
    for encoder in models(&Device::flex().autodiff()) {
        let (ids, mask) = batch([[3, 4, 5, 2, 1]]);
        let logits = encoder.mlm_logits(encoder.forward(ids, mask)).unwrap();
        let grads = logits.square().mean().backward();
        let with = burn::optim::GradientsParams::from_grads(grads, &encoder).len();
        assert_eq!(with, crate::params::named_params(&encoder).len());
    }
}
