//! Multinomial logistic regression with an L2 penalty, as scikit-learn's `LogisticRegression` defines it, fitted by L-BFGS.
//! It knows neither what the features are nor what is predicted; nothing in it is random.

use rayon::prelude::*;

use super::linear::Matrix;

/// Rows whose share of the gradient is summed by one thread. Fixed, so that the sum does not depend on their number.
const CHUNK: usize = 128;
/// Steps that the curvature is estimated from.
const MEMORY: usize = 10;
/// Most steps.
const STEPS: usize = 500;
/// The largest entry of the gradient of the mean loss at which the fit has ended.
const TOLERANCE: f64 = 1e-6;

/// A fitted model. With two classes there is one weight vector, for the second class, and with more there is one for each,
/// as in scikit-learn; so the same `c` means the same penalty.
#[derive(Debug, Clone)]
pub struct Logistic {
    classes: usize,
    features: usize,
    /// For each free class its weights and, last, its intercept.
    weights: Vec<f64>,
}

impl Logistic {
    /// The minimum of `c Σ −ln p(label) + ½ ‖W‖²`; intercepts are not penalised. `labels` are below `classes`. Nothing where
    /// labels and rows do not pair up, where a label is not a class, or with fewer than two classes.
    ///
    /// # Shapes
    /// `x [n, d]`
    pub fn fit(x: &Matrix, labels: &[usize], classes: usize, c: f64) -> Option<Self> {
        let usable = x.rows == labels.len() && x.rows > 0 && classes > 1 && c > 0.0;
        if !usable || labels.iter().any(|label| *label >= classes) {
            return None;
        }
        let mut model = Self {
            classes,
            features: x.cols,
            weights: vec![],
        };
        // Divided by c n: the gradient is then of the same size however many rows there are.
        let penalty = 1.0 / (c * x.rows as f64);
        let start = vec![0.0; model.free() * (x.cols + 1)];
        model.weights = minimum(start, |weights| model.loss(weights, x, labels, penalty));
        Some(model)
    }

    /// The probability of every class, row by row.
    ///
    /// # Shapes
    /// `x [n, d]` → `[n, classes]`
    pub fn probabilities(&self, x: &Matrix) -> Vec<Vec<f64>> {
        (0..x.rows)
            .into_par_iter()
            .map(|row| {
                let mut scores = self.scores(&self.weights, x.row(row));
                softmax(&mut scores);
                scores
            })
            .collect()
    }

    /// The most probable class of each row; of equally probable ones the first.
    pub fn predict(&self, x: &Matrix) -> Vec<usize> {
        let best = |row: Vec<f64>| {
            (0..row.len())
                .rev()
                .max_by(|a, b| row[*a].total_cmp(&row[*b]))
        };
        self.probabilities(x)
            .into_iter()
            .map(|row| best(row).unwrap_or_default())
            .collect()
    }

    /// Weight vectors.
    const fn free(&self) -> usize {
        if self.classes == 2 { 1 } else { self.classes }
    }

    /// Logits of one row; with two classes that of the first is zero.
    fn scores(&self, weights: &[f64], row: &[f32]) -> Vec<f64> {
        let fixed = self.classes - self.free();
        let free = weights.chunks_exact(self.features + 1).map(|weights| {
            let (intercept, weights) = weights.split_last().unwrap_or((&0.0, &[]));
            let dot: f64 = weights
                .iter()
                .zip(row)
                .map(|(w, x)| w * f64::from(*x))
                .sum();
            dot + intercept
        });
        std::iter::repeat_n(0.0, fixed).chain(free).collect()
    }

    /// Mean negative log-likelihood with its share of the penalty, and the gradient of both.
    fn loss(&self, weights: &[f64], x: &Matrix, labels: &[usize], penalty: f64) -> (f64, Vec<f64>) {
        let rows: Vec<usize> = (0..x.rows).collect();
        let parts: Vec<(f64, Vec<f64>)> = rows
            .par_chunks(CHUNK)
            .map(|rows| self.part(weights, x, labels, rows))
            .collect();
        let (mut loss, mut gradient) = (0.0, vec![0.0; weights.len()]);
        for (of, slope) in parts {
            loss += of;
            add(&mut gradient, 1.0, &slope);
        }
        let n = x.rows as f64;
        loss /= n;
        gradient.iter_mut().for_each(|slope| *slope /= n);
        for (at, weight) in weights.iter().enumerate() {
            if at % (self.features + 1) != self.features {
                loss += penalty * weight * weight / 2.0;
                gradient[at] += penalty * weight;
            }
        }
        (loss, gradient)
    }

