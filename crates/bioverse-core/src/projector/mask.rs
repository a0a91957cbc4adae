//! What dropout multiplies by, for the projector. Knows no layer.
//!
//! Burn draws each element of a mask with a cryptographic generator on one thread, which takes longer than the matrix
//! product beside it. On the CPU one number is drawn and the elements are hashes of it and their position.

use burn::prelude::*;
use burn::tensor::{Distribution, TensorData};

use crate::splitmix::mix;

/// `1 / keep` where an element stays, 0 where it is dropped; on the plain device of `like`.
///
/// # Shapes
/// as `like`
pub(crate) fn dropout_mask<const D: usize>(like: &Tensor<D>, prob: f64) -> Tensor<D> {
    let (device, shape) = (like.device().inner(), like.dims());
    let keep = 1.0 - prob;
    if device != Device::flex() {
        let mask = Tensor::<D>::random(shape, Distribution::Bernoulli(keep), &device);
        return mask.div_scalar(keep).cast(like.dtype());
    }
    // The device's own generator stays the only source of chance, so `Device::seed` settles masks as it does all else.
    let drawn = Tensor::<1>::random([2], Distribution::Uniform(0.0, 1.0), &device).into_data();
    let seed = drawn
        .iter::<f32>()
        .fold(0, |seed, value| mix(seed ^ u64::from(value.to_bits())));
    let values = values(seed, keep, shape.iter().product());
    Tensor::<D>::from_data(TensorData::new(values, shape), &device).cast(like.dtype())
}

fn values(seed: u64, keep: f64, count: usize) -> Vec<f32> {
    let limit = (keep * 4_294_967_296.0) as u64;
    let stays = (1.0 / keep) as f32;
    let value = |bits: u64| if bits < limit { stays } else { 0.0 };
    let mut values = Vec::with_capacity(count);
    for pair in 0..count.div_ceil(2) as u64 {
        let word = mix(seed.wrapping_add(pair.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
        values.extend([value(word >> 32), value(word & 0xFFFF_FFFF)]);
    }
    values.truncate(count);
    values
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn the_share_that_stays_is_right_and_neighbours_know_nothing_of_each_other() {
        let n = 200_001;
        let mask = values(7, 0.9, n);
        assert_eq!(mask.len(), n);
        let stays: Vec<f64> = mask.iter().map(|v| f64::from(u8::from(*v > 0.0))).collect();
        let mean = stays.iter().sum::<f64>() / n as f64;
        // Five standard deviations.
        assert!(
            (mean - 0.9).abs() < 5.0 * (0.09 / n as f64).sqrt(),
            "{mean}"
        );
        for lag in [1, 2, 3, 1024] {
            let pairs = stays.iter().zip(&stays[lag..]);
            let together = pairs.map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>();
            let correlation = together / (n as f64 * mean * (1.0 - mean));
            assert!(
                correlation.abs() < 5.0 / (n as f64).sqrt(),
                "{lag}: {correlation}"
            );
        }
        assert!(
            mask.iter()
                .all(|v| *v == 0.0 || (*v - 1.0 / 0.9).abs() < 1e-6)
        );
    }

    #[test]
    fn seeds_make_other_masks() {
        assert_eq!(values(1, 0.5, 64), values(1, 0.5, 64));
        assert_ne!(values(1, 0.5, 64), values(2, 0.5, 64));
    }
}
