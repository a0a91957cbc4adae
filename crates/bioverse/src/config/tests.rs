//! Whole configurations, through files, as a user writes them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use bioverse_core::{BoxError, Hidden, Modality, Preset};
use burn::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;

mod mixture;
mod objectives;

struct Toy;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ToyConfig {
    path: PathBuf,
    max_length: Option<usize>,
    canonicalize: bool,
}

impl Modality for Toy {
    const NAME: &'static str = "toy";
    type Config = ToyConfig;
    type Input = String;
    type Tokens = String;
    fn load(_: &ToyConfig, _: &Device) -> std::result::Result<Self, BoxError> {
        Ok(Self)
    }
    fn tokenize(&self, input: &String) -> std::result::Result<String, BoxError> {
        Ok(input.clone())
    }
    fn encode(&self, _: &[String]) -> std::result::Result<Hidden, BoxError> {
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

const MINIMAL: &str =
    "[llm]\npath = 'lm'\n[data]\ntrain = 'rows.jsonl'\n[modality.toy]\npath = 'enc'\n";

fn load(text: &str, sets: &[&str]) -> Result<Resolved> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.toml");
    std::fs::write(&file, text).unwrap();
    let sets: Vec<String> = sets.iter().map(|set| set.to_string()).collect();
    RunConfig::load(&file, &sets, &Registry::new().with::<Toy>())
}

fn refused(extra: &str, sets: &[&str]) -> String {
    let error = load(&format!("{MINIMAL}{extra}"), sets).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    let text = error.to_string();
    assert!(
        text.contains("x.toml: ") || text.starts_with("--set "),
        "{text}"
    );
    assert!(!text.contains('\n'), "{text}");
    text
}

#[test]
fn layers_are_laid_in_order_and_origins_told() {
    let sets = [
        "align.lr=1e-2",
        "run.dir=runs/other",
        "finetune.trainable=[\"lora\"]",
        "align.modalities=[]",
    ];
    let resolved = load(&format!("{MINIMAL}[align]\nlr = 0.5\nsteps = 70\n"), &sets).unwrap();
    let config = &resolved.config;
    assert_eq!(
        (config.align.lr, config.align.steps, config.align.batch_size),
        (1e-2, 70, 256)
    );
    assert_eq!(config.run.dir, Path::new("runs/other"));
    assert_eq!(config.finetune.trainable, ["lora"]);
    let origin = |key: &str| resolved.origins[key].1.name();
    assert_eq!(
        [
            "align.lr",
            "align.steps",
            "align.batch_size",
            "modality.toy.path",
            "modality.toy.canonicalize"
        ]
        .map(origin),
        ["--set", "file", "default", "file", "default"]
    );
    assert_eq!(origin("finetune.lora.r"), "default");
}

#[test]
fn part_of_a_nested_table_keeps_the_other_defaults() {
    let config = load(
        &format!("{MINIMAL}[finetune.lora]\nr = 2\n"),
        &["finetune.lora.lora_alpha=3"],
    )
    .unwrap()
    .config;
    assert_eq!(
        (config.finetune.lora.r, config.finetune.lora.lora_alpha),
        (2, 3.0)
    );
    assert_eq!(config.finetune.lora.target_modules, ["q_proj", "v_proj"]);
}

#[test]
fn what_is_typed_is_text_where_text_is_wanted() {
    let sets = [
        "data.train_split=1",
        "run.device=cuda:0",
        "modality.toy.path=7",
        "data.input_field=smiles",
        "data.text_field=true",
    ];
    let config = load(MINIMAL, &sets).unwrap().config;
    assert_eq!(
        (config.data.train_split.as_str(), config.run.device.as_str()),
        ("1", "cuda:0")
    );
    assert_eq!(config.modality["toy"]["path"].as_str(), Some("7"));
    assert_eq!(config.data.text_field.as_deref(), Some("true"));
}

#[test]
fn unknown_keys_are_refused_with_the_likely_one() {
    for (extra, sets, expected) in [
        (
            "[align]\ntemprature = 1\n",
            &[][..],
            "unknown key `align.temprature`; did you mean `align.temperature`?",
        ),
        (
            "",
            &["align.temprature=1"],
            "unknown key `align.temprature`; did you mean `align.temperature`?",
        ),
        (
            "[finetune.lora]\nrank = 1\n",
            &[],
            "unknown key `finetune.lora.rank`; the keys there are `r`,",
        ),
        (
            "[algin]\nlr = 1\n",
            &[],
            "unknown key `algin`; did you mean `align`?",
        ),
        ("", &["data.evl='x'"], "did you mean `data.eval`?"),
        (
            "",
            &["data.split_feild=x"],
            "did you mean `data.split_field`?",
        ),
        ("", &["align.seed=1"], "did you mean `run.seed`?"),
        (
            "[projector]\nnum_soft_token = 1\n",
            &[],
            "did you mean `projector.num_soft_tokens`?",
        ),
        ("", &["align.lr.x=1"], "`align.lr` is a value, not a table"),
        (
            "",
            &["modality.toy.pth=x"],
            "did you mean `modality.toy.path`?",
        ),
        (
            "[modality.tyo]\npath = 'x'\n",
            &[],
            "registered: `toy`); did you mean `[modality.toy]`?",
        ),
    ] {
        let text = refused(extra, sets);
        assert!(
            text.contains(expected),
            "{text}\nshould contain: {expected}"
        );
    }
}

#[test]
fn wrong_types_name_key_and_expectation() {
    for (extra, sets, expected) in [
        (
            "[align]\nlr = 'fast'\n",
            &[][..],
            ["`align.lr`", "expected a number"],
        ),
        ("", &["align.steps=-3"], ["`align.steps`", "whole number"]),
        ("", &["data.limit=many"], ["`data.limit`", "whole number"]),
        (
            "[align]\ntext_space = 'whitend'\n",
            &[],
            ["`align.text_space`", "`whitened`"],
        ),
        (
            "[projector]\ndropout = 'x'\n",
            &[],
            ["`projector.dropout`", "expected a number"],
        ),
        ("", &["align=3"], ["`align` is a table", "[align]"]),
        (
            "",
            &["modality.toy=3"],
            ["`modality.toy` is not a table", "[modality.<name>]"],
        ),
        (
            "",
            &["modality.toy.canonicalize=perhaps"],
            ["modality.toy", "expected a boolean"],
        ),
        ("", &["align.lr"], ["--set align.lr", "section.key=value"]),
        ("x = [", &[], ["line 7", "not TOML"]),
    ] {
        let text = refused(extra, sets);
        assert!(
            expected.iter().all(|part| text.contains(part)),
            "{text}\nshould contain: {expected:?}"
        );
    }
}

#[test]
fn values_that_make_no_run_are_refused() {
    for (sets, expected) in [
        (
            &["align.batch_size=1"][..],
            "`align.batch_size` is 1; give at least 2",
        ),
        (&["finetune.batch_size=0"], "`finetune.batch_size`"),
        (&["align.steps=0"], "`align.steps`"),
        (&["align.steps=10"], "`align.warmup_steps` is 50"),
        (&["align.lr=0"], "`align.lr` is 0; give a number above 0"),
        (&["align.lr=nan"], "`align.lr`"),
        (&["align.temperature=-1"], "`align.temperature`"),
        (&["finetune.max_length=7"], "`finetune.max_length`"),
        (
            &["finetune.trainable=[\"projector\"]"],
            "did you mean `projectors`?",
        ),
        (&["finetune.trainable=[]"], "`finetune.trainable` is empty"),
        (&["data.train="], "`data.train` is not set"),
        (&["llm.path=''"], "`llm.path` is not set"),
        (&["data.input_field=x"], "`data.text_field` is not"),
        (
            &[
                "data.input_field=x",
                "data.text_field=y",
                "data.question=What?",
            ],
            "`data.question`",
        ),
        (&["align.modalities=[\"dna\"]"], "`[modality.dna]`"),
        (&["projector.num_soft_tokens=0"], "`num_soft_tokens` is 0"),
    ] {
        let text = refused("", sets);
        assert!(
            text.contains(expected),
            "{text}\nshould contain: {expected}"
        );
    }
}

#[test]
fn a_missing_file_says_what_to_give() {
    let error = RunConfig::load(Path::new("nowhere.toml"), &[], &Registry::new()).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("nowhere.toml") && text.contains("--config"),
        "{text}"
    );
}

