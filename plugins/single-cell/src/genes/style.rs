//! What gene names look like, so that an error can say what is wrong with them. A guess for people; nothing is decided by it.

use std::fmt;

use super::vocabulary::{is_ensembl, unversioned};

/// The look of most of a list of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Style {
    /// `ENSG00000167286`
    Ensembl,
    /// `ENSMUSG00000032094`: Ensembl ids of another species than human.
    OtherEnsembl,
    /// `7157`: Entrez ids, or the numbers of columns.
    Numbers,
    /// `Cd3d`, as genes of mouse and rat are written.
    Capitalised,
    /// `CD3D`
    Symbols,
    /// Of no kind that most of them share.
    #[default]
    Mixed,
}

impl Style {
    const ALL: [Self; 5] = [
        Self::Ensembl,
        Self::OtherEnsembl,
        Self::Numbers,
        Self::Capitalised,
        Self::Symbols,
    ];

    /// The style that more than half of the names have.
    pub fn of<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let (mut counts, mut all) = ([0_usize; Self::ALL.len()], 0_usize);
        for name in names {
            all += 1;
            let style = Self::one(name);
            let at = Self::ALL.iter().position(|other| *other == style);
            if let Some(count) = at.and_then(|at| counts.get_mut(at)) {
                *count += 1;
            }
        }
        let most = Self::ALL.into_iter().zip(counts);
        let mut most = most.filter(|(_, count)| 2 * count > all);
        most.next().map_or(Self::Mixed, |(style, _)| style)
    }

    fn one(name: &str) -> Self {
        let id = unversioned(name).unwrap_or(name);
        let lower = name.bytes().any(|b| b.is_ascii_lowercase());
        let first = name.bytes().next();
        match first {
            _ if is_ensembl(id) && id.len() == 15 => Self::Ensembl,
            _ if is_ensembl(id) => Self::OtherEnsembl,
            Some(b'0'..=b'9') if name.bytes().all(|b| b.is_ascii_digit()) => Self::Numbers,
            Some(b'A'..=b'Z') if lower && !name.bytes().skip(1).any(|b| b.is_ascii_uppercase()) => {
                Self::Capitalised
            }
            Some(b'A'..=b'Z') if !lower => Self::Symbols,
            _ => Self::Mixed,
        }
    }
}

impl fmt::Display for Style {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ensembl => "Ensembl ids",
            Self::OtherEnsembl => "Ensembl ids of another species",
            Self::Numbers => "numbers (Entrez ids, or the numbers of columns)",
            Self::Capitalised => "symbols of mouse or rat",
            Self::Symbols => "gene symbols",
            Self::Mixed => "names of several kinds",
        })
    }
}
