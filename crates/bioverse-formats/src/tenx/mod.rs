//! Count matrices as 10x Genomics' programs write them: a folder with `matrix.mtx`, or one HDF5 file. Cells are columns there.
//!
//! Names of genes are the features' names (symbols), or their ids where the option `gene_field` is `id`: names may stand for
//! several genes, ids may not. Features of other types than `Gene Expression` (antibodies, guides, peaks) are left out.
//!
//! **Memory.** HDF5 files are read in windows of at most 2^21 entries, folders entry by entry. A folder whose entries are
//! sorted by gene is turned: 8 bytes a cell, and the entries in memory (16 bytes each, up to 2^23) or in a temporary file.

mod coordinates;
mod folder;
mod h5;
mod stream;

use std::path::Path;

pub(crate) use self::{folder::mtx, h5::h5};
use crate::{
    Error, Object, Result,
    matrix::{Genes, Label, Labels},
};

/// The type of the features that are genes.
const EXPRESSION: &str = "Gene Expression";

/// What a file says of its features.
#[derive(Debug, Default)]
struct Features {
    ids: Vec<String>,
    names: Vec<String>,
    /// Empty where the file does not say.
    types: Vec<String>,
}

impl Features {
    /// The features that are genes, by name or by id.
    fn genes(self, path: &Path, field: Option<&str>, integer: bool) -> Result<Genes> {
        let kept: Vec<bool> = self.types.iter().map(|kind| kind == EXPRESSION).collect();
        let other = kept.iter().filter(|kept| !**kept).count();
        if other > 0 && other == kept.len() {
            let mut types = self.types;
            types.sort();
            types.dedup();
            return Err(Error::file(
                path,
                format!(
                    "no feature is of the type `{EXPRESSION}`; the types are: {}; give a matrix with gene expression",
                    types.join(", ")
                ),
            ));
        }
        if other > 0 {
            tracing::warn!(
                "{}: {other} features of other types than `{EXPRESSION}` are left out",
                path.display()
            );
        }
        let names = match field {
            None | Some("name" | "gene_name" | "gene_symbols") => self.names,
            Some("id" | "gene_id" | "gene_ids") => self.ids,
            Some(other) => {
                return Err(Error::file(
                    path,
                    format!(
                        "there is no `{other}` for the option `gene_field`; features have `name` (the default) and `id`"
                    ),
                ));
            }
        };
        Ok(Genes::new(names, kept, integer))
    }
}

/// Barcodes of cells.
struct Barcodes(Vec<String>);

impl Labels for Barcodes {
    fn read(&mut self, start: usize, count: usize) -> Result<Vec<Label>> {
        let all = self.0.iter().skip(start).take(count);
        let label = |id: &String| Label {
            id: id.clone(),
            fields: Object::new(),
        };
        Ok(all.map(label).collect())
    }
}
