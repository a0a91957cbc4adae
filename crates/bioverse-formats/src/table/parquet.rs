//! Parquet, a batch of rows at a time. Every type becomes the JSON that is nearest to it: structs objects, lists and maps
//! likewise, times text, NaN null.

use std::{collections::VecDeque, fs::File, path::Path, sync::Arc};

use arrow_array::RecordBatch;
use arrow_json::writer::{LineDelimited, WriterBuilder};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Fields, Schema};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};

use crate::{Error, Format, Object, Result, Row, Rows, codec, guard};

/// Bytes of a batch, as far as the file says how large its rows are.
const BATCH: i64 = 8 << 20;
/// Most rows of a batch.
const ROWS: i64 = 1024;

/// The rows of a file.
pub(crate) fn rows(path: &Path) -> Result<Rows> {
    let file = File::open(path).map_err(|error| Error::io(path, error))?;
    let opened = guard::guarded(path, || metadata(&file))?;
    let opened = opened.map_err(|error| damaged(path, &error))?;
    codec::check(path, opened.metadata())?;
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, opened);
    let metadata = builder.metadata();
    let total = metadata.file_metadata().num_rows().max(0);
    let groups = metadata.row_groups().iter();
    let bytes = groups.fold(0i64, |sum, group| {
        sum.saturating_add(group.total_byte_size().max(0))
    });
    let each = (bytes / total.max(1)).max(1);
    let batch = (BATCH / each).clamp(1, ROWS).min(total.max(1));
    let builder = builder.with_batch_size(usize::try_from(batch).unwrap_or(1));
    let built = guard::guarded(path, || builder.build())?;
    let batches = Batches {
        path: path.into(),
        reader: built.map_err(|error| damaged(path, &error))?,
        waiting: VecDeque::new(),
        number: 0,
    };
    Ok(Rows::new(
        path,
        Format::Parquet,
        usize::try_from(total).ok(),
        batches,
    ))
}

/// What the file says of itself, with times of any zone read as those of UTC.
fn metadata(file: &File) -> parquet::errors::Result<ArrowReaderMetadata> {
    let read = ArrowReaderMetadata::load(file, ArrowReaderOptions::new())?;
    let fields = in_utc(read.schema().fields());
    if fields == *read.schema().fields() {
        return Ok(read);
    }
    let schema = Schema::new_with_metadata(fields, read.schema().metadata().clone());
    let options = ArrowReaderOptions::new().with_schema(Arc::new(schema));
    ArrowReaderMetadata::try_new(read.metadata().clone(), options)
}

/// Times with a zone are stored in UTC. Names of zones need tables of the world's time, which the writer of JSON has not; as
/// an offset it knows UTC.
fn in_utc(fields: &Fields) -> Fields {
    fields.iter().map(field_in_utc).collect()
}

fn field_in_utc(field: &FieldRef) -> FieldRef {
    let inner = |field: &FieldRef| field_in_utc(field);
    let kind = match field.data_type() {
        DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, Some("+00:00".into())),
        DataType::Struct(fields) => DataType::Struct(in_utc(fields)),
        DataType::List(item) => DataType::List(inner(item)),
        DataType::LargeList(item) => DataType::LargeList(inner(item)),
        DataType::FixedSizeList(item, length) => DataType::FixedSizeList(inner(item), *length),
        DataType::Map(entry, sorted) => DataType::Map(inner(entry), *sorted),
        _ => return field.clone(),
    };
    Arc::new(Field::clone(field).with_data_type(kind))
}

struct Batches {
    path: std::path::PathBuf,
    reader: ParquetRecordBatchReader,
    waiting: VecDeque<Object>,
    number: usize,
}

impl Batches {
    fn row(&mut self) -> Result<Option<Row>> {
        loop {
            if let Some(object) = self.waiting.pop_front() {
                self.number += 1;
                let number = self.number;
                return Ok(Some(Row { number, object }));
            }
            let reader = &mut self.reader;
            let batch = match guard::guarded(&self.path, || reader.next())? {
                None => return Ok(None),
                Some(batch) => batch.map_err(|error| damaged(&self.path, &error))?,
            };
            self.waiting = guard::guarded(&self.path, || objects(&batch))?
                .map_err(|problem| Error::file(&self.path, problem))?;
        }
    }
}

impl Iterator for Batches {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Result<Row>> {
        self.row().transpose()
    }
}

/// The rows of a batch as JSON.
fn objects(batch: &RecordBatch) -> Result<VecDeque<Object>, String> {
    if batch.num_columns() == 0 {
        return Err("has no columns; write it again with the columns that hold the records".into());
    }
    let text = json(batch).map_err(|error| {
        let name = unreadable(batch).map_or_else(String::new, |name| format!(" `{name}`"));
        format!("has a column{name} that cannot be read as JSON ({error}); leave that column out")
    })?;
    let lines = text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    lines
        .map(|line| {
            serde_json::from_slice(line)
                .map_err(|error| format!("holds a row that is no JSON ({error})"))
        })
        .collect()
}

/// A row a line.
fn json(batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let mut writer = WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, LineDelimited>(vec![]);
    writer.write(batch)?;
    writer.finish()?;
    Ok(writer.into_inner())
}

/// The first column that cannot become JSON.
fn unreadable(batch: &RecordBatch) -> Option<String> {
    let schema = batch.schema();
    let bad = |at: &usize| batch.project(&[*at]).and_then(|one| json(&one)).is_err();
    let at = (0..batch.num_columns()).find(bad)?;
    Some(schema.fields().get(at)?.name().clone())
}

fn damaged(path: &Path, error: &dyn std::error::Error) -> Error {
    let problem =
        format!("is a Parquet file that cannot be read ({error}); fetch or write it again");
    Error::file(path, problem)
}
