//! Parquet, a batch of rows at a time. Every type becomes the JSON that is nearest to it: structs objects, lists and maps
//! likewise, times text, NaN null.

use std::{collections::VecDeque, fs::File, path::Path};

use arrow_array::RecordBatch;
use arrow_json::writer::{LineDelimited, WriterBuilder};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use crate::{Error, Format, Object, Result, Row, Rows, guard};

/// Bytes of a batch, as far as the file says how large its rows are.
const BATCH: i64 = 8 << 20;
/// Most rows of a batch.
const ROWS: i64 = 1024;

/// The rows of a file.
pub(crate) fn rows(path: &Path) -> Result<Rows> {
    let file = File::open(path).map_err(|error| Error::io(path, error))?;
    let opened = guard::guarded(path, || ParquetRecordBatchReaderBuilder::try_new(file))?;
    let builder = opened.map_err(|error| damaged(path, &error))?;
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
    let mut writer = WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, LineDelimited>(vec![]);
    let written = writer.write(batch).and_then(|()| writer.finish());
    written.map_err(|error| {
        format!("has a column that cannot be read as JSON ({error}); leave that column out")
    })?;
    let lines = writer.into_inner();
    let lines = lines
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    lines
        .map(|line| {
            serde_json::from_slice(line)
                .map_err(|error| format!("holds a row that is no JSON ({error})"))
        })
        .collect()
}

fn damaged(path: &Path, error: &dyn std::error::Error) -> Error {
    let problem =
        format!("is a Parquet file that cannot be read ({error}); fetch or write it again");
    Error::file(path, problem)
}
