//! Adding to `obsm` in a classic HDF5 file. Everything new goes to the end: the vectors, their header, and new tables of names
//! for the groups that change. Then the few places that point to the old tables are set to the new ones, the end of the file
//! last. Old tables and a replaced matrix stay where they are, unused; `h5repack` frees their space.

use std::{fs::OpenOptions, io, path::Path};

use super::{
    Vectors, encode,
    encode::ENTRY,
    parse::{Bytes, Group, Superblock},
};
use crate::{
    Error, Result,
    anndata::layout,
    hdf5::{Array, Element, Field, Number},
};

/// What became of it.
pub(super) enum Outcome<'a> {
    /// The matrix is in the file.
    Added,
    /// The file is as it was, and has other structures.
    OtherStructure(Vectors<'a>),
}

/// Where things are before anything is written.
struct Plan {
    superblock: Superblock,
    root: Group,
    /// The group `obsm`, with the place of its entry in the root group.
    obsm: Option<(Group, u64)>,
    /// Matrices that are fields of one dataset, as `obsm` was stored before anndata 0.7.
    fields: Vec<(Array, Field, Number)>,
}

/// Adds vectors to the file at `path`, a copy of `source`.
pub(super) fn add<'a>(
    source: &layout::File,
    path: &Path,
    vectors: Vectors<'a>,
) -> Result<Outcome<'a>> {
    let failed = |error| Error::io(path, error);
    let open = OpenOptions::new().read(true).write(true).open(path);
    let mut bytes = open.and_then(Bytes::new).map_err(failed)?;
    let plan = plan(source, &mut bytes).map_err(failed)?;
    let Some(plan) = plan else {
        return Ok(Outcome::OtherStructure(vectors));
    };
    let texts = bytes.append(&encode::collection()).map_err(failed)?;
    let mut named = vec![];
    for (array, field, number) in &plan.fields {
        if field.name != vectors.key {
            let header = convert(&mut bytes, path, array, field, *number, texts)?;
            named.push((field.name.clone().into_bytes(), header));
        }
    }
    named.push((
        vectors.key.as_bytes().to_vec(),
        matrix(&mut bytes, path, vectors, texts)?,
    ));
    link(&mut bytes, plan, named, texts).map_err(failed)?;
    Ok(Outcome::Added)
}

fn plan(source: &layout::File, bytes: &mut Bytes) -> io::Result<Option<Plan>> {
    let Some(superblock) = bytes.superblock()? else {
        return Ok(None);
    };
    let Some(header) = bytes.header_of(superblock.root_at)? else {
        return Ok(None);
    };
    let Some(root) = bytes.group(header)? else {
        return Ok(None);
    };
    let room = superblock.leaf * superblock.internal;
    let named = root.entries.iter().find(|(name, _, _)| name == b"obsm");
    let (mut obsm, mut fields) = (None, vec![]);
    if let Some((_, at, _)) = named {
        let at = *at;
        match source.root.array("obsm") {
            Ok(Some(array)) => match numeric_fields(&array) {
                Some(all) => fields = all,
                None => return Ok(None),
            },
            _ => {
                let header = bytes.header_of(at)?;
                let group = header.map(|header| bytes.group(header)).transpose()?;
                let Some(group) = group.flatten() else {
                    return Ok(None);
                };
                obsm = Some((group, at));
            }
        }
    }
    let most = obsm
        .as_ref()
        .map_or(fields.len(), |(group, _)| group.entries.len());
    let fits = most.max(root.entries.len()) < room;
    Ok(fits.then_some(Plan {
        superblock,
        root,
        obsm,
        fields,
    }))
}

/// The fields of a table of vectors; `None` where one holds no numbers.
fn numeric_fields(array: &Array) -> Option<Vec<(Array, Field, Number)>> {
    let Element::Record { fields, .. } = &array.element else {
        return None;
    };
    let fields = fields.iter().map(|field| match field.element {
        Element::Number(number) => Some((array.clone(), field.clone(), number)),
        _ => None,
    });
    fields.collect()
}

/// Writes the vectors at the end of the file, and the header of their dataset; gives the address of the header.
fn matrix(bytes: &mut Bytes, path: &Path, mut vectors: Vectors<'_>, texts: u64) -> Result<u64> {
    let data = bytes.end();
    let mut cell = 0;
    let mut gathered = vec![];
    let mut at = data;
    while let Some(vector) = vectors.next(cell, path)? {
        cell += 1;
        vector.iter().for_each(|x| gathered.extend(x.to_le_bytes()));
        if gathered.len() >= 1 << 20 {
            at = put(bytes, path, at, &mut gathered)?;
        }
    }
    put(bytes, path, at, &mut gathered)?;
    dataset(bytes, path, (vectors.cells, vectors.width), data, texts)
}

