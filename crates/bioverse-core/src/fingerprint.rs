//! What a record is made of, as a set of numbers: two records are as alike as their sets ([`jaccard`]). It serves to keep
//! records that are nearly the same on one side of a split, and to count those that are not. What the parts of a record are
//! is for its modality to say.

use crate::splitmix::mix;

/// 64 bits that depend on the bytes alone: the same on every machine and in every version (FNV-1a, its bits mixed as
/// splitmix64 does, so that neighbours have nothing in common).
pub fn hash(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mix(fnv)
}

/// The set of all windows of `width` bytes of a sequence, its k-mers; of a shorter one, itself.
pub fn windows(sequence: &[u8], width: usize) -> Vec<u64> {
    match sequence.len() < width.max(1) {
        true => vec![hash(sequence)],
        false => sequence.windows(width.max(1)).map(hash).collect(),
    }
}

/// Sorted, each number once: how sets are compared.
pub fn set(mut features: Vec<u64>) -> Vec<u64> {
    features.sort_unstable();
    features.dedup();
    features
}

/// How much of what either has both have, from 0 to 1 (Jaccard 1912): `|a ∩ b| / |a ∪ b|`. Empty sets are equal.
///
/// `a` and `b` as [`set`] gives them.
pub fn jaccard(a: &[u64], b: &[u64]) -> f64 {
    let (mut i, mut j, mut both) = (0, 0, 0usize);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        both += usize::from(x == y);
        i += usize::from(x <= y);
        j += usize::from(y <= x);
    }
    match a.len() + b.len() - both {
        0 => 1.0,
        either => both as f64 / either as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_pinned() {
        // Splits hang on these: another value would move records to the other side.
        assert_eq!(hash(b""), 0xf52a_15e9_a9b5_e89b);
        assert_eq!(hash(b"MKT"), hash(b"MKT"));
        assert_ne!(hash(b"MKT"), hash(b"TKM"));
    }

    #[test]
    fn windows_of_a_sequence() {
        assert_eq!(windows(b"ABCD", 3), [hash(b"ABC"), hash(b"BCD")]);
        assert_eq!(windows(b"AB", 3), [hash(b"AB")]);
        assert_eq!(windows(b"AB", 0).len(), 2);
    }

    #[test]
    fn likeness_by_hand() {
        let of = |text: &str| set(windows(text.as_bytes(), 1));
        assert_eq!(jaccard(&of("abc"), &of("bcd")), 0.5);
        assert_eq!(jaccard(&of("abc"), &of("cabba")), 1.0);
        assert_eq!(jaccard(&of("abc"), &of("xyz")), 0.0);
        assert_eq!(jaccard(&[], &[]), 1.0);
        assert_eq!(jaccard(&[], &of("a")), 0.0);
    }
}
