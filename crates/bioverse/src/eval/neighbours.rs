//! What distances between embeddings say about labels: k nearest neighbours and the silhouette, as scikit-learn defines
//! them. All pairs are compared in f64, so it is for thousands of rows, not for millions.

use std::collections::BTreeMap;

/// How far two vectors are apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distance {
    /// Length of the difference.
    Euclidean,
    /// 1 − cosine of the angle; a zero vector is at distance 1 from everything.
    Cosine,
}

impl Distance {
    /// Between two vectors of one length.
    pub fn between(self, a: &[f32], b: &[f32]) -> f64 {
        let pairs = || a.iter().zip(b).map(|(x, y)| (f64::from(*x), f64::from(*y)));
        match self {
            Self::Euclidean => pairs().map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt(),
            Self::Cosine => {
                let norm = |v: &[f32]| v.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
                let norms = norm(a) * norm(b);
                let dot: f64 = pairs().map(|(x, y)| x * y).sum();
                if norms > 0.0 {
                    (1.0 - dot / norms).clamp(0.0, 2.0)
                } else {
                    1.0
                }
            }
        }
    }
}

/// The label that most of the `k` nearest training vectors have; of equally frequent ones the smallest, of equally near
/// vectors the first.
pub fn nearest_label<V: AsRef<[f32]>>(
    train: &[V],
    labels: &[i64],
    query: &[f32],
    k: usize,
    distance: Distance,
) -> Option<i64> {
    let votes = votes(train, labels, query, k, distance);
    let most = votes.values().copied().max()?;
    votes
        .into_iter()
        .find(|(_, n)| *n == most)
        .map(|(label, _)| label)
}

/// How many of the `k` nearest training vectors have each label.
pub fn votes<V: AsRef<[f32]>>(
    train: &[V],
    labels: &[i64],
    query: &[f32],
    k: usize,
    distance: Distance,
) -> BTreeMap<i64, usize> {
    let mut near: Vec<(f64, usize)> = train
        .iter()
        .enumerate()
        .map(|(i, vector)| (distance.between(vector.as_ref(), query), i))
        .collect();
    near.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut votes: BTreeMap<i64, usize> = BTreeMap::new();
    for (_, i) in near.into_iter().take(k) {
        if let Some(label) = labels.get(i) {
            *votes.entry(*label).or_default() += 1;
        }
    }
    votes
}

/// How much nearer each vector is to its own label's vectors than to those of the nearest other label: `(b − a) / max(a, b)`
/// with the mean distances `a` and `b` (Rousseeuw 1987). 0 for a label of one vector, and where there is no other label.
pub fn silhouette<V: AsRef<[f32]>>(vectors: &[V], labels: &[i64], distance: Distance) -> Vec<f64> {
    let one = |i: usize| {
        let mut sums: BTreeMap<i64, (f64, usize)> = BTreeMap::new();
        let others = vectors.iter().zip(labels).enumerate();
        for (_, (other, label)) in others.filter(|(j, _)| *j != i) {
            let (sum, n) = sums.entry(*label).or_default();
            *sum += distance.between(vectors[i].as_ref(), other.as_ref());
            *n += 1;
        }
        let own = sums.remove(&labels[i]).map(|(sum, n)| sum / n as f64);
        let means = sums.values().map(|(sum, n)| sum / *n as f64);
        let other = means.min_by(f64::total_cmp);
        match (own, other) {
            (Some(a), Some(b)) if a.max(b) > 0.0 => (b - a) / a.max(b),
            _ => 0.0,
        }
    };
    (0..vectors.len().min(labels.len())).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: [[f32; 1]; 4] = [[0.0], [1.0], [4.0], [5.0]];

    #[test]
    fn silhouettes_by_hand() {
        let got = silhouette(&LINE, &[0, 0, 1, 1], Distance::Euclidean);
        // The first: a = 1, b = (4 + 5) / 2.
        assert!((got[0] - 3.5 / 4.5).abs() < 1e-12);
        assert_eq!(
            silhouette(&LINE, &[0, 0, 0, 1], Distance::Euclidean)[3],
            0.0
        );
        assert_eq!(silhouette(&LINE, &[7; 4], Distance::Euclidean), [0.0; 4]);
    }

    #[test]
    fn neighbours_vote() {
        let label =
            |query: f32, k| nearest_label(&LINE, &[3, 1, 2, 2], &[query], k, Distance::Euclidean);
        assert_eq!(label(-1.0, 1), Some(3));
        assert_eq!(label(-1.0, 2), Some(1), "a tie goes to the smallest label");
        assert_eq!(label(2.0, 4), Some(2));
        assert_eq!(label(2.0, 0), None);
    }

    #[test]
    fn directions_have_distances_too() {
        let between = |a: [f32; 2], b: [f32; 2]| Distance::Cosine.between(&a, &b);
        assert!((between([1.0, 0.0], [0.0, 2.0]) - 1.0).abs() < 1e-12);
        assert!((between([1.0, 0.0], [-3.0, 0.0]) - 2.0).abs() < 1e-12);
        assert_eq!(between([0.0, 0.0], [1.0, 0.0]), 1.0);
    }
}
