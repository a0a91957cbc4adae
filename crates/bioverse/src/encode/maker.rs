//! Records → vectors: an encoder with a way of pooling, or with the projector of a bundle. It knows no file of records.

use std::{collections::BTreeMap, path::Path};

use bioverse_core::{Encoder, Hidden, Pooling, Projector, Record, Registry};
use bioverse_formats::embeddings::Per;
use burn::prelude::*;

use super::request::Request;
use crate::{
    Bundle,
    data::refusal::refusal,
    encoders,
    error::{Error, Result},
    files,
};

/// How the states of a record become what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pool {
    /// As the encoder's authors do it.
    #[default]
    Auto,
    /// The mean of the states that count.
    Mean,
    /// The first state.
    Cls,
    /// All states that count, one after the other.
    None,
}

/// What makes vectors.
pub(super) struct Maker {
    encoder: Encoder,
    how: How,
    /// Divide vectors by their length, as the encoder's authors do; only where theirs is the way of pooling.
    to_length_one: bool,
}

enum How {
    Mean,
    First,
    States,
    Soft {
        projector: Box<Projector>,
        sha: String,
    },
}

impl Maker {
    pub fn load(request: &Request, registry: &Registry) -> Result<Self> {
        let encoder = encoders::load(registry, &request.modality, &request.table, &request.device)?;
        let how = match (&request.projector, request.pool) {
            (Some(bundle), _) => soft(bundle, request, registry, &encoder)?,
            (None, Pool::None) => How::States,
            (None, Pool::Mean) => How::Mean,
            (None, Pool::Cls) => How::First,
            (None, Pool::Auto) => match encoder.pooling() {
                Pooling::Mean => How::Mean,
                Pooling::First => How::First,
            },
        };
        let as_published = request.projector.is_none() && request.pool == Pool::Auto;
        Ok(Self {
            to_length_one: as_published && encoder.normalized(),
            encoder,
            how,
        })
    }

    /// Width of a vector.
    pub fn width(&self) -> usize {
        match &self.how {
            How::Soft { projector, .. } => projector.d_model(),
            How::Mean | How::First | How::States => self.encoder.d_hidden(),
        }
    }

    /// Whether records have differently many vectors.
    pub fn is_varying(&self) -> bool {
        matches!(self.how, How::States)
    }

    /// Vectors per record; `total` are those of all records together.
    pub fn per(&self, total: usize) -> Per {
        match &self.how {
            How::Mean | How::First => Per::One,
            How::States => Per::Varying { total },
            How::Soft { projector, .. } => Per::Fixed(projector.soft_len()),
        }
    }

    /// `mean`, `cls`, `none` or `projector`.
    pub fn pooling(&self) -> &'static str {
        match self.how {
            How::Mean => "mean",
            How::First => "cls",
            How::States => "none",
            How::Soft { .. } => "projector",
        }
    }

    /// For people.
    pub fn describe(&self) -> String {
        let (name, width) = (self.encoder.name(), self.encoder.d_hidden());
        let made = match &self.how {
            How::Mean if self.to_length_one => "mean of the states, of length 1".into(),
            How::First if self.to_length_one => "first state, of length 1".into(),
            How::Mean => "mean of the states".into(),
            How::First => "first state".into(),
            How::States => "all states".into(),
            How::Soft { projector, .. } => {
                format!(
                    "{} soft tokens {} wide",
                    projector.soft_len(),
                    projector.d_model()
                )
            }
        };
        format!("{name} encoder {width} wide, {made}")
    }

    pub fn summary(&self) -> Option<String> {
        self.encoder.summary()
    }

    pub fn projector_sha(&self) -> Option<&str> {
        match &self.how {
            How::Soft { sha, .. } => Some(sha),
            How::Mean | How::First | How::States => None,
        }
    }

    /// What is wrong with a record, if anything.
    pub fn check(&self, record: &Record) -> Result<(), String> {
        let checked = self.encoder.check(record);
        checked.map_err(|error| refusal(record, error))
    }

    /// The vectors of each record, one after the other.
    pub fn encode(&self, records: &[Record]) -> Result<Vec<Vec<f32>>> {
        let hidden = self.encoder.encode(records)?;
        let mut rows = match &self.how {
            How::Mean => rows(mean(hidden), records.len()),
            How::First => rows(hidden.states.narrow(1, 0, 1), records.len()),
            How::States => states(hidden),
            How::Soft { projector, .. } => rows(projector.forward(hidden).embeds, records.len()),
        };
        if self.to_length_one {
            rows.iter_mut().for_each(|row| to_length_one(row));
        }
        Ok(rows)
    }
}

