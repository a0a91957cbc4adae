//! Where a run comes from: its configuration, the hashes of models, files and data, and the command that repeats it.

use std::path::{Path, PathBuf};

use serde::Serialize;
use toml::Table;

use crate::bundle::{Bundle, Identity};
use crate::config::{RunConfig, leaves};
use crate::error::Result;
use crate::files;
use crate::shell::quoted;

/// The configuration of a run as it was written, whatever version wrote it.
#[derive(Debug, Clone)]
pub struct Config {
    file: PathBuf,
    table: Table,
}

impl Config {
    /// `config.toml` of the run, else of its bundle.
    pub fn find(run: &Path) -> Option<Self> {
        let places = [run.join("config.toml"), run.join("bundle/config.toml")];
        places.into_iter().find_map(|file| {
            let table = std::fs::read_to_string(&file).ok()?.parse().ok()?;
            Some(Self { file, table })
        })
    }

    /// A value by its dotted key.
    pub fn get(&self, key: &str) -> Option<&toml::Value> {
        let (section, key) = key.split_once('.')?;
        self.table.get(section)?.get(key)
    }

    /// A number by its dotted key.
    pub fn count(&self, key: &str) -> Option<u64> {
        self.get(key)?.as_integer()?.try_into().ok()
    }

    /// A text by its dotted key; an empty one is none.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str().filter(|text| !text.is_empty())
    }

    /// The modalities it configures.
    pub fn modalities(&self) -> Vec<String> {
        let tables = self.table.get("modality").and_then(toml::Value::as_table);
        tables.map_or(vec![], |tables| tables.keys().cloned().collect())
    }

    /// Every value; those that are not the default first.
    fn settings(&self, other_stage: &str) -> Result<(Vec<Setting>, Vec<Setting>)> {
        let defaults = Table::try_from(RunConfig::default());
        let defaults = defaults.map_err(|error| crate::Error::Run(error.to_string()))?;
        let defaults = leaves(&defaults);
        let here = leaves(&self.table).into_iter();
        let here = here.filter(|(key, _)| !key.starts_with(&format!("{other_stage}.")));
        let settings = here.map(|(key, value)| {
            let default = defaults.iter().find(|(known, _)| *known == key);
            let (value, default) = (
                value.to_string(),
                default.map(|(_, value)| value.to_string()),
            );
            Setting {
                key,
                value,
                default,
            }
        });
        Ok(settings.partition(|setting| setting.default.as_ref() != Some(&setting.value)))
    }
}

#[derive(Debug, Clone, Serialize)]
struct Setting {
    key: String,
    value: String,
    default: Option<String>,
}

/// Everything the page says about it.
#[derive(Debug, Clone, Serialize)]
pub struct Provenance {
    changed: Vec<Setting>,
    same: Vec<Setting>,
    config_file: Option<String>,
    commands: Vec<String>,
    models: Vec<Model>,
    /// The bundle's, by name.
    pub files: Vec<Hash>,
    data: Vec<Hash>,
    /// Version that wrote the bundle.
    written_by: Option<String>,
    /// Version that wrote the page.
    reported_by: &'static str,
}

/// A frozen model by its files.
#[derive(Debug, Clone, Serialize)]
struct Model {
    role: String,
    path: String,
    source: Option<String>,
    files: Vec<Hash>,
}

/// A file and its hash; `None` where it is not there any more.
#[derive(Debug, Clone, Serialize)]
pub struct Hash {
    name: String,
    sha256: Option<String>,
}

/// What is to be known about `run`, of which `verb` is the command.
pub fn provenance(
    run: &Path,
    verb: &str,
    config: Option<&Config>,
    bundle: Option<&Bundle>,
) -> Result<Provenance> {
    let other = if verb == "align" { "finetune" } else { "align" };
    let (changed, same) = config.map_or(Ok(Default::default()), |config| config.settings(other))?;
    Ok(Provenance {
        changed,
        same,
        config_file: config.map(|config| config.file.display().to_string()),
        commands: config.map_or(vec![], |config| commands(run, verb, config)),
        models: bundle.map_or(vec![], models),
        files: bundle.map_or(Ok(vec![]), files_of)?,
        data: config.map_or(vec![], data),
        written_by: bundle.map(|bundle| bundle.manifest.bioverse.clone()),
        reported_by: env!("CARGO_PKG_VERSION"),
    })
}

