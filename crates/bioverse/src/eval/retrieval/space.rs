//! Records and texts as vectors, and the rank of every right partner by cosine. What made the vectors is not known here.

use rayon::prelude::*;
use serde_json::{Value, json};

use super::super::{
    findings::{Method, Role},
    linear::Matrix,
    metrics,
};
use super::same::Same;

/// A record looks for its text; a text looks for its record.
pub const DIRECTIONS: [&str; 2] = ["record_to_text", "text_to_record"];
/// What is looked for first.
pub const HEADLINE: [&str; 2] = ["record_to_text.mrr", "text_to_record.mrr"];
/// Queries whose scores are held at a time.
const BLOCK: usize = 512;

/// Unit vectors; row i of both belongs together.
pub struct Space {
    /// `[n, d]`
    pub records: Matrix,
    /// `[n, d]`
    pub texts: Matrix,
}

impl Space {
    /// Scales every vector to length one.
    ///
    /// # Shapes
    /// `records [n, d]`, `texts [n, d]`
    pub fn new(records: Matrix, texts: Matrix) -> Self {
        Self {
            records: records.normalized(),
            texts: texts.normalized(),
        }
    }

    /// Of every pair, the ranks of both its sides, among all candidates and among those that are wrong.
    pub fn ranks(&self, same: &Same) -> Ranks {
        let [there, back] = [(&self.records, &self.texts), (&self.texts, &self.records)];
        Ranks([of(there.0, there.1, same), of(back.0, back.1, same)])
    }

    /// The best `k` texts of every record.
    pub fn best_texts(&self, k: usize) -> Vec<Vec<usize>> {
        best(&self.records, &self.texts, k)
    }

    /// The best `k` records of every text.
    pub fn best_records(&self, k: usize) -> Vec<Vec<usize>> {
        best(&self.texts, &self.records, k)
    }
}

/// Ranks of one direction.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranking {
    /// Among all candidates.
    pub raw: Vec<f64>,
    /// Candidates that are right too are left out.
    pub filtered: Vec<f64>,
}

/// Ranks of both directions, in the order of [`DIRECTIONS`].
#[derive(Debug, Clone, PartialEq)]
pub struct Ranks(pub [Ranking; 2]);

impl Ranks {
    /// All metrics, row by row where they are.
    pub fn method(&self, name: &str, role: Role) -> Method {
        let directions = DIRECTIONS.iter().zip(&self.0);
        directions.fold(Method::new(name, role), |method, (direction, ranking)| {
            let method = scored(method, &format!("{direction}."), &ranking.raw);
            scored(method, &format!("{direction}.filtered."), &ranking.filtered)
        })
    }

    /// Mean reciprocal rank of both directions, raw.
    pub fn mrr(&self) -> [f64; 2] {
        self.0
            .each_ref()
            .map(|ranking| metrics::Retrieval::from_ranks(&ranking.raw).mrr)
    }

    /// The ranks of row `i` by name.
    pub fn row(&self, i: usize) -> Value {
        let [there, back] = &self.0;
        json!({
            "text": there.raw[i],
            "record": back.raw[i],
            "text_filtered": there.filtered[i],
            "record_filtered": back.filtered[i],
        })
    }
}

fn scored(method: Method, prefix: &str, ranks: &[f64]) -> Method {
    let each = |value: &dyn Fn(f64) -> f64| ranks.iter().map(|rank| value(*rank)).collect();
    let within = |k: f64| each(&|rank| f64::from(u8::from(rank <= k)));
    method
        .mean(&format!("{prefix}r@1"), within(1.0))
        .mean(&format!("{prefix}r@5"), within(5.0))
        .mean(&format!("{prefix}r@10"), within(10.0))
        .mean(&format!("{prefix}mrr"), each(&|rank| 1.0 / rank))
        .whole(&format!("{prefix}median_rank"), ranks.len(), |rows| {
            let drawn: Vec<f64> = rows.iter().map(|row| ranks[*row]).collect();
            median(&drawn)
        })
}

