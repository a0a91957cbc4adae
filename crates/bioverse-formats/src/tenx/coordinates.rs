//! Matrix Market coordinate files: the header and the entries, one at a time. Which dimension is the cells is not known here.

use std::path::Path;

use crate::{
    Error, Result,
    lines::{Line, Lines},
};

/// An open file, after its header.
pub(super) struct Coordinates {
    path: std::path::PathBuf,
    lines: Lines,
    /// Rows and columns.
    pub(super) shape: (usize, usize),
    /// Whether values are whole numbers.
    pub(super) integer: bool,
    pattern: bool,
    claimed: u64,
    seen: u64,
}

/// An entry: row, column (both from 0) and value.
pub(super) type Entry = (usize, usize, f64);

impl Coordinates {
    /// Opens a file and reads its header.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let mut file = Self {
            path: path.into(),
            lines: Lines::open(path)?,
            shape: (0, 0),
            integer: false,
            pattern: false,
            claimed: 0,
            seen: 0,
        };
        file.banner()?;
        file.size()?;
        Ok(file)
    }

    fn banner(&mut self) -> Result<()> {
        let banner = self.line()?.unwrap_or_default().to_ascii_lowercase();
        let words: Vec<&str> = banner.split_whitespace().collect();
        let kind = match words.as_slice() {
            ["%%matrixmarket", "matrix", "coordinate", kind, "general"] => *kind,
            ["%%matrixmarket", ..] => {
                return Err(self.error(
                    "the matrix is not `coordinate … general`; write it as a general sparse matrix (scipy.io.mmwrite)",
                ));
            }
            _ => {
                return Err(self.error(
                    "the first line should be `%%MatrixMarket matrix coordinate integer general`; give a Matrix Market file",
                ));
            }
        };
        (self.integer, self.pattern) = match kind {
            "integer" => (true, false),
            "real" | "double" => (false, false),
            "pattern" => (true, true),
            other => {
                let problem = format!("values are `{other}`, but integer and real ones are read");
                return Err(self.error(&problem));
            }
        };
        Ok(())
    }

    fn size(&mut self) -> Result<()> {
        while let Some(line) = self.line()? {
            let line = line.trim();
            if line.is_empty() || line.starts_with('%') {
                continue;
            }
            let words: Vec<Option<u64>> = line
                .split_whitespace()
                .map(|word| word.parse().ok())
                .collect();
            let [Some(rows), Some(columns), Some(entries)] = words.as_slice() else {
                break;
            };
            let small = |n: &u64| usize::try_from(*n).unwrap_or(usize::MAX);
            (self.shape, self.claimed) = ((small(rows), small(columns)), *entries);
            return Ok(());
        }
        Err(self.error(
            "there is no line with the numbers of rows, columns and entries; write the file again",
        ))
    }

    /// The next entry; at the end the number of entries is checked.
    pub(super) fn next(&mut self) -> Result<Option<Entry>> {
        loop {
            let (pattern, shape) = (self.pattern, self.shape);
            let Some(line) = self.line()? else {
                return self.end();
            };
            if line.is_empty() || line.starts_with('%') {
                continue;
            }
            let entry = entry(line, pattern);
            if entry.is_none() && line.trim().is_empty() {
                continue;
            }
            let Some((row, column, value)) = entry else {
                return Err(self.error("a line should be `row column value`; write the file again"));
            };
            self.seen += 1;
            let within = |at: usize, end: usize| at.checked_sub(1).filter(|at| *at < end);
            return match (within(row, shape.0), within(column, shape.1)) {
                (Some(row), Some(column)) => Ok(Some((row, column, value))),
                _ => Err(self.error(&format!(
                    "entry {row}, {column} is outside of {} rows and {} columns (counted from 1); write the file again",
                    shape.0, shape.1
                ))),
            };
        }
    }

    fn end(&self) -> Result<Option<Entry>> {
        match self.seen == self.claimed {
            true => Ok(None),
            false => Err(self.error(&format!(
                "there are {} entries, but the header says {}; the file may be cut off: copy or download it again",
                self.seen, self.claimed
            ))),
        }
    }

    fn line(&mut self) -> Result<Option<&str>> {
        let number = self.lines.number() + 1;
        match self.lines.next()? {
            None => Ok(None),
            Some(Line::Text(text)) => Ok(Some(text)),
            Some(Line::Binary | Line::Long) => Err(Error::file(
                &self.path,
                format!("line {number}: this is no text of a Matrix Market file; give one"),
            )),
        }
    }

    /// An error at the current line.
    pub(super) fn error(&self, problem: &str) -> Error {
        let problem = format!("line {}: {problem}", self.lines.number());
        Error::file(&self.path, problem)
    }
}

fn entry(line: &str, pattern: bool) -> Option<Entry> {
    let mut words = line.split_ascii_whitespace();
    let (row, column) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let value = match pattern {
        true => 1.0,
        false => words.next()?.parse().ok()?,
    };
    words.next().is_none().then_some((row, column, value))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn all(text: &str) -> Result<Vec<Entry>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("matrix.mtx");
        std::fs::write(&path, text).unwrap();
        let mut file = Coordinates::open(&path)?;
        let mut entries = vec![];
        while let Some(entry) = file.next()? {
            entries.push(entry);
        }
        Ok(entries)
    }

    #[test]
    fn integers_reals_and_patterns() {
        let head = "%%MatrixMarket matrix coordinate";
        let integer =
            format!("{head} integer general\n%metadata_json: {{}}\n%\n3 2 2\n1 1 4\n3 2 1\n");
        assert_eq!(all(&integer).unwrap(), [(0, 0, 4.0), (2, 1, 1.0)]);
        let real = format!("{head} real general\r\n3 2 1\r\n2 2 1.5e-1\r\n\r\n");
        assert_eq!(all(&real).unwrap(), [(1, 1, 0.15)]);
        let pattern = format!("{head} pattern general\n3 2 1\n2 2\n");
        assert_eq!(all(&pattern).unwrap(), [(1, 1, 1.0)]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let head = "%%MatrixMarket matrix coordinate integer general\n";
        let cases = [
            ("", "line 1"),
            ("1 1 1\n", "line 1"),
            (
                "%%MatrixMarket matrix array real general\n2 2\n",
                "general sparse",
            ),
            (
                "%%MatrixMarket matrix coordinate integer symmetric\n2 2 0\n",
                "general sparse",
            ),
            (
                "%%MatrixMarket matrix coordinate complex general\n1 1 0\n",
                "complex",
            ),
            (&format!("{head}2 2\n"), "line 2"),
            (&format!("{head}% only comments\n"), "numbers of rows"),
            (&format!("{head}-2 2 1\n"), "numbers of rows"),
            (&format!("{head}2 2 1\n3 1 1\n"), "line 3: entry 3, 1"),
            (&format!("{head}2 2 1\n0 1 1\n"), "entry 0, 1"),
            (&format!("{head}2 2 1\n1 1\n"), "row column value"),
            (&format!("{head}2 2 1\n1 1 x\n"), "row column value"),
            (&format!("{head}2 2 1\n1 1 1 1\n"), "row column value"),
            (
                &format!("{head}2 2 3\n1 1 1\n"),
                "1 entries, but the header says 3",
            ),
            (
                &format!("{head}2 2 0\n1 1 1\n"),
                "1 entries, but the header says 0",
            ),
            (&format!("{head}2 2 18446744073709551615\n"), "0 entries"),
        ];
        for (text, expected) in cases {
            let error = all(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error} / {expected}");
        }
    }
}
