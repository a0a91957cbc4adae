//! Answers to closed questions against the right ones: accuracy, macro-F1, AUROC, as scikit-learn has them. Who answered is
//! not known here.

use super::item::{Item, Set};
use crate::eval::findings::Method;
use crate::eval::ranking::auroc;

/// What one method says, row by row.
#[derive(Debug, Clone)]
pub struct Said {
    /// Place of the chosen option; nothing where an answer was none of them.
    pub chosen: Vec<Option<usize>>,
    /// Probability of each option, where the method has one.
    pub shares: Option<Vec<Vec<f64>>>,
}

impl Said {
    /// The most probable option of each row; of equally probable ones the first.
    pub fn of(shares: Vec<Vec<f64>>) -> Self {
        let best = |row: &Vec<f64>| {
            let places = 0..row.len();
            places.rev().max_by(|a, b| row[*a].total_cmp(&row[*b]))
        };
        Self {
            chosen: shares.iter().map(best).collect(),
            shares: Some(shares),
        }
    }
}

/// Adds the metrics of what was said.
pub fn score(method: Method, set: &Set, said: &Said) -> Method {
    let right =
        |(item, chosen): (&Item, &Option<usize>)| f64::from(u8::from(*chosen == Some(item.answer)));
    let pairs = || set.eval.iter().zip(&said.chosen);
    let rows: Vec<f64> = pairs().map(right).collect();
    let mut method = method.mean("accuracy", rows.clone());
    let truth: Vec<usize> = set.eval.iter().map(Item::truth).collect();
    let chosen: Vec<Option<usize>> = pairs()
        .map(|(item, chosen)| item.classes.get((*chosen)?).copied())
        .collect();
    let (n, classes) = (truth.len(), set.classes.len());
    method = method.whole("macro_f1", n, |drawn| {
        macro_f1(&truth, &chosen, classes, drawn)
    });
    if chosen.iter().any(Option::is_none) {
        let answered = chosen.iter().map(|c| f64::from(u8::from(c.is_some())));
        method = method.mean("answered", answered.collect());
    }
    if let (true, Some(shares)) = (set.common, &said.shares) {
        method = method.whole("auroc", n, |drawn| area(shares, &truth, set, drawn));
    }
    for (kind, at) in kinds(set) {
        let mean = at.iter().map(|row| rows[*row]).sum::<f64>() / at.len() as f64;
        method = method.number(&format!("{kind}.accuracy"), mean, None);
    }
    method
}

/// Rows of each kind, where there are several.
pub fn kinds(set: &Set) -> Vec<(&str, Vec<usize>)> {
    let mut kinds: Vec<(&str, Vec<usize>)> = vec![];
    for (row, item) in set.eval.iter().enumerate() {
        match kinds.iter_mut().find(|(kind, _)| *kind == item.kind) {
            Some((_, rows)) => rows.push(row),
            None => kinds.push((&item.kind, vec![row])),
        }
    }
    if kinds.len() < 2 {
        kinds.clear();
    }
    kinds
}

/// Mean F1 over the classes that are some row's truth or answer (scikit-learn `f1_score`, `average="macro"`,
/// `zero_division=0`); an answer that is no class is nobody's, and so wrong for its row's class.
fn macro_f1(truth: &[usize], said: &[Option<usize>], classes: usize, drawn: &[usize]) -> f64 {
    let mut counts = vec![[0usize; 3]; classes];
    for row in drawn {
        counts[truth[*row]][0] += 1;
        if let Some(class) = said[*row] {
            counts[class][1] += 1;
            counts[class][2] += usize::from(class == truth[*row]);
        }
    }
    let seen = counts.iter().filter(|[due, said, _]| due + said > 0);
    let f1 = seen.map(|[due, said, both]| 2.0 * *both as f64 / (due + said) as f64);
    let f1: Vec<f64> = f1.collect();
    f1.iter().sum::<f64>() / f1.len().max(1) as f64
}

/// AUROC of the positive class where there are two, else the mean over all classes, each against the rest (scikit-learn
/// `roc_auc_score`, `multi_class="ovr"`, `average="macro"`). Not a number where a class has no row.
fn area(shares: &[Vec<f64>], truth: &[usize], set: &Set, drawn: &[usize]) -> f64 {
    let of = |class: usize| {
        let scores: Vec<f64> = drawn.iter().map(|row| shares[*row][class]).collect();
        let positive: Vec<bool> = drawn.iter().map(|row| truth[*row] == class).collect();
        auroc(&scores, &positive)
    };
    match set.classes.len() {
        2 => of(set.positive),
        classes => (0..classes).map(of).sum::<f64>() / classes as f64,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::eval::findings::Role;
    use crate::eval::qa::item::user;

    fn set(truth: &[usize], classes: &[&str]) -> Set {
        let item = |answer: &usize| Item {
            id: String::new(),
            kind: "k".into(),
            example: user("?".into(), vec![]),
            passage: None,
            options: classes.iter().map(|name| (*name).to_owned()).collect(),
            classes: (0..classes.len()).collect(),
            answer: *answer,
        };
        Set {
            eval: truth.iter().map(item).collect(),
            classes: classes.iter().map(|name| (*name).to_owned()).collect(),
            common: true,
            ..Set::default()
        }
    }

    #[test]
    fn numbers_are_those_of_scikit_learn() {
        // scikit-learn 1.9.1: accuracy_score, f1_score(average="macro"), roc_auc_score(multi_class="ovr").
        let set = set(&[0, 1, 2, 0, 1, 0], &["yes", "no", "maybe"]);
        let shares = vec![
            vec![0.5, 0.3, 0.2],
            vec![0.2, 0.6, 0.2],
            vec![0.4, 0.4, 0.2],
            vec![0.1, 0.7, 0.2],
            vec![0.3, 0.4, 0.3],
            vec![0.6, 0.2, 0.2],
        ];
        let method = score(Method::new("m", Role::Model), &set, &Said::of(shares));
        let value = |metric: &str| method.numbers[metric].value;
        assert!((value("accuracy") - 0.666_666_666_666_666_6).abs() < 1e-12);
        assert!((value("macro_f1") - 0.488_888_888_888_888_9).abs() < 1e-12);
        assert!((value("auroc") - 0.584_722_222_222_222_1).abs() < 1e-12);
    }

    #[test]
    fn an_answer_that_is_no_option_is_wrong_and_no_class() {
        let set = set(&[0, 1], &["yes", "no"]);
        let said = Said {
            chosen: vec![Some(0), None],
            shares: None,
        };
        let method = score(Method::new("m", Role::Model), &set, &said);
        let value = |metric: &str| method.numbers[metric].value;
        assert_eq!(
            (value("accuracy"), value("macro_f1"), value("answered")),
            (0.5, 0.5, 0.5)
        );
        assert!(!method.numbers.contains_key("auroc"));
    }
}
