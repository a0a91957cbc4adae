//! Stage 2: projectors and LoRA learn from instructions that carry records, by next-token prediction on the answers.
//!
//! Every row is laid out and checked before the first step, and every record goes through its encoder once.

mod setup;

use std::collections::BTreeMap;
use std::path::Path;

use bioverse_core::{LlmSpace, Registry};
use bioverse_nn::{CausalLm, Tokenizer};
use burn::module::Module;
use burn::prelude::*;

use crate::align::StageOptions;
use crate::bundle::{Bundle, Contents, Identities};
use crate::config::{Resolved, RunConfig};
use crate::data::refusal::{MEND, refusal, with_step};
use crate::data::{EncodedStore, Screen, Split};
use crate::error::{Error, Result};
use crate::instructions::{Rows, Rules};
use crate::model::Bioverse;
use crate::train::checkpoint::{Checkpoints, Keep};
use crate::train::seed::mix_name;
use crate::train::{MicroBatch, MixedOrder, Observation, Rates, Stage, steps};
use crate::{device, encoders, interrupt};

use setup::{Start, Trainable};

/// Rows that are held out for measuring.
const HELD_OUT: usize = 128;
/// Rows that a dry run shows.
const SHOWN: usize = 3;

/// Runs stage 2 and writes the bundle to `run.dir/bundle`.
pub fn run(resolved: &Resolved, registry: &Registry, options: StageOptions) -> Result<Bundle> {
    interrupt::install();
    let trainable = Trainable::of(&resolved.config.finetune)?;
    let checkpoints = Checkpoints::new(&resolved.config, "align", options.resume)?;
    if checkpoints.finished()? {
        return Bundle::open(&resolved.config.run.dir.join("bundle"));
    }
    let start = Start::open(&resolved.config, registry)?;
    let config = &start.config;
    let identities = Identities::of(config, registry)?;
    let device = device::parse(&config.run.device)?;
    let (model, lora) = start.model(trainable, &device)?;
    let tokenizer = Tokenizer::load(&start.llm)?;
    let rules = rules(&start, &tokenizer, &model.llm)?;
    let modalities = start.bundle.manifest.modalities.iter();
    let tables = modalities.map(|(name, entry)| (name.clone(), entry.table()));
    let mut screen = Screen::of(config, registry, tables)?;
    let rows = Sides::read(config, &start.names(), &rules, &mut screen)?;
    screen.finish()?;
    let encoded = rows.encode(&start, registry, &model, &device)?;
    checkpoints.begin()?;
    let model = train(config, model, &rows, &encoded, &checkpoints, &device)?.valid();
    let adapter = lora.as_ref().map(|lora| (&model.llm, lora));
    let bundle = write(
        &start,
        &identities,
        &model,
        adapter,
        encoded.keys(),
        &device,
    )?;
    checkpoints.finish()?;
    Ok(bundle)
}

/// Prints the first three rows as they are laid out, loss tokens marked, after checking every row: refuses zero-loss rows,
/// answers cut off by `max_length`, trained pads.
pub fn dry_run(resolved: &Resolved, registry: &Registry) -> Result<String> {
    let trainable = Trainable::of(&resolved.config.finetune)?;
    if let Some(missing) = Start::not_here(&resolved.config)? {
        return Ok(missing);
    }
    let start = Start::open(&resolved.config, registry)?;
    let config = &start.config;
    let device = device::parse(&config.run.device)?;
    let tokenizer = Tokenizer::load(&start.llm)?;
    let (model, _) = start.model(trainable, &device)?;
    let rules = rules(&start, &tokenizer, &model.llm)?;
    let modalities = start.bundle.manifest.modalities.iter();
    let tables = modalities.map(|(name, entry)| (name.clone(), entry.table()));
    let mut screen = Screen::counting(config, registry, tables)?;
    let rows = Sides::read(config, &start.names(), &rules, &mut screen)?;
    rows.check_records(&start, registry, &device)?;
    let mut text = format!(
        "stage 2 would train {} for {} steps of {} × {} rows on {} rows ({} held out), each of them checked: all have an \
         answer that ends in an end token, none is cut or trains padding\n",
        config.finetune.trainable.join(" and "),
        config.finetune.steps,
        config.finetune.accumulation.max(1),
        config.finetune.batch_size,
        rows.train.len(),
        rows.held_out.as_ref().map_or(0, Rows::len).min(HELD_OUT),
    );
    text += &screen.told();
    let decode = |ids: &[u32]| tokenizer.decode_with_special(ids).unwrap_or_default();
    for row in 0..rows.train.len().min(SHOWN) {
        let layout = rows.train.layout(&[row])?;
        let counts = Rows::counts(&layout);
        text += &format!(
            "\n{}: {} prompt + {} soft + {} loss tokens\n{}\n",
            rows.train.name(row),
            counts.prompt,
            counts.soft,
            counts.loss,
            layout.describe(0, decode)
        );
    }
    Ok(text)
}

fn rules<'a>(start: &Start, tokenizer: &'a Tokenizer, llm: &CausalLm) -> Result<Rules<'a>> {
    let modalities = start.bundle.manifest.modalities.iter();
    let soft_len = modalities
        .map(|(name, entry)| (name.clone(), entry.projector.soft_len()))
        .collect();
    Rules::new(
        tokenizer,
        llm,
        &start.config.llm.path,
        soft_len,
        start.config.finetune.max_length,
        start.bundle.dir.clone(),
    )
}

/// Rows to learn from, and rows to measure on if there are any.
struct Sides {
    train: Rows,
    held_out: Option<Rows>,
}

