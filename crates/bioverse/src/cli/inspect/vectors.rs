//! Tables of vectors: how many, how wide, and what is wrong with them.

use std::path::Path;

use bioverse_formats::embeddings::{self, Choice};
use bioverse_nn::Weights;

use super::{Findings, grouped};
use crate::{error::Result, files};

/// Whether a file can be nothing else than a table of vectors: numpy's, or what `bioverse encode` writes as safetensors.
pub fn is_table(file: &Path) -> bool {
    let extension = file.extension().and_then(|extension| extension.to_str());
    match extension {
        Some("npy") => true,
        Some("safetensors") => Weights::open_file(file).is_ok_and(|tensors| {
            let has = |name| tensors.contains(name);
            has("ids") && (has("embeddings") || has("states"))
        }),
        _ => false,
    }
}

/// A table of vectors.
pub fn look(file: &Path, findings: &mut Findings) -> Result<()> {
    findings.fact("vectors", file.display());
    findings.fact("sha256", files::sha256(file)?);
    match embeddings::read(file, &Choice::default()) {
        Err(error) => findings.problem(error.to_string()),
        Ok(vectors) => {
            findings.fact("records", grouped(vectors.len() as u64));
            findings.fact("width", vectors.width());
            let first: Vec<&str> = vectors.ids().iter().take(3).map(String::as_str).collect();
            findings.fact("ids", format!("{} …", first.join(", ")));
            if !vectors.one_each() {
                findings.fact("form", "several vectors for each record");
            }
        }
    }
    Ok(())
}
