//! Stage 1: each modality's projector on its own, encoder and LLM frozen. The projector learns to put a record where the
//! LLM's own embeddings (or states) put the text about it, or to make soft tokens from which the LLM can say that text.
//!
//! Records go through their encoder once and texts through the LLM once, then both are dropped, and the loop works on
//! vectors alone; only where the objective is what the LLM makes of soft tokens is it kept and run in every step.

pub mod aligner;
mod autoregressive;
mod contrast;
mod conversations;
mod diagnose;
mod dry_run;
pub mod gradient_cache;
mod maps;
mod measure;
mod negatives;
pub mod objective;
mod order;
mod pairs;
mod positives;
mod prompted;
mod raw;
mod reader;
pub mod readout;
pub mod space;
mod target;
#[cfg(test)]
mod tests;
pub mod texts;
mod train;
mod whiten;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bioverse_core::{LlmSpace, Projector, Registry};
use burn::module::Module;

use crate::bundle::{Bundle, Contents, Identities};
use crate::cache::Cache;
use crate::config::{Resolved, RunConfig};
use crate::data::split::report::SplitReport;
use crate::data::{Screen, read_sides, spread};
use crate::error::{Error, Result};
use crate::train::checkpoint::Checkpoints;
use crate::{device, files, hub, interrupt};

pub use dry_run::dry_run;
pub(crate) use measure::{measured, more_is_better};
use pairs::Pairs;
pub(crate) use prompted::Prompted;
use target::{Sources, Target};

/// What a command asks of a stage beside its configuration.
#[derive(Debug, Clone, Copy, Default)]
pub struct StageOptions {
    /// Go on from the last checkpoint in `run.dir`.
    pub resume: bool,
}

/// Runs stage 1 and writes the bundle to `run.dir/bundle`. Modalities of a bundle that is already there for the same LLM
/// are carried over unchanged.
pub fn run(resolved: &Resolved, registry: &Registry, options: StageOptions) -> Result<Bundle> {
    interrupt::install();
    let names = modalities(&resolved.config)?;
    // First, for it refuses a folder in which another process trains before anything there is touched.
    let mut checkpoints = Checkpoints::new(&resolved.config, "finetune", options.resume)?;
    let tables = resolved.config.modality.clone().into_iter();
    let wanted = tables.filter(|(name, _)| names.contains(name));
    let mut screen = Screen::of(&resolved.config, registry, wanted)?;
    let data = Data::read(&resolved.config, &names, &mut screen)?;
    screen.finish()?;
    data.check(&resolved.config, &names)?;
    if let Some(report) = &data.report {
        report.tell(&resolved.config.run.dir)?;
    }
    let config = &hub::fetch(&resolved.config)?;
    let llm = hub::locate(&config.llm.path)?.dir;
    let carried = carried(config, &llm)?;
    let identities = Identities::of(config, registry)?;
    checkpoints.depend_on(identities.hashes());
    if checkpoints.finished()? {
        return Bundle::open(&config.run.dir.join("bundle"));
    }
    let device = device::parse(&config.run.device)?;
    let sources = Sources::open(config, registry, &llm, &device)?;
    let mut targets = vec![];
    for (name, (train, held_out)) in names.iter().zip(data.pairs) {
        targets.push(sources.target(name, train, held_out)?);
    }
    drop(sources);
    checkpoints.begin()?;
    if !options.resume {
        maps::forget(&config.run.dir, &names)?;
    }
    config.keep()?;
    let mut bundle = carried;
    for (index, target) in targets.into_iter().enumerate() {
        let done = &names[..index];
        let projector = train::projector(config, &target, index, &checkpoints, &device)
            .inspect_err(|_| told(done, config))?;
        maps::write(&config.run.dir, &target, &projector, &device)?;
        let projector = projector.valid();
        bundle = Some(register(config, &identities, target, projector, bundle)?);
    }
    checkpoints.finish()?;
    bundle.ok_or_else(|| Error::Run("there was no modality to align".into()))
}

