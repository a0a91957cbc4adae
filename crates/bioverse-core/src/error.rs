//! Errors of the vocabulary, by who must act. It knows no file and no command line: callers add where a row came from.

/// Whatever a plugin fails with; the core adds which modality and record it was.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A record that its modality refuses: wrong JSON type, invalid content, too long.
    #[error("modality `{modality}`: record {index} does not parse: {source}")]
    Record {
        /// Modality name.
        modality: String,
        /// Position in the slice given to the encoder, from 0.
        index: usize,
        /// What the plugin said.
        source: BoxError,
    },
    /// A modality could not be loaded or run.
    #[error("modality `{modality}`: {source}")]
    Modality {
        /// Modality name.
        modality: String,
        /// What the plugin said.
        source: BoxError,
    },
    /// A name that nobody registered.
    #[error("{0}")]
    Unknown(String),
    /// A prompt whose placeholders and records do not match.
    #[error("{0}")]
    Prompt(String),
    /// A projector or space of the wrong width or content.
    #[error("{0}")]
    Space(String),
}
