//! `[modality.<name>]` tables, each read by its plugin, or naming a file of vectors in place of an encoder. What the keys of
//! plugins mean is unknown here.

use std::collections::BTreeMap;

use bioverse_core::Registry;
use toml::Table;

use super::{Origin, layers::Given, suggest};
use crate::{
    encoders::{self, OwnVectors},
    error::Result,
};

/// Writes every modality by its own name: `[modality.single-cell]` is `[modality.cell]`.
pub(super) fn by_name(given: &mut [Given], registry: &Registry) {
    for leaf in given.iter_mut().filter(|leaf| leaf.key[0] == "modality") {
        if let [_, name, ..] = leaf.key.as_mut_slice() {
            *name = canonical(name, registry);
        }
    }
}

/// The name of a modality that may have been written as an alias.
pub(crate) fn canonical(name: &str, registry: &Registry) -> String {
    registry.canonical(name).unwrap_or(name).to_owned()
}

/// The tables with defaults filled in: those of plugins, and those that name a file of vectors in place of an encoder.
pub(super) fn resolve(given: &[Given], registry: &Registry) -> Result<BTreeMap<String, Table>> {
    let mut written: BTreeMap<&str, Vec<&Given>> = BTreeMap::new();
    for leaf in given.iter().filter(|leaf| leaf.key[0] == "modality") {
        if let [_, name, ..] = leaf.key.as_slice() {
            written.entry(name).or_default().push(leaf);
        }
    }
    let tables = written
        .into_iter()
        .map(|(name, leaves)| Ok((name.to_owned(), table(name, &leaves, registry)?)));
    tables.collect()
}

/// One table from its leaves, later ones over earlier ones.
fn table(name: &str, leaves: &[&Given], registry: &Registry) -> Result<Table> {
    let is = |leaf: &&&Given| {
        leaf.key
            .get(2)
            .is_some_and(|key| key == encoders::EMBEDDINGS)
    };
    let own = leaves.iter().find(is);
    // An unknown name is told at its first leaf, whatever its keys are.
    let mut least = Table::new();
    if let Some(file) = own {
        least.insert(encoders::EMBEDDINGS.into(), file.value.clone());
    }
    if let (Err(problem), Some(first)) = (encoders::resolve(registry, name, &least), leaves.first())
        && (own.is_some() || !registry.contains(name))
    {
        return Err(first.refuse(problem));
    }
    let mut table = Table::new();
    for leaf in leaves.iter().filter(|leaf| leaf.key.len() > 2) {
        settle(&mut table, leaf, &least, (name, registry))?;
    }
    encoders::resolve(registry, name, &table).map_err(|error| match leaves.last() {
        Some(leaf) => leaf.refuse(error),
        None => error,
    })
}

/// The table of a modality with `sets` (`key=value`) laid over `base`, as a command without a configuration file needs it.
pub(crate) fn overlaid(
    name: &str,
    base: &Table,
    sets: &[String],
    registry: &Registry,
) -> Result<Table> {
    let mut leaves = vec![];
    for (key, value) in base {
        leaves.push(Given {
            key: ["modality", name, key].map(String::from).to_vec(),
            value: value.clone(),
            origin: Origin::Default,
            typed: None,
        });
    }
    for argument in sets {
        leaves.extend(super::layers::set(&format!("modality.{name}.{argument}"))?);
    }
    let leaves: Vec<&Given> = leaves.iter().collect();
    table(name, &leaves, registry)
}

