//! `bioverse finetune`: stage 2.

use bioverse_core::Registry;
use clap::Args;

use super::{audit, out, stage::StageArgs};
use crate::{
    audit::{FILE, Report},
    error::Result,
    finetune,
};

/// Stage 2: tunes projectors and a LoRA of the LLM on instructions that carry records.
///
/// Starts from the bundle of stage 1 that `finetune.from` names, learns the assistant's turns only, and writes a bundle
/// to `run.dir` that holds everything but the frozen models.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Finetune {
    #[command(flatten)]
    stage: StageArgs,
}

const EXAMPLES: &str = "\
Examples:
  bioverse finetune --config configs/pocket/finetune.toml
  bioverse finetune --config configs/pocket/finetune.toml --dry-run
  bioverse finetune --config configs/pocket/finetune.toml --resume";

impl Finetune {
    /// Runs the stage.
    pub fn run(self, registry: &Registry) -> Result<()> {
        let resolved = self.stage.resolve(registry)?;
        if self.stage.dry_run {
            return out::text(&finetune::dry_run(&resolved, registry)?);
        }
        let bundle = finetune::run(&resolved, registry, self.stage.options())?;
        let found = resolved.config.run.dir.join(FILE);
        if found.exists() {
            audit::show(&Report::read(&found)?)?;
        }
        let (dir, run) = (bundle.dir.display(), resolved.config.run.dir.display());
        out::line(&format!("tuned: the bundle is {dir}"))?;
        out::line(&format!("report: bioverse report {run}"))?;
        out::line(&format!("next: bioverse eval --bundle {run} --suite all"))
    }
}
