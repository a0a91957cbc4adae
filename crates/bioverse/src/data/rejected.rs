//! Rows that were left out because something is wrong with them, with the reasons, in a file of their own: one JSON object a
//! line. What was wrong is for others to know.

use std::{
    collections::HashSet,
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use bioverse_formats::Object;
use serde_json::{Value, json};

use crate::error::{Error, Result};

/// Rejected rows on their way to a file. The file appears as a whole with [`finish`](Self::finish); without a rejected row
/// there is none.
#[derive(Debug, Default)]
pub struct Rejected {
    /// Where the file will be; `None` = the rows are only counted.
    path: Option<PathBuf>,
    staged: Option<BufWriter<File>>,
    seen: HashSet<(PathBuf, usize)>,
}

impl Rejected {
    /// To be written to `path`. What an earlier run wrote there is removed by [`finish`](Self::finish).
    pub fn to(path: impl Into<PathBuf>) -> Self {
        Self {
            path: Some(path.into()),
            staged: None,
            seen: HashSet::new(),
        }
    }

    /// Only counted.
    pub fn counted() -> Self {
        Self::default()
    }

    /// How many rows were rejected.
    pub fn count(&self) -> usize {
        self.seen.len()
    }

    /// Where the file will be.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Adds `{"file", "row", "reason"}`; `row` counts from 1. A row that was added before (a file is read once for each side
    /// of a split) is not added again.
    pub fn add(&mut self, file: &Path, row: usize, reason: &str) -> Result<()> {
        self.put(
            file,
            row,
            json!({"file": file.display().to_string(), "row": row, "reason": reason}),
        )
    }

    /// [`add`](Self::add), with the row itself as `fields`.
    pub fn add_row(
        &mut self,
        file: &Path,
        row: usize,
        reason: &str,
        fields: &Object,
    ) -> Result<()> {
        let line = json!({"file": file.display().to_string(), "row": row, "reason": reason, "fields": fields});
        self.put(file, row, line)
    }

    fn put(&mut self, file: &Path, row: usize, line: Value) -> Result<()> {
        if !self.seen.insert((file.into(), row)) {
            return Ok(());
        }
        let Some(path) = self.path.clone() else {
            return Ok(());
        };
        let written = self
            .staged(&path)
            .and_then(|staged| writeln!(staged, "{line}"));
        written.map_err(|error| Error::io(path, error))
    }

    fn staged(&mut self, path: &Path) -> std::io::Result<&mut BufWriter<File>> {
        if self.staged.is_none() {
            if let Some(above) = path.parent() {
                std::fs::create_dir_all(above)?;
            }
            self.staged = Some(BufWriter::new(File::create(staged(path))?));
        }
        self.staged
            .as_mut()
            .ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }

    /// Puts the file in its place, and says how many rows it has.
    pub fn finish(mut self) -> Result<usize> {
        let Some(path) = self.path.take() else {
            return Ok(self.count());
        };
        let done = match self.staged.take() {
            Some(writer) => writer
                .into_inner()
                .map_err(std::io::IntoInnerError::into_error)
                .and_then(|file| file.sync_all())
                .and_then(|()| std::fs::rename(staged(&path), &path)),
            None => match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
        };
        done.map_err(|error| Error::io(&path, error))?;
        Ok(self.count())
    }
}

impl Drop for Rejected {
    fn drop(&mut self) {
        // Not finished: nothing half-written stays.
        if let (Some(path), Some(_)) = (&self.path, self.staged.take()) {
            let _ = std::fs::remove_file(staged(path));
        }
    }
}

/// Where the rows stand until they are all there.
fn staged(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".new-{}", std::process::id()));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn rows_appear_with_their_reasons_and_only_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/rejected.jsonl");
        let mut rejected = Rejected::to(&path);
        rejected.add(Path::new("a.csv"), 7, "is \"bad\"").unwrap();
        rejected.add(Path::new("a.csv"), 7, "again").unwrap();
        let fields = Object::from_iter([("a".to_owned(), json!(1))]);
        rejected
            .add_row(Path::new("a.csv"), 8, "bad", &fields)
            .unwrap();
        assert!(!path.exists());
        assert_eq!(rejected.finish().unwrap(), 2);
        let text = std::fs::read_to_string(&path).unwrap();
        let expected = "{\"file\":\"a.csv\",\"row\":7,\"reason\":\"is \\\"bad\\\"\"}\n\
             {\"file\":\"a.csv\",\"row\":8,\"reason\":\"bad\",\"fields\":{\"a\":1}}\n";
        assert_eq!(text, expected);
        let mut dropped = Rejected::to(&path);
        dropped.add(Path::new("a.csv"), 8, "bad").unwrap();
        drop(dropped);
        assert_eq!(names(&dir.path().join("run")), ["rejected.jsonl"]);
        assert_eq!(Rejected::to(&path).finish().unwrap(), 0);
        assert!(
            !path.exists(),
            "a run without bad rows leaves no list of an earlier one"
        );
    }

    #[test]
    fn without_a_place_they_are_counted() {
        let mut rejected = Rejected::counted();
        rejected.add(Path::new("a.csv"), 1, "bad").unwrap();
        assert_eq!((rejected.count(), rejected.finish().unwrap()), (1, 1));
    }
}
