//! How well do scores tell positives from negatives, whatever the threshold? AUROC, average precision and the ROC curve,
//! with ties as scikit-learn treats them. It knows no model.

use std::cmp::Ordering;

/// Probability that a positive scores higher than a negative, ties counting half: the Mann–Whitney statistic over
/// midranks, which is the area under the ROC curve (Hanley and McNeil 1982; `sklearn.metrics.roc_auc_score`). Not a number
/// where either kind is missing.
pub fn auroc(scores: &[f64], positive: &[bool]) -> f64 {
    let (mut below, mut pairs, mut kept) = (0.0, 0.0, 0.0);
    for group in tied(scores, positive).rev() {
        let (positives, negatives) = (group.positives as f64, group.negatives as f64);
        pairs += positives * (below + negatives / 2.0);
        below += negatives;
        kept += positives;
    }
    pairs / (below * kept)
}

/// `Σ (R_n − R_{n−1}) P_n` over the distinct scores from the highest down, rows of one score entering together
/// (`sklearn.metrics.average_precision_score`). Not a number where nothing is positive.
pub fn average_precision(scores: &[f64], positive: &[bool]) -> f64 {
    let (mut right, mut taken, mut sum) = (0.0, 0.0, 0.0);
    for group in tied(scores, positive) {
        right += group.positives as f64;
        taken += (group.positives + group.negatives) as f64;
        sum += group.positives as f64 * right / taken;
    }
    sum / right
}

/// Points (share of the negatives, share of the positives) that score at least as high as each distinct score, from (0, 0)
/// to (1, 1) (`sklearn.metrics.roc_curve` with every point kept). Empty where either kind is missing.
pub fn roc_curve(scores: &[f64], positive: &[bool]) -> Vec<(f64, f64)> {
    let (mut wrong, mut right) = (0, 0);
    let mut counts = vec![(0, 0)];
    for group in tied(scores, positive) {
        wrong += group.negatives;
        right += group.positives;
        counts.push((wrong, right));
    }
    if wrong == 0 || right == 0 {
        return vec![];
    }
    let share = |(x, y): (usize, usize)| (x as f64 / wrong as f64, y as f64 / right as f64);
    counts.into_iter().map(share).collect()
}

/// Rows of one score.
struct Tied {
    positives: usize,
    negatives: usize,
}

/// Groups of equal scores, the highest first.
fn tied(scores: &[f64], positive: &[bool]) -> impl DoubleEndedIterator<Item = Tied> {
    let mut rows: Vec<(f64, bool)> = scores
        .iter()
        .copied()
        .zip(positive.iter().copied())
        .collect();
    rows.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    // Zero has two signs, but they are one score.
    let same = |a: &(f64, bool), b: &(f64, bool)| a.0.partial_cmp(&b.0) == Some(Ordering::Equal);
    let groups = rows.chunk_by(same).map(|group| {
        let positives = group.iter().filter(|(_, positive)| *positive).count();
        Tied {
            positives,
            negatives: group.len() - positives,
        }
    });
    groups.collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCORES: [f64; 10] = [0.9, 0.8, 0.8, 0.7, 0.6, 0.5, 0.5, 0.5, 0.2, 0.1];
    const POSITIVE: [bool; 10] = [
        true, false, true, true, false, false, true, false, false, true,
    ];

    /// `roc_auc_score`, `average_precision_score` and `roc_curve(drop_intermediate=False)` of scikit-learn 1.9.1 on the same
    /// ten rows.
    #[test]
    fn ties_count_as_in_scikit_learn() {
        assert!((auroc(&SCORES, &POSITIVE) - 0.62).abs() < 1e-12);
        assert!((average_precision(&SCORES, &POSITIVE) - 0.683_333_333_333_333_3).abs() < 1e-12);
        let curve = roc_curve(&SCORES, &POSITIVE);
        let expected = [
            (0.0, 0.0),
            (0.0, 0.2),
            (0.2, 0.4),
            (0.2, 0.6),
            (0.4, 0.6),
            (0.8, 0.8),
            (1.0, 0.8),
            (1.0, 1.0),
        ];
        assert_eq!(curve, expected);
    }

    #[test]
    fn the_area_is_that_under_the_curve_and_turns_round_with_the_scores() {
        let curve = roc_curve(&SCORES, &POSITIVE);
        let trapezes = curve.windows(2).map(|ends| {
            let [(x, y), (to, top)] = [ends[0], ends[1]];
            (to - x) * (y + top) / 2.0
        });
        let area: f64 = trapezes.sum();
        assert!((area - auroc(&SCORES, &POSITIVE)).abs() < 1e-12);
        let turned = SCORES.map(|score| -score);
        assert!((auroc(&turned, &POSITIVE) - (1.0 - area)).abs() < 1e-12);
    }

    #[test]
    fn one_kind_alone_cannot_be_ranked() {
        assert!(auroc(&[1.0, 2.0], &[true, true]).is_nan());
        assert!(auroc(&[], &[]).is_nan());
        assert!(average_precision(&[1.0], &[false]).is_nan());
        assert!(roc_curve(&[1.0], &[false]).is_empty());
        assert_eq!(auroc(&[0.0, -0.0], &[true, false]), 0.5);
    }
}
