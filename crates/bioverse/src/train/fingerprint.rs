//! What a checkpoint depends on: the values of the configuration and the rows. Knows no module.

use std::collections::BTreeMap;

use crate::config::RunConfig;
use crate::error::{Error, Result};

/// The values a checkpoint depends on, by dotted key: what must be the same to go on.
pub type Fingerprint = BTreeMap<String, String>;

/// Keys that may change between the parts of one run: they say where and how often, not what.
const FREE_KEYS: [&str; 9] = [
    "run.dir",
    "run.device",
    "run.log_every",
    "run.checkpoint_every",
    "run.keep_last",
    "run.keep_best",
    "run.tensorboard",
    "run.cache",
    "run.cache_gb",
];

/// The fingerprint of a configuration without the section of the other stage.
pub fn fingerprint(config: &RunConfig, other_stage: &str) -> Result<Fingerprint> {
    let value = toml::Value::try_from(config).map_err(|error| {
        Error::Run(format!(
            "the configuration cannot be written as TOML: {error}"
        ))
    })?;
    let mut leaves = Fingerprint::new();
    flatten("", &value, &mut leaves);
    let other = format!("{other_stage}.");
    let rows = config.data.files().into_iter();
    for file in rows.chain(config.align.negatives.clone()) {
        if file.is_file() {
            let hash = crate::files::sha256(&file)?;
            leaves.insert(format!("sha256 of {}", file.display()), hash);
        }
    }
    leaves.retain(|key, _| !FREE_KEYS.contains(&key.as_str()) && !key.starts_with(&other));
    Ok(leaves)
}

fn flatten(key: &str, value: &toml::Value, leaves: &mut Fingerprint) {
    match value {
        toml::Value::Table(table) => {
            for (name, value) in table {
                let key = match key {
                    "" => name.clone(),
                    parent => format!("{parent}.{name}"),
                };
                flatten(&key, value, leaves);
            }
        }
        leaf => {
            leaves.insert(key.to_string(), leaf.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn what_does_not_matter_is_left_out() {
        let mut config = RunConfig::default();
        let before = fingerprint(&config, "finetune").unwrap();
        config.run.dir = "elsewhere".into();
        config.run.log_every = 1;
        config.finetune.lr = 7.0;
        assert_eq!(fingerprint(&config, "finetune").unwrap(), before);
        config.align.lr = 7.0;
        assert_ne!(fingerprint(&config, "finetune").unwrap(), before);
    }

    #[test]
    fn changed_rows_change_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut config = RunConfig::default();
        config.data.train = file.path().into();
        std::fs::write(file.path(), "a").unwrap();
        let before = fingerprint(&config, "finetune").unwrap();
        std::fs::write(file.path(), "b").unwrap();
        assert_ne!(fingerprint(&config, "finetune").unwrap(), before);
    }

    #[test]
    fn rows_of_every_source_and_rows_to_measure_on_count() {
        let [train, eval] = [(); 2].map(|()| tempfile::NamedTempFile::new().unwrap());
        let mut config = RunConfig::default();
        config.data.mixture = toml::from_str::<toml::Table>(&format!(
            "m = [{{ train = 'absent.jsonl' }}, {{ train = '{}', eval = '{}' }}]",
            train.path().display(),
            eval.path().display()
        ))
        .unwrap()["m"]
            .clone()
            .try_into()
            .unwrap();
        let mut seen = vec![fingerprint(&config, "finetune").unwrap()];
        for file in [&train, &eval] {
            std::fs::write(file.path(), "changed").unwrap();
            let now = fingerprint(&config, "finetune").unwrap();
            assert!(!seen.contains(&now));
            seen.push(now);
        }
    }
}
