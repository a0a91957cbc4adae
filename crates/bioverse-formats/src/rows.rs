//! A file of any format as a stream of rows. Which format it is, is found out by [`Format::detect`]; how each is read is
//! known by its own module.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{Error, Format, Result, anndata, fasta, sdf, smiles, table, tenx, text};

/// One row as JSON.
pub type Object = serde_json::Map<String, Value>;

/// What a caller may say about a file; everything has a default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// The format; `None` = found out from content and name.
    pub format: Option<Format>,
    /// Whether the first line of CSV, TSV or SMILES names columns; `None` = found out.
    pub header: Option<bool>,
    /// Count matrix of an h5ad file: `None` = `X`, `raw` = `raw.X`, else a name in `layers`. Of a 10x HDF5 file of version 2
    /// the genome, where there are several.
    pub layer: Option<String>,
    /// Column of `var` with the gene names; `None` = the index. Of 10x matrices `name` (the default) or `id`.
    pub gene_field: Option<String>,
}

/// One row of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Where it stands, from 1: line of JSONL and text, data row of a table, record of FASTA and SDF, cell of a matrix.
    pub number: usize,
    /// Its fields.
    pub object: Object,
}

/// The rows of one file, read as they are asked for. After an [`Error::Row`] the next row follows; after any
/// other error there are none.
pub struct Rows {
    path: PathBuf,
    format: Format,
    len: Option<usize>,
    inner: Box<dyn Iterator<Item = Result<Row>> + Send>,
    over: bool,
}

/// Opens a file, or a 10x folder.
///
/// # Errors
/// No such file; a format that cannot be told or read; options that the format does not have.
///
/// # Example
/// ```
/// # use bioverse_formats::{Options, open};
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("proteins.fasta");
/// # std::fs::write(&path, ">P1 a protein\nMKT\nAYI\n")?;
/// for row in open(&path, &Options::default())? {
///     let row = row?;
///     assert_eq!(row.object["id"], "P1");
///     assert_eq!(row.object["sequence"], "MKTAYI");
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn open(path: &Path, options: &Options) -> Result<Rows> {
    let format = match options.format {
        Some(format) => format,
        None => Format::detect(path)?,
    };
    options.check(path, format)?;
    match format {
        Format::Fasta => fasta::rows(path),
        Format::Smiles => smiles::rows(path, options),
        Format::Sdf => sdf::rows(path),
        Format::Csv | Format::Tsv => table::separated(path, format, options),
        Format::Jsonl => table::json_lines(path),
        Format::Parquet => table::parquet(path),
        Format::H5ad => anndata::rows(path, options),
        Format::TenxH5 => tenx::h5(path, options),
        Format::TenxMtx => tenx::mtx(path, options),
        Format::Text => text::rows(path),
    }
}

impl Options {
    /// Refuses what the format does not have.
    fn check(&self, path: &Path, format: Format) -> Result<()> {
        let headed = matches!(format, Format::Csv | Format::Tsv | Format::Smiles);
        let given = [
            (
                "header",
                self.header.is_some() && !headed,
                "CSV, TSV and SMILES files",
            ),
            (
                "layer",
                self.layer.is_some() && !matches!(format, Format::H5ad | Format::TenxH5),
                "h5ad files, and of 10x HDF5 files",
            ),
            (
                "gene_field",
                self.gene_field.is_some() && !format.is_cells(),
                "h5ad files and 10x matrices",
            ),
        ];
        match given.iter().find(|(_, wrong, _)| *wrong) {
            None => Ok(()),
            Some((name, _, of)) => Err(Error::file(
                path,
                format!(
                    "is {}, but `{name}` is an option of {of}; leave it out",
                    format.name()
                ),
            )),
        }
    }
}

impl Rows {
    /// Rows of `inner`; `len` where it is known without reading.
    pub(crate) fn new(
        path: &Path,
        format: Format,
        len: Option<usize>,
        inner: impl Iterator<Item = Result<Row>> + Send + 'static,
    ) -> Self {
        Self {
            path: path.into(),
            format,
            len,
            inner: Box::new(inner),
            over: false,
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its format.
    pub fn format(&self) -> Format {
        self.format
    }

    fn step(&mut self, skipped: usize) -> Option<Result<Row>> {
        if self.over {
            return None;
        }
        let next = self.inner.nth(skipped);
        self.over = match &next {
            None => true,
            Some(Err(error)) => !error.is_row(),
            Some(Ok(_)) => false,
        };
        next
    }

    /// How many rows there are, where the format says so up front.
    pub fn len_hint(&self) -> Option<usize> {
        self.len
    }
}

impl Iterator for Rows {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Result<Row>> {
        self.nth(0)
    }

    /// Cells that are skipped are not read.
    fn nth(&mut self, n: usize) -> Option<Result<Row>> {
        if !self.format.is_cells() {
            let skipped = (0..n).all(|_| self.step(0).is_some());
            return if skipped { self.step(0) } else { None };
        }
        self.step(n)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_bad_row_is_followed_by_rows_and_any_other_error_by_none() {
        let row = |number| {
            Ok(Row {
                number,
                object: Object::new(),
            })
        };
        let path = Path::new("x");
        let inner = vec![
            row(1),
            Err(Error::row(path, 2, "bad")),
            row(3),
            Err(Error::file(path, "cut")),
            row(5),
        ];
        let mut rows = Rows::new(path, Format::Text, None, inner.into_iter());
        assert!(rows.next().unwrap().is_ok());
        assert!(rows.next().unwrap().unwrap_err().is_row());
        assert!(rows.next().unwrap().is_ok());
        assert!(!rows.next().unwrap().unwrap_err().is_row());
        assert!(rows.next().is_none());
        assert!(rows.next().is_none());
    }

    #[test]
    fn options_of_other_formats_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.fasta");
        std::fs::write(&path, ">P1\nMKT\n").unwrap();
        let of = |edit: fn(&mut Options)| {
            let mut options = Options::default();
            edit(&mut options);
            match open(&path, &options) {
                Ok(_) => "read".to_owned(),
                Err(error) => error.to_string(),
            }
        };
        assert_eq!(of(|_| ()), "read");
        assert!(
            of(|options| options.layer = Some("counts".into()))
                .contains("`layer` is an option of h5ad")
        );
        assert!(of(|options| options.header = Some(true)).contains("`header`"));
        assert!(of(|options| options.gene_field = Some("x".into())).contains("10x"));
    }
}
