//! `bioverse encode`: frozen embeddings of a file of records.

use std::{collections::BTreeMap, path::PathBuf};

use bioverse_core::{Hidden, Record, Registry};
use bioverse_nn::weights::{StoredDtype, save_safetensors};
use burn::{prelude::*, tensor::TensorData};
use clap::Args;

use super::out;
use crate::{
    data::read::read_rows,
    device,
    error::{Error, Result},
    telemetry::Progress,
};

/// Encodes every record of a file with a frozen encoder: one mean-pooled vector each.
///
/// The output is a safetensors file with `embeddings` `[records, d_hidden]`, in the order of the file.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Encode {
    /// A registered modality.
    #[arg(long, value_name = "NAME")]
    modality: String,
    /// The encoder's folder (its `path`).
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// JSONL, CSV or TSV (also gzipped), or text with one record a line.
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Where the embeddings go.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Field of the record; needed for anything but plain text.
    #[arg(long, value_name = "FIELD")]
    input_field: Option<String>,
    /// Records at a time.
    #[arg(long, value_name = "N", default_value_t = 32)]
    batch_size: usize,
    /// `cpu`, `cuda:0` or `wgpu`.
    #[arg(long, default_value = "cpu")]
    device: String,
}

const EXAMPLES: &str = "\
Examples:
  bioverse encode --modality molecule --model models/pocket/molecule \\
      --input datasets/pocket/molecules.jsonl --input-field smiles --output molecules.safetensors
  bioverse encode --modality molecule --model models/pocket/molecule --input smiles.txt --output out.safetensors";

impl Encode {
    /// Writes the embeddings.
    pub fn run(self, registry: &Registry) -> Result<()> {
        let records = self.records()?;
        let device = device::parse(&self.device)?;
        let path = self.model.display().to_string();
        let config = toml::Table::from_iter([("path".to_string(), toml::Value::String(path))]);
        let encoder = registry.load(&self.modality, &config, &device)?;
        for (row, record) in &records {
            encoder
                .check(record)
                .map_err(|error| self.at(*row, &error))?;
        }
        let mut progress = Progress::new("encode", records.len());
        let mut data: Vec<f32> = vec![];
        for batch in records.chunks(self.batch_size.max(1)) {
            let batch: Vec<Record> = batch.iter().map(|(_, record)| record.clone()).collect();
            let pooled = mean(encoder.encode(&batch)?).into_data().convert::<f32>();
            let values = pooled.try_to_vec::<f32>();
            data.extend(values.map_err(|error| Error::Run(format!("embeddings: {error:?}")))?);
            progress.set(data.len() / encoder.d_hidden().max(1), "");
        }
        progress.finish("");
        let shape = [records.len(), encoder.d_hidden()];
        let tensors = vec![("embeddings".to_string(), TensorData::new(data, shape))];
        let metadata = BTreeMap::from([
            ("modality".to_string(), self.modality.clone()),
            ("pooling".to_string(), "mean".to_string()),
        ]);
        save_safetensors(&self.output, tensors, StoredDtype::F32, metadata)?;
        let output = self.output.display();
        out::line(&format!(
            "{output}: embeddings [{}, {}]",
            shape[0], shape[1]
        ))
    }

    fn records(&self) -> Result<Vec<(usize, Record)>> {
        let records = match &self.input_field {
            Some(field) => read_rows(&self.input)?
                .into_iter()
                .map(|(row, mut object)| match object.remove(field) {
                    Some(record) => Ok((row, record)),
                    None => Err(self.no_field(row, field, &object)),
                })
                .collect::<Result<Vec<_>>>()?,
            None => lines(&self.input)?,
        };
        if records.is_empty() {
            return Err(Error::Input(format!(
                "{} holds no record",
                self.input.display()
            )));
        }
        Ok(records)
    }

    fn no_field(
        &self,
        row: usize,
        field: &str,
        object: &serde_json::Map<String, serde_json::Value>,
    ) -> Error {
        let known: Vec<&str> = object.keys().map(String::as_str).collect();
        Error::Input(format!(
            "{} row {row} has no field `{field}` (it has: {})",
            self.input.display(),
            known.join(", ")
        ))
    }

    fn at(&self, row: usize, error: &bioverse_core::Error) -> Error {
        let reason = match error {
            bioverse_core::Error::Record { source, .. } => source.to_string(),
            other => other.to_string(),
        };
        Error::Input(format!("{} row {row}: {reason}", self.input.display()))
    }
}

/// One record a line; empty lines are skipped.
fn lines(file: &std::path::Path) -> Result<Vec<(usize, Record)>> {
    let structured = ["jsonl", "csv", "tsv", "gz"];
    let extension = file.extension().and_then(|extension| extension.to_str());
    if extension.is_some_and(|extension| structured.contains(&extension)) {
        return Err(Error::Input(format!(
            "{} has named fields; say which one holds the record with --input-field",
            file.display()
        )));
    }
    let text = std::fs::read_to_string(file).map_err(|error| Error::io(file, error))?;
    let lines = text.lines().enumerate();
    Ok(lines
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(i, line)| (i + 1, Record::String(line.trim().to_owned())))
        .collect())
}

/// Mean over real tokens, `[B, T, d] → [B, d]`.
fn mean(hidden: Hidden) -> Tensor<2> {
    let weight = hidden.mask.float();
    let count = weight.clone().sum_dim(1).clamp_min(1.0);
    let sum = (hidden.states * weight.unsqueeze_dim(2)).sum_dim(1);
    sum.squeeze_dim::<2>(1) / count
}
