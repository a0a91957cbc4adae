//! JSONL, CSV and TSV, plain or gzipped → objects. What the format is, is read from the content first and from the
//! name second. What the fields mean is unknown here.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use flate2::read::MultiGzDecoder;
use serde_json::Value;

use crate::error::{Error, Result};

/// One row as the file holds it.
pub type Object = serde_json::Map<String, Value>;

/// The raw objects of a file (CSV rows become objects of strings), with 1-based row numbers: lines of JSONL (blank ones
/// count, but are skipped), data rows of CSV.
pub fn read_rows(path: &Path) -> Result<Vec<(usize, Object)>> {
    let mut text = open(path)?;
    let start = text.fill_buf().map_err(|error| unreadable(path, error))?;
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    let first = start.iter().find(|byte| !byte.is_ascii_whitespace());
    let rows = match first {
        None => vec![],
        Some(b'{') => json_lines(path, text)?,
        Some(b'[') => {
            return Err(Error::Input(format!(
                "{} is one JSON array; write one object per line instead (JSONL)",
                path.display()
            )));
        }
        Some(_) => {
            let line = start.split(|byte| *byte == b'\n').next().unwrap_or(start);
            let delimiter = delimiter(path, line);
            separated(path, text, delimiter)?
        }
    };
    match rows.is_empty() {
        true => Err(Error::Input(format!(
            "{} has no rows; give a file with at least one",
            path.display()
        ))),
        false => Ok(rows),
    }
}

/// An error about one row of a file.
pub(crate) fn row_error(path: &Path, number: usize, problem: impl std::fmt::Display) -> Error {
    Error::Input(format!("{} row {number}: {problem}", path.display()))
}

fn open(path: &Path) -> Result<BufReader<Box<dyn Read>>> {
    if path.is_dir() {
        return Err(Error::Input(format!(
            "{} is a folder; give a JSONL, CSV or TSV file, which may be gzipped",
            path.display()
        )));
    }
    let file = File::open(path).map_err(|error| Error::io(path, error))?;
    let mut file = BufReader::new(file);
    let zipped = file
        .fill_buf()
        .map_err(|error| Error::io(path, error))?
        .starts_with(b"\x1f\x8b");
    let content: Box<dyn Read> = match zipped {
        true => Box::new(MultiGzDecoder::new(file)),
        false => Box::new(file),
    };
    Ok(BufReader::with_capacity(1 << 16, content))
}

/// Content that breaks off or is no text is the user's to mend, whatever kind of error it is to the reader.
fn unreadable(path: &Path, error: io::Error) -> Error {
    Error::Input(format!(
        "{} cannot be read to its end ({error}); it may be cut short, so fetch or write it again",
        path.display()
    ))
}

fn json_lines(path: &Path, mut text: impl BufRead) -> Result<Vec<(usize, Object)>> {
    let (mut rows, mut line, mut number) = (vec![], vec![], 0);
    loop {
        line.clear();
        let length = text
            .read_until(b'\n', &mut line)
            .map_err(|error| unreadable(path, error))?;
        if length == 0 {
            return Ok(rows);
        }
        number += 1;
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line);
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let object = serde_json::from_slice(line).map_err(|error| {
            let problem = format!("is not a JSON object on one line ({error})");
            row_error(path, number, problem)
        })?;
        rows.push((number, object));
    }
}

/// By extension, or else by what the header holds most of.
fn delimiter(path: &Path, header: &[u8]) -> u8 {
    let name = path.to_string_lossy().to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let count = |delimiter: u8| header.iter().filter(|byte| **byte == delimiter).count();
    if name.ends_with(".tsv") {
        return b'\t';
    }
    // Some programs write semicolons and call it CSV, so the name alone does not decide for commas.
    [b',', b'\t', b';']
        .into_iter()
        .rev()
        .max_by_key(|delimiter| count(*delimiter))
        .unwrap_or(b',')
}

fn separated(path: &Path, text: impl Read, delimiter: u8) -> Result<Vec<(usize, Object)>> {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .from_reader(text);
    let header = reader.headers().map_err(|error| broken(path, 0, error))?;
    let names: Vec<String> = header
        .iter()
        .map(|name| name.trim_start_matches('\u{feff}').trim().to_owned())
        .collect();
    if let Some(twice) = (1..names.len()).find(|&i| names[..i].contains(&names[i])) {
        let problem = format!("has two columns called `{}`; rename one", names[twice]);
        return Err(Error::Input(format!("{} {problem}", path.display())));
    }
    let rows = reader.records().enumerate().map(|(i, record)| {
        let record = record.map_err(|error| broken(path, i + 1, error))?;
        let fields = record.iter().map(|field| Value::String(field.to_owned()));
        Ok((i + 1, names.iter().cloned().zip(fields).collect()))
    });
    rows.collect()
}

