//! Finds the folders and sends each to the code of its family.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::check::Check;
use super::folder::Folder;
use super::outcome::Outcome;
use super::{chat, decoder, encoder, lora, metrics, projector, scgpt, stage2};

/// Fills a [`Check`] with everything a family promises.
type Family = fn(&mut Check) -> Result<()>;

/// The code for a family: its name, or its name with a suffix that tells variants apart (`llama_tied`).
fn family(name: &str) -> Option<Family> {
    let is = |base: &str| {
        name == base
            || name
                .strip_prefix(base)
                .is_some_and(|rest| rest.starts_with('_'))
    };
    let known: &[(&str, Family)] = &[
        ("bert", encoder::run),
        ("chat", chat::run),
        ("chemberta", encoder::run),
        ("esm2", encoder::run),
        ("granite", decoder::run),
        ("llama", decoder::run),
        ("metrics", metrics::run),
        ("mistral", decoder::run),
        ("modernbert", encoder::run),
        ("qwen2", decoder::run),
        ("qwen3", decoder::run),
        ("scgpt", scgpt::run),
        ("lora", lora::run),
        ("train_projector", projector::run),
        ("train_stage2", stage2::run),
    ];
    known.iter().find(|(base, _)| is(base)).map(|(_, run)| *run)
}

/// Every folder below the root, compared.
pub fn run() -> (PathBuf, Vec<Outcome>) {
    let root = root();
    let mut folders = vec![];
    collect(&root, &mut folders);
    (root, folders.iter().map(|folder| outcome(folder)).collect())
}

/// `$BIOVERSE_GOLDEN`, or the folder shipped with the workspace. Cargo starts tests in the package's folder, while whoever
/// typed a relative path most likely stood in the workspace's.
fn root() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let workspace = workspace.canonicalize().unwrap_or(workspace);
    match std::env::var_os("BIOVERSE_GOLDEN").filter(|given| !given.is_empty()) {
        None => workspace.join("tests/golden"),
        Some(given) => {
            let below = workspace.join(&given);
            match below.exists() {
                true => below,
                false => std::path::absolute(&given).unwrap_or_else(|_| PathBuf::from(given)),
            }
        }
    }
}

/// Folders with a golden.json, the root itself included, in the order of their names.
fn collect(dir: &Path, found: &mut Vec<PathBuf>) {
    if dir.join("golden.json").exists() {
        found.push(dir.to_path_buf());
        return;
    }
    let Ok(entries) = std::fs::read_dir(dir) else {
        return;
    };
    let mut below: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    below.sort();
    for dir in below {
        collect(&dir, found);
    }
}

/// One folder. A panic in it must not hide what the others have to say.
fn outcome(path: &Path) -> Outcome {
    let name = path
        .file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let run = || match compare(path) {
        Err(error) => Outcome::broken(name.clone(), format!("{error:#}")),
        Ok(outcome) => outcome,
    };
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        Outcome::broken(name.clone(), format!("panicked: {text}"))
    })
}

fn compare(path: &Path) -> Result<Outcome> {
    let name = Folder::family(path)?;
    let run =
        family(&name).with_context(|| format!("family `{name}` is not one this suite knows"))?;
    let folder = Folder::open(path)?;
    let mut check = Check::new(&folder);
    if let Err(error) = run(&mut check) {
        check.fail(format!("stopped: {error:#}"));
    }
    Ok(check.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_known_by_their_first_part() {
        for known in [
            "bert",
            "chat",
            "chat_inst",
            "chemberta",
            "esm2",
            "esm2_t6",
            "modernbert",
            "scgpt",
            "llama",
            "llama_tied",
            "llama_bf16",
            "lora_qv",
            "train_projector",
            "train_stage2",
        ] {
            assert!(family(known).is_some(), "{known}");
        }
        for unknown in ["", "llama3", "lorax", "train", "scgptx", "metric"] {
            assert!(family(unknown).is_none(), "{unknown}");
        }
    }

    #[test]
    fn an_unknown_family_fails_by_name() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("golden.json"), r#"{"family":"whale"}"#).unwrap();
        let failures = outcome(dir.path()).failures;
        assert!(failures[0].contains("`whale`"), "{failures:?}");
    }
}
