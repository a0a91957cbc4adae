//! From what a method said to its numbers: accuracy over the closed set and over all rows, macro-F1, calibration, distance
//! in an ontology. How it came to say so is not known here.

use std::collections::BTreeMap;

use super::ontology::Nearness;
use crate::eval::{
    calibration,
    findings::{Method, Role},
};

/// What a method says to every row.
#[derive(Debug, Clone)]
pub struct Said {
    /// Short name.
    pub name: &'static str,
    /// What it is.
    pub role: Role,
    /// The label of each row; none where it names no label.
    pub chosen: Vec<Option<usize>>,
    /// A probability of each label, where it gives one.
    pub shares: Option<Vec<Vec<f64>>>,
}

impl Said {
    /// By probabilities: the most probable label is chosen, of equally probable ones the first.
    pub fn by_shares(name: &'static str, role: Role, shares: Vec<Vec<f64>>) -> Self {
        Self {
            name,
            role,
            chosen: shares.iter().map(|row| best(row)).collect(),
            shares: Some(shares),
        }
    }

    /// The probability of what was chosen.
    pub fn confidence(&self) -> Option<Vec<f64>> {
        let rows = self.shares.as_ref()?.iter().zip(&self.chosen);
        Some(
            rows.map(|(shares, chosen)| chosen.map_or(0.0, |label| shares[label]))
                .collect(),
        )
    }
}

/// The place of the largest value, the first of several.
pub fn best(values: &[f64]) -> Option<usize> {
    (0..values.len())
        .rev()
        .max_by(|a, b| values[*a].total_cmp(&values[*b]))
}

/// What is right.
#[derive(Debug, Clone)]
pub struct Truth {
    /// The label of each row; none where it is outside of the set.
    pub labels: Vec<Option<usize>>,
    /// Labels in the set.
    pub classes: usize,
    /// How near labels are to each other.
    pub nearness: Option<Nearness>,
}

impl Truth {
    /// Rows whose label is in the set.
    pub fn inside(&self) -> Vec<usize> {
        let rows = self.labels.iter().enumerate();
        rows.filter_map(|(row, label)| label.map(|_| row)).collect()
    }

    /// Whether a method is right, row by row.
    pub fn right(&self, said: &Said) -> Vec<bool> {
        let rows = self.labels.iter().zip(&said.chosen);
        rows.map(|(label, chosen)| label.is_some() && label == chosen)
            .collect()
    }
}

/// Every number of a method.
pub fn measure(truth: &Truth, said: &Said) -> Method {
    let (inside, right) = (truth.inside(), truth.right(said));
    let share = |rows: &mut dyn Iterator<Item = usize>| -> Vec<f64> {
        rows.map(|row| f64::from(u8::from(right[row]))).collect()
    };
    let mut method = Method::new(said.name, said.role)
        .mean("accuracy", share(&mut inside.iter().copied()))
        .mean("total_accuracy", share(&mut (0..right.len())))
        .whole("macro_f1", inside.len(), |drawn| {
            macro_f1(truth, said, drawn.iter().map(|at| inside[*at]))
        });
    if let Some(confidence) = said.confidence() {
        let of = |drawn: &[usize]| -> Vec<usize> { drawn.iter().map(|at| inside[*at]).collect() };
        let at = |least: f64| {
            let curve = calibration::coverage(&confidence, &right, &inside);
            let enough = curve.into_iter().find(|(share, _)| *share >= least);
            enough.map_or(f64::NAN, |(_, accuracy)| accuracy)
        };
        method = method
            .whole("ece", inside.len(), |drawn| {
                calibration::ece(&confidence, &right, &of(drawn))
            })
            .whole("aurc", inside.len(), |drawn| {
                calibration::aurc(&confidence, &right, &of(drawn))
            })
            .number("accuracy_at_coverage_80", at(0.8), None)
            .number("accuracy_at_coverage_50", at(0.5), None);
    }
    if let Some(nearness) = &truth.nearness {
        for (metric, rows) in nearness.scores(&truth.labels, &said.chosen) {
            method = method.mean(metric, rows);
        }
    }
    let named = said.chosen.iter().filter(|label| label.is_some()).count();
    match named == said.chosen.len() {
        true => method,
        false => method.number("mapped", named as f64 / said.chosen.len() as f64, None),
    }
}