/// How to do it again, and what to do with it.
fn commands(run: &Path, verb: &str, config: &Config) -> Vec<String> {
    let file = quoted(&config.file.display().to_string());
    let again = format!("{}-again", run.display().to_string().trim_end_matches('/'));
    vec![format!(
        "bioverse {verb} --config {file} --set {}",
        quoted(&format!("run.dir={again}"))
    )]
}

fn models(bundle: &Bundle) -> Vec<Model> {
    let manifest = &bundle.manifest;
    let model = |role: String, identity: &Identity| {
        let files = identity.files.iter().map(|(name, hash)| Hash {
            name: name.clone(),
            sha256: Some(hash.clone()),
        });
        Model {
            role,
            path: identity.path.display().to_string(),
            source: identity.source.clone(),
            files: files.collect(),
        }
    };
    let mut models = vec![
        model("language model".into(), &manifest.llm),
        model("tokenizer".into(), &manifest.tokenizer),
    ];
    let encoders = manifest.modalities.iter();
    models
        .extend(encoders.map(|(name, entry)| model(format!("encoder of {name}"), &entry.encoder)));
    models
}

/// The files of the bundle, hashed now.
fn files_of(bundle: &Bundle) -> Result<Vec<Hash>> {
    let mut found = vec![];
    let mut open = vec![bundle.dir.clone()];
    while let Some(dir) = open.pop() {
        let entries = std::fs::read_dir(&dir).map_err(|error| crate::Error::io(&dir, error))?;
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(&bundle.dir).unwrap_or(&path);
                found.push(Hash {
                    name: name.display().to_string(),
                    sha256: Some(files::sha256(&path)?),
                });
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// The rows' files as they are now.
fn data(config: &Config) -> Vec<Hash> {
    let mut named: Vec<String> = ["data.train", "data.eval", "align.negatives"]
        .iter()
        .filter_map(|key| config.text(key).map(str::to_owned))
        .collect();
    let mixture = config.get("data.mixture").and_then(toml::Value::as_array);
    for source in mixture.into_iter().flatten() {
        let files = ["train", "eval"]
            .iter()
            .filter_map(|key| source.get(key)?.as_str());
        named.extend(files.map(str::to_owned));
    }
    named.dedup();
    let hash = |name: String| Hash {
        sha256: files::sha256(Path::new(&name)).ok(),
        name,
    };
    named.into_iter().map(hash).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn what_was_changed_comes_first_and_the_other_stage_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Config::find(dir.path()).is_none());
        let text = "[run]\nseed = 42\n[align]\nlr = 0.5\n[finetune]\nlr = 0.5\n[modality.cell]\npath = 'x'\n[data]\ntrain = 'no such file'\n";
        std::fs::write(dir.path().join("config.toml"), text).unwrap();
        let config = Config::find(dir.path()).unwrap();
        let shown = provenance(dir.path(), "align", Some(&config), None).unwrap();
        let changed: Vec<(&str, Option<&str>)> = shown
            .changed
            .iter()
            .map(|s| (s.key.as_str(), s.default.as_deref()))
            .collect();
        assert_eq!(
            changed,
            [
                ("align.lr", Some("0.001")),
                ("modality.cell.path", None),
                ("data.train", Some("\"\""))
            ]
        );
        assert_eq!(
            shown
                .same
                .iter()
                .map(|s| s.key.as_str())
                .collect::<Vec<_>>(),
            ["run.seed"]
        );
        assert!(
            shown.data[0].sha256.is_none(),
            "a file that is gone has no hash"
        );
        assert!(shown.commands[0].starts_with("bioverse align --config "));
    }
}
