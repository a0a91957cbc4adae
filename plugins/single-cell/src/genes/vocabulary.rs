//! The names a model knows, and the spellings of them that mean the same.

use std::collections::HashMap;

use super::{Found, Style};

/// Names of genes with their rows in an embedding table.
#[derive(Debug, Clone, Default)]
pub struct Vocabulary {
    rows: HashMap<String, u32>,
    /// In upper case; `None` where two names differ in case alone.
    folded: HashMap<String, Option<u32>>,
    style: Style,
}

impl Vocabulary {
    /// Special tokens (`<pad>`) are left out: no gene is called so.
    pub fn new(names: impl IntoIterator<Item = (String, u32)>) -> Self {
        let is_gene = |(name, _): &(String, u32)| !(name.starts_with('<') && name.ends_with('>'));
        let rows: HashMap<String, u32> = names.into_iter().filter(is_gene).collect();
        let mut folded = HashMap::with_capacity(rows.len());
        for (name, row) in &rows {
            let entry = folded.entry(name.to_ascii_uppercase());
            entry.and_modify(|row| *row = None).or_insert(Some(*row));
        }
        let style = Style::of(rows.keys().map(String::as_str));
        Self {
            rows,
            folded,
            style,
        }
    }

    /// How many genes.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// What the names look like.
    pub fn style(&self) -> Style {
        self.style
    }

    /// The name of each row, as far as a gene has it; of several names the first in alphabetical order.
    pub fn names<'a>(&'a self, rows: &[u32]) -> Vec<Option<&'a str>> {
        let mut found: HashMap<u32, Option<&str>> = rows.iter().map(|row| (*row, None)).collect();
        for (name, row) in &self.rows {
            if let Some(best) = found.get_mut(row)
                && best.is_none_or(|best| name.as_str() < best)
            {
                *best = Some(name);
            }
        }
        let name = |row| found.get(row).copied().flatten();
        rows.iter().map(name).collect()
    }

    /// The row of a name as it is written, as an Ensembl id without its version, or in other case.
    pub fn find(&self, name: &str) -> Option<(u32, Found)> {
        let plain = unversioned(name);
        let exact = |name: &str| self.rows.get(name).copied();
        let folded = |name: &str| *self.folded.get(&name.to_ascii_uppercase())?;
        None.or_else(|| Some((exact(name)?, Found::Exact)))
            .or_else(|| Some((exact(plain?)?, Found::Version)))
            .or_else(|| Some((folded(name)?, Found::Case)))
            .or_else(|| Some((folded(plain?)?, Found::Case)))
    }
}

/// `ENSG00000167286.10` → `ENSG00000167286`; `None` for everything else. Names such as `AC004540.5` end so too, and mean
/// another gene than `AC004540`.
pub(super) fn unversioned(name: &str) -> Option<&str> {
    let (id, version) = name.split_once('.')?;
    let number = !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit());
    (number && is_ensembl(id)).then_some(id)
}

/// `ENSG00000167286`, `ENSMUSG00000032094`: `ENS`, letters for the species and the kind, eleven digits.
pub(super) fn is_ensembl(name: &str) -> bool {
    const DIGITS: usize = 11;
    let Some((letters, digits)) = name
        .len()
        .checked_sub(DIGITS)
        .and_then(|at| name.split_at_checked(at))
    else {
        return false;
    };
    letters.len() > 3
        && letters.as_bytes()[..3].eq_ignore_ascii_case(b"ENS")
        && letters.bytes().all(|b| b.is_ascii_alphabetic())
        && digits.bytes().all(|b| b.is_ascii_digit())
}