/// Mean F1 of the labels that are somebody's truth or were said. What names no label is no label, but costs its row's recall.
fn macro_f1(truth: &Truth, said: &Said, rows: impl Iterator<Item = usize>) -> f64 {
    let mut counts = vec![[0.0_f64; 3]; truth.classes];
    for row in rows {
        let (label, chosen) = (truth.labels[row], said.chosen[row]);
        if let Some(label) = label {
            counts[label][0] += 1.0;
        }
        if let Some(chosen) = chosen {
            counts[chosen][1] += 1.0;
        }
        if let (Some(label), true) = (label, label == chosen) {
            counts[label][2] += 1.0;
        }
    }
    let seen = counts.iter().filter(|[true_, said, _]| true_ + said > 0.0);
    let f1: Vec<f64> = seen
        .map(|[true_, said, both]| 2.0 * both / (true_ + said))
        .collect();
    f1.iter().sum::<f64>() / f1.len() as f64
}

/// What the metrics are.
pub fn definitions() -> BTreeMap<String, String> {
    [
        ("accuracy", "share of right answers among rows whose label is in the closed set; sklearn.metrics.accuracy_score"),
        ("total_accuracy", "share of right answers among all rows; a row whose label is outside of the closed set counts as wrong"),
        ("macro_f1", "mean F1 of the labels that are a reference or a prediction, over rows whose label is in the closed set; sklearn.metrics.f1_score(average=\"macro\"). A generated answer that names no label is wrong, but no label of its own"),
        ("ece", "expected calibration error (Guo et al. 2017): 15 bins of equal width, closed on the right, of the probability of the chosen label; lower is better"),
        ("aurc", "area under the risk-coverage curve (Geifman et al. 2019): mean over k = 1 … n of the share of errors among the k most confident rows; equal confidences in row order; lower is better"),
        ("accuracy_at_coverage_80", "accuracy of the most confident 80 % of the rows"),
        ("accuracy_at_coverage_50", "accuracy of the most confident half of the rows"),
        ("mapped", "share of the answers that name a label"),
        ("ontology_path", "1 − d / d_max: d = edges of the shortest way between the terms through is_a, up and down; d_max = the longest such way between two labels of the closed set"),
        ("ontology_lin", "Lin 1998: 2 IC(common) / (IC(a) + IC(b)) with the common ancestor of highest IC; IC = 1 − ln(descendants + 1) / ln(terms), from the ontology alone (Seco et al. 2004)"),
        ("ontology_wu_palmer", "Wu and Palmer 1994: 2 depth(common) / (depth(a) + depth(b)) with the deepest common ancestor; depth = terms on the shortest way to a root"),
    ]
    .map(|(name, text)| (name.to_owned(), text.to_owned()))
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth() -> Truth {
        Truth {
            labels: vec![Some(0), Some(0), Some(1), Some(2), None],
            classes: 4,
            nearness: None,
        }
    }

    /// By hand and by scikit-learn 1.9.1: `accuracy_score(y, p)` = .5; F1 are 2/3 (0), 2/3 (1), 0 (2), so `f1_score(y, p,
    /// labels=[0, 1, 2], average="macro")` = 4/9. Over all five rows .4.
    #[test]
    fn numbers_by_hand() {
        let said = Said {
            name: "generated",
            role: Role::Model,
            chosen: vec![Some(0), Some(1), Some(1), None, Some(1)],
            shares: None,
        };
        let method = measure(&truth(), &said);
        let value = |metric: &str| method.numbers[metric].value;
        assert_eq!(value("accuracy"), 0.5);
        assert_eq!(value("total_accuracy"), 0.4);
        assert!((value("macro_f1") - 4.0 / 9.0).abs() < 1e-12);
        assert_eq!(value("mapped"), 0.8);
        assert!(!method.numbers.contains_key("ece"));
    }

    #[test]
    fn probabilities_choose_and_are_the_confidence() {
        let shares = vec![
            vec![0.4, 0.4, 0.1, 0.1],
            vec![0.1, 0.2, 0.3, 0.4],
            vec![0.0, 1.0, 0.0, 0.0],
            vec![0.0, 0.0, 0.9, 0.1],
            vec![1.0, 0.0, 0.0, 0.0],
        ];
        let said = Said::by_shares("x", Role::Baseline, shares);
        assert_eq!(said.chosen[..2], [Some(0), Some(3)]);
        assert_eq!(said.confidence().map(|c| c[1]), Some(0.4));
        let method = measure(&truth(), &said);
        assert_eq!(method.numbers["accuracy"].value, 0.75);
        // Most confident first: right, right, then at .4 row 0 (right) before row 1 (wrong).
        assert!((method.numbers["aurc"].value - 0.25 / 4.0).abs() < 1e-12);
        assert_eq!(method.numbers["accuracy_at_coverage_50"].value, 1.0);
        assert_eq!(method.numbers["accuracy_at_coverage_80"].value, 0.75);
    }
}
