//! AnnData (`.h5ad`), written by old and new versions of the `anndata` package: matrices row by row, `obs` columns, `var`
//! names, `obsm`. It holds one chunk of rows at a time.
//!
//! Every layout since 2017 is read: tables as groups (0.7 and later, with the encodings of 0.8 and later) or as datasets of
//! records (before); categories beside their codes, in `__categories`, or in `uns`; dense, CSR and CSC matrices of any
//! number type.
//!
//! **Memory.** Cells are read in windows: at most 2^21 entries of a sparse matrix, or 32 MiB of a dense one (256 MiB where
//! its chunks are as tall as that), with their `obs` columns 1,024 rows at a time. Held whole are the names of the genes, the
//! categories of categorical columns, and where the chunks of the matrix are. A CSC matrix is turned: 8 bytes a cell, and the
//! entries in memory (16 bytes each, up to 2^23) or in a temporary file (`TMPDIR`).
//!
//! **Names.** A gene name that stands at several columns is repeated in the record, once for each column with a count; cells
//! may share names. An `obs` column called `id` or `cell` appears as `obs.id` or `obs.cell`. Missing values, and numbers that
//! JSON does not have (NaN, infinities), are null.

mod frame;
mod layout;
mod obsm;
mod write;

use std::path::Path;

use serde_json::Value;

use self::{frame::Frame, layout::File};
pub use self::{
    obsm::{Obsm, read_obsm},
    write::write_obsm,
};
use crate::{
    Format, Object, Options, Result, Rows,
    matrix::{Cells, Genes, Label, Labels},
};

/// The cells of a file as rows: `id`, `cell`, every column of `obs`.
pub(crate) fn rows(path: &Path, options: &Options) -> Result<Rows> {
    let file = File::open(path)?;
    let obs = file.obs()?;
    let cells = obs.rows;
    let mut matrix = file.matrix(options.layer.as_deref(), cells)?;
    let names = gene_names(&mut matrix.genes, options.gene_field.as_deref())?;
    let genes = Genes::new(names, vec![], matrix.integer);
    let rows = Cells::new(path, cells, genes, matrix.counts, Box::new(obs));
    Ok(Rows::new(path, Format::H5ad, Some(cells), rows))
}

/// Names of the genes: the index of `var`, or a column of it. A gene without a name there keeps the one of the index.
fn gene_names(var: &mut Frame, field: Option<&str>) -> Result<Vec<String>> {
    let names = var.names()?;
    let Some(field) = field else {
        return Ok(names);
    };
    match var.texts(field)? {
        None if ["_index", "index"].contains(&field) => Ok(names),
        Some(texts) => {
            let chosen = texts.into_iter().zip(names);
            let name = |(text, name): (Option<String>, String)| {
                text.filter(|text| !text.is_empty()).unwrap_or(name)
            };
            Ok(chosen.map(name).collect())
        }
        None => {
            let columns: Vec<&str> = var.column_names().collect();
            Err(var.error(&format!(
                "has no column `{field}` for the option `gene_field`; its columns are: {}",
                match columns.is_empty() {
                    true => "none, only the index (leave the option out)".to_owned(),
                    false => columns.join(", "),
                }
            )))
        }
    }
}

impl Labels for Frame {
    fn step(&self) -> usize {
        Frame::step(self)
    }

    fn read(&mut self, start: usize, count: usize) -> Result<Vec<Label>> {
        let (index, columns) = Frame::read(self, start, count)?;
        let label = |id| Label {
            id,
            fields: Object::new(),
        };
        let mut labels: Vec<Label> = index.into_iter().map(label).collect();
        for (name, values) in columns {
            let name = match name.as_str() {
                "id" | "cell" => format!("obs.{name}"),
                _ => name,
            };
            for (label, value) in labels.iter_mut().zip(values) {
                label.fields.insert(name.clone(), value);
            }
        }
        Ok(labels)
    }
}

/// A number as `f32`; what is missing or no number is NaN.
fn single(value: &Value) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "vectors are f32")]
    let float = value.as_f64().map_or(f32::NAN, |value| value as f32);
    float
}
