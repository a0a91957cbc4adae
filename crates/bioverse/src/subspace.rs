//! What subspace iteration is made of: an orthonormal basis, the rotations that find the eigenvectors within it, and signs that
//! do not change from run to run. Vectors are columns in f64. It knows neither the matrix that is iterated nor how often.

/// Sweeps of rotations; Jacobi's method converges quadratically, a small matrix is diagonal long before.
const SWEEPS: usize = 30;
/// What is left of a vector below this share of its length is rounding.
const VANISHED: f64 = 1e-12;

/// Gram–Schmidt, twice, for the sake of rounding; what vanishes becomes zero, for a direction made of rounding would be
/// orthogonal to nothing.
pub fn orthonormalise(basis: &mut [Vec<f64>]) {
    for k in 0..basis.len() {
        let (done, rest) = basis.split_at_mut(k);
        let Some(current) = rest.first_mut() else {
            return;
        };
        let before = dot(current, current).sqrt();
        for other in done.iter().chain(done.iter()) {
            let share = dot(current, other);
            current
                .iter_mut()
                .zip(other)
                .for_each(|(x, o)| *x -= share * o);
        }
        let length = dot(current, current).sqrt();
        let scale = if length > VANISHED * before {
            1.0 / length
        } else {
            0.0
        };
        current.iter_mut().for_each(|x| *x *= scale);
    }
}

/// Makes a small symmetric matrix diagonal by Jacobi rotations, and turns `vectors` along: its eigenvalues are then on the
/// diagonal, and vector i belongs to the i-th.
///
/// # Shapes
/// `small [k, k]`, k vectors
pub fn diagonalise(small: &mut [Vec<f64>], vectors: &mut [Vec<f64>]) {
    for _ in 0..SWEEPS {
        for p in 0..small.len() {
            for q in p + 1..small.len() {
                rotate(small, vectors, p, q);
            }
        }
    }
}

/// One rotation that makes `small[p][q]` zero, applied to the vectors too.
fn rotate(small: &mut [Vec<f64>], vectors: &mut [Vec<f64>], p: usize, q: usize) {
    if small[p][q].abs() < 1e-300 {
        return;
    }
    let theta = (small[q][q] - small[p][p]) / (2.0 * small[p][q]);
    let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let (c, s) = (1.0 / (t * t + 1.0).sqrt(), t / (t * t + 1.0).sqrt());
    for row in small.iter_mut() {
        (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
    }
    for matrix in [small, vectors] {
        let (above, below) = matrix.split_at_mut(q);
        for (a, b) in above[p].iter_mut().zip(below[0].iter_mut()) {
            (*a, *b) = (c * *a - s * *b, s * *a + c * *b);
        }
    }
}

/// Makes the largest entry positive, for an eigenvector is as good as its negative.
pub fn orient(vector: &mut [f64]) {
    let largest = vector
        .iter()
        .copied()
        .max_by(|a, b| a.abs().total_cmp(&b.abs()));
    if largest.is_some_and(|x| x < 0.0) {
        vector.iter_mut().for_each(|x| *x = -*x);
    }
}

/// Scalar product.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_depends_on_others_vanishes() {
        let mut basis = vec![
            vec![3.0, 0.0, 4.0],
            vec![6.0, 0.0, 8.0],
            vec![1.0, 2.0, 3.0],
        ];
        orthonormalise(&mut basis);
        assert_eq!(basis[1], [0.0; 3]);
        for (a, b, wanted) in [(0, 0, 1.0), (2, 2, 1.0), (0, 2, 0.0)] {
            assert!((dot(&basis[a], &basis[b]) - wanted).abs() < 1e-15);
        }
    }

    #[test]
    fn eigenvectors_of_a_matrix_by_hand() {
        let mut small = vec![vec![2.0, 1.0], vec![1.0, 2.0]];
        let mut vectors = vec![vec![1.0, 0.0], vec![0.0, 1.0]];
        diagonalise(&mut small, &mut vectors);
        for (k, vector) in vectors.iter_mut().enumerate() {
            orient(vector);
            // (1, 1) for 3, (1, -1) for 1.
            let wanted = if small[k][k] > 2.0 { 3.0 } else { 1.0 };
            assert!((small[k][k] - wanted).abs() < 1e-12);
            assert!((vector[0] * vector[1] - (wanted - 2.0) / 2.0).abs() < 1e-12);
        }
    }
}
