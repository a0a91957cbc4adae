//! Checkpoints of other programs → Hugging Face folders with safetensors, which everything else here reads.
//!
//! | input | written by |
//! |---|---|
//! | `.bin` of llama2.c, with its tokenizer `.bin` | [`llama2c`], [`vocabulary`] |
//! | `pytorch_model.bin`, its shards, `*.pt`, or a folder with one of them | [`pytorch`] |
//! | a model and a PEFT adapter | [`merge`] |
//!
//! But for an adapter, nothing is computed but the order of rows and the width of numbers; no model is run.

mod beside;
pub mod llama2c;
pub mod merge;
pub mod pytorch;
pub mod vocabulary;

use std::path::{Path, PathBuf};

use bioverse_nn::weights::{Outgoing, SHARD_BYTES, StoredDtype, save_model};
use serde_json::{Map, Value};

use crate::{
    error::{Error, Result},
    files::StagedDir,
    telemetry::Progress,
};

/// What to convert, and into what.
#[derive(Debug, Clone)]
pub struct Conversion {
    /// A checkpoint, or a folder with one.
    pub input: PathBuf,
    /// The folder to write.
    pub output: PathBuf,
    /// Tokenizer of a llama2.c model; not set = the only `tok*.bin` beside it.
    pub tokenizer: Option<PathBuf>,
    /// How numbers are stored; not set = as the input has them.
    pub dtype: Option<StoredDtype>,
}

/// What a conversion writes, or would write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The input's kind in words.
    pub kind: String,
    /// Number of tensors.
    pub tensors: usize,
    /// Number of parameters.
    pub parameters: u64,
    /// Files of the new folder, without their folder.
    pub files: Vec<String>,
}

/// One kind of input, opened and checked but not yet read.
trait Source {
    fn summary(&self) -> Result<Summary>;
    fn write(&self, dir: &Path, dtype: Option<StoredDtype>) -> Result<()>;
}

impl Conversion {
    /// Says what would be written; the input is checked as far as that goes without reading all of it.
    pub fn plan(&self) -> Result<Summary> {
        self.source()?.summary()
    }

    /// Writes the folder as a whole. A folder that is there is left alone unless `replace` says otherwise.
    pub fn run(&self, replace: Replace) -> Result<Summary> {
        let source = self.source()?;
        let staged = stage(&self.output, replace)?;
        source.write(staged.path(), self.dtype)?;
        let mut summary = source.summary()?;
        summary.files = files_of(staged.path())?;
        staged.commit()?;
        Ok(summary)
    }

    fn source(&self) -> Result<Box<dyn Source>> {
        if self.input.is_dir() || pytorch::is_checkpoint(&self.input)? {
            return Ok(Box::new(pytorch::Checkpoint::open(&self.input)?));
        }
        let model = llama2c::Model::open(&self.input)?;
        let tokenizer = match &self.tokenizer {
            Some(file) => file.clone(),
            None => beside(&self.input)?,
        };
        let vocabulary = vocabulary::Vocabulary::read(&tokenizer, model.vocab_size())?;
        Ok(Box::new(Llama2c { model, vocabulary }))
    }
}

/// What happens to a folder that stands where one is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// It stays, and the command fails.
    Never,
    /// It goes once the new one is whole.
    Existing,
}

/// A folder to fill for `output`, unless one that may not be replaced is there.
fn stage(output: &Path, replace: Replace) -> Result<StagedDir> {
    if output.exists() && !is_empty(output)? && replace == Replace::Never {
        return Err(Error::Input(format!(
            "{} is there already; choose another --output, or give --force to replace it",
            output.display()
        )));
    }
    StagedDir::new(output)
}

/// Writes the weights into `dir` and shows how far that is.
fn write_tensors(dir: &Path, tensors: &[Outgoing<'_>], dtype: Option<StoredDtype>) -> Result<()> {
    let total = tensors.iter().map(|tensor| tensor.size(dtype)).sum();
    let (mut progress, mut done) = (Progress::bytes("writing", total), 0);
    save_model(dir, tensors, dtype, SHARD_BYTES, &mut |bytes| {
        done += bytes;
        progress.set(done as usize, "");
    })?;
    progress.finish("");
    Ok(())
}

/// The files of a folder and of the folders in it, by relative path.
fn files_of(dir: &Path) -> Result<Vec<String>> {
    let mut found = vec![];
    let mut open = vec![dir.to_owned()];
    while let Some(next) = open.pop() {
        let entries = std::fs::read_dir(&next).map_err(|error| Error::io(&next, error))?;
        for entry in entries {
            let path = entry.map_err(|error| Error::io(&next, error))?.path();
            match path.strip_prefix(dir) {
                _ if path.is_dir() => open.push(path),
                Ok(relative) => found.push(relative.display().to_string()),
                Err(_) => {}
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Says in `config.json`, where there is one, how the numbers are stored now.
fn name_dtype(dir: &Path, dtype: StoredDtype) -> Result<()> {
    edit_config(dir, &mut |keys| {
        let key = match keys.contains_key("torch_dtype") {
            true => "torch_dtype",
            false => "dtype",
        };
        keys.insert(key.to_owned(), dtype.torch_name().into());
    })
}

/// Changes `config.json`, where there is one that is an object.
fn edit_config(dir: &Path, edit: &mut dyn FnMut(&mut Map<String, Value>)) -> Result<()> {
    let path = dir.join("config.json");
    if !path.is_file() {
        return Ok(());
    }
    let text = std::fs::read_to_string(&path).map_err(|error| Error::io(&path, error))?;
    let config = serde_json::from_str(&text);
    let mut config: Value =
        config.map_err(|error| Error::Input(format!("config.json: {error}")))?;
    if let Some(keys) = config.as_object_mut() {
        edit(keys);
    }
    Ok(bioverse_nn::write_json(&path, &config)?)
}

struct Llama2c {
    model: llama2c::Model,
    vocabulary: vocabulary::Vocabulary,
}

impl Source for Llama2c {
    fn summary(&self) -> Result<Summary> {
        let files = [
            "config.json",
            "generation_config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
        ];
        Ok(Summary {
            kind: self.model.kind(),
            tensors: self.model.tensors(),
            parameters: self.model.parameters() as u64,
            files: files.map(str::to_owned).to_vec(),
        })
    }

    fn write(&self, dir: &Path, dtype: Option<StoredDtype>) -> Result<()> {
        self.model.write(dir, dtype.unwrap_or(StoredDtype::F32))?;
        self.vocabulary.write(dir, self.model.max_tokens())
    }
}

fn is_empty(dir: &Path) -> Result<bool> {
    if !dir.is_dir() {
        return Ok(false);
    }
    let mut entries = std::fs::read_dir(dir).map_err(|error| Error::io(dir, error))?;
    Ok(entries.next().is_none())
}

/// The only `tok*.bin` in the folder of the model.
fn beside(model: &Path) -> Result<PathBuf> {
    let dir = model
        .parent()
        .filter(|dir| !dir.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let entries = std::fs::read_dir(dir).map_err(|error| Error::io(dir, error))?;
    let is_tokenizer = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("tok") && name.ends_with(".bin")
    };
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(is_tokenizer)
        .collect();
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        (none, _) => Err(Error::Input(format!(
            "{} needs its tokenizer, and beside it there is {}; name the file with --tokenizer, such as tok512.bin",
            model.display(),
            none.map_or("no tok*.bin", |_| "more than one tok*.bin")
        ))),
    }
}
