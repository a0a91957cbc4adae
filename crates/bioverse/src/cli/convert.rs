//! `bioverse convert`: a checkpoint of another program becomes a Hugging Face folder.

use std::path::PathBuf;

use clap::Args;

use super::new_folder::NewFolder;
use crate::{convert::Conversion, error::Result, hub};

/// Converts a checkpoint into a Hugging Face folder with model.safetensors.
///
/// Reads llama2.c models (.bin, with their tokenizer) and what PyTorch saves (pytorch_model.bin and its shards, *.pt). Code in
/// a pickled file is never run. The folder appears as a whole; one that is there stays unless --force is given.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Convert {
    /// A checkpoint, a folder with one, or a model of the Hub as `org/name`.
    #[arg(value_name = "PATH")]
    input: PathBuf,
    /// Tokenizer of a llama2.c model; the only tok*.bin beside it if not given.
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    #[command(flatten)]
    folder: NewFolder,
}

const EXAMPLES: &str = "\
Examples:
  bioverse convert stories260K.bin --tokenizer tok512.bin --output models/stories260K
  bioverse convert downloads/ChemBERTa-77M-MLM --output models/chemberta
  bioverse convert scGPT_human/best_model.pt --output models/scgpt --dtype f16";

impl Convert {
    /// Writes the folder and says how to use it.
    pub fn run(self) -> Result<()> {
        let conversion = Conversion {
            input: hub::folder_or_path(&self.input)?,
            output: self.folder.output.clone(),
            tokenizer: self.tokenizer,
            dtype: self.folder.dtype(),
        };
        self.folder.write(
            || conversion.plan(),
            |replace| conversion.run(replace),
            |output| format!("look at it: bioverse inspect {output}"),
        )
    }
}
