//! What can be wrong with a file, by what a reader may do about it. Nothing here knows a format.

use std::{io, path::PathBuf};

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate. Its text is one sentence that names the file, the row where there is one, and the next step.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be opened, read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file as a whole is not what it should be; there are no further rows.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// One row is bad; the rows after it can still be read.
    #[error("{} row {number}: {problem}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// Which row, from 1.
        number: usize,
        /// What is wrong, and what to do.
        problem: String,
    },
}

impl Error {
    /// An [`Error::Io`] for `path`.
    pub fn io(path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io {
            path: path.into(),
            source,
        }
    }

    /// An [`Error::File`] for `path`.
    pub fn file(path: impl Into<PathBuf>, problem: impl Into<String>) -> Self {
        Self::File {
            path: path.into(),
            problem: problem.into(),
        }
    }

    /// An [`Error::Row`] for `path`.
    pub fn row(path: impl Into<PathBuf>, number: usize, problem: impl Into<String>) -> Self {
        Self::Row {
            path: path.into(),
            number,
            problem: problem.into(),
        }
    }

    /// Whether reading may go on after it.
    pub fn is_row(&self) -> bool {
        matches!(self, Self::Row { .. })
    }
}
