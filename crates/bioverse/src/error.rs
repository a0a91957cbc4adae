//! What can end a run, by who must act; the exit code follows from it. It does not know which command was running.

use std::{io, path::PathBuf};

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a run. Its text is one sentence that names the file, row or key and the next step.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Something the user gave is wrong: exit code 2.
    #[error("{0}")]
    Input(String),
    /// The run itself failed, or a threshold was missed: exit code 1.
    #[error("{0}")]
    Run(String),
    /// Ctrl-C, after everything was brought to safety: exit code 1.
    #[error("interrupted at step {step}; {saved}")]
    Interrupted {
        /// Steps done.
        step: usize,
        /// Where the checkpoint is and how to go on.
        saved: String,
    },
    /// A file could not be read or written.
    #[error("{}: {source}{}", path.display(), next_step(source))]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// From the vocabulary: prompts, records, spaces.
    #[error(transparent)]
    Core(#[from] bioverse_core::Error),
    /// From models and tokenizers; files that cannot be read or written become [`Error::Io`].
    #[error(transparent)]
    Nn(bioverse_nn::Error),
}

impl From<bioverse_formats::Error> for Error {
    fn from(error: bioverse_formats::Error) -> Self {
        match error {
            bioverse_formats::Error::Io { path, source } => Self::Io { path, source },
            other => Self::Input(other.to_string()),
        }
    }
}

impl From<bioverse_nn::Error> for Error {
    fn from(error: bioverse_nn::Error) -> Self {
        match error {
            bioverse_nn::Error::Io { path, source } => Self::Io { path, source },
            other => Self::Nn(other),
        }
    }
}

impl Error {
    /// An [`Error::Io`] for `path`.
    pub fn io(path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io {
            path: path.into(),
            source,
        }
    }

    /// 2 for bad input, 1 for a failed run.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Run(_) | Self::Interrupted { .. } => 1,
            Self::Io { source, .. } | Self::Nn(bioverse_nn::Error::Io { source, .. })
                if is_failed_write(source) =>
            {
                1
            }
            _ => 2,
        }
    }
}

/// Whether the machine, not the request, is at fault.
fn is_failed_write(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, ReadOnlyFilesystem, StorageFull, WriteZero};
    matches!(
        error.kind(),
        StorageFull | QuotaExceeded | FileTooLarge | WriteZero | ReadOnlyFilesystem
    )
}

fn next_step(error: &io::Error) -> &'static str {
    use io::ErrorKind::{NotFound, PermissionDenied, QuotaExceeded, StorageFull};
    match error.kind() {
        StorageFull | QuotaExceeded => {
            "; nothing that was already written is lost: free some space and run the command again"
        }
        NotFound => "; check the path, which is relative to the directory the command runs in",
        PermissionDenied => "; give this user access, or use another path",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_a_failed_run_whoever_reports_it_and_a_missing_file_is_bad_input() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(Error::io("x", full()).exit_code(), 1);
        assert_eq!(
            Error::from(bioverse_nn::Error::io("x", full())).exit_code(),
            1
        );
        let missing = Error::io("data/x.jsonl", io::ErrorKind::NotFound.into());
        assert_eq!(missing.exit_code(), 2);
        assert!(
            missing.to_string().starts_with("data/x.jsonl: "),
            "{missing}"
        );
        assert!(
            Error::io("x", full())
                .to_string()
                .contains("free some space")
        );
    }
}
