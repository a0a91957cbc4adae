//! What one process measured, read from the lines it printed. Knows neither stages nor programs.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::process;

/// Who.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// bioverse.
    Ours,
    /// The peer.
    Theirs,
}

/// Time and memory of a process's steps.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Measured {
    /// Median over the steps.
    pub median_ms: f64,
    /// Fastest step.
    pub min_ms: f64,
    /// High-water mark of resident memory; 0 where it is not known.
    pub peak_mib: f64,
    /// Loss of every step, where asked for.
    pub losses: Vec<f64>,
    /// Libraries and their versions, where the process names them.
    pub with: Option<String>,
}

impl Measured {
    /// Runs a process to its end.
    pub fn of(command: &mut Command) -> Result<Self> {
        let shown = process::shown(command);
        let output = command.stderr(Stdio::piped()).output();
        let output = output.with_context(|| format!("cannot start {shown}"))?;
        if !output.status.success() {
            let problem = String::from_utf8_lossy(&output.stderr);
            bail!("{shown} failed:\n{}", problem.trim_end());
        }
        let text = String::from_utf8_lossy(&output.stdout);
        parse(&text).with_context(|| format!("{shown} printed something else:\n{text}"))
    }

    /// For people who watch.
    pub fn line(&self, side: Side) -> String {
        let who = match side {
            Side::Ours => "ours",
            Side::Theirs => "peer",
        };
        format!(
            "{who}: {:.1} ms a step (fastest {:.1}), {:.0} MiB",
            self.median_ms, self.min_ms, self.peak_mib
        )
    }
}

fn parse(text: &str) -> Option<Measured> {
    let mut measured = Measured::default();
    for line in text.lines() {
        let Some((word, rest)) = line.split_once(' ') else {
            continue;
        };
        match word {
            "loss" => measured.losses.push(rest.parse().ok()?),
            "median_ms" => measured.median_ms = rest.parse().ok()?,
            "min_ms" => measured.min_ms = rest.parse().ok()?,
            "peak_mib" => measured.peak_mib = rest.parse().ok()?,
            "with" => measured.with = Some(rest.to_owned()),
            _ => {}
        }
    }
    (measured.min_ms > 0.0 && measured.median_ms >= measured.min_ms).then_some(measured)
}

/// The middle value; of an even number, the lower of the two in the middle.
pub fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len().checked_sub(1)? / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_by_their_first_word() {
        let text =
            "with torch 2\nWarning: x\nloss 1.5\nloss 1.25\nmedian_ms 3\nmin_ms 2\npeak_mib 7\n";
        let measured = parse(text).expect("complete");
        assert_eq!(measured.losses, [1.5, 1.25]);
        assert_eq!(measured.with.as_deref(), Some("torch 2"));
        assert_eq!((measured.median_ms, measured.min_ms), (3.0, 2.0));
        assert!(parse("loss 1\n").is_none());
        assert!(parse("median_ms 1\nmin_ms 2\n").is_none());
    }

    #[test]
    fn the_median_is_a_value_that_was_measured() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0].into_iter()), Some(1.0));
        assert_eq!(median(std::iter::empty()), None);
    }
}
