//! The page: everything that is known about a run as one value, and what makes the parts that are missing. How a part is drawn
//! or told is known elsewhere.

use std::path::Path;

use serde::Serialize;

use super::curves::{self, Curves};
use super::evidence::{self, Audit, Fact};
use super::kept::Kept;
use super::map::{self, Maps};
use super::metrics::{self, Training};
use super::outcome::{Tile, outcome, tiles};
use super::progress::{Progress, State};
use super::provenance::{self, Config, Provenance};
use super::retrieval::{self, Table};
use super::templates::fill;
use super::vectors;
use crate::Bundle;
use crate::error::Result;

/// A run as the template sees it.
#[derive(Debug, Serialize)]
struct Page {
    name: String,
    path: String,
    stage: &'static str,
    state: State,
    outcome: Vec<String>,
    tiles: Vec<Tile>,
    retrieval: Vec<Table>,
    curves: Vec<Curves>,
    maps: Vec<Maps>,
    audits: Vec<Audit>,
    split: Vec<Fact>,
    provenance: Provenance,
    missing: Vec<Missing>,
}

/// A part that is not there, and what makes it.
#[derive(Debug, Serialize)]
struct Missing {
    part: &'static str,
    command: String,
}

/// The page of `run`.
pub fn render(run: &Path) -> Result<String> {
    fill("page.html", &Page::of(run)?)
}

impl Page {
    fn of(run: &Path) -> Result<Self> {
        let trainings = metrics::read(&run.join("metrics.jsonl"))?;
        let config = Config::find(run);
        let bundle = match run.join("bundle").is_dir() {
            true => Some(Bundle::open(run)?),
            false => None,
        };
        let verb = verb(&trainings, config.as_ref(), bundle.as_ref());
        let progress = Progress::of(run, verb, &trainings, config.as_ref(), bundle.is_some());
        let kept = Kept::of(config.as_ref());
        let vectors = vectors::read_all(&run.join("vectors"))?;
        let mut page = Self {
            name: name(run),
            path: run.display().to_string(),
            stage: if verb == "align" {
                "Stage 1, align"
            } else {
                "Stage 2, finetune"
            },
            state: progress.state(),
            outcome: vec![],
            tiles: tiles(&trainings, &progress, &kept),
            retrieval: trainings
                .iter()
                .filter_map(|training| retrieval::table(training, &kept))
                .collect(),
            curves: trainings.iter().map(curves::of).collect(),
            maps: vectors.iter().map(map::maps).collect(),
            audits: evidence::audits(run)?,
            split: evidence::split(run)?,
            provenance: provenance::provenance(run, verb, config.as_ref(), bundle.as_ref())?,
            missing: vec![],
        };
        page.outcome = outcome((&trainings, &kept), &progress, &page.audits, verb);
        page.missing = page.missing_parts(verb, config.as_ref());
        Ok(page)
    }

    fn missing_parts(&self, verb: &str, config: Option<&Config>) -> Vec<Missing> {
        let file = config.map_or("run.toml".to_owned(), |_| {
            format!("{}/config.toml", self.path)
        });
        let again = format!("bioverse {verb} --config {file}");
        let mut missing = vec![];
        let mut note = |absent: bool, part, command: String| {
            if absent {
                missing.push(Missing { part, command });
            }
        };
        let align = verb == "align";
        let held_out = "with held-out rows (data.split_field or data.eval)";
        note(
            self.curves.is_empty(),
            "Curves",
            format!("{again} --resume"),
        );
        note(
            align && self.retrieval.is_empty(),
            "Retrieval",
            format!("{again} {held_out}"),
        );
        note(
            align && self.maps.is_empty(),
            "Alignment maps",
            format!("{again} {held_out}"),
        );
        note(
            !align && self.audits.is_empty(),
            "Audit",
            format!("bioverse audit --bundle {}", self.path),
        );
        note(
            self.split.is_empty(),
            "Split",
            format!("{again} {held_out}"),
        );
        note(
            self.provenance.files.is_empty(),
            "Bundle",
            format!("{again} --resume"),
        );
        missing
    }
}

/// `align` or `finetune`.
fn verb(trainings: &[Training], config: Option<&Config>, bundle: Option<&Bundle>) -> &'static str {
    let tuned = trainings
        .iter()
        .any(|training| training.name.starts_with("finetune"))
        || bundle.is_some_and(|bundle| bundle.manifest.lora.is_some())
        || (trainings.is_empty()
            && config.is_some_and(|config| config.text("finetune.from").is_some()));
    if tuned { "finetune" } else { "align" }
}

fn name(run: &Path) -> String {
    let full = run.canonicalize().unwrap_or_else(|_| run.to_path_buf());
    let last: Vec<String> = full
        .iter()
        .rev()
        .take(2)
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    match last.as_slice() {
        [own, above] if above != "/" => format!("{above}/{own}"),
        [own, ..] => own.clone(),
        [] => "run".into(),
    }
}
