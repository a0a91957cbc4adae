//! Heads without a language model, on the states of frozen encoders: what the encoder alone is good for. It knows no
//! question; what is to be told apart is for the suites to say.

use std::collections::BTreeSet;

use super::linear::Matrix;
use super::logistic::Logistic;
use super::scale::Scale;

/// Inverse strength of the L2 penalty, scikit-learn's default, on features of unit variance.
const C: f64 = 1.0;
/// Neighbours that vote.
pub const NEIGHBOURS: usize = 15;

/// Columns of several matrices side by side; rows must pair up.
pub fn beside(parts: &[Matrix]) -> Matrix {
    let rows = parts.first().map_or(0, |part| part.rows);
    let data = (0..rows).flat_map(|row| parts.iter().flat_map(move |part| part.row(row).to_vec()));
    Matrix {
        data: data.collect(),
        rows,
        cols: parts.iter().map(|part| part.cols).sum(),
    }
}

/// Logistic regression on standardised features: the shares of all classes for each query. Rows of one class only give that
/// class.
///
/// # Shapes
/// `train [n, d]`, `queries [q, d]` → `[q, classes]`
pub fn logistic(
    train: &Matrix,
    labels: &[usize],
    classes: usize,
    queries: &Matrix,
) -> Vec<Vec<f64>> {
    let scale = Scale::fit(train);
    let seen: BTreeSet<usize> = labels.iter().copied().collect();
    // Classes without a row would only add weights that nothing holds.
    let seen: Vec<usize> = seen.into_iter().collect();
    let own: Vec<usize> = labels
        .iter()
        .filter_map(|label| seen.binary_search(label).ok())
        .collect();
    let spread_out = |shares: Vec<f64>| {
        let mut all = vec![0.0; classes];
        for (class, share) in seen.iter().zip(shares) {
            if let Some(place) = all.get_mut(*class) {
                *place = share;
            }
        }
        all
    };
    match Logistic::fit(&scale.apply(train), &own, seen.len(), C) {
        Some(model) => {
            let shares = model.probabilities(&scale.apply(queries));
            shares.into_iter().map(spread_out).collect()
        }
        None => vec![spread_out(vec![1.0; seen.len()]); queries.rows],
    }
}

/// Shares of the classes among the `k` rows of largest cosine, given features as they should be compared; of equally near
/// rows the first.
///
/// # Shapes
/// `train [n, d]`, `queries [q, d]` → `[q, classes]`
pub fn nearest(
    (train, labels): (&Matrix, &[usize]),
    classes: usize,
    queries: &Matrix,
    k: usize,
) -> Vec<Vec<f64>> {
    let cosines = cosines(queries, train);
    let near = k.min(train.rows).max(1) as f64;
    let one = |query: usize| {
        let row = cosines.row(query);
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.sort_by(|a, b| row[*b].total_cmp(&row[*a]).then(a.cmp(b)));
        let mut shares = vec![0.0; classes];
        for at in order.into_iter().take(k) {
            if let Some(share) = labels.get(at).and_then(|label| shares.get_mut(*label)) {
                *share += 1.0 / near;
            }
        }
        shares
    };
    (0..cosines.rows).map(one).collect()
}

/// Cosines of every query with every row.
///
/// # Shapes
/// `queries [q, d]`, `rows [n, d]` → `[q, n]`
pub fn cosines(queries: &Matrix, rows: &Matrix) -> Matrix {
    let rows = rows.clone().normalized();
    queries.clone().normalized().times_transposed(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(values: &[f32]) -> Matrix {
        Matrix {
            rows: values.len(),
            cols: 1,
            data: values.to_vec(),
        }
    }

    #[test]
    fn classes_nobody_has_get_nothing() {
        let train = column(&[-2.0, -1.0, 1.0, 2.0]);
        let got = logistic(&train, &[0, 0, 2, 2], 3, &column(&[-3.0, 3.0]));
        // The penalty keeps the shares away from certainty.
        assert!(got[0][0] > 0.8 && got[1][2] > 0.8, "{got:?}");
        assert_eq!((got[0][1], got[1][1]), (0.0, 0.0));
        assert_eq!(
            logistic(&train, &[1; 4], 3, &column(&[0.0])),
            [[0.0, 1.0, 0.0]]
        );
    }

    #[test]
    fn neighbours_are_counted() {
        let train = beside(&[column(&[1.0, 1.0, 0.0]), column(&[0.0, 0.1, 1.0])]);
        let query = beside(&[column(&[0.1]), column(&[1.0])]);
        let got = nearest((&train, &[0, 0, 1]), 2, &query, 2);
        assert_eq!(got, [[0.5, 0.5]], "the last, then the second");
        let all = nearest((&train, &[0, 0, 1]), 2, &query, NEIGHBOURS);
        assert!((all[0][0] - 2.0 / 3.0).abs() < 1e-12, "{all:?}");
    }
}
