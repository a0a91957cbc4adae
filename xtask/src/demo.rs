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
    ("CID:5282074", "What kind of compound is <molecule>?"),
    ("CID:119199", "Describe <molecule>."),
];

/// Flags of the demo.
#[derive(Debug, Args)]
pub struct Demo {}

/// A command and why it is run.
struct Step {
    purpose: String,
    args: Vec<String>,
}

impl Step {
    fn new(purpose: &str, args: &[&str]) -> Self {
        Self {
            purpose: purpose.to_owned(),
            args: args.iter().map(|word| (*word).to_owned()).collect(),
        }
    }
}

/// The whole path. Retrieval is measured on what stage 1 aligned, answers on what stage 2 tuned.
fn steps(molecules: &Path) -> Result<Vec<Step>> {
    let config = |name: &str| format!("configs/pocket/{name}.toml");
    let run = |name: &str| format!("{RUNS}/{name}");
    let report = |name: &str| format!("{RUNS}/{name}/report");
    let eval = |purpose: &str, stage: &str, suite: &str| {
        let (bundle, report) = (run(stage), report(stage));
        let flags = [
            "eval", "--bundle", &bundle, "--suite", suite, "--report", &report,
        ];
        Step::new(purpose, &flags)
    };
    let mut steps = vec![
        Step::new(
            "stage 1: the projector learns to write molecules into the LLM's input space",
            &["align", "--config", &config("align-molecule")],
        ),
        Step::new(
            "stage 2: projector and LoRA learn to answer questions about molecules",
            &["finetune", "--config", &config("finetune")],
        ),
        eval(
            "held-out molecules: which text is whose?",
            "align",
            "retrieval",
        ),
        eval(
            "held-out molecules: are the answers right?",
            "finetune",
            "answers",
        ),
    ];
    for (id, question) in QUESTIONS {
        let (smiles, text) = molecule(molecules, id)?;
        let purpose = format!("a molecule it never saw, {id}; the data says: {text}");
        let bundle = run("finetune");
        steps.push(Step::new(
            &purpose,
            &["ask", "--bundle", &bundle, "--molecule", &smiles, question],
        ));
    }
    Ok(steps)
}

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
        let steps = steps(&process::root().join(MOLECULES))?;
        let total = steps.len();
        for (number, step) in steps.iter().enumerate() {
            let place = format!("[{}/{total}]", number + 1);
            println!("{}", wrapped(&format!("{place} {}", step.purpose)));
            if let Some(code) = tour.step(&step.args)? {
                return Ok(code);
            }
        }
        tour.goodbye();
        Ok(ExitCode::SUCCESS)
    }
}

impl Tour {
    /// Runs one command; its exit code if it failed.
    fn step(&mut self, args: &[String]) -> Result<Option<ExitCode>> {
        let mut command = Command::new(&self.program);
        command.current_dir(process::root()).args(args);
        println!("$ {}", process::shown(&command));
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
            "({}, {})\n",
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
        println!("The bundle is {RUNS}/finetune/bundle; every prediction behind the tables is in");
        println!("{RUNS}/align/report and {RUNS}/finetune/report.");
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
    let program = process::target()
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

fn megabytes(bytes: u64) -> String {
    match bytes {
        0 => "memory unknown".into(),
        bytes => format!("{} MB", bytes / 1_000_000),
    }
}

/// SMILES and text of the held-out molecule `id`.
fn molecule(file: &Path, id: &str) -> Result<(String, String)> {
    let rows = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let row = rows
        .lines()
        .find(|line| field(line, "id") == Some(id))
        .with_context(|| format!("{} has no molecule {id}", file.display()))?;
    if field(row, "split") != Some("test") {
        bail!("{id} is not a held-out molecule; choose another for the demo");
    }
    let value = |name| field(row, name).with_context(|| format!("{id} has no {name}"));
    Ok((
        value("smiles")?.replace(r"\\", r"\"),
        value("text")?.to_owned(),
    ))
}

/// Lines of at most 80 columns, all but the first set in by as much as `[1/6] ` takes.
fn wrapped(text: &str) -> String {
    let (mut lines, mut width) = (String::new(), 0);
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if width > 0 && width + 1 + length > 80 {
            lines.push_str("\n      ");
            width = 6;
        } else if width > 0 {
            lines.push(' ');
            width += 1;
        }
        lines.push_str(word);
        width += length;
    }
    lines
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
    fn long_lines_are_wrapped_and_no_word_is_lost() {
        let text = "[1/6] a word and another ".repeat(9);
        let lines = wrapped(&text);
        assert!(lines.lines().all(|line| line.chars().count() <= 80));
        assert!(lines.lines().skip(1).all(|line| line.starts_with("      ")));
        let words = |text: &str| {
            text.split_whitespace()
                .map(String::from)
                .collect::<Vec<_>>()
        };
        assert_eq!(words(&lines), words(&text));
    }

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
