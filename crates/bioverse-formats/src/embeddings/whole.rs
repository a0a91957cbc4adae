//! A file that appears under its name complete or not at all. What is in it is unknown here.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use crate::{Error, Result};

/// Writes a temporary sibling with `fill`, syncs it, and gives it the name `path`.
pub(super) fn write(
    path: &Path,
    fill: &mut dyn FnMut(&mut BufWriter<File>) -> Result<()>,
) -> Result<()> {
    let here = |error| Error::io(path, error);
    let staged = Staged(sibling(path));
    let mut out = BufWriter::with_capacity(1 << 18, File::create(&staged.0).map_err(here)?);
    fill(&mut out)?;
    let done = |mut out: BufWriter<File>| -> io::Result<()> {
        out.flush()?;
        out.get_ref().sync_all()?;
        fs::rename(&staged.0, path)?;
        sync_folder(path)
    };
    done(out).map_err(here)
}

/// Removes itself when dropped; after the rename there is nothing left to remove.
struct Staged(PathBuf);

impl Drop for Staged {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn sibling(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".new-{}", std::process::id()));
    path.with_file_name(name)
}

/// Makes the rename itself durable. Only Unix lets a folder be opened for this.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    match cfg!(unix) {
        true => File::open(folder)?.sync_all(),
        false => Ok(()),
    }
}
