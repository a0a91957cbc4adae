//! The user's list of other names: a file of two columns, or a dictionary. Knows no cell.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::Vocabulary;
use crate::dictionary::{self, DictionaryError};

/// Other names of genes, in upper case, and where they lead.
#[derive(Debug, Clone, Default)]
pub struct Aliases {
    /// `None` where the list gives one alias to two genes of the vocabulary.
    rows: HashMap<String, Option<u32>>,
}

/// A list that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AliasError {
    /// It cannot be read.
    #[error("`gene_aliases`: {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line has another number of columns.
    #[error(
        "`gene_aliases`: {}: line {line} has {columns} columns, not two; a line is an alias and the name it stands for, with \
         a tab or a comma between",
        path.display()
    )]
    Columns {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// Found there.
        columns: usize,
    },
    /// None of its names is one of the model's.
    #[error("`gene_aliases`: {}: none of its {pairs} names is in the model's vocabulary{hint}", path.display())]
    Useless {
        /// The file.
        path: PathBuf,
        /// How many there are.
        pairs: usize,
        /// What is likely wrong.
        hint: &'static str,
    },
    /// A dictionary that cannot be read.
    #[error("`gene_aliases`: {0}")]
    Dictionary(#[from] DictionaryError),
}

impl Aliases {
    /// Reads `alias, name` pairs: text with a tab or comma between the columns (empty lines and lines that begin with `#` are
    /// skipped, a header does no harm), or a `.json` or `.pkl` dictionary from alias to name.
    ///
    /// Of two pairs with one alias, that counts whose name is in the vocabulary; where both are, the alias is ambiguous and
    /// leads nowhere.
    ///
    /// # Errors
    /// See [`AliasError`].
    pub fn read(path: &Path, vocabulary: &Vocabulary) -> Result<Self, AliasError> {
        let pairs = match dictionary::is_dictionary(path) {
            true => dictionary::strings(path)?,
            false => lines(path)?,
        };
        let aliases = Self::new(
            pairs.iter().map(|(a, b)| (a.as_str(), b.as_str())),
            vocabulary,
        );
        if aliases.rows.is_empty() {
            let turned = pairs
                .iter()
                .any(|(alias, _)| vocabulary.find(alias).is_some());
            return Err(AliasError::Useless {
                path: path.into(),
                pairs: pairs.len(),
                hint: match turned {
                    true => {
                        ", but names of its first column are; the alias comes first, the model's name second"
                    }
                    false => "; the second column holds the names that the model knows",
                },
            });
        }
        Ok(aliases)
    }

    /// From pairs of an alias and a name.
    pub fn new<'a>(
        pairs: impl Iterator<Item = (&'a str, &'a str)>,
        vocabulary: &Vocabulary,
    ) -> Self {
        let mut rows: HashMap<String, Option<u32>> = HashMap::new();
        for (alias, name) in pairs {
            let Some((row, _)) = vocabulary.find(name) else {
                continue;
            };
            let entry = rows.entry(alias.to_ascii_uppercase());
            entry
                .and_modify(|known| *known = known.filter(|known| *known == row))
                .or_insert(Some(row));
        }
        Self { rows }
    }

    /// Where a name leads, in whatever case, with or without the version of an Ensembl id.
    pub(super) fn row(&self, name: &str) -> Option<u32> {
        if self.rows.is_empty() {
            return None;
        }
        let row = |name: &str| self.rows.get(&name.to_ascii_uppercase()).copied();
        row(name).or_else(|| row(super::vocabulary::unversioned(name)?))?
    }
}

fn lines(path: &Path) -> Result<Vec<(String, String)>, AliasError> {
    let text = std::fs::read_to_string(path).map_err(|source| AliasError::Io {
        path: path.into(),
        source,
    })?;
    let mut pairs = vec![];
    for (line, content) in (1..).zip(text.lines()) {
        let content = content.trim_start_matches('\u{feff}').trim_end();
        if content.trim().is_empty() || content.starts_with('#') {
            continue;
        }
        let separator = if content.contains('\t') { '\t' } else { ',' };
        let columns: Vec<&str> = content
            .split(separator)
            .map(|c| c.trim().trim_matches('"'))
            .collect();
        let [alias, name] = columns[..] else {
            return Err(AliasError::Columns {
                path: path.into(),
                line,
                columns: columns.len(),
            });
        };
        pairs.push((alias.to_owned(), name.to_owned()));
    }
    Ok(pairs)
}