/// The projector of a bundle, if it was trained on this encoder.
fn soft(dir: &Path, request: &Request, registry: &Registry, encoder: &Encoder) -> Result<How> {
    let bundle = Bundle::open(dir)?;
    let name = request.modality.as_str();
    let refuse = |problem: String| Error::Input(format!("{}: {problem}", bundle.dir.display()));
    let Some(entry) = bundle.manifest.modalities.get(name) else {
        let known: Vec<&str> = bundle
            .manifest
            .modalities
            .keys()
            .map(String::as_str)
            .collect();
        return Err(refuse(format!(
            "this bundle has no `{name}` projector (it has: {})",
            known.join(", ")
        )));
    };
    let by_name = |files: &BTreeMap<String, String>| -> BTreeMap<String, String> {
        let base = |name: &str| {
            Path::new(name)
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
        };
        files
            .iter()
            .filter_map(|(name, hash)| Some((base(name)?, hash.clone())))
            .collect()
    };
    let mut now = BTreeMap::new();
    for file in encoders::weights(registry, name, &request.table)? {
        now.insert(file.to_string_lossy().into_owned(), files::sha256(&file)?);
    }
    if by_name(&now) != by_name(&entry.encoder.files) {
        return Err(refuse(format!(
            "its `{name}` projector was trained on another encoder ({}) than this one; leave --model out to use that",
            entry.encoder.path.display()
        )));
    }
    let space = bundle.space(&request.device)?;
    let projector = space.projector(name)?.clone();
    if projector.d_hidden() != encoder.d_hidden() {
        return Err(refuse(format!(
            "its `{name}` projector reads states {} wide, but the encoder gives {}",
            projector.d_hidden(),
            encoder.d_hidden()
        )));
    }
    Ok(How::Soft {
        projector: Box::new(projector),
        sha: files::sha256(
            &bundle
                .dir
                .join("projectors")
                .join(format!("{name}.safetensors")),
        )?,
    })
}

/// Mean over the states that count, `[B, T, d] → [B, 1, d]`.
fn mean(hidden: Hidden) -> Tensor<3> {
    let Hidden { states, mask } = hidden;
    let [b, t, d] = states.dims();
    let weight = mask.clone().float();
    let count = weight.sum_dim(1).clamp_min(1.0).unsqueeze_dim::<3>(2);
    // A weight of zero would not silence a NaN at padding.
    let padding = mask.bool_not().unsqueeze_dim::<3>(2).expand([b, t, d]);
    states.mask_fill(padding, 0.0).sum_dim(1) / count
}

/// A vector of zeros stays one.
fn to_length_one(vector: &mut [f32]) {
    let length = vector
        .iter()
        .map(|x| f64::from(*x).powi(2))
        .sum::<f64>()
        .sqrt();
    if length > 0.0 {
        vector
            .iter_mut()
            .for_each(|x| *x = (f64::from(*x) / length) as f32);
    }
}

/// `[n, k, d]` as n rows of k · d numbers.
fn rows(tensor: Tensor<3>, n: usize) -> Vec<Vec<f32>> {
    let values: Vec<f32> = tensor.into_data().iter::<f32>().collect();
    let width = values.len() / n.max(1);
    values.chunks(width.max(1)).map(<[f32]>::to_vec).collect()
}

/// The states that count, of each record.
fn states(hidden: Hidden) -> Vec<Vec<f32>> {
    let [_, t, d] = hidden.states.dims();
    let values: Vec<f32> = hidden.states.into_data().iter::<f32>().collect();
    let mask: Vec<bool> = hidden.mask.into_data().iter::<bool>().collect();
    let of = |(states, real): (&[f32], &[bool])| -> Vec<f32> {
        let kept = states.chunks(d.max(1)).zip(real).filter(|(_, real)| **real);
        kept.flat_map(|(state, _)| state).copied().collect()
    };
    let size = (t * d).max(1);
    values
        .chunks(size)
        .zip(mask.chunks(t.max(1)))
        .map(of)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_has_length_one_afterwards_unless_it_is_zero() {
        let (mut vector, mut zero, mut large) = ([3.0, -4.0], [0.0, 0.0], [1e30, 0.0]);
        to_length_one(&mut vector);
        to_length_one(&mut zero);
        to_length_one(&mut large);
        assert_eq!((vector, zero, large), ([0.6, -0.8], [0.0, 0.0], [1.0, 0.0]));
    }
}
