//! What answers questions about pairs of records without a language model: how often each record is in a positive pair, and
//! heads on the states of frozen encoders. They learn from the training rows of the suite.

use std::collections::HashMap;

use bioverse_core::Record;

use crate::error::Result;
use crate::eval::closed::Asked;
use crate::eval::examination::Examination;
use crate::eval::findings::Role;
use crate::eval::fitted::{Fit, Groups, frequencies};
use crate::eval::heads::{NEIGHBOURS, beside, cosines, logistic, nearest};
use crate::eval::linear::{Matrix, kernel_ridge};
use crate::eval::said::Said;
use crate::eval::scale::Scale;
use crate::eval::states;

/// Penalty of the ridge regression over pairs; its kernel is 1 for a pair with itself.
const LAMBDA: f32 = 1.0;
/// Rows of no known answer that a rate starts from.
const PRIOR: f64 = 2.0;

/// All of them. `modalities` are those of every row, sorted.
pub fn all(rows: &Examination<'_>, modalities: &[String]) -> Result<Vec<Said>> {
    let (train, eval) = (rows.train, rows.eval);
    let groups = Groups::of(train, eval, &|_| false);
    let said = |name: &str, shares| Said::new(name, Role::Baseline, shares);
    let known = ends(rows, modalities, train)?;
    let scales: Vec<Scale> = known.iter().map(Scale::fit).collect();
    let scaled = |parts: &[Matrix]| -> Vec<Matrix> {
        let parts = parts.iter().zip(&scales);
        parts.map(|(part, scale)| scale.apply(part)).collect()
    };
    let asked = scaled(&ends(rows, modalities, eval)?);
    let known = scaled(&known);
    let (learn, query) = (beside(&known), beside(&asked));
    // Every record has the same say in a cosine, however wide its states are.
    let unit = |parts: &[Matrix]| {
        let parts: Vec<Matrix> = parts.iter().map(|part| part.clone().normalized()).collect();
        beside(&parts)
    };
    let (near, far) = (unit(&known), unit(&asked));
    let concat = |fit: &Fit<'_>| {
        let (x, q) = (learn.select(fit.train), query.select(fit.eval));
        logistic(&x, fit.labels, fit.classes, &q)
    };
    let product = |fit: &Fit<'_>| pairwise(&known, &asked, fit);
    let knn = |fit: &Fit<'_>| {
        let (x, q) = (near.select(fit.train), far.select(fit.eval));
        nearest((&x, fit.labels), fit.classes, &q, NEIGHBOURS)
    };
    Ok(vec![
        said("majority", groups.shares(&frequencies)),
        said("popularity", popularity(train, eval)),
        said("head_concat", groups.shares(&concat)),
        said("head_product", groups.shares(&product)),
        said(&format!("knn_{NEIGHBOURS}"), groups.shares(&knn)),
    ])
}

/// For each modality in turn the states of every row's record.
fn ends(rows: &Examination<'_>, modalities: &[String], asked: &[Asked]) -> Result<Vec<Matrix>> {
    let mut met: HashMap<&str, usize> = HashMap::new();
    let parts = modalities.iter().map(|name| {
        // The second record of a modality is the second end.
        let place = met.entry(name).or_default();
        *place += 1;
        let of = |row: &Asked| {
            let own = row.example.records.iter().filter(|(own, _)| own == name);
            own.map(|(_, record)| record.clone()).nth(*place - 1)
        };
        let records: Vec<Record> = asked.iter().filter_map(of).collect();
        states::encoded_means(rows.bench.session, &rows.encoded, name, &records)
    });
    parts.collect()
}

/// Kernel ridge regression over pairs (Ben-Hur and Noble 2005): the likeness of two pairs is the product over their ends of
/// (1 + cosine) / 2, so it sees which states go together, whatever the widths of both encoders. Predictions are clipped to
/// shares.
fn pairwise(known: &[Matrix], asked: &[Matrix], fit: &Fit<'_>) -> Vec<Vec<f64>> {
    let like = |rows: &[Matrix], at: &[usize]| {
        let mut kernel = Matrix {
            rows: at.len(),
            cols: fit.train.len(),
            data: vec![1.0; at.len() * fit.train.len()],
        };
        for (rows, known) in rows.iter().zip(known) {
            let cosines = cosines(&rows.select(at), &known.select(fit.train));
            let products = kernel.data.iter_mut().zip(cosines.data);
            products.for_each(|(product, cosine)| *product *= (1.0 + cosine) / 2.0);
        }
        kernel
    };
    let mut targets = Matrix::zeros(fit.train.len(), fit.classes);
    let mean = 1.0 / fit.classes as f32;
    for (row, label) in fit.labels.iter().enumerate() {
        for class in 0..fit.classes {
            targets.data[row * fit.classes + class] = f32::from(u8::from(class == *label)) - mean;
        }
    }
    let (gram, cross) = (like(known, fit.train), like(asked, fit.eval));
    let Some(found) = kernel_ridge(&gram, &targets, LAMBDA, &cross) else {
        return frequencies(fit);
    };
    let share = |value: &f32| f64::from((value + mean).clamp(0.0, 1.0));
    (0..found.rows)
        .map(|row| found.row(row).iter().map(share).collect())
        .collect()
}

