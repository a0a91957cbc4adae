//! PyTorch checkpoints → safetensors: the same tensors under the same names, bit for bit unless another width is asked
//! for, with the small files of their folder.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use bioverse_nn::{Weights, weights::StoredDtype};

use super::{Source, Summary, beside, name_dtype};
use crate::error::{Error, Result};

/// A checkpoint whose tensors are listed but not read.
pub(super) struct Checkpoint {
    weights: Weights,
    /// Where the small files are.
    dir: PathBuf,
    /// Files to copy, relative to it.
    small: Vec<PathBuf>,
}

/// Whether a file is what `torch.save` writes: a zip archive, or a pickle of PyTorch. llama2.c's models end in `.bin` too.
pub(super) fn is_checkpoint(file: &Path) -> Result<bool> {
    let mut start = [0; 16];
    let mut opened = std::fs::File::open(file).map_err(|error| Error::io(file, error))?;
    let length = opened
        .read(&mut start)
        .map_err(|error| Error::io(file, error))?;
    let start = start.get(..length).unwrap_or_default();
    let extension = file.extension().and_then(|extension| extension.to_str());
    Ok(
        matches!(extension, Some("pt" | "pth" | "ckpt" | "safetensors"))
            || start.starts_with(b"PK\x03\x04")
            || (start.starts_with(b"\x80") && start.get(1).is_some_and(|protocol| *protocol <= 5)),
    )
}

impl Checkpoint {
    /// Opens a checkpoint, or that of a folder.
    pub(super) fn open(input: &Path) -> Result<Self> {
        let (weights, dir) = match input.is_dir() {
            true => (Weights::open(input)?, input),
            false => {
                let dir = input.parent().filter(|dir| !dir.as_os_str().is_empty());
                (Weights::open_file(input)?, dir.unwrap_or(Path::new(".")))
            }
        };
        Ok(Self {
            weights,
            small: beside::small_files(dir)?,
            dir: dir.to_owned(),
        })
    }
}

impl Source for Checkpoint {
    fn summary(&self) -> Result<Summary> {
        let tensors = self.weights.outgoing()?;
        let names = self.small.iter().map(|path| path.display().to_string());
        let mut files: Vec<String> = names.chain(["model.safetensors".to_owned()]).collect();
        files.sort();
        Ok(Summary {
            kind: "PyTorch checkpoint".into(),
            tensors: tensors.len(),
            parameters: tensors.iter().map(|tensor| tensor.elements()).sum(),
            files,
        })
    }

    fn write(&self, dir: &Path, dtype: Option<StoredDtype>) -> Result<()> {
        beside::copy(&self.small, &self.dir, dir)?;
        if let Some(dtype) = dtype {
            name_dtype(dir, dtype)?;
        }
        super::write_tensors(dir, &self.weights.outgoing()?, dtype)
    }
}
