//! What the frozen encoder knows before anything is aligned, as numbers that can be put beside those of the projector. It
//! trains nothing by gradients.

use burn::prelude::*;

use super::diagnose::{NEIGHBOURS, Numbers, cka, diagnose, mutual_knn};
use super::measure::{put, retrieval};
use super::target::{PairVectors, Target};
use crate::error::Result;
use crate::eval::linear::{Matrix, Ridge};
use crate::telemetry::Fields;

/// Most training pairs that the linear map is fitted on.
const MOST: usize = 4096;
/// Fewest.
const FEWEST: usize = 20;
/// One of so many training pairs chooses the penalty.
const CHOOSING: usize = 10;
/// Penalties, as multiples of the mean variance of a feature times the number of pairs.
const PENALTIES: [f32; 5] = [1e-3, 1e-2, 1e-1, 1.0, 10.0];

/// `raw_*`: the encoder's pooled vectors beside the texts', which are of another width. [`cka`] and [`mutual_knn`] need no
/// common space; for retrieval a ridge regression from encoder to text vectors, fitted on training pairs, makes one. A
/// projector that retrieves no better than that has learnt no more than a linear map would.
pub(super) fn measure(target: &Target, numbers: Numbers<'_>, device: &Device) -> Result<Fields> {
    let mut fields = Fields::new();
    let rows: Vec<usize> = (0..target.held_out.records.len()).collect();
    let Some(texts) = target.held_out.texts_of(&rows, device) else {
        return Ok(fields);
    };
    let bio = pooled(target, &target.held_out, &rows, device)?;
    put(&mut fields, "raw_cka", cka(bio.clone(), texts.clone()));
    let shared = mutual_knn(bio.clone(), texts.clone(), NEIGHBOURS);
    put(&mut fields, "raw_mutual_knn", shared);
    if let Some(mapped) = mapped(target, bio, device)? {
        let found = diagnose(mapped, texts, numbers, 1.0);
        retrieval(&mut fields, "raw", &found.to_text, &found.to_bio);
        put(&mut fields, "raw_foscttm", found.foscttm);
    }
    Ok(fields)
}

/// One vector per record: the mean of its pooled states.
///
/// # Shapes
/// n rows → `[n, d_hidden]`
fn pooled(
    target: &Target,
    pairs: &PairVectors,
    rows: &[usize],
    device: &Device,
) -> Result<Tensor<2>> {
    let states = pairs.pooled(&target.encoded, rows, device)?;
    Ok(states.mean_dim(1).squeeze_dim(1))
}

/// Held-out vectors of the encoder, mapped to where the texts are by ridge regression on training pairs; `None` where there
/// are too few of them.
///
/// # Shapes
/// `[n, d_hidden] → [n, d]`
fn mapped(target: &Target, held_out: Tensor<2>, device: &Device) -> Result<Option<Tensor<2>>> {
    let pairs = &target.train;
    let every = pairs.records.len().div_ceil(MOST).max(1);
    let rows: Vec<usize> = (0..pairs.records.len()).step_by(every).collect();
    if rows.len() < FEWEST {
        return Ok(None);
    }
    let bio = pooled(target, pairs, &rows, device)?;
    let Some(texts) = pairs.texts_of(&rows, device) else {
        return Ok(None);
    };
    let (mean_bio, mean_text) = (bio.clone().mean_dim(0), texts.clone().mean_dim(0));
    let x = Matrix::from_tensor(bio - mean_bio.clone());
    let y = Matrix::from_tensor(texts - mean_text.clone());
    let Some(penalty) = penalty(&x, &y, &rows, pairs) else {
        return Ok(None);
    };
    let queries = Matrix::from_tensor(held_out - mean_bio);
    let predicted = Ridge::new(&x).predict(&y, penalty, &queries);
    Ok(predicted.map(|found| found.into_tensor(device) + mean_text))
}

/// The penalty with the best retrieval on training pairs that were left out of the fit.
fn penalty(x: &Matrix, y: &Matrix, rows: &[usize], pairs: &PairVectors) -> Option<f32> {
    let device = Device::flex();
    let (mut choosing, mut fitting) = (vec![], vec![]);
    for at in 0..rows.len() {
        match at % CHOOSING {
            0 => choosing.push(at),
            _ => fitting.push(at),
        }
    }
    let of = |numbers: &[usize]| -> Vec<usize> {
        choosing.iter().map(|at| numbers[rows[*at]]).collect()
    };
    let (texts, records) = (of(&pairs.text_numbers), of(&pairs.record_numbers));
    let numbers = Numbers {
        texts: &texts,
        records: &records,
    };
    let ridge = Ridge::new(&x.select(&fitting));
    let (fitted, queries) = (y.select(&fitting), x.select(&choosing));
    let right = y.select(&choosing).into_tensor(&device);
    let scale = x.data.iter().map(|x| x * x).sum::<f32>() / x.cols.max(1) as f32;
    let tried = PENALTIES.iter().filter_map(|factor| {
        let penalty = factor * scale;
        let found = ridge.predict(&fitted, penalty, &queries)?;
        let found = diagnose(found.into_tensor(&device), right.clone(), numbers, 1.0);
        Some((penalty, found.to_text.mrr + found.to_bio.mrr))
    });
    let best = tried.max_by(|a, b| a.1.total_cmp(&b.1));
    best.map(|(penalty, _)| penalty)
        .filter(|penalty| *penalty > 0.0)
}
