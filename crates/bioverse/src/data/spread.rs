//! A part of many rows that stands for all of them. Knows no row.

/// At most `limit` of the numbers below `len`, evenly spaced: files are often sorted, and their first rows are alike.
pub fn spread(len: usize, limit: usize) -> Vec<usize> {
    let count = len.min(limit);
    (0..count).map(|i| i * len / count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_spread_over_the_whole_file() {
        assert_eq!(spread(10, 4), [0, 2, 5, 7]);
        assert_eq!(spread(3, 4), [0, 1, 2]);
        assert!(spread(0, 4).is_empty());
    }
}
