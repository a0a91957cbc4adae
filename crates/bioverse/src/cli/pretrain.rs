//! `bioverse pretrain`: a small model from scratch.

use std::path::PathBuf;

use clap::Args;

use super::out;
use crate::{error::Result, interrupt, pretrain};

/// Trains a small encoder or language model from scratch, with its tokenizer.
///
/// This is how the models under `models/pocket` were made. The result is an ordinary Hugging Face folder.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Pretrain {
    /// The run, as TOML.
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// Replaces one value of the file, such as `train.steps=100`; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Goes on from the last checkpoint.
    #[arg(long)]
    resume: bool,
}

const EXAMPLES: &str = "\
Examples:
  bioverse pretrain --config configs/pocket/pretrain-molecule.toml
  bioverse pretrain --config configs/pocket/pretrain-lm.toml --resume";

impl Pretrain {
    /// Runs the training.
    pub fn run(self) -> Result<()> {
        interrupt::install();
        let model = pretrain::run(&self.config, &self.set, self.resume)?;
        out::line(&format!("trained: the model is {}", model.display()))?;
        out::line(&format!("next: bioverse inspect {}", model.display()))
    }
}