/// Adds a modality to the bundle as soon as it is aligned, so that what comes after it cannot lose it.
fn register(
    config: &RunConfig,
    identities: &Identities,
    target: Target,
    projector: Projector,
    carried: Option<Bundle>,
) -> Result<Bundle> {
    let mut space = LlmSpace::new(&config.llm.path.display().to_string(), projector.d_model());
    space.register(&target.name, projector)?;
    let contents = Contents {
        config,
        identities,
        space: &space,
        metrics: &BTreeMap::from([(target.name.clone(), target.metric)]),
        readouts: &BTreeMap::from([(target.name, target.readout)]),
        adapter: None,
        carried: carried.as_ref(),
    };
    Bundle::write(&config.run.dir.join("bundle"), &contents)
}

/// Says what a run that fails or stops has finished.
fn told(done: &[String], config: &RunConfig) {
    if !done.is_empty() {
        tracing::warn!(
            "already aligned, and in {}: {}",
            config.run.dir.join("bundle").display(),
            done.join(", ")
        );
    }
}

/// Which modalities to align: those asked for, else all that are configured.
fn modalities(config: &RunConfig) -> Result<Vec<String>> {
    let known: Vec<&str> = config.modality.keys().map(String::as_str).collect();
    if known.is_empty() {
        return Err(Error::Input(
            "no modality is configured; add a table such as `[modality.molecule]` with the path of its encoder".into(),
        ));
    }
    if config.align.modalities.is_empty() {
        return Ok(known.iter().map(ToString::to_string).collect());
    }
    let unknown = |name: &&String| !config.modality.contains_key(*name);
    match config.align.modalities.iter().find(unknown) {
        Some(name) => Err(Error::Input(format!(
            "align.modalities names `{name}`, which has no `[modality.{name}]` table (configured: {})",
            known.join(", ")
        ))),
        None => {
            let mut names = config.align.modalities.clone();
            let mut seen = BTreeSet::new();
            names.retain(|name| seen.insert(name.clone()));
            Ok(names)
        }
    }
}

/// Training and held-out pairs, by modality.
struct Data {
    pairs: Vec<(Pairs, Pairs)>,
    /// What stands on both sides, where something is held out.
    report: Option<SplitReport>,
}

impl Data {
    fn read(config: &RunConfig, names: &[String], screen: &mut Screen) -> Result<Self> {
        let data = &config.data;
        let known: Vec<&str> = config.modality.keys().map(String::as_str).collect();
        let sides = read_sides(data, &known, screen)?;
        let report = data
            .holds_out()
            .then(|| SplitReport::of(&sides, data, screen.registry()));
        let files: Vec<String> = data
            .sources()
            .iter()
            .map(|(source, _)| source.train.display().to_string())
            .collect();
        let mut pairs = vec![];
        for name in names {
            let train = Pairs::of(&sides.train, name, data)?;
            train.check(name, &files.join(", "))?;
            positives::check(&train, name, config.align.positives)?;
            let mut held_out = Pairs::of(&sides.held_out, name, data)?;
            held_out.keep(&spread(held_out.len(), config.align.eval_pairs));
            pairs.push((train, held_out));
        }
        Ok(Self { pairs, report })
    }

    /// Whether what the configuration asks of held-out pairs can be had.
    fn check(&self, config: &RunConfig, names: &[String]) -> Result<()> {
        let held_out = self.pairs.iter().map(|(_, held_out)| held_out.len());
        measure::check(config, names.iter().map(String::as_str).zip(held_out))
    }
}

/// The bundle that is already at the target, if any; refuses one that this run would damage.
fn carried(config: &RunConfig, llm: &Path) -> Result<Option<Bundle>> {
    let target = config.run.dir.join("bundle");
    files::restore(&target)?;
    if !target.join("bundle.json").is_file() {
        return Ok(None);
    }
    let bundle = Bundle::open(&target)?;
    if bundle.manifest.lora.is_some() {
        return Err(Error::Input(format!(
            "{}: this bundle was fine-tuned, and aligning would discard its adapter; choose another `run.dir`",
            target.display()
        )));
    }
    bundle.verify_llm(llm, &Cache::of(&config.run)).map_err(|error| {
        Error::Input(format!(
            "{error} (aligning adds to the bundle in {}; for another LLM choose another `run.dir`)",
            target.display()
        ))
    })?;
    Ok(Some(bundle))
}
