//! Stage 2: projectors and LoRA learn from instructions that carry records, by next-token prediction on the answers.
//!
//! Every row is laid out and checked before the first step, and every record goes through its encoder once.

mod dry_run;
mod rates;
mod sampling;
mod setup;
mod sides;
mod training;

use std::collections::{BTreeMap, HashMap};

use bioverse_core::{LlmSpace, Registry};
use bioverse_nn::{CausalLm, Tokenizer};
use burn::module::Module;
use burn::prelude::*;

use crate::align::StageOptions;
use crate::audit;
use crate::bundle::{Bundle, Contents, Identities};
use crate::config::{Resolved, RunConfig};
use crate::data::Screen;
use crate::error::{Error, Result};
use crate::instructions::Rules;
use crate::model::Bioverse;
use crate::train::checkpoint::Checkpoints;
use crate::{device, interrupt};

pub use dry_run::dry_run;
use setup::{Start, Trainable};
use sides::Sides;
use training::Training;

/// Runs stage 2 and writes the bundle to `run.dir/bundle`.
pub fn run(resolved: &Resolved, registry: &Registry, options: StageOptions) -> Result<Bundle> {
    interrupt::install();
    let trainable = Trainable::of(&resolved.config.finetune)?;
    check_measuring(&resolved.config)?;
    let mut checkpoints = Checkpoints::new(&resolved.config, "align", options.resume)?;
    let start = Start::open(&resolved.config, registry)?;
    let config = &start.config;
    let identities = Identities::of(config, registry)?;
    checkpoints.depend_on(identities.hashes());
    checkpoints.depend_on(start.bundle.hashes()?);
    if checkpoints.finished()? {
        return Bundle::open(&resolved.config.run.dir.join("bundle"));
    }
    let device = device::parse(&config.run.device)?;
    let (model, lora) = start.model(trainable, &device)?;
    let tokenizer = Tokenizer::load(&start.llm)?;
    let rules = rules(&start, &tokenizer, &model)?;
    let modalities = start.bundle.manifest.modalities.iter();
    let tables = modalities.map(|(name, entry)| (name.clone(), entry.table()));
    let mut screen = Screen::of(config, registry, tables)?;
    let rows = Sides::read(config, &start.names(), &rules, &mut screen)?;
    screen.finish()?;
    if let Some(split) = &rows.split {
        split.tell(&config.run.dir)?;
    }
    let order = training::order(config, &rows.train, rules.max_length)?;
    let encoded = rows.encode(&start, registry, &model, &device)?;
    checkpoints.begin()?;
    if !options.resume {
        audit::forget(&config.run.dir)?;
    }
    config.keep()?;
    let training = Training {
        config,
        rows: &rows,
        order,
        encoded: &encoded,
        checkpoints: &checkpoints,
        device: &device,
    };
    let model = training.run(model)?.valid();
    let adapter = lora.as_ref().map(|lora| (&model.llm, lora));
    let bundle = write(
        &start,
        &identities,
        &model,
        adapter,
        encoded.keys(),
        &device,
    )?;
    // Before the run counts as finished: a run that is resumed makes up for it.
    let sides = (&rows.train, rows.held_out.as_ref());
    audit::after_training(config, &model, sides, &encoded, &device)?;
    checkpoints.finish()?;
    Ok(bundle)
}

/// What would never be measured, or stop at nothing.
fn check_measuring(config: &RunConfig) -> Result<()> {
    let finetune = &config.finetune;
    if finetune.early_stopping && finetune.eval_every == 0 {
        return Err(Error::Input(
            "`finetune.early_stopping` is on, but nothing is measured before the end; set `finetune.eval_every` to a number of \
             steps"
                .into(),
        ));
    }
    if finetune.eval_every > 0 && !config.data.holds_out() {
        return Err(Error::Input(
            "`finetune.eval_every` is set, but no rows are held out to measure on; give them with `data.eval`, \
             `data.split_field` or `data.split_by`"
                .into(),
        ));
    }
    Ok(())
}

fn rules<'a>(start: &Start, tokenizer: &'a Tokenizer, model: &Bioverse) -> Result<Rules<'a>> {
    let mut soft_len = HashMap::new();
    for name in model.names() {
        soft_len.insert(name.clone(), model.projector(name)?.soft_len());
    }
    Rules::new(
        tokenizer,
        &model.llm,
        &start.config.llm.path,
        soft_len,
        start.config.finetune.max_length,
        start.bundle.dir.clone(),
    )
}

/// Writes the bundle: modalities that were used, with the metric of stage 1; the others as they were.
fn write<'a>(
    start: &Start,
    identities: &Identities,
    model: &Bioverse,
    adapter: Option<(&CausalLm, &bioverse_nn::LoraConfig)>,
    used: impl Iterator<Item = &'a String>,
    device: &Device,
) -> Result<Bundle> {
    let config = &start.config;
    let name = config.llm.path.display().to_string();
    let mut space = LlmSpace::new(&name, model.llm.config().hidden_size);
    let mut metrics = BTreeMap::new();
    for modality in used {
        space.register(modality, model.projector(modality)?.clone())?;
        metrics.insert(
            modality.clone(),
            start.bundle.text_metric(modality, device)?,
        );
    }
    let contents = Contents {
        config,
        identities,
        space: &space,
        metrics: &metrics,
        readouts: &BTreeMap::new(),
        adapter,
        carried: Some(&start.bundle),
    };
    Bundle::write(&config.run.dir.join("bundle"), &contents)
}
