//! `bioverse encode`: frozen embeddings of a file of records.

use std::path::PathBuf;

use bioverse_core::Registry;
use bioverse_formats::{Format, Options, embeddings::Dtype};
use clap::{Args, ValueEnum};
use toml::Table;

use super::out;
use crate::{
    Bundle,
    config::modalities,
    device,
    encode::{self, Pool, Request},
    error::{Error, Result},
};

/// Encodes every record of a file with a frozen encoder: one vector each, in the order of the file.
///
/// Any size of input takes the same memory. A run that was stopped goes on where it was when the same command is given
/// again. The extension of the output says its format: `.safetensors` (`embeddings` and `ids`), `.parquet` (`id` and
/// `embedding`), `.npy` (ids in `.ids.txt` beside it) or, for h5ad input, `.h5ad` (a copy with `obsm["X_bioverse"]`).
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Encode {
    /// A registered modality.
    #[arg(long, value_name = "NAME")]
    modality: String,
    /// The encoder: a folder, or `org/name[@revision]` of the Hub; not needed with --projector.
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// FASTA, SMILES, SDF, CSV, TSV, JSONL, Parquet, h5ad, 10x matrix or one record a line, compressed or not.
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Where the embeddings go.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Field of the record; needed for tables without an obvious one.
    #[arg(long, value_name = "FIELD")]
    input_field: Option<String>,
    /// Field of the id; not given = that of the format, a column `id`, or row numbers from 0.
    #[arg(long, value_name = "FIELD")]
    id_field: Option<String>,
    /// How the states of a record become one vector; `none` keeps all of them (safetensors only).
    #[arg(long, value_name = "HOW", default_value = "auto")]
    pool: PoolName,
    /// Writes soft tokens of this bundle's projector in place of encoder states.
    #[arg(long, value_name = "BUNDLE", conflicts_with = "pool")]
    projector: Option<PathBuf>,
    /// Format of the input, where its content does not say it.
    #[arg(long, value_name = "FORMAT", value_parser = format_named)]
    format: Option<Format>,
    /// The first line of CSV, TSV or SMILES names columns.
    #[arg(long)]
    header: bool,
    /// The first line of CSV, TSV or SMILES is data.
    #[arg(long, conflicts_with = "header")]
    no_header: bool,
    /// Count matrix of h5ad: `raw`, or a name in `layers`; not given = `X`.
    #[arg(long, value_name = "NAME")]
    layer: Option<String>,
    /// Column of `var` with the gene names; not given = its index.
    #[arg(long, value_name = "FIELD")]
    gene_field: Option<String>,
    /// Longest record in tokens: `max_length` of the modality.
    #[arg(long, value_name = "N")]
    max_length: Option<usize>,
    /// A key of the modality's configuration, such as `canonicalize=false`; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Records of 64 characters at a time; fewer of longer ones.
    #[arg(long, value_name = "N", default_value = "128", value_parser = at_least_one)]
    batch_size: usize,
    /// How numbers are stored.
    #[arg(long, value_name = "TYPE", default_value = "f32")]
    dtype: DtypeName,
    /// Key in `obsm` of an h5ad output.
    #[arg(long, value_name = "KEY", default_value = "X_bioverse")]
    obsm_key: String,
    /// Leaves bad records out, and writes them with their reasons to `<output>.rejected.jsonl`.
    #[arg(long)]
    skip_bad: bool,
    /// Replaces an output that is there.
    #[arg(long)]
    force: bool,
    /// Shows what would be read and written, without encoding anything.
    #[arg(long)]
    dry_run: bool,
    /// Goes on from what an earlier run left; this is what happens without it, too.
    #[arg(long, hide = true)]
    resume: bool,
    /// `cpu`, `cuda:0` or `wgpu`.
    #[arg(long, default_value = "cpu")]
    device: String,
}