/// Share of yes by the log-odds of both ends: how often each record stood in a training row of the kind whose answer is yes,
/// started from [`PRIOR`] rows at the rate of the kind. Rows without yes and no have even shares.
fn popularity(train: &[Asked], eval: &[Asked]) -> Vec<Vec<f64>> {
    let mut kinds: HashMap<&str, (f64, f64)> = HashMap::new();
    let mut seen: HashMap<(&str, &str, String), (f64, f64)> = HashMap::new();
    for row in train {
        let Some(yes) = row.positive() else {
            continue;
        };
        let right = f64::from(u8::from(row.truth == yes));
        let count = |of: &mut (f64, f64)| *of = (of.0 + right, of.1 + 1.0);
        count(kinds.entry(&row.kind).or_default());
        for (name, record) in &row.example.records {
            count(
                seen.entry((&row.kind, name, record.to_string()))
                    .or_default(),
            );
        }
    }
    let odds = |rate: f64| (rate / (1.0 - rate)).ln();
    let one = |row: &Asked| {
        let even = vec![1.0 / row.answers.len() as f64; row.answers.len()];
        let (Some(yes), Some((right, all))) = (row.positive(), kinds.get(row.kind.as_str())) else {
            return even;
        };
        let base = (right + 1.0) / (all + 2.0);
        let records = row.example.records.iter();
        let ends = records.map(|(name, record)| {
            let key = (row.kind.as_str(), name.as_str(), record.to_string());
            let (right, all) = seen.get(&key).copied().unwrap_or_default();
            odds((right + PRIOR * base) / (all + PRIOR)) - odds(base)
        });
        let sum = odds(base) + ends.sum::<f64>();
        let share = 1.0 / (1.0 + (-sum).exp());
        let mut shares = vec![1.0 - share; 2];
        shares[yes] = share;
        shares
    };
    eval.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bioverse_core::Example;

    fn asked(molecule: &str, protein: &str, truth: usize) -> Asked {
        Asked {
            id: String::new(),
            kind: "binds".into(),
            question: "?".into(),
            example: Example {
                messages: vec![],
                records: vec![
                    ("molecule".into(), molecule.into()),
                    ("protein".into(), protein.into()),
                ],
                group: None,
            },
            answers: vec!["no".into(), "yes".into()],
            truth,
            texts: vec![],
            gives: vec![],
            reference: 0,
        }
    }

    #[test]
    fn popular_records_are_expected_to_bind_and_unknown_ones_are_not_judged() {
        let train = [
            asked("a", "x", 1),
            asked("a", "y", 1),
            asked("b", "x", 0),
            asked("b", "y", 0),
        ];
        let got = popularity(
            &train,
            &[asked("a", "z", 1), asked("b", "z", 1), asked("c", "z", 1)],
        );
        // a: (2 + 2 · ½) / (2 + 2) = ¾.
        assert!(
            (got[0][1] - 0.75).abs() < 1e-12 && (got[1][1] - 0.25).abs() < 1e-12,
            "{got:?}"
        );
        assert!((got[2][1] - 0.5).abs() < 1e-12);
    }

    /// Two classes that only the combination of both ends tells apart (XOR), which no linear head on them can.
    #[test]
    fn the_pairwise_kernel_sees_what_goes_together() {
        let column = |signs: [f32; 4]| Matrix {
            rows: 4,
            cols: 1,
            data: signs.to_vec(),
        };
        let known = [
            column([1.0, 1.0, -1.0, -1.0]),
            column([1.0, -1.0, 1.0, -1.0]),
        ];
        let fit = Fit {
            train: &[0, 1, 2, 3],
            labels: &[1, 0, 0, 1],
            classes: 2,
            eval: &[0, 1, 2, 3],
        };
        let got = pairwise(&known, &known, &fit);
        let said: Vec<bool> = got.iter().map(|shares| shares[1] > 0.5).collect();
        assert_eq!(said, [true, false, false, true], "{got:?}");
    }
}
