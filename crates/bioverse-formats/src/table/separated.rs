//! CSV and TSV. Fields are text, as they stand; quotes as in RFC 4180.

use std::{
    io::{BufRead, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;

use super::{
    bounded::{Bounded, Taken},
    header,
};
use crate::{Error, Format, Object, Options, Result, Row, Rows, lines, source};

/// What separates the fields of a line: what it holds most of, quoted fields left out; bars where it holds nothing else.
pub(crate) fn delimiter(line: &str) -> u8 {
    let mut quoted = false;
    let mut counts = [(b';', 0), (b'\t', 0), (b',', 0)];
    let mut bars = false;
    for byte in line.bytes() {
        quoted ^= byte == b'"';
        bars |= byte == b'|' && !quoted;
        let counted = counts.iter_mut().find(|(delimiter, _)| *delimiter == byte);
        if let (false, Some((_, count))) = (quoted, counted) {
            *count += 1;
        }
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    match most {
        // Bars are also within names (`sp|P69905|HBA_HUMAN`), so they count only where nothing else does.
        None | Some((_, 0)) if bars => b'|',
        None => b',',
        Some((delimiter, _)) => delimiter,
    }
}

/// The data rows of a file, numbered from 1.
pub(crate) fn rows(path: &Path, format: Format, options: &Options) -> Result<Rows> {
    let mut source = source::open(path)?;
    let head = source
        .fill_buf()
        .map_err(|error| source::broken(path, &error))?;
    let bom = head.starts_with(b"\xef\xbb\xbf");
    let head = String::from_utf8_lossy(head).into_owned();
    if bom {
        source.consume(3);
    }
    let first = head
        .trim_start_matches('\u{feff}')
        .lines()
        .find(|line| !line.trim().is_empty());
    let delimiter = match format {
        Format::Tsv => b'\t',
        _ => delimiter(first.unwrap_or_default()),
    };
    let taken = Taken::default();
    let bounded = Bounded::new(source, taken.clone(), delimiter);
    let reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .from_reader(bounded);
    let mut table = Table {
        path: path.into(),
        reader,
        taken,
        names: Arc::default(),
        number: 0,
        pending: None,
    };
    table.begin(options.header)?;
    Ok(Rows::new(path, format, None, table))
}

struct Table<R> {
    path: PathBuf,
    reader: csv::Reader<R>,
    taken: Taken,
    names: Arc<[String]>,
    number: usize,
    /// The first line, where it is a row.
    pending: Option<csv::StringRecord>,
}

impl<R: Read> Table<R> {
    /// Reads the first line: names, or a row.
    fn begin(&mut self, header: Option<bool>) -> Result<()> {
        let Some(first) = self.record()? else {
            return Ok(());
        };
        if header.unwrap_or_else(|| header::is_one(&first)) {
            self.names =
                header::names(&first).map_err(|problem| Error::file(&self.path, problem))?;
        } else {
            self.names = header::numbered(first.len());
            self.pending = Some(first);
        }
        Ok(())
    }

    /// The next record as the file holds it.
    fn record(&mut self) -> Result<Option<csv::StringRecord>> {
        let mut record = csv::StringRecord::new();
        self.taken.reset();
        match self.reader.read_record(&mut record) {
            Ok(true) if self.taken.unclosed() => Err(self.open_quote()),
            Ok(true) => Ok(Some(record)),
            Ok(false) => Ok(None),
            Err(error) => Err(self.broken(error)),
        }
    }

    /// The error of the last record, which ended with the file, inside of quotes.
    fn open_quote(&self) -> Error {
        let problem = "opens a quote that is never closed; close it, or write the quote twice inside of quotes";
        match self.names.is_empty() {
            true => Error::file(&self.path, format!("has a first line that {problem}")),
            false => Error::row(&self.path, self.number, problem),
        }
    }

    fn broken(&self, error: csv::Error) -> Error {
        let (path, number) = (self.path.as_path(), self.number);
        match error.into_kind() {
            csv::ErrorKind::Utf8 { .. } if self.names.is_empty() => {
                Error::file(path, format!("has a first line that {}", lines::NOT_TEXT))
            }
            csv::ErrorKind::Utf8 { .. } => Error::row(path, number, lines::NOT_TEXT),
            csv::ErrorKind::Io(error) if error.kind() == std::io::ErrorKind::FileTooLarge => {
                Error::file(
                    path,
                    format!(
                        "row {number} is longer than {} MiB; perhaps a quote is opened there and never closed",
                        lines::LIMIT >> 20
                    ),
                )
            }
            csv::ErrorKind::Io(error) => source::broken(path, &error),
            kind => Error::row(path, number, format!("cannot be read ({kind:?})")),
        }
    }

    fn row(&mut self) -> Result<Option<Row>> {
        self.number += 1;
        let record = match self.pending.take() {
            Some(record) => record,
            None => match self.record()? {
                Some(record) => record,
                None => return Ok(None),
            },
        };
        if record.len() != self.names.len() {
            let (len, wanted) = (record.len(), self.names.len());
            let plural = if len == 1 { "" } else { "s" };
            let problem = format!(
                "has {len} field{plural}, but the first line has {wanted}; quote fields that contain the separator"
            );
            return Err(Error::row(&self.path, self.number, problem));
        }
        let fields = record.iter().map(|field| Value::String(field.to_owned()));
        Ok(Some(Row {
            number: self.number,
            object: self.names.iter().cloned().zip(fields).collect::<Object>(),
        }))
    }
}

impl<R: Read> Iterator for Table<R> {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Result<Row>> {
        self.row().transpose()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn what_separates_is_counted_outside_of_quotes() {
        for (line, expected) in [
            ("a,b", b','),
            ("a\tb", b'\t'),
            ("a;b", b';'),
            ("a;b,c;d", b';'),
            ("\"a,b,c\"\td", b'\t'),
            ("alone", b','),
            ("", b','),
        ] {
            assert_eq!(delimiter(line), expected, "{line}");
        }
    }

    #[test]
    fn a_quote_that_is_never_closed_does_not_fill_the_memory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        let mut content = b"a,b\n1,2\n3,\"".to_vec();
        content.resize(lines::LIMIT + (1 << 20), b'x');
        std::fs::write(&path, content).unwrap();
        let rows: Vec<Result<Row>> = rows(&path, Format::Csv, &Options::default())
            .unwrap()
            .collect();
        assert_eq!(rows.len(), 2);
        let error = rows[1].as_ref().unwrap_err().to_string();
        assert!(error.contains("row 2 is longer than 64 MiB"), "{error}");
    }
}
