//! The command line: flags → configuration → one call. It touches no tensor.
//!
//! Each command is a clap struct with a `run` in its own file. Flags that depend on which modalities a program registers
//! (`ask --molecule CCO`) are added to the parsed command before it reads its arguments.

mod align;
mod ask;
mod audit;
mod cache;
mod chat;
mod convert;
mod download;
mod encode;
mod eval;
mod explaining;
mod finetune;
mod generate;
mod inspect;
mod merge_adapter;
mod new_folder;
mod out;
mod pretrain;
mod report;
mod sampling;
mod split;
mod stage;
mod sweep;

use std::{ffi::OsString, panic::AssertUnwindSafe, process::ExitCode};

use bioverse_core::Registry;
use clap::{ArgMatches, Command, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::{error::Result, telemetry};

/// Joins biological foundation models with large language models through soft tokens.
///
/// Stage 1 (`align`) teaches a small projector to write what a frozen encoder saw into the input space of a frozen LLM;
/// stage 2 (`finetune`) tunes the projector and a LoRA on instructions; `eval` measures, `ask` answers.
#[derive(Debug, Parser)]
#[command(name = "bioverse", version, after_long_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Verb,
    /// Say more on stderr.
    #[arg(long, short, global = true)]
    verbose: bool,
    /// Plain lines in place of bars and the dashboard, also on a terminal.
    #[arg(long, global = true)]
    plain: bool,
}

const EXAMPLES: &str = "\
Examples:
  bioverse align --config configs/pocket/align-molecule.toml
  bioverse finetune --config configs/pocket/finetune.toml
  bioverse ask --bundle runs/pocket/finetune --molecule CCO \"What kind of compound is it?\"

Exit codes: 0 done, 1 the run failed, 2 something given to it is wrong.";

#[derive(Debug, Subcommand)]
enum Verb {
    Align(align::Align),
    Finetune(finetune::Finetune),
    Ask(ask::Ask),
    Chat(chat::Chat),
    Eval(eval::Eval),
    Audit(audit::Audit),
    Generate(generate::Generate),
    Encode(encode::Encode),
    Convert(convert::Convert),
    MergeAdapter(merge_adapter::MergeAdapter),
    Inspect(inspect::Inspect),
    Split(split::Split),
    Download(download::Download),
    Cache(cache::Cache),
    Pretrain(pretrain::Pretrain),
    Report(report::Report),
    Sweep(sweep::Sweep),
}

/// The program with the modalities of `registry`.
pub fn main(registry: Registry) -> ExitCode {
    std::panic::set_hook(Box::new(report_panic));
    let parsed = std::panic::catch_unwind(AssertUnwindSafe(|| run(&registry, std::env::args_os())));
    match parsed {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(Failure::Usage(error))) => {
            let _ = error.print();
            // 0 for --help and --version, 2 otherwise.
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
        }
        Ok(Err(Failure::Run(error))) => {
            out::note(&format!("error: {}", out::sentence(&error.to_string())));
            ExitCode::from(error.exit_code())
        }
        Err(_) => ExitCode::FAILURE,
    }
}

/// Why the program did not end well.
enum Failure {
    /// The command line could not be read, or asked for help.
    Usage(clap::Error),
    /// A command ended with an error.
    Run(crate::Error),
}

fn run(registry: &Registry, args: impl Iterator<Item = OsString>) -> Result<(), Failure> {
    let matches = command(registry)
        .try_get_matches_from(args)
        .map_err(Failure::Usage)?;
    let cli = Cli::from_arg_matches(&matches).map_err(Failure::Usage)?;
    if cli.plain {
        telemetry::screen::plain();
    }
    telemetry::init_logging(cli.verbose);
    dispatch(cli.command, &matches, registry).map_err(Failure::Run)
}

/// The whole command line, with one flag of `ask` and `chat` for each modality.
fn command(registry: &Registry) -> Command {
    let with = |command| ask::with_modalities(command, &registry.names());
    Cli::command()
        .mut_subcommand("ask", with)
        .mut_subcommand("chat", with)
}

/// The records given to a command that takes some.
fn given(matches: &ArgMatches, verb: &str, registry: &Registry) -> Vec<(Option<String>, String)> {
    let own = matches.subcommand_matches(verb);
    own.map_or_else(Vec::new, |own| ask::records_of(own, &registry.names()))
}

fn dispatch(verb: Verb, matches: &ArgMatches, registry: &Registry) -> Result<()> {
    match verb {
        Verb::Align(command) => command.run(registry),
        Verb::Finetune(command) => command.run(registry),
        Verb::Ask(command) => command.run(given(matches, "ask", registry), registry),
        Verb::Chat(command) => command.run(given(matches, "chat", registry), registry),
        Verb::Eval(command) => command.run(registry),
        Verb::Audit(command) => command.run(registry),
        Verb::Generate(command) => command.run(),
        Verb::Encode(command) => command.run(registry),
        Verb::Convert(command) => command.run(),
        Verb::MergeAdapter(command) => command.run(),
        Verb::Inspect(command) => command.run(registry),
        Verb::Split(command) => command.run(registry),
        Verb::Download(command) => command.run(),
        Verb::Cache(command) => command.run(),
        Verb::Pretrain(command) => command.run(),
        Verb::Report(command) => command.run(),
        Verb::Sweep(command) => command.run(registry),
    }
}

fn report_panic(info: &std::panic::PanicHookInfo<'_>) {
    // A library that gave up on a damaged file: the file is told of, not the library.
    if bioverse_formats::guard::active() {
        return;
    }
    let said = info.payload_as_str().unwrap_or("no message");
    let at = info
        .location()
        .map_or_else(String::new, |at| format!(" at {}:{}", at.file(), at.line()));
    out::note(&format!(
        "error: this is a bug in bioverse {}, not in your input: {}{at}; please report it with the command you ran",
        env!("CARGO_PKG_VERSION"),
        out::sentence(said),
    ));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command(&crate::registry::standard()).debug_assert();
    }

    #[test]
    fn every_command_shows_examples() {
        for verb in command(&crate::registry::standard()).get_subcommands_mut() {
            let help = verb.render_long_help().to_string();
            assert!(help.contains("Examples:"), "{}", verb.get_name());
        }
    }

    #[test]
    fn usage_errors_are_bad_input() {
        let args = ["bioverse", "align"].map(OsString::from);
        match run(&crate::registry::standard(), args.into_iter()) {
            Err(Failure::Usage(error)) => assert_eq!(error.exit_code(), 2),
            _ => panic!("a missing --config must be a usage error"),
        }
    }
}
