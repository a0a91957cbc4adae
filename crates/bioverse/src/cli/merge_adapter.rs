//! `bioverse merge-adapter`: a model and its LoRA become one model.

use std::path::PathBuf;

use clap::Args;

use super::new_folder::NewFolder;
use crate::{convert::merge::AdapterMerge, error::Result, hub};

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
    #[command(flatten)]
    folder: NewFolder,
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
            output: self.folder.output.clone(),
            dtype: self.folder.dtype(),
        };
        self.folder.write(
            || merge.plan(),
            |replace| merge.run(replace),
            |output| {
                format!("try it: bioverse generate --model {output} --prompt \"Once upon a time\"")
            },
        )
    }
}
