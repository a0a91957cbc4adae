//! Matrices of `obsm`: a vector for every cell.

use std::path::Path;

use super::{frame::Frame, layout::File, single};
use crate::{
    Error, Result,
    hdf5::{Array, Element, Field, Node},
};

/// A matrix of `obsm`, row by row.
#[derive(Debug)]
pub struct Obsm {
    /// Names of the cells.
    pub ids: Vec<String>,
    /// Width of a row.
    pub width: usize,
    /// `[ids.len(), width]`, row-major.
    pub values: Vec<f32>,
}

/// Reads `obsm[key]`; without a key the only one there is. Arrays of any number type and tables of numbers are read.
///
/// # Errors
/// No AnnData file; no such key (the error lists those there are); a matrix that is not one of numbers with a row for every
/// cell.
///
/// ```no_run
/// let pca = bioverse_formats::anndata::read_obsm("cells.h5ad".as_ref(), Some("X_pca"))?;
/// assert_eq!(pca.values.len(), pca.ids.len() * pca.width);
/// # Ok::<(), bioverse_formats::Error>(())
/// ```
pub fn read_obsm(path: &Path, key: Option<&str>) -> Result<Obsm> {
    let file = File::open(path)?;
    let ids = file.obs()?.names()?;
    let (width, values) = match file.root.get("obsm")? {
        Some(Node::Folder(folder)) => {
            let key = choose(&file, folder.names()?, key)?;
            match folder.get(&key)? {
                Some(Node::Array(array)) => numbers(&array)?,
                Some(Node::Folder(table)) if table.text("_index").is_some() => {
                    table_of(Frame::open(&folder, &key, None)?)?
                }
                _ => return Err(unread(&file, &key)),
            }
        }
        Some(Node::Array(array)) => {
            let fields = match &array.element {
                Element::Record { fields, .. } => fields.clone(),
                _ => return Err(array.error("is no table; write the file again with anndata")),
            };
            let names = fields.iter().map(|field| field.name.clone()).collect();
            let key = choose(&file, names, key)?;
            let field = fields.into_iter().find(|field| field.name == key);
            let field = field.ok_or_else(|| unread(&file, &key))?;
            recorded(&array, &field)?
        }
        None => {
            choose(&file, vec![], key)?;
            (0, vec![])
        }
    };
    if Some(values.len()) != ids.len().checked_mul(width) {
        return Err(file.root.container().error(format!(
            "the matrix of `obsm` has {} values of width {width}, but there are {} cells; write the file again",
            values.len(),
            ids.len()
        )));
    }
    Ok(Obsm { ids, width, values })
}

fn choose(file: &File, names: Vec<String>, key: Option<&str>) -> Result<String> {
    let container = file.root.container();
    let list = match names.is_empty() {
        true => "`obsm` is empty".to_owned(),
        false => format!("`obsm` has: {}", names.join(", ")),
    };
    match (key, names.as_slice()) {
        (Some(key), names) if names.iter().any(|name| name == key) => Ok(key.to_owned()),
        (Some(key), _) => Err(container.error(format!("there is no obsm[`{key}`]; {list}"))),
        (None, [only]) => Ok(only.clone()),
        (None, []) => Err(container.error(
            "there are no vectors: `obsm` is empty; compute some (for example with scanpy.pp.pca), or use another file",
        )),
        (None, _) => Err(container.error(format!("say which vectors to use with `embeddings_key`; {list}"))),
    }
}

fn unread(file: &File, key: &str) -> Error {
    file.root.container().error(format!(
        "obsm[`{key}`] is neither an array nor a table of numbers; in Python, make it one (for example with .toarray()) and \
         write the file again"
    ))
}

fn numbers(array: &Array) -> Result<(usize, Vec<f32>)> {
    let number = array.number()?;
    let values = array.windows(|start, count| {
        let raw = array.raw(start, count)?;
        let all = raw.chunks_exact(number.size);
        Ok(all.map(|bytes| narrow(number.float(bytes))).collect())
    })?;
    Ok((array.width(), values))
}

fn recorded(array: &Array, field: &Field) -> Result<(usize, Vec<f32>)> {
    let Element::Number(number) = field.element else {
        return Err(array.error(&format!("field `{}` holds no numbers", field.name)));
    };
    let record = array.row_bytes().max(1);
    let values = array.windows(|start, count| {
        let raw = array.raw(start, count)?;
        let records = raw.chunks_exact(record);
        let fields = records.flat_map(|record| {
            let bytes = field.slice(record).unwrap_or_default();
            bytes.chunks_exact(number.size)
        });
        Ok(fields.map(|bytes| narrow(number.float(bytes))).collect())
    })?;
    Ok((field.count, values))
}

fn table_of(mut table: Frame) -> Result<(usize, Vec<f32>)> {
    let width = table.column_names().count();
    let mut values = vec![];
    while width > 0 && values.len() / width < table.rows {
        let start = values.len() / width;
        let (index, columns) = table.read(start, 1024.min(table.rows - start))?;
        for row in 0..index.len() {
            let cells = columns.iter().map(|(_, column)| column.get(row));
            values.extend(cells.map(|value| value.map_or(f32::NAN, single)));
        }
    }
    Ok((width, values))
}

#[expect(clippy::cast_possible_truncation, reason = "vectors are f32")]
fn narrow(value: f64) -> f32 {
    value as f32
}
