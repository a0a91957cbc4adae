//! The comparison of one folder: what was looked at, what differs, how close the rest came. Knows no model.

use std::collections::BTreeSet;
use std::fmt;

use anyhow::{Context, Result, bail, ensure};
use burn::prelude::*;
use serde_json::Value;

use super::distance::Distance;
use super::folder::{Folder, Reference, Values};
use super::outcome::{Outcome, summary};

/// Collects findings instead of stopping at the first: one run should show all that is wrong.
pub struct Check<'a> {
    pub folder: &'a Folder,
    inputs: BTreeSet<String>,
    compared: BTreeSet<String>,
    facts: usize,
    worst: (f64, String),
    failures: Vec<String>,
}

/// A padded batch of ids.
#[derive(Clone)]
pub struct Batch {
    pub ids: Tensor<2, Int>,
    pub mask: Tensor<2, Bool>,
}

impl<'a> Check<'a> {
    pub fn new(folder: &'a Folder) -> Self {
        Self {
            folder,
            inputs: BTreeSet::new(),
            compared: BTreeSet::new(),
            facts: 0,
            worst: (0.0, "nothing".into()),
            failures: vec![],
        }
    }

    pub fn has(&self, name: &str) -> bool {
        self.folder.tensors.contains_key(name)
    }

    pub fn fail(&mut self, what: impl fmt::Display) {
        self.failures.push(what.to_string());
    }

    /// Anything that has to be exactly as golden.json says.
    pub fn equal<T: PartialEq + fmt::Debug>(&mut self, what: impl fmt::Display, got: T, want: T) {
        self.facts += 1;
        if got != want {
            self.failures
                .push(format!("{what}: got {got:?}, want {want:?}"));
        }
    }

