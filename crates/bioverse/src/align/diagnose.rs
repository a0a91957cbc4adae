//! How well records find their texts while a projector is being aligned. Knows vectors and text numbers only.

use std::collections::BTreeMap;

use burn::prelude::*;

/// Retrieval of texts by records.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Retrieval {
    /// Share of records whose own text is nearest.
    pub r1: f64,
    /// Mean of one over the rank of the own text.
    pub mrr: f64,
    /// Distinct texts that were ranked.
    pub candidates: usize,
}

/// Ranks the distinct texts for every record by cosine; the rank of a record's text is one plus the number of other texts
/// that are strictly nearer. `text_numbers[i]` says which text pair i has: equal numbers are one candidate.
///
/// # Shapes
/// `bio, text [N, d]`
pub fn retrieval(bio: Tensor<2>, text: Tensor<2>, text_numbers: &[usize]) -> Retrieval {
    let (bio, text) = (unit_rows(bio), unit_rows(text));
    let first: BTreeMap<usize, usize> = text_numbers
        .iter()
        .enumerate()
        .rev()
        .map(|(i, number)| (*number, i))
        .collect();
    let (mut hits, mut reciprocal) = (0usize, 0.0);
    for (query, number) in bio.iter().zip(text_numbers) {
        let score = |pair: usize| dot(query, &text[pair]);
        let own = first.get(number).map_or(f64::NEG_INFINITY, |i| score(*i));
        let better = first
            .iter()
            .filter(|(other, i)| *other != number && score(**i) > own);
        let rank = 1 + better.count();
        hits += usize::from(rank == 1);
        reciprocal += 1.0 / rank as f64;
    }
    let n = bio.len().max(1) as f64;
    Retrieval {
        r1: hits as f64 / n,
        mrr: reciprocal / n,
        candidates: first.len(),
    }
}

fn unit_rows(x: Tensor<2>) -> Vec<Vec<f64>> {
    let [_, width] = x.dims();
    let values: Vec<f64> = x.into_data().iter::<f64>().collect();
    values
        .chunks(width.max(1))
        .map(|row| {
            let length = dot(row, row).sqrt().max(1e-12);
            row.iter().map(|x| x / length).collect()
        })
        .collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vectors(rows: [[f32; 2]; 3]) -> Tensor<2> {
        Tensor::from_floats(rows, &Device::flex())
    }

    #[test]
    fn ranks_are_counted_by_hand() {
        let bio = vectors([[1.0, 0.1], [0.1, 3.0], [1.0, 0.9]]);
        let text = vectors([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]);
        let found = retrieval(bio, text, &[0, 1, 2]);
        assert_eq!(found.candidates, 3);
        assert!((found.r1 - 2.0 / 3.0).abs() < 1e-12);
        assert!((found.mrr - (1.0 + 1.0 + 1.0 / 3.0) / 3.0).abs() < 1e-12);
    }

    #[test]
    fn records_with_the_same_text_share_one_candidate() {
        let bio = vectors([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]);
        let text = vectors([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]);
        let found = retrieval(bio, text, &[4, 4, 9]);
        assert_eq!((found.candidates, found.r1, found.mrr), (2, 1.0, 1.0));
    }
}
