//! Vectors in Parquet: one column of lists of equal length, one of ids, batch by batch.

use std::{fs::File, path::Path};

use arrow_array::{
    Array, ArrayRef, GenericListArray, OffsetSizeTrait, RecordBatch,
    cast::AsArray,
    types::{
        Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
        UInt8Type, UInt16Type, UInt32Type, UInt64Type,
    },
};
use arrow_schema::{DataType, Schema};
use parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};

use super::{
    Choice,
    vectors::{Vectors, numbered},
};
use crate::{Error, Result, codec, guard::guarded};

/// Rows decoded at a time.
const BATCH: usize = 1024;

/// Damaged pages can make the decoder panic.
pub(super) fn read(path: &Path, choice: &Choice) -> Result<Vectors> {
    guarded(path, || decode(path, choice))?
}

fn decode(path: &Path, choice: &Choice) -> Result<Vectors> {
    let broken = |error: &dyn std::fmt::Display| {
        Error::file(
            path,
            format!("is no whole Parquet file ({error}); write or fetch it again"),
        )
    };
    let file = File::open(path).map_err(|error| Error::io(path, error))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| broken(&error))?;
    codec::check(path, builder.metadata())?;
    let schema = builder.schema().clone();
    let vectors = vector_column(path, &schema, choice.key.as_deref())?;
    let ids = id_column(path, &schema, choice.id_field.as_deref())?;
    let mut wanted: Vec<usize> = ids.into_iter().chain([vectors]).collect();
    wanted.sort_unstable();
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
    let batches = builder
        .with_projection(mask)
        .with_batch_size(BATCH)
        .build()
        .map_err(|error| broken(&error))?;
    let name = |at: usize| schema.field(at).name().clone();
    let mut table = Growing::new(path, name(vectors), ids.map(name));
    for batch in batches {
        table.add(&batch.map_err(|error| broken(&error))?)?;
    }
    table.finish()
}

/// What was read so far.
struct Growing<'a> {
    path: &'a Path,
    vectors: String,
    ids: Option<String>,
    names: Vec<String>,
    values: Vec<f32>,
    width: Option<usize>,
    rows: usize,
}

impl<'a> Growing<'a> {
    fn new(path: &'a Path, vectors: String, ids: Option<String>) -> Self {
        Self {
            path,
            vectors,
            ids,
            names: vec![],
            values: vec![],
            width: None,
            rows: 0,
        }
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        if let Some(name) = &self.ids {
            let column = self.column(batch, name)?;
            for row in 0..batch.num_rows() {
                let id = text(column, row).ok_or_else(|| {
                    self.refuse(
                        self.rows + row,
                        format!("has no id in column `{name}`; every vector needs one"),
                    )
                })?;
                self.names.push(id);
            }
        }
        let column = self.column(batch, &self.vectors)?;
        for row in 0..batch.num_rows() {
            let items = items(column, row).ok_or_else(|| {
                self.refuse(
                    self.rows + row,
                    format!(
                        "has no vector in column `{}`; leave the row out",
                        self.vectors
                    ),
                )
            })?;
            self.push(self.rows + row, &items)?;
        }
        self.rows += batch.num_rows();
        Ok(())
    }

    fn push(&mut self, row: usize, items: &ArrayRef) -> Result<()> {
        let width = *self.width.get_or_insert(items.len());
        if items.len() != width {
            return Err(self.refuse(
                row,
                format!(
                    "has {} numbers in column `{}`, but the rows before it have {width}; all vectors must be equally long",
                    items.len(),
                    self.vectors
                ),
            ));
        }
        if items.null_count() > 0 {
            return Err(self.refuse(
                row,
                format!(
                    "has a vector with missing numbers in column `{}`",
                    self.vectors
                ),
            ));
        }
        if let Some(items) = items.as_primitive_opt::<Float32Type>() {
            self.values.extend_from_slice(items.values());
        } else if let Some(items) = items.as_primitive_opt::<Float64Type>() {
            self.values
                .extend(items.values().iter().map(|value| *value as f32));
        } else if let Some(items) = items.as_primitive_opt::<Float16Type>() {
            self.values
                .extend(items.values().iter().map(|value| value.to_f32()));
        }
        Ok(())
    }

    fn column<'b>(&self, batch: &'b RecordBatch, name: &str) -> Result<&'b ArrayRef> {
        batch
            .column_by_name(name)
            .ok_or_else(|| Error::file(self.path, format!("has no column `{name}`")))
    }

    fn refuse(&self, row: usize, problem: String) -> Error {
        Error::file(self.path, format!("row {} {problem}", row + 1))
    }

    fn finish(self) -> Result<Vectors> {
        let ids = match self.ids {
            Some(_) => self.names,
            None => numbered(self.rows),
        };
        Vectors::new(self.path, ids, self.width.unwrap_or(0), self.values)
    }
}

