//! Nucleotide sequences as people keep them, brought to the letters that an encoder reads. Tokens are unknown here.
//!
//! | in the record | what is done |
//! |---|---|
//! | `A C G T` and the ambiguity codes `N R Y S W K M B D H V` | kept; what the model makes of a code is its tokenizer's affair |
//! | `U` | becomes `T`: RNA is read as the DNA it is copied from |
//! | `U` and `T` in one record | refused: neither RNA nor DNA |
//! | lower case | raised: genomes mark repeats with it |
//! | white space, line ends | dropped |
//! | `-`, `.` | refused: gaps of an alignment |
//! | anything else, digits and `*` too | refused |
//!
//! Letters: Nomenclature Committee of the IUB, Nomenclature for incompletely specified bases in nucleic acid sequences (1985).

use bioverse_core::fingerprint;

/// A record that is no nucleotide sequence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NucleotideError {
    /// No nucleotide at all.
    #[error("the sequence is empty; leave the record out")]
    Empty,
    /// A gap of an alignment.
    #[error(
        "`{found}` at position {position} is a gap of an alignment; give the sequence without gaps"
    )]
    Gap {
        /// From 1, as the record was given.
        position: usize,
        /// `-` or `.`.
        found: char,
    },
    /// Anything else that is no nucleotide.
    #[error(
        "{found:?} at position {position} is no nucleotide; a record is one sequence in IUPAC letters, without name or numbers"
    )]
    Letter {
        /// From 1, as the record was given.
        position: usize,
        /// The character.
        found: char,
    },
    /// DNA and RNA at once.
    #[error(
        "the sequence has both `T` (position {t}) and `U` (position {u}); it is neither DNA nor RNA"
    )]
    Mixed {
        /// Where the first `T` is, from 1.
        t: usize,
        /// Where the first `U` is, from 1.
        u: usize,
    },
}

/// The IUPAC letters for nucleotides; `U` is taken apart from them.
const LETTERS: &str = "ACGTNRYSWKMBDHV";

/// The nucleotides of `record` in upper case, as DNA.
///
/// ```
/// use bioverse_dna::nucleotides;
///
/// assert_eq!(nucleotides("acgt NNac\nGT")?, "ACGTNNACGT");
/// assert_eq!(nucleotides("AUGGCU")?, "ATGGCT");
/// # Ok::<(), bioverse_dna::NucleotideError>(())
/// ```
///
/// # Errors
/// The first character that is refused, by its position from 1 in the record as given; `T` and `U` together; a record
/// without nucleotides.
pub fn nucleotides(record: &str) -> Result<String, NucleotideError> {
    let mut sequence = String::with_capacity(record.len());
    let (mut first_t, mut first_u) = (None, None);
    for (position, found) in (1..).zip(record.chars()) {
        match found.to_ascii_uppercase() {
            letter if letter.is_whitespace() => {}
            'U' => {
                first_u.get_or_insert(position);
                sequence.push('T');
            }
            letter if LETTERS.contains(letter) => {
                if letter == 'T' {
                    first_t.get_or_insert(position);
                }
                sequence.push(letter);
            }
            '-' | '.' => return Err(NucleotideError::Gap { position, found }),
            _ => return Err(NucleotideError::Letter { position, found }),
        }
    }
    match (first_t, first_u) {
        (Some(t), Some(u)) => Err(NucleotideError::Mixed { t, u }),
        _ if sequence.is_empty() => Err(NucleotideError::Empty),
        _ => Ok(sequence),
    }
}

/// Hashes of the k-mers of a cleaned sequence, each by whichever of its two strands comes first in the alphabet: a sequence
/// and its reverse complement give the same ones.
pub fn both_strands(sequence: &str, k: usize) -> Vec<u64> {
    let width = k.clamp(1, sequence.len().max(1));
    let of = |kmer: &[u8]| {
        let other: Vec<u8> = kmer
            .iter()
            .rev()
            .map(|letter| complement(*letter))
            .collect();
        fingerprint::hash(kmer.min(other.as_slice()))
    };
    sequence.as_bytes().windows(width).map(of).collect()
}

/// The letter of the opposite strand, for sets of nucleotides too.
fn complement(letter: u8) -> u8 {
    let pairs = [b"AT", b"CG", b"RY", b"KM", b"BV", b"DH"];
    let other = |pair: &&[u8; 2]| match letter {
        letter if letter == pair[0] => Some(pair[1]),
        letter if letter == pair[1] => Some(pair[0]),
        _ => None,
    };
    // W, S and N are their own complements.
    pairs.iter().find_map(other).unwrap_or(letter)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sequences_are_cleaned() {
        for (record, wanted) in [
            ("ACGT", "ACGT"),
            ("acgtACGT", "ACGTACGT"),
            ("ACG T\r\nAC\n", "ACGTAC"),
            ("AUGc u", "ATGCT"),
            ("RYSWKMBDHVN", "RYSWKMBDHVN"),
        ] {
            assert_eq!(nucleotides(record).unwrap(), wanted, "{record:?}");
        }
    }

    #[test]
    fn what_is_no_sequence_is_refused_with_its_position() {
        let letter = |position, found| NucleotideError::Letter { position, found };
        let gap = |position, found| NucleotideError::Gap { position, found };
        for (record, wanted) in [
            ("", NucleotideError::Empty),
            (" \n", NucleotideError::Empty),
            ("AC-G", gap(3, '-')),
            ("AC.", gap(3, '.')),
            ("1 ACGT", letter(1, '1')),
            ("AC\n G*", letter(6, '*')),
            ("ACGTE", letter(5, 'E')),
            ("ACI", letter(3, 'I')),
            (">chr1", letter(1, '>')),
            ("ACſ", letter(3, 'ſ')),
            ("ACUGT", NucleotideError::Mixed { t: 5, u: 3 }),
        ] {
            assert_eq!(nucleotides(record).unwrap_err(), wanted, "{record:?}");
        }
    }

    #[test]
    fn both_strands_are_one() {
        let set = |sequence: &str| fingerprint::set(both_strands(sequence, 4));
        assert_eq!(set("AACCGTR"), set("YACGGTT"));
        assert_ne!(set("AACCGTR"), set("AACCGTA"));
        assert_eq!(both_strands("AACCGTR", 4).len(), 4);
        assert_eq!(set("AC"), set("GT"), "shorter than a k-mer");
    }

    proptest! {
        /// Whatever it is given: letters that stay as they are when cleaned again, or the place that is at fault.
        #[test]
        fn any_record_is_cleaned_or_refused_where_it_says(record in "([a-zA-Z*. \\-\n]{0,12}|\\PC{0,6}){0,3}") {
            match nucleotides(&record) {
                Ok(clean) => {
                    prop_assert!(clean.chars().all(|c| c.is_ascii_uppercase()));
                    prop_assert_eq!(nucleotides(&clean), Ok(clean.clone()));
                    let letters = record.chars().filter(char::is_ascii_alphabetic).count();
                    prop_assert_eq!(clean.len(), letters);
                }
                Err(NucleotideError::Gap { position, found } | NucleotideError::Letter { position, found }) => {
                    prop_assert_eq!(record.chars().nth(position - 1), Some(found));
                }
                Err(NucleotideError::Mixed { t, u }) => {
                    let at = |n: usize| record.chars().nth(n - 1).map(|c| c.to_ascii_uppercase());
                    prop_assert_eq!((at(t), at(u)), (Some('T'), Some('U')));
                }
                Err(NucleotideError::Empty) => {
                    prop_assert!(!record.contains(|c: char| c.is_ascii_alphabetic()));
                }
            }
        }
    }
}
