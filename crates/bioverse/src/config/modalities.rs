//! `[modality.<name>]` tables, each read by its plugin. What the keys mean is unknown here.

use std::collections::BTreeMap;

use bioverse_core::Registry;
use toml::Table;

use super::{layers::Given, suggest};
use crate::error::Result;

/// The tables with the plugins' defaults filled in.
pub(super) fn resolve(given: &[Given], registry: &Registry) -> Result<BTreeMap<String, Table>> {
    let mut written: BTreeMap<&str, Table> = BTreeMap::new();
    for leaf in given.iter().filter(|leaf| leaf.key[0] == "modality") {
        let name = leaf.key[1].as_str();
        if !registry.contains(name) {
            let known = registry.names();
            let registered = match known.is_empty() {
                true => "none".into(),
                false => suggest::quoted(&known),
            };
            let near = suggest::nearest(name, known.iter().copied());
            let near = near.map_or(String::new(), |near| {
                format!("; did you mean `[modality.{near}]`?")
            });
            return Err(leaf.refuse(format!(
                "`[modality.{name}]` names a modality that is not registered (registered: {registered}){near}"
            )));
        }
        let table = written.entry(name).or_default();
        if leaf.key.len() > 2 {
            settle(table, leaf, name, registry)?;
        }
    }
    let resolved = written.into_iter().map(|(name, table)| {
        let last = given
            .iter()
            .rev()
            .find(|leaf| leaf.key.get(1).is_some_and(|key| key == name));
        let resolved = registry.resolve(name, &table);
        let resolved = resolved.map_err(|error| match last {
            Some(leaf) => leaf.refuse(error),
            None => error.into(),
        });
        Ok((name.to_owned(), resolved?))
    });
    resolved.collect()
}

/// Lays one leaf; text that was typed stays text where the plugin wants text.
fn settle(table: &mut Table, leaf: &Given, name: &str, registry: &Registry) -> Result<()> {
    let with = |leaf: &Given| {
        let mut tried = Table::new();
        super::layers::lay(&mut tried, &leaf.key[2..], leaf.value.clone());
        registry
            .resolve(name, &tried)
            .err()
            .map(|error| error.to_string())
    };
    let mut chosen = leaf.clone();
    if let Some(problem) = with(leaf) {
        if let Some(key) = refused_key(&problem) {
            let expected = problem.split_once("expected").map_or("", |(_, rest)| rest);
            let candidates = expected.split('`').skip(1).step_by(2);
            let near = suggest::nearest(key, candidates);
            let near = near.map_or(String::new(), |near| {
                format!("; did you mean `modality.{name}.{near}`?")
            });
            return Err(leaf.refuse(format!("{problem}{near}")));
        }
        if let Some(text) = leaf.as_text().filter(|text| with(text).is_none()) {
            chosen = text;
        }
    }
    super::layers::lay(table, &chosen.key[2..], chosen.value);
    Ok(())
}

/// The key in serde's sentence about a field that does not exist.
fn refused_key(problem: &str) -> Option<&str> {
    problem.split_once("unknown field `")?.1.split('`').next()
}
