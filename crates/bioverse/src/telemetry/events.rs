//! TensorBoard's event files, written by hand: scalars only. It does not know where the numbers come from.
//!
//! A file is a sequence of TFRecords: length (u64), masked CRC-32C of it, data, masked CRC-32C of the data, all little-endian.
//! The data is the protobuf message `Event` (tensorflow/core/util/event.proto), of which we write `wall_time = 1`, `step = 2`,
//! `file_version = 3`, `summary = 5` (`value = 1`: `tag = 1`, `simple_value = 2`) and `session_log = 7` (`status = 1`).
//! A run that is resumed writes a new file that begins with a session start at its first step: TensorBoard then forgets what
//! earlier files say of that step and later ones.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::Fields;
use crate::error::{Error, Result};

const PREFIX: &str = "events.out.tfevents.";
/// `SessionLog.SessionStatus.START`
const START: u64 = 1;

/// Appends to one event file.
#[derive(Debug)]
pub struct EventWriter {
    file: File,
    path: PathBuf,
}

impl EventWriter {
    /// A new file in `dir` for steps from `first`; at the very beginning of a run (`first` 0) those of an earlier run are
    /// removed.
    pub fn open(dir: &Path, first: usize) -> Result<Self> {
        fs::create_dir_all(dir).map_err(|error| Error::io(dir, error))?;
        let mut old = event_files(dir)?;
        if first == 0 {
            for path in old.drain(..) {
                fs::remove_file(&path).map_err(|error| Error::io(&path, error))?;
            }
        }
        // TensorBoard reads files in the order of their names, so a later one must have a later time.
        let seconds = old.iter().filter_map(|path| seconds_of(path)).max();
        let seconds = seconds.map_or(0, |last| last + 1).max(now() as u64);
        let path = dir.join(format!(
            "{PREFIX}{seconds:010}.bioverse.{}",
            std::process::id()
        ));
        let created = File::options().create_new(true).append(true).open(&path);
        let file = created.map_err(|error| Error::io(&path, error))?;
        let mut writer = Self { file, path };
        let mut version = event(None);
        bytes_field(&mut version, 3, b"brain.Event:2");
        writer.record(&version)?;
        if first > 0 {
            let mut status = vec![];
            varint_field(&mut status, 1, START);
            let mut start = event(Some(first));
            bytes_field(&mut start, 7, &status);
            writer.record(&start)?;
        }
        Ok(writer)
    }

    /// Every number of a line of metrics, as `<stage>/<field>`.
    pub fn write(&mut self, fields: &Fields) -> Result<()> {
        let step = fields.get("step").and_then(serde_json::Value::as_u64);
        let stage = fields.get("stage").and_then(|stage| stage.as_str());
        let mut summary = vec![];
        for (name, value) in fields {
            let (Some(number), false) = (value.as_f64(), name == "step") else {
                continue;
            };
            let tag = format!("{}/{name}", stage.unwrap_or("run"));
            let mut entry = vec![];
            bytes_field(&mut entry, 1, tag.as_bytes());
            entry.push(2 << 3 | 5);
            entry.extend((number as f32).to_le_bytes());
            bytes_field(&mut summary, 1, &entry);
        }
        if summary.is_empty() {
            return Ok(());
        }
        let mut event = event(Some(step.unwrap_or(0) as usize));
        bytes_field(&mut event, 5, &summary);
        self.record(&event)
    }

    fn record(&mut self, data: &[u8]) -> Result<()> {
        let length = (data.len() as u64).to_le_bytes();
        let mut record = length.to_vec();
        record.extend(masked_crc(&length).to_le_bytes());
        record.extend(data);
        record.extend(masked_crc(data).to_le_bytes());
        let written = self.file.write_all(&record);
        written.map_err(|error| Error::io(&self.path, error))
    }
}

fn event_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).map_err(|error| Error::io(dir, error))?;
    let paths = entries.flatten().map(|entry| entry.path());
    Ok(paths.filter(|path| seconds_of(path).is_some()).collect())
}

/// The time in the name of an event file.
fn seconds_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?.strip_prefix(PREFIX)?;
    name.split('.').next()?.parse().ok()
}

fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}

/// An `Event` with its time and, if given, its step.
fn event(step: Option<usize>) -> Vec<u8> {
    let mut event = vec![1 << 3 | 1];
    event.extend(now().to_le_bytes());
    if let Some(step) = step {
        varint_field(&mut event, 2, step as u64);
    }
    event
}

fn varint_field(out: &mut Vec<u8>, field: u8, value: u64) {
    out.push(field << 3);
    varint(out, value);
}

fn bytes_field(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend(bytes);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The checksum as TFRecords store it, so that data which contains checksums does not check itself.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
        .rotate_right(15)
        .wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Records of a file, checksums compared.
    fn records(path: &Path) -> Vec<Vec<u8>> {
        let bytes = fs::read(path).unwrap();
        let mut rest = bytes.as_slice();
        let mut found = vec![];
        while !rest.is_empty() {
            let (length, after) = rest.split_at(8);
            let n = u64::from_le_bytes(length.try_into().unwrap()) as usize;
            let crc = |at: usize| u32::from_le_bytes(after[at..at + 4].try_into().unwrap());
            assert_eq!(crc(0), masked_crc(length));
            let data = &after[4..4 + n];
            assert_eq!(crc(4 + n), masked_crc(data));
            found.push(data.to_vec());
            rest = &after[8 + n..];
        }
        found
    }

    #[test]
    fn the_checksum_is_that_of_rfc_3720() {
        // B.4 of the RFC: 32 bytes of zeroes.
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(
            masked_crc(&[0; 32]),
            0x8a91_36aa_u32.rotate_right(15).wrapping_add(0xa282_ead8)
        );
    }

    #[test]
    fn events_are_what_the_format_says() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::open(dir.path(), 0).unwrap();
        let line = serde_json::json!({"step": 300, "stage": "a", "loss": 0.5, "word": "x"});
        writer.write(line.as_object().unwrap()).unwrap();
        let found = records(&writer.path);
        assert_eq!(found[0][9..], *b"\x1a\x0dbrain.Event:2");
        // step 300 = ac 02; summary of 15 bytes; value of 13; tag of 6; 0.5 = 3f000000.
        let expected = *b"\x10\xac\x02\x2a\x0f\x0a\x0d\x0a\x06a/loss\x15\x00\x00\x00\x3f";
        assert_eq!(found[1][9..], expected);
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn a_resumed_run_starts_a_later_file_and_a_new_one_removes_the_old() {
        let dir = tempfile::tempdir().unwrap();
        let other = dir.path().join("notes.txt");
        fs::write(&other, "x").unwrap();
        let first = EventWriter::open(dir.path(), 0).unwrap().path;
        let second = EventWriter::open(dir.path(), 7).unwrap().path;
        assert!(second > first);
        assert_eq!(records(&second)[1][9..], *b"\x10\x07\x3a\x02\x08\x01");
        let third = EventWriter::open(dir.path(), 0).unwrap().path;
        assert_eq!(event_files(dir.path()).unwrap(), [third]);
        assert!(other.exists());
    }
}
