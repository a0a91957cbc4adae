//! How to explain an answer, as flags; and where the explanation goes: the terminal, a file, a page.

use std::io::IsTerminal as _;
use std::path::Path;

use clap::Args;

use super::out;
use crate::error::{Error, Result};
use crate::explain::{self, Baseline, Explanation};
use crate::files;
use crate::telemetry::screen;

/// Flags of everything that explains answers.
#[derive(Debug, Clone, Copy, Args)]
pub struct Explaining {
    /// What stands in for a soft token that is taken away: zeros, or the mean over training records.
    #[arg(long, value_name = "WHAT", default_value = "zero")]
    explain_baseline: Baseline,
    /// Most parts of a record that are taken away one at a time; those of a longer one go in runs.
    #[arg(long, value_name = "N", default_value_t = explain::LIMIT)]
    explain_limit: usize,
}

impl Explaining {
    /// As options.
    pub fn options(self) -> explain::Options {
        explain::Options {
            baseline: self.explain_baseline,
            limit: self.explain_limit.max(1),
        }
    }
}

/// Draws an explanation.
pub fn show(explanation: &Explanation) -> Result<()> {
    let colours = std::io::stdout().is_terminal() && screen::colours();
    out::text(&format!(
        "\n{}",
        explain::terminal::draw(explanation, colours)
    ))
}

/// Writes it as JSON, where that is wanted.
pub fn write_json(explanation: &Explanation, path: Option<&Path>) -> Result<()> {
    let Some(path) = path else {
        return Ok(());
    };
    let text = serde_json::to_string_pretty(explanation)
        .map_err(|error| Error::Run(format!("the explanation cannot be written: {error}")))?;
    write(path, text + "\n")
}

/// Writes it as a page, where that is wanted.
pub fn write_page(explanation: &Explanation, path: Option<&Path>) -> Result<()> {
    match path {
        Some(path) => write(path, explain::page::render(explanation)?),
        None => Ok(()),
    }
}

fn write(path: &Path, text: String) -> Result<()> {
    files::write_atomic(path, text.as_bytes())?;
    out::note(&format!("explanation written to {}", path.display()));
    Ok(())
}
