//! `cargo xtask demo`: the whole path, offline, with the pocket models. Every step is a command that a user could type,
//! and is shown as such.

use std::{
    path::PathBuf,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use clap::Args;

use crate::process;

const RUNS: &str = "runs/pocket";
#[cfg(test)]
const PROTEINS: &str = "datasets/pocket/proteins.jsonl";

/// A question about records that no training run saw together with what is said of them.
struct Question {
    /// What the data says, for the reader to compare.
    truth: &'static str,
    /// Flags with the records.
    records: &'static [(&'static str, &'static str)],
    words: &'static str,
}

const QUESTIONS: [Question; 4] = [
    Question {
        truth: "a molecule it never saw (CID:5282074); the data says: an isoflavonoid",
        records: &[("--molecule", "O=c1c(-c2ccc(O)cc2O)coc2cc(O)cc(O)c12")],
        words: "What kind of compound is <molecule>?",
    },
    Question {
        truth: "a protein it never saw (histone H2B); the data says: a histone in the nucleus, which packs DNA",
        records: &[(
            "--protein",
            "datasets/pocket/proteins.jsonl#9606.ENSP00000274764",
        )],
        words: "Describe <protein>.",
    },
    Question {
        truth: "a blood cell it never saw; the data says: a B cell",
        records: &[("--cell", "datasets/pocket/cells.h5ad#70")],
        words: "What type of cell is <cell>?",
    },
    Question {
        truth: "two records in one question, vorinostat and HDAC2, a pair it never saw; the data says: it binds",
        records: &[
            ("--molecule", "O=C(CCCCCCC(=O)Nc1ccccc1)NO"),
            ("--protein", "datasets/pocket/proteins.jsonl#NCBIGene:3066"),
        ],
        words: "Does <molecule> bind <protein>?",
    },
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

/// The whole path. Retrieval is measured on what stage 1 aligned, everything else on what stage 2 tuned.
fn steps() -> Vec<Step> {
    let config = |name: &str| format!("configs/pocket/{name}.toml");
    let run = |name: &str| format!("{RUNS}/{name}");
    let eval = |purpose: &str, stage: &str, suite: &str, flags: &[&str]| {
        let (bundle, report) = (run(stage), format!("{RUNS}/report/{suite}"));
        let mut args = vec![
            "eval", "--bundle", &bundle, "--suite", suite, "--report", &report,
        ];
        args.extend(flags);
        Step::new(purpose, &args)
    };
    let cells = [
        "--modality",
        "cell",
        "--data",
        "datasets/pocket/cells.h5ad",
        "--label-field",
        "name",
        "--split-field",
        "split",
        "--question",
        "What type of cell is {}?",
    ];
    let mut steps = vec![
        Step::new(
            "stage 1: four projectors learn to write molecules, proteins, cells and texts into the LLM's input space",
            &["align", "--config", &config("align")],
        ),
        Step::new(
            "stage 2: projectors and LoRA learn to answer questions about them",
            &["finetune", "--config", &config("finetune")],
        ),
        eval(
            "held-out records: which text is whose?",
            "align",
            "retrieval",
            &[],
        ),
        eval(
            "held-out cells: of which type are they?",
            "finetune",
            "annotate",
            &cells,
        ),
    ];
    for question in &QUESTIONS {
        let bundle = run("finetune");
        let mut args = vec!["ask", "--bundle", &bundle];
        args.extend(
            question
                .records
                .iter()
                .flat_map(|(flag, value)| [*flag, *value]),
        );
        args.push(question.words);
        steps.push(Step::new(question.truth, &args));
    }
    steps
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
        let steps = steps();
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
        println!("The bundle is {RUNS}/finetune/bundle. Open in a browser:");
        for suite in ["retrieval", "annotate"] {
            let page = process::root()
                .join(RUNS)
                .join("report")
                .join(suite)
                .join("report.html");
            println!("  file://{}", page.display());
        }
        let program = self.program.strip_prefix(process::root());
        let program = program.unwrap_or(&self.program).display();
        println!("Three commands to try next:");
        println!(
            "  {program} ask --bundle {RUNS}/finetune --molecule 'CC(=O)Oc1ccccc1C(=O)O' 'Does <molecule> contain an ester?'"
        );
        println!("  {program} inspect {RUNS}/finetune");
        println!("  {program} chat --bundle {RUNS}/finetune");
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
#[cfg(test)]
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
    fn the_protein_of_the_demo_is_held_out() {
        let file = process::root().join(PROTEINS);
        let rows =
            std::fs::read_to_string(file).expect("the pocket proteins are in the repository");
        let (_, record) = QUESTIONS[1].records[0];
        let id = record.rsplit('#').next().expect("a name behind #");
        let row = rows.lines().find(|line| field(line, "id") == Some(id));
        assert_eq!(
            row.and_then(|row| field(row, "split")),
            Some("test"),
            "{id}"
        );
    }
}
