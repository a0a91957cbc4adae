//! `bioverse-benches`: one process measures one training step of given shapes and prints what it saw, a word and a number
//! a line. `cargo xtask bench` starts it in turns with its PyTorch twin and compares; it knows no peer itself.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod encoder;
mod files;
mod measure;
mod stage1;
mod stage2;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Training steps, measured.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Writes the inputs of a row, so that both sides start from the same numbers.
    #[command(subcommand)]
    Prepare(Prepare),
    /// A frozen encoder: its layers on plain slices beside the same in Burn.
    Encoder(encoder::Run),
    /// A step of stage 1: cached encodings, projector, InfoNCE, AdamW.
    Stage1(stage1::Run),
    /// A step of stage 2: soft tokens, decoder with LoRA, AdamW.
    Stage2(stage2::Run),
}

#[derive(Debug, Subcommand)]
enum Prepare {
    /// Of stage 1.
    Stage1(stage1::Shape),
    /// Of stage 2.
    Stage2(stage2::Shape),
}

/// How often, and on what.
#[derive(Debug, Clone, clap::Args)]
struct Often {
    /// What `prepare` wrote.
    dir: PathBuf,
    /// Measured steps.
    #[arg(long, default_value_t = 20)]
    steps: usize,
    /// Steps before them.
    #[arg(long, default_value_t = 5)]
    warmup: usize,
    /// Dropout; 0 where losses are to be compared.
    #[arg(long, default_value_t = 0.0)]
    dropout: f64,
    /// Print the loss of every step.
    #[arg(long)]
    losses: bool,
}

fn main() -> Result<()> {
    match Cli::parse().task {
        Task::Prepare(Prepare::Stage1(shape)) => shape.write(),
        Task::Prepare(Prepare::Stage2(shape)) => shape.write(),
        Task::Encoder(run) => run.run(),
        Task::Stage1(run) => run.run(),
        Task::Stage2(run) => run.run(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
