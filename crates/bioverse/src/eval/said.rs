//! What methods say to closed questions: the share of each answer, the metrics of that, and the predictions as they are written.
//! How the shares came about is not known here.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::closed::Asked;
use super::findings::{Method, Role};
use super::ranking::{auroc, average_precision};

/// What one method says to every row.
#[derive(Debug, Clone)]
pub struct Said {
    /// As it stands in files.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// Row by row the share of each answer.
    pub shares: Vec<Vec<f64>>,
    /// Row by row `ln p` of the right answer per token, where a language model said it.
    pub log_likelihood: Option<Vec<f64>>,
}

impl Said {
    /// By something that is no language model.
    pub fn new(name: &str, role: Role, shares: Vec<Vec<f64>>) -> Self {
        Self {
            name: name.into(),
            role,
            shares,
            log_likelihood: None,
        }
    }

    /// The answer with the largest share; of equal ones the first.
    pub fn choice(&self, row: usize) -> usize {
        let Some(shares) = self.shares.get(row) else {
            return 0;
        };
        let best = (0..shares.len())
            .rev()
            .max_by(|a, b| shares[*a].total_cmp(&shares[*b]));
        best.unwrap_or_default()
    }

    /// 1 for each right answer, 0 for each wrong one.
    pub fn right(&self, rows: &[Asked]) -> Vec<f64> {
        let right = |(at, row): (usize, &Asked)| f64::from(u8::from(self.choice(at) == row.truth));
        rows.iter().enumerate().map(right).collect()
    }

    /// Rows with yes and no for answers: index, share of yes, whether yes is right.
    pub fn yes_or_no(&self, rows: &[Asked]) -> Vec<(usize, f64, bool)> {
        let rows = rows.iter().enumerate();
        let scored = rows.filter_map(|(at, row)| {
            let yes = row.positive()?;
            Some((at, *self.shares.get(at)?.get(yes)?, row.truth == yes))
        });
        scored.collect()
    }

    /// Its numbers: `accuracy`, `log_likelihood` where there is one, and over the rows with yes and no `auroc` and
    /// `average_precision`.
    pub fn method(&self, rows: &[Asked]) -> Method {
        let mut method = Method::new(&self.name, self.role).mean("accuracy", self.right(rows));
        if let Some(values) = &self.log_likelihood {
            method = method.mean("log_likelihood", values.clone());
        }
        let scored = self.yes_or_no(rows);
        if scored.is_empty() {
            return method;
        }
        let of = |statistic: fn(&[f64], &[bool]) -> f64| {
            let scored = scored.clone();
            move |drawn: &[usize]| {
                let drawn = drawn.iter().map(|at| (scored[*at].1, scored[*at].2));
                let (scores, positive): (Vec<f64>, Vec<bool>) = drawn.unzip();
                statistic(&scores, &positive)
            }
        };
        method.whole("auroc", scored.len(), of(auroc)).whole(
            "average_precision",
            scored.len(),
            of(average_precision),
        )
    }
}

/// What the metrics of [`Said::method`] are.
pub fn definitions() -> BTreeMap<String, String> {
    let all = [
        (
            "accuracy",
            "share of the rows whose most probable answer is the right one; the probability of an answer is the sum over the \
             texts that give it, that of a text the product over its tokens, end of turn included",
        ),
        (
            "log_likelihood",
            "ln p of the row's own answer per token, mean over rows; its negative is the loss in nats per token",
        ),
        (
            "auroc",
            "area under the ROC curve of p(yes) over the rows with yes and no for answers, ties counting half \
             (as sklearn.metrics.roc_auc_score, checked with scikit-learn 1.9.1)",
        ),
        (
            "average_precision",
            "average precision of p(yes) over the same rows (as sklearn.metrics.average_precision_score, checked with \
             scikit-learn 1.9.1)",
        ),
    ];
    let named = all.into_iter();
    named
        .map(|(name, text)| (name.into(), text.into()))
        .collect()
}

/// One object per row, from which every number can be computed again. The first method is the one asked about.
pub fn predictions(rows: &[Asked], said: &[Said]) -> Vec<Value> {
    let object = |(at, row): (usize, &Asked)| {
        let answer = |one: &Said| row.answers[one.choice(at).min(row.answers.len() - 1)].clone();
        let methods = said.iter().map(|one| {
            let likelihood = one
                .log_likelihood
                .as_ref()
                .and_then(|values| values.get(at));
            let mut method = json!({ "prediction": answer(one), "shares": one.shares.get(at) });
            if let Some(value) = likelihood {
                method["log_likelihood"] = json!(value);
            }
            (one.name.clone(), method)
        });
        json!({
            "id": row.id,
            "kind": row.kind,
            "question": row.question,
            "records": row.example.records,
            "answers": row.answers,
            "reference": row.answers[row.truth],
            "reference_text": row.texts[row.reference],
            "prediction": said.first().map(answer),
            "methods": methods.collect::<serde_json::Map<_, _>>(),
        })
    };
    rows.iter().enumerate().map(object).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::eval::closed::{Answers, ask_all};
    use crate::eval::rows::tests::row;

    #[test]
    fn numbers_of_a_method_by_hand() {
        let rows = [
            row("has", "1", "Yes."),
            row("has", "2", "Yes."),
            row("has", "3", "No."),
            row("has", "4", "No."),
        ];
        let (asked, _) = ask_all(&Answers::of(rows.iter()), &rows);
        // Answers are in alphabetical order: no, yes.
        let shares = [0.9, 0.4, 0.6, 0.1]
            .map(|yes| vec![1.0 - yes, yes])
            .to_vec();
        let said = Said::new("model", Role::Model, shares);
        let method = said.method(&asked);
        assert_eq!(method.numbers["accuracy"].value, 0.5);
        assert_eq!(method.numbers["auroc"].value, 0.75);
        // At .9: 1 of 1; at .6: 1 of 2; at .4: 2 of 3.
        assert!(
            (method.numbers["average_precision"].value - (0.5 + 0.5 * 2.0 / 3.0)).abs() < 1e-12
        );
        let written = predictions(&asked, &[said]);
        assert_eq!(written[1]["prediction"], "no");
        assert_eq!(written[1]["methods"]["model"]["shares"][1], 0.4);
    }
}
