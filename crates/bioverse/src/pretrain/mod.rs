//! Training the pocket models from scratch: encoders of molecules, proteins, texts and cells, and a small language model, as
//! ordinary Hugging Face folders.
//!
//! | module | what it holds |
//! |---|---|
//! | [`config`] | one TOML = one run |
//! | `corpus` | files → molecules, passages or documents, held-out part, batches |
//! | `alphabet` | what molecules, proteins and texts are written in, and what their mean state has to tell |
//! | `smiles` | canonical names, other spellings, scaffolds, descriptors of molecules |
//! | `vocabulary` | tokenizers and their files |
//! | `masked` with `hiding` and `words`, `causal`, `cell` | what the three kinds learn, and how they are measured |
//! | `trainer` | the loop around them |
//! | `baseline` | what counting alone achieves |
//! | `card` | the model card |
//!
//! Nothing here knows modalities, projectors or bundles: the folders are loaded like any other model.

mod alphabet;
mod baseline;
mod card;
mod causal;
#[cfg(feature = "single-cell")]
mod cell;
pub mod config;
mod corpus;
mod encoder_report;
mod hiding;
mod masked;
mod report;
#[cfg(feature = "molecule")]
mod smiles;
mod trainer;
mod vocabulary;
mod words;

use std::path::{Path, PathBuf};

use bioverse_nn::{CausalLm, DecoderConfig};
use burn::prelude::*;
use rayon::prelude::*;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::files::{StagedDir, write_atomic};
use crate::train::seed::seeded;
use alphabet::{Alphabet, Sample};
use config::{Kind, PretrainConfig, Records};
use corpus::Passage;
use trainer::Task;

/// Trains what `file` describes (with `--set` values laid over it) and gives the folder it wrote.
pub fn run(file: &Path, sets: &[String], resume: bool) -> Result<PathBuf> {
    let config = PretrainConfig::load(file, sets)?;
    let device = crate::device::parse(&config.device)?.autodiff();
    std::fs::create_dir_all(&config.run_dir).map_err(|error| Error::io(&config.run_dir, error))?;
    match config.kind {
        Kind::Masked => run_masked(&config, file, device, resume)?,
        Kind::Causal => run_causal(&config, file, device, resume)?,
        Kind::Cell => run_cell(&config, file, device, resume)?,
    }
    Ok(config.output)
}

fn run_masked(config: &PretrainConfig, file: &Path, device: Device, resume: bool) -> Result<()> {
    let parts = passages(config, file)?;
    let texts: Vec<&str> = parts
        .train
        .iter()
        .map(|passage| passage.text.as_str())
        .collect();
    let alphabet = Alphabet::learn(config, &texts)?;
    let prepare = |passages: &[Passage]| -> Vec<Sample> {
        let passages = passages.par_iter();
        let samples =
            passages.filter_map(|passage| alphabet.sample(passage, config.train.max_length));
        samples.collect()
    };
    let (train, held_out) = (prepare(&parts.train), prepare(&parts.held_out));
    tracing::info!(
        train = train.len(),
        held_out = held_out.len(),
        tokens = alphabet.len(),
        "records"
    );
    let dir = model_config(config, alphabet.len(), &alphabet.keys())?;
    let model_config = bioverse_nn::EncoderConfig::load(dir.path())?;
    let model = seeded(&device, config.seed, || {
        let fresh = masked::Masked::init(&model_config, alphabet.target_len(), &device);
        fresh.looking_at(&config.masked.neighbours)
    })?;
    let task = masked::MaskedTask::new(config.clone(), alphabet, train, held_out, device.clone());
    let (model, seconds) = trainer::train(&task, model, config, &device, resume)?;
    let card = encoder_report::masked(&task, &model, &parts.rows, seconds, file)?;
    finish(&task, &model, config, &card)
}

