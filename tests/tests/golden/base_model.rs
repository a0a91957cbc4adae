//! Where the base model of an adapter or of a training run lies.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::folder::Folder;

/// The folder that `named` (`../llama`) means. A collection of several seeds renames its folders, and then
/// `lora_qv_s77` goes with `llama_s77`; so the name is tried with this folder's own decoration first, and among all
/// candidates those made with the same seed come first.
pub fn find(folder: &Folder, named: &str) -> Result<PathBuf> {
    let parent = folder.path.parent().context("the folder has no parent")?;
    let base = Path::new(named)
        .file_name()
        .map_or(named.into(), |name| name.to_string_lossy());
    let mut candidates = vec![
        parent.join(folder.name.replace(&folder.family, &base)),
        folder.path.join(named),
    ];
    if let Ok(entries) = std::fs::read_dir(parent) {
        let mut siblings: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        siblings.sort();
        candidates.extend(
            siblings
                .into_iter()
                .filter(|path| text(path, "family").as_deref() == Some(&base)),
        );
    }
    candidates.retain(|path| *path != folder.path && path.join("config.json").exists());
    let seed = folder.json["seed"].to_string();
    candidates.sort_by_key(|path| text(path, "seed").as_deref() != Some(&seed));
    candidates.into_iter().next().with_context(|| {
        format!(
            "its base model `{named}` is neither at that place nor beside {}",
            folder.path.display()
        )
    })
}

/// A value of another folder's golden.json as text.
fn text(folder: &Path, key: &str) -> Option<String> {
    let json = std::fs::read_to_string(folder.join("golden.json")).ok()?;
    let json: serde_json::Value = serde_json::from_str(&json).ok()?;
    Some(
        json[key]
            .as_str()
            .map_or_else(|| json[key].to_string(), str::to_string),
    )
}
