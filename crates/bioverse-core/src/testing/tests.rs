//! The suite passes a good modality, and every rule fails on a modality that breaks it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    ops::Range,
    sync::atomic::{AtomicU32, Ordering},
};

use burn::tensor::TensorData;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;

use super::*;
use crate::BoxError;

/// What a letter modality does wrong.
#[derive(Default, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Fault {
    #[default]
    None,
    Load,
    Width,
    NoTokens,
    NotFinite,
    MaskAllTrue,
    SeesNeighbours,
    SeesPadding,
    ReversesBatch,
    Random,
    Constant,
    AcceptsAnything,
    BlamesTheWrongRecord,
    ConfigForgets,
    TooFewLabels,
    CutsNothing,
    CutsBeyond,
}

#[derive(Default, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    fault: Fault,
    #[serde(default, deserialize_with = "forget")]
    forgotten: u32,
}

/// A key that is read, but comes back as 0.
fn forget<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    u32::deserialize(deserializer).map(|_| 0)
}

/// Letters as two numbers each.
struct Letters(Fault);

static COUNTER: AtomicU32 = AtomicU32::new(0);

impl Modality for Letters {
    const NAME: &'static str = "letters";
    type Config = Config;
    type Input = Record;
    type Tokens = Vec<f32>;

    fn load(config: &Config, _: &Device) -> Result<Self, BoxError> {
        if config.fault == Fault::Load {
            Err("no such file".into())
        } else {
            Ok(Self(config.fault))
        }
    }

    fn tokenize(&self, input: &Record) -> Result<Vec<f32>, BoxError> {
        match input.as_str() {
            Some(text) => Ok(text.bytes().map(|b| f32::from(b) / 100.0).collect()),
            None if self.0 == Fault::AcceptsAnything => Ok(vec![1.0]),
            None if self.0 == Fault::BlamesTheWrongRecord => Ok(vec![]),
            None => Err("not a text".into()),
        }
    }

    fn encode(&self, batch: &[Vec<f32>]) -> Result<Hidden, BoxError> {
        let width = batch.iter().map(Vec::len).max().unwrap_or(0);
        if batch.iter().any(Vec::is_empty) {
            return Err("record 0 is empty".into());
        }
        let noise = if self.0 == Fault::Random {
            COUNTER.fetch_add(1, Ordering::Relaxed) as f32 * 1e-6
        } else {
            0.0
        };
        let (mut states, mut mask) = (vec![], vec![]);
        let mut rows: Vec<_> = batch.iter().collect();
        if self.0 == Fault::ReversesBatch {
            rows.reverse();
        }
        for row in rows {
            for t in 0..width {
                let value = row.get(t).copied().unwrap_or(0.0);
                let extra = match self.0 {
                    Fault::SeesNeighbours => batch.len() as f32,
                    Fault::SeesPadding if batch.len() == 2 => (width - row.len()) as f32,
                    Fault::NotFinite => f32::NAN,
                    _ => noise,
                };
                states.extend(if self.0 == Fault::Constant {
                    [1.0, 2.0]
                } else {
                    [value + extra, -value]
                });
                mask.push(match self.0 {
                    Fault::MaskAllTrue => true,
                    Fault::NoTokens => false,
                    _ => t < row.len(),
                });
            }
        }
        let (device, b) = (Device::flex(), batch.len());
        let states = Tensor::from_data(TensorData::new(states, [b, width, 2]), &device);
        Ok(Hidden {
            states,
            mask: Tensor::from_data(TensorData::new(mask, [b, width]), &device),
        })
    }

    fn d_hidden(&self) -> usize {
        if self.0 == Fault::Width { 3 } else { 2 }
    }

    fn labels(&self, tokens: &Vec<f32>) -> Option<Vec<String>> {
        let extra = usize::from(self.0 == Fault::TooFewLabels);
        let labels = tokens.iter().skip(extra);
        Some(labels.map(|value| format!("{value}")).collect())
    }