/// Writes a field of a table of records as a dataset of its own.
fn convert(
    bytes: &mut Bytes,
    path: &Path,
    array: &Array,
    field: &Field,
    number: Number,
    texts: u64,
) -> Result<u64> {
    let data = bytes.end();
    let mut at = data;
    let (rows, record) = (array.rows(), array.row_bytes().max(1));
    let step = ((1 << 24) / record).clamp(1, 1024);
    for start in (0..rows).step_by(step) {
        let raw = array.raw(start, step.min(rows - start))?;
        let mut gathered = vec![];
        for record in raw.chunks_exact(record) {
            let values = field.slice(record).unwrap_or_default();
            for value in values.chunks_exact(number.size) {
                #[expect(clippy::cast_possible_truncation, reason = "vectors are f32")]
                gathered.extend((number.float(value) as f32).to_le_bytes());
            }
        }
        at = put(bytes, path, at, &mut gathered)?;
    }
    dataset(bytes, path, (rows, field.count), data, texts)
}

/// Writes what was gathered, and gives the place after it.
fn put(bytes: &mut Bytes, path: &Path, at: u64, gathered: &mut Vec<u8>) -> Result<u64> {
    bytes
        .write(at, gathered)
        .map_err(|error| Error::io(path, error))?;
    let next = at + gathered.len() as u64;
    gathered.clear();
    Ok(next)
}

fn dataset(
    bytes: &mut Bytes,
    path: &Path,
    (rows, width): (usize, usize),
    data: u64,
    texts: u64,
) -> Result<u64> {
    // A dataset without bytes has no place.
    let data = if rows == 0 || width == 0 {
        encode::NOWHERE
    } else {
        data
    };
    let header = encode::dataset(rows as u64, width as u64, data, texts);
    bytes
        .append(&header)
        .map_err(|error| Error::io(path, error))
}

/// Names the new objects in `obsm`, which is made where there is no group of that name.
fn link(bytes: &mut Bytes, plan: Plan, named: Vec<(Vec<u8>, u64)>, texts: u64) -> io::Result<()> {
    let superblock = plan.superblock;
    match plan.obsm {
        Some((group, entry_at)) => {
            let table_at = group.table_at;
            let table = table(bytes, group, named, &superblock)?;
            bytes.write(table_at, &table)?;
            // The entry of a group repeats where its tables are.
            bytes.write(entry_at + 24, &table)?;
        }
        None => {
            let empty = Group {
                table_at: 0,
                entries: vec![],
                names: vec![0; 8],
            };
            let table = table(bytes, empty, named, &superblock)?;
            let (tree, heap) = table.split_at(8);
            let address = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
            let header = encode::group(address(tree), address(heap), texts);
            let header = bytes.append(&header)?;
            let table_at = plan.root.table_at;
            let named = vec![(b"obsm".to_vec(), header)];
            let table = self::table(bytes, plan.root, named, &superblock)?;
            bytes.write(table_at, &table)?;
            bytes.write(superblock.root_at + 24, &table)?;
        }
    }
    // The last thing that was appended is a multiple of 8 long, so this is how long the file is.
    let end = bytes.end();
    bytes.write(superblock.end_at, &end.to_le_bytes())
}

/// Writes the tables of a group with further names; gives the addresses of its B-tree and heap as they are stored.
fn table(
    bytes: &mut Bytes,
    group: Group,
    named: Vec<(Vec<u8>, u64)>,
    superblock: &Superblock,
) -> io::Result<[u8; 16]> {
    let Group { names, entries, .. } = group;
    let mut names = names;
    let mut entries: Vec<(Vec<u8>, [u8; ENTRY])> = entries
        .into_iter()
        .map(|(name, _, entry)| (name, entry))
        .collect();
    for (name, header) in named {
        encode::pad(&mut names);
        let place = names.len() as u64;
        names.extend(&name);
        names.push(0);
        encode::pad(&mut names);
        entries.retain(|(other, _)| *other != name);
        entries.push((name, encode::entry(place, header)));
    }
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    let data = bytes.append(&names)?;
    let heap = bytes.append(&encode::heap(names.len() as u64, data))?;
    let mut children = vec![];
    for part in entries.chunks(superblock.leaf) {
        let raw: Vec<[u8; ENTRY]> = part.iter().map(|(_, entry)| *entry).collect();
        let last = raw.last().and_then(|entry| entry.first_chunk().copied());
        let node = bytes.append(&encode::node(&raw, superblock.leaf))?;
        children.push((node, last.map_or(0, u64::from_le_bytes)));
    }
    let tree = bytes.append(&encode::tree(&children, superblock.internal))?;
    let mut table = [0; 16];
    let (first, second) = table.split_at_mut(8);
    first.copy_from_slice(&tree.to_le_bytes());
    second.copy_from_slice(&heap.to_le_bytes());
    Ok(table)
}