fn broken(path: &Path, number: usize, error: csv::Error) -> Error {
    match error.kind() {
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => row_error(
            path,
            number,
            format!(
                "has {len} fields, but the header has {expected_len}; quote fields that contain the separator"
            ),
        ),
        csv::ErrorKind::Utf8 { .. } => {
            row_error(path, number, "is not UTF-8 text; save the file as UTF-8")
        }
        csv::ErrorKind::Io(_) => match error.into_kind() {
            csv::ErrorKind::Io(error) => unreadable(path, error),
            _ => row_error(path, number, "cannot be read"),
        },
        _ => row_error(path, number, error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(vec![], Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn read(name: &str, content: impl AsRef<[u8]>) -> Result<Vec<(usize, Object)>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        read_rows(&path)
    }

    fn object(value: Value) -> Object {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn the_content_decides_what_a_file_is() {
        let expected = [
            (
                1,
                object(serde_json::json!({"smiles": "C,C", "text": "two \"words\""})),
            ),
            (2, object(serde_json::json!({"smiles": "O", "text": ""}))),
        ];
        let jsonl = "{\"smiles\":\"C,C\",\"text\":\"two \\\"words\\\"\"}\r\n{\"smiles\":\"O\",\"text\":\"\"}";
        let csv = "smiles,text\n\"C,C\",\"two \"\"words\"\"\"\nO,\n";
        let tsv = "smiles\ttext\nC,C\t\"two \"\"words\"\"\"\nO\t\n";
        let semicolons = "\u{feff}smiles;text\nC,C;\"two \"\"words\"\"\"\nO;\n";
        for (name, text) in [
            ("a.jsonl", jsonl),
            ("a.csv", csv),
            ("a.tsv", tsv),
            ("a.csv", semicolons),
            ("a.txt", tsv),
        ] {
            assert_eq!(read(name, text).unwrap(), expected, "{name}: {text}");
            assert_eq!(
                read(&format!("{name}.gz"), gzip(text)).unwrap(),
                expected,
                "{name}.gz"
            );
            assert_eq!(read("misnamed", gzip(text)).unwrap(), expected);
        }
    }

    #[test]
    fn a_field_with_a_line_break_is_one_row() {
        let rows = read("a.csv", "a,b\n\"x\ny\",z\nlast,row\n").unwrap();
        assert_eq!(rows[0].1["a"], "x\ny");
        assert_eq!(rows[1].0, 2);
    }

    #[test]
    fn one_column_needs_no_separator() {
        let rows = read("a.csv", "smiles\nCCO\n").unwrap();
        assert_eq!(rows, [(1, object(serde_json::json!({"smiles": "CCO"})))]);
    }

    #[test]
    fn blank_lines_are_skipped_but_counted() {
        let rows = read("a.jsonl", "\n{\"a\":1}\n  \n\n{\"a\":2}\n").unwrap();
        assert_eq!(rows.iter().map(|row| row.0).collect::<Vec<_>>(), [2, 5]);
    }

    #[test]
    fn what_is_wrong_is_said_with_file_and_row() {
        let mut cut = gzip(&"{\"a\":\"some text that is long enough\"}\n".repeat(200));
        cut.truncate(cut.len() / 2);
        for (name, content, expected) in [
            (
                "a.jsonl",
                b"{\"a\":1}\n{\"a\":".to_vec(),
                "a.jsonl row 2: is not a JSON object",
            ),
            ("a.jsonl", b"{\"a\":1}\n[1]\n".to_vec(), "a.jsonl row 2"),
            ("a.json", b" [{\"a\":1}]".to_vec(), "one object per line"),
            (
                "a.csv",
                b"a,b\n1,2\n3\n".to_vec(),
                "a.csv row 2: has 1 fields, but the header has 2",
            ),
            (
                "a.csv",
                b"a,b\n1,\xff\n".to_vec(),
                "a.csv row 1: is not UTF-8",
            ),
            ("a.csv", b"a,a\n1,2\n".to_vec(), "two columns called `a`"),
            ("a.csv", b"a,b\n".to_vec(), "has no rows"),
            ("a.jsonl", b"\n \n".to_vec(), "has no rows"),
            ("a.jsonl", vec![], "has no rows"),
            ("a.jsonl.gz", cut, "cannot be read to its end"),
        ] {
            let error = read(name, content).unwrap_err();
            assert!(
                error.to_string().contains(expected),
                "{error}\nshould contain: {expected}"
            );
            assert_eq!(error.exit_code(), 2, "{error}");
        }
        let error = read_rows(Path::new("nowhere/rows.jsonl")).unwrap_err();
        assert!(
            error.to_string().starts_with("nowhere/rows.jsonl"),
            "{error}"
        );
    }
}
