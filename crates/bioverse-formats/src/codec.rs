//! Compressions of Parquet that are not read: a file that uses one is whole, and is not to be told damaged. What its columns
//! mean is unknown here.

use std::path::Path;

use parquet::{basic::Compression, file::metadata::ParquetMetaData};

use crate::{Error, Result};

/// Refuses a file with a column in a compression that is not read, by its name.
pub(crate) fn check(path: &Path, metadata: &ParquetMetaData) -> Result<()> {
    let groups = metadata.row_groups().iter();
    let columns = groups.flat_map(|group| group.columns());
    let unread = columns.filter_map(|column| match column.compression() {
        Compression::BROTLI(_) => Some((column, "Brotli")),
        Compression::LZO => Some((column, "LZO")),
        _ => None,
    });
    match unread.into_iter().next() {
        None => Ok(()),
        Some((column, name)) => Err(Error::file(
            path,
            format!(
                "compresses its column `{}` with {name}, which is not read; write it again with compression=\"zstd\"",
                column.column_path().string()
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int64Array, RecordBatch};
    use parquet::{
        arrow::ArrowWriter,
        basic::{BrotliLevel, ZstdLevel},
        file::metadata::ParquetMetaDataWriter,
    };

    use super::*;
    use crate::embeddings;

    /// What a file of one column says of itself, had it been compressed so.
    fn metadata(compression: Compression) -> ParquetMetaData {
        let column = Arc::new(Int64Array::from(vec![1])) as ArrayRef;
        let batch = RecordBatch::try_from_iter([("n", column)]).unwrap();
        let mut writer = ArrowWriter::try_new(vec![], batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        let metadata = writer.close().unwrap();
        let group = metadata.row_group(0).clone();
        let column = group.column(0).clone().into_builder();
        let column = column.set_compression(compression).build().unwrap();
        let group = group.into_builder().set_column_metadata(vec![column]);
        let groups = vec![group.build().unwrap()];
        metadata.into_builder().set_row_groups(groups).build()
    }

    #[test]
    fn a_compression_that_is_not_read_is_no_damage() {
        let path = Path::new("x.parquet");
        let good = Compression::ZSTD(ZstdLevel::default());
        check(path, &metadata(good)).unwrap();
        let brotli = Compression::BROTLI(BrotliLevel::default());
        for (compression, name) in [(brotli, "Brotli"), (Compression::LZO, "LZO")] {
            let error = check(path, &metadata(compression)).unwrap_err().to_string();
            assert_eq!(
                error,
                format!(
                    "x.parquet: compresses its column `n` with {name}, which is not read; write it again with compression=\"zstd\""
                )
            );
        }
    }

    #[test]
    fn both_readers_say_so() {
        let metadata = metadata(Compression::BROTLI(BrotliLevel::default()));
        let mut bytes = b"PAR1".to_vec();
        let writer = ParquetMetaDataWriter::new(&mut bytes, &metadata);
        writer.finish().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.parquet");
        std::fs::write(&path, bytes).unwrap();
        let rows = crate::open(&path, &crate::Options::default()).map(drop);
        let vectors = embeddings::read(&path, &embeddings::Choice::default()).map(drop);
        for read in [rows, vectors] {
            let error = read.unwrap_err().to_string();
            assert!(error.contains("`n` with Brotli"), "{error}");
        }
    }
}
