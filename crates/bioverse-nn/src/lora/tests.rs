//! A fresh adapter changes nothing, a merged one nothing more; PEFT folders in and out.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use burn::tensor::TensorData;

use super::*;
use crate::params::{load_params, named_params};
use crate::{CausalLm, DecoderConfig};

fn model(device: &Device) -> CausalLm {
    let config = DecoderConfig {
        hidden_size: 16,
        intermediate_size: 24,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 4,
        vocab_size: 13,
        initializer_range: 0.3,
        ..Default::default()
    };
    CausalLm::init(&config, device)
}

fn lora(targets: &[&str]) -> LoraConfig {
    LoraConfig {
        r: 3,
        lora_alpha: 6.0,
        lora_dropout: 0.0,
        target_modules: targets.iter().map(|t| t.to_string()).collect(),
        ..LoraConfig::default()
    }
}

fn logits(lm: &CausalLm) -> Tensor<3> {
    let device = lm.embedding_matrix().device().inner();
    let ids = Tensor::<2, Int>::from_data([[1, 5, 2, 9], [3, 3, 12, 0]], &device);
    let mask = Tensor::from_data([[true; 4]; 2], &device);
    lm.logits(lm.forward(lm.embed(ids), mask, None))
}

fn difference(a: Tensor<3>, b: Tensor<3>) -> f32 {
    (a.inner() - b.inner()).abs().max().into_scalar()
}

/// The adapter as training would leave it: B no longer zero.
fn trained(lm: CausalLm) -> CausalLm {
    let values = named_params(&lm)
        .into_iter()
        .filter(|p| p.path.contains("lora_b"));
    let values = values.map(|p| {
        let shape = p.data.shape().clone();
        let wave = |i: usize| ((i * 7 % 11) as f32 - 5.0) * 0.1;
        let values = (0..p.data.num_elements()).map(wave).collect::<Vec<_>>();
        (p.path, TensorData::new(values, shape))
    });
    load_params(lm, values.collect()).unwrap().0
}

#[test]
fn a_fresh_adapter_changes_nothing_and_a_trained_one_does() {
    let device = Device::flex();
    let base = model(&device);
    let lm = base
        .clone()
        .apply_lora(&lora(&["all-linear"]), &device)
        .unwrap();
    assert_eq!(difference(logits(&base), logits(&lm)), 0.0);
    assert!(difference(logits(&base), logits(&trained(lm))) > 1e-2);
}

#[test]
fn merged_equals_unmerged() {
    let device = Device::flex();
    let lm = trained(
        model(&device)
            .apply_lora(&lora(&["all-linear"]), &device)
            .unwrap(),
    );
    let merged = lm.clone().merge_lora();
    assert!(
        named_params(&merged)
            .iter()
            .all(|p| !p.path.contains("lora"))
    );
    assert!(difference(logits(&lm), logits(&merged)) < 1e-4);
}

#[test]
fn only_the_adapter_of_a_frozen_model_gets_gradients() {
    let device = Device::flex();
    let lm = model(&device).apply_lora(&lora(&["q_proj", "v_proj"]), &device.clone().autodiff());
    let lm = trained(lm.unwrap());
    let grads = logits(&lm).square().mean().backward();
    let trainable: Vec<_> = named_params(&lm)
        .into_iter()
        .filter(|p| p.trainable)
        .map(|p| p.path)
        .collect();
    assert_eq!(trainable.len(), 2 * 2 * 2);
    assert!(
        trainable.iter().all(|path| path.contains(".lora.")),
        "{trainable:?}"
    );
    for layer in &lm.model.layers {
        for linear in [&layer.self_attn.q_proj, &layer.self_attn.v_proj] {
            let lora = linear.lora.as_ref().unwrap();
            for param in [&lora.lora_a, &lora.lora_b] {
                let grad: f32 = param.val().grad(&grads).unwrap().abs().max().into_scalar();
                assert!(grad > 0.0);
            }
        }
    }
}

#[test]
fn dropout_acts_in_training_only() {
    let device = Device::flex().autodiff();
    let config = LoraConfig {
        lora_dropout: 0.5,
        ..lora(&["q_proj"])
    };
    // The model itself is on the plain device, so the first adapter sees a plain input.
    let lm = trained(model(&Device::flex()).apply_lora(&config, &device).unwrap());
    let first = &lm.model.layers[0].self_attn.q_proj;
    let x = Tensor::<2>::ones([5, 16], &Device::flex());
    let y = |linear: &crate::linear::Linear| linear.forward(x.clone()).inner().unsqueeze();
    assert!(difference(y(first), y(first)) > 1e-3);
    let valid = lm.valid();
    let first = &valid.model.layers[0].self_attn.q_proj;
    assert_eq!(difference(y(first), y(first)), 0.0);
    assert!(
        lm.train()
            .model
            .layers
            .iter()
            .all(|l| !l.mlp.up_proj.weight.is_require_grad())
    );
}

