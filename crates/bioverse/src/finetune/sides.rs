//! Rows to learn from and rows to measure on, with their records. It knows neither what learns nor how.

use std::collections::BTreeMap;

use bioverse_core::{Record, Registry};
use burn::prelude::*;

use super::setup::Start;
use crate::cache::Cache;
use crate::config::RunConfig;
use crate::data::refusal::{MEND, refusal, with_step};
use crate::data::split::report::SplitReport;
use crate::data::{EncodedStore, Screen, read_sides};
use crate::encoders::{self, EncoderSource};
use crate::error::{Error, Result};
use crate::instructions::{Rows, Rules};
use crate::model::Bioverse;

/// Rows to learn from, and rows to measure on if there are any.
pub(super) struct Sides {
    pub train: Rows,
    pub held_out: Option<Rows>,
    /// What stands on both sides, where something is held out.
    pub split: Option<SplitReport>,
}

impl Sides {
    pub fn read(
        config: &RunConfig,
        names: &[&str],
        rules: &Rules<'_>,
        screen: &mut Screen,
    ) -> Result<Self> {
        let data = &config.data;
        let sides = read_sides(data, names, screen)?;
        let split = data
            .holds_out()
            .then(|| SplitReport::of(&sides, data, screen.registry()));
        let held_out = match data.holds_out() {
            true => Some(Rows::of(sides.held_out, data, rules, screen)?),
            false => None,
        };
        Ok(Self {
            train: Rows::of(sides.train, data, rules, screen)?,
            held_out,
            split,
        })
    }

    /// Records of one modality on both sides, each with the name of its row.
    fn records(&self, modality: &str) -> Vec<(Record, String)> {
        let mut records = self.train.records(modality);
        if let Some(held_out) = &self.held_out {
            records.extend(held_out.records(modality));
        }
        records
    }

    /// Frozen encodings of all records, by modality; modalities that no row mentions are left out.
    pub fn encode(
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
            let encoder = EncoderSource::new(registry, name, &entry.table(), device);
            let row = |index: usize| rows.get(index).cloned().unwrap_or_default();
            let (projector, cache) = (model.projector(name)?, Cache::of(&start.config.run));
            let store = EncodedStore::open(&encoder, projector.config(), &cache, &records, &row)?;
            store.check(name, projector)?;
            encoded.insert(name.clone(), store);
        }
        Ok(encoded)
    }

    /// Parses and tokenises every record without running an encoder.
    pub fn check_records(&self, start: &Start, registry: &Registry, device: &Device) -> Result<()> {
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
