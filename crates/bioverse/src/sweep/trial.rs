//! One run of a sweep: a process of this program, its log, and the note of how it ended, by which a sweep that was killed goes
//! on. What the run computes is unknown here.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::plan::{Plan, Trial, config_file, state_file};
use crate::error::{Error, Result};
use crate::files::write_atomic;
use crate::train::fingerprint::Fingerprint;

/// How often a run is looked at.
const POLL: Duration = Duration::from_millis(50);
/// How long a run has to hear of Ctrl-C itself before it is told: a terminal tells both, and whoever is told twice stops
/// without saving.
const GRACE: Duration = Duration::from_secs(1);
/// What a run says when it was asked to stop.
const ASKED: &str = "asked to stop";
/// How the sentence of a run begins that was asked to stop and has saved.
const INTERRUPTED: [&str; 2] = ["interrupted at step", "the audit was interrupted"];

/// What is known about a run before it is looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// Nothing is there, or what is there is of another configuration.
    Anew,
    /// It was interrupted, and left a checkpoint.
    Resume,
    /// It has ended with this very configuration.
    Finished,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Ended {
    /// Its bundle is there.
    Finished,
    /// Its last sentence.
    Failed(String),
}

/// `sweep.json` in a run's folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    fingerprint: Fingerprint,
    /// Seconds, over all attempts of this configuration.
    pub seconds: f64,
    /// Missing while it runs, and when it was killed.
    pub ended: Option<Ended>,
}

impl State {
    fn read(dir: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(state_file(dir)).ok()?;
        serde_json::from_str(&text).ok()
    }

    fn write(&self, dir: &Path) -> Result<()> {
        let text =
            serde_json::to_string_pretty(self).map_err(|error| Error::Run(error.to_string()))?;
        write_atomic(&state_file(dir), text.as_bytes())
    }
}

impl Trial {
    /// Where it would begin.
    pub fn begin(&self) -> Begin {
        let Some(state) =
            State::read(&self.dir).filter(|state| state.fingerprint == self.fingerprint)
        else {
            return Begin::Anew;
        };
        let bundle = self.dir.join("bundle/bundle.json").is_file();
        match state.ended {
            Some(Ended::Finished) if bundle => Begin::Finished,
            Some(Ended::Failed(said)) if !interrupted(&said) => Begin::Anew,
            // Asked to stop, or killed in training, or after it, before the sweep took note.
            _ if holds_something(&self.dir.join("checkpoint")) => Begin::Resume,
            _ if self.dir.join("finished.json").is_file() => Begin::Resume,
            _ => Begin::Anew,
        }
    }

    /// Runs it, unless it has ended already, and says how it ended.
    ///
    /// # Errors
    /// When its folder cannot be written or this program cannot be started; a run that fails is no error.
    pub fn run(&self, plan: &Plan) -> Result<State> {
        let io = |error| Error::io(&self.dir, error);
        std::fs::create_dir_all(&self.dir).map_err(io)?;
        let lock = self.locked()?;
        let begin = self.begin();
        if let (Begin::Finished, Some(state)) = (begin, State::read(&self.dir)) {
            return Ok(state);
        }
        let before = match begin {
            Begin::Resume => State::read(&self.dir).map_or(0.0, |state| state.seconds),
            _ => {
                self.clear()?;
                0.0
            }
        };
        let mut state = State {
            fingerprint: self.fingerprint.clone(),
            seconds: before,
            ended: None,
        };
        write_atomic(&config_file(self), self.toml.as_bytes())?;
        state.write(&self.dir)?;
        let start = Instant::now();
        let ended = self.process(plan, begin == Begin::Resume, lock)?;
        state.seconds += start.elapsed().as_secs_f64();
        // After Ctrl-C nothing has ended: the same command goes on.
        if !crate::interrupt::requested() || ended == Ended::Finished {
            state.ended = Some(ended);
        }
        state.write(&self.dir)?;
        Ok(state)
    }

    /// The lock is held by whoever runs this run, its process included: it gets the file as its standard input. So a sweep
    /// that begins while a run of a killed one is still going waits for it instead of writing into its folder.
    fn locked(&self) -> Result<File> {
        let path = self.dir.join("sweep.lock");
        let io = |error| Error::io(&path, error);
        let mut options = File::options();
        let file = options
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path);
        let file = file.map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                tracing::warn!("{}: waiting for a run that is still going there", self.name);
                file.lock().map_err(io)?;
            }
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        Ok(file)
    }

    /// Removes what a run of another configuration left. The folder is the sweep's own; the lock stays.
    fn clear(&self) -> Result<()> {
        let io = |error| Error::io(&self.dir, error);
        for entry in std::fs::read_dir(&self.dir).map_err(io)? {
            let path = entry.map_err(io)?.path();
            if path.ends_with("sweep.lock") {
                continue;
            }
            let removed = if path.is_dir() {
                std::fs::remove_dir_all(&path)
            } else {
                std::fs::remove_file(&path)
            };
            removed.map_err(io)?;
        }
        Ok(())
    }

    fn arguments(&self, plan: &Plan, resume: bool) -> Vec<OsString> {
        let mut arguments = vec![plan.stage.verb().into(), "--config".into()];
        arguments.push(config_file(self).into());
        arguments.extend(resume.then(|| "--resume".into()));
        arguments
    }

    fn process(&self, plan: &Plan, resume: bool, lock: File) -> Result<Ended> {
        let program = std::env::current_exe().map_err(|error| Error::io("this program", error))?;
        let log = self.dir.join("log.txt");
        let io = |error| Error::io(&log, error);
        let out = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(io)?;
        let err = out.try_clone().map_err(io)?;
        let program_io = |error| Error::io(&program, error);
        let mut command = Command::new(&program);
        command.args(self.arguments(plan, resume));
        command.stdin(Stdio::from(lock)).stdout(out).stderr(err);
        let begun = log.metadata().map_err(io)?.len();
        let child = command.spawn().map_err(program_io)?;
        let heard = || since(&log, begun).is_ok_and(|text| text.contains(ASKED));
        let status = watch(child, heard).map_err(program_io)?;
        if status.success() {
            return Ok(Ended::Finished);
        }
        let said = last_sentence(&since(&log, begun).map_err(io)?);
        Ok(Ended::Failed(said.unwrap_or_else(|| {
            format!("it ended without a word ({status}); see {}", log.display())
        })))
    }
}

