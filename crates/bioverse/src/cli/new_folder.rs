//! Flags of the commands that write a model folder. What goes into the folder is unknown here.

use std::path::PathBuf;

use bioverse_nn::weights::StoredDtype;
use clap::{Args, ValueEnum};

use super::out;
use crate::{
    convert::{Replace, Summary},
    error::Result,
};

/// Where a model folder goes, and how.
#[derive(Debug, Args)]
pub(super) struct NewFolder {
    /// The folder to write.
    #[arg(long, value_name = "DIR")]
    pub(super) output: PathBuf,
    /// How numbers are stored; as in the model that is read if not given.
    #[arg(long, value_enum)]
    dtype: Option<Dtype>,
    /// Replaces a folder that is there.
    #[arg(long)]
    force: bool,
    /// Says what would be written, and writes nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Width of stored numbers.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Dtype {
    F32,
    F16,
    Bf16,
}

impl NewFolder {
    /// How numbers are to be stored, where that was said.
    pub(super) fn dtype(&self) -> Option<StoredDtype> {
        self.dtype.map(|dtype| match dtype {
            Dtype::F32 => StoredDtype::F32,
            Dtype::F16 => StoredDtype::F16,
            Dtype::Bf16 => StoredDtype::BF16,
        })
    }

    /// Writes the folder, or says what would be written; `next` makes the last line of what was written.
    pub(super) fn write(
        &self,
        plan: impl FnOnce() -> Result<Summary>,
        run: impl FnOnce(Replace) -> Result<Summary>,
        next: impl FnOnce(&str) -> String,
    ) -> Result<()> {
        let output = self.output.display().to_string();
        if self.dry_run {
            return describe(&plan()?, &format!("would write {output}"));
        }
        let replace = match self.force {
            true => Replace::Existing,
            false => Replace::Never,
        };
        describe(&run(replace)?, &format!("wrote {output}"))?;
        out::line(&next(&output))
    }
}

/// Says what was or would be written.
fn describe(summary: &Summary, what: &str) -> Result<()> {
    out::line(&format!(
        "{}: {} tensors, {} parameters",
        summary.kind, summary.tensors, summary.parameters
    ))?;
    out::line(&format!("{what}: {}", summary.files.join(", ")))
}
