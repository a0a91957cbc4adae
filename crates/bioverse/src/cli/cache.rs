//! `bioverse cache`: what is kept between runs, how large it is, and how it is removed.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use clap::{Args, Subcommand};
use serde_json::json;

use super::out;
use crate::{
    cache::{
        self,
        listing::{self, Listed, Removed, Which},
    },
    config::RunConfig,
    error::{Error, Result},
    hub::readable,
};

/// Looks at the cache of encodings and text vectors, or removes from it.
///
/// What a frozen encoder says about a record, and the vector of a text, are computed once and kept for the next run. The cache
/// lies in $BIOVERSE_CACHE, else $XDG_CACHE_HOME/bioverse, else ~/.cache/bioverse. Runs keep it below `run.cache_gb`; what was
/// not used for longest goes first. Removing something costs time only.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Cache {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Ls(Ls),
    Rm(Rm),
}

/// Lists what is kept: of which model, how much, and when it was last used.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
struct Ls {
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

/// Removes what is kept, all of it or in part; what a running process uses is left.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
struct Rm {
    /// Names that `bioverse cache ls` lists, or as much of them as tells them apart.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Everything.
    #[arg(long, conflicts_with_all = ["names", "older_than"])]
    all: bool,
    /// What was not used for so long: `30d`, `12h`, `2w`.
    #[arg(long, value_name = "AGE", value_parser = age, conflicts_with = "names")]
    older_than: Option<Duration>,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  bioverse cache ls
  bioverse cache ls --json
  bioverse cache rm --older-than 30d
  bioverse cache rm molecule-3f2a9c1b70de texts-58
  BIOVERSE_CACHE=/scratch/bioverse bioverse cache rm --all";

impl Cache {
    /// Prints the list, or what was freed.
    pub fn run(self) -> Result<()> {
        let root = cache::root().ok_or_else(|| {
            Error::Input(format!(
                "neither {} nor XDG_CACHE_HOME nor HOME is set, so there is no place for a cache; set {} to a folder",
                cache::VARIABLE,
                cache::VARIABLE
            ))
        })?;
        match self.verb {
            Verb::Ls(ls) => ls.run(&root),
            Verb::Rm(rm) => rm.run(&root),
        }
    }
}

impl Ls {
    fn run(self, root: &Path) -> Result<()> {
        let listed = listing::list(root);
        let total: u64 = listed.iter().map(|shelf| shelf.bytes).sum();
        let default = (RunConfig::default().run.cache_gb * 1e9) as u64;
        let bound = listing::bound(root).unwrap_or(default);
        if self.json {
            let shelves: Vec<_> = listed.iter().map(as_json).collect();
            let all = json!({"dir": root, "total_bytes": total, "bound_bytes": bound, "shelves": shelves});
            return out::line(&all.to_string());
        }
        out::text(&table(&listed))?;
        out::line(&format!(
            "{} of {} in {}",
            readable(total),
            readable(bound),
            root.display()
        ))
    }
}

fn as_json(shelf: &Listed) -> serde_json::Value {
    let since = shelf.last_used.duration_since(SystemTime::UNIX_EPOCH);
    json!({
        "name": shelf.name,
        "kind": shelf.about.as_ref().map(|about| &about.kind),
        "model": shelf.about.as_ref().map(|about| &about.model),
        "entries": shelf.entries,
        "bytes": shelf.bytes,
        "last_used_unix": since.map(|since| since.as_secs()).unwrap_or_default(),
        "in_use": shelf.in_use,
    })
}

/// One line per shelf, in columns; nothing for none.
fn table(listed: &[Listed]) -> String {
    let heading = ["name", "entries", "size", "last used", "model"].map(String::from);
    let mut rows = vec![heading];
    rows.extend(listed.iter().map(|shelf| {
        let model = shelf.about.as_ref().map(|about| about.model.clone());
        [
            shelf.name.clone(),
            shelf.entries.to_string(),
            readable(shelf.bytes),
            used(shelf),
            model.unwrap_or_else(|| "not known any more".into()),
        ]
    }));
    if listed.is_empty() {
        return String::new();
    }
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..4).map(width).collect();
    let line = |[name, entries, size, used, model]: &[String; 5]| {
        format!(
            "{name:0$}  {entries:>1$}  {size:>2$}  {used:3$}  {model}\n",
            widths[0], widths[1], widths[2], widths[3]
        )
    };
    rows.iter().map(line).collect()
}

fn used(shelf: &Listed) -> String {
    if shelf.in_use {
        return "now".into();
    }
    let seconds = shelf.last_used.elapsed().unwrap_or_default().as_secs();
    let (count, unit) = match seconds {
        0..60 => return "just now".into(),
        60..3600 => (seconds / 60, "minute"),
        3600..86400 => (seconds / 3600, "hour"),
        _ => (seconds / 86400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural} ago")
}

impl Rm {
    fn run(self, root: &Path) -> Result<()> {
        let which = match (self.all, self.older_than) {
            (true, _) => Which::All,
            (false, Some(age)) => Which::Unused(age),
            (false, None) if self.names.is_empty() => {
                return Err(Error::Input(
                    "nothing says what to remove; give names that `bioverse cache ls` lists, `--older-than 30d` or `--all`".into(),
                ));
            }
            (false, None) => Which::Named(self.names),
        };
        let removed = listing::remove(root, &which)?;
        if self.json {
            let Removed { names, bytes, left } = &removed;
            out::line(
                &json!({"removed": names, "freed_bytes": bytes, "in_use": left}).to_string(),
            )?;
        } else {
            let (count, freed) = (removed.names.len(), readable(removed.bytes));
            out::line(&format!("removed {count}, freed {freed}"))?;
        }
        told(&which, &removed, root)
    }
}

/// What was left because it is in use: a note, or an error when it was asked for by name.
fn told(which: &Which, removed: &Removed, root: &Path) -> Result<()> {
    if removed.left.is_empty() {
        return Ok(());
    }
    let sentence = format!(
        "{} in {} is used by a running process and was left; remove it when that has ended",
        removed.left.join(", "),
        PathBuf::from(root).display()
    );
    match which {
        Which::Named(_) => Err(Error::Run(sentence)),
        _ => {
            out::note(&sentence);
            Ok(())
        }
    }
}

/// `30d`, `12h`, `2w`: a whole number and a unit.
fn age(text: &str) -> Result<Duration, String> {
    let problem =
        || format!("`{text}` is no age; write a whole number and `h`, `d` or `w`, such as 30d");
    let unit = text.chars().last().ok_or_else(problem)?;
    let hours = match unit {
        'h' => 1,
        'd' => 24,
        'w' => 7 * 24,
        _ => return Err(problem()),
    };
    let count: u64 = text[..text.len() - 1].parse().map_err(|_| problem())?;
    let seconds = count.checked_mul(hours * 3600).ok_or_else(problem)?;
    Ok(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_a_number_and_a_unit() {
        let hours = |text| age(text).map(|age| age.as_secs() / 3600);
        assert_eq!(hours("12h"), Ok(12));
        assert_eq!(hours("30d"), Ok(720));
        assert_eq!(hours("2w"), Ok(336));
        for bad in [
            "",
            "d",
            "30",
            "-1d",
            "1.5d",
            "3m",
            "99999999999999999999d",
            "9999999999999999d",
            "3é",
        ] {
            assert!(age(bad).is_err(), "{bad}");
        }
    }
}
