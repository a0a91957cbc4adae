//! Amino-acid sequences as people keep them, brought to the letters that an encoder reads. Tokens are unknown here.
//!
//! | in the record | what is done |
//! |---|---|
//! | the 20 amino acids, and `B Z X U O` | kept; ESM-2 has a token for each |
//! | `J` (leucine or isoleucine) | kept; ESM-2 has no token for it and reads it as unknown |
//! | lower case | raised: it marks masked or uncertain regions, not other residues |
//! | white space, line ends | dropped |
//! | `*` at the end | dropped: the stop codon |
//! | `*` elsewhere | refused: more than one reading frame, or a pseudogene |
//! | `-`, `.` | kept: gaps, for which ESM-2 has tokens; [`has_gaps`] tells, because it was trained on sequences without |
//! | `<mask>` | kept: a residue that the model is not to see |
//! | anything else, digits too | refused |
//!
//! Letters: IUPAC-IUB Commission on Biochemical Nomenclature, Nomenclature and Symbolism for Amino Acids and Peptides (1983).

/// A record that is no protein sequence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResidueError {
    /// No residue at all.
    #[error("the sequence is empty; leave the record out")]
    Empty,
    /// A stop codon that is not the end.
    #[error(
        "`*` at position {0} is a stop codon inside the sequence; translate one reading frame, or cut the record there"
    )]
    Stop(usize),
    /// Anything else that is no residue.
    #[error(
        "{found:?} at position {position} is no amino acid; a record is one sequence in one-letter code, without name or numbers"
    )]
    Letter {
        /// From 1, as the record was given.
        position: usize,
        /// The character.
        found: char,
    },
}

/// How a hidden residue is written.
const MASK: &str = "<mask>";

/// The residues of `record` in upper case.
///
/// ```
/// use bioverse_protein::residues;
///
/// assert_eq!(residues("mkt ayi\nAKQR*")?, "MKTAYIAKQR");
/// assert_eq!(
///     residues("MKT1").unwrap_err().to_string(),
///     "'1' at position 4 is no amino acid; a record is one sequence in one-letter code, without name or numbers"
/// );
/// # Ok::<(), bioverse_protein::ResidueError>(())
/// ```
///
/// # Errors
/// The first character that is refused, by its position from 1 in the record as given; a record without residues.
pub fn residues(record: &str) -> Result<String, ResidueError> {
    let whole = record.trim_end();
    let whole = whole.strip_suffix('*').unwrap_or(whole);
    let mut residues = String::with_capacity(whole.len());
    let mut read = 0;
    for (position, (at, found)) in (1..).zip(whole.char_indices()) {
        if at < read {
            continue; // inside a mask
        }
        match found {
            '<' if whole[at..].starts_with(MASK) => {
                residues.push_str(MASK);
                read = at + MASK.len();
            }
            '-' | '.' => residues.push(found),
            '*' => return Err(ResidueError::Stop(position)),
            found if found.is_whitespace() => {}
            found if found.is_ascii_alphabetic() => residues.push(found.to_ascii_uppercase()),
            found => return Err(ResidueError::Letter { position, found }),
        }
    }
    match residues.contains(|c: char| c.is_ascii_alphabetic()) {
        true => Ok(residues),
        false => Err(ResidueError::Empty),
    }
}

/// Whether cleaned residues hold gaps, as rows of an alignment do.
pub fn has_gaps(residues: &str) -> bool {
    residues.contains(['-', '.'])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sequences_are_cleaned() {
        for (record, wanted) in [
            ("MKTAYIAKQR", "MKTAYIAKQR"),
            ("mkTayi", "MKTAYI"),
            ("MKT AYI\r\nAKQR\n", "MKTAYIAKQR"),
            ("MKT*", "MKT"),
            ("MKT*\n", "MKT"),
            ("MK\nT *", "MKT"),
            ("GXBUZOJ", "GXBUZOJ"),
            ("ACDEFGHIKLMNPQRSTVWY", "ACDEFGHIKLMNPQRSTVWY"),
            ("M<mask>k<mask>", "M<mask>K<mask>"),
            ("<mask>", "<mask>"),
            ("MK-.T", "MK-.T"),
        ] {
            assert_eq!(residues(record).unwrap(), wanted, "{record:?}");
            assert_eq!(has_gaps(wanted), record.contains('-'));
        }
    }

    #[test]
    fn what_is_no_sequence_is_refused_with_its_position() {
        let letter = |position, found| ResidueError::Letter { position, found };
        for (record, wanted) in [
            ("", ResidueError::Empty),
            (" \n", ResidueError::Empty),
            ("*", ResidueError::Empty),
            ("--.", ResidueError::Empty),
            ("MK*T", ResidueError::Stop(3)),
            ("MKT**", ResidueError::Stop(4)),
            ("*MKT", ResidueError::Stop(1)),
            ("1 MKT", letter(1, '1')),
            ("MK\n T5", letter(6, '5')),
            ("M<mask>é", letter(8, 'é')),
            ("M<MASK>", letter(2, '<')),
            ("M<eos>", letter(2, '<')),
            (">sp|P1", letter(1, '>')),
            ("MKé", letter(3, 'é')),
            ("МКТ", letter(1, 'М')),
        ] {
            assert_eq!(residues(record).unwrap_err(), wanted, "{record:?}");
        }
    }

    proptest! {
        /// Whatever it is given: residues that stay as they are when cleaned again, or the place that is at fault.
        #[test]
        fn any_record_is_cleaned_or_refused_where_it_says(
            record in "([a-zA-Z*. \\-\n]{0,12}|<mask>|\\PC{0,6}){0,3}"
        ) {
            match residues(&record) {
                Ok(clean) => {
                    let left = clean.replace(MASK, "");
                    prop_assert!(left.chars().all(|c| c.is_ascii_uppercase() || "-.".contains(c)));
                    prop_assert_eq!(residues(&clean), Ok(clean.clone()));
                    let kept = |c: &char| c.is_ascii_alphabetic() || "-.".contains(*c);
                    prop_assert_eq!(
                        clean.chars().filter(kept).count(),
                        record.chars().filter(kept).count()
                    );
                }
                Err(ResidueError::Letter { position, found }) => {
                    prop_assert_eq!(record.chars().nth(position - 1), Some(found));
                }
                Err(ResidueError::Stop(position)) => {
                    prop_assert_eq!(record.chars().nth(position - 1), Some('*'));
                }
                Err(ResidueError::Empty) => {
                    prop_assert!(!record.contains(|c: char| c.is_ascii_alphabetic()));
                }
            }
        }
    }
}
