//! `bioverse split`: what the split of a run is, before it is trained. It loads no model.

use std::path::{Path, PathBuf};

use bioverse_core::Registry;
use clap::Args;

use super::out;
use crate::{
    Bundle, RunConfig,
    data::{
        Screen, read_sides,
        split::report::{Duplicates, Side, SplitReport},
    },
    error::{Error, Result},
    eval::table::Table,
};

/// Says which rows of a run are held out, and what stands on both sides of the line.
///
/// Counts rows, groups and records of each side, records that are on both, and those that are nearly the same (molecules
/// by their substructures, sequences by their k-mers, cells by their genes, texts by their words). Writes
/// `<run.dir>/split.json`, unless a run has begun there, whose own it is. `align` and `finetune` do the same when they start.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Split {
    /// The run, as TOML.
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// Replaces one value of the file, such as `data.split_by=scaffold`; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Prints the report as JSON.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  bioverse split --config configs/pocket/align-molecule.toml
  bioverse split --config configs/chebi20.toml --set data.split_by=scaffold
  bioverse split --config my-cells.toml --set data.split_by=donor --set data.split_fraction=0.2 --json";

impl Split {
    /// Prints the report.
    pub fn run(self, registry: &Registry) -> Result<()> {
        let config = RunConfig::load(&self.config, &self.set, registry)?.config;
        let names = modalities(&config)?;
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        if !config.data.holds_out() {
            return Err(Error::Input(format!(
                "{}: nothing is held out, so there is no split; set `data.split_by`, `data.split_field` or `data.eval`",
                self.config.display()
            )));
        }
        let mut screen = Screen::knowing(registry);
        let sides = read_sides(&config.data, &names, &mut screen)?;
        let report = SplitReport::of(&sides, &config.data, registry);
        write(&report, &config.run.dir)?;
        if self.json {
            let text = serde_json::to_string_pretty(&report)
                .map_err(|error| Error::Run(error.to_string()))?;
            return out::line(&text);
        }
        out::text(&told(&report))?;
        out::note(&screen.told());
        Ok(())
    }
}

/// What a run was trained on stays as the run wrote it.
fn write(report: &SplitReport, run: &Path) -> Result<()> {
    if run.join("metrics.jsonl").exists() {
        let dir = run.display();
        out::note(&format!(
            "{dir} holds a run already, so nothing is written there"
        ));
        return Ok(());
    }
    report.write(run)
}

/// Modalities that rows may hold: those configured, and those of the bundle that stage 2 starts from.
fn modalities(config: &RunConfig) -> Result<Vec<String>> {
    let mut names: Vec<String> = config.modality.keys().cloned().collect();
    if !config.finetune.from.as_os_str().is_empty() {
        let bundle = Bundle::open(&config.finetune.from)?;
        names.extend(bundle.manifest.modalities.into_keys());
    }
    names.sort();
    names.dedup();
    Ok(names)
}

fn told(report: &SplitReport) -> String {
    let mut table = Table::new(1, ["side", "rows", "share", "groups", "distinct records"]);
    let mut row = |name: &str, side: &Side, share: f64| {
        let groups = side.groups.map_or("–".into(), |groups| groups.to_string());
        let share = format!("{:.1} %", 100.0 * share);
        let cells = [
            side.rows.to_string(),
            share,
            groups,
            side.records.to_string(),
        ];
        table.row(name, cells);
    };
    row("to learn from", &report.train, 1.0 - report.share);
    row("to measure on", &report.held_out, report.share);
    let mut text = format!("split by {}\n\n{table}\n", report.by.join(" and "));
    if let Some(both) = report.groups_on_both_sides {
        text += &format!("groups on both sides: {both}\n");
    }
    text += &duplicates("equal records on both sides", &report.exact_duplicates);
    let near = format!(
        "nearly equal ones (likeness {} or more)",
        report.duplicate_similarity
    );
    text += &duplicates(&near, &report.near_duplicates);
    if !report.only_equal.is_empty() {
        let names = report.only_equal.join(", ");
        text += &format!("only equal records are known to be alike of: {names}\n");
    }
    text
}

fn duplicates(name: &str, found: &Duplicates) -> String {
    let mut text = format!("{name}: {} held-out rows\n", found.rows);
    for example in &found.examples {
        text += &format!(
            "  {:.2}  {}: {}\n        {}: {}\n",
            example.similarity,
            example.held_out,
            example.held_out_record,
            example.train,
            example.train_record
        );
    }
    text
}
