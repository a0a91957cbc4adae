//! Records in batches of like length: padding is wasted work. What a record means is unknown; how long it is can be seen.

use std::ops::Range;

use bioverse_core::Record;

/// How much one pass through an encoder may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Most records.
    pub records: usize,
    /// Most units once all are as long as the longest; see [`length`].
    pub units: usize,
}

/// About what a CPU is busy with without running out of cache.
pub const BUDGET: Budget = Budget::of(128);

impl Budget {
    /// `records` of 64 units each, or fewer that are longer.
    pub const fn of(records: usize) -> Self {
        Self {
            records,
            units: records.saturating_mul(64),
        }
    }
}

/// About how many tokens a record has: characters of a text, entries of the longest list of anything else.
pub fn length(record: &Record) -> usize {
    match record {
        Record::Array(items) => items.len(),
        Record::Object(fields) => fields.values().map(length).max().unwrap_or(0),
        other => other.to_string().len(),
    }
}

/// Neighbours of like length among `lengths`, which are sorted; a long record may stand alone.
pub fn batches(lengths: &[usize], budget: Budget) -> Vec<Range<usize>> {
    let mut found = vec![];
    let mut start = 0;
    for (end, length) in lengths.iter().enumerate() {
        let n = end + 1 - start;
        if n > 1 && (n > budget.records || n.saturating_mul(*length) > budget.units) {
            found.push(start..end);
            start = end;
        }
    }
    if start < lengths.len() {
        found.push(start..lengths.len());
    }
    found
}

/// Neighbours of equal count among `counts`, which are sorted: batches without padding.
pub fn alike(counts: &[usize], budget: Budget) -> Vec<Range<usize>> {
    let mut found = vec![];
    let mut start = 0;
    for group in counts.chunk_by(|a, b| a == b) {
        let within = batches(group, budget).into_iter();
        found.extend(within.map(|range| start + range.start..start + range.end));
        start += group.len();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn batches_hold_neighbours_of_like_length_within_the_budget() {
        let mut lengths: Vec<usize> = (0..400).map(|i| 3 + i * 7919 % 3000).collect();
        lengths.sort_unstable();
        let found = batches(&lengths, BUDGET);
        assert_eq!(found.iter().map(Range::len).sum::<usize>(), lengths.len());
        assert!(found.windows(2).all(|pair| pair[0].end == pair[1].start));
        for batch in &found {
            let (n, longest) = (batch.len(), lengths[batch.end - 1]);
            assert!(n <= 128 && (n * longest <= 8192 || n == 1), "{batch:?}");
        }
        assert!(found.len() < 200, "short records share batches");
        assert!(batches(&[], BUDGET).is_empty());
        assert_eq!(batches(&[9; 300], BUDGET), [0..128, 128..256, 256..300]);
        assert_eq!(batches(&[10, 9000, 9000], BUDGET), [0..1, 1..2, 2..3]);
    }

    #[test]
    fn batches_of_equal_count_mix_nothing_and_keep_the_budget() {
        let counts = [vec![2; 3], vec![5; 200], vec![9000; 2]].concat();
        let found = alike(&counts, BUDGET);
        assert_eq!(found, [0..3, 3..131, 131..203, 203..204, 204..205]);
        assert!(alike(&[], BUDGET).is_empty());
    }

    #[test]
    fn a_cell_is_as_long_as_its_list_of_genes() {
        assert_eq!(length(&json!("CCO")), 5);
        assert_eq!(
            length(&json!({"genes": ["A", "B", "C"], "values": [1, 2, 3]})),
            3
        );
        assert_eq!(length(&json!([1, 2])), 2);
    }
}
