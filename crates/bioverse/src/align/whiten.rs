//! Whitening of centred vectors by a Cholesky factor, in f64 on the CPU. Knows no text.

use burn::prelude::*;

use crate::error::{Error, Result};

/// Share of the covariance that is replaced by a multiple of the identity with the same trace. There are often fewer
/// texts than dimensions; without it their noise would be blown up to the size of the signal.
const SHRINKAGE: f64 = 0.1;

/// `W` such that the rows of `centred · W` have (shrunk) covariance one. `W = L⁻ᵀ` for the covariance `L Lᵀ`; it differs
/// from the symmetric root only by a rotation, which no cosine sees.
///
/// # Shapes
/// `[N, d] → [d, d]`
pub(super) fn whitening(centred: Tensor<2>) -> Result<Tensor<2>> {
    let device = centred.device();
    let [n, d] = centred.dims();
    let covariance = centred.clone().transpose().matmul(centred) / n as f64;
    let mut a: Vec<f64> = covariance.into_data().iter::<f64>().collect();
    shrink(&mut a, d);
    cholesky(&mut a, d).ok_or_else(|| {
        Error::Run(
            "the texts' embeddings cannot be whitened: they hold values that are no numbers, or are all alike; set \
             `align.text_space = \"centered\"`"
                .into(),
        )
    })?;
    let inverse = invert_lower(&a, d);
    let mut weight = vec![0f32; d * d];
    for row in 0..d {
        for column in 0..=row {
            weight[column * d + row] = inverse[row * d + column] as f32;
        }
    }
    Ok(Tensor::from_data(TensorData::new(weight, [d, d]), &device))
}

fn shrink(a: &mut [f64], d: usize) {
    let variance = (0..d).map(|i| a[i * d + i]).sum::<f64>() / d as f64;
    a.iter_mut().for_each(|value| *value *= 1.0 - SHRINKAGE);
    for i in 0..d {
        a[i * d + i] += SHRINKAGE * variance;
    }
}

/// The lower factor of a symmetric matrix, in place; `None` when it is not positive definite.
fn cholesky(a: &mut [f64], d: usize) -> Option<()> {
    for row in 0..d {
        let (above, rest) = a.split_at_mut(row * d);
        let current = &mut rest[..d];
        for column in 0..row {
            let other = &above[column * d..][..d];
            let sum = dot(&current[..column], &other[..column]);
            current[column] = (current[column] - sum) / other[column];
        }
        let pivot = current[row] - dot(&current[..row], &current[..row]);
        if !(pivot > 0.0 && pivot.is_finite()) {
            return None;
        }
        current[row] = pivot.sqrt();
    }
    Some(())
}

/// The inverse of a lower triangular matrix, row by row: row i of the inverse is a combination of the rows above it.
fn invert_lower(l: &[f64], d: usize) -> Vec<f64> {
    let mut inverse = vec![0.0; d * d];
    for row in 0..d {
        let (above, rest) = inverse.split_at_mut(row * d);
        let current = &mut rest[..d];
        for k in 0..row {
            let factor = l[row * d + k];
            let source = &above[k * d..][..=k];
            for (value, source) in current.iter_mut().zip(source) {
                *value -= factor * source;
            }
        }
        let pivot = l[row * d + row];
        current[..row].iter_mut().for_each(|value| *value /= pivot);
        current[row] = 1.0 / pivot;
    }
    inverse
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn factor_and_inverse_multiply_back() {
        let a = [4.0, 2.0, 0.6, 2.0, 5.0, 1.0, 0.6, 1.0, 3.0];
        let mut l = a;
        cholesky(&mut l, 3).unwrap();
        let at = |m: &[f64], i: usize, j: usize| if j <= i { m[i * 3 + j] } else { 0.0 };
        let inverse = invert_lower(&l, 3);
        for i in 0..3 {
            for j in 0..3 {
                let back: f64 = (0..3).map(|k| at(&l, i, k) * at(&l, j, k)).sum();
                assert!((back - a[i * 3 + j]).abs() < 1e-12);
                let one: f64 = (0..3).map(|k| at(&l, i, k) * at(&inverse, k, j)).sum();
                assert!((one - f64::from(u8::from(i == j))).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn whitened_vectors_have_the_shrunk_covariance_one() {
        let word = |n| crate::train::seed::mix(5, n) >> 40;
        let values: Vec<f32> = (0..600u64)
            .map(|n| (word(n) as f32 / (1u64 << 23) as f32 - 1.0) * (1 + n % 3) as f32)
            .collect();
        let x = Tensor::<2>::from_data(TensorData::new(values, [200, 3]), &Device::flex());
        let x = x.clone() - x.mean_dim(0);
        let weight = whitening(x.clone()).unwrap();
        let covariance = x.clone().transpose().matmul(x) / 200.0;
        let data: Vec<f64> = covariance.clone().into_data().iter::<f64>().collect();
        let trace = (data[0] + data[4] + data[8]) / 3.0;
        let shrunk = covariance * (1.0 - SHRINKAGE)
            + Tensor::<2>::eye(3, &Device::flex()) * (SHRINKAGE * trace);
        let one = weight.clone().transpose().matmul(shrunk).matmul(weight);
        let error = (one - Tensor::<2>::eye(3, &Device::flex())).abs().max();
        assert!(error.into_data().iter::<f64>().next().unwrap() < 1e-4);
    }

    #[test]
    fn fewer_texts_than_dimensions_are_fine_and_no_variance_is_an_error() {
        let device = Device::flex();
        let x = Tensor::<2>::from_floats([[1.0, -1.0, 0.5], [-1.0, 1.0, -0.5]], &device);
        let white = x.clone().matmul(whitening(x).unwrap());
        assert!(white.into_data().iter::<f32>().all(f32::is_finite));
        let error = whitening(Tensor::<2>::zeros([3, 2], &device)).unwrap_err();
        assert!(error.to_string().contains("centered"), "{error}");
    }
}
