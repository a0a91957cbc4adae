//! Other programs' answers: scripts below `tests/python` that compute something without a line of this project.

use std::{
    ffi::OsStr,
    io::Write,
    process::{Command, Stdio},
};

use serde_json::Value;

/// The JSON that `tests/python/<script>` prints, given `args` and `input` on standard input.
///
/// `BIOVERSE_PYTHON` names the Python (default `python3`). `Err` says why there is no answer: no Python, or a package that it
/// lacks, which the script reports as `{"missing": what}`.
///
/// # Panics
/// When the script fails for another reason.
pub fn answer<S: AsRef<OsStr>>(script: &str, args: &[S], input: &str) -> Result<Value, String> {
    let python = std::env::var("BIOVERSE_PYTHON").unwrap_or_else(|_| "python3".into());
    let started = Command::new(&python)
        .arg(crate::root().join("tests/python").join(script))
        .args(args)
        .env("HF_HUB_OFFLINE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = started.map_err(|error| format!("{python} does not start: {error}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A script that needs no input may end before it is written.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().expect("the script ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script} failed:\n{said}");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("the script prints JSON");
    match answer.get("missing") {
        Some(missing) => Err(format!("{python}: {missing}")),
        None => Ok(answer),
    }
}
