//! How far a run is: steps done and planned, finished or not. What it reached is told elsewhere.

use std::path::Path;

use serde::Serialize;

use super::metrics::Training;
use super::provenance::Config;

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    Finished,
    Unfinished,
}

/// Steps done and planned.
pub(super) struct Progress {
    pub(super) done: u64,
    pub(super) planned: Option<u64>,
    pub(super) bundle: bool,
    /// The run has noted that it is finished; a new one in the same folder takes the note away.
    pub(super) settled: bool,
}

impl Progress {
    pub(super) fn of(
        run: &Path,
        verb: &str,
        trainings: &[Training],
        config: Option<&Config>,
        bundle: bool,
    ) -> Self {
        let times = |config: &Config| {
            let chosen = config
                .get("align.modalities")
                .and_then(toml::Value::as_array);
            let chosen = chosen.map_or(0, Vec::len);
            let all = if chosen > 0 {
                chosen
            } else {
                config.modalities().len()
            };
            if verb == "align" {
                all.max(1) as u64
            } else {
                1
            }
        };
        Self {
            done: trainings.iter().map(Training::last_step).max().unwrap_or(0),
            planned: config
                .and_then(|config| Some(config.count(&format!("{verb}.steps"))? * times(config))),
            bundle,
            settled: run.join("finished.json").is_file(),
        }
    }

    pub(super) fn state(&self) -> State {
        let through = self.planned.is_some_and(|planned| self.done >= planned);
        if self.bundle && (through || self.settled) {
            State::Finished
        } else {
            State::Unfinished
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_finished_when_its_bundle_is_there_and_not_before() {
        let progress = |done, bundle, settled| Progress {
            done,
            planned: Some(10),
            bundle,
            settled,
        };
        assert_eq!(progress(10, true, false).state(), State::Finished);
        assert_eq!(
            progress(7, true, true).state(),
            State::Finished,
            "stopped early"
        );
        assert_eq!(
            progress(7, true, false).state(),
            State::Unfinished,
            "a new run over an old bundle"
        );
        assert_eq!(progress(10, false, false).state(), State::Unfinished);
    }
}