const EXAMPLES: &str = "\
Examples:
  bioverse encode --modality molecule --model models/pocket/molecule \\
      --input datasets/pocket/molecules.jsonl --output molecules.safetensors
  bioverse encode --modality protein --model facebook/esm2_t6_8M_UR50D --input proteome.fasta.gz --output proteome.parquet
  bioverse encode --modality cell --model models/scgpt --input pbmc.h5ad --output pbmc-embedded.h5ad --skip-bad
  bioverse encode --modality molecule --projector runs/pocket/align --input drugs.smi --output soft.safetensors";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PoolName {
    Auto,
    Mean,
    Cls,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DtypeName {
    F32,
    F16,
}

impl Encode {
    /// Writes the embeddings.
    pub fn run(self, registry: &Registry) -> Result<()> {
        let dry_run = self.dry_run;
        let request = self.request(registry)?;
        if dry_run {
            return out::text(&encode::dry_run(&request, registry)?);
        }
        let done = encode::run(&request, registry)?;
        if let Some((count, file)) = &done.rejected {
            let left = match count {
                1 => "1 record was left out".into(),
                n => format!("{n} records were left out"),
            };
            out::note(&format!("{left}; {} says why", file.display()));
        }
        if let Some(summary) = &done.summary {
            out::note(summary);
        }
        out::line(&format!("{}: {}", done.output.display(), done.shape))
    }

    fn request(self, registry: &Registry) -> Result<Request> {
        let modality = modalities::canonical(&self.modality, registry);
        let header = match (self.header, self.no_header) {
            (false, false) => None,
            (header, _) => Some(header),
        };
        Ok(Request {
            table: self.table(&modality, registry)?,
            modality,
            options: Options {
                format: self.format,
                header,
                layer: self.layer,
                gene_field: self.gene_field,
            },
            input: self.input,
            input_field: self.input_field,
            id_field: self.id_field,
            output: self.output,
            obsm_key: self.obsm_key,
            pool: match self.pool {
                PoolName::Auto => Pool::Auto,
                PoolName::Mean => Pool::Mean,
                PoolName::Cls => Pool::Cls,
                PoolName::None => Pool::None,
            },
            projector: self.projector,
            dtype: match self.dtype {
                DtypeName::F32 => Dtype::F32,
                DtypeName::F16 => Dtype::F16,
            },
            batch_size: self.batch_size,
            skip_bad: self.skip_bad,
            force: self.force,
            device: device::parse(&self.device)?,
            device_name: self.device,
        })
    }

    /// `[modality.<name>]`: what the bundle was trained with, then `--model`, `--max-length`, each `--set`.
    fn table(&self, modality: &str, registry: &Registry) -> Result<Table> {
        let mut base = Table::new();
        if let Some(dir) = &self.projector {
            let bundle = Bundle::open(dir)?;
            let entry = bundle.manifest.modalities.get(modality);
            base = entry.map(|entry| entry.table()).unwrap_or_default();
        }
        if let Some(model) = &self.model {
            base.insert("path".into(), model.to_string_lossy().into_owned().into());
        }
        if let Some(length) = self.max_length {
            let length = i64::try_from(length)
                .map_err(|_| Error::Input("--max-length is too large".into()))?;
            base.insert("max_length".into(), length.into());
        }
        modalities::overlaid(modality, &base, &self.set, registry)
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("give a whole number from 1".into()),
        Ok(n) => Ok(n),
    }
}

/// A format by the name that people type.
fn format_named(text: &str) -> Result<Format, String> {
    let typed = |format: Format| match format {
        Format::TenxH5 => "10x-h5".into(),
        Format::TenxMtx => "10x-mtx".into(),
        Format::Text => "text".into(),
        other => other.name().to_lowercase(),
    };
    let wanted = text.to_lowercase();
    let found = Format::ALL
        .into_iter()
        .find(|format| typed(*format) == wanted);
    found.ok_or_else(|| {
        let names: Vec<String> = Format::ALL.into_iter().map(typed).collect();
        format!(
            "no format is called `{text}` (there are: {})",
            names.join(", ")
        )
    })
}
