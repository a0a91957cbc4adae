//! The models that a run names: each at one commit, so that what is printed and recorded is what is used. It changes names
//! of the Hub only; a path of this machine stays what was written.

use std::path::{Path, PathBuf};

use toml::Value;

use super::{Found, Hub, Located, RepoName, readable};
use crate::{
    config::{Resolved, RunConfig},
    error::{Error, Result},
};

/// Pins every name of the Hub in a configuration to its commit, as `org/name@commit`, without downloading a model. The cache
/// notes which commit a branch stood for, so that the branch is found again once the model is there. A Hub that cannot be
/// reached changes nothing: whoever opens the model will say so.
///
/// # Errors
/// A name that the Hub does not have, or that is not on this machine when it is offline.
pub fn pin(resolved: &mut Resolved) -> Result<()> {
    let hub = Hub::from_env();
    pin_by(resolved, |path| {
        let pinned = hub.pin(path)?;
        hub.note(path, &pinned)?;
        Ok(pinned)
    })
}

/// As [`pin`](fn@pin), for a run that is shown and not done: nothing is written.
pub fn preview(resolved: &mut Resolved) -> Result<()> {
    let hub = Hub::from_env();
    pin_by(resolved, |path| hub.pin(path))
}

fn pin_by(resolved: &mut Resolved, pin: impl Fn(&Path) -> Result<PathBuf>) -> Result<()> {
    let pinned = rewritten(&resolved.config, |path| match pin(path) {
        Err(Error::Run(why)) => {
            tracing::warn!("{why}");
            Ok(path.into())
        }
        other => other,
    })?;
    let llm = pinned.llm.path.to_string_lossy().into_owned();
    let mut shown = vec![("llm.path".to_owned(), Value::String(llm))];
    for (name, table) in &pinned.modality {
        let path = table.get("path").cloned();
        shown.extend(path.map(|path| (format!("modality.{name}.path"), path)));
    }
    for (key, value) in shown {
        if let Some((shown, _)) = resolved.origins.get_mut(&key) {
            *shown = value;
        }
    }
    resolved.config = pinned;
    Ok(())
}

/// Brings every model of a run to this machine. The configuration with the commits that were found in place of names.
pub fn fetch(config: &RunConfig) -> Result<RunConfig> {
    let hub = Hub::from_env();
    rewritten(config, |path| {
        let Located { source, .. } = hub.locate(path)?;
        Ok(match source {
            Some(source) if !path.exists() => source.into(),
            _ => path.into(),
        })
    })
}

/// What a run would download before it began; `None` if all of its models are here. Nothing is downloaded.
pub fn not_here(config: &RunConfig) -> Result<Option<String>> {
    let hub = Hub::from_env();
    let mut lines = vec![];
    rewritten(config, |path| {
        if let Found::Missing(name) = hub.look(path)? {
            lines.extend(would_download(&hub, &name)?);
        }
        Ok(path.into())
    })?;
    Ok((!lines.is_empty()).then(|| {
        format!(
            "nothing was downloaded; the run itself, or `bioverse download`, would first fetch\n{}\n",
            lines.join("\n")
        )
    }))
}

/// `None` if it turns out that nothing is missing.
fn would_download(hub: &Hub, name: &RepoName) -> Result<Option<String>> {
    match hub.plan(name) {
        Ok(plan) if plan.missing == 0 => Ok(None),
        Ok(plan) => Ok(Some(format!(
            "  {}: {} of {} in {} files, to {}",
            plan.name,
            readable(plan.missing),
            readable(plan.bytes),
            plan.files,
            plan.dir.display()
        ))),
        // The size is not known; that it is missing is.
        Err(Error::Run(why)) => Ok(Some(format!("  {name} (its size is not known: {why})"))),
        Err(error) => Err(error),
    }
}

/// A copy of the configuration in which `change` was asked about every path of a model that is set.
fn rewritten(
    config: &RunConfig,
    mut change: impl FnMut(&Path) -> Result<PathBuf>,
) -> Result<RunConfig> {
    let mut config = config.clone();
    if !config.llm.path.as_os_str().is_empty() {
        config.llm.path = change(&config.llm.path)?;
    }
    for (name, table) in &mut config.modality {
        let Some(Value::String(path)) = table.get_mut("path") else {
            continue;
        };
        if path.is_empty() {
            continue;
        }
        let changed = change(Path::new(path)).map_err(|error| match error {
            Error::Input(why) => Error::Input(format!("`[modality.{name}]` path: {why}")),
            other => other,
        })?;
        *path = changed.to_string_lossy().into_owned();
    }
    Ok(config)
}

/// The name of a model for others to find it by: `org/name` without its commit, or the folder.
pub fn base_name(path: &Path) -> String {
    let name = RepoName::of(path).filter(|_| !path.exists());
    name.map_or_else(
        || path.to_string_lossy().into_owned(),
        |name| name.id().to_owned(),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn every_path_of_a_model_is_asked_about_and_no_other() {
        let mut config = RunConfig::default();
        config.llm.path = "a/llm".into();
        let table = |text: &str| text.parse::<toml::Table>().unwrap();
        config
            .modality
            .insert("cell".into(), table("path = ''\nmax_length = 3"));
        config
            .modality
            .insert("protein".into(), table("path = 'a/esm'\nother = 'a/b'"));
        config
            .modality
            .insert("text".into(), table("embeddings = 'a/c'"));
        let pinned = rewritten(&config, |path| Ok(format!("{}@x", path.display()).into())).unwrap();
        assert_eq!(pinned.llm.path, Path::new("a/llm@x"));
        assert_eq!(pinned.modality["protein"]["path"].as_str(), Some("a/esm@x"));
        config.llm.path = pinned.llm.path.clone();
        config
            .modality
            .insert("protein".into(), table("path = 'a/esm@x'\nother = 'a/b'"));
        assert_eq!(pinned.to_toml().unwrap(), config.to_toml().unwrap());
    }

    #[test]
    fn a_base_model_is_named_without_its_commit() {
        assert_eq!(base_name(Path::new("a/b@0123")), "a/b");
        assert_eq!(base_name(Path::new("models/pocket/lm")), "models/pocket/lm");
    }
}
