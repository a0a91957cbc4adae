//! `bioverse audit`: does a bundle use the records it is given?

use std::path::{Path, PathBuf};

use bioverse_core::Registry;
use clap::Args;

use super::out;
use crate::{
    audit::{
        FILE, ROWS, Report,
        bundle::{Request, run},
    },
    device,
    error::Result,
};

/// Tells whether a bundle uses the records it is given, or answers from the question alone.
///
/// Measures the loss and the accuracy of the right answers with the true records, with those of other rows (shuffled), with
/// the mean record and with none (zeroed). If other rows' records do not raise the loss, the model ignores its records, and
/// a warning in capital letters says so. `bioverse finetune` does the same at its end. Without --data the rows are the
/// held-out side of what the bundle was trained on, or training rows where nothing is held out; and if the bundle lies in its
/// run directory, audit.json is written there, for `bioverse report`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Audit {
    /// The bundle, or the run directory that holds it.
    #[arg(long, value_name = "DIR")]
    bundle: PathBuf,
    /// Rows to audit instead, with the fields of those the bundle was trained on; the whole file is used.
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Most rows, spread evenly over the file.
    #[arg(long, value_name = "N", default_value_t = ROWS)]
    rows: usize,
    /// Rows at a time.
    #[arg(long, value_name = "N", default_value_t = 16)]
    batch_size: usize,
    /// Prints one JSON object instead of tables.
    #[arg(long)]
    json: bool,
    /// `cpu`, `cuda:0` or `wgpu`.
    #[arg(long, default_value = "cpu")]
    device: String,
}

const EXAMPLES: &str = "\
Examples:
  bioverse audit --bundle runs/pocket/finetune
  bioverse audit --bundle runs/pocket/finetune --rows 64 --json
  bioverse audit --bundle runs/pocket/finetune --data datasets/pocket/molecule_qa.jsonl";

impl Audit {
    /// Audits and prints.
    pub fn run(self, registry: &Registry) -> Result<()> {
        let device = device::parse(&self.device)?;
        let request = Request {
            bundle: self.bundle,
            data: self.data,
            rows: self.rows,
            batch_size: self.batch_size,
        };
        let report = run(&request, registry, &device)?;
        match self.json {
            true => {
                warn(&report);
                out::line(&report.json()?)?;
            }
            false => show(&report)?,
        }
        match run_folder(&request) {
            Some(dir) => report.write(&dir.join(FILE)),
            None => Ok(()),
        }
    }
}

/// The run that the audited bundle belongs to, unless it was audited on other rows.
fn run_folder(request: &Request) -> Option<&Path> {
    let own = request.bundle.as_path();
    let above = own.parent().filter(|_| own.ends_with("bundle"));
    let places = [Some(own), above].into_iter().flatten();
    let mut runs = places.filter(|dir| {
        dir.join("config.toml").is_file() && dir.join("bundle/bundle.json").is_file()
    });
    runs.next().filter(|_| request.data.is_none())
}

/// Prints the tables, and a warning for each modality that the model ignores.
pub fn show(report: &Report) -> Result<()> {
    out::text(&report.tables())?;
    warn(report);
    Ok(())
}

fn warn(report: &Report) {
    for ignored in report.ignored() {
        // The sentence with the numbers stands in the table and in the file.
        let sentence = ignored.verdict.split(':').next().unwrap_or_default();
        out::note(&format!(
            "WARNING: {sentence}; IT ANSWERS FROM THE QUESTION ALONE"
        ));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_audit_belongs_to_the_run_that_holds_the_bundle() {
        let dir = tempfile::tempdir().unwrap();
        let (run, bundle) = (dir.path(), dir.path().join("bundle"));
        std::fs::create_dir_all(&bundle).unwrap();
        std::fs::write(bundle.join("bundle.json"), "{}").unwrap();
        let mut request = Request {
            bundle: bundle.clone(),
            data: None,
            rows: 8,
            batch_size: 8,
        };
        assert_eq!(run_folder(&request), None, "a bundle alone");
        std::fs::write(run.join("config.toml"), "").unwrap();
        assert_eq!(run_folder(&request), Some(run));
        request.bundle = run.into();
        assert_eq!(run_folder(&request), Some(run));
        request.data = Some("other.jsonl".into());
        assert_eq!(run_folder(&request), None, "other rows");
    }
}
