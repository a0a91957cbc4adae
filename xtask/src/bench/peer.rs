//! A Python with the peer's libraries, installed once below the target folder.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, bail};

use crate::process;

/// What the scripts import.
const PACKAGES: [&str; 5] = ["torch", "transformers", "peft", "safetensors", "numpy"];

/// The Python of the environment in `folder`, which is made when it is not there.
pub fn installed(folder: &Path) -> Result<PathBuf> {
    let environment = folder.join("venv");
    let python = match cfg!(windows) {
        true => environment.join("Scripts").join("python.exe"),
        false => environment.join("bin").join("python"),
    };
    // Written last, so that an installation that broke off is done again.
    let complete = environment.join("complete");
    if complete.is_file() {
        return Ok(python);
    }
    let mut make = Command::new("python3");
    make.args(["-m", "venv"]).arg(&environment);
    run(&mut make)?;
    let mut install = Command::new(&python);
    install
        .args(["-m", "pip", "install", "--quiet"])
        .args(PACKAGES);
    run(&mut install)?;
    std::fs::write(complete, "")?;
    Ok(python)
}

fn run(command: &mut Command) -> Result<()> {
    println!("{}", process::shown(command));
    match process::status(command)?.success() {
        true => Ok(()),
        false => bail!(
            "{} failed; name a Python that has {} with --python",
            process::shown(command),
            PACKAGES.join(", ")
        ),
    }
}
