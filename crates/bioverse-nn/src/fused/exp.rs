//! `exp` of one number, in operations that vectorise: no branch, no table, no call.
//!
//! `e^x = 2^n · e^r` with `n` the integer next to `x / ln 2`, so that `r` lies within half of `ln 2` from zero. There `e^r` is
//! its power series; after the sixth power it is off by 1.2e-7 at most, one rounding of an f32. `n · ln 2` is taken away in two
//! steps (Cody and Waite 1980), the first of which is exact.

use std::f32::consts::LOG2_E;

use super::simd::fma;

/// Below, the result would not be a normal number; `exp` gives 1e-38 there.
const LOWEST: f32 = -87.3;

/// Above, the result would not be finite; `exp` gives 2e38 there.
const HIGHEST: f32 = 88.3;

/// Adding this rounds to an integer, which then stands in the low bits: 3 · 2^22.
const ROUND: f32 = 12_582_912.0;

/// `ln 2` to 9 bits, so that its product with `n` is exact.
const LN_2: f32 = 355.0 / 512.0;

/// What is missing to `ln 2`.
const LN_2_REST: f32 = -2.121_944_4e-4;

/// `e^x`, relative error below 3e-7; not a number for what is not a number.
#[inline(always)]
pub(super) fn exp<const FMA: bool>(x: f32) -> f32 {
    // Comparisons, not `f32::max`, which would turn NaN into a number.
    let x = if x < LOWEST { LOWEST } else { x };
    let x = if x > HIGHEST { HIGHEST } else { x };
    let shifted = fma::<FMA>(x, LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = fma::<FMA>(n, -LN_2_REST, fma::<FMA>(n, -LN_2, x));
    let series = fma::<FMA>(1.0 / 720.0, r, 1.0 / 120.0);
    let series = fma::<FMA>(series, r, 1.0 / 24.0);
    let series = fma::<FMA>(series, r, 1.0 / 6.0);
    let series = fma::<FMA>(series, r, 0.5);
    let series = fma::<FMA>(series, r, 1.0);
    let series = fma::<FMA>(series, r, 1.0);
    // The exponent field of a float of value 1 is 127.
    let power = shifted.to_bits().wrapping_sub(ROUND.to_bits());
    series * f32::from_bits(power.wrapping_add(127) << 23)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_exp() {
        for i in -8700..8800 {
            let x = i as f32 * 0.01 + 0.003;
            let want = f64::from(x).exp();
            for got in [exp::<true>(x), exp::<false>(x)] {
                let error = (f64::from(got) - want) / want;
                assert!(error.abs() < 3e-7, "{x}: {got} {want}");
            }
        }
    }

    #[test]
    fn ends_are_finite_and_nan_stays() {
        assert!(exp::<true>(f32::NEG_INFINITY) < 2e-38);
        assert!(exp::<true>(-1e9) >= 0.0);
        assert!(exp::<true>(f32::INFINITY).is_finite());
        assert!(exp::<true>(f32::NAN).is_nan());
        assert_eq!(exp::<true>(0.0), 1.0);
    }
}
