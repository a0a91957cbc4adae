//! `bioverse convert`: a checkpoint of another program becomes a Hugging Face folder.

use std::path::PathBuf;

use bioverse_nn::weights::StoredDtype;
use clap::{Args, ValueEnum};

use super::out;
use crate::{
    convert::{Conversion, Replace, Summary},
    error::Result,
    hub,
};

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
    /// The folder to write.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// Tokenizer of a llama2.c model; the only tok*.bin beside it if not given.
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    /// How numbers are stored; as in the checkpoint if not given.
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
  bioverse convert stories260K.bin --tokenizer tok512.bin --output models/stories260K
  bioverse convert downloads/ChemBERTa-77M-MLM --output models/chemberta
  bioverse convert scGPT_human/best_model.pt --output models/scgpt --dtype f16";

/// Width of stored numbers.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Dtype {
    F32,
    F16,
    Bf16,
}

impl Dtype {
    pub(super) fn stored(self) -> StoredDtype {
        match self {
            Self::F32 => StoredDtype::F32,
            Self::F16 => StoredDtype::F16,
            Self::Bf16 => StoredDtype::BF16,
        }
    }
}

impl Convert {
    /// Writes the folder and says how to use it.
    pub fn run(self) -> Result<()> {
        let conversion = Conversion {
            input: hub::folder_or_path(&self.input)?,
            output: self.output,
            tokenizer: self.tokenizer,
            dtype: self.dtype.map(Dtype::stored),
        };
        let output = conversion.output.display().to_string();
        if self.dry_run {
            return describe(&conversion.plan()?, &format!("would write {output}"));
        }
        let replace = match self.force {
            true => Replace::Existing,
            false => Replace::Never,
        };
        describe(&conversion.run(replace)?, &format!("wrote {output}"))?;
        out::line(&format!("look at it: bioverse inspect {output}"))
    }
}

/// Says what was or would be written.
pub(super) fn describe(summary: &Summary, what: &str) -> Result<()> {
    out::line(&format!(
        "{}: {} tensors, {} parameters",
        summary.kind, summary.tensors, summary.parameters
    ))?;
    out::line(&format!("{what}: {}", summary.files.join(", ")))
}