impl Sides {
    fn read(
        config: &RunConfig,
        names: &[&str],
        rules: &Rules<'_>,
        screen: &mut Screen,
    ) -> Result<Self> {
        let data = &config.data;
        let held_out = match data.holds_out() {
            true => Some(Rows::read(data, Split::Eval, names, rules, screen)?),
            false => None,
        };
        Ok(Self {
            train: Rows::read(data, Split::Train, names, rules, screen)?,
            held_out,
        })
    }

    /// Records of one modality on both sides, each with the name of its row.
    fn records(&self, modality: &str) -> Vec<(bioverse_core::Record, String)> {
        let mut records = self.train.records(modality);
        if let Some(held_out) = &self.held_out {
            records.extend(held_out.records(modality));
        }
        records
    }

    /// Frozen encodings of all records, by modality; modalities that no row mentions are left out.
    fn encode(
        &self,
        start: &Start,
        registry: &Registry,
        model: &Bioverse,
        device: &Device,
    ) -> Result<BTreeMap<String, EncodedStore>> {
        let mut encoded = BTreeMap::new();
        for (name, entry) in &start.bundle.manifest.modalities {
            let (records, rows): (Vec<_>, Vec<_>) = self.records(name).into_iter().unzip();
            if records.is_empty() {
                continue;
            }
            let encoder = encoders::load(registry, name, &entry.table(), device)?;
            let row = |index: usize| rows.get(index).cloned().unwrap_or_default();
            let store = EncodedStore::build(&encoder, model.projector(name)?, &records, &row)?;
            encoded.insert(name.clone(), store);
        }
        Ok(encoded)
    }

    /// Parses and tokenises every record without running an encoder.
    fn check_records(&self, start: &Start, registry: &Registry, device: &Device) -> Result<()> {
        for (name, entry) in &start.bundle.manifest.modalities {
            let records = self.records(name);
            if records.is_empty() {
                continue;
            }
            let encoder = encoders::load(registry, name, &entry.table(), device)?;
            for (record, row) in &records {
                encoder.check(record).map_err(|error| {
                    let reason = with_step(&refusal(record, error), MEND);
                    Error::Input(format!("{row}: {reason}"))
                })?;
            }
        }
        Ok(())
    }
}

fn train(
    config: &RunConfig,
    model: Bioverse,
    rows: &Sides,
    encoded: &BTreeMap<String, EncodedStore>,
    checkpoints: &Checkpoints,
    device: &Device,
) -> Result<Bioverse> {
    let (finetune, training) = (&config.finetune, device.clone().autodiff());
    let metrics = config.run.dir.join("metrics.jsonl");
    let stage = stage(config, checkpoints, &metrics, &training);
    let lengths = rows.train.lengths.clone();
    let mut order = MixedOrder::new(lengths, finetune.batch_size, stage.seed);
    steps::run(
        &stage,
        model,
        |model, n, scale| {
            let batch = order.batch(n).concat();
            let layout = rows.train.layout(&batch)?;
            let loss = model.loss(&layout, encoded, &training)?;
            Ok(MicroBatch::of(model, loss, batch.len(), scale))
        },
        |model, step| match &rows.held_out {
            Some(held_out) if step == finetune.steps => {
                let model = model.valid();
                held_out_loss(&model, held_out, encoded, finetune.batch_size, device).map(Some)
            }
            _ => Ok(None),
        },
    )
}

fn stage<'a>(
    config: &RunConfig,
    checkpoints: &Checkpoints,
    metrics: &'a Path,
    training: &'a Device,
) -> Stage<'a> {
    let finetune = &config.finetune;
    Stage {
        label: "finetune".into(),
        section: "finetune",
        steps: finetune.steps,
        accumulation: finetune.accumulation,
        lr: finetune.lr,
        warmup_steps: finetune.warmup_steps,
        weight_decay: finetune.weight_decay,
        max_grad_norm: finetune.max_grad_norm,
        seed: mix_name(config.run.seed, "finetune"),
        device: training,
        metrics,
        steps_before: 0,
        log_every: config.run.log_every,
        checkpoint_every: config.run.checkpoint_every,
        checkpoint: checkpoints.of("finetune"),
        resume: checkpoints.resume(),
        keep: Keep {
            last: config.run.keep_last,
            best: config.run.keep_best,
        },
        tensorboard: config.run.tensorboard,
        rates: Rates::default(),
        patience: finetune.early_stopping.then_some(finetune.patience),
    }
}

/// Mean loss per answer token over the first held-out rows.
fn held_out_loss(
    model: &Bioverse,
    rows: &Rows,
    encoded: &BTreeMap<String, EncodedStore>,
    batch_size: usize,
    device: &Device,
) -> Result<Observation> {
    let chosen: Vec<usize> = (0..rows.len().min(HELD_OUT)).collect();
    let (mut sum, mut count) = (0.0, 0);
    for batch in chosen.chunks(batch_size.max(1)) {
        let layout = rows.layout(batch)?;
        let tokens = layout.targets().len();
        let loss = model.loss(&layout, encoded, device)?.into_data();
        sum += loss.iter::<f64>().sum::<f64>() * tokens as f64;
        count += tokens;
    }
    let loss = sum / count.max(1) as f64;
    let mut observation = Observation {
        message: format!("held-out loss {loss:.4} over {} rows", chosen.len()),
        ..Observation::default()
    };
    observation
        .fields
        .insert("held_out_loss".into(), loss.into());
    observation
        .fields
        .insert("held_out_rows".into(), chosen.len().into());
    Ok(observation)
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
        adapter,
        carried: Some(&start.bundle),
    };
    Bundle::write(&config.run.dir.join("bundle"), &contents)
}
