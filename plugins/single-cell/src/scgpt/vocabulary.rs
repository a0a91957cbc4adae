//! `vocab.json`: the name of every row of the gene table.

use std::collections::HashMap;
use std::path::Path;

use bioverse_nn::{Error, Result, write_json};

use super::{CLS, EOC, PAD};
use crate::genes::Vocabulary;

/// Special tokens in the order in which the published code appends those that a file lacks.
const SPECIALS: [&str; 3] = [PAD, CLS, EOC];

/// Genes and special tokens.
#[derive(Debug, Clone)]
pub struct ScGptVocabulary {
    /// Genes with their ids.
    pub genes: Vocabulary,
    /// Id of `<pad>`.
    pub pad: u32,
    /// Id of `<cls>`.
    pub cls: u32,
}

impl ScGptVocabulary {
    /// Reads `dir/vocab.json` for a model with `rows` rows. Special tokens that are not in it get the ids after the last one.
    ///
    /// # Errors
    /// If the file cannot be read, is no object from names to ids, or has an id for which the model has no row.
    pub fn load(dir: &Path, rows: usize) -> Result<Self> {
        let path = dir.join("vocab.json");
        let text = std::fs::read_to_string(&path).map_err(|e| Error::io(&path, e))?;
        let ids: HashMap<String, u32> = serde_json::from_str(&text).map_err(|e| {
            Error::format(&path, format!("is no object from gene names to ids ({e})"))
        })?;
        let mut next = ids.values().max().map_or(0, |id| id.saturating_add(1));
        let [pad, cls, _] = SPECIALS.map(|name| {
            ids.get(name).copied().unwrap_or_else(|| {
                let id = next;
                next = next.saturating_add(1);
                id
            })
        });
        let beyond = |id: &u32| *id as usize >= rows;
        let specials = [(PAD, pad), (CLS, cls)].into_iter();
        let used = ids.iter().map(|(name, id)| (name.as_str(), *id));
        if let Some((name, id)) = used.chain(specials).find(|(_, id)| beyond(id)) {
            let problem = format!(
                "`{name}` has the id {id}, but the model has {rows} rows; vocabulary and weights do not belong together"
            );
            return Err(Error::format(&path, problem));
        }
        let genes = Vocabulary::new(ids);
        match genes.is_empty() {
            true => Err(Error::format(
                &path,
                "names no gene; is it scGPT's vocab.json?",
            )),
            false => Ok(Self { genes, pad, cls }),
        }
    }
}

/// Writes `dir/vocab.json` for a new model: genes in their order from id 0, then the special tokens. Returns the rows its gene
/// table needs.
///
/// # Errors
/// If the file cannot be written.
pub fn save_vocabulary(dir: &Path, genes: &[&str]) -> Result<usize> {
    let names = genes.iter().chain(&SPECIALS);
    let ids: serde_json::Map<String, serde_json::Value> = names
        .zip(0_u32..)
        .map(|(name, id)| ((*name).to_owned(), id.into()))
        .collect();
    let rows = genes.len() + SPECIALS.len();
    if ids.len() != rows {
        return Err(Error::format(
            dir.join("vocab.json"),
            "a gene is named twice",
        ));
    }
    write_json(&dir.join("vocab.json"), &ids.into())?;
    Ok(rows)
}
