//! Learning rate as a pure function of the step. Knows no optimiser.

/// How the learning rate moves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Schedule {
    /// Always the same.
    Constant {
        /// The rate.
        lr: f64,
    },
    /// From 0 to `lr` along a line, then along half a cosine to 0.
    WarmupCosine {
        /// The highest rate.
        lr: f64,
        /// Steps of the line.
        warmup_steps: usize,
        /// All steps.
        steps: usize,
    },
}

impl Schedule {
    /// The rate of step `step`, counted from 0. The first step of a warm-up already moves; the last step of the cosine
    /// is the last that does.
    pub fn at(&self, step: usize) -> f64 {
        match *self {
            Self::Constant { lr } => lr,
            Self::WarmupCosine {
                lr, warmup_steps, ..
            } if step < warmup_steps => lr * (step + 1) as f64 / warmup_steps as f64,
            Self::WarmupCosine {
                lr,
                warmup_steps,
                steps,
            } => {
                let length = steps.saturating_sub(warmup_steps).max(1);
                let done = ((step - warmup_steps) as f64 / length as f64).min(1.0);
                lr * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Schedule = Schedule::WarmupCosine {
        lr: 2.0,
        warmup_steps: 4,
        steps: 12,
    };

    #[test]
    fn warms_up_along_a_line_and_peaks_once() {
        let rates: Vec<f64> = (0..5).map(|step| PLAN.at(step)).collect();
        assert_eq!(rates, [0.5, 1.0, 1.5, 2.0, 2.0]);
    }

    #[test]
    fn falls_along_a_cosine_to_zero() {
        assert!(
            (PLAN.at(8) - 1.0).abs() < 1e-12,
            "half way is half the peak"
        );
        for step in 4..12 {
            assert!(PLAN.at(step + 1) < PLAN.at(step));
        }
        assert!(PLAN.at(11) > 0.0);
        assert!(PLAN.at(12).abs() < 1e-12 && PLAN.at(1000).abs() < 1e-12);
    }

    #[test]
    fn odd_lengths_do_not_divide_by_zero() {
        let all_warmup = Schedule::WarmupCosine {
            lr: 1.0,
            warmup_steps: 3,
            steps: 3,
        };
        assert!((0..5).all(|step| all_warmup.at(step).is_finite()));
        let none = Schedule::WarmupCosine {
            lr: 1.0,
            warmup_steps: 0,
            steps: 2,
        };
        assert_eq!(none.at(0), 1.0);
    }
}