    fn occluded(&self, tokens: &Vec<f32>, span: Range<usize>) -> Option<Vec<f32>> {
        if span.end > tokens.len() {
            return (self.0 == Fault::CutsBeyond).then(|| tokens.clone());
        }
        let mut left = tokens.clone();
        if self.0 != Fault::CutsNothing {
            left.drain(span);
        }
        (!left.is_empty()).then_some(left)
    }
}

fn verdict(fault: Fault) -> Verdict {
    let forgotten = u32::from(fault == Fault::ConfigForgets);
    let inputs = [json!("ab"), json!("c"), json!("abcd")];
    first_broken_rule::<Letters>(&Config { fault, forgotten }, &inputs)
}

#[test]
fn a_good_modality_passes() {
    verdict(Fault::None).unwrap();
    check::<Letters>(&Config::default(), &[json!("ab"), json!("c")]);
}

#[test]
fn every_rule_can_fail() {
    for (fault, wanted) in [
        (Fault::Load, "\"load\": no such file"),
        (Fault::ConfigForgets, "\"config\": "),
        (Fault::Width, "\"shapes\": "),
        (
            Fault::NoTokens,
            "\"shapes\": the mask of record 0 is false everywhere",
        ),
        (
            Fault::NotFinite,
            "\"shapes\": record 0 has states that are not finite",
        ),
        (
            Fault::MaskAllTrue,
            "\"batched = single\": record 0 in a batch: the mask is true for 4 tokens, alone for 2",
        ),
        (
            Fault::SeesNeighbours,
            "\"batched = single\": record 0 in a batch: its states differ",
        ),
        (
            Fault::ReversesBatch,
            "\"batched = single\": record 0 in a batch",
        ),
        (
            Fault::SeesPadding,
            "\"padding invariance\": record 0 beside the longer record 2: its states differ",
        ),
        (Fault::Random, "\"determinism\": "),
        (
            Fault::Constant,
            "\"different records differ\": records 0 and 1",
        ),
        (
            Fault::TooFewLabels,
            "\"labels and occlusion\": record 0 has 2 states and the labels",
        ),
        (
            Fault::CutsNothing,
            "\"labels and occlusion\": record 0 without its token 0 is not another record",
        ),
        (
            Fault::CutsBeyond,
            "\"labels and occlusion\": record 0 is cut beyond its end",
        ),
        (
            Fault::AcceptsAnything,
            "\"bad records are refused\": `null` is accepted",
        ),
        (
            Fault::BlamesTheWrongRecord,
            "\"bad records are refused\": the error for `null` does not name record 1",
        ),
    ] {
        let seen = verdict(fault).unwrap_err();
        assert!(seen.starts_with(wanted), "{seen}");
    }
}

#[test]
#[should_panic(
    expected = "modality `letters` breaks the rule \"inputs\": give at least two records, not 1"
)]
fn one_record_is_not_enough() {
    check::<Letters>(&Config::default(), &[json!("ab")]);
}

/// The same with a config that takes any key.
struct Careless(Letters);

#[derive(Default, Serialize, Deserialize)]
struct CarelessConfig {}

impl Modality for Careless {
    const NAME: &'static str = "careless";
    type Config = CarelessConfig;
    type Input = Record;
    type Tokens = Vec<f32>;

    fn load(_: &CarelessConfig, device: &Device) -> Result<Self, BoxError> {
        Letters::load(&Config::default(), device).map(Self)
    }

    fn tokenize(&self, input: &Record) -> Result<Vec<f32>, BoxError> {
        self.0.tokenize(input)
    }

    fn encode(&self, batch: &[Vec<f32>]) -> Result<Hidden, BoxError> {
        self.0.encode(batch)
    }

    fn d_hidden(&self) -> usize {
        self.0.d_hidden()
    }
}

#[test]
#[should_panic(expected = "add `#[serde(deny_unknown_fields)]`")]
fn a_config_must_refuse_unknown_keys() {
    check::<Careless>(&CarelessConfig {}, &[json!("ab"), json!("c")]);
}
