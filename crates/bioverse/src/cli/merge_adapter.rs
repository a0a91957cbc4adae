//! `bioverse merge-adapter`: a model and its LoRA become one model.

use std::path::PathBuf;

use clap::Args;

use super::{
    convert::{Dtype, describe},
    out,
};
use crate::{
    convert::{Replace, merge::AdapterMerge},
    error::Result,
    hub,
};

/// Folds a LoRA into its model and writes a plain Hugging Face folder.
///
/// The folder holds what the model's held, with the changed weights; transformers and everything else loads it without
/// PEFT. Numbers are added in 32 bits and stored as the model stores them. Memory holds one tensor at a time.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct MergeAdapter {
    /// The model that the adapter was trained on: a folder, or `org/name[@revision]`.
    #[arg(long, value_name = "MODEL")]
    model: PathBuf,
    /// The adapter: a PEFT folder, a bundle that was finetuned, or `org/name[@revision]`.
    #[arg(long, value_name = "DIR")]
    adapter: PathBuf,
    /// The folder to write.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// How numbers are stored; as in the model if not given.
    #[arg(long, value_enum)]
    dtype: Option<Dtype>,
    /// Replaces a folder that is there.
    #[arg(long)]
    force: bool,
    /// Says what would be written, and writes nothing.
    #[arg(long)]
    dry_run: bool,
}

const EXAMPLES: &str = "\
Examples:
  bioverse merge-adapter --model models/pocket/lm --adapter runs/pocket/finetune/bundle --output models/pocket/tuned
  bioverse merge-adapter --model models/qwen --adapter downloads/my-lora --output models/qwen-tuned --dtype bf16";

impl MergeAdapter {
    /// Writes the folder and says how to use it.
    pub fn run(self) -> Result<()> {
        let adapter = match self.adapter.is_dir() {
            true => self.adapter,
            false => hub::locate(&self.adapter)?.dir,
        };
        let merge = AdapterMerge {
            model: hub::locate(&self.model)?.dir,
            adapter,
            output: self.output,
            dtype: self.dtype.map(Dtype::stored),
        };
        let output = merge.output.display().to_string();
        if self.dry_run {
            return describe(&merge.plan()?, &format!("would write {output}"));
        }
        let replace = match self.force {
            true => Replace::Existing,
            false => Replace::Never,
        };
        describe(&merge.run(replace)?, &format!("wrote {output}"))?;
        out::line(&format!(
            "try it: bioverse generate --model {output} --prompt \"Once upon a time\""
        ))
    }
}
