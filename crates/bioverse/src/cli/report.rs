//! `bioverse report`: the page of a run.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::{Args, ValueEnum};

use super::out;
use crate::{error::Result, report};

/// Writes one self-contained HTML page about a run: outcome, curves, alignment maps, retrieval, audit, split,
/// configuration and hashes.
///
/// It reads what the run left in its folder and runs no model, so it works while the run is still going and after it failed;
/// what is not there yet is left out, with the command that makes it. The page needs no network.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Report {
    /// The run's folder (`run.dir`).
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Where to write the page; without it `report.html` in the run's folder.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Whether to show the page in the browser.
    #[arg(long, value_enum, default_value_t = Open::No)]
    open: Open,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Open {
    /// With what this system opens pages with.
    Yes,
    /// Only write it.
    No,
}

const EXAMPLES: &str = "\
Examples:
  bioverse report runs/pocket/align
  bioverse report runs/pocket/finetune --output finetune.html --open yes";

impl Report {
    /// Writes the page.
    pub fn run(self) -> Result<()> {
        let page = report::write(&self.run, self.output.as_deref())?;
        out::line(&format!("report: the page is {}", page.display()))?;
        if self.open == Open::Yes && !open(&page) {
            out::note("no browser could be started here; open the file yourself");
        }
        Ok(())
    }
}

/// Asks the system to show a file; whether it could be asked.
fn open(page: &Path) -> bool {
    let mut command = match std::env::consts::OS {
        "macos" => Command::new("open"),
        "windows" => Command::new("explorer"),
        _ => Command::new("xdg-open"),
    };
    command
        .arg(page)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().is_ok()
}
