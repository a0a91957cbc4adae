//! The two dictionaries of Geneformer: the id of every gene, and its usual value.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bioverse_core::BoxError;

use crate::Config;
use crate::dictionary::numbers;
use crate::genes::Vocabulary;

/// How the names of the files begin; a version may follow (`token_dictionary_gc104M.pkl`).
const TOKENS: &str = "token_dictionary";
const MEDIANS: &str = "gene_median_dictionary";

/// What ranking needs to know.
#[derive(Debug)]
pub(crate) struct Dictionaries {
    /// Genes with an id and a median.
    pub(crate) genes: Vocabulary,
    /// Of the values above 0 of a gene, by its id.
    pub(crate) medians: HashMap<u32, f64>,
    /// Ids of `<cls>` and `<eos>`, which the first version does not have.
    pub(crate) cls_eos: Option<(u32, u32)>,
}

impl Dictionaries {
    pub(crate) fn load(config: &Config, rows: usize) -> Result<Self, BoxError> {
        let tokens = chosen(
            config.token_dictionary.as_deref(),
            &config.path,
            TOKENS,
            "token_dictionary",
        )?;
        let medians = chosen(
            config.gene_medians.as_deref(),
            &config.path,
            MEDIANS,
            "gene_medians",
        )?;
        Self::read(&tokens, &medians, rows)
    }

    fn read(tokens: &Path, medians: &Path, rows: usize) -> Result<Self, BoxError> {
        let mut ids: HashMap<String, u32> = HashMap::new();
        for (name, id) in numbers(tokens)? {
            if !(id >= 0.0 && id < rows as f64 && id.fract() == 0.0) {
                return Err(format!(
                    "{}: `{name}` has the id {id}, but the model has {rows} rows; dictionary and weights do not belong together",
                    tokens.display()
                )
                .into());
            }
            ids.insert(name, id as u32);
        }
        let cls_eos = match (ids.get("<cls>"), ids.get("<eos>")) {
            (Some(cls), Some(eos)) => Some((*cls, *eos)),
            (None, _) => None,
            (Some(_), None) => {
                return Err(format!("{}: has `<cls>` but no `<eos>`", tokens.display()).into());
            }
        };
        let mut usual = HashMap::new();
        for (name, median) in numbers(medians)? {
            // NaN is not above 0 either.
            if !(median > 0.0 && median.is_finite()) {
                return Err(format!(
                    "{}: the median of `{name}` is {median}, which is not above 0",
                    medians.display()
                )
                .into());
            }
            if let Some(id) = ids.get(&name) {
                usual.insert(*id, median);
            }
        }
        let known = ids.into_iter().filter(|(_, id)| usual.contains_key(id));
        let genes = Vocabulary::new(known);
        match genes.is_empty() {
            true => Err(format!(
                "no gene of {} is in {}; the two do not belong together",
                tokens.display(),
                medians.display()
            )
            .into()),
            false => Ok(Self {
                genes,
                medians: usual,
                cls_eos,
            }),
        }
    }
}

/// The dictionaries of a model, where both are to be found.
pub(crate) fn files(config: &Config) -> Option<Vec<PathBuf>> {
    let tokens = chosen(
        config.token_dictionary.as_deref(),
        &config.path,
        TOKENS,
        "token_dictionary",
    )
    .ok()?;
    let medians = chosen(
        config.gene_medians.as_deref(),
        &config.path,
        MEDIANS,
        "gene_medians",
    )
    .ok()?;
    Some(vec![tokens, medians])
}

/// The file that the configuration names, or the only one in the folder.
fn chosen(named: Option<&Path>, dir: &Path, beginning: &str, key: &str) -> Result<PathBuf, String> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let mut found: Vec<PathBuf> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| is_one(path, beginning))
        .collect();
    found.sort();
    match &found[..] {
        [only] => Ok(only.clone()),
        [] => Err(format!(
            "{}: holds no {beginning}*.pkl or .json; Geneformer's repository keeps it in its folder `geneformer`: copy it here, \
             or name it in `{key}`",
            dir.display()
        )),
        several => Err(format!(
            "{}: holds {} files {beginning}*; name the model's in `{key}`",
            dir.display(),
            several.len()
        )),
    }
}

fn is_one(path: &Path, beginning: &str) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with(beginning) && crate::dictionary::is_dictionary(path) && path.is_file()
}
