//! Every family's `config.json`: real ones, both styles, round trips, and what a bad one is told.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

fn load(config: &Value) -> Result<EncoderConfig> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    EncoderConfig::load(dir.path())
}

/// The sizes of a small model with the keys of `own`.
fn with(model_type: &str, own: Value) -> Value {
    let sizes = json!({
        "model_type": model_type, "hidden_size": 48, "num_hidden_layers": 5, "num_attention_heads": 4,
        "intermediate_size": 96, "vocab_size": 33, "max_position_embeddings": 66, "pad_token_id": 1,
    });
    Value::Object(entries(sizes).into_iter().chain(entries(own)).collect())
}

/// As published for ESM-2 with 8 million parameters.
fn esm2() -> Value {
    json!({
        "architectures": ["EsmForMaskedLM"], "attention_probs_dropout_prob": 0.0, "classifier_dropout": null,
        "emb_layer_norm_before": false, "esmfold_config": null, "hidden_act": "gelu", "hidden_dropout_prob": 0.0,
        "hidden_size": 320, "initializer_range": 0.02, "intermediate_size": 1280, "is_folding_model": false,
        "layer_norm_eps": 1e-05, "mask_token_id": 32, "max_position_embeddings": 1026, "model_type": "esm",
        "num_attention_heads": 20, "num_hidden_layers": 6, "pad_token_id": 1, "position_embedding_type": "rotary",
        "token_dropout": true, "torch_dtype": "float32", "use_cache": true, "vocab_list": null, "vocab_size": 33,
    })
}

#[test]
fn esm2_is_read() {
    let config = load(&esm2()).unwrap();
    assert_eq!(config.family(), EncoderFamily::Esm);
    assert_eq!((config.max_tokens(), config.head_dim()), (1024, 16));
    assert_eq!(config.esm, EsmOptions::default());
    assert_eq!(config.layer_norm_eps, 1e-5);
}

#[test]
fn esm1b_is_read() {
    let own = json!({"position_embedding_type": "absolute", "emb_layer_norm_before": true, "token_dropout": true,
        "mask_token_id": 32, "hidden_act": "relu"});
    let config = load(&with("esm", own)).unwrap();
    let esm = &config.esm;
    assert_eq!(esm.position_embedding_type, PositionEmbedding::Absolute);
    assert!(esm.emb_layer_norm_before && config.hidden_act == Activation::Gelu);
    assert_eq!(config.max_tokens(), 64);
    // The defaults of transformers: no token dropout, so that no mask id is needed.
    let config = load(&with("esm", json!({"emb_layer_norm_before": null}))).unwrap();
    assert!(!config.esm.token_dropout && !config.esm.emb_layer_norm_before);
}

#[test]
fn both_styles_of_modernbert_say_the_same() {
    let old = json!({"global_attn_every_n_layers": 2, "global_rope_theta": 5e4, "local_rope_theta": 2e3,
        "local_attention": 8, "norm_eps": 1e-6, "norm_bias": true});
    let (full, sliding) = ("full_attention", "sliding_attention");
    let new = json!({"layer_types": [full, sliding, full, sliding, full], "local_attention": 8, "norm_eps": 1e-6,
        "norm_bias": true, "global_attn_every_n_layers": 3, "layer_norm_eps": 1.0,
        "rope_parameters": {full: {"rope_theta": 5e4, "rope_type": "default"}, sliding: {"rope_theta": 2e3}}});
    let old = load(&with("modernbert", old)).unwrap();
    assert_eq!(old, load(&with("modernbert", new)).unwrap());
    let own = &old.modernbert;
    assert_eq!((own.global_rope_theta, own.local_rope_theta), (5e4, 2e3));
    assert_eq!(own.layer_types, ModernBertOptions::every(2, 5));
    assert_eq!(old.max_tokens(), 66);
}

#[test]
fn what_modernbert_leaves_out_is_its_default() {
    let config = load(&with("modernbert", json!({}))).unwrap();
    let want = ModernBertOptions {
        layer_types: ModernBertOptions::every(3, 5),
        ..Default::default()
    };
    assert_eq!((config.modernbert, config.layer_norm_eps), (want, 1e-5));
    let null = load(&with("modernbert", json!({"local_rope_theta": null}))).unwrap();
    assert_eq!(null.modernbert.local_rope_theta, 160_000.0);
}

