//! 10x matrices in HDF5: one group `matrix` (version 3), or one group a genome (version 2). Cells are compressed, so they are
//! read as they stand.

use std::path::Path;

use super::{Barcodes, Features};
use crate::{
    Format, Options, Result, Rows,
    hdf5::{Array, Container, Folder},
    matrix::{Cells, Compressed, Sparse},
};

/// The cells of a 10x HDF5 file.
pub(crate) fn h5(path: &Path, options: &Options) -> Result<Rows> {
    let root = Container::open(path)?.root();
    let folder = match (root.folder("matrix")?, options.layer.as_deref()) {
        (Some(folder), None) => folder,
        (Some(_), Some(_)) => {
            return Err(root.container().error(
                "there is one matrix for all genomes, so `layer` chooses nothing; leave it out",
            ));
        }
        (None, genome) => self::genome(&root, genome)?,
    };
    let barcodes = texts(&folder, "barcodes")?;
    let features = features(&folder)?;
    let (cells, genes) = (barcodes.len(), features.ids.len());
    let shape = folder.array("shape")?;
    let shape = shape
        .map(|shape| shape.whole(Array::integers))
        .transpose()?;
    let named = [i64::try_from(genes).ok(), i64::try_from(cells).ok()];
    if let Some(shape) = shape.filter(|shape| !shape.iter().copied().map(Some).eq(named)) {
        return Err(root.container().error(format!(
            "`{}` has the shape {shape:?}, but {genes} features and {cells} barcodes; write the file again",
            folder.name
        )));
    }
    let matrix = Compressed::open(&folder, cells, genes)?;
    let genes = features.genes(path, options.gene_field.as_deref(), matrix.is_integer())?;
    let labels = Box::new(Barcodes(barcodes));
    let rows = Cells::new(path, cells, genes, Box::new(Sparse(matrix)), labels);
    Ok(Rows::new(path, Format::TenxH5, Some(cells), rows))
}

/// The group of the only genome, or of the one that is named.
fn genome(root: &Folder, name: Option<&str>) -> Result<Folder> {
    let mut found = vec![];
    for name in root.names()? {
        if let Some(folder) = root.folder(&name)?
            && folder.array("barcodes")?.is_some()
        {
            found.push((name, folder));
        }
    }
    let list: Vec<String> = found.iter().map(|(name, _)| name.clone()).collect();
    let list = list.join(", ");
    let container = root.container();
    match (name, found.len()) {
        (_, 0) => Err(container.error(
            "there is neither a group `matrix` nor one of a genome, so this is not a 10x HDF5 file; give \
             `filtered_feature_bc_matrix.h5`, or an h5ad file",
        )),
        (Some(name), _) => {
            let chosen = found.into_iter().find(|(found, _)| found == name);
            let absent = || container.error(format!("there is no genome `{name}`; there are: {list}"));
            chosen.map(|(_, folder)| folder).ok_or_else(absent)
        }
        (None, 1) => {
            let only = found.pop().map(|(_, folder)| folder);
            only.ok_or_else(|| container.error("there is no genome"))
        }
        (None, _) => Err(container.error(format!(
            "there are several genomes: {list}; choose one with the option `layer`"
        ))),
    }
}

fn features(folder: &Folder) -> Result<Features> {
    let Some(features) = folder.folder("features")? else {
        return same_length(
            folder,
            Features {
                ids: texts(folder, "genes")?,
                names: texts(folder, "gene_names")?,
                types: vec![],
            },
        );
    };
    let types = match features.array("feature_type")? {
        Some(types) => types.whole(Array::texts)?,
        None => vec![],
    };
    same_length(
        folder,
        Features {
            ids: texts(&features, "id")?,
            names: texts(&features, "name")?,
            types,
        },
    )
}

fn same_length(folder: &Folder, features: Features) -> Result<Features> {
    let count = features.ids.len();
    let typed = features.types.is_empty() || features.types.len() == count;
    match features.names.len() == count && typed {
        true => Ok(features),
        false => Err(folder.container().error(format!(
            "`{}` has {count} ids of features, but {} names and {} types; write the file again",
            folder.name,
            features.names.len(),
            features.types.len()
        ))),
    }
}

fn texts(folder: &Folder, name: &str) -> Result<Vec<String>> {
    folder.required(name)?.whole(Array::texts)
}