    /// A tensor the computation starts from.
    pub fn input(&mut self, name: &str) -> Result<&'a Reference> {
        let reference = self
            .folder
            .tensors
            .get(name)
            .with_context(|| format!("there is no `{name}`"))?;
        self.inputs.insert(name.to_string());
        Ok(reference)
    }

    pub fn input_ints(&mut self, name: &str) -> Result<(&'a [usize], &'a [i64])> {
        let reference = self.input(name)?;
        match &reference.values {
            Values::Int(values) => Ok((&reference.shape, values)),
            Values::Float(_) => bail!("`{name}` should hold integers"),
        }
    }

    pub fn input_data(&mut self, name: &str) -> Result<TensorData> {
        let reference = self.input(name)?;
        match &reference.values {
            Values::Float(values) => Ok(TensorData::new(values.clone(), reference.shape.clone())),
            Values::Int(_) => bail!("`{name}` should hold floats"),
        }
    }

    pub fn input_floats<const D: usize>(
        &mut self,
        name: &str,
        device: &Device,
    ) -> Result<Tensor<D>> {
        let data = self.input_data(name)?;
        ensure!(
            data.shape().num_dims() == D,
            "`{name}` should have {D} dimensions"
        );
        Ok(Tensor::from_data(data, device))
    }

    /// `<prefix>input_ids` with `<prefix>attention_mask`.
    pub fn batch(&mut self, prefix: &str, device: &Device) -> Result<Batch> {
        let (shape, ids) = self.input_ints(&format!("{prefix}input_ids"))?;
        let (mask_shape, mask) = self.input_ints(&format!("{prefix}attention_mask"))?;
        ensure!(
            shape == mask_shape && shape.len() == 2,
            "{prefix}input_ids is {shape:?}, its mask {mask_shape:?}"
        );
        let mask: Vec<bool> = mask.iter().map(|real| *real != 0).collect();
        Ok(Batch {
            ids: Tensor::from_data(TensorData::new(ids.to_vec(), shape.to_vec()), device),
            mask: Tensor::from_data(TensorData::new(mask, shape.to_vec()), device),
        })
    }

    /// Compares with `name` if the folder has it; folders of one family do not all hold the same tensors.
    pub fn floats<const D: usize>(&mut self, name: &str, got: impl FnOnce() -> Result<Tensor<D>>) {
        if !self.has(name) {
            return;
        }
        match got() {
            Ok(tensor) => self.data(name, &tensor.into_data()),
            Err(error) => self.fail(format!("{name}: {error:#}")),
        }
    }

    /// As [`Self::floats`], for values already copied out.
    pub fn data(&mut self, name: &str, got: &TensorData) {
        self.compared.insert(name.to_string());
        match self.distance(name, got) {
            Err(error) => self.fail(format!("{name}: {error:#}")),
            Ok(distance) => {
                if distance.ratio > self.worst.0 {
                    self.worst = (distance.ratio, name.to_string());
                }
                if let Some(problem) = distance.problem {
                    self.fail(format!("{name}: {problem}"));
                }
            }
        }
    }

    fn distance(&self, name: &str, got: &TensorData) -> Result<Distance> {
        let want = self
            .folder
            .tensors
            .get(name)
            .context("golden.json does not know it")?;
        let Values::Float(values) = &want.values else {
            bail!("it should hold floats");
        };
        let shape = got.shape().to_vec();
        ensure!(
            shape == want.shape,
            "its shape is {shape:?}, want {:?}",
            want.shape
        );
        let matters = self.matters(want)?;
        let pairs = got.iter::<f64>().zip(values).enumerate();
        let pairs: Vec<(usize, f64, f64)> = pairs
            .filter(|(i, _)| matters(*i))
            .map(|(i, (got, want))| (i, got, f64::from(*want)))
            .collect();
        ensure!(!pairs.is_empty(), "its mask leaves nothing to compare");
        Ok(Distance::of(&pairs, want.tolerance))
    }

    /// Whether the element with this flat index is one to compare.
    fn matters(&self, want: &'a Reference) -> Result<Box<dyn Fn(usize) -> bool + 'a>> {
        let Some(name) = &want.only_where else {
            return Ok(Box::new(|_| true));
        };
        let mask = self
            .folder
            .tensors
            .get(name)
            .with_context(|| format!("its mask `{name}` is missing"))?;
        let Values::Int(mask_values) = &mask.values else {
            bail!("its mask `{name}` should hold integers");
        };
        ensure!(
            want.shape.starts_with(&mask.shape),
            "its mask `{name}` is {:?}",
            mask.shape
        );
        let inner: usize = want.shape[mask.shape.len()..].iter().product();
        Ok(Box::new(move |i| mask_values[i / inner] != 0))
    }

    /// Compares a number, or a list of them, that golden.json holds at `pointer`.
    pub fn numbers(&mut self, pointer: &str, got: &[f64]) {
        let want = self.folder.json.pointer(pointer).cloned();
        let want: Option<Vec<f64>> = match want {
            Some(Value::Array(values)) => values.iter().map(Value::as_f64).collect(),
            Some(value) => value.as_f64().map(|value| vec![value]),
            None => None,
        };
        let tolerance = self.folder.json["tolerance"]["atol"].as_f64();
        let (Some(want), Some(atol)) = (want, tolerance) else {
            return self.fail(format!("golden.json has no numbers at {pointer}"));
        };
        self.facts += got.len();
        self.compared.insert(pointer.to_string());
        if got.len() != want.len() {
            let lengths = format!("got {}, want {}", got.len(), want.len());
            return self.fail(format!("{pointer}: {lengths} numbers"));
        }
        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
            let ratio = (got - want).abs() / atol;
            if ratio > self.worst.0 {
                self.worst = (ratio, pointer.to_string());
            }
            if ratio.is_nan() || ratio > 1.0 {
                return self.fail(format!("{pointer}[{i}]: got {got}, want {want}"));
            }
        }
    }

    /// Compares integers, exactly.
    pub fn ints(&mut self, name: &str, got: &[i64]) {
        let Some(want) = self.folder.tensors.get(name) else {
            return;
        };
        self.compared.insert(name.to_string());
        match &want.values {
            Values::Int(values) if values == got => {}
            Values::Int(values) => self.fail(format!("{name}: got {got:?}, want {values:?}")),
            Values::Float(_) => self.fail(format!("{name}: it should hold integers")),
        }
    }

    /// The verdict; a tensor nobody looked at is a failure.
    pub fn finish(mut self) -> Outcome {
        let forgotten: Vec<&String> = self
            .folder
            .tensors
            .keys()
            .filter(|name| !self.inputs.contains(*name) && !self.compared.contains(*name))
            .collect();
        if !forgotten.is_empty() {
            self.failures
                .push(format!("nobody looked at {forgotten:?}"));
        }
        if self.compared.is_empty() {
            self.failures.push("nothing was compared".into());
        }
        Outcome {
            name: self.folder.name.clone(),
            compared: summary(&self.compared),
            inputs: self.inputs.len(),
            facts: self.facts,
            worst: self.worst,
            failures: self.failures,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::folder::Tolerance;
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    fn folder(tolerance: Tolerance, only_where: Option<&str>) -> Folder {
        let reference = |shape: &[usize], values, only_where: Option<&str>| Reference {
            shape: shape.to_vec(),
            values,
            tolerance,
            only_where: only_where.map(str::to_string),
        };
        let tensors = BTreeMap::from([
            (
                "x".to_string(),
                reference(
                    &[2, 2],
                    Values::Float(vec![1.0, -2.0, 3.0, 4.0]),
                    only_where,
                ),
            ),
            (
                "mask".to_string(),
                reference(&[2], Values::Int(vec![1, 0]), None),
            ),
        ]);
        Folder {
            path: PathBuf::new(),
            name: "f".into(),
            family: "f".into(),
            json: serde_json::Value::Null,
            tensors,
        }
    }

    fn failures(tolerance: Tolerance, only_where: Option<&str>, got: &[f32]) -> Vec<String> {
        let folder = folder(tolerance, only_where);
        let mut check = Check::new(&folder);
        check.input("mask").unwrap();
        check.data("x", &TensorData::new(got.to_vec(), [2, got.len() / 2]));
        check.finish().failures
    }

    const STRICT: Tolerance = Tolerance {
        atol: 1e-3,
        rtol: 1e-2,
        most: None,
    };

    #[test]
    fn the_tolerance_is_absolute_plus_relative() {
        assert!(failures(STRICT, None, &[1.0109, -2.0, 3.0, 4.0]).is_empty());
        assert_eq!(failures(STRICT, None, &[1.0111, -2.0, 3.0, 4.0]).len(), 1);
        assert_eq!(failures(STRICT, None, &[1.0, -2.0, 3.0, f32::NAN]).len(), 1);
        assert_eq!(
            failures(STRICT, None, &[1.0, -2.0, 3.0, 4.0, 5.0, 6.0]).len(),
            1
        );
    }

    #[test]
    fn masked_elements_may_be_anything() {
        assert!(failures(STRICT, Some("mask"), &[1.0, -2.0, f32::NAN, 99.0]).is_empty());
        assert_eq!(
            failures(STRICT, Some("mask"), &[1.0, -9.0, 3.0, 4.0]).len(),
            1
        );
    }

    #[test]
    fn a_share_of_the_elements_can_be_held_tighter() {
        let half = Tolerance {
            atol: 1.0,
            rtol: 0.0,
            most: Some((0.5, 1e-6)),
        };
        assert!(failures(half, None, &[1.0, -2.0, 3.5, 4.5]).is_empty());
        assert_eq!(failures(half, None, &[1.0, -2.1, 3.5, 4.5]).len(), 1);
    }

    #[test]
    fn a_tensor_nobody_looked_at_is_a_failure() {
        let folder = folder(STRICT, None);
        let mut check = Check::new(&folder);
        check.data("x", &TensorData::new(vec![1.0_f32, -2.0, 3.0, 4.0], [2, 2]));
        let failures = check.finish().failures;
        assert!(
            failures.len() == 1 && failures[0].contains("mask"),
            "{failures:?}"
        );
    }
}
