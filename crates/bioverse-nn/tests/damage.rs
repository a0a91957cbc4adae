//! Damaged files of models and adapters: every one is an error that names it, or harmless. None panics, and none makes
//! the reader reserve what a header merely claims.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use bioverse_nn::{
    CausalLm, DecoderConfig, LoraConfig, Weights, adapter::Merge, weights::StoredDtype,
};
use burn::prelude::*;
use proptest::prelude::*;
use proptest::sample::Index;

/// A model and an adapter on it.
fn files(dir: &Path) {
    let config = DecoderConfig {
        hidden_size: 8,
        intermediate_size: 12,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        num_key_value_heads: 1,
        head_dim: 4,
        vocab_size: 11,
        ..Default::default()
    };
    let lm = CausalLm::init(&config, &Device::flex());
    lm.save(&dir.join("model"), StoredDtype::F16).unwrap();
    let config = LoraConfig {
        modules_to_save: vec!["norm".into()],
        ..LoraConfig::default()
    };
    let lm = lm.apply_lora(&config, &Device::flex()).unwrap();
    lm.save_adapter(&dir.join("adapter"), &config, "base")
        .unwrap();
}

/// Overwrites bytes and perhaps cuts the rest off.
fn damage(path: &Path, changes: &[(Index, u8)], keep: Option<Index>) {
    let mut bytes = std::fs::read(path).unwrap();
    for (at, byte) in changes {
        let at = at.index(bytes.len());
        bytes[at] = *byte;
    }
    if let Some(keep) = keep {
        bytes.truncate(keep.index(bytes.len()));
    }
    std::fs::write(path, bytes).unwrap();
}

/// Bytes that mean something in JSON are worth more than others.
fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![
        any::<u8>(),
        prop::sample::select(b"0123456789-.eE\"\\[]{},:nulltrue\0 ".to_vec())
    ]
}

fn changes() -> impl Strategy<Value = (Vec<(Index, u8)>, Option<Index>)> {
    let changes = prop::collection::vec((any::<Index>(), byte()), 1..4);
    (changes, prop::option::weighted(0.3, any::<Index>()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn of_a_model((changes, keep) in changes()) {
        let dir = tempfile::tempdir().unwrap();
        files(dir.path());
        let path = dir.path().join("model/model.safetensors");
        damage(&path, &changes, keep);
        match Weights::open(path.parent().unwrap()) {
            Err(error) => prop_assert!(error.to_string().contains("model.safetensors"), "{error}"),
            Ok(weights) => for name in weights.names() {
                let _ = weights.data(name);
            },
        }
    }

    #[test]
    fn of_an_adapter(which in prop::sample::select(vec!["adapter_config.json", "adapter_model.safetensors"]), (changes, keep) in changes()) {
        let dir = tempfile::tempdir().unwrap();
        files(dir.path());
        let (model, adapter) = (dir.path().join("model"), dir.path().join("adapter"));
        damage(&adapter.join(which), &changes, keep);
        let lm = CausalLm::load(&model, &Device::flex()).unwrap();
        let loaded = lm.load_adapter(&adapter, &Device::flex());
        if let Err(error) = loaded {
            prop_assert!(!error.to_string().is_empty());
        }
        if let Ok(merge) = Merge::open(&model, &adapter) {
            let out = dir.path().join("out");
            let tensors = merge.outgoing().unwrap();
            let _ = bioverse_nn::weights::save_model(&out, &tensors, None, 1 << 20, &mut |_| {});
        }
    }
}
