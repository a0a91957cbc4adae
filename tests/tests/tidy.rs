//! Tidiness as tests: who may depend on whom, how long files may be, which documents must hold true.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use bioverse_tests::{files_below, root};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// Longest source file.
const LINES: usize = 600;

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo metadata")
}

/// Our crates that each of ours depends on, development dependencies left out.
fn edges(metadata: &Metadata) -> BTreeMap<String, BTreeSet<String>> {
    let ours: BTreeSet<String> = metadata
        .packages
        .iter()
        .map(|package| package.name.to_string())
        .collect();
    let of = |package: &cargo_metadata::Package| {
        let normal = package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind != DependencyKind::Development);
        normal
            .map(|dependency| dependency.name.clone())
            .filter(|name| ours.contains(name))
            .collect()
    };
    metadata
        .packages
        .iter()
        .map(|package| (package.name.to_string(), of(package)))
        .collect()
}

fn plugins(metadata: &Metadata) -> BTreeSet<String> {
    metadata
        .packages
        .iter()
        .filter(|package| package.manifest_path.as_str().contains("/plugins/"))
        .map(|package| package.name.to_string())
        .collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn crates_depend_only_on_what_the_map_allows() {
    let metadata = metadata();
    let plugins = plugins(&metadata);
    assert!(!plugins.is_empty(), "the plugins are gone");
    for (name, depends) in edges(&metadata) {
        let allowed = match name.as_str() {
            "bioverse-core" | "bioverse-formats" | "bioverse-nn" | "xtask" => set(&[]),
            "bioverse" => {
                let mut allowed = set(&["bioverse-core", "bioverse-formats", "bioverse-nn"]);
                allowed.extend(plugins.iter().cloned());
                allowed
            }
            "bioverse-tests" => continue,
            "bioverse-benches" => set(&["bioverse", "bioverse-core", "bioverse-nn"]),
            plugin if plugins.contains(plugin) => set(&["bioverse-core", "bioverse-nn"]),
            other => panic!("`{other}` has no place on the map of ARCHITECTURE.md"),
        };
        let extra: Vec<&String> = depends.difference(&allowed).collect();
        assert!(extra.is_empty(), "`{name}` must not depend on {extra:?}");
    }
}

#[test]
fn crates_stay_free_of_what_they_must_not_know() {
    let forbidden: [(&str, &[&str]); 4] = [
        (
            "bioverse-core",
            &[
                "tokenizers",
                "safetensors",
                "clap",
                "memmap2",
                "csv",
                "flate2",
                "burn-flex",
            ],
        ),
        (
            "bioverse-formats",
            &["burn", "clap", "tokenizers", "indicatif", "ctrlc"],
        ),
        ("bioverse-nn", &["clap", "chematic", "indicatif", "ctrlc"]),
        ("xtask", &["burn", "serde_json", "safetensors"]),
    ];
    let metadata = metadata();
    for package in &metadata.packages {
        let normal = package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind == DependencyKind::Normal);
        let names: BTreeSet<&str> = normal.map(|dependency| dependency.name.as_str()).collect();
        let mut never: Vec<&str> = forbidden
            .iter()
            .filter(|(name, _)| *name == package.name.as_str())
            .flat_map(|(_, never)| never.iter().copied())
            .collect();
        if package.manifest_path.as_str().contains("/plugins/") {
            never.extend(["clap", "bioverse", "burn-flex"]);
        }
        let found: Vec<&&str> = never.iter().filter(|name| names.contains(**name)).collect();
        assert!(found.is_empty(), "`{}` depends on {found:?}", package.name);
    }
}

#[test]
fn device_features_belong_to_one_crate_and_burn_has_one_feature_set() {
    let devices = ["cuda", "wgpu", "ndarray", "rocm", "vulkan", "metal", "flex"];
    for package in &metadata().packages {
        let has = package
            .features
            .keys()
            .filter(|feature| devices.contains(&feature.as_str()))
            .count();
        if package.name.as_str() != "bioverse" {
            assert_eq!(has, 0, "`{}` has device features", package.name);
        }
        for dependency in &package.dependencies {
            if dependency.name == "burn" {
                let mut features = dependency.features.clone();
                features.sort();
                assert_eq!(
                    features,
                    ["flex", "optim", "rayon", "simd", "std"],
                    "`{}` asks for another Burn, which rebuilds most of it",
                    package.name
                );
            }
        }
    }
}

