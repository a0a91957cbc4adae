//! What a person asked for, and what it means for others: the output's format, the size of a window, what must be the same
//! for partial work to be used again.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use bioverse_core::Registry;
use bioverse_formats::{
    Format, Options,
    embeddings::{Container, Dtype},
};
use burn::prelude::Device;
use toml::Table;

use super::{
    maker::{Maker, Pool},
    window::WindowBudget,
};
use crate::{
    data::{batches::Budget, refusal::with_step},
    encoders,
    error::{Error, Result},
    files,
};

/// Batches of a window.
const WINDOW: usize = 16;
/// Numbers that the states of a window may take where all of them are kept: 64 MB.
const STATES: usize = 1 << 24;

/// A file of records and what to make of it.
#[derive(Debug, Clone)]
pub struct Request {
    /// The modality, by its own name.
    pub modality: String,
    /// `[modality.<name>]`.
    pub table: Table,
    /// What is read.
    pub input: PathBuf,
    /// How it is read.
    pub options: Options,
    /// Field of the record; `None` = that of the format, or the only column with a usual name.
    pub input_field: Option<String>,
    /// Field of the id; `None` = that of the format, a column `id`, or the number of the row, from 0.
    pub id_field: Option<String>,
    /// What is written, by its extension: `.safetensors`, `.parquet`, `.npy` or `.h5ad`.
    pub output: PathBuf,
    /// Key in `obsm` of an h5ad.
    pub obsm_key: String,
    /// How states become one vector.
    pub pool: Pool,
    /// A bundle whose projector makes soft tokens of the states.
    pub projector: Option<PathBuf>,
    /// How numbers are stored.
    pub dtype: Dtype,
    /// Records of 64 characters that are encoded at a time.
    pub batch_size: usize,
    /// Leave bad records out.
    pub skip_bad: bool,
    /// Replace an output that is there.
    pub force: bool,
    /// As it was given.
    pub device_name: String,
    /// Where the encoder runs.
    pub device: Device,
}

impl Request {
    /// The format of the output, checked against what is asked for.
    pub(super) fn container(&self) -> Result<Container> {
        let refuse = |problem: &str| {
            Err(Error::Input(format!(
                "{}: {problem}",
                self.output.display()
            )))
        };
        let extension = self
            .output
            .extension()
            .unwrap_or_default()
            .to_string_lossy();
        let container = match extension.to_ascii_lowercase().as_str() {
            "safetensors" => Container::Safetensors,
            "parquet" => Container::Parquet,
            "npy" => Container::Npy,
            "h5ad" => Container::H5ad {
                input: self.input.clone(),
                key: self.obsm_key.clone(),
            },
            _ => {
                return refuse(
                    "the extension of the output says its format; end it in .safetensors, .parquet, .npy or .h5ad",
                );
            }
        };
        if self.pool == Pool::None && self.projector.is_none() && !container.takes_varying() {
            return refuse(
                "only safetensors holds all states of each record; end it in .safetensors, or pool them",
            );
        }
        if let Container::H5ad { .. } = container {
            let format = self
                .options
                .format
                .map_or_else(|| Format::detect(&self.input), Ok)?;
            if format != Format::H5ad {
                return refuse(&format!(
                    "an h5ad is written as a copy of the input with the vectors in it, but {} is {}; end the output in \
                     .safetensors or .parquet",
                    self.input.display(),
                    format.name()
                ));
            }
            if self.dtype == Dtype::F16 {
                return refuse("h5ad is written in single precision; leave `--dtype f16` out");
            }
            if same_file(&self.input, &self.output) {
                return refuse("the output is the input; choose another name for the copy");
            }
        }
        Ok(container)
    }

    /// What is encoded at a time. Where all states are kept, a window holds fewer of them.
    pub(super) fn budget(&self, width: usize, keeps_states: bool) -> WindowBudget {
        let batch = Budget::of(self.batch_size.max(1));
        let units = batch.units.saturating_mul(WINDOW);
        WindowBudget {
            batch,
            records: batch.records.saturating_mul(WINDOW),
            units: match keeps_states {
                true => units.min((STATES / width.max(1)).max(1)),
                false => units,
            },
        }
    }

    /// Everything that decides the numbers, by name. Partial work is used again only when all of it is the same.
    pub(super) fn fingerprint(
        &self,
        registry: &Registry,
        maker: &Maker,
    ) -> Result<BTreeMap<String, String>> {
        let mut print = BTreeMap::new();
        let mut put = |key: &str, value: String| print.insert(key.to_owned(), value);
        put("version", env!("CARGO_PKG_VERSION").into());
        put("modality", format!("{} {}", self.modality, self.table));
        put("input", self.input.display().to_string());
        put("input content", stamps(&self.input)?);
        put(
            "reading",
            format!(
                "{:?} {:?} {:?}",
                self.options, self.input_field, self.id_field
            ),
        );
        put(
            "encoding",
            format!(
                "{} on {}, {} at a time",
                maker.describe(),
                self.device_name,
                self.batch_size
            ),
        );
        for file in encoders::weights(registry, &self.modality, &self.table)? {
            if file.is_file() {
                put(&format!("model {}", file.display()), files::sha256(&file)?);
            }
        }
        if let Some(sha) = maker.projector_sha() {
            put("projector", sha.into());
        }
        Ok(print)
    }

    /// The file that says which records were left out, and why.
    pub fn rejected_file(&self) -> PathBuf {
        beside(&self.output, "rejected.jsonl")
    }

    pub(super) fn no_rows(&self) -> Error {
        Error::Input(format!(
            "{} has no rows; give a file with at least one",
            self.input.display()
        ))
    }

    /// An error about one row of the input.
    pub(super) fn at(&self, row: usize, reason: &str) -> Error {
        Error::Input(format!(
            "{} row {row}: {}",
            self.input.display(),
            with_step(reason, "mend it, or leave bad rows out with --skip-bad")
        ))
    }
}

/// `<path>.<ending>`.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}

/// Size and time of every file of the input. Hashing it would take as long as reading it.
fn stamps(input: &Path) -> Result<String> {
    let mut found = vec![input.to_path_buf()];
    if input.is_dir() {
        let entries = fs::read_dir(input).map_err(|error| Error::io(input, error))?;
        found = entries.flatten().map(|entry| entry.path()).collect();
        found.sort();
    }
    let mut stamps = vec![];
    for file in found {
        let metadata = fs::metadata(&file).map_err(|error| Error::io(&file, error))?;
        let modified = metadata.modified().ok();
        let modified = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        stamps.push(format!(
            "{} bytes of {:?}",
            metadata.len(),
            modified.unwrap_or_default()
        ));
    }
    Ok(stamps.join(", "))
}

fn same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
