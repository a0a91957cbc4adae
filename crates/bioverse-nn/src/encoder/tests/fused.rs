//! The layers on plain slices against those of Burn, and what the former promise about company and threads.

use super::*;
use crate::config::Activation;

/// What rounding may do, for states of size one.
const TOLERANCE: f32 = 2e-5;

/// Rows of the given lengths, filled up to the longest.
fn rows(lengths: &[usize]) -> (Tensor<2, Int>, Tensor<2, Bool>) {
    let len = *lengths.iter().max().unwrap();
    let id = |row: usize, column: usize| match column < lengths[row] {
        true => 2 + ((row * 7 + column * column + column / 3) % 9) as i32,
        false => 1,
    };
    let ids = (0..lengths.len()).flat_map(|row| (0..len).map(move |column| id(row, column)));
    let data = TensorData::new(ids.collect(), [lengths.len(), len]);
    let ids = Tensor::<2, Int>::from_data(data, &Device::flex());
    (ids.clone(), ids.not_equal_elem(1))
}

/// Both ways, whose parameters are the same.
fn pair(config: &EncoderConfig) -> (TransformerEncoder, TransformerEncoder) {
    let encoder = TransformerEncoder::init(config, &Device::flex());
    (encoder.clone(), encoder.without_fused_layers())
}

/// The largest difference of any state of any token.
fn apart(
    (fused, burn): &(TransformerEncoder, TransformerEncoder),
    (ids, mask): &(Tensor<2, Int>, Tensor<2, Bool>),
) -> f32 {
    let states = |encoder: &TransformerEncoder| encoder.hidden_states(ids.clone(), mask.clone());
    let (got, want) = (states(fused), states(burn));
    assert!(format!("{fused:?}").contains("Frozen(made)"));
    assert_eq!(got.len(), want.len());
    let tokens = mask.clone().float().unsqueeze_dim::<3>(2);
    let pairs = got.into_iter().zip(want);
    let worst = pairs.map(|(got, want)| {
        assert_eq!(got.dims(), want.dims());
        difference(got.clone() * tokens.clone(), want * tokens.clone())
    });
    worst.fold(0.0, f32::max)
}

#[test]
fn every_family_gives_burns_numbers() {
    for mut config in configs() {
        (config.hidden_size, config.num_attention_heads) = (48, 3);
        (config.intermediate_size, config.max_position_embeddings) = (72, 300);
        (config.initializer_range, config.modernbert.local_attention) = (0.15, 16);
        let pair = pair(&config);
        for lengths in [
            &[1][..],
            &[2, 1],
            &[3, 64, 17],
            &[127, 128, 129, 5],
            &[256, 33],
        ] {
            let worst = apart(&pair, &rows(lengths));
            assert!(
                worst < TOLERANCE,
                "{} {lengths:?}: {worst}",
                config.model_type
            );
        }
    }
}

#[test]
fn long_rows_and_other_activations_too() {
    for (family, act, len) in [
        ("esm", Activation::Gelu, 1024),
        ("modernbert", Activation::GeluTanh, 700),
        ("roberta", Activation::Relu, 513),
        ("bert", Activation::Silu, 600),
    ] {
        let mut config = config(family);
        (config.hidden_size, config.num_hidden_layers) = (32, 2);
        (config.num_attention_heads, config.hidden_act) = (1, act);
        config.max_position_embeddings = 1100;
        (config.initializer_range, config.modernbert.local_attention) = (0.15, 128);
        let worst = apart(&pair(&config), &rows(&[len, len / 2 + 1]));
        assert!(worst < TOLERANCE, "{family}: {worst}");
    }
}

#[test]
fn padding_may_stand_anywhere() {
    for config in configs() {
        let worst = apart(&pair(&config), &batch([[1, 3, 1, 4, 5], [1, 1, 1, 1, 1]]));
        assert!(worst < TOLERANCE, "{}: {worst}", config.model_type);
    }
}

