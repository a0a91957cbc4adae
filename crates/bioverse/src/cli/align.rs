//! `bioverse align`: stage 1.

use bioverse_core::Registry;
use clap::Args;

use super::{out, stage::StageArgs};
use crate::{align, error::Result};

/// Stage 1: teaches each modality's projector the LLM's input space; encoder and LLM stay frozen.
///
/// Reads pairs of records and texts, encodes every record once, and trains the projector so that its soft tokens lie
/// where the text's embeddings do. Writes a bundle to `run.dir`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Align {
    #[command(flatten)]
    stage: StageArgs,
}

const EXAMPLES: &str = "\
Examples:
  bioverse align --config configs/pocket/align-molecule.toml
  bioverse align --config configs/pocket/align-molecule.toml --set align.steps=200 --set run.dir=runs/short
  bioverse align --config configs/pocket/align-molecule.toml --dry-run";

impl Align {
    /// Runs the stage.
    pub fn run(self, registry: &Registry) -> Result<()> {
        let resolved = self.stage.resolve(registry)?;
        if self.stage.dry_run {
            return out::text(&align::dry_run(&resolved, registry)?);
        }
        let bundle = align::run(&resolved, registry, self.stage.options())?;
        let (dir, run) = (bundle.dir.display(), resolved.config.run.dir.display());
        out::line(&format!("aligned: the bundle is {dir}"))?;
        out::line(&format!("report: bioverse report {run}"))?;
        out::line(&format!(
            "next: bioverse eval --bundle {run} --suite retrieval"
        ))
    }
}