#[test]
fn every_plugin_is_a_feature_of_its_own() {
    let metadata = metadata();
    let bioverse = metadata
        .packages
        .iter()
        .find(|package| package.name.as_str() == "bioverse")
        .expect("the crate bioverse");
    for plugin in plugins(&metadata) {
        let dependency = bioverse
            .dependencies
            .iter()
            .find(|dependency| dependency.name == plugin)
            .unwrap_or_else(|| panic!("bioverse does not offer {plugin}"));
        assert!(dependency.optional, "{plugin} cannot be left out");
        let enables = format!("dep:{plugin}");
        assert!(
            bioverse
                .features
                .values()
                .any(|feature| feature.contains(&enables)),
            "no feature enables {plugin}"
        );
    }
}

/// Every Rust file we wrote, with its text.
fn sources() -> Vec<(PathBuf, String)> {
    let mut found = vec![];
    for part in ["crates", "plugins", "xtask", "examples", "tests"] {
        let dir = root().join(part);
        for file in files_below(&dir) {
            let built = file.components().any(|c| c.as_os_str() == "target");
            if file.extension().is_some_and(|e| e == "rs") && !built {
                let text = std::fs::read_to_string(dir.join(&file)).expect("a readable file");
                found.push((Path::new(part).join(file), text));
            }
        }
    }
    assert!(found.len() > 20, "sources were not found");
    found
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let mut wrong = vec![];
    for (file, text) in sources() {
        let lines = text.lines().count();
        if lines > LINES {
            wrong.push(format!(
                "{} has {lines} lines, more than {LINES}",
                file.display()
            ));
        }
        if !text.starts_with("//!") {
            wrong.push(format!("{} does not start with `//!`", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_module_has_a_name_that_means_nothing() {
    let vague = [
        "utils", "util", "common", "helper", "helpers", "manager", "base", "misc",
    ];
    for (file, _) in sources() {
        let stem = file.file_stem().and_then(|stem| stem.to_str());
        assert!(
            !stem.is_some_and(|stem| vague.contains(&stem)),
            "{} names no concept",
            file.display()
        );
    }
}

#[test]
fn every_dependency_is_justified() {
    let architecture = text("ARCHITECTURE.md");
    let table = architecture
        .split("## Dependencies")
        .nth(1)
        .expect("ARCHITECTURE.md has a section on dependencies");
    let metadata = metadata();
    let ours: BTreeSet<String> = edges(&metadata).into_keys().collect();
    for package in &metadata.packages {
        for dependency in &package.dependencies {
            let name = &dependency.name;
            assert!(
                ours.contains(name) || table.contains(&format!("`{name}`")),
                "`{name}`, a dependency of `{}`, has no line in ARCHITECTURE.md",
                package.name
            );
        }
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut documents: Vec<PathBuf> = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
    ]
    .map(PathBuf::from)
    .into();
    for part in ["docs", "datasets", "models", "examples"] {
        let dir = root().join(part);
        if dir.is_dir() {
            let markdown = files_below(&dir)
                .into_iter()
                .filter(|file| file.extension().is_some_and(|e| e == "md"))
                .filter(|file| !file.starts_with("target"));
            documents.extend(markdown.map(|file| Path::new(part).join(file)));
        }
    }
    let mut broken = vec![];
    for document in documents {
        let path = root().join(&document);
        let Ok(text) = std::fs::read_to_string(&path) else {
            broken.push(format!("{} is missing", document.display()));
            continue;
        };
        let here = path.parent().expect("a directory");
        for link in links(&text) {
            let target = link.split('#').next().unwrap_or_default();
            if !target.is_empty() && !here.join(target).exists() {
                broken.push(format!("{} links to {link}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Relative targets of `[text](target)`.
fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1);
    targets
        .filter_map(|rest| rest.split(')').next())
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
        .collect()
}

fn text(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).expect(file)
}