#[test]
fn a_saved_adapter_comes_back() {
    let (dir, device) = (tempfile::tempdir().unwrap(), Device::flex());
    let base = model(&device);
    for (config, stored) in [
        (lora(&["q_proj", "v_proj"]), vec!["q_proj", "v_proj"]),
        (
            lora(&["all-linear"]),
            vec![
                "down_proj",
                "gate_proj",
                "k_proj",
                "o_proj",
                "q_proj",
                "up_proj",
                "v_proj",
            ],
        ),
    ] {
        let autodiff = device.clone().autodiff();
        let lm = trained(base.clone().apply_lora(&config, &autodiff).unwrap());
        lm.save_adapter(dir.path(), &config, "some/base").unwrap();
        let read = LoraConfig::load(dir.path()).unwrap();
        assert_eq!(read.target_modules, stored);
        assert_eq!((read.r, read.scaling()), (3, 2.0));
        let again = base.clone().load_adapter(dir.path(), &device).unwrap();
        assert_eq!(difference(logits(&lm.valid()), logits(&again)), 0.0);
    }
}

#[test]
fn targets_match_whole_names() {
    let config = Selection::new(&lora(&["q_proj", "mlp.up_proj"])).unwrap();
    assert!(config.targets("model.layers.0.self_attn.q_proj"));
    assert!(config.targets("model.layers.0.mlp.up_proj"));
    assert!(!config.targets("model.layers.0.self_attn.xq_proj"));
    assert!(!config.targets("model.layers.0.self_attn.up_proj"));
}

#[test]
fn rslora_scales_by_the_root_of_the_rank() {
    let config = LoraConfig {
        r: 4,
        use_rslora: true,
        ..lora(&["q_proj"])
    };
    assert_eq!(config.scaling(), 3.0);
}

#[test]
fn what_would_compute_something_else_is_refused() {
    let device = Device::flex();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("adapter_config.json");
    for (key, says) in [
        (r#""use_dora": true"#, "`use_dora` = true is not supported"),
        (r#""modules_to_save": {"lm_head": 1}"#, "`modules_to_save`"),
        (r#""rank_pattern": {"q_(proj": 8}"#, "`rank_pattern`"),
        (r#""rank_pattern": {"q_proj": 0}"#, "must be above 0"),
        (r#""init_lora_weights": "pissa""#, "`init_lora_weights`"),
        (
            r#""trainable_token_indices": [3]"#,
            "`trainable_token_indices`",
        ),
        (r#""bias": "all""#, "`bias`"),
        (r#""lora_dropout": 1.0"#, "lora_dropout 1 is not in [0, 1)"),
    ] {
        let text = format!(r#"{{"r": 4, "lora_alpha": 8, "target_modules": ["q_proj"], {key}}}"#);
        std::fs::write(&file, text).unwrap();
        let text = LoraConfig::load(dir.path()).unwrap_err().to_string();
        assert!(
            text.contains(says) && text.contains("adapter_config.json"),
            "{text}"
        );
    }
    let unknown = model(&device)
        .apply_lora(&lora(&["q_prj"]), &device)
        .unwrap_err()
        .to_string();
    assert!(
        unknown.contains("`q_prj`") && unknown.contains("q_proj"),
        "{unknown}"
    );
    let twice = model(&device)
        .apply_lora(&lora(&["q_proj"]), &device)
        .unwrap();
    assert!(twice.apply_lora(&lora(&["q_proj"]), &device).is_err());
}

#[test]
fn tensors_without_a_target_are_refused() {
    let (dir, device) = (tempfile::tempdir().unwrap(), Device::flex());
    let config = lora(&["q_proj", "v_proj"]);
    let lm = model(&device).apply_lora(&config, &device).unwrap();
    lm.save_adapter(dir.path(), &config, "base").unwrap();
    let file = dir.path().join("adapter_config.json");
    let text = std::fs::read_to_string(&file)
        .unwrap()
        .replace("\"q_proj\",", "");
    std::fs::write(&file, text).unwrap();
    let text = model(&device)
        .load_adapter(dir.path(), &device)
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("layers.0.self_attn.q_proj.lora_A.weight"),
        "{text}"
    );
}
