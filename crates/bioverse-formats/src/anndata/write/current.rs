//! Adding to `obsm` in any other HDF5 file, through the HDF5 library. The vectors are held in memory. Where the library cannot
//! extend the groups of the file as they are stored, the copy is written anew with all its objects first.

use std::path::Path;

use hdf5_pure::{AttrValue, DatasetBuilder, Error as Hdf5Error, File, RepackOptions, repack};

use super::{Vectors, refused};
use crate::{
    Result,
    anndata::layout,
    hdf5::{Folder, Node},
};

/// Adds vectors to the file at `path`, a copy of `source`.
pub(super) fn add(source: &layout::File, path: &Path, mut vectors: Vectors<'_>) -> Result<()> {
    let input = source.root.container().path();
    if source.root.array("obsm")?.is_some() {
        return Err(refused(input, "it has the layout of anndata before 0.7"));
    }
    let obsm = source.root.folder("obsm")?;
    let replaced = match &obsm {
        Some(obsm) => obsm.get(vectors.key)?.is_some(),
        None => false,
    };
    let mut all = vec![];
    let mut cell = 0;
    while let Some(mut vector) = vectors.next(cell, path)? {
        all.append(&mut vector);
        cell += 1;
    }
    let shape = [vectors.cells as u64, vectors.width as u64];
    let matrix = |builder: &mut DatasetBuilder| {
        builder.with_f32_data(&all).with_shape(&shape);
        builder.set_attr("encoding-type", text("array"));
        builder.set_attr("encoding-version", text("0.2.0"));
    };
    let add = || edit(path, &obsm, vectors.key, replaced, &matrix);
    let added = match add() {
        Err(Hdf5Error::EditUnsupported(_)) => {
            check_values(&source.root, 0)?;
            rewrite(input, path).and_then(|()| add())
        }
        other => other,
    };
    added.map_err(|error| refused(input, &error.to_string()))
}

fn edit(
    path: &Path,
    obsm: &Option<Folder>,
    key: &str,
    replaced: bool,
    matrix: &impl Fn(&mut DatasetBuilder),
) -> Result<(), Hdf5Error> {
    let file = File::open_rw(path)?;
    let root = file.root();
    let group = match obsm {
        Some(_) => root.group("obsm")?,
        None => {
            let group = root.create_group("obsm")?;
            group.set_attr("encoding-type", text("dict"))?;
            group.set_attr("encoding-version", text("0.1.0"))?;
            group
        }
    };
    if replaced {
        group.delete(key)?;
    }
    group.create_dataset(key, matrix)?;
    file.commit()?;
    drop((group, root));
    file.close()
}

/// Refuses files with values that the library does not write anew as they are: those without a dataspace, except where the
/// encoding says that they are `None`.
fn check_values(folder: &Folder, depth: usize) -> Result<()> {
    let input = folder.container().path();
    if depth > 32 {
        return Err(refused(input, "its groups are nested too deep"));
    }
    for name in folder.names()? {
        match folder.get(&name)? {
            Some(Node::Folder(inner)) => check_values(&inner, depth + 1)?,
            Some(Node::Array(array))
                if array.is_void() && array.text("encoding-type").as_deref() != Some("null") =>
            {
                return Err(refused(input, &format!("`{}` has no value", array.name)));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Writes all objects of `input` to `path` anew, with groups that can be extended.
fn rewrite(input: &Path, path: &Path) -> Result<(), Hdf5Error> {
    std::fs::remove_file(path).map_err(Hdf5Error::Io)?;
    repack(input, path, &RepackOptions::new())
}

fn text(value: &str) -> AttrValue {
    AttrValue::VarLenString(value.into())
}
