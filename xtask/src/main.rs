//! `cargo xtask`: starts the stages with the right Cargo features, and runs the checks. It links none of the libraries
//! and contains no machine learning.

mod bench;
mod checks;
mod demo;
mod launch;
mod process;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Build, run and check bioverse.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Offline, from a clean clone: align, finetune, evaluate, ask two questions.
    Demo(demo::Demo),
    /// Training steps beside the same steps in PyTorch: time and memory.
    Bench(bench::Bench),
    /// Everything that CI runs, cheapest first.
    Test,
    /// Stage 1: `bioverse align …` with the features of --device.
    Align(launch::Launch),
    /// Stage 2: `bioverse finetune …`.
    Finetune(launch::Launch),
    /// `bioverse eval …`.
    Eval(launch::Launch),
    /// `bioverse ask …`.
    Ask(launch::Launch),
    /// `bioverse audit …`: does a tuned model use its records?
    Audit(launch::Launch),
    /// `bioverse split …`: what stands on which side.
    Split(launch::Launch),
    /// `bioverse report …`: a run as one page.
    Report(launch::Launch),
    /// `bioverse sweep …`: a stage with every combination of some values.
    Sweep(launch::Launch),
    /// `bioverse cache …`: frozen encodings on disk.
    Cache(launch::Launch),
    /// `bioverse pretrain …`; `molecule` and `lm` stand for their files in configs/pocket.
    Pretrain(launch::Launch),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().task {
        Task::Demo(demo) => demo.run(),
        Task::Bench(bench) => bench.run(),
        Task::Test => checks::run(),
        Task::Align(launch) => launch.run("align"),
        Task::Finetune(launch) => launch.run("finetune"),
        Task::Eval(launch) => launch.run("eval"),
        Task::Ask(launch) => launch.run("ask"),
        Task::Audit(launch) => launch.run("audit"),
        Task::Split(launch) => launch.run("split"),
        Task::Report(launch) => launch.run("report"),
        Task::Sweep(launch) => launch.run("sweep"),
        Task::Cache(launch) => launch.run("cache"),
        Task::Pretrain(launch) => launch.pretrain(),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn words_for_the_program_need_no_separator() {
        for words in [
            &["xtask", "align", "--config", "c.toml", "--set", "a=1"][..],
            &["xtask", "align", "--device", "wgpu", "--config", "c.toml"],
            &["xtask", "align", "--help"],
            &["xtask", "pretrain", "lm", "--set", "a=1"],
        ] {
            assert!(Cli::try_parse_from(words).is_ok(), "{words:?}");
        }
    }
}