#[test]
fn what_is_saved_is_what_was_loaded() {
    let (full, sliding) = ("full_attention", "sliding_attention");
    for config in [
        esm2(),
        with("esm", json!({"layer_norm_eps": 1e-7, "rope_theta": 5e3})),
        with(
            "bert",
            json!({"pad_token_id": 0, "type_vocab_size": 3, "hidden_act": "gelu_new"}),
        ),
        with(
            "roberta",
            json!({"hidden_act": "relu", "tie_word_embeddings": false}),
        ),
        with(
            "modernbert",
            json!({"mlp_bias": true, "decoder_bias": false, "classifier_activation": "silu"}),
        ),
        with(
            "modernbert",
            json!({"layer_types": [sliding, sliding, full, full, sliding]}),
        ),
    ] {
        let config = load(&config).unwrap();
        assert_eq!(load(&config.to_json(StoredDtype::F32)).unwrap(), config);
    }
}

#[test]
fn what_is_not_run_is_refused_by_name() {
    let yarn = json!({"full_attention": {"rope_type": "yarn"}});
    for (family, own, named) in [
        (
            "bert",
            json!({"position_embedding_type": "relative_key"}),
            "`relative_key`",
        ),
        ("bert", json!({"is_decoder": true}), "is_decoder"),
        ("bert", json!({"hidden_act": "mish"}), "mish"),
        ("bert", json!({"type_vocab_size": 0}), "type_vocab_size"),
        (
            "roberta",
            json!({"max_position_embeddings": 2}),
            "max_position_embeddings",
        ),
        ("roberta", json!({"hidden_size": 1u64 << 40}), "plausible"),
        (
            "roberta",
            json!({"num_hidden_layers": 1u64 << 40}),
            "plausible",
        ),
        (
            "roberta",
            json!({"num_attention_heads": 5}),
            "num_attention_heads",
        ),
        ("roberta", json!({"vocab_size": 1}), "pad_token_id"),
        ("roberta", json!({"layer_norm_eps": -1.0}), "epsilon"),
        (
            "esm",
            json!({"position_embedding_type": "relative_key_query"}),
            "`relative_key_query`",
        ),
        ("esm", json!({"is_folding_model": true}), "is_folding_model"),
        ("esm", json!({"token_dropout": true}), "mask_token_id"),
        (
            "esm",
            json!({"token_dropout": true, "mask_token_id": 33}),
            "mask_token_id",
        ),
        ("esm", json!({"pad_token_id": null}), "pad_token_id"),
        (
            "esm",
            json!({"position_embedding_type": "rotary", "num_attention_heads": 16}),
            "even head",
        ),
        (
            "esm",
            json!({"position_embedding_type": "rotary", "rope_theta": 0.0}),
            "rope_theta",
        ),
        (
            "esm",
            json!({"rope_parameters": {"rope_type": "linear"}}),
            "`linear`",
        ),
        (
            "modernbert",
            json!({"global_attn_every_n_layers": 0}),
            "global_attn_every_n_layers",
        ),
        (
            "modernbert",
            json!({"layer_types": ["full_attention"]}),
            "layer_types",
        ),
        (
            "modernbert",
            json!({"layer_types": ["chunked_attention"]}),
            "`chunked_attention`",
        ),
        ("modernbert", json!({"rope_parameters": yarn}), "`yarn`"),
        (
            "modernbert",
            json!({"rope_scaling": {"type": "dynamic"}}),
            "`dynamic`",
        ),
        ("modernbert", json!({"hidden_activation": "mish"}), "`mish`"),
        ("deberta", json!({}), "roberta, bert, esm, modernbert"),
    ] {
        let error = load(&with(family, own)).unwrap_err().to_string();
        assert!(
            error.contains(named) && error.contains("config.json"),
            "{error}"
        );
    }
}

/// Whatever stands behind a key, the file is read or refused by its name.
#[test]
fn odd_values_are_refused_without_a_panic() {
    let odd = [
        json!(null),
        json!(-1),
        json!(0),
        json!(1u64 << 63),
        json!(1e308),
        json!("rotary\u{0}"),
        json!([[]]),
        json!({"full_attention": null, "rope_type": 7}),
    ];
    for family in EncoderConfig::SUPPORTED {
        let whole = load(&with(family, json!({"mask_token_id": 2}))).unwrap();
        let whole = whole.to_json(StoredDtype::F32);
        for key in entries(whole.clone()).keys() {
            for value in &odd {
                let mut config = whole.clone();
                config[key] = value.clone();
                match load(&config) {
                    Ok(config) => assert!(config.max_tokens() > 0 && config.head_dim() > 0),
                    Err(error) => assert!(error.to_string().contains("config.json"), "{error}"),
                }
            }
        }
    }
}
