//! Loading and saving: round trips, prefixes, old names, what is missing.

use super::*;

/// Rewrites the names of a checkpoint; what maps to `None` is left out.
fn rename(dir: &Path, name: impl Fn(&str) -> Option<String>) {
    let weights = Weights::open(dir).unwrap();
    let kept = weights
        .names()
        .into_iter()
        .filter_map(|old| Some((name(old)?, weights.data(old).unwrap())));
    let kept = kept.collect();
    let file = dir.join("model.safetensors");
    save_safetensors(&file, kept, StoredDtype::F32, BTreeMap::new()).unwrap();
}

fn saved(encoder: &TransformerEncoder) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    encoder.save(dir.path(), StoredDtype::F32).unwrap();
    dir
}

fn load(dir: &Path) -> TransformerEncoder {
    TransformerEncoder::load(dir, &Device::flex()).unwrap()
}

fn logits(encoder: &TransformerEncoder) -> Tensor<3> {
    let (ids, mask) = batch([[3, 4, 2, 6, 1]]);
    encoder.mlm_logits(encoder.forward(ids, mask)).unwrap()
}

#[test]
fn a_saved_encoder_comes_back() {
    for encoder in models(&Device::flex()) {
        let dir = tempfile::tempdir().unwrap();
        for (dtype, tolerance) in [(StoredDtype::F32, 1e-6), (StoredDtype::F16, 5e-2)] {
            encoder.save(dir.path(), dtype).unwrap();
            let read = load(dir.path());
            assert_eq!(read.config(), encoder.config());
            let found = difference(logits(&read), logits(&encoder));
            assert!(found < tolerance, "{found}");
        }
    }
}

#[test]
fn a_checkpoint_without_head_loads_under_any_prefix() {
    for encoder in models(&Device::flex()) {
        let written = table(encoder.config()).prefix;
        for prefix in ["", "wrapped.", written] {
            let dir = saved(&encoder);
            let renamed = |name: &str| Some(format!("{prefix}{}", name.strip_prefix(written)?));
            rename(dir.path(), renamed);
            let read = load(dir.path());
            let (ids, mask) = batch([[3, 4, 5, 6, 1]]);
            let hidden = read.forward(ids.clone(), mask.clone());
            assert!(read.mlm_logits(hidden.clone()).is_none());
            assert!(difference(hidden, encoder.forward(ids, mask)) < 1e-6);
            // Saved again, it does not claim a head.
            let again = saved(&read);
            let text = std::fs::read_to_string(again.path().join("config.json")).unwrap();
            assert!(text.contains("Model\"") && !text.contains("ForMaskedLM"));
            load(again.path());
        }
    }
}

#[test]
fn names_of_tensorflow_are_read() {
    let encoder = TransformerEncoder::init(&config("bert"), &Device::flex());
    let dir = saved(&encoder);
    let old = |name: &str| {
        let name = name.replace("LayerNorm.weight", "LayerNorm.gamma");
        Some(name.replace("LayerNorm.bias", "LayerNorm.beta"))
    };
    rename(dir.path(), old);
    assert!(difference(logits(&load(dir.path())), logits(&encoder)) < 1e-6);
}

#[test]
fn the_bias_of_the_logits_may_lie_with_the_decoder() {
    for (family, from, to) in [
        (
            "bert",
            "cls.predictions.bias",
            "cls.predictions.decoder.bias",
        ),
        ("roberta", "lm_head.bias", "lm_head.decoder.bias"),
    ] {
        let encoder = TransformerEncoder::init(&config(family), &Device::flex());
        let dir = saved(&encoder);
        rename(dir.path(), |name| Some(name.replace(from, to)));
        assert!(difference(logits(&load(dir.path())), logits(&encoder)) < 1e-6);
    }
}

/// The bias of the logits is zero in a fresh model, so that a negated decoder negates the logits.
#[test]
fn an_untied_decoder_is_its_own_matrix() {
    for family in EncoderConfig::SUPPORTED {
        let encoder = TransformerEncoder::init(&config(family), &Device::flex());
        let dir = saved(&encoder);
        let names = Names::written(table(encoder.config()));
        let weights = Weights::open(dir.path()).unwrap();
        let words = names.file("embeddings.word_embeddings.weight");
        let flipped = weights
            .tensor::<2>(&words, [11, 16], &Device::flex())
            .unwrap()
            .neg();
        let mut tensors: Vec<_> = weights
            .names()
            .into_iter()
            .map(|name| (name.to_owned(), weights.data(name).unwrap()))
            .collect();
        tensors.push((names.file("lm_head.decoder.weight"), flipped.into_data()));
        let file = dir.path().join("model.safetensors");
        save_safetensors(&file, tensors, StoredDtype::F32, BTreeMap::new()).unwrap();
        // While the configuration says that it is tied, the copy does not count.
        assert!(difference(logits(&load(dir.path())), logits(&encoder)) < 1e-6);
        let path = dir.path().join("config.json");
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.replace(
            "\"tie_word_embeddings\": true",
            "\"tie_word_embeddings\": false",
        );
        std::fs::write(path, text).unwrap();
        assert!(difference(logits(&load(dir.path())), logits(&encoder).neg()) < 1e-5);
    }
}

#[test]
fn a_missing_tensor_is_named() {
    for (family, missing) in [
        ("bert", "bert.encoder.layer.1.output.LayerNorm.bias"),
        ("esm", "esm.encoder.emb_layer_norm_after.weight"),
        ("esm", "esm.encoder.layer.2.attention.self.key.bias"),
        ("modernbert", "model.layers.1.attn_norm.weight"),
        ("modernbert", "model.layers.0.mlp.Wi.weight"),
    ] {
        let dir = saved(&TransformerEncoder::init(&config(family), &Device::flex()));
        rename(dir.path(), |name| {
            (name != missing).then(|| name.to_owned())
        });
        let error = TransformerEncoder::load(dir.path(), &Device::flex()).unwrap_err();
        assert!(error.to_string().contains(missing), "{error}");
    }
}

#[test]
fn a_pooler_is_kept() {
    for encoder in models(&Device::flex()) {
        let (ids, mask) = batch([[3, 4, 5, 6, 1]]);
        let hidden = encoder.forward(ids, mask);
        assert!(encoder.pooler_output(hidden.clone()).is_none());
        let config = encoder.config();
        let with = TransformerEncoder {
            pooler: Some(Linear::init(16, 16, true, 0.3, &Device::flex())),
            ..encoder.clone()
        };
        let prefix = table(config).prefix;
        let dir = saved(&with);
        let read = load(dir.path());
        let weights = Weights::open(dir.path()).unwrap();
        assert!(weights.contains(&format!("{prefix}pooler.dense.weight")));
        let want = with.pooler_output(hidden.clone()).unwrap();
        assert!(difference(read.pooler_output(hidden).unwrap(), want) < 1e-6);
    }
}
