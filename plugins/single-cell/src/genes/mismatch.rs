//! The sentence for a cell whose gene names are not the model's.

use std::fmt;

use super::{SHOWN, Style, Vocabulary};

/// Too few names of a cell are in the vocabulary.
#[derive(Debug, Clone, PartialEq)]
pub struct Mismatch {
    /// Names that were found.
    pub matched: usize,
    /// Names with a value above 0.
    pub names: usize,
    /// The share that was asked for (`min_gene_match`).
    pub wanted: f64,
    /// What the cell's names look like.
    pub given: Style,
    /// The first of them that were not found.
    pub first: Vec<String>,
    /// What the model's names look like.
    pub known: Style,
}

impl Mismatch {
    /// `Err` when less than the share `wanted` of the names has a row, or none.
    pub fn check<'a>(
        names: impl Iterator<Item = &'a str> + Clone,
        rows: &[Option<u32>],
        vocabulary: &Vocabulary,
        wanted: f64,
    ) -> Result<(), Box<Self>> {
        let matched = rows.iter().filter(|row| row.is_some()).count();
        if matched > 0 && matched as f64 >= wanted * rows.len() as f64 {
            return Ok(());
        }
        let unknown = names.clone().zip(rows).filter(|(_, row)| row.is_none());
        Err(Box::new(Self {
            matched,
            names: rows.len(),
            wanted,
            given: Style::of(names),
            first: unknown
                .take(SHOWN)
                .map(|(name, _)| name.to_owned())
                .collect(),
            known: vocabulary.style(),
        }))
    }

    /// What to do.
    fn advice(&self) -> &'static str {
        match (self.given, self.known) {
            (Style::OtherEnsembl, _) => {
                "map them to human genes by a two-column file in `gene_aliases` (id, human gene)"
            }
            (Style::Numbers, _) => {
                "`--gene-field` chooses the column of names of an h5ad or 10x file, and `gene_aliases` maps one kind of names \
                 to another"
            }
            (Style::Ensembl, Style::Symbols) => {
                "choose the column of symbols with `--gene-field`, or map the ids by a two-column file in `gene_aliases` (id, \
                 symbol)"
            }
            (Style::Symbols, Style::Ensembl) => {
                "choose the column of Ensembl ids with `--gene-field`, or map the symbols by a two-column file in \
                 `gene_aliases` (symbol, id)"
            }
            (given, known) if given == known => {
                "are they genes of another species? `gene_aliases` maps them, and a lower `min_gene_match` takes the cell as it \
                 is"
            }
            _ => {
                "choose the column of such names with `--gene-field`, map them by a two-column file in `gene_aliases`, or lower \
                 `min_gene_match` to take the cell as it is"
            }
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (matched, names) = (self.matched, self.names);
        write!(
            f,
            "{matched} of {names} genes are in the model's vocabulary"
        )?;
        if matched > 0 {
            write!(
                f,
                ", less than the share of {} in `min_gene_match`",
                self.wanted
            )?;
        }
        let first = self.first.join(", ");
        write!(
            f,
            "; the names look like {} ({first}), the model's are {}: {}",
            self.given,
            self.known,
            self.advice()
        )
    }
}
