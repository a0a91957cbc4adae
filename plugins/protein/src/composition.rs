//! What a stretch of protein consists of, as numbers: targets from which a small encoder learns which residues stand together.
//! They depend on the residues alone and on no model.

use bioverse_core::fingerprint;

/// The amino acids that are counted, in alphabetical order of their letters.
const AMINO_ACIDS: &[u8; 20] = b"ACDEFGHIKLMNPQRSTVWY";
/// Bins into which runs of three residues are folded.
const BINS: usize = 512;
/// Length of [`composition`].
pub const COMPOSITION_LEN: usize = 20 + 400 + BINS;

/// `ln(1 + occurrences per 100 residues)` of, in this order: the 20 amino acids, the 400 pairs of neighbours, and the runs of three
/// neighbours, folded into 512 bins by a hash. What is none of the 20 counts nowhere.
///
/// ```
/// use bioverse_protein::{COMPOSITION_LEN, composition};
///
/// let numbers = composition("AACA");
/// assert_eq!(numbers.len(), COMPOSITION_LEN);
/// assert!((numbers[0] - 76f32.ln()).abs() < 1e-5); // A: 3 of 4
/// assert!((numbers[21] - 26f32.ln()).abs() < 1e-5); // AC: 1 on 4
/// ```
pub fn composition(residues: &str) -> Vec<f32> {
    let bytes = residues.as_bytes();
    let at = |letter: &u8| AMINO_ACIDS.iter().position(|known| known == letter);
    let mut counts = vec![0f32; COMPOSITION_LEN];
    for (start, letter) in bytes.iter().enumerate() {
        let Some(first) = at(letter) else { continue };
        counts[first] += 1.0;
        let Some(second) = bytes.get(start + 1).and_then(at) else {
            continue;
        };
        counts[20 + 20 * first + second] += 1.0;
        if bytes.get(start + 2).and_then(at).is_some() {
            let bin = fingerprint::hash(&bytes[start..start + 3]) % BINS as u64;
            counts[420 + bin as usize] += 1.0;
        }
    }
    let per_hundred = 100.0 / bytes.len().max(1) as f32;
    let numbers = counts
        .into_iter()
        .map(|count| (count * per_hundred).ln_1p());
    numbers.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_residue_pair_and_triple_counts_once() {
        let numbers = composition("MKTAYX");
        let back = |part: &[f32]| part.iter().map(|x| x.exp_m1() * 6.0 / 100.0).sum::<f32>();
        assert!((back(&numbers[..20]) - 5.0).abs() < 1e-3);
        assert!((back(&numbers[20..420]) - 4.0).abs() < 1e-3);
        assert!((back(&numbers[420..]) - 3.0).abs() < 1e-3);
        assert!(composition("").iter().all(|x| *x == 0.0));
    }
}
