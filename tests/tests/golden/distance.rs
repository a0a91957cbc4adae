//! How far one tensor is from its reference, in units of what is allowed.

use super::folder::Tolerance;

/// The verdict on one tensor.
pub struct Distance {
    /// Of the worst element; above 1 is too far.
    pub ratio: f64,
    pub problem: Option<String>,
}

impl Distance {
    /// `pairs`: flat index, got, want.
    pub fn of(pairs: &[(usize, f64, f64)], tolerance: Tolerance) -> Self {
        let (mut ratio, mut problem, mut close, mut worst) = (0.0, None, 0, 0.0_f64);
        for (i, got, want) in pairs {
            let gap = (got - want).abs();
            // NaN on either side is as wrong as can be, but would win no comparison.
            let this = if gap.is_nan() {
                f64::INFINITY
            } else {
                gap / (tolerance.atol + tolerance.rtol * want.abs())
            };
            if this > ratio {
                ratio = this;
            }
            if this > 1.0 && this > worst {
                worst = this;
                problem = Some(format!(
                    "element {i} is {got}, want {want} ({this:.3} times the tolerance)"
                ));
            }
            close += usize::from(tolerance.most.is_some_and(|(_, within)| gap <= within));
        }
        if let Some((share, within)) = tolerance.most {
            let got = close as f64 / pairs.len() as f64;
            if got < share {
                problem.get_or_insert(format!(
                    "only {:.2} % of the elements are within {within}",
                    got * 100.0
                ));
            }
        }
        Self { ratio, problem }
    }
}
