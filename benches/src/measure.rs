//! Time and memory of steps. Knows neither what a step does nor who else is measured.

use std::io::Write;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::Often;

/// Runs `step` and prints `loss` lines if asked, then `median_ms`, `min_ms` and `peak_mib`.
///
/// # Errors
/// Those of `step`, which is given the number of the step and returns its loss.
pub fn steps(often: &Often, mut step: impl FnMut(usize) -> Result<f64>) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let mut times = Vec::with_capacity(often.steps);
    for n in 0..often.warmup + often.steps {
        let start = Instant::now();
        let loss = step(n)?;
        if n >= often.warmup {
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        if often.losses {
            writeln!(out, "loss {loss:.9}")?;
        }
    }
    times.sort_by(f64::total_cmp);
    let median = times.get(times.len() / 2).context("no step was measured")?;
    let min = times.first().context("no step was measured")?;
    writeln!(out, "median_ms {median:.4}\nmin_ms {min:.4}")?;
    if let Some(peak) = peak_mib() {
        writeln!(out, "peak_mib {peak:.1}")?;
    }
    Ok(())
}

/// The most memory this process ever held, where the kernel says so.
fn peak_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024.0)
}
