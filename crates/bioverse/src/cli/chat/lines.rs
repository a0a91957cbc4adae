//! Where lines come from: an editor with a memory where a person types, else standard input as it is. What they mean is unknown.

use std::io::BufRead as _;

use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use super::at_terminal;
use crate::cli::out;
use crate::error::{Error, Result};

/// What stands before a line that is typed.
const PROMPT: &str = "> ";

/// Lines of a conversation.
pub enum Lines {
    /// Typed.
    Editor(Box<DefaultEditor>),
    /// From a pipe or a file.
    Plain,
}

impl Lines {
    /// Asks the terminal, where there is one.
    pub fn open() -> Result<Self> {
        if !at_terminal() {
            return Ok(Self::Plain);
        }
        let editor = DefaultEditor::new().map_err(failed)?;
        Ok(Self::Editor(Box::new(editor)))
    }

    /// Whether a person types.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Editor(_))
    }

    /// The next line; `None` at the end of input (Ctrl-D).
    pub fn next(&mut self) -> Result<Option<String>> {
        match self {
            Self::Editor(editor) => typed(editor),
            Self::Plain => plain(),
        }
    }
}

fn typed(editor: &mut DefaultEditor) -> Result<Option<String>> {
    match editor.readline(PROMPT) {
        Ok(line) => {
            if !line.trim().is_empty() {
                editor.add_history_entry(line.as_str()).map_err(failed)?;
            }
            Ok(Some(line))
        }
        Err(ReadlineError::Eof) => Ok(None),
        // A line given up, not a conversation.
        Err(ReadlineError::Interrupted) => {
            out::note("Ctrl-D or /quit ends the conversation.");
            Ok(Some(String::new()))
        }
        Err(error) => Err(failed(error)),
    }
}

fn plain() -> Result<Option<String>> {
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    match read.map_err(|error| Error::io("stdin", error))? {
        0 => Ok(None),
        _ => Ok(Some(line)),
    }
}

fn failed(error: ReadlineError) -> Error {
    Error::Run(format!("the terminal cannot be read: {error}"))
}