#[test]
fn the_projector_is_laid_over_what_the_modality_recommends() {
    let registry = Registry::new().with::<Toy>();
    let resolved = load(&format!("{MINIMAL}[projector]\npreset = 'linear'\n"), &[]).unwrap();
    let projector = resolved.config.projector_for("toy", &registry).unwrap();
    assert_eq!(
        (projector.preset, projector.num_soft_tokens),
        (Preset::Linear, 4)
    );
    assert_eq!(
        resolved.origins["projector.num_soft_tokens"],
        (Value::Integer(4), Origin::Default)
    );
    assert_eq!(resolved.origins["projector.preset"].1.name(), "file");
    assert!(resolved.config.projector_for("dna", &registry).is_err());
}

#[test]
fn what_is_written_reads_back_to_the_same_run() {
    let sets = [
        "projector.hidden_sizes=[3,4]",
        "data.limit=5",
        "align.text_space=raw",
    ];
    let first = load(MINIMAL, &sets).unwrap();
    let second = load(&first.to_toml().unwrap(), &[]).unwrap();
    assert_eq!(first.to_toml().unwrap(), second.to_toml().unwrap());
    let values = |resolved: &Resolved| {
        resolved
            .origins
            .iter()
            .map(|(key, (value, _))| format!("{key} = {value}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(values(&first), values(&second));
}

#[test]
fn an_empty_modality_table_configures_it() {
    let text = MINIMAL.replace("path = 'enc'\n", "");
    assert!(
        load(&text, &[])
            .unwrap()
            .config
            .modality
            .contains_key("toy")
    );
}

#[test]
fn the_table_is_aligned_narrow_and_marks_changes() {
    let resolved = load(MINIMAL, &["run.dir=runs/mine"]).unwrap();
    let table = resolved.table();
    assert_eq!(table.lines().count(), resolved.origins.len());
    assert!(table.lines().all(|line| line.len() <= 80), "{table}");
    let column = table.lines().next().unwrap().find(" = ").unwrap();
    assert!(
        table.lines().all(|line| line[column..].starts_with(" = ")),
        "{table}"
    );
    let line = |key: &str| {
        table
            .lines()
            .find(|line| line[2..].starts_with(key))
            .unwrap()
            .to_owned()
    };
    assert!(line("run.dir").starts_with("* ") && line("run.dir").ends_with("(--set)"));
    assert!(line("run.seed").starts_with("  ") && line("run.seed").ends_with("(default)"));
}

/// Rows of the tables in docs/configuration.md: key → default as written there.
fn documented() -> std::collections::BTreeMap<String, String> {
    let text = include_str!("../../../../docs/configuration.md");
    let rows = text.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        let key = cells.next()?.strip_suffix('`')?;
        let default = cells.next()?.trim().trim_matches('`');
        Some((key.to_string(), default.to_string()))
    });
    rows.collect()
}

#[test]
fn the_documented_keys_and_defaults_are_those_of_the_program() {
    let documented = documented();
    let known = serde_json::to_value(RunConfig::default()).unwrap();
    let mut keys = vec![];
    for section in ["run", "llm", "data", "align", "finetune"] {
        for (name, default) in known[section].as_object().unwrap() {
            let key = format!("{section}.{name}");
            let written = documented.get(&key).unwrap_or_else(|| {
                panic!("docs/configuration.md has no row for `{key}`");
            });
            if name != "lora" {
                let default = match default {
                    serde_json::Value::Null => String::new(),
                    value => value.to_string().replace(',', ", "),
                };
                assert_eq!(
                    written.parse::<f64>().ok(),
                    default.parse::<f64>().ok(),
                    "{key}"
                );
                if default.parse::<f64>().is_err() {
                    assert_eq!(*written, default, "{key}");
                }
            }
            keys.push(key);
        }
    }
    let gone: Vec<_> = documented
        .keys()
        .filter(|key| !keys.contains(key))
        .collect();
    assert!(gone.is_empty(), "keys that do not exist: {gone:?}");
}
