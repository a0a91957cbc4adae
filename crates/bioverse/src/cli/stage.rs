//! What `align` and `finetune` share on the command line: a configuration and how to run it.

use std::path::PathBuf;

use bioverse_core::Registry;
use clap::Args;

use super::out;
use crate::{
    RunConfig, align::StageOptions, config::Resolved, error::Result, hub, interrupt, shell::quoted,
};

/// A configuration and what to do with it.
#[derive(Debug, Args)]
pub struct StageArgs {
    /// The run, as TOML: one file is one complete run.
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// Replaces one value of the file, such as `align.lr=1e-3`; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Checks every row and prints the first three as the model would see them, without training.
    #[arg(long, conflicts_with = "resume")]
    pub dry_run: bool,
    /// Goes on from the last checkpoint in `run.dir`; from the beginning when there is none yet.
    #[arg(long)]
    resume: bool,
}

impl StageArgs {
    /// Reads the configuration and shows each value with its origin, models of the Hub with their commit.
    pub fn resolve(&self, registry: &Registry) -> Result<Resolved> {
        let mut resolved = RunConfig::load(&self.config, &self.set, registry)?;
        match self.dry_run {
            true => hub::preview(&mut resolved)?,
            false => hub::pin(&mut resolved)?,
        }
        out::note(resolved.table().trim_end());
        Ok(resolved)
    }

    /// Makes Ctrl-C a request to stop after the step.
    pub fn options(&self) -> StageOptions {
        interrupt::install();
        interrupt::resume_with(resume_command(
            std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()),
        ));
        StageOptions {
            resume: self.resume,
        }
    }
}

/// The command that was given, with `--resume`, quoted for a shell.
fn resume_command(args: impl Iterator<Item = String>) -> String {
    let given: Vec<String> = args.filter(|arg| arg != "--resume").collect();
    let words = given.iter().map(|arg| quoted(arg));
    let mut command: Vec<String> = words.collect();
    command.push("--resume".into());
    command.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_to_go_on_with_survives_a_shell() {
        let args = [
            "bioverse",
            "align",
            "--set",
            "data.question=What's {}?",
            "--resume",
        ];
        assert_eq!(
            resume_command(args.map(String::from).into_iter()),
            r"bioverse align --set 'data.question=What'\''s {}?' --resume"
        );
    }
}
