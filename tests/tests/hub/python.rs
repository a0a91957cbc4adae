//! Python's `huggingface_hub` finds what was downloaded here, and the other way round. `BIOVERSE_PYTHON` names a Python that
//! has the package (default `python3`); without one the check says so and passes.

use std::{io::Write, path::Path, process::Command};

use super::super::{REPO, client, honest, offline};
use super::{
    cache::{assert_is_tiny, assert_sound, wanted},
    server::COMMIT,
};

/// Runs a script; its output, or why there is none.
fn python(script: &str, cache: &Path, endpoint: &str) -> Result<String, String> {
    let python = std::env::var("BIOVERSE_PYTHON").unwrap_or_else(|_| "python3".into());
    let output = Command::new(&python)
        .args(["-c", script])
        .env("HF_HUB_CACHE", cache)
        .env("HF_ENDPOINT", endpoint)
        .env("HF_HUB_DISABLE_XET", "1")
        .env("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        .env_remove("HF_HUB_OFFLINE")
        .output()
        .map_err(|error| format!("{python} does not start: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let said = text(&output.stderr);
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false if said.contains("No module named") => {
            Err(format!("{python} has no huggingface_hub"))
        }
        false => panic!("{said}"),
    }
}

/// Straight to stderr: libtest would show captured output only after a failure.
fn skipped(why: &str) {
    let _ = writeln!(
        std::io::stderr().lock(),
        "\nskipped, the check against Python's huggingface_hub: {why}"
    );
}

#[test]
fn python_finds_what_was_downloaded_here() {
    let (server, dir) = (honest(), tempfile::tempdir().expect("a folder"));
    let found = client(&server, dir.path())
        .locate(REPO.as_ref())
        .expect("a model");
    let script = "
from huggingface_hub import snapshot_download, hf_hub_download, try_to_load_from_cache, scan_cache_dir
print(snapshot_download('org/tiny', local_files_only=True))
print(hf_hub_download('org/tiny', 'model.safetensors', local_files_only=True))
print(try_to_load_from_cache('org/tiny', 'config.json'))
info = scan_cache_dir()
print(len(info.repos), len(info.warnings), next(iter(info.repos)).nb_files)
";
    match python(script, dir.path(), "http://127.0.0.1:9") {
        Err(why) => skipped(&why),
        Ok(said) => {
            let dir = found.dir.display();
            let files = wanted().len();
            assert_eq!(
                said,
                format!("{dir}\n{dir}/model.safetensors\n{dir}/config.json\n1 0 {files}")
            );
        }
    }
}

#[test]
fn what_python_downloaded_is_found_here() {
    let (server, dir) = (honest(), tempfile::tempdir().expect("a folder"));
    let names: Vec<String> = wanted().into_keys().collect();
    let script = format!(
        "
from huggingface_hub import hf_hub_download
for name in {names:?}:
    hf_hub_download('org/tiny', name)
"
    );
    if let Err(why) = python(&script, dir.path(), &server.url) {
        return skipped(&why);
    }
    let found = offline(dir.path())
        .locate(REPO.as_ref())
        .expect("what Python left");
    assert_eq!(found.source, Some(format!("{REPO}@{COMMIT}")));
    assert_is_tiny(&found.dir);
    assert_sound(dir.path());
    let before = server.requests().len();
    assert_eq!(
        client(&server, dir.path())
            .locate(REPO.as_ref())
            .expect("cached"),
        found
    );
    assert_eq!(server.requests().len(), before);
}
