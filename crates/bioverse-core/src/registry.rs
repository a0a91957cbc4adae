//! Code: name → how to load an encoder. Which modalities exist is decided by the program that builds a [`Registry`];
//! where their configuration was written is unknown here.

use std::path::PathBuf;

use burn::prelude::*;
use serde::Deserialize;

use crate::{
    BoxError, Encoder, Error, Modality, ProjectorConfig, Record, Result, fingerprint, placeholder,
};

/// The modalities a program knows.
#[derive(Default, Debug, Clone)]
pub struct Registry {
    entries: Vec<Entry>,
}

/// One modality as plain functions of its configuration table.
#[derive(Debug, Clone, Copy)]
struct Entry {
    name: &'static str,
    aliases: &'static [&'static str],
    load: fn(&toml::Table, &Device) -> Result<Encoder>,
    resolve: fn(&toml::Table) -> Result<toml::Table>,
    weights: fn(&toml::Table) -> Result<Vec<PathBuf>>,
    projector: fn() -> ProjectorConfig,
    fingerprint: fn(&Record) -> Result<Option<Vec<u64>>>,
    scaffold: fn(&Record) -> Result<Option<String>>,
}

impl Registry {
    /// Empty.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a modality.
    ///
    /// # Panics
    /// At the caller's line when the name is taken, or could not be written as a `<placeholder>`: both are mistakes
    /// in the program, not in its input.
    #[track_caller]
    pub fn with<M: Modality>(mut self) -> Self {
        assert!(
            placeholder::is_name(M::NAME),
            "modality name `{}` is not of the form [a-z][a-z0-9-]*",
            M::NAME
        );
        for name in M::ALIASES.iter().chain([&M::NAME]) {
            assert!(
                !self.contains(name),
                "modality `{name}` is registered twice"
            );
        }
        self.entries.push(Entry {
            name: M::NAME,
            aliases: M::ALIASES,
            load: load::<M>,
            resolve: resolve::<M>,
            weights: |table| Ok(M::weights(&config::<M>(table)?)),
            projector: M::projector,
            fingerprint: |record| {
                let found = M::fingerprint(&input::<M>(record)?).transpose();
                found
                    .map(|features| features.map(fingerprint::set))
                    .map_err(refused_record::<M>)
            },
            scaffold: |record| {
                let found = M::scaffold(&input::<M>(record)?).transpose();
                found.map_err(refused_record::<M>)
            },
        });
        self
    }

    /// Registered names, in order of registration.
    pub fn names(&self) -> Vec<&str> {
        self.entries.iter().map(|entry| entry.name).collect()
    }

    /// Whether `name` is registered, as a name or as an alias.
    pub fn contains(&self, name: &str) -> bool {
        self.canonical(name).is_some()
    }

    /// The registered name that `name` stands for: itself, or that of which it is an alias.
    pub fn canonical(&self, name: &str) -> Option<&'static str> {
        let is = |entry: &&Entry| entry.name == name || entry.aliases.contains(&name);
        self.entries.iter().find(is).map(|entry| entry.name)
    }

    /// Loads the encoder `name` from its config table; an unknown name is an error that lists the known ones.
    pub fn load(&self, name: &str, config: &toml::Table, device: &Device) -> Result<Encoder> {
        (self.entry(name)?.load)(config, device)
    }

    /// Parses the config table only (unknown keys refused by the plugin's `deny_unknown_fields`) and returns it with
    /// defaults filled in.
    pub fn resolve(&self, name: &str, config: &toml::Table) -> Result<toml::Table> {
        (self.entry(name)?.resolve)(config)
    }

    /// The projector the modality recommends.
    pub fn projector(&self, name: &str) -> Result<ProjectorConfig> {
        Ok((self.entry(name)?.projector)())
    }

    /// What a record is made of, sorted and without repeats; `None` where the modality does not say. See
    /// [`Modality::fingerprint`].
    ///
    /// # Errors
    /// A modality that is not registered, a record that it refuses.
    pub fn fingerprint(&self, name: &str, record: &Record) -> Result<Option<Vec<u64>>> {
        (self.entry(name)?.fingerprint)(record)
    }

    /// The framework of a record; `None` where the modality has none. See [`Modality::scaffold`].
    ///
    /// # Errors
    /// As [`fingerprint`](Self::fingerprint).
    pub fn scaffold(&self, name: &str, record: &Record) -> Result<Option<String>> {
        (self.entry(name)?.scaffold)(record)
    }

    /// Files that identify the encoder.
    pub fn weights(&self, name: &str, config: &toml::Table) -> Result<Vec<PathBuf>> {
        (self.entry(name)?.weights)(config)
    }

    fn entry(&self, name: &str) -> Result<&Entry> {
        let wanted = self.canonical(name).unwrap_or(name);
        self.entries
            .iter()
            .find(|entry| entry.name == wanted)
            .ok_or_else(|| {
                let known = placeholder::listed(&self.names());
                Error::Unknown(format!(
                    "no modality is called `{name}` (registered: {known})"
                ))
            })
    }
}

fn load<M: Modality>(table: &toml::Table, device: &Device) -> Result<Encoder> {
    let loaded = M::load(&config::<M>(table)?, device);
    loaded.map(Encoder::new).map_err(|source| Error::Modality {
        modality: M::NAME.into(),
        source,
    })
}

fn input<M: Modality>(record: &Record) -> Result<M::Input> {
    M::Input::deserialize(record).map_err(|error| refused_record::<M>(error.into()))
}

fn refused_record<M: Modality>(source: BoxError) -> Error {
    Error::Record {
        modality: M::NAME.into(),
        index: 0,
        source,
    }
}

fn resolve<M: Modality>(table: &toml::Table) -> Result<toml::Table> {
    toml::Table::try_from(config::<M>(table)?).map_err(|e| refused::<M>(e.into()))
}

fn config<M: Modality>(table: &toml::Table) -> Result<M::Config> {
    table
        .clone()
        .try_into()
        .map_err(|e: toml::de::Error| refused::<M>(e.message().into()))
}

fn refused<M: Modality>(source: BoxError) -> Error {
    let source = format!("`[modality.{}]`: {source}", M::NAME).into();
    Error::Modality {
        modality: M::NAME.into(),
        source,
    }
}