/// The list of one row; `None` when it is null.
fn items(column: &ArrayRef, row: usize) -> Option<ArrayRef> {
    fn of<O: OffsetSizeTrait>(lists: &GenericListArray<O>, row: usize) -> ArrayRef {
        lists.value(row)
    }
    if column.is_null(row) {
        return None;
    }
    if let Some(lists) = column.as_fixed_size_list_opt() {
        return Some(lists.value(row));
    }
    let long = column.as_list_opt::<i64>().map(|lists| of(lists, row));
    long.or_else(|| column.as_list_opt::<i32>().map(|lists| of(lists, row)))
}

/// An id as text; `None` when it is null or empty.
fn text(column: &ArrayRef, row: usize) -> Option<String> {
    if column.is_null(row) {
        return None;
    }
    if let Some(words) = column.as_any_dictionary_opt() {
        let key = *words.normalized_keys().get(row)?;
        return (key < words.values().len()).then(|| text(words.values(), key))?;
    }
    if let Some(texts) = column.as_string_opt::<i32>() {
        return Some(texts.value(row).to_owned());
    }
    if let Some(texts) = column.as_string_opt::<i64>() {
        return Some(texts.value(row).to_owned());
    }
    if let Some(texts) = column.as_string_view_opt() {
        return Some(texts.value(row).to_owned());
    }
    macro_rules! whole {
        ($($kind:ty),*) => {
            $(if let Some(numbers) = column.as_primitive_opt::<$kind>() {
                return Some(numbers.value(row).to_string());
            })*
        };
    }
    whole!(
        Int64Type, Int32Type, Int16Type, Int8Type, UInt64Type, UInt32Type, UInt16Type, UInt8Type
    );
    None
}

/// The column of vectors: the one named, else the only one of lists of floats.
fn vector_column(path: &Path, schema: &Schema, key: Option<&str>) -> Result<usize> {
    let found = candidates(schema, is_vectors);
    match (key, found.as_slice()) {
        (Some(key), _) => named(path, schema, key, &found, "lists of floats"),
        (None, &[only]) => Ok(only),
        (None, []) => Err(Error::file(
            path,
            format!(
                "has no column of lists of floats (it has: {})",
                listed(schema, None)
            ),
        )),
        (None, several) => Err(Error::file(
            path,
            format!(
                "has several columns of vectors: {}; name one with `embeddings_key`",
                listed(schema, Some(several))
            ),
        )),
    }
}

/// The column of ids: the one named, else the only one of strings, one called `id`, the only one of whole numbers, or none.
fn id_column(path: &Path, schema: &Schema, name: Option<&str>) -> Result<Option<usize>> {
    let texts = candidates(schema, is_text);
    let numbers = candidates(schema, DataType::is_integer);
    let all = [texts.clone(), numbers.clone()].concat();
    if let Some(name) = name {
        return named(path, schema, name, &all, "strings or whole numbers").map(Some);
    }
    let called_id = |at: &&usize| schema.field(**at).name().eq_ignore_ascii_case("id");
    match (texts.as_slice(), numbers.as_slice()) {
        (&[only], _) | ([], &[only]) => Ok(Some(only)),
        ([], []) => Ok(None),
        _ => match all.iter().find(called_id) {
            Some(id) => Ok(Some(*id)),
            None => Err(Error::file(
                path,
                format!(
                    "has several columns that could hold the ids: {}; name one with `id_field`",
                    listed(schema, Some(&all))
                ),
            )),
        },
    }
}

fn named(path: &Path, schema: &Schema, name: &str, good: &[usize], kind: &str) -> Result<usize> {
    match schema.index_of(name) {
        Ok(at) if good.contains(&at) => Ok(at),
        Ok(at) => Err(Error::file(
            path,
            format!(
                "column `{name}` holds {}, not {kind}",
                schema.field(at).data_type()
            ),
        )),
        Err(_) => Err(Error::file(
            path,
            format!("has no column `{name}` (it has: {})", listed(schema, None)),
        )),
    }
}

fn candidates(schema: &Schema, good: impl Fn(&DataType) -> bool) -> Vec<usize> {
    let fields = schema.fields().iter().enumerate();
    let good = fields.filter(|(_, field)| good(field.data_type()));
    good.map(|(at, _)| at).collect()
}

fn is_vectors(kind: &DataType) -> bool {
    match kind {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            item.data_type().is_floating()
        }
        _ => false,
    }
}

fn is_text(kind: &DataType) -> bool {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, words) => is_text(words),
        _ => false,
    }
}

fn listed(schema: &Schema, only: Option<&[usize]>) -> String {
    let wanted = |at: &usize| only.is_none_or(|only| only.contains(at));
    let names: Vec<&str> = (0..schema.fields().len())
        .filter(wanted)
        .map(|at| schema.field(at).name().as_str())
        .collect();
    names.join(", ")
}
