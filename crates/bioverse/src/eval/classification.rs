//! Scores of predicted labels, as scikit-learn defines them. It knows no model.

use std::collections::BTreeSet;

/// What a list of predictions is worth.
#[derive(Debug, Clone, PartialEq)]
pub struct Classification<L> {
    /// Share of right predictions.
    pub accuracy: f64,
    /// Mean F1 over [`classes`](Self::classes), each counting alike.
    pub macro_f1: f64,
    /// Mean F1 over the classes, each weighted by how often it is the truth.
    pub weighted_f1: f64,
    /// Labels that are somebody's truth or prediction, sorted.
    pub classes: Vec<L>,
    /// F1 of each class; 0 where it is undefined.
    pub per_class_f1: Vec<f64>,
}

/// Compares predictions with the truth, one to one; of nothing, all is 0.
pub fn classification<L: Ord + Clone>(truth: &[L], predicted: &[L]) -> Classification<L> {
    let pairs = || truth.iter().zip(predicted);
    let total = pairs().count().max(1) as f64;
    let right = pairs()
        .filter(|(truth, predicted)| truth == predicted)
        .count();
    let classes: BTreeSet<L> = pairs().flat_map(|(a, b)| [a.clone(), b.clone()]).collect();
    let classes: Vec<L> = classes.into_iter().collect();
    let count = |is: &dyn Fn(&L, &L) -> bool| pairs().filter(|(a, b)| is(a, b)).count() as f64;
    let support = |class: &L| count(&|truth, _| truth == class);
    let f1 = |class: &L| {
        let both = count(&|truth, predicted| truth == class && predicted == class);
        let either = support(class) + count(&|_, predicted| predicted == class);
        2.0 * both / either.max(1.0)
    };
    let per_class_f1: Vec<f64> = classes.iter().map(f1).collect();
    let weighted = classes.iter().zip(&per_class_f1);
    let weighted_f1 = weighted.map(|(class, f1)| support(class) * f1).sum::<f64>() / total;
    Classification {
        accuracy: right as f64 / total,
        macro_f1: super::metrics::mean(per_class_f1.iter().copied()),
        weighted_f1,
        classes,
        per_class_f1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // a: 1 right of 2 true and 1 said, F1 = 2/3; b: 1 of 1 and 2, F1 = 2/3; c: said never, true once, F1 = 0.
        let got = classification(&["a", "a", "b", "c"], &["a", "b", "b", "d"]);
        assert_eq!(got.classes, ["a", "b", "c", "d"]);
        assert_eq!(got.accuracy, 0.5);
        assert!((got.macro_f1 - (2.0 / 3.0 * 2.0) / 4.0).abs() < 1e-12);
        assert!((got.weighted_f1 - (2.0 * 2.0 / 3.0 + 2.0 / 3.0) / 4.0).abs() < 1e-12);
    }

    #[test]
    fn nothing_is_no_success() {
        let got = classification::<u8>(&[], &[]);
        assert_eq!(
            (got.accuracy, got.macro_f1, got.weighted_f1),
            (0.0, 0.0, 0.0)
        );
    }
}
