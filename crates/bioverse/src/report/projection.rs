//! Vectors in two dimensions: principal components, and t-SNE that starts from them. What the vectors stand for is unknown.
//! Both are deterministic: no random start, and sums whose order does not depend on the number of cores.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::subspace::{diagonalise, dot, orient, orthonormalise};

/// Points in the plane, and how much of the variance their axes hold (only of principal components).
#[derive(Debug, Clone)]
pub struct Plane {
    /// One per vector.
    pub points: Vec<[f64; 2]>,
    /// Share of the total variance along each axis.
    pub explained: Option<[f64; 2]>,
}

/// Directions that are iterated together; more than two, because the gap to the next decides how fast the first two settle.
const DIRECTIONS: usize = 8;
/// Rounds of iteration; after them the pictures of 512 vectors no longer change by a pixel.
const ROUNDS: usize = 80;
/// Largest number of neighbours that t-SNE looks at, its perplexity.
const PERPLEXITY: f64 = 30.0;
const EPOCHS: usize = 750;
/// Fewer points have no neighbourhoods to speak of.
const FEWEST: usize = 12;
/// How coarsely far points are taken together.
const THETA: f64 = 0.5;

/// Vectors of length one, so that distances are those of cosines.
pub fn unit(vectors: &[Vec<f32>]) -> Vec<Vec<f64>> {
    let unit = |vector: &Vec<f32>| {
        let length = vector
            .iter()
            .map(|x| f64::from(*x).powi(2))
            .sum::<f64>()
            .sqrt();
        let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
        vector.iter().map(|x| f64::from(*x) * scale).collect()
    };
    vectors.iter().map(unit).collect()
}

/// The first two principal components, by subspace iteration on the Gram matrix of the centred vectors (there are fewer
/// vectors than dimensions).
///
/// # Shapes
/// `[N, d] → [N, 2]`
pub fn principal(vectors: &[Vec<f64>]) -> Plane {
    let n = vectors.len();
    let gram = gram(&centred(vectors));
    let total: f64 = (0..n).map(|i| gram[i][i]).sum();
    let mut basis = start(n);
    orthonormalise(&mut basis);
    for _ in 0..ROUNDS {
        basis = apply(&gram, &basis);
        orthonormalise(&mut basis);
    }
    let mut axes: Vec<(f64, Vec<f64>)> = ritz(&gram, &basis);
    axes.sort_by(|a, b| b.0.total_cmp(&a.0));
    let axis = |k: usize| {
        let found = axes
            .get(k)
            .filter(|(value, _)| *value > 1e-12 * total.max(f64::MIN_POSITIVE));
        let (value, mut vector) = found.cloned().unwrap_or((0.0, vec![0.0; n]));
        // A picture is not mirrored from run to run.
        orient(&mut vector);
        (value, vector)
    };
    let ((first, x), (second, y)) = (axis(0), axis(1));
    let points = x.iter().zip(&y);
    let points = points.map(|(x, y)| [x * first.max(0.0).sqrt(), y * second.max(0.0).sqrt()]);
    Plane {
        points: points.collect(),
        explained: (total > 0.0).then(|| [first / total, second / total]),
    }
}

