//! The report of a run: one HTML page that needs nothing but itself. Curves, maps, retrieval, audit, split, configuration
//! and hashes, from the files that the stages leave in a run's folder. It measures nothing and runs no model.
//!
//! | module | what it holds |
//! |---|---|
//! | [`metrics`] | `metrics.jsonl` read back |
//! | [`kept`] | which step the bundle holds |
//! | [`axis`], [`chart`], [`numbers`], [`bars`] | line charts, their tables, and bars as positions and words |
//! | [`curves`], [`retrieval`] | which charts and tables a training has |
//! | [`vectors`], [`projection`], [`map`] | alignment maps |
//! | [`evidence`], [`provenance`] | audit and split; configuration, hashes, the command |
//! | `progress`, `outcome` | how far a run is; what came out, in sentences |
//! | [`page`], [`templates`] | all of it as one page; the markup |
//!
//! Drawings are positions until the template writes them: markup is made in one place, which escapes every value.

pub mod axis;
pub mod bars;
pub mod chart;
pub mod curves;
pub mod evidence;
pub mod kept;
pub mod map;
pub mod metrics;
pub mod numbers;
mod outcome;
pub mod page;
mod progress;
pub mod projection;
pub mod provenance;
pub mod retrieval;
pub mod templates;
pub mod vectors;

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files::write_atomic;

/// Writes the report of `run` to `output`, or to `report.html` in its folder, and returns where it is.
///
/// # Errors
/// When there is no run, a file of it is damaged, or the page cannot be written. Files that are not there yet are left out
/// of the page, which says what makes them.
pub fn write(run: &Path, output: Option<&Path>) -> Result<PathBuf> {
    let run = folder(run)?;
    let page = page::render(&run)?;
    let target = output.map_or_else(|| run.join("report.html"), Path::to_path_buf);
    write_atomic(&target, page.as_bytes())?;
    Ok(target)
}

/// The run's folder; a bundle inside it stands for it.
fn folder(run: &Path) -> Result<PathBuf> {
    let holds = |dir: &Path| {
        dir.join("metrics.jsonl").is_file() || dir.join("bundle/bundle.json").is_file()
    };
    let above = run.parent().filter(|_| run.join("bundle.json").is_file());
    let places = [Some(run), above];
    let mut places = places.into_iter().flatten();
    if let Some(found) = places.find(|dir| holds(dir)) {
        return Ok(found.to_owned());
    }
    let problem = match (run.is_dir(), run.exists()) {
        (true, _) => "holds no run (neither `metrics.jsonl` nor a `bundle`)",
        (false, true) => "is a file, not the folder of a run",
        (false, false) => "does not exist",
    };
    Err(Error::Input(format!(
        "{} {problem}; give the `run.dir` of `bioverse align` or `bioverse finetune`",
        run.display()
    )))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn what_is_no_run_is_refused_with_a_next_step() {
        let dir = tempfile::tempdir().unwrap();
        for path in [dir.path().to_owned(), dir.path().join("gone")] {
            let error = write(&path, None).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains("run.dir"), "{error}");
        }
    }

    #[test]
    fn a_run_that_has_just_begun_has_a_page() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("metrics.jsonl"), "").unwrap();
        let page = std::fs::read_to_string(write(dir.path(), None).unwrap()).unwrap();
        assert!(page.contains("nothing was logged yet"), "{page}");
    }
}
