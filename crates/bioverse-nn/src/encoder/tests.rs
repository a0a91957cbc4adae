//! Properties of the encoder: padding, batches, masks.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

fn model(model_type: &str, device: &Device) -> TransformerEncoder {
    let config = EncoderConfig {
        model_type: model_type.to_owned(),
        hidden_size: 16,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        intermediate_size: 24,
        vocab_size: 11,
        max_position_embeddings: 12,
        initializer_range: 0.3,
        ..Default::default()
    };
    TransformerEncoder::init(&config, device)
}

/// Id 1 is padding.
fn batch<const N: usize>(rows: [[i32; 5]; N]) -> (Tensor<2, Int>, Tensor<2, Bool>) {
    let ids = Tensor::<2, Int>::from_data(rows, &Device::flex());
    (ids.clone(), ids.not_equal_elem(1))
}

fn difference(a: Tensor<3>, b: Tensor<3>) -> f32 {
    (a - b).abs().max().into_scalar()
}

#[test]
fn neither_padding_nor_company_changes_a_row() {
    for family in EncoderConfig::SUPPORTED {
        let encoder = model(family, &Device::flex());
        let run = |(ids, mask)| encoder.forward(ids, mask);
        let alone = run(batch([[3, 4, 5, 1, 1]]));
        let both = run(batch([[6, 7, 8, 9, 10], [3, 4, 5, 1, 1]]));
        assert!(difference(alone.clone(), both.narrow(0, 1, 1)) < 1e-5);
        let (ids, mask) = batch([[3, 4, 5, 1, 1]]);
        let short = encoder.forward(ids.narrow(1, 0, 3), mask.narrow(1, 0, 3));
        assert!(difference(alone.narrow(1, 0, 3), short) < 1e-5);
    }
}

#[test]
fn a_row_of_padding_is_finite() {
    let encoder = model("roberta", &Device::flex());
    let (ids, mask) = batch([[1; 5]]);
    assert!(
        !encoder
            .forward(ids, mask)
            .contains_nan()
            .into_scalar::<bool>()
    );
}

#[test]
fn positions_follow_the_family() {
    let (ids, _) = batch([[3, 4, 1, 5, 1]]);
    let of = |family| {
        let config = model(family, &Device::flex()).config;
        let values: Vec<i64> = positions(ids.clone(), &config).into_data().iter().collect();
        values
    };
    assert_eq!(of("roberta"), [2, 3, 1, 4, 1]);
    assert_eq!(of("bert"), [0, 1, 2, 3, 4]);
}

#[test]
fn a_saved_encoder_comes_back() {
    for family in EncoderConfig::SUPPORTED {
        let (dir, encoder) = (tempfile::tempdir().unwrap(), model(family, &Device::flex()));
        let (ids, mask) = batch([[3, 4, 5, 6, 1]]);
        let want = encoder.forward(ids.clone(), mask.clone());
        let want = encoder.mlm_logits(want).unwrap();
        for (dtype, tolerance) in [(StoredDtype::F32, 1e-6), (StoredDtype::F16, 2e-2)] {
            encoder.save(dir.path(), dtype).unwrap();
            let read = TransformerEncoder::load(dir.path(), &Device::flex()).unwrap();
            let got = read
                .mlm_logits(read.forward(ids.clone(), mask.clone()))
                .unwrap();
            assert!(difference(got, want.clone()) < tolerance);
        }
    }
}

#[test]
fn a_headless_checkpoint_without_prefix_loads() {
    let (dir, device) = (tempfile::tempdir().unwrap(), Device::flex());
    let encoder = model("bert", &device);
    encoder.save(dir.path(), StoredDtype::F32).unwrap();
    let weights = Weights::open(dir.path()).unwrap();
    let bare = weights.names().into_iter().filter_map(|name| {
        Some((
            name.strip_prefix("bert.")?.to_owned(),
            weights.data(name).unwrap(),
        ))
    });
    let file = dir.path().join("model.safetensors");
    save_safetensors(&file, bare.collect(), StoredDtype::F32, BTreeMap::new()).unwrap();
    let read = TransformerEncoder::load(dir.path(), &device).unwrap();
    let (ids, mask) = batch([[3, 4, 5, 6, 1]]);
    let hidden = read.forward(ids.clone(), mask.clone());
    assert!(read.mlm_logits(hidden.clone()).is_none());
    assert!(difference(hidden, encoder.forward(ids, mask)) < 1e-6);
}

#[test]
fn every_parameter_gets_a_gradient_when_trainable() {
    let device = Device::flex().autodiff();
    let encoder = model("roberta", &device);
    let (ids, mask) = batch([[3, 4, 5, 6, 1]]);
    let logits = encoder.mlm_logits(encoder.forward(ids, mask)).unwrap();
    let grads = logits.square().mean().backward();
    let with = burn::optim::GradientsParams::from_grads(grads, &encoder).len();
    assert_eq!(with, crate::params::named_params(&encoder).len());
}
