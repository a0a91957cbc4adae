//! `metrics.jsonl`: one line of numbers per step that is logged. It does not know what the numbers mean.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::Fields;
use crate::error::{Error, Result};
use crate::files;

/// Appends lines to `metrics.jsonl`, each flushed.
#[derive(Debug)]
pub struct MetricsWriter {
    file: File,
    path: PathBuf,
}

impl MetricsWriter {
    /// Opens `file` for the training `stage`, which follows `before` steps of others and has done `done` of its own. Lines
    /// that it is going to write again are dropped, as is a half-written one; at the very beginning, all. With the lines
    /// that stay.
    pub fn open(
        file: &Path,
        stage: &str,
        before: usize,
        done: usize,
    ) -> Result<(Self, Vec<Fields>)> {
        let here = |error| Error::io(file, error);
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent).map_err(|error| Error::io(parent, error))?;
        }
        let old = match fs::read(file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => vec![],
            Err(error) => return Err(here(error)),
        };
        let text = String::from_utf8_lossy(&old);
        let (mut kept, mut lines) = (String::new(), vec![]);
        for line in text.split_inclusive('\n') {
            if let Some(fields) = whole(line).filter(|line| stays(line, stage, before, done)) {
                kept += line;
                lines.push(fields);
            }
        }
        if kept.as_bytes() != old {
            files::write_atomic(file, kept.as_bytes())?;
        }
        let open = File::options().append(true).create(true).open(file);
        let writer = Self {
            file: open.map_err(here)?,
            path: file.into(),
        };
        Ok((writer, lines))
    }

    /// Writes one object.
    pub fn write(&mut self, fields: Fields) -> Result<()> {
        let line = format!("{}\n", serde_json::Value::Object(fields));
        self.file
            .write_all(line.as_bytes())
            .and_then(|()| self.file.flush())
            .map_err(|error| Error::io(&self.path, error))
    }
}

fn whole(line: &str) -> Option<Fields> {
    line.ends_with('\n')
        .then(|| serde_json::from_str(line).ok())?
}

/// Whether a line tells of a step that is not going to come again.
fn stays(fields: &Fields, stage: &str, before: usize, done: usize) -> bool {
    if before + done == 0 {
        return false;
    }
    let Some(step) = fields.get("step").and_then(serde_json::Value::as_u64) else {
        return true;
    };
    // The line before the first step bears the number of the last step of the training before.
    let first = done == 0 && fields.get("stage").and_then(|name| name.as_str()) == Some(stage);
    let last = (before + done) as u64;
    step < last || (step == last && !first)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn line(stage: &str, step: usize) -> Fields {
        let line = serde_json::json!({ "step": step, "stage": stage, "loss": 0.5 });
        line.as_object().unwrap().clone()
    }

    fn read(path: &Path) -> Vec<(String, u64)> {
        let text = fs::read_to_string(path).unwrap();
        let line = |line: &str| {
            let fields: Fields = serde_json::from_str(line).unwrap();
            let stage = fields["stage"].as_str().unwrap().to_string();
            (stage, fields["step"].as_u64().unwrap())
        };
        text.lines().map(line).collect()
    }

    fn write(path: &Path, stage: &str, before: usize, from: usize, to: usize) {
        let (mut writer, _) = MetricsWriter::open(path, stage, before, from).unwrap();
        let first = if from == 0 { 0 } else { from + 1 };
        (first..=to).for_each(|step| writer.write(line(stage, before + step)).unwrap());
    }

    #[test]
    fn a_resumed_run_writes_each_step_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/metrics.jsonl");
        write(&path, "a", 0, 0, 4);
        let text = fs::read_to_string(&path).unwrap() + "{\"step\":5,\"lo";
        fs::write(&path, text).unwrap();
        write(&path, "a", 0, 2, 3);
        assert_eq!(read(&path), [0, 1, 2, 3].map(|step| ("a".into(), step)));
        write(&path, "b", 3, 0, 2);
        let all = read(&path);
        assert_eq!(all[4..], [3, 4, 5].map(|step| ("b".into(), step)));
        write(&path, "b", 3, 0, 2);
        assert_eq!(
            read(&path),
            all,
            "started again before its first checkpoint"
        );
        write(&path, "b", 3, 1, 2);
        assert_eq!(read(&path), all, "resumed");
        write(&path, "c", 0, 0, 0);
        assert_eq!(read(&path), [("c".into(), 0)], "a new run");
    }

    #[test]
    fn a_half_written_line_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        let whole = "{\"stage\":\"a\",\"step\":1}\n";
        fs::write(&path, format!("{whole}{{\"stage\":\"a\",\"step\":1}}")).unwrap();
        let (_, kept) = MetricsWriter::open(&path, "a", 0, 1).unwrap();
        assert_eq!(kept.len(), 1);
        assert_eq!(fs::read_to_string(&path).unwrap(), whole);
    }
}
