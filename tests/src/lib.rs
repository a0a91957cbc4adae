//! What the tests of the whole workspace share: the real program, scratch runs, and how its output is read. It tests
//! nothing itself.

pub mod planted;
pub mod python;
pub mod tuning;

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

/// The root of the workspace.
pub fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

/// The cargo that runs the tests, in the workspace's root.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Where cargo builds.
pub fn target_dir() -> PathBuf {
    let given = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    root().join(given.unwrap_or_else(|| "target".into()))
}

/// The real program, built once.
///
/// All packages are selected, so that Cargo resolves the same features as for `cargo test --workspace` and no dependency
/// is compiled a second time.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let mut build = cargo();
        build.args(["build", "--workspace", "--bin", "bioverse", "--quiet"]);
        let built = build.output().expect("cargo starts");
        assert!(
            built.status.success(),
            "the program does not build:\n{}",
            String::from_utf8_lossy(&built.stderr)
        );
        let name = format!("bioverse{}", std::env::consts::EXE_SUFFIX);
        target_dir().join("debug").join(name)
    })
}

/// A command of the real program, in the workspace's root.
pub fn bioverse<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(program());
    command
        .current_dir(root())
        .args(args)
        .env("RUST_LOG", "warn")
        // The cache of whoever runs the tests is none of theirs.
        .env("BIOVERSE_CACHE", target_dir().join("test-cache"))
        .env_remove("NO_COLOR");
    command
}

/// How a run of the program ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit code; -1 for a signal.
    pub code: i32,
    /// Results.
    pub stdout: String,
    /// Everything else.
    pub stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }
}

impl Ended {
    /// The one line that starts with `error: `. It must be the last thing said.
    pub fn error(&self) -> &str {
        let errors: Vec<&str> = self
            .stderr
            .lines()
            .filter(|line| line.starts_with("error: "))
            .collect();
        assert_eq!(errors.len(), 1, "not one error: {self:#?}");
        let last = self.stderr.trim_end().lines().last();
        assert_eq!(last, Some(errors[0]), "{self:#?}");
        errors[0]
    }

    /// Fails the test unless the program ended well.
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:#?}");
        self
    }
}

/// Runs the program to its end.
pub fn run<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Ended {
    bioverse(args).output().expect("the program starts").into()
}

/// Arguments of the tiny stage 1 with its results in `dir`.
pub fn tiny_align(dir: &Path) -> Vec<String> {
    stage("align", &[format!("run.dir={}", dir.display())])
}

/// Arguments of the tiny stage 2 from the run `from`, with its results in `dir`.
pub fn tiny_finetune(from: &Path, dir: &Path) -> Vec<String> {
    stage(
        "finetune",
        &[
            format!("run.dir={}", dir.display()),
            format!("finetune.from={}", from.display()),
        ],
    )
}

/// Arguments of a tiny stage with values replaced.
pub fn stage(verb: &str, sets: &[String]) -> Vec<String> {
    let mut args = vec![
        verb.to_owned(),
        "--config".into(),
        format!("configs/tiny-{verb}.toml"),
    ];
    for set in sets {
        args.extend(["--set".to_owned(), set.clone()]);
    }
    args
}

/// Every file below `dir`, relative and sorted.
pub fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    let mut open = vec![dir.to_owned()];
    while let Some(next) = open.pop() {
        let entries = std::fs::read_dir(&next).expect("a readable directory");
        for entry in entries {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                let relative = path.strip_prefix(dir).expect("below").to_owned();
                found.push(relative);
            }
        }
    }
    found.sort();
    found
}
