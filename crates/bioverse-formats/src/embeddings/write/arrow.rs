//! Parquet: `id` and `embedding`, groups of rows of bounded size.

use std::{io::Write, path::Path, sync::Arc};

use arrow_array::{
    ArrayRef, FixedSizeListArray, Float16Array, Float32Array, RecordBatch, StringArray,
};
use arrow_schema::{DataType, Field, Schema};
use parquet::{
    arrow::ArrowWriter,
    basic::Compression,
    errors::ParquetError,
    file::{metadata::KeyValue, properties::WriterProperties},
    schema::types::ColumnPath,
};

use super::{Checked, Dtype, Table};
use crate::{Error, Result, embeddings::numbers::F16};

/// Numbers of a batch and of a group of rows: 1 and 16 million, so 4 and 64 MB as f32.
const BATCH: usize = 1 << 20;
const GROUP: usize = 1 << 24;

pub(super) fn parquet(
    path: &Path,
    out: &mut (impl Write + Send),
    table: &Table,
    source: &Checked<'_>,
) -> Result<()> {
    let width = source.row_width();
    let columns = Columns::new(width, table.dtype).map_err(|problem| source.refuse(&problem))?;
    let failed = |error| failed(path, error);
    let properties = properties(table, width);
    let mut writer =
        ArrowWriter::try_new(out, columns.schema.clone(), Some(properties)).map_err(failed)?;
    let most = (BATCH / width.max(1)).max(1);
    let (mut ids, mut values, mut rows) = (vec![], vec![], 0);
    for (head, row) in source.heads().zip(source.vectors()) {
        ids.push(head?.0);
        values.extend(row?);
        rows += 1;
        if ids.len() == most {
            let batch = columns.batch(std::mem::take(&mut ids), std::mem::take(&mut values));
            writer
                .write(&batch.map_err(|problem| source.refuse(&problem))?)
                .map_err(failed)?;
        }
    }
    if !ids.is_empty() {
        let batch = columns.batch(ids, values);
        writer
            .write(&batch.map_err(|problem| source.refuse(&problem))?)
            .map_err(failed)?;
    }
    if rows != table.records {
        return Err(source.refuse(&format!(
            "{rows} records came in place of {}",
            table.records
        )));
    }
    writer.close().map(drop).map_err(failed)
}

struct Columns {
    schema: Arc<Schema>,
    item: Arc<Field>,
    width: i32,
    dtype: Dtype,
}

impl Columns {
    fn new(width: usize, dtype: Dtype) -> Result<Self, String> {
        let width = i32::try_from(width)
            .map_err(|_| format!("vectors of {width} numbers are too wide for Parquet"))?;
        let number = match dtype {
            Dtype::F32 => DataType::Float32,
            Dtype::F16 => DataType::Float16,
        };
        let item = Arc::new(Field::new("item", number, false));
        let list = DataType::FixedSizeList(Arc::clone(&item), width);
        let schema = Arc::new(Schema::new(vec![
            Field::new("id", DataType::Utf8, false),
            Field::new("embedding", list, false),
        ]));
        Ok(Self {
            schema,
            item,
            width,
            dtype,
        })
    }

    fn batch(&self, ids: Vec<String>, values: Vec<f32>) -> Result<RecordBatch, String> {
        let values: ArrayRef = match self.dtype {
            Dtype::F32 => Arc::new(Float32Array::from(values)),
            Dtype::F16 => Arc::new(Float16Array::from_iter_values(
                values.into_iter().map(F16::from_f32),
            )),
        };
        let said = |error: arrow_schema::ArrowError| error.to_string();
        let lists = FixedSizeListArray::try_new(Arc::clone(&self.item), self.width, values, None)
            .map_err(said)?;
        let columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from(ids)), Arc::new(lists)];
        RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(said)
    }
}

/// Floats hardly repeat, so a dictionary of them only costs time; and what compresses them is slow for what it gains.
fn properties(table: &Table, width: usize) -> WriterProperties {
    let numbers = ColumnPath::from(vec!["embedding".into(), "list".into(), "item".into()]);
    let about = table.about.iter();
    let about = about.map(|(key, text)| KeyValue::new(key.clone(), text.clone()));
    WriterProperties::builder()
        .set_created_by("bioverse".into())
        .set_compression(Compression::SNAPPY)
        .set_column_compression(numbers.clone(), Compression::UNCOMPRESSED)
        .set_column_dictionary_enabled(numbers, false)
        .set_max_row_group_row_count(Some((GROUP / width.max(1)).max(1)))
        .set_key_value_metadata(Some(about.collect()))
        .build()
}

/// A full disk must stay recognisable.
fn failed(path: &Path, error: ParquetError) -> Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<std::io::Error>() {
            Ok(error) => Error::io(path, *error),
            Err(other) => Error::file(path, format!("cannot be written: {other}")),
        },
        other => Error::file(path, format!("cannot be written: {other}")),
    }
}