/// The middle value, or the mean of the two in the middle; 0 of nothing.
pub fn median(values: &[f64]) -> f64 {
    metrics::Retrieval::from_ranks(values).median_rank
}

fn of(queries: &Matrix, candidates: &Matrix, same: &Same) -> Ranking {
    let rank = |i: usize, scores: &[f32]| {
        let filtered = metrics::rank_among(scores, i, |other| !same.is_right(i, other));
        (metrics::rank_of(scores, i), filtered)
    };
    let (raw, filtered) = by_blocks(queries, candidates, rank).into_iter().unzip();
    Ranking { raw, filtered }
}

fn best(queries: &Matrix, candidates: &Matrix, k: usize) -> Vec<Vec<usize>> {
    by_blocks(queries, candidates, |_, scores| metrics::top(scores, k))
}

/// Something about the scores of every query, without holding the scores of all at once.
fn by_blocks<T: Send>(
    queries: &Matrix,
    candidates: &Matrix,
    of: impl Fn(usize, &[f32]) -> T + Sync,
) -> Vec<T> {
    let mut found = Vec::with_capacity(queries.rows);
    for start in (0..queries.rows).step_by(BLOCK) {
        let rows: Vec<usize> = (start..queries.rows.min(start + BLOCK)).collect();
        let scores = queries.select(&rows).times_transposed(candidates);
        let each = rows.par_iter().map(|i| of(*i, scores.row(i - start)));
        found.extend(each.collect::<Vec<T>>());
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::super::same::tests::pair;
    use super::*;

    fn matrix(cols: usize, data: &[f32]) -> Matrix {
        Matrix {
            rows: data.len() / cols,
            cols,
            data: data.to_vec(),
        }
    }

    /// Texts 0 and 1 are alike and both are nearer to record 2 than its own text.
    fn example() -> (Space, Same) {
        let records = matrix(2, &[1.0, 0.0, 0.9, 0.1, 0.8, 0.6]);
        let texts = matrix(2, &[1.0, 0.1, 1.0, 0.1, 0.0, 1.0]);
        let pairs = [pair("A", "x"), pair("B", "X."), pair("C", "y")];
        (Space::new(records, texts), Same::of("protein", &pairs))
    }

    #[test]
    fn raw_and_filtered_ranks_by_hand() {
        let (space, same) = example();
        let Ranks([there, back]) = space.ranks(&same);
        // Records 0 and 1 share the first two places with the twin of their text; without it theirs is the first.
        assert_eq!(there.raw, [1.5, 1.5, 3.0]);
        assert_eq!(there.filtered, [1.0, 1.0, 3.0]);
        // Text (1, .1) is nearest to record 1 (.9, .1), then to record 0; for text 0, record 1 is right too.
        assert_eq!(back.raw, [2.0, 1.0, 1.0]);
        assert_eq!(back.filtered, [1.0, 1.0, 1.0]);
    }

    #[test]
    fn metrics_follow_from_ranks() {
        let (space, same) = example();
        let method = space.ranks(&same).method("model", Role::Model);
        let number = |name: &str| method.numbers[name].value;
        assert!((number("record_to_text.mrr") - (2.0 / 1.5 + 1.0 / 3.0) / 3.0).abs() < 1e-12);
        assert!((number("record_to_text.filtered.mrr") - 7.0 / 9.0).abs() < 1e-12);
        assert_eq!(number("record_to_text.median_rank"), 1.5);
        assert_eq!(number("text_to_record.filtered.r@1"), 1.0);
        assert_eq!(method.rows["text_to_record.r@1"], [0.0, 1.0, 1.0]);
    }

    #[test]
    fn the_best_candidates_come_first() {
        let (space, _) = example();
        assert_eq!(space.best_texts(2)[2], [0, 1]);
        assert_eq!(space.best_records(1)[0], [1]);
    }
}
