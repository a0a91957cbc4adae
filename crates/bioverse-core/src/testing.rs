//! The conformance suite: what every [`Modality`] promises to the rest of the program, checked in one line of a
//! plugin's tests. It runs on the CPU, without weights of its own, and knows nothing about what a record means.
//!
//! ```text
//! #[test]
//! fn conforms() {
//!     bioverse_core::testing::check::<Rna>(&Config::default(), &["GGCUA".into(), "AUG".into()]);
//! }
//! ```

use burn::prelude::*;

use crate::{Encoder, Hidden, Modality, Record, Registry};

/// How far two encodings of one record may lie apart, relative to values of size one or more.
const TOLERANCE: f32 = 1e-4;

/// Runs every rule on `M`; `inputs` are at least two valid records of different length.
///
/// # Panics
/// With the broken rule and what was seen.
#[track_caller]
pub fn check<M: Modality>(config: &M::Config, inputs: &[Record]) {
    if let Err(broken) = first_broken_rule::<M>(config, inputs) {
        panic!("modality `{}` breaks the rule {broken}", M::NAME);
    }
}

/// A rule's name and what was seen.
type Verdict = Result<(), String>;

fn first_broken_rule<M: Modality>(config: &M::Config, inputs: &[Record]) -> Verdict {
    if inputs.len() < 2 {
        return broken(
            "inputs",
            format!("give at least two records, not {}", inputs.len()),
        );
    }
    configuration::<M>(config)?;
    let modality = M::load(config, &Device::flex()).or_else(|e| broken("load", e))?;
    let subject = Subject {
        encoder: Encoder::new(modality),
        inputs,
    };
    let singles = subject.shapes()?;
    subject.batching(&singles)?;
    subject.padding(&singles)?;
    subject.determinism()?;
    subject.parts(&singles)?;
    distinct(&singles)?;
    subject.refusal()
}

/// The config survives its own table, and a misspelt key is refused.
fn configuration<M: Modality>(config: &M::Config) -> Verdict {
    let rule = "config";
    let registry = Registry::new().with::<M>();
    let table = toml::Table::try_from(config).or_else(|e| broken(rule, e))?;
    let resolved = registry
        .resolve(M::NAME, &table)
        .or_else(|e| broken(rule, e))?;
    if resolved != table {
        return broken(rule, format!("`{table}` is read back as `{resolved}`"));
    }
    let mut typo = table;
    typo.insert("no-such-key".into(), toml::Value::Boolean(true));
    match registry.resolve(M::NAME, &typo) {
        Ok(_) => broken(
            rule,
            "an unknown key is accepted; add `#[serde(deny_unknown_fields)]`",
        ),
        Err(_) => Ok(()),
    }
}

/// What one record became: its real states, one after the other.
struct Encoded {
    tokens: usize,
    states: Vec<f32>,
}

impl Encoded {
    /// Row by row, whatever the mask says is real.
    fn rows(hidden: &Hidden) -> Vec<Self> {
        let [_, t, d] = hidden.states.dims();
        let states: Vec<f32> = hidden.states.to_data().iter::<f32>().collect();
        let mask: Vec<bool> = hidden.mask.to_data().iter::<bool>().collect();
        let row = |(states, mask): (&[f32], &[bool])| {
            let real = states
                .chunks(d)
                .zip(mask)
                .filter(|(_, real)| **real)
                .flat_map(|(state, _)| state.to_vec());
            Self {
                tokens: mask.iter().filter(|real| **real).count(),
                states: real.collect(),
            }
        };
        states.chunks(t * d).zip(mask.chunks(t)).map(row).collect()
    }

    fn mean(&self) -> Vec<f32> {
        let width = self.states.len() / self.tokens.max(1);
        (0..width)
            .map(|i| self.states.iter().skip(i).step_by(width).sum::<f32>() / self.tokens as f32)
            .collect()
    }

    /// `Err` says how `other` differs.
    fn agrees(&self, other: &Self) -> Verdict {
        if self.tokens != other.tokens {
            return Err(format!(
                "the mask is true for {} tokens, alone for {}",
                other.tokens, self.tokens
            ));
        }
        let gap = largest_gap(&self.states, &other.states);
        if gap > TOLERANCE {
            Err(format!("its states differ by {gap}"))
        } else {
            Ok(())
        }
    }
}

fn largest_gap(a: &[f32], b: &[f32]) -> f32 {
    let gap = |(a, b): (&f32, &f32)| (a - b).abs() / a.abs().max(b.abs()).max(1.0);
    a.iter().zip(b).map(gap).fold(0.0, f32::max)
}

struct Subject<'a> {
    encoder: Encoder,
    inputs: &'a [Record],
}

