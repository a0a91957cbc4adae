//! How far some work is, on stderr: a bar on a terminal, a plain line now and then elsewhere. It does not know the work.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::screen;

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
        let sink = if screen::room().is_some() && !screen::occupied() {
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
                screen::line(&line);
            }
            Sink::Lines { .. } => {}
        }
    }

    /// As [`finish`](Self::finish) for work that began at `start` and was shown otherwise.
    pub(super) fn ended(label: &str, start: Instant) -> Self {
        Self {
            label: label.into(),
            total: 0,
            start,
            first: None,
            position: 0,
            unit: Unit::Things,
            sink: Sink::Lines { last: start },
        }
    }

    /// Ends it at `position` of `total`, leaving `message`.
    pub fn finish_at(&mut self, position: usize, total: usize, message: &str) {
        (self.position, self.total) = (position, total);
        self.finish(message);
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
                screen::line(line.trim_end());
            }
            Sink::Lines { .. } => screen::line(line.trim_end()),
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
        Unit::Things => "{prefix} {bar:24} {pos}/{len}  {rate}, {eta} left  {msg}",
        Unit::Bytes => {
            "{prefix} {bar:24} {decimal_bytes}/{decimal_total_bytes}  {decimal_bytes_per_sec}, {eta} left  {msg}"
        }
    };
    let style = ProgressStyle::with_template(template);
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    // The library's own rate has four digits behind the point.
    let rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        let _ = write!(out, "{:.1}/s", state.per_sec());
    };
    bar.set_style(style.with_key("rate", rate));
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

#[cfg(test)]
mod tests {
    use super::*;

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
