//! The one place of the library that writes to stderr. It keeps a picture below everything else that is said there; what the
//! picture shows is unknown here.
//!
//! The picture is drawn with movements relative to where it is, in the ordinary screen: the position of the cursor is never
//! asked for (the answer would come in as if it had been typed, and the question goes to stdout, which is for results), the
//! cursor is not hidden and the terminal's mode is not changed. So there is nothing to restore, whatever ends the process.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ratatui::crossterm::terminal;

/// A terminal narrower than this gets plain lines.
const NARROW: u16 = 60;

static PLAIN: AtomicBool = AtomicBool::new(false);
static PICTURE: Mutex<Option<Picture>> = Mutex::new(None);

/// What is drawn at the moment.
#[derive(Debug)]
struct Picture {
    /// As it was written, escape sequences included.
    text: String,
    /// Visible columns of each of its lines.
    widths: Vec<usize>,
}

impl Picture {
    /// Rows it takes in a terminal of `columns`: one that became narrower has broken the lines anew.
    fn rows(&self, columns: usize) -> usize {
        let of = |width: &usize| width.div_ceil(columns.max(1)).max(1);
        self.widths.iter().map(of).sum()
    }

    /// Back to its first row, and everything from there on erased.
    fn erasure(&self, columns: usize) -> String {
        format!("\r\x1b[{}A\x1b[J", self.rows(columns))
    }
}

/// Asks for plain lines on any terminal.
pub fn plain() {
    PLAIN.store(true, Ordering::Relaxed);
}

/// Columns and rows, when stderr is a terminal that can show a picture and nobody asked for plain lines.
pub fn room() -> Option<(u16, u16)> {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    if PLAIN.load(Ordering::Relaxed) || dumb || !std::io::stderr().is_terminal() {
        return None;
    }
    Some(size()).filter(|(columns, _)| *columns >= NARROW)
}

/// Columns and rows, whatever is there.
pub fn size() -> (u16, u16) {
    // Some pseudo-terminals have no size; this is what programs then expect.
    match terminal::size() {
        Ok((columns, rows)) if columns > 0 && rows > 0 => (columns, rows),
        _ => (80, 24),
    }
}

/// Whether colours are wanted: <https://no-color.org>.
pub fn colours() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether a picture is drawn.
pub fn occupied() -> bool {
    picture().is_some()
}

/// Draws `lines` (text with escape sequences, and its visible columns) in place of what is drawn.
pub fn draw(lines: Vec<(String, usize)>) {
    let (lines, widths): (Vec<String>, Vec<usize>) = lines.into_iter().unzip();
    let text = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let mut picture = picture();
    let erasure = picture
        .as_ref()
        .map_or(String::new(), |old| old.erasure(columns()));
    let new = Picture { text, widths };
    write(&format!("{erasure}{}", new.text));
    *picture = Some(new);
}

/// Erases the picture.
pub fn clear() {
    if let Some(old) = picture().take() {
        write(&old.erasure(columns()));
    }
}

/// As [`clear`], for a handler that must not wait.
pub fn try_clear() {
    if let Ok(mut picture) = PICTURE.try_lock()
        && let Some(old) = picture.take()
    {
        write(&old.erasure(columns()));
    }
}

/// Says a line, above the picture.
pub fn line(line: &str) {
    say(&format!("{line}\n"));
}

/// Says `text`, which ends in a newline, above the picture.
fn say(text: &str) {
    match &*picture() {
        Some(drawn) => write(&format!("{}{text}{}", drawn.erasure(columns()), drawn.text)),
        None => write(text),
    }
}

fn picture() -> MutexGuard<'static, Option<Picture>> {
    // A panic while the lock was held must still be able to say what happened.
    PICTURE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn columns() -> usize {
    size().0.into()
}

fn write(text: &str) {
    // A closed stderr is no reason to end a run.
    let mut stderr = std::io::stderr().lock();
    let _ = stderr
        .write_all(text.as_bytes())
        .and_then(|()| stderr.flush());
}

/// Where the log subscriber writes: whole events, above the picture.
#[derive(Debug)]
pub struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        say(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_that_became_narrower_has_broken_the_picture_into_more_rows() {
        let picture = Picture {
            text: String::new(),
            widths: vec![80, 0, 41],
        };
        assert_eq!(picture.rows(80), 3);
        assert_eq!(picture.rows(40), 5);
        assert_eq!(picture.erasure(40), "\r\x1b[5A\x1b[J");
    }
}
