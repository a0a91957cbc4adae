//! Rows that share a sequence are computed as if each stood alone: the same losses, the same gradients, soft tokens
//! included.

use std::collections::BTreeMap;

use bioverse::data::EncodedStore;
use bioverse::model::Bioverse;
use bioverse::session::prompt_of;
use bioverse::train::gradients;
use bioverse_core::{Example, Layout, PadSide, ProjectorConfig};
use bioverse_nn::params::{load_params, named_params};
use bioverse_nn::{CausalLm, LoraConfig, Tokenizer};
use bioverse_tests::root;
use burn::prelude::*;
use burn::tensor::TensorData;
use serde_json::json;

/// LLM with adapters that are not zero and a projector with a task token, no dropout.
fn model(device: &Device) -> Bioverse {
    let training = device.clone().autodiff();
    let lora = LoraConfig {
        target_modules: vec!["all-linear".into()],
        ..LoraConfig::default()
    };
    let llm = CausalLm::load(&root().join("tests/golden/llama"), device).unwrap();
    let llm = llm.apply_lora(&lora, &training).unwrap();
    let up = named_params(&llm)
        .into_iter()
        .filter(|p| p.path.contains("lora_b"));
    let up = up.map(|p| {
        let wave = |i: usize| ((i * 7 % 11) as f32 - 5.0) * 0.02;
        let values: Vec<f32> = (0..p.data.num_elements()).map(wave).collect();
        (p.path, TensorData::new(values, p.data.shape().clone()))
    });
    let (llm, _) = load_params(llm, up.collect()).unwrap();
    let projector = ProjectorConfig {
        hidden_sizes: vec![24, 24],
        num_soft_tokens: 2,
        dropout: 0.0,
        task_token: true,
        ..ProjectorConfig::default()
    };
    let projector = projector.init(48, llm.config().hidden_size, &training);
    Bioverse::new(llm, vec![("molecule".into(), projector)])
}

/// One row per prompt: one record, two, none.
fn layout() -> Layout {
    let tokenizer = Tokenizer::load(&root().join("tests/golden/llama")).unwrap();
    let rows = [
        ("What is <molecule>?", "An alcohol.", &["CCO"][..]),
        (
            "Is <molecule> like <molecule>?",
            "No, not at all.",
            &["c1ccccc1", "CCO"],
        ),
        ("Hello?", "Hello.", &[]),
    ];
    let prompts: Vec<_> = rows
        .iter()
        .map(|(question, answer, records)| {
            let records: Vec<_> = records.iter().map(|smiles| ("molecule", smiles)).collect();
            let row = json!({
                "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}],
                "records": records,
            });
            let example: Example = serde_json::from_value(row).unwrap();
            prompt_of(&tokenizer, &example, &["molecule"], true).unwrap()
        })
        .collect();
    let tokenize = |text: &str| tokenizer.encode(text).map_err(Into::into);
    Layout::new(&prompts, 0, PadSide::Right, tokenize, |_| Ok(3)).unwrap()
}

fn encoded(model: &Bioverse, device: &Device) -> BTreeMap<String, EncodedStore> {
    let path = root().join("tests/golden/chemberta").display().to_string();
    let table = toml::Table::from_iter([("path".to_string(), toml::Value::String(path))]);
    let encoder = bioverse::registry::standard()
        .load("molecule", &table, device)
        .unwrap();
    let records = ["CCO", "c1ccccc1"].map(|smiles| json!(smiles));
    let projector = model.projector("molecule").unwrap();
    let store = EncodedStore::build(&encoder, projector, &records, &|_| String::new()).unwrap();
    BTreeMap::from([("molecule".to_string(), store)])
}

/// Gradients by path.
fn back(
    model: &Bioverse,
    layout: &Layout,
    encoded: &BTreeMap<String, EncodedStore>,
) -> (f32, BTreeMap<String, Vec<f32>>) {
    let loss = model
        .loss(layout, encoded, &Device::flex().autodiff())
        .unwrap();
    let value = loss.clone().into_scalar();
    let grads = gradients(loss, model);
    let learns = named_params(model).into_iter().filter(|p| p.trainable);
    let found = learns.map(|p| {
        let data = match p.data.shape().len() {
            1 => grads.get::<1>(p.id).map(Tensor::into_data),
            _ => grads.get::<2>(p.id).map(Tensor::into_data),
        };
        let data = data.unwrap_or_else(|| panic!("no gradient for {}", p.path));
        (p.path, data.iter::<f32>().collect())
    });
    (value, found.collect())
}

#[test]
fn packed_rows_have_the_losses_and_gradients_of_the_same_rows_alone() {
    let device = Device::flex();
    let model = model(&device);
    let (alone, encoded) = (layout(), encoded(&model, &device));
    for sequences in [
        vec![vec![0, 1, 2]],
        vec![vec![0, 2], vec![1]],
        vec![vec![1], vec![0, 2]],
    ] {
        let packed = alone.clone().packed(&sequences);
        assert!(packed.is_packed() && packed.rows.len() < 3);
        let scores = |layout: &Layout| model.scores(layout, &encoded, &device).unwrap();
        let of_row = |row: usize| scores(&alone.clone().packed(&[vec![row]]));
        let wanted: Vec<_> = sequences
            .iter()
            .flatten()
            .flat_map(|row| of_row(*row))
            .collect();
        let got = scores(&packed);
        assert_eq!(got.len(), wanted.len());
        for (got, wanted) in got.iter().zip(&wanted) {
            assert!((got.loss - wanted.loss).abs() < 1e-5, "{got:?} {wanted:?}");
        }
        let (loss, grads) = back(&model, &alone, &encoded);
        let (packed_loss, packed_grads) = back(&model, &packed, &encoded);
        assert!((loss - packed_loss).abs() < 1e-5, "{loss} {packed_loss}");
        for (path, wanted) in &grads {
            let largest = wanted.iter().map(|g| g.abs()).fold(1e-4, f32::max);
            for (wanted, got) in wanted.iter().zip(&packed_grads[path]) {
                assert!(
                    (wanted - got).abs() < 1e-5 * largest.max(1.0),
                    "{path}: {wanted} {got}"
                );
            }
        }
        assert!(grads.keys().any(|path| path.contains("task_token")));
    }
}

#[test]
fn without_segments_the_rows_would_leak() {
    let device = Device::flex();
    let model = model(&device);
    let (alone, encoded) = (layout(), encoded(&model, &device));
    let mut leaking = alone.clone().packed(&[vec![0, 1, 2]]);
    leaking.rows[0].starts.clear();
    let loss = |layout: &Layout| {
        model
            .loss(layout, &encoded, &device)
            .unwrap()
            .into_scalar::<f32>()
    };
    assert!((loss(&alone) - loss(&leaking)).abs() > 1e-4);
}
