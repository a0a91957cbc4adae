//! A model and a PEFT adapter → one plain Hugging Face folder, which needs neither PEFT nor this program.
//!
//! What is computed is the business of [`bioverse_nn::adapter`]; here are folders, names and `config.json`.

use std::path::{Path, PathBuf};

use bioverse_nn::adapter::{self, Merge};
use bioverse_nn::weights::StoredDtype;

use super::{Replace, Summary, beside, edit_config, files_of, name_dtype, stage, write_tensors};
use crate::{
    bundle::Bundle,
    error::{Error, Result},
};

/// What to merge, and where to.
#[derive(Debug, Clone)]
pub struct AdapterMerge {
    /// Folder of the model.
    pub model: PathBuf,
    /// A PEFT folder, or a bundle that has an adapter.
    pub adapter: PathBuf,
    /// The folder to write.
    pub output: PathBuf,
    /// How numbers are stored; not set = as the model has them.
    pub dtype: Option<StoredDtype>,
}

impl AdapterMerge {
    /// Says what would be written; headers are read and checked, values are not.
    pub fn plan(&self) -> Result<Summary> {
        let merge = Merge::open(&self.model, &adapter_dir(&self.adapter)?)?;
        self.summary(&merge)
    }

    /// Writes the folder as a whole. A folder that is there is left alone unless `replace` says otherwise.
    pub fn run(&self, replace: Replace) -> Result<Summary> {
        let adapter = adapter_dir(&self.adapter)?;
        let merge = Merge::open(&self.model, &adapter)?;
        warn_of_another_base(&self.model, &adapter)?;
        let staged = stage(&self.output, replace)?;
        beside::copy(
            &beside::small_files(&self.model)?,
            &self.model,
            staged.path(),
        )?;
        self.write_config(&merge, staged.path())?;
        write_tensors(staged.path(), &merge.outgoing()?, self.dtype)?;
        let mut summary = self.summary(&merge)?;
        summary.files = files_of(staged.path())?;
        staged.commit()?;
        Ok(summary)
    }

    fn summary(&self, merge: &Merge) -> Result<Summary> {
        let tensors = merge.outgoing()?;
        let small = beside::small_files(&self.model)?;
        let names = small.iter().map(|path| path.display().to_string());
        let mut files: Vec<String> = names.chain(["model.safetensors".to_owned()]).collect();
        files.sort();
        Ok(Summary {
            kind: format!("model with an adapter on {} modules", merge.changes()),
            tensors: tensors.len(),
            parameters: tensors.iter().map(|tensor| tensor.elements()).sum(),
            files,
        })
    }

    /// `config.json` stays as it is but for what the merge changes.
    fn write_config(&self, merge: &Merge, dir: &Path) -> Result<()> {
        if merge.unties() {
            edit_config(dir, &mut |keys| {
                keys.insert("tie_word_embeddings".to_owned(), false.into());
            })?;
        }
        self.dtype.map_or(Ok(()), |dtype| name_dtype(dir, dtype))
    }
}

/// The PEFT folder that was meant: the folder itself, or that of a bundle.
fn adapter_dir(given: &Path) -> Result<PathBuf> {
    if given.join("adapter_config.json").is_file() {
        return Ok(given.to_owned());
    }
    if let Ok(bundle) = Bundle::open(given) {
        return bundle.adapter_dir().ok_or_else(|| {
            Error::Input(format!(
                "the bundle {} has no adapter: it was not tuned, and its LLM is as it was; run `bioverse finetune`",
                bundle.dir.display()
            ))
        });
    }
    Err(Error::Input(format!(
        "{} holds no adapter_config.json and is no bundle; give the folder that PEFT's `save_pretrained` wrote, or a bundle",
        given.display()
    )))
}

/// Adapters name the model they were trained on. Another name is worth a word and no more: folders get renamed.
pub fn warn_of_another_base(model: &Path, adapter: &Path) -> Result<()> {
    let Some(base) = adapter::base_of(adapter)? else {
        return Ok(());
    };
    if !same_model(&base, model) {
        tracing::warn!(
            "the adapter was made for `{base}`, and {} may be another model; compare what both generate",
            model.display()
        );
    }
    Ok(())
}

/// Whether a name given by an adapter can mean this folder: by its last part, or as the cache of the Hub spells it.
fn same_model(base: &str, model: &Path) -> bool {
    let path = model.canonicalize().unwrap_or_else(|_| model.to_owned());
    let last = base
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or(base);
    let cached = format!("models--{}", base.replace('/', "--"));
    path.components().any(|part| {
        let part = part.as_os_str().to_string_lossy();
        part.eq_ignore_ascii_case(last) || part.eq_ignore_ascii_case(&cached)
    })
}