impl Subject<'_> {
    fn encode(&self, rule: &str, records: &[Record]) -> Result<Vec<Encoded>, String> {
        let hidden = self.encoder.encode(records).or_else(|e| broken(rule, e))?;
        Ok(Encoded::rows(&hidden))
    }

    /// Every record alone: widths as promised (the encoder checks them), at least one token, finite values.
    fn shapes(&self) -> Result<Vec<Encoded>, String> {
        let rule = "shapes";
        let mut singles = vec![];
        for (i, input) in self.inputs.iter().enumerate() {
            for encoded in self.encode(rule, std::slice::from_ref(input))? {
                if encoded.tokens == 0 {
                    return broken(rule, format!("the mask of record {i} is false everywhere"));
                }
                if encoded.states.iter().any(|state| !state.is_finite()) {
                    return broken(rule, format!("record {i} has states that are not finite"));
                }
                singles.push(encoded);
            }
        }
        if singles.iter().all(|single| single.states.is_empty()) {
            return broken(rule, "hidden states are 0 wide");
        }
        Ok(singles)
    }

    /// A batch gives every record what it gets alone, in the order of the batch: forwards and backwards.
    fn batching(&self, singles: &[Encoded]) -> Verdict {
        let rule = "batched = single";
        let order: Vec<usize> = (0..self.inputs.len()).collect();
        for order in [order.clone(), order.into_iter().rev().collect()] {
            let records: Vec<Record> = order.iter().map(|&i| self.inputs[i].clone()).collect();
            for (&i, batched) in order.iter().zip(self.encode(rule, &records)?) {
                singles[i]
                    .agrees(&batched)
                    .or_else(|e| broken(rule, format!("record {i} in a batch: {e}")))?;
            }
        }
        Ok(())
    }

    /// Beside the longest record every other one is padded as far as it will be; nothing may change.
    fn padding(&self, singles: &[Encoded]) -> Verdict {
        let rule = "padding invariance";
        let Some(longest) = (0..singles.len()).max_by_key(|&i| singles[i].tokens) else {
            return Ok(());
        };
        for (i, single) in singles.iter().enumerate() {
            let pair = self.encode(
                rule,
                &[self.inputs[i].clone(), self.inputs[longest].clone()],
            )?;
            let said = |e| {
                broken(
                    rule,
                    format!("record {i} beside the longer record {longest}: {e}"),
                )
            };
            pair.first()
                .map_or(Ok(()), |padded| single.agrees(padded))
                .or_else(said)?;
        }
        Ok(())
    }

    fn determinism(&self) -> Verdict {
        let rule = "determinism";
        let (first, second) = (
            self.encode(rule, self.inputs)?,
            self.encode(rule, self.inputs)?,
        );
        let same = first.iter().zip(&second).all(|(a, b)| a.states == b.states);
        if same {
            Ok(())
        } else {
            broken(rule, "two runs over the same records give different states")
        }
    }

    /// Every state has a label, and a token that is taken out leaves a record that the encoder reads, and reads otherwise.
    fn parts(&self, singles: &[Encoded]) -> Verdict {
        let rule = "labels and occlusion";
        for (i, input) in self.inputs.iter().enumerate() {
            let parts = self.encoder.parts(input).or_else(|e| broken(rule, e))?;
            let Some(labels) = parts.labels else {
                continue;
            };
            let hidden = self.encoder.encode(std::slice::from_ref(input));
            let [_, states, _] = hidden.or_else(|e| broken(rule, e))?.states.dims();
            if labels.len() != states || labels.iter().any(String::is_empty) {
                let problem = format!("record {i} has {states} states and the labels {labels:?}");
                return broken(rule, problem);
            }
            self.occlusion(i, &singles[i], &parts.removable)?;
        }
        Ok(())
    }

    fn occlusion(&self, i: usize, whole: &Encoded, removable: &[bool]) -> Verdict {
        let rule = "labels and occlusion";
        let found = (0..removable.len()).filter(|at| removable[*at]);
        let spans: Vec<_> = found.map(|at| at..at + 1).collect();
        let beyond = removable.len()..removable.len() + 1;
        let record = &self.inputs[i];
        if !spans.is_empty() && self.encoder.encode_occluded(record, &[beyond]).is_ok() {
            return broken(rule, format!("record {i} is cut beyond its end"));
        }
        if spans.is_empty() {
            return Ok(());
        }
        let hidden = self.encoder.encode_occluded(record, &spans);
        let occluded = Encoded::rows(&hidden.or_else(|e| broken(rule, e))?);
        if occluded.len() != spans.len() {
            return broken(
                rule,
                format!("{} spans give {} rows", spans.len(), occluded.len()),
            );
        }
        for (span, cut) in spans.iter().zip(&occluded) {
            let same = cut.tokens == whole.tokens && cut.states == whole.states;
            if cut.tokens == 0 || cut.states.iter().any(|state| !state.is_finite()) || same {
                let problem = format!(
                    "record {i} without its token {} is not another record",
                    span.start
                );
                return broken(rule, problem);
            }
        }
        Ok(())
    }

    /// JSON that no record is made of, behind a good record, must be refused by its index.
    fn refusal(&self) -> Verdict {
        let rule = "bad records are refused";
        for bad in [Record::Null, Record::Bool(true)] {
            let records = [self.inputs[0].clone(), bad.clone()];
            match self.encoder.encode(&records) {
                Ok(_) => return broken(rule, format!("`{bad}` is accepted as a record")),
                Err(e) if !e.to_string().contains("record 1 ") => {
                    return broken(
                        rule,
                        format!("the error for `{bad}` does not name record 1: {e}"),
                    );
                }
                Err(_) => {}
            }
            if self.encoder.check(&bad).is_ok() {
                return broken(
                    rule,
                    format!("`{bad}` passes the check that does not encode"),
                );
            }
        }
        Ok(())
    }
}

fn distinct(singles: &[Encoded]) -> Verdict {
    for (i, a) in singles.iter().enumerate() {
        for (j, b) in singles.iter().enumerate().skip(i + 1) {
            if largest_gap(&a.mean(), &b.mean()) < 1e-6 {
                return broken(
                    "different records differ",
                    format!("records {i} and {j} have the same mean state"),
                );
            }
        }
    }
    Ok(())
}

fn broken<T>(rule: &str, seen: impl std::fmt::Display) -> Result<T, String> {
    Err(format!("\"{rule}\": {seen}"))
}

#[cfg(test)]
mod tests;
