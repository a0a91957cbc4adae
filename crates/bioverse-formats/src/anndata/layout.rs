//! Where things are in an AnnData file, of any version: the tables, and the matrices by the names a caller gives them.

use std::path::Path;

use super::frame::Frame;
use crate::{
    Error, Result,
    hdf5::{Container, Folder, Node},
    matrix::{Compressed, Counts, Dense, Sparse},
};

/// An open AnnData file.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) root: Folder,
    uns: Option<Folder>,
}

/// A count matrix with the table of its genes.
pub(crate) struct Matrix {
    pub(crate) counts: Box<dyn Counts>,
    pub(crate) genes: Frame,
    /// Whether values are whole numbers.
    pub(crate) integer: bool,
}

impl File {
    /// Opens a file.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let root = Container::open(path)?.root();
        let uns = root.folder("uns")?;
        Ok(Self { root, uns })
    }

    /// The table of the cells.
    pub(crate) fn obs(&self) -> Result<Frame> {
        Frame::open(&self.root, "obs", self.uns.as_ref())
    }

    /// The matrix of `cells` rows: `X`, or the one that `layer` names.
    pub(crate) fn matrix(&self, layer: Option<&str>, cells: usize) -> Result<Matrix> {
        let (above, node, genes) = match layer {
            None | Some("X") => (&self.root, self.root.get("X")?, self.var()?),
            Some("raw" | "raw.X") => return self.raw(cells),
            Some(name) => {
                let layers = self.root.folder("layers")?;
                let node = layers.map(|layers| layers.get(name)).transpose()?.flatten();
                (&self.root, node, self.var()?)
            }
        };
        let name = layer.unwrap_or("X");
        let node = node.ok_or_else(|| self.no_matrix(name))?;
        matrix(above, node, genes, cells)
    }

    fn var(&self) -> Result<Frame> {
        Frame::open(&self.root, "var", self.uns.as_ref())
    }

    /// `raw` is a group since 0.7; before, its parts stood beside it with names of their own.
    fn raw(&self, cells: usize) -> Result<Matrix> {
        if let Some(raw) = self.root.folder("raw")? {
            let node = raw.get("X")?.ok_or_else(|| self.no_matrix("raw"))?;
            let genes = Frame::open(&raw, "var", self.uns.as_ref())?;
            return matrix(&raw, node, genes, cells);
        }
        let node = self
            .root
            .get("raw.X")?
            .ok_or_else(|| self.no_matrix("raw"))?;
        let genes = Frame::open(&self.root, "raw.var", self.uns.as_ref())?;
        matrix(&self.root, node, genes, cells)
    }

    fn no_matrix(&self, name: &str) -> Error {
        let there = self.matrices().unwrap_or_default();
        let container = self.root.container();
        if matches!(self.root.folder("mod"), Ok(Some(_))) {
            return container.error(
                "this is a MuData file with several matrices; write one of them as h5ad in Python: \
                 mudata.read_h5mu(path)[\"rna\"].write_h5ad(new)",
            );
        }
        container.error(absent(name, &there))
    }

    /// Names by which matrices can be chosen.
    fn matrices(&self) -> Result<Vec<String>> {
        let mut names = vec![];
        if self.root.get("X")?.is_some() {
            names.push("`X`".to_owned());
        }
        if self.root.folder("raw")?.is_some() || self.root.get("raw.X")?.is_some() {
            names.push("`raw`".to_owned());
        }
        if let Some(layers) = self.root.folder("layers")? {
            names.extend(layers.names()?.iter().map(|name| format!("`{name}`")));
        }
        Ok(names)
    }
}

/// That there is no matrix `name`, but those of `there`.
fn absent(name: &str, there: &[String]) -> String {
    match there.is_empty() {
        true => "there is no count matrix, neither `X` nor `raw` nor a layer; write the file with one of them".into(),
        false => format!(
            "there is no count matrix `{name}`; it has {} (choose one with the option `layer`)",
            there.join(", ")
        ),
    }
}

fn matrix(above: &Folder, node: Node, genes: Frame, cells: usize) -> Result<Matrix> {
    let container = above.container();
    let shaped = |name: &str, shape: &[u64]| {
        let expected = [cells as u64, genes.rows as u64];
        match shape == expected {
            true => Ok(()),
            false => Err(container.error(format!(
                "matrix `{name}` has the shape {shape:?}, but {cells} cells and {} genes have names; write the file again",
                genes.rows
            ))),
        }
    };
    let (counts, integer) = match node {
        Node::Array(array) => {
            let (rows, width) = (array.rows() as u64, array.width() as u64);
            shaped(&array.name, &[rows, width])?;
            let dense = Dense::new(array)?;
            let integer = dense.is_integer();
            (Box::new(dense) as Box<dyn Counts>, integer)
        }
        Node::Folder(folder) => {
            if let Some(shape) = stored_shape(&folder) {
                shaped(&folder.name, &shape)?;
            }
            sparse(&folder, cells, genes.rows)?
        }
    };
    Ok(Matrix {
        counts,
        genes,
        integer,
    })
}

/// A compressed matrix, and whether its values are whole numbers.
fn sparse(folder: &Folder, cells: usize, genes: usize) -> Result<(Box<dyn Counts>, bool)> {
    match encoding(folder).as_deref() {
        Some("csr_matrix" | "csr") => {
            let matrix = Compressed::open(folder, cells, genes)?;
            let integer = matrix.is_integer();
            Ok((Box::new(Sparse(matrix)), integer))
        }
        Some("csc_matrix" | "csc") => {
            let matrix = Compressed::open(folder, genes, cells)?;
            let integer = matrix.is_integer();
            Ok((Box::new(matrix.turned()?), integer))
        }
        other => Err(folder.container().error(format!(
            "matrix `{}` is stored as `{}`, but array, csr_matrix and csc_matrix are read; write it as one of them",
            folder.name,
            other.unwrap_or("a group without encoding-type")
        ))),
    }
}

fn encoding(folder: &Folder) -> Option<String> {
    let old = || folder.text("h5sparse_format");
    folder.text("encoding-type").or_else(old)
}

fn stored_shape(folder: &Folder) -> Option<Vec<u64>> {
    let old = || folder.integers("h5sparse_shape");
    folder.integers("shape").or_else(old)
}

#[cfg(test)]
mod tests {
    use super::absent;

    #[test]
    fn a_layer_is_asked_for_only_where_there_is_one() {
        assert!(!absent("X", &[]).contains("option `layer`"));
        assert_eq!(
            absent("X", &["`raw`".into(), "`counts`".into()]),
            "there is no count matrix `X`; it has `raw`, `counts` (choose one with the option `layer`)"
        );
    }
}