/// The records of a masked run.
fn passages(config: &PretrainConfig, file: &Path) -> Result<corpus::Parts<Passage>> {
    let needed = match config.masked.records {
        Records::Molecule if cfg!(feature = "molecule") => return molecules(config),
        Records::Molecule => "molecule",
        Records::Protein if !cfg!(feature = "protein") => "protein",
        Records::Protein | Records::Text => return corpus::passages(config),
    };
    Err(Error::Input(format!(
        "{}: `masked.records` asks for the modality `{needed}`; build with `--features {needed}`",
        file.display()
    )))
}

#[cfg(feature = "molecule")]
fn molecules(config: &PretrainConfig) -> Result<corpus::Parts<Passage>> {
    corpus::molecules(config)
}

#[cfg(not(feature = "molecule"))]
fn molecules(_: &PretrainConfig) -> Result<corpus::Parts<Passage>> {
    Err(Error::Run("molecules are not built in".into()))
}

fn run_causal(config: &PretrainConfig, file: &Path, device: Device, resume: bool) -> Result<()> {
    let parts = corpus::documents(config)?;
    let texts: Vec<&str> = parts
        .train
        .iter()
        .flat_map(|(document, _)| document.texts())
        .collect();
    let tokenizer = vocabulary::text(&texts, &config.tokenizer)?;
    let train = causal::prepare(&parts.train, &tokenizer)?;
    let held_out = causal::prepare(&parts.held_out, &tokenizer)?;
    let tokens: usize = train.iter().map(|document| document.ids.len()).sum();
    tracing::info!(
        train = train.len(),
        held_out = held_out.len(),
        tokens,
        "documents"
    );
    let dir = model_config(
        config,
        tokenizer.get_vocab_size(true),
        &[
            ("pad_token_id", 0),
            ("bos_token_id", 1),
            ("eos_token_id", 2),
        ],
    )?;
    let model_config = DecoderConfig::load(dir.path())?;
    let model = seeded(&device, config.seed, || {
        Ok::<_, Error>(CausalLm::init(&model_config, &device))
    })?;
    let task = causal::CausalTask::new(config.clone(), tokenizer, train, held_out, device.clone());
    let (model, seconds) = trainer::train(&task, model, config, &device, resume)?;
    let card = report::causal(&task, &model, &parts.rows, seconds, file)?;
    finish(&task, &model, config, &card)
}

#[cfg(feature = "single-cell")]
fn run_cell(config: &PretrainConfig, file: &Path, device: Device, resume: bool) -> Result<()> {
    cell::run(config, file, device, resume)
}

#[cfg(not(feature = "single-cell"))]
fn run_cell(_: &PretrainConfig, file: &Path, _: Device, _: bool) -> Result<()> {
    Err(Error::Input(format!(
        "{}: `kind = \"cell\"` needs cells; build with `--features single-cell`",
        file.display()
    )))
}

/// `[model]` as a folder with a `config.json`, so that it is read and checked like that of any other model.
fn model_config(
    config: &PretrainConfig,
    vocab_size: usize,
    ids: &[(&str, u32)],
) -> Result<StagedDir> {
    let staged = StagedDir::new(&config.run_dir.join("config"))?;
    let mut model = serde_json::to_value(&config.model)
        .map_err(|error| Error::Input(format!("`[model]` cannot be written as JSON: {error}")))?;
    if let Value::Object(model) = &mut model {
        model.insert("vocab_size".into(), vocab_size.into());
        model.extend(
            ids.iter()
                .map(|(name, id)| (name.to_string(), Value::from(*id))),
        );
    }
    write_atomic(
        &staged.path().join("config.json"),
        model.to_string().as_bytes(),
    )?;
    Ok(staged)
}

/// The finished folder, card included.
fn finish<T: Task>(task: &T, model: &T::Model, config: &PretrainConfig, card: &str) -> Result<()> {
    let staged = StagedDir::new(&config.output)?;
    task.export(model, staged.path())?;
    write_atomic(&staged.path().join("README.md"), card.as_bytes())?;
    staged.commit().map(drop)
}

#[cfg(test)]
mod tests;
