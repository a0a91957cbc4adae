//! `cargo xtask test`: what CI runs, cheapest first. Each step is named and timed; the test runner's own summary is the
//! last thing printed.

use std::{process::ExitCode, time::Instant};

use anyhow::Result;

use crate::process;

struct Step {
    name: &'static str,
    args: &'static [&'static str],
    /// Environment on top of ours.
    env: &'static [(&'static str, &'static str)],
}

const STEPS: [Step; 5] = [
    Step {
        name: "format",
        args: &["fmt", "--all", "--", "--check"],
        env: &[],
    },
    Step {
        name: "lints",
        args: &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--quiet",
            "--",
            "--deny",
            "warnings",
        ],
        env: &[],
    },
    Step {
        name: "documentation",
        args: &["doc", "--workspace", "--no-deps", "--quiet"],
        env: &[("RUSTDOCFLAGS", "--deny warnings")],
    },
    Step {
        name: "examples in the documentation",
        args: &["test", "--workspace", "--doc", "--quiet"],
        env: &[],
    },
    Step {
        name: "tests",
        args: &["test", "--workspace", "--tests"],
        env: &[],
    },
];

/// Stops at the first step that fails, with its exit code.
pub fn run() -> Result<ExitCode> {
    for (number, step) in STEPS.iter().enumerate() {
        let mut command = process::cargo();
        command.args(step.args).envs(step.env.iter().copied());
        let place = format!("[{}/{}] {}", number + 1, STEPS.len(), step.name);
        println!("{place}: {}", process::shown(&command));
        let start = Instant::now();
        let status = process::status(&mut command)?;
        if !status.success() {
            eprintln!("{place} failed; run the command above to see it alone");
            return Ok(process::exit_code(status));
        }
        // After the last step the runner's summary has the last word.
        if number + 1 < STEPS.len() {
            println!("{place}: passed in {}", process::duration(start.elapsed()));
        }
    }
    Ok(ExitCode::SUCCESS)
}
