//! Which rows share a sequence. Knows lengths only.

/// Rows in sequences of at most `room` tokens, longest rows first, each into the first sequence that has room for it
/// (first-fit decreasing: at most 11/9 of the sequences that are needed, plus one; Johnson 1973). A row longer than `room`
/// gets a sequence of its own. The same rows in the same order give the same sequences.
pub fn first_fit_decreasing(rows: &[usize], lengths: &[usize], room: usize) -> Vec<Vec<usize>> {
    let mut sorted = rows.to_vec();
    sorted.sort_by_key(|row| std::cmp::Reverse(lengths[*row]));
    let mut sequences: Vec<(usize, Vec<usize>)> = vec![];
    for row in sorted {
        let length = lengths[row];
        match sequences.iter_mut().find(|(left, _)| *left >= length) {
            Some((left, sequence)) => {
                *left -= length;
                sequence.push(row);
            }
            None => sequences.push((room.saturating_sub(length), vec![row])),
        }
    }
    sequences
        .into_iter()
        .map(|(_, sequence)| sequence)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn long_rows_come_first_and_short_ones_fill_up() {
        let lengths = [3, 9, 2, 5, 4, 1];
        let packed = first_fit_decreasing(&[0, 1, 2, 3, 4, 5], &lengths, 10);
        assert_eq!(packed, [vec![1, 5], vec![3, 4], vec![0, 2]]);
        assert_eq!(first_fit_decreasing(&[1, 5], &lengths, 4), [[1], [5]]);
    }

    #[test]
    fn every_row_is_there_once_and_sequences_are_few() {
        for seed in 0..100 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let lengths: Vec<usize> = (0..80).map(|_| rng.random_range(1..30)).collect();
            let rows: Vec<usize> = (0..rng.random_range(1..80)).collect();
            let packed = first_fit_decreasing(&rows, &lengths, 30);
            let mut seen = packed.concat();
            seen.sort_unstable();
            assert_eq!(seen, rows);
            let tokens = |rows: &[usize]| rows.iter().map(|row| lengths[*row]).sum::<usize>();
            assert!(packed.iter().all(|sequence| tokens(sequence) <= 30));
            let needed = tokens(&rows).div_ceil(30);
            assert!(packed.len() <= needed * 2, "{} for {needed}", packed.len());
        }
    }
}
