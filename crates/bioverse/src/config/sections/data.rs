//! `[data]`: which rows, and how they are divided.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One source of `[[data.mixture]]`. What is left out is as `[data]` says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MixtureEntry {
    /// Rows to learn from.
    pub train: PathBuf,
    /// Rows to measure on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval: Option<PathBuf>,
    /// How often rows of this source are drawn, relative to the others' weights; 1 = as often as it has rows.
    #[serde(default = "one")]
    pub weight: f64,
    /// Modality of plain pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modality: Option<String>,
    /// Field of the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_field: Option<String>,
    /// Field of the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_field: Option<String>,
    /// User turn made for plain pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// Field that keeps related rows together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_field: Option<String>,
    /// Field whose equal values are the same thing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_field: Option<String>,
    /// Field that names the side of the split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split_field: Option<String>,
    /// How to draw the held-out side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split_by: Option<String>,
    /// Count matrix of h5ad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
    /// Use only the first rows of each side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

fn one() -> f64 {
    1.0
}

impl DataSection {
    /// The user's turn that is made around records of `modality`: that of its first source, else the common one.
    pub fn question_for(&self, modality: &str) -> String {
        let sources = self.sources().into_iter().map(|(source, _)| source);
        let own = sources.filter(|source| source.modality.as_deref() == Some(modality));
        own.map(|source| source.question)
            .next()
            .unwrap_or_else(|| self.question.clone())
    }

    /// Its sources: the mixture, each with what is left out filled in, or else itself alone.
    pub fn sources(&self) -> Vec<(DataSection, f64)> {
        if self.mixture.is_empty() {
            return vec![(self.clone(), 1.0)];
        }
        self.mixture
            .iter()
            .map(|entry| (entry.over(self), entry.weight))
            .collect()
    }
}

impl DataSection {
    /// The files of all sources, each once, in order.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = vec![];
        for (source, _) in self.sources() {
            for file in [Some(source.train), source.eval].into_iter().flatten() {
                if !files.contains(&file) {
                    files.push(file);
                }
            }
        }
        files
    }

    /// Whether it says which rows are to be measured on.
    pub fn holds_out(&self) -> bool {
        let own = self.eval.is_some() || self.split_field.is_some() || self.split_by.is_some();
        match self.mixture.is_empty() {
            true => own,
            false => self.sources().iter().any(|(source, _)| source.holds_out()),
        }
    }
}

impl MixtureEntry {
    fn over(&self, data: &DataSection) -> DataSection {
        let entry = self.clone();
        DataSection {
            train: entry.train,
            eval: entry.eval.or_else(|| data.eval.clone()),
            modality: entry.modality.or_else(|| data.modality.clone()),
            input_field: entry.input_field.or_else(|| data.input_field.clone()),
            text_field: entry.text_field.or_else(|| data.text_field.clone()),
            question: entry.question.unwrap_or_else(|| data.question.clone()),
            group_field: entry.group_field.or_else(|| data.group_field.clone()),
            label_field: entry.label_field.or_else(|| data.label_field.clone()),
            split_field: entry.split_field.or_else(|| data.split_field.clone()),
            split_by: entry.split_by.or_else(|| data.split_by.clone()),
            layer: entry.layer.or_else(|| data.layer.clone()),
            limit: entry.limit.or(data.limit),
            mixture: vec![],
            ..data.clone()
        }
    }
}

/// `[data]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataSection {
    /// Rows to learn from: JSONL, CSV, TSV, Parquet, FASTA, SMILES, SDF, h5ad, 10x, plain text.
    pub train: PathBuf,
    /// Rows to measure on; not set = rows of `train` on the `eval_split` side.
    pub eval: Option<PathBuf>,
    /// Modality of plain pairs; may be left out when one modality is configured.
    pub modality: Option<String>,
    /// Field of the record in plain pairs; not set = the one of the format (`sequence`, `smiles`, `cell`, `text`).
    pub input_field: Option<String>,
    /// Field of the text of plain pairs; not set = instruction rows.
    pub text_field: Option<String>,
    /// User turn made for plain pairs; `{}` stands for the placeholder.
    pub question: String,
    /// Field that keeps related rows together.
    pub group_field: Option<String>,
    /// Field that names the side of the split.
    pub split_field: Option<String>,
    /// Value of `split_field` to learn from.
    pub train_split: String,
    /// Value of `split_field` to measure on.
    pub eval_split: String,
    /// Use only the first rows of each side.
    pub limit: Option<usize>,
    /// Whether the first line of CSV, TSV and SMILES names columns; not set = found out.
    pub header: Option<bool>,
    /// Count matrix of h5ad: not set = `X`, `raw` = `raw.X`, else a name in `layers`.
    pub layer: Option<String>,
    /// Column of `var` with the gene names of h5ad; not set = its index.
    pub gene_field: Option<String>,
    /// Field whose equal values are the same thing (a cell type): such rows are no negatives of each other in stage 1.
    pub label_field: Option<String>,
    /// Draw the held-out side ourselves, keeping related records on one side: `group` (`group_field`), `scaffold`
    /// (molecules), `cluster` (records that share much, such as homologous sequences), `random`, or a column (`donor`).
    pub split_by: Option<String>,
    /// Share of the rows that `split_by` holds out.
    pub split_fraction: f64,
    /// Another number draws another held-out side. Not `run.seed`: runs that differ in that are measured on the same rows.
    pub split_seed: u64,
    /// Likeness (Jaccard index, 0 to 1) from which `cluster` keeps two records together.
    pub cluster_similarity: f64,
    /// Likeness from which the split report counts two records on both sides as near-duplicates.
    pub duplicate_similarity: f64,
    /// Several sources in place of `train`.
    pub mixture: Vec<MixtureEntry>,
    /// Leave bad rows out and write them to `<run.dir>/rejected.jsonl`, instead of ending at the first.
    pub skip_bad: bool,
}

impl DataSection {
    /// What is said here about how files are read.
    pub fn options(&self) -> bioverse_formats::Options {
        bioverse_formats::Options {
            format: None,
            header: self.header,
            layer: self.layer.clone(),
            gene_field: self.gene_field.clone(),
        }
    }
}

impl Default for DataSection {
    fn default() -> Self {
        Self {
            train: PathBuf::new(),
            eval: None,
            modality: None,
            input_field: None,
            text_field: None,
            question: "Describe {}.".into(),
            group_field: None,
            split_field: None,
            train_split: "train".into(),
            eval_split: "test".into(),
            limit: None,
            header: None,
            layer: None,
            gene_field: None,
            label_field: None,
            split_by: None,
            split_fraction: 0.1,
            split_seed: 0,
            cluster_similarity: 0.4,
            duplicate_similarity: 0.9,
            mixture: vec![],
            skip_bad: false,
        }
    }
}
