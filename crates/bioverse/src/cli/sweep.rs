//! `bioverse sweep`: a stage with every combination of some values.

use std::path::PathBuf;

use bioverse_core::Registry;
use clap::{Args, ValueEnum};

use super::out;
use crate::error::{Error, Result};
use crate::sweep::{self, Plan, Request, Stage};

/// Runs a stage with every combination of some values, and compares what came out.
///
/// Every combination is checked before the first begins, and is a run of its own in `run.dir/sweep/<name>`. A sweep that was
/// killed goes on with the same command: runs that have ended are not run again, an interrupted one goes on from its
/// checkpoint. The table is printed, and written as sweep.md, sweep.json and sweep.html into `run.dir/sweep`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Sweep {
    /// Which stage.
    #[arg(value_enum)]
    stage: Verb,
    /// The run that all combinations start from.
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// Values of one key, separated by commas, or as one TOML list; may be repeated.
    #[arg(long, value_name = "KEY=V1,V2")]
    vary: Vec<String>,
    /// Replaces one value in all runs, such as `align.steps=200`; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Repeats each combination with this many seeds, and reports mean and standard deviation.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seeds: usize,
    /// What to compare by, a key of metrics.jsonl; without it held_out_mrr (align) or held_out_loss (finetune).
    #[arg(long, value_name = "KEY")]
    metric: Option<String>,
    /// Runs at a time.
    #[arg(long, value_name = "N", default_value_t = 1)]
    jobs: usize,
    /// Checks every combination and lists the runs.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Verb {
    /// Stage 1.
    Align,
    /// Stage 2.
    Finetune,
}

const EXAMPLES: &str = "\
Examples:
  bioverse sweep align --config configs/pocket/align-molecule.toml \\
      --vary align.text_space=raw,centered,whitened \\
      --vary align.text_from=input-embeddings,hidden-states
  bioverse sweep align --config run.toml --vary align.lr=1e-3,3e-3 --seeds 3
  bioverse sweep align --config run.toml --vary 'align.modalities=[[\"molecule\"],[\"protein\"]]' --dry-run
  bioverse sweep finetune --config run.toml --vary finetune.lora.r=4,8,16 --jobs 2";

impl Sweep {
    /// Runs what has not ended yet, and prints the table.
    pub fn run(self, registry: &Registry) -> Result<()> {
        let request = Request {
            stage: match self.stage {
                Verb::Align => Stage::Align,
                Verb::Finetune => Stage::Finetune,
            },
            config: self.config,
            sets: self.set,
            vary: self.vary,
            seeds: self.seeds,
            metric: self.metric,
        };
        let plan = Plan::new(&request, registry)?;
        if self.dry_run {
            return out::text(&sweep::listing(&plan));
        }
        let summary = sweep::run(&plan, self.jobs)?;
        out::text(&summary.screen())?;
        let dir = plan.dir.display();
        out::line(&format!("sweep: {dir}/sweep.html, sweep.md and sweep.json"))?;
        let failed: usize = summary.rows.iter().map(|row| row.failures.len()).sum();
        if failed > 0 {
            let all = plan.trials.len();
            return Err(Error::Run(format!(
                "{failed} of {all} runs failed, as the table says; the same command tries them again"
            )));
        }
        if !summary.measured() {
            return Err(Error::Run(format!(
                "no run measured `{}`; hold rows out with `data.split_field` or `data.eval`, or choose another --metric",
                plan.metric
            )));
        }
        Ok(())
    }
}
