//! Runs that are stopped: by a signal that nothing survives, and by Ctrl-C. The next run goes on, and nobody can tell the
//! results apart.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use bioverse_tests::{Ended, bioverse, run};

use super::{POCKET, encode, root, scratch};

/// Enough molecules for several chunks of `--batch-size 4`.
fn molecules(dir: &Path) -> PathBuf {
    let all =
        fs::read_to_string(root().join("datasets/pocket/molecules.jsonl")).expect("molecules");
    let input = dir.join("m.jsonl");
    let some: Vec<&str> = all.lines().take(400).collect();
    fs::write(&input, some.join("\n")).expect("an input file");
    input
}

fn chunks(partial: &Path) -> usize {
    let entries = fs::read_dir(partial).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("chunk-"))
        .count()
}

/// Starts the program, waits for `count` chunks, sends a signal.
fn stopped(args: &[String], partial: &Path, count: usize, signal: &str) -> Ended {
    let child = bioverse(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let start = Instant::now();
    while chunks(partial) < count {
        assert!(
            start.elapsed() < Duration::from_secs(120),
            "no chunk was written"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    let id = child.id().to_string();
    let killed = std::process::Command::new("kill")
        .args([signal, &id])
        .status();
    assert!(killed.is_ok_and(|status| status.success()));
    child.wait_with_output().expect("it ends").into()
}

#[cfg(unix)]
#[test]
fn a_killed_run_goes_on_and_ends_with_the_same_bytes() {
    let dir = scratch();
    let input = molecules(dir.path());
    for name in ["m.safetensors", "m.parquet"] {
        let whole = dir.path().join("whole").join(name);
        run(encode(POCKET, &input, &whole, "--batch-size 4")).ok();
        let output = dir.path().join(name);
        let partial = dir.path().join(format!("{name}.partial"));
        let args = encode(POCKET, &input, &output, "--batch-size 4");
        let first = stopped(&args, &partial, 2, "-KILL");
        assert_eq!(first.code, -1, "{first:#?}");
        assert!(!output.exists() && chunks(&partial) >= 2);
        // A chunk that a failing disk cut short does not count.
        let last = partial.join("chunk-00000001");
        let bytes = fs::read(&last).expect("a chunk");
        fs::write(&last, &bytes[..bytes.len() - 5]).expect("a damaged chunk");
        let second = run(&args).ok();
        assert!(!second.stderr.contains("not used"), "{second:#?}");
        assert!(!partial.exists());
        assert!(
            fs::read(&output).expect("the output") == fs::read(&whole).expect("the output"),
            "{name}: other bytes"
        );
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_what_is_done_and_other_options_do_not_use_it() {
    let dir = scratch();
    let input = molecules(dir.path());
    let output = dir.path().join("m.safetensors");
    let partial = dir.path().join("m.safetensors.partial");
    let args = encode(POCKET, &input, &output, "--batch-size 4");
    let ended = stopped(&args, &partial, 1, "-INT");
    assert_eq!(ended.code, 1, "{ended:#?}");
    for said in [
        "interrupted",
        "m.safetensors.partial",
        "run the same command again",
    ] {
        assert!(ended.error().contains(said), "{}", ended.error());
    }
    let done = chunks(&partial);
    assert!(done >= 1 && !output.exists());
    let other = run(encode(POCKET, &input, &output, "--batch-size 4 --pool cls")).ok();
    let said = "the work of an earlier run is not used, for its encoding is not the same";
    assert_eq!(other.stderr.matches(said).count(), 1, "{other:#?}");
    assert!(output.exists() && !partial.exists());
}
