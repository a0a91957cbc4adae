//! Which modules are meant, by the rules of PEFT, on paths checked by hand.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::lora::Patterns;

const Q0: &str = "model.layers.0.self_attn.q_proj";
const Q1: &str = "model.layers.1.self_attn.q_proj";
const Q11: &str = "model.layers.11.self_attn.q_proj";
const UP0: &str = "model.layers.0.mlp.up_proj";
const HEAD: &str = "lm_head";
const ALL: [&str; 5] = [Q0, Q1, Q11, UP0, HEAD];

fn list(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn config(targets: &[&str]) -> LoraConfig {
    LoraConfig {
        target_modules: list(targets),
        ..LoraConfig::default()
    }
}

fn meant(config: &LoraConfig) -> Vec<&'static str> {
    let selection = Selection::new(config).unwrap();
    ALL.into_iter()
        .filter(|path| selection.targets(path))
        .collect()
}

fn pattern(pattern: &str) -> LoraConfig {
    LoraConfig {
        target_pattern: Some(pattern.to_owned()),
        ..config(&[])
    }
}

#[test]
fn lists_match_endings_and_patterns_whole_paths() {
    assert_eq!(meant(&config(&["q_proj"])), [Q0, Q1, Q11]);
    assert_eq!(meant(&config(&["proj"])), [""; 0]);
    assert_eq!(meant(&config(&["all-linear"])), [Q0, Q1, Q11, UP0]);
    assert_eq!(meant(&config(&["lm_head", UP0])), [UP0, HEAD]);
    assert_eq!(meant(&pattern(r".*\.1\.self_attn\.q_proj")), [Q1]);
    assert_eq!(meant(&pattern("q_proj")), [""; 0]);
    assert_eq!(meant(&pattern(r"^(?!.*self_attn).*")), [UP0, HEAD]);
}

#[test]
fn layers_and_exclusions_narrow_a_list() {
    let layers = |layers: &[usize], pattern: &[&str]| LoraConfig {
        layers_to_transform: Some(layers.to_vec()),
        layers_pattern: list(pattern),
        ..config(&["q_proj", UP0])
    };
    // A path that stands in the list as it is is meant whatever its layer.
    assert_eq!(meant(&layers(&[1], &[])), [Q1, UP0]);
    assert_eq!(meant(&layers(&[11, 0], &["layers"])), [Q0, Q11, UP0]);
    assert_eq!(meant(&layers(&[1], &["blocks"])), [UP0]);
    assert_eq!(meant(&layers(&[], &[])), [Q0, Q1, Q11, UP0]);
    let without = |excluded| LoraConfig {
        exclude_modules: Some(excluded),
        ..config(&["q_proj"])
    };
    assert_eq!(
        meant(&without(Modules::List(list(&["1.self_attn.q_proj"])))),
        [Q0, Q11]
    );
    assert_eq!(
        meant(&without(Modules::Pattern(r".*\.\d\..*".into()))),
        [Q11]
    );
}

#[test]
fn modules_stored_whole_carry_no_adapter() {
    let config = LoraConfig {
        modules_to_save: list(&["lm_head", "layers.0.mlp", "norm"]),
        ..config(&["q_proj", "up_proj", "lm_head"])
    };
    assert_eq!(meant(&config), [Q0, Q1, Q11]);
    let selection = Selection::new(&config).unwrap();
    assert!(selection.stores("lm_head") && selection.stores("model.norm"));
    // PEFT goes by the end of the name.
    assert!(selection.stores("model.layers.0.input_layernorm"));
    assert!(!selection.stores(Q0));
}

#[test]
fn the_first_pattern_that_matches_gives_rank_and_alpha() {
    let config = LoraConfig {
        r: 8,
        lora_alpha: 16.0,
        rank_pattern: Patterns::from_iter([("1.self_attn.q_proj".into(), 2), ("q_proj".into(), 4)]),
        alpha_pattern: Patterns::from_iter([(r"^model\.layers\.\d\.mlp.*".into(), 4.0)]),
        ..config(&["all-linear"])
    };
    let selection = Selection::new(&config).unwrap();
    let rank = |path| {
        let rank = selection.rank(path);
        (rank.r, rank.scaling)
    };
    assert_eq!(rank(Q0), (4, 4.0));
    assert_eq!(rank(Q1), (2, 8.0));
    // `11` ends in `1`, but a pattern begins where a name does.
    assert_eq!(rank(Q11), (4, 4.0));
    assert_eq!(rank(UP0), (8, 0.5));
    assert_eq!(rank(HEAD), (8, 2.0));
    let rooted = LoraConfig {
        use_rslora: true,
        ..config
    };
    assert_eq!(Selection::new(&rooted).unwrap().rank(Q0).scaling, 8.0);
}

#[test]
fn a_pattern_that_is_none_is_named() {
    let text = Selection::new(&pattern("q_(proj")).unwrap_err();
    assert!(
        text.contains("`target_modules`") && text.contains("q_(proj"),
        "{text}"
    );
    let long = "a".repeat(5000);
    assert!(
        Selection::new(&pattern(&long))
            .unwrap_err()
            .contains("4096")
    );
}
