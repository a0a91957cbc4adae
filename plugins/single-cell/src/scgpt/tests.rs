//! Tokens by hand, folders as they are published, and a model that is made, trained on, stored and read again.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::path::Path;

use bioverse_nn::Weights;
use bioverse_nn::params::named_params;
use bioverse_nn::weights::{StoredDtype, save_safetensors};
use burn::optim::GradientsParams;
use burn::prelude::*;
use serde_json::{Value, json};

use super::*;

const GENES: [&str; 4] = ["CD3D", "LYZ", "MS4A1", "NKG7"];

fn preprocessing(max_length: usize) -> Preprocessing {
    Preprocessing {
        cls: 9,
        cls_value: -2.0,
        n_bins: 4,
        max_length,
    }
}

fn config() -> ScGptConfig {
    ScGptConfig {
        embsize: 8,
        nheads: 2,
        d_hid: 12,
        nlayers: 2,
        n_bins: 5,
        max_seq_len: 20,
        pad_value: -2.0,
        activation: bioverse_nn::config::Activation::Relu,
        layer_norm_eps: 1e-5,
    }
}

fn values(tensor: Tensor<3>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

/// Three cells, of which the last is padding alone.
fn batch(device: &Device) -> (Tensor<2, Int>, Tensor<2>, Tensor<2, Bool>) {
    (
        Tensor::from_data([[5, 0, 2], [5, 1, 4], [4, 4, 4]], device),
        Tensor::from_data(
            [[-2.0, 1.0, 4.0], [-2.0, 600.0, -2.0], [-2.0, -2.0, -2.0]],
            device,
        ),
        Tensor::from_data(
            [
                [true, true, true],
                [true, true, false],
                [false, false, false],
            ],
            device,
        ),
    )
}

fn made(dir: &Path) -> ScGptEncoder {
    let rows = save_vocabulary(dir, &GENES).unwrap();
    let encoder = ScGptEncoder::init(&config(), rows, &Device::flex()).unwrap();
    encoder.save(dir, StoredDtype::F32).unwrap();
    encoder
}

#[test]
fn bins_come_before_genes_are_left_out_and_genes_keep_their_order() {
    let (ids, expression) = ([3, 1, 7, 5], [1.0, 3.0, 2.0, 3.0]);
    let all = preprocessing(10).tokens(&ids, &expression);
    assert_eq!(all.input_ids, [9, 3, 1, 7, 5]);
    assert_eq!(all.values, [-2.0, 1.0, 3.0, 1.0, 3.0]);
    let three = preprocessing(4).tokens(&ids, &expression);
    assert_eq!(
        (three.input_ids, three.values),
        (vec![9, 1, 7, 5], vec![-2.0, 3.0, 1.0, 3.0])
    );
    // Of the two highest, the earlier.
    let one = preprocessing(2).tokens(&ids, &expression);
    assert_eq!((one.input_ids, one.values), (vec![9, 1], vec![-2.0, 3.0]));
    assert_eq!(preprocessing(4).tokens(&[], &[]).input_ids, [9]);
}

#[test]
fn a_stored_model_is_read_again_under_every_name_it_may_have() {
    let dir = tempfile::tempdir().unwrap();
    let device = Device::flex();
    let made = made(dir.path());
    let (ids, numbers, mask) = batch(&device);
    let wanted = values(made.forward(ids.clone(), numbers.clone(), mask.clone()));
    assert!(
        wanted.iter().all(|x| x.is_finite()),
        "a row of padding alone has finite states"
    );
    let stored = Weights::open(dir.path()).unwrap();
    let names = stored.names();
    assert!(
        names.contains(&"transformer_encoder.layers.1.self_attn.in_proj_weight"),
        "{names:?}"
    );
    let renamed = |rename: &dyn Fn(&str) -> String| {
        let tensors = names
            .iter()
            .map(|name| (rename(name), stored.data(name).unwrap()));
        let file = dir.path().join("renamed.safetensors");
        save_safetensors(&file, tensors.collect(), StoredDtype::F32, BTreeMap::new()).unwrap();
        let weights = Weights::open_file(&file).unwrap();
        let read = ScGptEncoder::from_weights(config(), &weights, &device).unwrap();
        values(read.forward(ids.clone(), numbers.clone(), mask.clone()))
    };
    let flash = |name: &str| name.replace("in_proj_", "Wqkv.");
    let wrapped = |name: &str| format!("module.{name}");
    for rename in [&str::to_owned as &dyn Fn(&str) -> String, &flash, &wrapped] {
        assert_eq!(renamed(rename), wanted);
    }
}

#[test]
fn parameters_train_on_an_autodiff_device_alone() {
    let device = Device::flex().autodiff();
    let encoder = ScGptEncoder::init(&config(), 7, &device).unwrap();
    let (ids, numbers, mask) = batch(&device);
    let gradients = encoder
        .forward(ids, numbers, mask)
        .powi_scalar(2)
        .sum()
        .backward();
    let gradients = GradientsParams::from_grads(gradients, &encoder);
    assert_eq!(gradients.len(), named_params(&encoder).len());
    assert!(named_params(&encoder).iter().all(|p| p.trainable));
    let frozen = ScGptEncoder::init(&config(), 7, &Device::flex()).unwrap();
    assert!(named_params(&frozen).iter().all(|p| !p.trainable));
}

#[test]
fn larger_values_are_cut_and_the_activation_is_the_configured_one() {
    let device = Device::flex();
    let encoder = ScGptEncoder::init(&config(), 7, &device).unwrap();
    let embedded = |value: f32| {
        let ids = Tensor::from_data([[0]], &device);
        values(encoder.embed(ids, Tensor::from_data([[value]], &device)))
    };
    assert_eq!(embedded(512.0), embedded(9000.0));
    let dir = tempfile::tempdir().unwrap();
    made(dir.path());
    let text = std::fs::read_to_string(dir.path().join("args.json")).unwrap();
    let mut args: Value = serde_json::from_str(&text).unwrap();
    let states = |args: &Value| {
        std::fs::write(dir.path().join("args.json"), args.to_string()).unwrap();
        let (ids, numbers, mask) = batch(&device);
        values(
            ScGptEncoder::load(dir.path(), &device)
                .unwrap()
                .forward(ids, numbers, mask),
        )
    };
    let relu = states(&args);
    args["activation"] = json!("gelu");
    assert_ne!(states(&args), relu);
}

#[test]
fn special_tokens_that_a_vocabulary_lacks_follow_its_last_id() {
    let dir = tempfile::tempdir().unwrap();
    let write = |vocabulary: &Value| {
        std::fs::write(dir.path().join("vocab.json"), vocabulary.to_string()).unwrap();
        ScGptVocabulary::load(dir.path(), 6)
    };
    let all = write(&json!({"A": 0, "<cls>": 1, "<pad>": 5})).unwrap();
    assert_eq!((all.pad, all.cls, all.genes.len()), (5, 1, 1));
    let none = write(&json!({"A": 0, "B": 3})).unwrap();
    assert_eq!((none.pad, none.cls), (4, 5));
    for (vocabulary, wanted) in [
        (
            json!({"A": 4, "B": 3}),
            "`<cls>` has the id 6, but the model has 6 rows",
        ),
        (json!({"A": 4294967295_u32}), "but the model has 6 rows"),
        (json!({"<cls>": 1, "<pad>": 5}), "names no gene"),
        (json!({"A": "x"}), "is no object from gene names to ids"),
        (json!(["A"]), "is no object from gene names to ids"),
    ] {
        let refused = write(&vocabulary).unwrap_err().to_string();
        assert!(
            refused.contains(wanted) && refused.contains("vocab.json"),
            "{refused}"
        );
    }
    assert!(save_vocabulary(dir.path(), &["A", "A"]).is_err());
}

#[test]
fn a_configuration_that_makes_no_model_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |args: Value| {
        std::fs::write(dir.path().join("args.json"), args.to_string()).unwrap();
        ScGptConfig::load(dir.path()).unwrap_err().to_string()
    };
    let with = |key: &str, value: Value| {
        let mut args = config().to_json();
        args[key] = value;
        args
    };
    for (args, wanted) in [
        (json!({"nheads": 2}), "missing field `embsize`"),
        (
            with("embsize", json!(7)),
            "embsize is not a multiple of nheads",
        ),
        (with("nheads", json!(0)), "every size must be above 0"),
        (
            with("d_hid", json!(1_u64 << 40)),
            "every size must be above 0 and plausible",
        ),
        (
            with("nlayers", json!(1_u64 << 40)),
            "every size must be above 0 and plausible",
        ),
        (with("n_bins", json!(1)), "n_bins must be 2 or more"),
        (with("pad_value", json!("x")), "invalid type"),
        (with("activation", json!("sine")), "unknown variant `sine`"),
        (
            with("input_emb_style", json!("category")),
            "input_emb_style `category` is not run here, only `continuous`",
        ),
        (
            with("input_style", json!("log1p")),
            "input_style `log1p` is not run here",
        ),
        (json!([]), "args.json"),
    ] {
        let refused = refused(args);
        assert!(
            refused.contains(wanted) && refused.contains("args.json"),
            "{refused}"
        );
    }
    std::fs::remove_file(dir.path().join("args.json")).unwrap();
    let none = ScGptConfig::load(dir.path()).unwrap_err().to_string();
    assert!(none.contains("neither args.json nor config.json"), "{none}");
}