    /// The sums over some rows.
    fn part(
        &self,
        weights: &[f64],
        x: &Matrix,
        labels: &[usize],
        rows: &[usize],
    ) -> (f64, Vec<f64>) {
        let (mut loss, mut gradient) = (0.0, vec![0.0; weights.len()]);
        let fixed = self.classes - self.free();
        for row in rows {
            let (values, label) = (x.row(*row), labels[*row]);
            let mut p = self.scores(weights, values);
            let score = p[label];
            loss += softmax(&mut p) - score;
            p[label] -= 1.0;
            let slopes = gradient.chunks_exact_mut(self.features + 1);
            for (slope, p) in slopes.zip(&p[fixed..]) {
                let with_one = values.iter().map(|x| f64::from(*x)).chain([1.0]);
                slope
                    .iter_mut()
                    .zip(with_one)
                    .for_each(|(s, x)| *s += p * x);
            }
        }
        (loss, gradient)
    }
}

/// Makes probabilities of logits; the logarithm of what they were divided by.
fn softmax(scores: &mut [f64]) -> f64 {
    let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    scores
        .iter_mut()
        .for_each(|score| *score = (*score - most).exp());
    let sum: f64 = scores.iter().sum();
    scores.iter_mut().for_each(|score| *score /= sum);
    most + sum.ln()
}

/// The minimum of a smooth convex function by L-BFGS (Nocedal and Wright, algorithm 7.5) with backtracking; `of` gives value
/// and gradient.
fn minimum(start: Vec<f64>, of: impl Fn(&[f64]) -> (f64, Vec<f64>)) -> Vec<f64> {
    let mut at = start;
    let (mut value, mut gradient) = of(&at);
    let mut memory: Vec<(Vec<f64>, Vec<f64>)> = vec![];
    for _ in 0..STEPS {
        if gradient.iter().all(|slope| slope.abs() < TOLERANCE) {
            break;
        }
        let way = direction(&gradient, &memory);
        let slope = dot(&way, &gradient);
        // The first step knows no curvature, so it is one of length one at most.
        let first = (1.0 / dot(&gradient, &gradient).sqrt()).min(1.0);
        let mut length = if memory.is_empty() { first } else { 1.0 };
        let found = loop {
            let mut there = at.clone();
            add(&mut there, length, &way);
            let (new, slopes) = of(&there);
            if new <= value + 1e-4 * length * slope {
                break Some((there, new, slopes));
            }
            length /= 2.0;
            if length < 1e-12 {
                break None;
            }
        };
        // No lower value within the arithmetic: this is the minimum.
        let Some((there, new, slopes)) = found else {
            break;
        };
        let step: Vec<f64> = there.iter().zip(&at).map(|(a, b)| a - b).collect();
        let change: Vec<f64> = slopes.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        if dot(&step, &change) > 0.0 {
            memory.push((step, change));
            memory.drain(..memory.len().saturating_sub(MEMORY));
        }
        (at, value, gradient) = (there, new, slopes);
    }
    at
}

