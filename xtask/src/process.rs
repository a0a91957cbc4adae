//! Child processes: where they run, how they ended, how much memory they took.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, ExitStatus},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};

/// How often a child's memory is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// The root of the workspace.
pub fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

/// The cargo that started us, in the workspace's root.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Where cargo builds.
pub fn target() -> PathBuf {
    let given = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    root().join(given.unwrap_or_else(|| "target".into()))
}

/// A command as a person would type it.
pub fn shown(command: &Command) -> String {
    let name = Path::new(command.get_program()).file_name();
    let name = name.unwrap_or(command.get_program());
    let words = std::iter::once(name).chain(command.get_args());
    words
        .map(|word| quoted(&word.to_string_lossy()))
        .collect::<Vec<_>>()
        .join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Runs to the end.
pub fn status(command: &mut Command) -> Result<ExitStatus> {
    command
        .status()
        .with_context(|| format!("cannot start {}", shown(command)))
}

/// A child's exit code as ours; 1 for one that was killed.
pub fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    ExitCode::from(code.unwrap_or(1))
}

/// How a child ended and the most memory it held, in bytes (0 where `/proc` is not there to ask).
pub struct Watched {
    /// How it ended.
    pub status: ExitStatus,
    /// Peak resident memory.
    pub peak: u64,
}

/// Runs to the end, watching memory.
pub fn watched(command: &mut Command) -> Result<Watched> {
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {}", shown(command)))?;
    let done = Arc::new(AtomicBool::new(false));
    let watcher = watch(&child, Arc::clone(&done));
    let status = child.wait();
    done.store(true, Ordering::Relaxed);
    let peak = watcher.join().unwrap_or(0);
    Ok(Watched {
        status: status.with_context(|| format!("lost {}", shown(command)))?,
        peak,
    })
}

fn watch(child: &Child, done: Arc<AtomicBool>) -> std::thread::JoinHandle<u64> {
    let file = PathBuf::from(format!("/proc/{}/status", child.id()));
    std::thread::spawn(move || {
        let mut peak = 0;
        while !done.load(Ordering::Relaxed) {
            // The kernel keeps the high-water mark, so only the last look before the end can miss something.
            peak = peak.max(high_water_mark(&file).unwrap_or(0));
            std::thread::sleep(LOOK);
        }
        peak
    })
}

fn high_water_mark(file: &Path) -> Option<u64> {
    let status = std::fs::read_to_string(file).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// `3m 12s`, or `4.2s` below a minute.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 {
        format!("{:.1}s", time.as_secs_f64())
    } else {
        format!("{}m {:02}s", seconds / 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_as_typed() {
        let mut command = Command::new("/usr/bin/bioverse");
        command.args(["ask", "--molecule", "C(=O)O", "Isn't it?"]);
        assert_eq!(
            shown(&command),
            r"bioverse ask --molecule 'C(=O)O' 'Isn'\''t it?'"
        );
    }

    #[test]
    fn durations_read_well() {
        assert_eq!(duration(Duration::from_millis(4210)), "4.2s");
        assert_eq!(duration(Duration::from_secs(192)), "3m 12s");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_child_s_memory_is_seen() {
        let ended = watched(Command::new("sleep").arg("0.2")).expect("sleep runs");
        assert!(
            ended.status.success() && ended.peak > 100_000,
            "{}",
            ended.peak
        );
    }
}
