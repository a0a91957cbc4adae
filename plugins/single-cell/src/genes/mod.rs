//! Gene names → rows of a model's vocabulary, whoever spelt them: exact names, Ensembl ids with a version, other case, aliases
//! that the user lists. What was found how is counted, because a silent mismatch is the usual reason for poor results.
//!
//! Knows neither values nor models. A name is looked up once; after that it is one hash, for a million cells.

mod aliases;
mod mismatch;
mod style;
mod vocabulary;

use std::collections::HashMap;
use std::fmt;
use std::sync::{PoisonError, RwLock};

pub use aliases::{AliasError, Aliases};
pub use mismatch::Mismatch;
pub use style::Style;
pub use vocabulary::Vocabulary;

/// Names that are remembered. No annotation has a tenth of it; a file that has more gets slower, not larger.
const REMEMBERED: usize = 1 << 20;

/// Unknown names that are shown.
const SHOWN: usize = 3;

/// How a name was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Found {
    /// As it is written.
    Exact,
    /// An Ensembl id, without its version.
    Version,
    /// In other case, and only one name of the vocabulary is so spelt.
    Case,
    /// By the user's list.
    Alias,
}

/// Finds names and remembers what it found.
///
/// ```
/// use bioverse_single_cell::genes::{Aliases, GeneMatcher, Vocabulary};
///
/// let vocabulary = Vocabulary::new([("CD3D".to_owned(), 0), ("LYZ".to_owned(), 1)]);
/// let aliases = Aliases::new([("ENSG00000090382", "LYZ")].into_iter(), &vocabulary);
/// let matcher = GeneMatcher::new(vocabulary, aliases);
/// let rows = matcher.rows(["Cd3d", "ENSG00000090382.7", "XIST"].into_iter());
/// assert_eq!(rows, [Some(0), Some(1), None]);
/// assert_eq!(
///     matcher.counts().to_string(),
///     "3 gene names: 0 in the vocabulary, 1 by alias, 1 by case, 1 unknown (first: XIST)"
/// );
/// ```
#[derive(Debug)]
pub struct GeneMatcher {
    vocabulary: Vocabulary,
    aliases: Aliases,
    seen: RwLock<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    names: HashMap<Box<str>, Option<(u32, Found)>>,
    /// The first ones, in the order in which they came.
    unknown: Vec<String>,
}

impl GeneMatcher {
    /// Over a vocabulary and a list of aliases, which may be empty.
    pub fn new(vocabulary: Vocabulary, aliases: Aliases) -> Self {
        Self {
            vocabulary,
            aliases,
            seen: RwLock::default(),
        }
    }

    /// The names the model knows.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// The row of every name in its order, `None` for an unknown one.
    pub fn rows<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<Option<u32>> {
        let mut new = vec![];
        let mut rows: Vec<Option<u32>> = {
            let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
            let row = |(i, name)| match seen.names.get(name) {
                Some(found) => found.map(|(row, _)| row),
                None => {
                    new.push((i, name));
                    None
                }
            };
            names.enumerate().map(row).collect()
        };
        if !new.is_empty() {
            let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
            for (i, name) in new {
                let found = self.find(name);
                if let Some(row) = rows.get_mut(i) {
                    *row = found.map(|(row, _)| row);
                }
                seen.remember(name, found);
            }
        }
        rows
    }

    /// Exact name, Ensembl id without version, other case, alias: the first that leads to a name of the vocabulary.
    fn find(&self, name: &str) -> Option<(u32, Found)> {
        let alias = || {
            let row = self.aliases.row(name)?;
            Some((row, Found::Alias))
        };
        self.vocabulary.find(name).or_else(alias)
    }

    /// What was found so far.
    pub fn counts(&self) -> Counts {
        let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
        let mut counts = Counts {
            first_unknown: seen.unknown.clone(),
            ..Counts::default()
        };
        for found in seen.names.values() {
            let counter = match found {
                Some((_, Found::Exact)) => &mut counts.exact,
                Some((_, Found::Version)) => &mut counts.version,
                Some((_, Found::Case)) => &mut counts.case,
                Some((_, Found::Alias)) => &mut counts.alias,
                None => &mut counts.unknown,
            };
            *counter += 1;
        }
        counts
    }
}

impl Seen {
    fn remember(&mut self, name: &str, found: Option<(u32, Found)>) {
        if self.names.len() >= REMEMBERED {
            return;
        }
        let new = self.names.insert(name.into(), found).is_none();
        if new && found.is_none() && self.unknown.len() < SHOWN {
            self.unknown.push(name.to_owned());
        }
    }
}

/// Different names, by how they were found. `Display` writes the sentence for their owner.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// [`Found::Exact`]
    pub exact: usize,
    /// [`Found::Version`]
    pub version: usize,
    /// [`Found::Alias`]
    pub alias: usize,
    /// [`Found::Case`]
    pub case: usize,
    /// Not found.
    pub unknown: usize,
    /// The first of those.
    pub first_unknown: Vec<String>,
}

impl Counts {
    /// All names.
    pub fn names(&self) -> usize {
        self.exact + self.version + self.alias + self.case + self.unknown
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (names, exact) = (thousands(self.names()), thousands(self.exact));
        write!(f, "{names} gene names: {exact} in the vocabulary")?;
        for (count, how) in [
            (self.version, "without their version"),
            (self.alias, "by alias"),
            (self.case, "by case"),
        ] {
            if count > 0 {
                write!(f, ", {} {how}", thousands(count))?;
            }
        }
        if self.unknown > 0 {
            let first = self.first_unknown.join(", ");
            write!(f, ", {} unknown (first: {first})", thousands(self.unknown))?;
        }
        Ok(())
    }
}

/// `13714` → `13,714`
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests;