/// Waits for the end of a run, and passes Ctrl-C and SIGTERM on to it, once, unless it has `heard` of them.
fn watch(mut child: Child, heard: impl Fn() -> bool) -> std::io::Result<ExitStatus> {
    let (mut asked, mut told) = (None, false);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if crate::interrupt::requested() && !told {
            let since = *asked.get_or_insert_with(Instant::now);
            told = heard();
            if !told && since.elapsed() >= GRACE {
                ask_to_stop(&child);
                told = true;
            }
        }
        std::thread::sleep(POLL);
    }
}

/// SIGTERM, where there is such a thing.
fn ask_to_stop(child: &Child) {
    if !cfg!(unix) {
        return;
    }
    let id = child.id().to_string();
    let sent = Command::new("kill").args(["-TERM", &id]).status();
    if !sent.is_ok_and(|status| status.success()) {
        tracing::warn!("process {id} could not be asked to stop; it goes on to its end");
    }
}

/// What was written to a log after its first `begun` bytes.
fn since(log: &Path, begun: u64) -> std::io::Result<String> {
    let mut file = File::open(log)?;
    file.seek(SeekFrom::Start(begun))?;
    let mut bytes = vec![];
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether the last sentence of a run is that it was asked to stop.
fn interrupted(said: &str) -> bool {
    INTERRUPTED.iter().any(|begin| said.starts_with(begin))
}

fn holds_something(dir: &Path) -> bool {
    std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some())
}

/// What a program that failed said last.
fn last_sentence(log: &str) -> Option<String> {
    let errors = log
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("error: "));
    errors.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::config::RunConfig;

    fn trial(dir: &Path) -> Trial {
        Trial {
            name: "x".into(),
            dir: dir.join("x"),
            values: vec![],
            config: RunConfig::default(),
            toml: String::new(),
            fingerprint: [("align.lr".to_string(), "1".to_string())].into(),
        }
    }

    #[test]
    fn a_run_begins_where_it_was_left() {
        let dir = tempfile::tempdir().unwrap();
        let mut trial = trial(dir.path());
        let note = |trial: &Trial, ended| {
            std::fs::create_dir_all(&trial.dir).unwrap();
            let state = State {
                fingerprint: trial.fingerprint.clone(),
                seconds: 1.0,
                ended,
            };
            state.write(&trial.dir).unwrap();
        };
        assert_eq!(trial.begin(), Begin::Anew);
        note(&trial, None);
        assert_eq!(
            trial.begin(),
            Begin::Anew,
            "killed before its first checkpoint"
        );
        std::fs::create_dir_all(trial.dir.join("checkpoint/molecule")).unwrap();
        assert_eq!(trial.begin(), Begin::Resume);
        note(&trial, Some(Ended::Finished));
        assert_eq!(trial.begin(), Begin::Resume, "its bundle is gone");
        std::fs::create_dir_all(trial.dir.join("bundle")).unwrap();
        std::fs::write(trial.dir.join("bundle/bundle.json"), "{}").unwrap();
        assert_eq!(trial.begin(), Begin::Finished);
        note(&trial, Some(Ended::Failed("no".into())));
        assert_eq!(trial.begin(), Begin::Anew, "what failed is tried again");
        let told = crate::Error::Interrupted {
            step: 3,
            saved: "saved".into(),
        };
        note(&trial, Some(Ended::Failed(told.to_string())));
        assert_eq!(trial.begin(), Begin::Resume, "it was asked to stop");
        note(&trial, Some(Ended::Finished));
        trial.fingerprint.insert("align.lr".into(), "2".into());
        assert_eq!(trial.begin(), Begin::Anew, "another configuration");
    }

    #[test]
    fn the_last_error_is_the_reason() {
        let log = "config\nerror: old\nalign 3/9\nerror: the loss is NaN\n";
        assert_eq!(last_sentence(log).as_deref(), Some("the loss is NaN"));
        assert!(last_sentence("killed\n").is_none());
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("log.txt");
        std::fs::write(&file, "error: old\nnew\n").unwrap();
        assert_eq!(since(&file, 11).unwrap(), "new\n", "of this attempt alone");
    }
}
