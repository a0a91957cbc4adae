//! Records once each, in the order asked for; bad ones by their row.

#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use bioverse_core::{BoxError, Hidden, Modality, Preset, ProjectorConfig};
use serde_json::json;
use std::sync::{Arc, Mutex};

/// Encodes a text as its bytes, two states wide, and remembers the sizes of the batches it saw.
#[derive(Default)]
struct Letters {
    seen: Arc<Mutex<Vec<usize>>>,
}

impl Modality for Letters {
    const NAME: &'static str = "letters";
    type Config = ();
    type Input = String;
    type Tokens = Vec<u8>;
    fn load(_: &(), _: &Device) -> std::result::Result<Self, BoxError> {
        Ok(Self::default())
    }
    fn tokenize(&self, input: &String) -> std::result::Result<Vec<u8>, BoxError> {
        match input.contains('!') {
            true => Err(format!("`{input}` shouts").into()),
            false => Ok(input.bytes().collect()),
        }
    }
    fn encode(&self, batch: &[Vec<u8>]) -> std::result::Result<Hidden, BoxError> {
        self.seen.lock().unwrap().push(batch.len());
        let rows: Vec<Vec<u32>> = batch
            .iter()
            .map(|row| row.iter().map(|b| u32::from(*b)).collect())
            .collect();
        let (ids, mask) = bioverse_core::pad_ids(&rows, 0, &Device::flex());
        Ok(Hidden {
            states: ids.float().unsqueeze_dim::<3>(2).repeat_dim(2, 2),
            mask,
        })
    }
    fn d_hidden(&self) -> usize {
        2
    }
}

fn projector(d_hidden: usize) -> Projector {
    let config = ProjectorConfig {
        preset: Preset::Linear,
        ..ProjectorConfig::default()
    };
    config.init(d_hidden, 3, &Device::flex())
}

fn build(encoder: &Encoder, records: &[Record]) -> Result<EncodedStore> {
    EncodedStore::build(encoder, &projector(2), records, &|i| {
        format!("rows.jsonl row {}", i + 1)
    })
}

#[test]
fn records_come_back_in_the_order_asked_for_and_are_encoded_once() {
    let letters = Letters::default();
    let seen = letters.seen.clone();
    let texts = ["ccc", "a", "bb", "a", "ccc", "a"].map(|text| json!(text));
    let store = build(&Encoder::new(letters), &texts).unwrap();
    assert_eq!(store.len(), 3);
    assert_eq!(seen.lock().unwrap().iter().sum::<usize>(), 3);
    let states = store.get(&texts, &Device::flex()).unwrap();
    assert_eq!(states.dims(), [6, 1, 2]);
    let values: Vec<f32> = states.into_data().iter::<f32>().step_by(2).collect();
    assert_eq!(
        values,
        [99.0, 97.0, 98.0, 97.0, 99.0, 97.0],
        "the mean of equal letters is the letter"
    );
}

#[test]
fn the_first_bad_record_is_named_by_its_row() {
    let letters = Letters::default();
    let seen = letters.seen.clone();
    let texts = ["a much longer text", "fine", "no!", "fine", "NO!!"].map(|text| json!(text));
    let error = build(&Encoder::new(letters), &texts).unwrap_err();
    let said = error.to_string();
    assert!(
        said.starts_with("rows.jsonl row 3: the `letters` record does not parse: `no!` shouts; ")
            && said.contains("--skip-bad"),
        "{said}"
    );
    assert_eq!(error.exit_code(), 2);
    assert!(
        seen.lock().unwrap().is_empty(),
        "nothing is encoded before all is checked"
    );
    let error = build(&Encoder::new(Letters::default()), &[json!(7)]).unwrap_err();
    assert!(
        error.to_string().starts_with("rows.jsonl row 1: "),
        "{error}"
    );
}

#[test]
fn a_record_that_was_never_encoded_and_a_wrong_width_are_errors() {
    let encoder = Encoder::new(Letters::default());
    let store = build(&encoder, &[json!("a")]).unwrap();
    assert!(
        store
            .get(&[json!("b")], &Device::flex())
            .unwrap_err()
            .to_string()
            .contains("\"b\"")
    );
    let error = EncodedStore::build(&encoder, &projector(5), &[json!("a")], &|_| String::new())
        .unwrap_err();
    assert!(
        error.to_string().contains("5 wide") && error.to_string().contains("gives 2"),
        "{error}"
    );
}
