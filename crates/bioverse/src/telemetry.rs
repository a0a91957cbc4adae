//! Progress on stderr, metrics into `metrics.jsonl`, and the subscriber of the program. What is measured is decided
//! elsewhere.

use std::{
    fs::{self, File},
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{
    error::{Error, Result},
    files,
};

/// One line of `metrics.jsonl`.
pub type Fields = serde_json::Map<String, serde_json::Value>;

/// Appends lines to `metrics.jsonl`, each flushed.
#[derive(Debug)]
pub struct MetricsWriter {
    file: File,
    path: PathBuf,
}

impl MetricsWriter {
    /// Opens `file`, cutting off a half-written last line; with `from_step`, lines whose `step` is at or after it are
    /// dropped, for the resumed run writes them again.
    pub fn open(file: &Path, from_step: Option<usize>) -> Result<Self> {
        let here = |error| Error::io(file, error);
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent).map_err(|error| Error::io(parent, error))?;
        }
        let old = match fs::read(file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => vec![],
            Err(error) => return Err(here(error)),
        };
        let kept = kept_lines(&String::from_utf8_lossy(&old), from_step);
        if kept.as_bytes() != old {
            files::write_atomic(file, kept.as_bytes())?;
        }
        let open = File::options().append(true).create(true).open(file);
        Ok(Self {
            file: open.map_err(here)?,
            path: file.into(),
        })
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

/// Whole lines that are JSON objects and come before `from_step`.
fn kept_lines(text: &str, from_step: Option<usize>) -> String {
    let keep = |line: &&str| {
        let Ok(fields) = serde_json::from_str::<Fields>(line) else {
            return false;
        };
        let step = fields.get("step").and_then(serde_json::Value::as_u64);
        match (from_step, step) {
            (Some(from), Some(step)) => step < from as u64,
            _ => line.ends_with('\n'),
        }
    };
    text.split_inclusive('\n').filter(keep).collect()
}

/// A progress bar with message, rate and time left on a terminal; a plain line now and then elsewhere.
#[derive(Debug)]
pub struct Progress {
    label: String,
    total: usize,
    start: Instant,
    /// Position when this run began: a resumed one starts in the middle.
    first: Option<usize>,
    position: usize,
    unit: Unit,
    sink: Sink,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Things,
    Bytes,
}

impl Unit {
    /// A number of them as people read it.
    fn show(self, n: f64) -> String {
        match self {
            Self::Things => format!("{n:.0}"),
            Self::Bytes => indicatif::DecimalBytes(n as u64).to_string(),
        }
    }
}

#[derive(Debug)]
enum Sink {
    Bar(ProgressBar),
    Lines { last: Instant },
}

/// Between two plain lines.
const QUIET: Duration = Duration::from_secs(10);

impl Progress {
    /// `label` names the work, `total` its length.
    pub fn new(label: &str, total: usize) -> Self {
        Self::of(Unit::Things, label, total)
    }

    /// As [`new`](Self::new), counting bytes.
    pub fn bytes(label: &str, total: u64) -> Self {
        Self::of(Unit::Bytes, label, total as usize)
    }

    fn of(unit: Unit, label: &str, total: usize) -> Self {
        let start = Instant::now();
        let sink = if std::io::stderr().is_terminal() {
            Sink::Bar(bar(unit, label, total))
        } else {
            Sink::Lines { last: start }
        };
        Self {
            label: label.into(),
            total,
            start,
            first: None,
            position: 0,
            unit,
            sink,
        }
    }

    /// Sets the position.
    pub fn set(&mut self, position: usize, message: &str) {
        self.position = position;
        let first = *self.first.get_or_insert(position.saturating_sub(1));
        match &mut self.sink {
            Sink::Bar(bar) => {
                if first == position.saturating_sub(1) && first > 0 {
                    bar.reset_eta();
                }
                bar.set_position(position as u64);
                bar.set_message(message.to_owned());
            }
            Sink::Lines { last } if last.elapsed() >= QUIET => {
                *last = Instant::now();
                let line = line(
                    self.unit,
                    &self.label,
                    [position, self.total, position.saturating_sub(first)],
                    self.start.elapsed(),
                    message,
                );
                say(&line);
            }
            Sink::Lines { .. } => {}
        }
    }

    /// Ends it, leaving `message`. Work that was over at once and has nothing to say leaves no line.
    pub fn finish(&mut self, message: &str) {
        let took = self.start.elapsed().as_secs_f64();
        if took < 1.0 && message.is_empty() {
            if let Sink::Bar(bar) = &self.sink {
                bar.finish_and_clear();
            }
            return;
        }
        let [position, total] = [self.position, self.total].map(|n| self.unit.show(n as f64));
        let label = &self.label;
        let line = format!("{label} {position}/{total} in {took:.1} s  {message}");
        match &self.sink {
            Sink::Bar(bar) => {
                bar.finish_and_clear();
                say(line.trim_end());
            }
            Sink::Lines { .. } => say(line.trim_end()),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        // An error leaves through here: its sentence must not be drawn into a bar.
        if let Sink::Bar(bar) = &self.sink {
            bar.abandon();
        }
    }
}

fn bar(unit: Unit, label: &str, total: usize) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
    let template = match unit {
        Unit::Things => "{prefix} {bar:24} {pos}/{len}  {per_sec}, {eta} left  {msg}",
        Unit::Bytes => {
            "{prefix} {bar:24} {decimal_bytes}/{decimal_total_bytes}  {decimal_bytes_per_sec}, {eta} left  {msg}"
        }
    };
    let style = ProgressStyle::with_template(template);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_prefix(label.to_owned());
    bar
}

/// `[position, total, done]`: where it is of how much, and how much of that this run did.
fn line(
    unit: Unit,
    label: &str,
    [position, total, done]: [usize; 3],
    elapsed: Duration,
    message: &str,
) -> String {
    let rate = done as f64 / elapsed.as_secs_f64().max(1e-9);
    let left = total.saturating_sub(position) as f64 / rate.max(1e-9);
    let rate = match unit {
        Unit::Things => format!("{rate:.1}"),
        Unit::Bytes => unit.show(rate),
    };
    let [position, total] = [position, total].map(|n| unit.show(n as f64));
    format!("{label} {position}/{total}  {rate}/s, {left:.0} s left  {message}")
}

/// The one place of the library that writes to stderr.
fn say(line: &str) {
    // A closed stderr is no reason to end a run.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Installs the log subscriber (stderr; `RUST_LOG`, else `debug` of this program when `verbose`, else `info`).
pub fn init_logging(verbose: bool) {
    use tracing_subscriber::EnvFilter;
    let default = if verbose {
        "info,bioverse=debug"
    } else {
        "warn,bioverse=info"
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    // A second call, as tests make, keeps the first subscriber.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .without_time()
        .with_target(false)
        .compact()
        .try_init();
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn fields(step: usize) -> Fields {
        let serde_json::Value::Object(fields) = serde_json::json!({ "step": step, "loss": 0.5 })
        else {
            unreachable!()
        };
        fields
    }

    #[test]
    fn a_resumed_run_writes_each_step_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/metrics.jsonl");
        let mut writer = MetricsWriter::open(&path, None).unwrap();
        (1..=4).for_each(|step| writer.write(fields(step)).unwrap());
        fs::write(
            &path,
            fs::read_to_string(&path).unwrap() + "{\"step\":5,\"lo",
        )
        .unwrap();
        let mut writer = MetricsWriter::open(&path, Some(3)).unwrap();
        writer.write(fields(3)).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let steps: Vec<Fields> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(steps, [fields(1), fields(2), fields(3)]);
    }

    #[test]
    fn a_half_written_line_is_cut_off() {
        assert_eq!(
            kept_lines("{\"step\":1}\n{\"step\":2}", None),
            "{\"step\":1}\n"
        );
        assert_eq!(kept_lines("{\"a\":1}\n{\"st", Some(9)), "{\"a\":1}\n");
    }

    #[test]
    fn a_line_tells_rate_and_time_left_of_this_run() {
        let line = |unit, numbers| {
            super::line(unit, "align", numbers, Duration::from_secs(10), "loss 0.5")
        };
        let things = line(Unit::Things, [60, 100, 20]);
        assert_eq!(things, "align 60/100  2.0/s, 20 s left  loss 0.5");
        let bytes = line(Unit::Bytes, [60_000_000, 100_000_000, 20_000_000]);
        assert_eq!(
            bytes,
            "align 60.00 MB/100.00 MB  2.00 MB/s, 20 s left  loss 0.5"
        );
    }
}
