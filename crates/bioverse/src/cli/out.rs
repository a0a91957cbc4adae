//! The one place that prints: results to stdout, everything else to stderr.

use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};
use crate::telemetry::screen;

/// Set once whoever read our stdout has gone.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// Writes a piece of a result, at once.
///
/// A reader that has seen enough (`| head`) is no failure: the rest is dropped and the work goes on to its end.
pub fn text(text: &str) -> Result<()> {
    if CLOSED.load(Ordering::Relaxed) {
        return Ok(());
    }
    let mut stdout = std::io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {
            CLOSED.store(true, Ordering::Relaxed);
            Ok(())
        }
        other => other.map_err(|error| Error::io("stdout", error)),
    }
}

/// Writes a line of a result.
pub fn line(line: &str) -> Result<()> {
    text(&format!("{line}\n"))
}

/// Writes a line for the person at the terminal. Nowhere to complain to if that fails.
pub fn note(line: &str) {
    screen::line(line);
}

/// One sentence: errors may quote several lines, a message is one.
pub fn sentence(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" ")
}
