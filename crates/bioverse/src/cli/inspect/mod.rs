//! `bioverse inspect`: what a path holds, and what is wrong with it. It loads no model.

mod bundle;
mod model;
mod rows;
mod vectors;

use std::path::{Path, PathBuf};

use bioverse_core::Registry;
use clap::Args;

use super::out;
use crate::{
    Bundle, RunConfig,
    error::{Error, Result},
    hub,
};

/// Says what a model, adapter, bundle, data file or configuration holds, and what is wrong with it.
///
/// Exit code 2 when something is wrong.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Inspect {
    /// A model folder, a model of the Hub as `org/name`, a weight file, an adapter, a bundle or run directory, a data file, a
    /// table of vectors, or a run's TOML.
    path: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  bioverse inspect models/pocket/lm
  bioverse inspect runs/pocket/finetune
  bioverse inspect scGPT_human/best_model.pt
  bioverse inspect pbmc3k.h5ad
  bioverse inspect datasets/pocket/questions.jsonl";

/// What was found.
#[derive(Debug, Default)]
struct Findings {
    lines: Vec<String>,
    problems: Vec<String>,
}

impl Findings {
    fn fact(&mut self, name: &str, value: impl std::fmt::Display) {
        self.lines.push(format!("{name:<12} {value}"));
    }

    /// Takes down a problem; what several looks at one file say alike is one problem.
    fn problem(&mut self, problem: impl Into<String>) {
        let problem = out::sentence(&problem.into());
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }
}

impl Inspect {
    /// Prints the findings.
    pub fn run(self, registry: &Registry) -> Result<()> {
        let findings = look(&hub::folder_or_path(&self.path)?, registry)?;
        for line in &findings.lines {
            out::line(line)?;
        }
        for problem in &findings.problems {
            out::line(&format!("problem      {problem}"))?;
        }
        match findings.problems.as_slice() {
            [] => out::line("problems     none"),
            problems => Err(Error::Input(format!(
                "{}: {} found, the first: {}",
                self.path.display(),
                counted(problems.len(), "problem"),
                problems[0]
            ))),
        }
    }
}

fn look(path: &Path, registry: &Registry) -> Result<Findings> {
    let mut findings = Findings::default();
    let extension = path.extension().and_then(|extension| extension.to_str());
    if path.is_dir() {
        let is_bundle = |dir: &Path| dir.join("bundle.json").is_file();
        if is_bundle(path) || is_bundle(&path.join("bundle")) {
            bundle::look(&Bundle::open(path)?, registry, &mut findings);
        } else if model::is_scgpt(path) {
            model::look_scgpt(path, registry, &mut findings)?;
        } else if path.join("config.json").is_file() {
            model::look(path, &mut findings)?;
        } else if path.join("adapter_config.json").is_file() {
            model::adapter(path, &mut findings)?;
        } else if bioverse_formats::Format::detect(path).is_ok() {
            rows::look(path, registry, &mut findings)?;
        } else {
            return Err(Error::Input(format!(
                "{} is a folder without config.json (a model), adapter_config.json (an adapter) or bundle.json (a bundle)",
                path.display()
            )));
        }
    } else if vectors::is_table(path) {
        vectors::look(path, &mut findings)?;
    } else if matches!(
        extension,
        Some("safetensors" | "bin" | "pt" | "pth" | "ckpt")
    ) {
        findings.fact("file", path.display());
        model::weights(path, &mut findings)?;
    } else if extension == Some("toml") {
        let resolved = RunConfig::load(path, &[], registry)?;
        findings.fact("config", path.display());
        let table = resolved.table();
        findings.lines.extend(table.lines().map(str::to_owned));
    } else {
        rows::look(path, registry, &mut findings)?;
    }
    Ok(findings)
}

fn counted(n: usize, noun: &str) -> String {
    match n {
        1 => format!("1 {noun}"),
        n => format!("{n} {noun}s"),
    }
}

/// `12,345,678`.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(
            [0, 12, 1234, 1_234_567].map(grouped),
            ["0", "12", "1,234", "1,234,567"]
        );
    }

    #[test]
    fn an_unknown_folder_says_what_was_expected() {
        let dir = tempfile::tempdir().unwrap();
        let error = look(dir.path(), &Registry::new()).unwrap_err();
        assert!(error.to_string().contains("config.json"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }
}
