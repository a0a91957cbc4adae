//! `bioverse eval`: what a bundle can do on held-out rows.

use std::path::PathBuf;

use bioverse_core::Registry;
use bioverse_nn::GenerationConfig;
use clap::{Args, ValueEnum};

use super::out;
use crate::{config::DataSection, device, error::Result, eval};

/// Measures a bundle on held-out rows, beside baselines and with swapped records.
///
/// Without --data the rows are the held-out side of what the bundle was trained on. `retrieval` needs pairs (a record and
/// a text), `answers` needs instruction rows; `all` runs what there are rows for. With --compare two bundles are measured.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Eval {
    /// The bundle, or the run directory that holds it.
    #[arg(long, value_name = "DIR", required_unless_present = "compare")]
    bundle: Option<PathBuf>,
    /// Two bundles, which run the same suite on the same rows and are compared row by row.
    #[arg(long, num_args = 2, value_names = ["A", "B"], conflicts_with = "bundle")]
    compare: Option<Vec<PathBuf>>,
    /// What to measure.
    #[arg(long, value_enum, default_value_t = Suite::All)]
    suite: Suite,
    /// Measure only this modality's retrieval.
    #[arg(long, value_name = "NAME")]
    modality: Option<String>,
    #[command(flatten)]
    rows: Rows,
    /// `annotate`, `describe`, `qa`: what to ask, with `{}` where the record stands; without it the question that the bundle was tuned with.
    #[arg(long, value_name = "TEXT")]
    question: Option<String>,
    /// `describe`: also cut texts into the tokens of this Hugging Face folder, for BLEU and METEOR (SciBERT's in most papers).
    #[arg(long, value_name = "DIR")]
    tokenizer: Option<PathBuf>,
    /// `annotate`: rows `id`, `name`, `synonyms`, `is_a` of an ontology (cell_ontology.jsonl.gz), for scores by distance.
    #[arg(long, value_name = "FILE")]
    ontology: Option<PathBuf>,
    /// `cross`: nodes of a knowledge graph (`id` and a record), whose edges --data names (`source`, `relation`, `target`).
    #[arg(long, value_name = "FILE", requires = "data")]
    nodes: Option<PathBuf>,
    /// Use only the first rows of each suite.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Longest answer, in tokens.
    #[arg(long, value_name = "N", default_value_t = 64)]
    max_new_tokens: usize,
    /// Answers at a time.
    #[arg(long, value_name = "N", default_value_t = 32)]
    batch_size: usize,
    /// Writes metrics.json, report.md, report.html and predictions/*.jsonl into this directory.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Writes one flat object of names and numbers.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// `cpu`, `cuda:0` or `wgpu`.
    #[arg(long, default_value = "cpu")]
    device: String,
}

/// Rows in place of the bundle's own.
#[derive(Debug, Args)]
struct Rows {
    /// Rows to measure on, in any format that is read.
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Field of the record; without it the one of the format (`sequence`, `smiles`, `cell`, `text`).
    #[arg(long, value_name = "FIELD", requires = "data")]
    input_field: Option<String>,
    /// Field of the text: the rows are pairs.
    #[arg(long, value_name = "FIELD", requires = "data")]
    text_field: Option<String>,
    /// Field of the label (a cell type, a property): for `annotate`, `qa` and `audit`.
    #[arg(long, value_name = "FIELD", requires = "data")]
    label_field: Option<String>,
    /// Field that names the side of the split; without it the whole file is measured.
    #[arg(long, value_name = "FIELD", requires = "data")]
    split_field: Option<String>,
    /// Value of the split field to learn the baseline on.
    #[arg(long, value_name = "VALUE", default_value = "train")]
    train_split: String,
    /// Value of the split field to measure on.
    #[arg(long, value_name = "VALUE", default_value = "test")]
    eval_split: String,
    /// Leaves out rows that cannot be read or whose records an encoder refuses; the report says how many.
    #[arg(long, requires = "data")]
    skip_bad: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Suite {
    /// Which text belongs to which record, over the whole eval side.
    Retrieval,
    /// Greedy answers to instruction rows.
    Answers,
    /// Labels of cells: zero-shot and supervised.
    Annotate,
    /// Descriptions of molecules and proteins.
    Describe,
    /// Yes/no/maybe, multiple choice, properties.
    Qa,
    /// Several modalities in one prompt.
    Cross,
    /// Shuffled, zeroed and mean records; what needs no LLM.
    Audit,
    /// Every suite that the rows allow.
    All,
}

const EXAMPLES: &str = "\
Examples:
  bioverse eval --bundle runs/pocket/finetune --suite all --report runs/pocket/report
  bioverse eval --bundle runs/pocket/align --suite retrieval --json numbers.json
  bioverse eval --compare runs/pocket/align runs/mine --suite retrieval --report runs/compared
  bioverse eval --bundle runs/pocket/align --suite retrieval --modality molecule \\
      --data datasets/pocket/molecules.jsonl --input-field smiles --text-field text --split-field split";

impl Eval {
    /// Prints the tables.
    pub fn run(self, registry: &Registry) -> Result<()> {
        let device = device::parse(&self.device)?;
        let request = eval::Request {
            bundle: self.bundle.unwrap_or_default(),
            alone: false,
            suite: match self.suite {
                Suite::Retrieval => eval::Suite::Retrieval,
                Suite::Answers => eval::Suite::Answers,
                Suite::Annotate => eval::Suite::Annotate,
                Suite::Describe => eval::Suite::Describe,
                Suite::Qa => eval::Suite::Qa,
                Suite::Cross => eval::Suite::Cross,
                Suite::Audit => eval::Suite::Audit,
                Suite::All => eval::Suite::All,
            },
            data: self.rows.section(self.modality.clone()),
            modality: self.modality,
            question: self.question,
            ontology: self.ontology,
            nodes: self.nodes,
            tokenizer: self.tokenizer,
            limit: self.limit,
            generation: GenerationConfig {
                max_new_tokens: self.max_new_tokens,
                ..GenerationConfig::default()
            },
            batch_size: self.batch_size.max(1),
        };
        let compared = self.compare.map(<[PathBuf; 2]>::try_from);
        let report = match compared {
            Some(Ok(bundles)) => eval::compare::run(&bundles, &request, registry, &device)?,
            _ => eval::run(&request, registry, &device)?,
        };
        if let Some(dir) = &self.report {
            report.write(dir)?;
            out::note(&format!("report: {}", dir.display()));
        }
        if let Some(file) = &self.json {
            report.write_flat(file)?;
        }
        out::text(&report.tables())
    }
}

impl Rows {
    fn section(self, modality: Option<String>) -> Option<DataSection> {
        let file = self.data?;
        Some(DataSection {
            eval: self.split_field.is_none().then(|| file.clone()),
            train: file,
            modality,
            input_field: self.input_field,
            text_field: self.text_field,
            label_field: self.label_field,
            split_field: self.split_field,
            train_split: self.train_split,
            eval_split: self.eval_split,
            skip_bad: self.skip_bad,
            ..DataSection::default()
        })
    }
}
