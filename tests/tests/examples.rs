//! The programs under `examples/`: each is a workspace of its own and stands for someone else's code. They are found,
//! not named: nothing of ours knows them.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use bioverse_tests::{Ended, root, target_dir};

/// Every folder of `examples` with a manifest.
fn examples() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("examples")).expect("examples");
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a readable entry").path())
        .filter(|path| path.join("Cargo.toml").is_file())
        .collect();
    found.sort();
    assert!(!found.is_empty(), "there is no example left");
    found
}

/// Cargo in the example, sharing our build directory so that dependencies are compiled once. Everything it needs was
/// needed for us already, so no network: an example must not bring crates of its own.
fn cargo(example: &Path, args: &[&str]) -> Ended {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(example)
        .args(args)
        .arg("--offline")
        .env("CARGO_TARGET_DIR", target_dir());
    command.output().expect("cargo starts").into()
}

/// The program the example builds, by the name of its package.
fn program(example: &Path) -> PathBuf {
    let manifest = std::fs::read_to_string(example.join("Cargo.toml")).expect("a manifest");
    let manifest: toml::Table = manifest.parse().expect("a valid manifest");
    let name = manifest["package"]["name"].as_str().expect("a name");
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    target_dir().join("debug").join(file)
}

#[test]
fn every_example_passes_its_tests_and_runs() {
    for example in examples() {
        cargo(&example, &["test", "--quiet"]).ok();
        cargo(&example, &["build", "--quiet"]).ok();
        let run = |args: &[&str]| -> Ended {
            let mut command = Command::new(program(&example));
            command.current_dir(root()).args(args);
            command.env("BIOVERSE_CACHE", target_dir().join("test-cache"));
            command.output().expect("the example starts").into()
        };
        assert!(run(&["--help"]).ok().stdout.contains("align"));
        // A program with more modalities than ours still reads what ours wrote.
        run(&["inspect", "tests/data/questions.jsonl"]).ok();
        run(&["align", "--config", "configs/tiny-align.toml", "--dry-run"]).ok();
        let help = run(&["ask", "--help"]).ok().stdout;
        let own = own_flags(&help);
        assert!(own.len() > 1, "{}: only {own:?}", example.display());
        runs_its_configs(&example, &run);
    }
}

/// Flags of `ask` that take a record.
fn own_flags(help: &str) -> Vec<&str> {
    let lines = help.lines().map(str::trim);
    lines
        .filter(|line| line.starts_with("--") && line.ends_with("<VALUE>"))
        .collect()
}

/// An example may bring complete runs; each must be accepted.
fn runs_its_configs(example: &Path, run: &dyn Fn(&[&str]) -> Ended) {
    for entry in std::fs::read_dir(example).expect("the example") {
        let path = entry.expect("a readable entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.extension().is_some_and(|e| e == "toml") && name.starts_with("align") {
            let path = path.display().to_string();
            run(&["align", "--config", &path, "--dry-run"]).ok();
        }
    }
}
