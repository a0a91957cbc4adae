//! Both styles of `config.json`, and what a bad one is told.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::weights::StoredDtype;

fn folder(config: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("config.json"), config).unwrap();
    dir
}

const SIZES: &str = r#""hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4,
    "vocab_size": 384, "max_position_embeddings": 512, "rms_norm_eps": 1e-5"#;

fn decoder(rest: &str) -> Result<DecoderConfig> {
    DecoderConfig::load(folder(&format!("{{{SIZES}, {rest}}}")).path())
}

#[test]
fn both_styles_say_the_same() {
    let old = decoder(
        r#""model_type": "llama", "torch_dtype": "float32", "rope_theta": 500000.0, "eos_token_id": 7, "rope_scaling":
        {"type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}"#,
    );
    let new = decoder(
        r#""model_type": "llama", "dtype": "float32", "eos_token_id": [7, 7], "rope_parameters": {"rope_theta": 500000.0,
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}"#,
    );
    let (old, new) = (old.unwrap(), new.unwrap());
    assert_eq!(old, new);
    assert_eq!(
        (old.head_dim, old.num_key_value_heads, old.rope_theta),
        (12, 4, 500000.0)
    );
    assert!(matches!(
        old.rope_scaling,
        RopeScaling::Llama3 { factor: 8.0, .. }
    ));
}

#[test]
fn end_ids_come_from_both_files() {
    let dir = folder(&format!(
        r#"{{{SIZES}, "model_type": "llama", "eos_token_id": 7}}"#
    ));
    let generation = r#"{"eos_token_id": [9, 7], "temperature": 0.6}"#;
    std::fs::write(dir.path().join("generation_config.json"), generation).unwrap();
    assert_eq!(
        DecoderConfig::load(dir.path()).unwrap().eos_token_id,
        [7, 9]
    );
}

#[test]
fn windows_follow_the_family() {
    let mistral = decoder(r#""model_type": "mistral", "sliding_window": 6"#).unwrap();
    assert_eq!(mistral.sliding_windows, [Some(6); 3]);
    let off = r#""model_type": "qwen2", "sliding_window": 4, "use_sliding_window": false"#;
    assert_eq!(decoder(off).unwrap().sliding_windows, [None; 3]);
    let on = r#""model_type": "qwen2", "sliding_window": 4, "use_sliding_window": true, "max_window_layers": 1"#;
    assert_eq!(
        decoder(on).unwrap().sliding_windows,
        [None, Some(4), Some(4)]
    );
}

#[test]
fn what_is_saved_is_what_was_loaded() {
    for rest in [
        r#""model_type": "llama", "bos_token_id": 1, "eos_token_id": [2, 3], "rope_scaling": {"rope_type": "linear", "factor": 2.0}"#,
        r#""model_type": "mistral", "sliding_window": 6, "tie_word_embeddings": true"#,
        r#""model_type": "qwen2", "sliding_window": 4, "use_sliding_window": true, "max_window_layers": 1"#,
        r#""model_type": "granite", "attention_multiplier": 0.0625, "embedding_multiplier": 12.0, "logits_scaling": 8.0"#,
    ] {
        let config = decoder(rest).unwrap();
        let dir = tempfile::tempdir().unwrap();
        config.save(dir.path(), StoredDtype::F16).unwrap();
        assert_eq!(DecoderConfig::load(dir.path()).unwrap(), config);
    }
    let encoder = EncoderConfig::default();
    let dir = folder(&encoder.to_json(StoredDtype::F32).to_string());
    assert_eq!(EncoderConfig::load(dir.path()).unwrap(), encoder);
}

#[test]
fn errors_name_the_file_the_key_and_the_choices() {
    let text = decoder(r#""model_type": "gpt2""#).unwrap_err().to_string();
    assert!(
        text.contains("`gpt2`") && text.contains("qwen3, granite"),
        "{text}"
    );
    let text = decoder(r#""model_type": "llama", "rope_scaling": {"rope_type": "yarn"}"#);
    let text = text.unwrap_err().to_string();
    assert!(text.contains("`yarn`") && text.contains("llama3"), "{text}");
    let dir = folder(r#"{"model_type": "roberta", "hidden_size": 4}"#);
    let text = EncoderConfig::load(dir.path()).unwrap_err().to_string();
    assert!(
        text.contains("config.json") && text.contains("`num_hidden_layers`"),
        "{text}"
    );
    let text = decoder(r#""model_type": "llama", "num_key_value_heads": 3"#).unwrap_err();
    assert!(text.to_string().contains("num_key_value_heads"), "{text}");
}

#[test]
fn roberta_positions_start_after_the_padding_id() {
    assert_eq!(EncoderConfig::default().max_tokens(), 513);
}