/// t-SNE (van der Maaten 2014, Barnes–Hut), started from `from` as Kobak & Berens 2019 recommend, so that the layout at large
/// is that of the principal components and nothing is drawn at random. Equal vectors are one point. `None` for too few.
///
/// # Shapes
/// `[N, d] → [N, 2]`
pub fn neighbours(vectors: &[Vec<f64>], from: &Plane) -> Option<Plane> {
    let (distinct, place) = distinct(vectors);
    let n = distinct.len();
    if n < FEWEST {
        return None;
    }
    let samples: Vec<&[f64]> = distinct.iter().map(|at| vectors[*at].as_slice()).collect();
    let start = distinct.iter().map(|at| from.points[*at]);
    let spread = start.clone().map(|[x, _]| x * x).sum::<f64>() / n as f64;
    let scale = 1e-4 / spread.sqrt().max(1e-12);
    let begin: Vec<f64> = start.flatten().map(|x| x * scale).collect();
    let fit = || {
        bhtsne::tSNE::<f64, &[f64], 2>::new(&samples)
            .perplexity(PERPLEXITY.min((n - 1) as f64 / 4.0))
            .epochs(EPOCHS)
            .learning_rate((n as f64 / 12.0).max(50.0))
            .initial_embedding(begin)
            .barnes_hut(THETA, |a, b| distance(a, b))
            .embedding()
    };
    // The library adds in an order that depends on the number of threads.
    let alone = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .ok()?;
    let embedding = alone.install(fit);
    let found: Vec<[f64; 2]> = embedding.chunks_exact(2).map(|p| [p[0], p[1]]).collect();
    let sound = found.len() == n && found.iter().flatten().all(|x| x.is_finite());
    sound.then(|| Plane {
        points: place.iter().map(|at| found[*at]).collect(),
        explained: None,
    })
}

/// Where each distinct vector first stands, and which of them each vector is.
fn distinct(vectors: &[Vec<f64>]) -> (Vec<usize>, Vec<usize>) {
    let mut seen: BTreeMap<Vec<u64>, usize> = BTreeMap::new();
    let (mut first, mut place) = (vec![], vec![]);
    for (at, vector) in vectors.iter().enumerate() {
        let bits = vector.iter().map(|x| x.to_bits()).collect();
        place.push(*seen.entry(bits).or_insert_with(|| {
            first.push(at);
            first.len() - 1
        }));
    }
    (first, place)
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    let squares = a.iter().zip(b).map(|(a, b)| (a - b).powi(2));
    squares.sum::<f64>().sqrt()
}

fn centred(vectors: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let (n, d) = (
        vectors.len().max(1) as f64,
        vectors.first().map_or(0, Vec::len),
    );
    let mut mean = vec![0.0; d];
    for vector in vectors {
        mean.iter_mut()
            .zip(vector)
            .for_each(|(sum, x)| *sum += x / n);
    }
    let centre = |vector: &Vec<f64>| vector.iter().zip(&mean).map(|(x, m)| x - m).collect();
    vectors.iter().map(centre).collect()
}

fn gram(vectors: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let row = |a: &Vec<f64>| vectors.iter().map(|b| dot(a, b)).collect();
    vectors.par_iter().map(row).collect()
}

/// Directions that no data set is orthogonal to by design: cosines of different frequencies.
fn start(n: usize) -> Vec<Vec<f64>> {
    let direction = |k: usize| {
        let wave = |i: usize| {
            ((i * (2 * k + 1)) as f64 * 0.7 + k as f64).cos() + 0.1 * ((i * i) as f64).sin()
        };
        (0..n).map(wave).collect()
    };
    (0..DIRECTIONS.min(n)).map(direction).collect()
}

fn apply(gram: &[Vec<f64>], basis: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let image = |vector: &Vec<f64>| gram.par_iter().map(|row| dot(row, vector)).collect();
    basis.iter().map(image).collect()
}

