//! What can go wrong while reading or running a model, by who must act.

use std::path::PathBuf;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate. Every variant names the file, key or value at fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file was read, but does not hold what its name promises.
    #[error("{}: {problem}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// A weight file lacks a parameter, or holds it with another shape or dtype.
    #[error("{}: tensor `{name}`: {problem}", path.display())]
    Tensor {
        /// The weight file or folder.
        path: PathBuf,
        /// The parameter, by its Hugging Face name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A model family or an option of one that this crate does not run.
    #[error("{0}")]
    Unsupported(String),
    /// Text could not be tokenised, or a chat template could not be rendered.
    #[error("{0}")]
    Text(String),
}

impl Error {
    /// An [`Error::Io`] for `path`.
    pub fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io {
            path: path.into(),
            source,
        }
    }
    /// An [`Error::Format`] for `path`.
    pub fn format(path: impl Into<PathBuf>, problem: impl Into<String>) -> Self {
        Self::Format {
            path: path.into(),
            problem: problem.into(),
        }
    }
}
