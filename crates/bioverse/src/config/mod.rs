//! One TOML is one complete run: read, laid over the defaults, overlaid with `--set`, checked, and printed with the
//! origin of every value. Paths are relative to the directory the command runs in. No stage is known here.

mod check;
mod layers;
pub(crate) mod modalities;
mod sections;
pub mod suggest;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use bioverse_core::{ProjectorConfig, Registry};
use toml::{Table, Value};

pub(crate) use layers::leaves;
pub use sections::{
    AlignSection, BioSource, DataSection, Direction, Dtype, FinetuneSection, LlmSection,
    MixtureEntry, Objective, Positives, RunConfig, RunSection, Sampling, TextPool, TextSource,
    TextSpace,
};

use crate::{
    encoders,
    error::{Error, Result},
};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// The TOML file.
    File(PathBuf),
    /// `--set`.
    Set,
}

impl Origin {
    fn name(&self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File(_) => "file",
            Self::Set => "--set",
        }
    }
}

/// A configuration and where each value came from (dotted key → value as TOML, origin).
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The values.
    pub config: RunConfig,
    /// Every leaf, sorted by key.
    pub origins: BTreeMap<String, (Value, Origin)>,
}

impl RunConfig {
    /// Reads a file, lays `--set key=value` over it, refuses unknown keys with a did-you-mean, resolves `[modality.*]`
    /// through the registry.
    pub fn load(file: &Path, sets: &[String], registry: &Registry) -> Result<Resolved> {
        let mut given = layers::file(file)?;
        for argument in sets {
            given.extend(layers::set(argument)?);
        }
        layers::refuse_unknown(&given)?;
        layers::settle_types(&mut given)?;
        modalities::by_name(&mut given, registry);
        let modality = modalities::resolve(&given, registry)?;
        let mut config = assemble(&given, modality)?;
        for name in config
            .align
            .modalities
            .iter_mut()
            .chain(&mut config.data.modality)
            .chain(
                config
                    .data
                    .mixture
                    .iter_mut()
                    .filter_map(|e| e.modality.as_mut()),
            )
        {
            *name = modalities::canonical(name, registry);
        }
        let refuse = |problem: String| Error::Input(format!("{}: {problem}", file.display()));
        check::check(&config).map_err(refuse)?;
        for name in config.modality.keys() {
            let projector = config.projector_for(name, registry)?;
            projector
                .validate()
                .map_err(|error| refuse(error.to_string()))?;
        }
        let origins = origins(&config, &given, registry)?;
        Ok(Resolved { config, origins })
    }

    /// The projector of a modality: what it recommends, with `[projector]` laid over.
    pub fn projector_for(&self, modality: &str, registry: &Registry) -> Result<ProjectorConfig> {
        let internal = |error: String| Error::Input(format!("`[projector]`: {error}"));
        let none = Table::new();
        let configured = self.modality.get(modality).unwrap_or(&none);
        let recommended = encoders::projector(registry, modality, configured)?;
        let mut table = Table::try_from(recommended).map_err(|e| internal(e.to_string()))?;
        table.extend(self.projector.clone());
        table
            .try_into()
            .map_err(|e: toml::de::Error| internal(e.message().into()))
    }
}

impl Resolved {
    /// One line per value, `key = value  (origin)`; a star marks what the file or `--set` gave.
    pub fn table(&self) -> String {
        const WIDTH: usize = 80;
        let key_width = self.origins.keys().map(String::len).max().unwrap_or(0);
        let longest_origin = "(default)".len();
        let room = WIDTH.saturating_sub("* ".len() + key_width + " = ".len() + 2 + longest_origin);
        let values = self
            .origins
            .values()
            .map(|(value, _)| value.to_string().chars().count());
        let value_width = values.filter(|width| *width <= room).max().unwrap_or(0);
        self.origins
            .iter()
            .map(|(key, (value, origin))| {
                let mark = if *origin == Origin::Default { ' ' } else { '*' };
                let (value, origin) = (value.to_string(), origin.name());
                format!("{mark} {key:key_width$} = {value:value_width$}  ({origin})\n")
            })
            .collect()
    }

    /// The values as TOML that [`RunConfig::load`] reads back to the same run.
    pub fn to_toml(&self) -> Result<String> {
        self.config.to_toml()
    }
}

impl RunConfig {
    /// Writes the values to `run.dir/config.toml`, so that a run can be reported and done again before it has a bundle.
    pub fn keep(&self) -> Result<()> {
        let file = self.run.dir.join("config.toml");
        crate::files::write_atomic(&file, self.to_toml()?.as_bytes())
    }

    /// The values as TOML.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string_pretty(self).map_err(|error| {
            Error::Run(format!(
                "the configuration cannot be written as TOML: {error}"
            ))
        })
    }
}

/// All layers as one configuration.
fn assemble(given: &[layers::Given], modality: BTreeMap<String, Table>) -> Result<RunConfig> {
    let defaults = Table::try_from(RunConfig::default());
    let mut table = defaults.map_err(|error| Error::Run(error.to_string()))?;
    for leaf in given.iter().filter(|leaf| leaf.key[0] != "modality") {
        layers::lay(&mut table, &leaf.key, leaf.value.clone());
    }
    let config: RunConfig = table
        .try_into()
        .map_err(|error: toml::de::Error| Error::Input(error.message().into()))?;
    Ok(RunConfig { modality, ..config })
}

/// Every leaf of the configuration with its origin. The projector is listed as it will be where all modalities agree,
/// and as it was written otherwise.
fn origins(
    config: &RunConfig,
    given: &[layers::Given],
    registry: &Registry,
) -> Result<BTreeMap<String, (Value, Origin)>> {
    let mut shown = config.clone();
    let projectors: Result<Vec<ProjectorConfig>> = config
        .modality
        .keys()
        .map(|name| config.projector_for(name, registry))
        .collect();
    if let [first, rest @ ..] = projectors?.as_slice()
        && rest.iter().all(|other| other == first)
    {
        shown.projector = Table::try_from(first).map_err(|error| Error::Run(error.to_string()))?;
    }
    let table = Table::try_from(&shown).map_err(|error| Error::Run(error.to_string()))?;
    let origin_of = |key: &str| {
        let covers = |leaf: &&layers::Given| {
            let leaf = leaf.dotted();
            key == leaf
                || key
                    .strip_prefix(&leaf)
                    .is_some_and(|rest| rest.starts_with('.'))
        };
        let last = given.iter().rev().find(covers);
        last.map_or(Origin::Default, |leaf| leaf.origin.clone())
    };
    let leaves = layers::leaves(&table).into_iter();
    Ok(leaves
        .map(|(key, value)| (key.clone(), (value, origin_of(&key))))
        .collect())
}
