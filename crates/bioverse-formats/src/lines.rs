//! Lines of a file, one at a time, none longer than a limit: a file without line breaks must not fill the memory. What a
//! line means is unknown here.

use std::{
    io::BufRead,
    path::{Path, PathBuf},
};

use crate::{Error, Result, source};

/// Longest line, and longest record, in bytes: 64 MiB.
pub const LIMIT: usize = 64 << 20;

/// The lines of one file.
pub(crate) struct Lines {
    path: PathBuf,
    source: Box<dyn BufRead + Send>,
    number: usize,
    line: Vec<u8>,
}

/// What a line holds.
pub(crate) enum Line<'a> {
    /// Text without its line end.
    Text(&'a str),
    /// Bytes that are no UTF-8.
    Binary,
    /// More bytes than [`LIMIT`]; they were skipped.
    Long,
}

impl Lines {
    /// The lines of a file, decompressed.
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self::new(path, source::open(path)?))
    }

    pub fn new(path: &Path, source: Box<dyn BufRead + Send>) -> Self {
        Self {
            path: path.into(),
            source,
            number: 0,
            line: vec![],
        }
    }

    /// Number of the last line, from 1.
    pub fn number(&self) -> usize {
        self.number
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next line without `\n` or `\r\n`; a byte order mark in front of the first is left out.
    pub fn next(&mut self) -> Result<Option<Line<'_>>> {
        self.line.clear();
        let read = self.read()?;
        self.number += 1;
        match read {
            Read::End => return Ok(None),
            Read::Cut => return Ok(Some(Line::Long)),
            Read::Whole => {}
        }
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = match self.number {
            1 => line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line),
            _ => line,
        };
        Ok(Some(
            std::str::from_utf8(line).map_or(Line::Binary, Line::Text),
        ))
    }

    fn read(&mut self) -> Result<Read> {
        let mut seen = 0;
        loop {
            let available = match self.source.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(source::broken(&self.path, &error)),
            };
            let end = available.iter().position(|byte| *byte == b'\n');
            let take = end.map_or(available.len(), |end| end + 1);
            if seen <= LIMIT {
                self.line.extend(available.iter().take(take));
            }
            self.source.consume(take);
            seen += take;
            match (end, take) {
                (None, 0) if seen == 0 => return Ok(Read::End),
                (None, 1..) => {}
                _ if seen > LIMIT => return Ok(Read::Cut),
                _ => return Ok(Read::Whole),
            }
        }
    }

    /// An error about row `number`.
    pub fn row(&self, number: usize, problem: impl Into<String>) -> Error {
        Error::row(&self.path, number, problem)
    }
}

enum Read {
    End,
    Whole,
    Cut,
}

/// What to say about a record that is longer than [`LIMIT`].
pub(crate) fn too_long() -> String {
    format!(
        "is longer than {} MiB; cut it into shorter records",
        LIMIT >> 20
    )
}

/// What to say about a record that is no text.
pub(crate) const NOT_TEXT: &str =
    "is not UTF-8 text; save the file as UTF-8 (from Latin-1: `iconv -f latin1 -t utf-8 FILE`)";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use std::io::Cursor;

    fn lines(content: impl AsRef<[u8]>) -> Vec<String> {
        let content = content.as_ref().to_vec();
        let mut lines = Lines::new(Path::new("x"), Box::new(Cursor::new(content)));
        let mut found = vec![];
        while let Some(line) = lines.next().unwrap() {
            found.push(match line {
                Line::Text(text) => text.to_owned(),
                Line::Binary => "binary".into(),
                Line::Long => "long".into(),
            });
        }
        found
    }

    #[test]
    fn line_ends_of_every_system_and_none() {
        assert_eq!(lines("\u{feff}a\r\nb\n\nc"), ["a", "b", "", "c"]);
        assert_eq!(lines(""), [""; 0]);
        assert_eq!(lines("\n"), [""]);
        assert_eq!(lines(b"ok\n\xff\xfe\nok\n"), ["ok", "binary", "ok"]);
    }

    #[test]
    fn a_line_without_end_is_skipped_and_not_held() {
        let mut content = vec![b'A'; LIMIT + 10];
        content.extend(b"\nB\n");
        assert_eq!(lines(&content), ["long", "B"]);
        let content = vec![b'A'; LIMIT + 10];
        assert_eq!(lines(&content), ["long"]);
    }
}
