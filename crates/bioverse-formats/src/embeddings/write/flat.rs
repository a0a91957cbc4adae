//! safetensors and npy: a header that says everything, then bare numbers.

use std::{
    io::{self, Write},
    path::Path,
};

use serde_json::{Value, json};

use super::{Checked, Dtype, Per, Table};
use crate::{Error, Result, embeddings::numbers::F16};

/// `header | numbers | lengths | ids`, in the layout of safetensors.
pub(super) fn safetensors(
    path: &Path,
    out: &mut impl Write,
    table: &Table,
    source: &Checked<'_>,
) -> Result<()> {
    let here = |error| Error::io(path, error);
    let mut id_bytes = 0;
    for head in source.heads() {
        id_bytes += head?.0.len() + 1;
    }
    let id_bytes = id_bytes.saturating_sub(1);
    let header = header(table, id_bytes).map_err(|problem| source.refuse(&problem))?;
    out.write_all(&(header.len() as u64).to_le_bytes())
        .map_err(here)?;
    out.write_all(header.as_bytes()).map_err(here)?;
    numbers(path, out, table, source)?;
    if let Per::Varying { .. } = table.per {
        for head in source.heads() {
            let length = i64::try_from(head?.1).unwrap_or(i64::MAX);
            out.write_all(&length.to_le_bytes()).map_err(here)?;
        }
    }
    ids(path, out, source)
}

/// The header, padded with spaces so that the numbers begin at a multiple of 8 bytes.
fn header(table: &Table, id_bytes: usize) -> Result<String, String> {
    let (n, d) = (table.records, table.width);
    let (name, shape) = match table.per {
        Per::One => ("embeddings", vec![n, d]),
        Per::Fixed(k) => ("soft_tokens", vec![n, k, d]),
        Per::Varying { total } => ("states", vec![total, d]),
    };
    let size = match table.dtype {
        Dtype::F32 => 4,
        Dtype::F16 => 2,
    };
    let count = shape.iter().try_fold(size, |n: usize, d| n.checked_mul(*d));
    let mut end = count.ok_or("the table is too large")?;
    let mut header = serde_json::Map::new();
    let about = table
        .about
        .iter()
        .map(|(key, text)| (key.clone(), Value::from(text.as_str())));
    header.insert("__metadata__".into(), Value::Object(about.collect()));
    let dtype = match table.dtype {
        Dtype::F32 => "F32",
        Dtype::F16 => "F16",
    };
    header.insert(
        name.into(),
        json!({"dtype": dtype, "shape": shape, "data_offsets": [0, end]}),
    );
    if let Per::Varying { .. } = table.per {
        let lengths = (end, end + 8 * n);
        let tensor = json!({"dtype": "I64", "shape": [n], "data_offsets": [lengths.0, lengths.1]});
        header.insert("lengths".into(), tensor);
        end = lengths.1;
    }
    let tensor = json!({"dtype": "U8", "shape": [id_bytes], "data_offsets": [end, end + id_bytes]});
    header.insert("ids".into(), tensor);
    let mut text = Value::Object(header).to_string();
    while !text.len().is_multiple_of(8) {
        text.push(' ');
    }
    Ok(text)
}

/// Every number, record by record.
fn numbers(path: &Path, out: &mut impl Write, table: &Table, source: &Checked<'_>) -> Result<()> {
    let mut rows = 0;
    let mut vectors = 0;
    for row in source.vectors() {
        let row = row?;
        put(out, &row, table.dtype).map_err(|error| Error::io(path, error))?;
        rows += 1;
        vectors += row.len() / table.width.max(1);
    }
    let expected = match table.per {
        Per::One => table.records,
        Per::Fixed(several) => several * table.records,
        Per::Varying { total } => total,
    };
    match rows == table.records && vectors == expected {
        true => Ok(()),
        false => Err(source.refuse(&format!(
            "{rows} records came in place of {}",
            table.records
        ))),
    }
}

fn put(out: &mut impl Write, row: &[f32], dtype: Dtype) -> io::Result<()> {
    let bytes: Vec<u8> = match dtype {
        Dtype::F32 => row.iter().flat_map(|value| value.to_le_bytes()).collect(),
        Dtype::F16 => {
            let halves = row.iter().map(|value| F16::from_f32(*value));
            halves.flat_map(F16::to_le_bytes).collect()
        }
    };
    out.write_all(&bytes)
}

/// One id a line, no line break after the last.
pub(super) fn ids(path: &Path, out: &mut impl Write, source: &Checked<'_>) -> Result<()> {
    let here = |error| Error::io(path, error);
    for (i, head) in source.heads().enumerate() {
        if i > 0 {
            out.write_all(b"\n").map_err(here)?;
        }
        out.write_all(head?.0.as_bytes()).map_err(here)?;
    }
    Ok(())
}

/// Version 1.0 of the format, as `numpy.save` writes it: the header ends at a multiple of 64 bytes.
pub(super) fn npy(
    path: &Path,
    out: &mut impl Write,
    table: &Table,
    source: &Checked<'_>,
) -> Result<()> {
    let shape = match table.per {
        Per::Fixed(several) => format!("{}, {several}, {}", table.records, table.width),
        Per::One | Per::Varying { .. } => format!("{}, {}", table.records, table.width),
    };
    let descr = match table.dtype {
        Dtype::F32 => "<f4",
        Dtype::F16 => "<f2",
    };
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
    const BEFORE: usize = "\u{93}NUMPY".len() - 1 + 2 + 2;
    while !(BEFORE + text.len() + 1).is_multiple_of(64) {
        text.push(' ');
    }
    text.push('\n');
    let mut start = b"\x93NUMPY\x01\x00".to_vec();
    let length =
        u16::try_from(text.len()).map_err(|_| source.refuse("its npy header is too long"))?;
    start.extend(length.to_le_bytes());
    start.extend(text.as_bytes());
    out.write_all(&start)
        .map_err(|error| Error::io(path, error))?;
    numbers(path, out, table, source)
}