/// Lays one leaf; text that was typed stays text where the plugin wants text. Each leaf is tried alone, beside `least`.
fn settle(
    table: &mut Table,
    leaf: &Given,
    least: &Table,
    (name, registry): (&str, &Registry),
) -> Result<()> {
    let with = |leaf: &Given| {
        let mut tried = least.clone();
        super::layers::lay(&mut tried, &leaf.key[2..], leaf.value.clone());
        encoders::resolve(registry, name, &tried)
            .err()
            .map(|error| error.to_string())
    };
    let mut chosen = leaf.clone();
    if let Some(problem) = with(leaf) {
        if let Some(key) = refused_key(&problem) {
            let expected = problem.split_once("expected").map_or("", |(_, rest)| rest);
            let candidates = expected.split('`').skip(1).step_by(2);
            let near = suggest::nearest(key, candidates.chain(OwnVectors::KEYS));
            let near = near.filter(|_| !problem.contains("; "));
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use bioverse_core::{BoxError, Hidden, Modality, ProjectorConfig};
    use burn::prelude::Device;
    use serde::{Deserialize, Serialize};

    use crate::config::{Origin, Resolved, RunConfig};

    use super::*;

    struct Cells;

    #[derive(Debug, Default, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Config {
        path: String,
        max_length: usize,
    }

    impl Modality for Cells {
        const NAME: &'static str = "cell";
        const ALIASES: &'static [&'static str] = &["single-cell"];
        type Config = Config;
        type Input = String;
        type Tokens = ();
        fn load(_: &Config, _: &Device) -> std::result::Result<Self, BoxError> {
            Ok(Self)
        }
        fn tokenize(&self, _: &String) -> std::result::Result<(), BoxError> {
            Ok(())
        }
        fn encode(&self, _: &[()]) -> std::result::Result<Hidden, BoxError> {
            Err("not needed".into())
        }
        fn d_hidden(&self) -> usize {
            1
        }
        fn projector() -> ProjectorConfig {
            ProjectorConfig {
                num_soft_tokens: 4,
                ..ProjectorConfig::default()
            }
        }
    }

    fn registry() -> Registry {
        Registry::new().with::<Cells>()
    }

    fn load(modality: &str, sets: &[&str]) -> Result<Resolved> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.toml");
        let rest = "[llm]\npath = 'lm'\n[data]\ntrain = 'rows.jsonl'\n";
        std::fs::write(&file, format!("{rest}{modality}")).unwrap();
        let sets: Vec<String> = sets.iter().map(|set| set.to_string()).collect();
        RunConfig::load(&file, &sets, &registry())
    }

    #[test]
    fn an_alias_is_the_modality() {
        let text = "[align]\nmodalities = ['single-cell']\n[modality.single-cell]\npath = 'a'\nmax_length = 3\n";
        let sets = ["modality.cell.path=b", "data.modality=single-cell"];
        let resolved = load(text, &sets).unwrap();
        let config = &resolved.config;
        assert_eq!(config.modality.keys().collect::<Vec<_>>(), ["cell"]);
        assert_eq!(config.modality["cell"]["path"].as_str(), Some("b"));
        assert_eq!(config.modality["cell"]["max_length"].as_integer(), Some(3));
        assert_eq!(config.align.modalities, ["cell"]);
        assert_eq!(config.data.modality.as_deref(), Some("cell"));
        let origin = |key: &str| resolved.origins[key].1.clone();
        assert_eq!(origin("modality.cell.path"), Origin::Set);
        assert!(matches!(
            origin("modality.cell.max_length"),
            Origin::File(_)
        ));
    }

    #[test]
    fn vectors_take_the_place_of_any_encoder() {
        let sets = ["modality.glycan.embeddings_key=5"];
        let resolved = load("[modality.glycan]\nembeddings = 'g.npy'\n", &sets).unwrap();
        let table = &resolved.config.modality["glycan"];
        assert_eq!(
            table["embeddings_key"].as_str(),
            Some("5"),
            "typed text stays text"
        );
        let of = |text: &str, name| {
            let resolved = load(text, &[]).unwrap();
            resolved
                .config
                .projector_for(name, &registry())
                .unwrap()
                .num_soft_tokens
        };
        assert_eq!(of("[modality.glycan]\nembeddings = 'g'\n", "glycan"), 1);
        assert_eq!(
            of("[modality.cell]\nembeddings = 'g'\n", "cell"),
            1,
            "one vector, one token"
        );
        assert_eq!(of("[modality.cell]\npath = 'g'\n", "cell"), 4);
        assert_eq!(
            of(
                "[modality.cell]\nembeddings = 'g'\n[projector]\nnum_soft_tokens = 2\n",
                "cell"
            ),
            2
        );
    }

    #[test]
    fn what_is_wrong_with_a_table_is_said_with_its_origin() {
        for (text, sets, expected) in [
            (
                "[modality.glycan]\npath = 'g'\n",
                &[][..],
                "x.toml: `[modality.glycan]` names a modality that is not registered",
            ),
            (
                "[modality.cells]\npath = 'g'\n",
                &[],
                "did you mean `[modality.cell]`?",
            ),
            (
                "[modality.glycan]\nembeddings = 'g'\n",
                &["modality.glycan.id_feild=x"],
                "did you mean `id_field`?",
            ),
            (
                "[modality.cell]\nembedings = 'g'\n",
                &[],
                "did you mean `modality.cell.embeddings`?",
            ),
            (
                "[modality.cell]\npath = 'm'\n",
                &["modality.cell.embeddings=g"],
                "remove `path` or `embeddings`",
            ),
            (
                "[modality.glycan]\nembeddings = 3\n",
                &[],
                "x.toml: `[modality.glycan]`",
            ),
        ] {
            let error = load(text, sets).unwrap_err();
            assert!(
                error.to_string().contains(expected),
                "{error}\nshould contain: {expected}"
            );
            assert_eq!(error.exit_code(), 2);
        }
    }

    #[test]
    fn a_command_lays_its_keys_over_what_it_starts_from() {
        let base = "path = 'a'\nmax_length = 3".parse().unwrap();
        let sets = ["max_length=7".to_string(), "path=8".into()];
        let table = overlaid("cell", &base, &sets, &registry()).unwrap();
        assert_eq!(table["max_length"].as_integer(), Some(7));
        assert_eq!(table["path"].as_str(), Some("8"));
        let error =
            overlaid("cell", &base, &["max_lenght=7".to_string()], &registry()).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("--set modality.cell.max_lenght=7"),
            "{error}"
        );
    }
}
