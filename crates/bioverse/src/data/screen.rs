//! What happens to bad rows where a run is told to leave them out: rows that cannot be read, rows that make no example, and
//! rows whose records an encoder refuses. They are written to one file.

use std::{collections::BTreeMap, path::Path};

use bioverse_core::{Encoder, Example, Registry};
use bioverse_formats::Object;
use toml::Table;

use super::{Rejected, refusal::refusal};
use crate::{config::RunConfig, device, encoders, error::Result};

/// Encoders to ask about records, and the file of those rejected.
#[derive(Default)]
pub struct Screen {
    registry: Registry,
    encoders: BTreeMap<String, Encoder>,
    rejected: Rejected,
}

impl Screen {
    /// For rows that are only read: encoders are not asked, bad rows are only counted. `registry` knows what records are
    /// made of.
    pub fn knowing(registry: &Registry) -> Self {
        Self {
            registry: registry.clone(),
            ..Self::default()
        }
    }

    /// For a run: with `data.skip_bad`, bad rows go to `<run.dir>/rejected.jsonl`, and the encoders of `modalities` (name and
    /// table) are asked about records. Without it, the first bad row ends the run, and nothing is loaded.
    pub fn of(
        config: &RunConfig,
        registry: &Registry,
        modalities: impl Iterator<Item = (String, Table)>,
    ) -> Result<Self> {
        let mut screen = Self::counting(config, registry, modalities)?;
        if config.data.skip_bad {
            screen.rejected = Rejected::to(config.run.dir.join("rejected.jsonl"));
        }
        Ok(screen)
    }

    /// [`of`](Self::of), but bad rows are only counted, for a run that writes nothing.
    pub fn counting(
        config: &RunConfig,
        registry: &Registry,
        modalities: impl Iterator<Item = (String, Table)>,
    ) -> Result<Self> {
        if !config.data.skip_bad {
            return Ok(Self::knowing(registry));
        }
        let device = device::parse(&config.run.device)?;
        let load = |(name, table): (String, Table)| {
            let encoder = encoders::load(registry, &name, &table, &device)?;
            Ok((name, encoder))
        };
        Ok(Self {
            registry: registry.clone(),
            encoders: modalities.map(load).collect::<Result<_>>()?,
            rejected: Rejected::counted(),
        })
    }

    /// The modalities of this program.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The rows rejected so far.
    pub fn rejected(&mut self) -> &mut Rejected {
        &mut self.rejected
    }

    /// For people: how many rows would be left out; nothing where none would.
    pub fn told(&self) -> String {
        match self.rejected.count() {
            0 => String::new(),
            1 => "1 bad row would be left out\n".into(),
            n => format!("{n} bad rows would be left out\n"),
        }
    }

    /// Whether the encoders take the records of an example; else why not.
    pub fn check(&self, example: &Example) -> Result<(), String> {
        for (name, record) in &example.records {
            let Some(encoder) = self.encoders.get(name) else {
                continue;
            };
            encoder.check(record).map_err(|error| {
                let reason = refusal(record, error);
                format!("the `{name}` record does not parse: {reason}")
            })?;
        }
        Ok(())
    }

    /// Rejects a row that was read.
    pub fn reject(&mut self, file: &Path, row: usize, reason: &str, fields: &Object) -> Result<()> {
        self.rejected.add_row(file, row, reason, fields)
    }

    /// Writes the file and logs how many rows it has.
    pub fn finish(self) -> Result<()> {
        let place = self.rejected.path().map(Path::to_path_buf);
        match (self.rejected.finish()?, place) {
            (0, _) => {}
            (n, None) => tracing::warn!("bad rows left out: {n}"),
            (n, Some(place)) => tracing::warn!(
                "bad rows left out: {n}; what is wrong with each stands in {}",
                place.display()
            ),
        }
        Ok(())
    }
}

impl std::fmt::Debug for Screen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&String> = self.encoders.keys().collect();
        f.debug_struct("Screen")
            .field("encoders", &names)
            .field("rejected", &self.rejected)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_run_that_writes_nothing_counts_what_it_would_leave_out() {
        let mut screen = Screen::default();
        let mut told = vec![screen.told()];
        for row in [2, 3, 3] {
            let path = Path::new("a.csv");
            screen.reject(path, row, "bad", &Object::new()).unwrap();
            told.push(screen.told());
        }
        let (one, two) = (
            "1 bad row would be left out\n",
            "2 bad rows would be left out\n",
        );
        assert_eq!(told, ["", one, two, two], "a row counts once");
    }
}
