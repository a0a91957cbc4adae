//! The small files that make weights a model: configuration, vocabulary, templates, and the folders that
//! sentence-transformers keeps. What they say is unknown here.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Extensions of the files that stand beside the weights of a model.
const SMALL: [&str; 7] = ["json", "jinja", "txt", "model", "md", "tsv", "bpe"];

/// No configuration or vocabulary is larger.
const SMALL_BYTES: u64 = 64 << 20;

/// What describes weight files or adapters rather than the model.
const LEFT_OUT: [&str; 2] = [".index.json", "adapter_config.json"];

/// Small files of a folder, relative to it and sorted; of the folders in it too, where sentence-transformers made them.
pub(super) fn small_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let modules = dir.join("modules.json").is_file();
    let mut found = vec![];
    for path in entries(dir)? {
        if path.is_dir() {
            if !modules {
                continue;
            }
            let inner = entries(&path)?.into_iter();
            found.extend(inner.filter(|path| is_small(path)));
        } else if is_small(&path) {
            found.push(path);
        }
    }
    let relative = |path: PathBuf| path.strip_prefix(dir).map(Path::to_owned).ok();
    let mut found: Vec<PathBuf> = found.into_iter().filter_map(relative).collect();
    found.sort();
    Ok(found)
}

/// Copies files given by [`small_files`].
pub(super) fn copy(files: &[PathBuf], from: &Path, to: &Path) -> Result<()> {
    for file in files {
        let target = to.join(file);
        if let Some(above) = target.parent() {
            fs::create_dir_all(above).map_err(|error| Error::io(above, error))?;
        }
        let source = from.join(file);
        fs::copy(&source, &target).map_err(|error| Error::io(&source, error))?;
    }
    Ok(())
}

/// Files and folders that are not hidden.
fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let here = |error| Error::io(dir, error);
    let mut found = vec![];
    for entry in fs::read_dir(dir).map_err(here)? {
        let entry = entry.map_err(here)?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn is_small(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let extension = path.extension().and_then(|extension| extension.to_str());
    let size = fs::metadata(path).map_or(u64::MAX, |metadata| metadata.len());
    path.is_file()
        && extension.is_some_and(|extension| SMALL.contains(&extension))
        && size <= SMALL_BYTES
        && !LEFT_OUT.iter().any(|ending| name.ends_with(ending))
}
