//! A curve that stays small however long a run is: means of so many steps that they fit. It draws nothing.

/// Points that are kept at most; twice what the widest picture can show.
const MOST: usize = 512;

/// Means of `every` points each.
#[derive(Debug, Clone)]
pub(super) struct Curve {
    points: Vec<(f64, f64)>,
    every: usize,
    /// Sums of step and value of the points that do not make a mean yet, and how many they are.
    open: (f64, f64, usize),
    last: f64,
}

impl Default for Curve {
    fn default() -> Self {
        Self {
            points: vec![],
            every: 1,
            open: (0.0, 0.0, 0),
            last: f64::NAN,
        }
    }
}

impl Curve {
    /// Adds a point; what is not a number is left out.
    pub(super) fn push(&mut self, step: usize, value: f64) {
        if !value.is_finite() {
            return;
        }
        self.last = value;
        let (x, y, n) = self.open;
        self.open = (x + step as f64, y + value, n + 1);
        if self.open.2 == self.every {
            let (x, y, n) = std::mem::take(&mut self.open);
            self.points.push((x / n as f64, y / n as f64));
        }
        if self.points.len() >= MOST {
            let pair = |pair: &[(f64, f64)]| {
                let n = pair.len() as f64;
                let sum = pair
                    .iter()
                    .fold((0.0, 0.0), |sum, p| (sum.0 + p.0, sum.1 + p.1));
                (sum.0 / n, sum.1 / n)
            };
            self.points = self.points.chunks(2).map(pair).collect();
            self.every *= 2;
        }
    }

    pub(super) fn points(&self) -> &[(f64, f64)] {
        &self.points
    }

    /// The last value, as it was.
    pub(super) fn last(&self) -> f64 {
        self.last
    }

    /// Least and greatest value; never equal.
    pub(super) fn bounds(&self) -> [f64; 2] {
        let values = self.points.iter().map(|point| point.1);
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), y| {
            (low.min(y), high.max(y))
        });
        match high - low {
            spread if spread > 0.0 => [low, high],
            _ if low.is_finite() => [low - 0.5, low + 0.5],
            _ => [0.0, 1.0],
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_long_curve_keeps_its_shape_in_few_points() {
        let mut curve = Curve::default();
        assert_eq!(curve.bounds(), [0.0, 1.0]);
        curve.push(1, f64::NAN);
        assert!(curve.points().is_empty());
        for step in 0..100_000 {
            curve.push(step, step as f64);
        }
        assert!(curve.points().len() < MOST);
        assert!(
            curve.points().iter().all(|(x, y)| x == y),
            "means on the line"
        );
        assert_eq!(curve.last(), 99_999.0);
        let [low, high] = curve.bounds();
        assert!(low < 500.0 && high > 99_000.0, "{low} {high}");
        let mut flat = Curve::default();
        flat.push(1, 2.0);
        assert_eq!(flat.bounds(), [1.5, 2.5]);
    }
}