#[test]
fn token_types_go_into_the_sum() {
    let (fused, burn) = pair(&config("bert"));
    let (ids, mask) = rows(&[9, 5]);
    let types = Tensor::<2, Int>::from_data([[0, 0, 1, 1, 0, 1, 1, 1, 0]; 2], &Device::flex());
    let last = |encoder: &TransformerEncoder| {
        let states = encoder.hidden_states_with_types(ids.clone(), mask.clone(), types.clone());
        states.unwrap().remove(3).narrow(1, 0, 5)
    };
    assert!(difference(last(&fused), last(&burn)) < TOLERANCE);
}

fn bits(states: Tensor<3>, row: usize, len: usize) -> Vec<u32> {
    let own = states.narrow(0, row, 1).narrow(1, 0, len).into_data();
    own.iter::<f32>().map(f32::to_bits).collect()
}

/// Sums over more than 512 keys are taken in runs, which must not depend on company either.
#[test]
fn long_records_keep_their_bits_too() {
    let mut config = config("esm");
    (config.hidden_size, config.num_attention_heads) = (32, 1);
    config.num_hidden_layers = 1;
    let encoder = TransformerEncoder::init(&config, &Device::flex());
    let run = |lengths: &[usize]| {
        let (ids, mask) = rows(lengths);
        bits(encoder.forward(ids, mask), 0, lengths[0])
    };
    let alone = run(&[577]);
    assert!(alone == run(&[577, 3]) && alone == run(&[577, 600, 577]));
}

/// A record's states are the same to the bit, whatever is computed beside it and by however many threads.
#[test]
fn company_and_threads_change_no_bit() {
    for mut config in configs() {
        (config.hidden_size, config.num_attention_heads) = (32, 2);
        config.max_position_embeddings = 700;
        config.num_hidden_layers = 2;
        let encoder = TransformerEncoder::init(&config, &Device::flex());
        let run = |lengths: &[usize], threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            let pool = pool.build().unwrap();
            let (ids, mask) = rows(lengths);
            pool.install(|| encoder.forward(ids, mask))
        };
        for len in [2, 3, 31, 65, 130] {
            let alone = bits(run(&[len], 1), 0, len);
            for (company, threads) in [
                (&[len, 7, 19][..], 1),
                (&[len, 200, 3, 3, 64], 2),
                (&[len, 260], 3),
                (&[len], 2),
            ] {
                let beside = bits(run(company, threads), 0, len);
                assert!(alone == beside, "{} {company:?}", config.model_type);
            }
        }
    }
}

#[test]
fn a_copy_does_not_outlive_its_weights() {
    let (ids, mask) = batch([[3, 4, 5, 6, 7]]);
    for encoder in models(&Device::flex()) {
        let run = |encoder: &TransformerEncoder| encoder.forward(ids.clone(), mask.clone());
        let before = run(&encoder);
        let values = crate::params::named_params(&encoder).into_iter();
        let halved = values.map(|param| {
            let values: Vec<f32> = param.data.iter::<f32>().map(|x| x / 2.0).collect();
            (
                param.path,
                TensorData::new(values, param.data.shape().clone()),
            )
        });
        let (encoder, left) = crate::params::load_params(encoder, halved.collect()).unwrap();
        assert!(left.is_empty());
        let after = run(&encoder);
        assert!(difference(before, after.clone()) > 1e-3);
        assert!(difference(after, run(&encoder.without_fused_layers())) < TOLERANCE);
    }
}

#[test]
fn trainable_encoders_are_left_to_burn() {
    let (ids, mask) = batch([[3, 4, 5, 6, 7]]);
    for encoder in models(&Device::flex().autodiff()) {
        assert!(encoder.forward(ids.clone(), mask.clone()).is_autodiff());
        assert!(!format!("{encoder:?}").contains("Frozen(made)"));
    }
}