/// Rayleigh–Ritz: eigenpairs of the matrix within the basis.
fn ritz(gram: &[Vec<f64>], basis: &[Vec<f64>]) -> Vec<(f64, Vec<f64>)> {
    let k = basis.len();
    let image = apply(gram, basis);
    let mut small: Vec<Vec<f64>> = (0..k)
        .map(|i| (0..k).map(|j| dot(&basis[i], &image[j])).collect())
        .collect();
    let mut vectors = basis.to_vec();
    diagonalise(&mut small, &mut vectors);
    (0..k).map(|i| (small[i][i], vectors[i].clone())).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::train::seed::mix;

    fn noise(i: u64) -> f64 {
        (mix(3, i) >> 11) as f64 / (1u64 << 53) as f64 - 0.5
    }

    #[test]
    fn components_of_a_stretched_cloud_are_its_axes() {
        let vectors: Vec<Vec<f64>> = (0..60)
            .map(|i| {
                vec![
                    10.0 * noise(3 * i),
                    noise(3 * i + 1),
                    3.0 * noise(3 * i + 2),
                    0.0,
                ]
            })
            .collect();
        let plane = principal(&vectors);
        let centred = centred(&vectors);
        let along = |axis: usize, column: usize| {
            let (points, data): (Vec<f64>, Vec<f64>) = plane
                .points
                .iter()
                .zip(&centred)
                .map(|(p, v)| (p[axis], v[column]))
                .unzip();
            (dot(&points, &data) / (dot(&points, &points) * dot(&data, &data)).sqrt()).abs()
        };
        assert!(along(0, 0) > 0.99, "{}", along(0, 0));
        assert!(along(1, 2) > 0.98, "{}", along(1, 2));
        let [first, second] = plane.explained.unwrap();
        assert!(first > second && first + second < 1.0 && first + second > 0.95);
        // The first axis is uncorrelated with the second.
        let product: f64 = plane.points.iter().map(|[x, y]| x * y).sum();
        assert!(product.abs() < 1e-9, "{product}");
    }

    #[test]
    fn eigenvalues_are_those_of_the_matrix() {
        // Orthogonal rows of known lengths: the centred Gram matrix of ±e_k has the eigenvalues 2·s².
        let mut vectors = vec![];
        for (k, s) in [3.0, 2.0, 1.0].into_iter().enumerate() {
            for sign in [1.0, -1.0] {
                let mut vector = vec![0.0; 3];
                vector[k] = s * sign;
                vectors.push(vector);
            }
        }
        let [first, second] = principal(&vectors).explained.unwrap();
        assert!((first - 18.0 / 28.0).abs() < 1e-9 && (second - 8.0 / 28.0).abs() < 1e-9);
    }

    #[test]
    fn equal_vectors_and_few_vectors_are_no_trouble() {
        let same = vec![vec![0.5, 0.5]; 5];
        let plane = principal(&same);
        assert!(plane.points.iter().flatten().all(|x| *x == 0.0));
        assert!(neighbours(&same, &plane).is_none());
        assert_eq!(principal(&[]).points.len(), 0);
        assert_eq!(principal(&[vec![1.0]]).points, [[0.0, 0.0]]);
        let many: Vec<Vec<f64>> = (0..40)
            .map(|i| vec![noise(i % 20), noise(i % 20 + 50)])
            .collect();
        let plane = neighbours(&many, &principal(&many)).unwrap();
        assert_eq!(
            plane.points[..20],
            plane.points[20..],
            "equal vectors are one point"
        );
    }

    #[test]
    fn clusters_stay_together_and_the_same_input_gives_the_same_picture() {
        let vectors: Vec<Vec<f64>> = (0..40)
            .map(|i| {
                let centre = if i < 20 { 5.0 } else { -5.0 };
                (0..6).map(|k| centre + noise(i * 6 + k)).collect()
            })
            .collect();
        let from = principal(&vectors);
        let first = neighbours(&vectors, &from).unwrap();
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(3)
            .build()
            .unwrap();
        let again = pool.install(|| neighbours(&vectors, &principal(&vectors)).unwrap());
        assert_eq!(first.points, again.points, "whatever the number of cores");
        let mean = |range: std::ops::Range<usize>| {
            let sum = first.points[range]
                .iter()
                .fold([0.0, 0.0], |sum, p| [sum[0] + p[0], sum[1] + p[1]]);
            sum.map(|x| x / 20.0)
        };
        let (a, b) = (mean(0..20), mean(20..40));
        let apart = distance(&a, &b);
        assert!(
            first.points[..20]
                .iter()
                .all(|p| distance(p, &a) < apart / 2.0)
        );
    }
}
