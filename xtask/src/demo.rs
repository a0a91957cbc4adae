//! `cargo xtask demo`: the whole path, offline, with the pocket models. Every step is a command that a user could type,
//! and is shown as such.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::process;

const RUNS: &str = "runs/pocket";
const MOLECULES: &str = "datasets/pocket/molecules.jsonl";

/// Two held-out molecules, by id, with a question each.
const QUESTIONS: [(&str, &str); 2] = [
    ("CID:2519", "What kind of compound is <molecule>?"),
    ("CID:3672", "Describe <molecule>."),
];

/// Flags of the demo.
#[derive(Debug, Args)]
pub struct Demo {}

/// What the steps took so far.
struct Tour {
    program: PathBuf,
    start: Instant,
    peak: u64,
}

impl Demo {
    /// Runs all steps; stops at the first that fails, with its exit code.
    pub fn run(self) -> Result<ExitCode> {
        let building = Instant::now();
        let program = build()?;
        println!("built in {}\n", process::duration(building.elapsed()));
        let mut tour = Tour {
            program,
            start: Instant::now(),
            peak: 0,
        };
        let mut steps = vec![
            words(&["align", "--config", "configs/pocket/align-molecule.toml"]),
            words(&["finetune", "--config", "configs/pocket/finetune.toml"]),
            words(&[
                "eval",
                "--bundle",
                "runs/pocket/finetune",
                "--suite",
                "all",
                "--report",
                "runs/pocket/report",
            ]),
        ];
        for (id, question) in QUESTIONS {
            let smiles = molecule(&process::root().join(MOLECULES), id)?;
            steps.push(words(&[
                "ask",
                "--bundle",
                "runs/pocket/finetune",
                "--molecule",
                &smiles,
                question,
            ]));
        }
        let total = steps.len();
        for (number, step) in steps.iter().enumerate() {
            if let Some(code) = tour.step(number + 1, total, step)? {
                return Ok(code);
            }
        }
        tour.goodbye();
        Ok(ExitCode::SUCCESS)
    }
}

impl Tour {
    /// Runs one command; its exit code if it failed.
    fn step(&mut self, number: usize, total: usize, args: &[String]) -> Result<Option<ExitCode>> {
        let mut command = Command::new(&self.program);
        command.current_dir(process::root()).args(args);
        println!("[{number}/{total}] {}", process::shown(&command));
        let start = Instant::now();
        let ended = process::watched(&mut command)?;
        self.peak = self.peak.max(ended.peak);
        if !ended.status.success() {
            eprintln!(
                "the demo stopped at this step: {}",
                process::shown(&command)
            );
            return Ok(Some(process::exit_code(ended.status)));
        }
        println!(
            "      {}, {}\n",
            process::duration(start.elapsed()),
            megabytes(ended.peak)
        );
        Ok(None)
    }

    fn goodbye(&self) {
        let took: Duration = self.start.elapsed();
        println!(
            "done in {} after the build, with at most {} of memory.",
            process::duration(took),
            megabytes(self.peak)
        );
        println!("The bundle is {RUNS}/finetune/bundle, the report {RUNS}/report/report.md.");
        let program = self.program.strip_prefix(process::root());
        let program = program.unwrap_or(&self.program).display();
        println!("Three commands to try next:");
        println!(
            "  {program} ask --bundle {RUNS}/finetune --molecule 'CC(=O)Oc1ccccc1C(=O)O' 'Does <molecule> contain an ester?'"
        );
        println!("  {program} inspect {RUNS}/finetune");
        println!(
            "  {program} align --config configs/pocket/align-molecule.toml --set align.steps=100 --set run.dir=runs/mine"
        );
    }
}

/// Builds the program in release and returns its path.
fn build() -> Result<PathBuf> {
    let mut command = process::cargo();
    command.args([
        "build",
        "--release",
        "--package",
        "bioverse",
        "--bin",
        "bioverse",
    ]);
    println!("{}", process::shown(&command));
    if !process::status(&mut command)?.success() {
        bail!("the build failed, see above");
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = process::root().join(target.unwrap_or_else(|| "target".into()));
    let program = target
        .join("release")
        .join(format!("bioverse{}", std::env::consts::EXE_SUFFIX));
    if !program.is_file() {
        bail!(
            "cargo built the program, but it is not at {}",
            program.display()
        );
    }
    Ok(program)
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn megabytes(bytes: u64) -> String {
    match bytes {
        0 => "memory unknown".into(),
        bytes => format!("{} MB", bytes / 1_000_000),
    }
}

/// SMILES of the held-out molecule `id`.
fn molecule(file: &Path, id: &str) -> Result<String> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let row = text
        .lines()
        .find(|line| field(line, "id") == Some(id))
        .with_context(|| format!("{} has no molecule {id}", file.display()))?;
    if field(row, "split") != Some("test") {
        bail!("{id} is not a held-out molecule; choose another for the demo");
    }
    let smiles = field(row, "smiles").with_context(|| format!("{id} has no SMILES"))?;
    Ok(smiles.replace(r"\\", r"\"))
}

/// A string field of a JSON line. Enough for a file we wrote ourselves; this crate links no JSON library on purpose.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let key = format!("\"{name}\":");
    let rest = line[line.find(&key)? + key.len()..].trim_start();
    rest.strip_prefix('"')?.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_row() {
        let row = r#"{"id":"CID:1", "smiles": "F/C=C\\F","text":"…","split":"test"}"#;
        assert_eq!(field(row, "id"), Some("CID:1"));
        assert_eq!(field(row, "smiles"), Some(r"F/C=C\\F"));
        assert_eq!(field(row, "group"), None);
    }

    #[test]
    fn the_molecules_of_the_demo_are_held_out() {
        let file = process::root().join(MOLECULES);
        for (id, _) in QUESTIONS {
            assert!(
                molecule(&file, id).is_ok(),
                "{id}: {:?}",
                molecule(&file, id)
            );
        }
    }
}