/// Minus the gradient times the inverse Hessian as the last steps show it (the two loops).
fn direction(gradient: &[f64], memory: &[(Vec<f64>, Vec<f64>)]) -> Vec<f64> {
    let mut way: Vec<f64> = gradient.iter().map(|slope| -slope).collect();
    let mut shares = vec![];
    for (step, change) in memory.iter().rev() {
        let share = dot(step, &way) / dot(step, change);
        add(&mut way, -share, change);
        shares.push(share);
    }
    if let Some((step, change)) = memory.last() {
        let scale = dot(step, change) / dot(change, change);
        way.iter_mut().for_each(|x| *x *= scale);
    }
    for ((step, change), share) in memory.iter().zip(shares.into_iter().rev()) {
        let back = dot(change, &way) / dot(step, change);
        add(&mut way, share - back, step);
    }
    way
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `to += times · what`
fn add(to: &mut [f64], times: f64, what: &[f64]) {
    to.iter_mut()
        .zip(what)
        .for_each(|(to, what)| *to += times * what);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    /// Sixty rows of four features, three noisy classes.
    fn rows() -> (Matrix, Vec<usize>) {
        let value = |i: usize, j: usize| {
            let (i, j) = (i as f64, j as f64);
            (1.7 * i * i + 2.3 * j + 0.5 * i * j).sin() as f32
        };
        let x = Matrix {
            rows: 60,
            cols: 4,
            data: (0..240).map(|at| value(at / 4, at % 4)).collect(),
        };
        let label = |i: usize| {
            let row = x.row(i);
            match (i % 7, f64::from(row[0]) + 0.5 * f64::from(row[1])) {
                (0, _) => i % 3,
                (_, sum) if sum > 0.4 => 0,
                _ if row[2] > 0.0 => 1,
                _ => 2,
            }
        };
        let labels = (0..60).map(label).collect();
        (x, labels)
    }

    fn near(got: &[f64], expected: &[f64]) {
        assert_eq!(got.len(), expected.len());
        for (a, b) in got.iter().zip(expected) {
            assert!((a - b).abs() < 2e-5, "{got:?} {expected:?}");
        }
    }

    /// The probabilities of the first three rows by `LogisticRegression(C=c, tol=1e-12).fit(x, y).predict_proba(x[:3])` of
    /// scikit-learn 1.9.1 on the same numbers.
    #[test]
    fn three_classes_are_those_of_scikit_learn() {
        let (x, labels) = rows();
        let count = |class| labels.iter().filter(|label| **label == class).count();
        assert_eq!([count(0), count(1), count(2)], [19, 20, 21]);
        let got = Logistic::fit(&x, &labels, 3, 1.0)
            .unwrap()
            .probabilities(&x);
        near(&got[0], &[0.423_424_93, 0.028_841_78, 0.547_733_29]);
        near(&got[1], &[0.439_066_20, 0.517_035_26, 0.043_898_55]);
        near(&got[2], &[0.256_342_78, 0.634_845_22, 0.108_812_00]);
        let got = Logistic::fit(&x, &labels, 3, 0.1)
            .unwrap()
            .probabilities(&x);
        near(&got[0], &[0.409_387_90, 0.133_585_78, 0.457_026_32]);
    }

    /// As above, with class 0 against the others.
    #[test]
    fn two_classes_have_one_weight_vector() {
        let (x, labels) = rows();
        let labels: Vec<usize> = labels
            .iter()
            .map(|label| usize::from(*label == 0))
            .collect();
        let model = Logistic::fit(&x, &labels, 2, 1.0).unwrap();
        let expected = [
            2.544_045_7,
            0.936_368_7,
            -0.416_873_5,
            0.244_360_2,
            -1.293_802_1,
        ];
        near(&model.weights, &expected);
        near(&model.probabilities(&x)[2], &[0.756_808_1, 0.243_191_9]);
        assert_eq!(model.predict(&x)[..3], [0, 0, 0]);
    }

    #[test]
    fn separable_classes_and_idle_features_do_no_harm() {
        let x = Matrix {
            rows: 4,
            cols: 2,
            data: vec![-2.0, 0.0, -1.0, 0.0, 1.0, 0.0, 2.0, 0.0],
        };
        let model = Logistic::fit(&x, &[0, 0, 1, 1], 2, 1e6).unwrap();
        assert_eq!(model.predict(&x), [0, 0, 1, 1]);
        assert!(model.weights.iter().all(|weight| weight.is_finite()));
        assert!(model.weights[1].abs() < 1e-12);
    }

    #[test]
    fn what_does_not_pair_up_is_refused() {
        let (x, labels) = rows();
        assert!(Logistic::fit(&x, &labels[1..], 3, 1.0).is_none());
        assert!(Logistic::fit(&x, &labels, 2, 1.0).is_none());
        assert!(Logistic::fit(&x, &labels, 3, 0.0).is_none());
        assert!(Logistic::fit(&Matrix::zeros(0, 4), &[], 3, 1.0).is_none());
    }
}
