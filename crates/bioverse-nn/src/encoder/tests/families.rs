//! What is peculiar to a family.

use super::*;

fn init(config: &EncoderConfig) -> TransformerEncoder {
    TransformerEncoder::init(config, &Device::flex())
}

/// The columns of the only row in which two batches lead to different states.
fn changed(encoder: &TransformerEncoder, one: [i32; 5], other: [i32; 5]) -> Vec<usize> {
    let run = |row| {
        let (ids, mask) = batch([row]);
        encoder.forward(ids, mask)
    };
    let (one, other) = (run(one), run(other));
    let apart = |column: &usize| {
        let at = |states: &Tensor<3>| states.clone().narrow(1, *column, 1);
        difference(at(&one), at(&other)) > 1e-5
    };
    (0..5).filter(apart).collect()
}

#[test]
fn a_sliding_layer_sees_its_window_on_both_sides() {
    let mut config = config("modernbert");
    config.num_hidden_layers = 1;
    config.modernbert.layer_types = vec![LayerType::Sliding];
    for (window, reached) in [
        (0, vec![2]),
        (2, vec![1, 2, 3]),
        (3, vec![1, 2, 3]),
        (4, vec![0, 1, 2, 3, 4]),
        (128, vec![0, 1, 2, 3, 4]),
    ] {
        config.modernbert.local_attention = window;
        let encoder = init(&config);
        let seen = changed(&encoder, [3, 4, 5, 6, 7], [3, 4, 8, 6, 7]);
        assert_eq!(seen, reached, "window {window}");
    }
    config.modernbert.layer_types = vec![LayerType::Full];
    config.modernbert.local_attention = 0;
    let seen = changed(&init(&config), [3, 4, 5, 6, 7], [3, 4, 8, 6, 7]);
    assert_eq!(seen, [0, 1, 2, 3, 4]);
}

#[test]
fn each_kind_of_layer_turns_by_its_own_base() {
    for (kind, moved) in [(LayerType::Full, true), (LayerType::Sliding, false)] {
        let mut config = config("modernbert");
        config.modernbert.layer_types = vec![kind; 3];
        config.modernbert.local_attention = 128;
        let encoder = init(&config);
        let mut other = encoder.clone();
        other.config.modernbert.global_rope_theta = 10.0;
        let run = |encoder: &TransformerEncoder| {
            let (ids, mask) = batch([[3, 4, 5, 6, 7]]);
            encoder.forward(ids, mask)
        };
        assert_eq!(difference(run(&encoder), run(&other)) > 1e-4, moved);
    }
}

#[test]
fn esm_blanks_what_is_hidden_and_what_is_padding() {
    let encoder = init(&config("esm"));
    let (ids, mask) = batch([[3, 2, 5, 6, 1]]);
    let first = encoder.hidden_states(ids, mask).remove(0);
    let largest = |column| -> f32 { first.clone().narrow(1, column, 1).abs().max().into_scalar() };
    assert_eq!((largest(1), largest(4)), (0.0, 0.0));
    assert!(largest(0) > 0.0 && largest(3) > 0.0);
    // One of four tokens is hidden.
    let words = encoder.body.word_embeddings().weight.val();
    let want = words.narrow(0, 3, 1).mul_scalar(0.88 / 0.75);
    let got = first.narrow(1, 0, 1).squeeze_dim::<2>(0);
    assert!(difference(got, want) < 1e-6);
}

#[test]
fn esm_without_token_dropout_takes_embeddings_as_they_are() {
    let mut config = config("esm");
    config.esm.token_dropout = false;
    let encoder = init(&config);
    let (ids, mask) = batch([[2, 3, 5, 6, 1]]);
    let first = encoder.hidden_states(ids, mask).remove(0).narrow(1, 0, 1);
    let words = encoder.body.word_embeddings().weight.val();
    assert!(difference(first.squeeze_dim::<2>(0), words.narrow(0, 2, 1)) < 1e-6);
}

/// The tensors of a saved model by name.
fn tensors(dir: &Path) -> Vec<(String, TensorData)> {
    let weights = Weights::open(dir).unwrap();
    let names = weights.names();
    let pairs = names
        .iter()
        .map(|name| (name.to_string(), weights.data(name).unwrap()));
    pairs.collect()
}

#[test]
fn frequencies_of_the_file_are_used_and_kept() {
    let (dir, encoder) = (tempfile::tempdir().unwrap(), init(&config("esm")));
    let (ids, mask) = batch([[3, 4, 5, 6, 7]]);
    let run = |encoder: &TransformerEncoder| encoder.forward(ids.clone(), mask.clone());
    encoder.save(dir.path(), StoredDtype::F32).unwrap();
    let (rotary, rest): (Vec<_>, Vec<_>) = tensors(dir.path())
        .into_iter()
        .partition(|(name, _)| name.contains("inv_freq"));
    assert_eq!(rotary.len(), 3);
    for name in [
        "esm.rotary_embeddings.inv_freq",
        "esm.encoder.layer.0.attention.self.rotary_embeddings.inv_freq",
        "esm.encoder.layer.*.attention.self.rotary_embeddings.inv_freq",
    ] {
        let other = TensorData::new(vec![0.5f32, 0.25], [2]);
        let all = rest.iter().cloned().chain([(name.to_owned(), other)]);
        let file = dir.path().join("model.safetensors");
        save_safetensors(&file, all.collect(), StoredDtype::F32, BTreeMap::new()).unwrap();
        let read = TransformerEncoder::load(dir.path(), &Device::flex()).unwrap();
        assert!(difference(run(&read), run(&encoder)) > 1e-2);
        read.save(dir.path(), StoredDtype::F32).unwrap();
        let again = TransformerEncoder::load(dir.path(), &Device::flex()).unwrap();
        assert_eq!(difference(run(&again), run(&read)), 0.0);
    }
}

#[test]
fn half_precision_does_not_round_frequencies() {
    let (dir, encoder) = (tempfile::tempdir().unwrap(), init(&config("esm")));
    encoder.save(dir.path(), StoredDtype::F16).unwrap();
    let rounded = |(name, _): &(String, TensorData)| name.contains("inv_freq");
    assert!(!tensors(dir.path()).iter().any(rounded));
}

#[test]
fn token_types_tell_texts_apart_where_there_are_types() {
    let (ids, mask) = batch([[3, 4, 5, 6, 1]]);
    let types = |values: [i32; 5]| Tensor::<2, Int>::from_data([values], &Device::flex());
    for family in EncoderConfig::SUPPORTED {
        let encoder = init(&config(family));
        let run = |values| {
            let states =
                encoder.hidden_states_with_types(ids.clone(), mask.clone(), types(values))?;
            Ok::<_, Error>(states[3].clone())
        };
        if !has_types(family) {
            let error = run([0; 5]).unwrap_err().to_string();
            assert!(error.contains(&format!("`{family}`")), "{error}");
            continue;
        }
        let plain = encoder.forward(ids.clone(), mask.clone());
        assert!(difference(run([0; 5]).unwrap(), plain.clone()) < 1e-6);
        assert!(difference(run([0, 0, 1, 1, 0]).unwrap(), plain) > 1e-2);
    }
}
