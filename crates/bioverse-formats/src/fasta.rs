//! FASTA and FASTQ, streamed: a record at a time, however its sequence is broken into lines. Letters are kept as they are;
//! what they stand for is unknown here.

mod header;
#[cfg(test)]
mod tests;

use std::path::Path;

use serde_json::Value;

use crate::{
    Error, Format, Object, Result, Row, Rows,
    lines::{self, LIMIT, Line, Lines},
};

/// The records of a file.
pub(crate) fn rows(path: &Path) -> Result<Rows> {
    let mut records = Records {
        lines: Lines::open(path)?,
        number: 0,
        header: None,
        begun: false,
    };
    let next = move || records.next().transpose();
    Ok(Rows::new(
        path,
        Format::Fasta,
        None,
        std::iter::from_fn(next),
    ))
}

struct Records {
    lines: Lines,
    /// Records so far.
    number: usize,
    /// The header line of the next record, which ended the last one.
    header: Option<String>,
    /// Whether the first header was read.
    begun: bool,
}

/// The letters of one record as its lines come.
#[derive(Default)]
struct Letters {
    text: String,
    problem: Option<String>,
}

impl Letters {
    /// Adds a line; blanks inside of it (numbered or grouped sequences have some) are left out.
    fn add(&mut self, line: Line<'_>) {
        let problem = match line {
            Line::Text(text) if self.text.len() + text.len() > LIMIT => lines::too_long(),
            Line::Text(text) => match text.chars().find(|c| !is_letter(*c) && !c.is_whitespace()) {
                None => {
                    self.text.extend(text.split_whitespace());
                    return;
                }
                Some(c) => format!("has `{}` in its sequence; remove it", c.escape_default()),
            },
            Line::Binary => lines::NOT_TEXT.into(),
            Line::Long => lines::too_long(),
        };
        // What is bad is read on to the next record, but not held.
        self.text.clear();
        self.problem.get_or_insert(problem);
    }
}

/// Letters of sequences: residues in either case, a stop, gaps of alignments.
fn is_letter(c: char) -> bool {
    c.is_ascii_alphabetic() || matches!(c, '*' | '-' | '.')
}

impl Records {
    fn next(&mut self) -> Result<Option<Row>> {
        let header = match self.header.take() {
            Some(header) => header,
            None if self.begun => return Ok(None),
            None => match self.first()? {
                Some(header) => header,
                None => return Ok(None),
            },
        };
        self.number += 1;
        let letters = match header.starts_with('@') {
            true => self.read_quality(&header)?,
            false => self.sequence()?,
        };
        let name = header.get(1..).unwrap_or_default().trim();
        let id = name.split_whitespace().next().unwrap_or_default();
        let problem = match letters.problem {
            Some(problem) => Some(problem),
            None if id.is_empty() => Some("has no name; write one after `>`".into()),
            None if letters.text.is_empty() => {
                Some("has no sequence; add it, or remove the record".into())
            }
            None => None,
        };
        if let Some(problem) = problem {
            let shown: String = id.chars().take(60).collect();
            return Err(self
                .lines
                .row(self.number, format!("(`{shown}`) {problem}")));
        }
        let mut object = Object::new();
        let fields = [("id", id), ("description", header::description(name))];
        for (field, value) in fields.into_iter().chain(header::uniprot(name)) {
            object.insert(field.into(), Value::String(value.into()));
        }
        object.insert("sequence".into(), Value::String(letters.text));
        let number = self.number;
        Ok(Some(Row { number, object }))
    }

    /// The first header, after blank lines and comments (`;`, as the first programs wrote them).
    fn first(&mut self) -> Result<Option<String>> {
        self.begun = true;
        let problem = loop {
            match self.lines.next()? {
                None => return Ok(None),
                Some(Line::Text(text)) if text.trim().is_empty() || text.starts_with(';') => {}
                Some(Line::Text(text)) if text.trim_end().contains('\r') => {
                    break "has line ends that are not read, `\\r` alone; change them (`tr '\\r' '\\n' < FILE > NEW`)".to_owned();
                }
                Some(Line::Text(text)) if text.starts_with(['>', '@']) => {
                    return Ok(Some(text.to_owned()));
                }
                Some(Line::Text(text)) => {
                    let shown: String = text.chars().take(30).collect();
                    break format!(
                        "is not FASTA: line {} should begin with `>` and the name of a sequence, but is `{shown}`",
                        self.lines.number()
                    );
                }
                Some(Line::Binary) => break lines::NOT_TEXT.to_owned(),
                Some(Line::Long) => break "is not FASTA: it has no line breaks".to_owned(),
            }
        };
        Err(Error::file(self.lines.path(), problem))
    }

    /// Lines up to the next `>`.
    fn sequence(&mut self) -> Result<Letters> {
        let mut letters = Letters::default();
        while let Some(line) = self.lines.next()? {
            match line {
                Line::Text(text) if text.starts_with('>') => {
                    self.header = Some(text.to_owned());
                    break;
                }
                line => letters.add(line),
            }
        }
        Ok(letters)
    }

    /// Lines up to `+`, then as many letters of quality, which are not kept.
    fn read_quality(&mut self, header: &str) -> Result<Letters> {
        let mut letters = Letters::default();
        let (mut length, mut parts) = (0, 0);
        loop {
            match self.lines.next()? {
                None => return Err(self.cut(header)),
                Some(Line::Text(text)) if text.starts_with('+') => break,
                Some(line) => {
                    if let Line::Text(text) = line {
                        length += text.trim().len();
                        parts += usize::from(!text.trim().is_empty());
                    }
                    letters.add(line);
                }
            }
        }
        let quality = self.qualities(header, length, parts)?;
        if quality != length {
            let noun = if quality == 1 { "quality" } else { "qualities" };
            let problem =
                format!("has {length} letters but {quality} {noun}; fetch or write the file again");
            letters.problem.get_or_insert(problem);
        }
        if self.header.is_none() {
            self.next_read()?;
        }
        Ok(letters)
    }

    /// How many qualities a sequence of `length` letters in `parts` lines has.
    fn qualities(&mut self, header: &str, length: usize, parts: usize) -> Result<usize> {
        let mut quality = 0;
        while quality < length {
            match self.lines.next()? {
                None => return Err(self.cut(header)),
                // In records of four lines, `@` after the qualities begins the next.
                Some(Line::Text(text)) if quality > 0 && parts == 1 && text.starts_with('@') => {
                    self.header = Some(text.to_owned());
                    break;
                }
                Some(Line::Text(text)) => quality += text.trim_end().len(),
                Some(Line::Binary | Line::Long) => break,
            }
        }
        Ok(quality)
    }

    fn cut(&self, header: &str) -> Error {
        let problem = format!(
            "breaks off in the record `{}`; fetch or write it again",
            header.get(1..).unwrap_or_default()
        );
        Error::file(self.lines.path(), problem)
    }

    /// The header after a read of FASTQ.
    fn next_read(&mut self) -> Result<()> {
        loop {
            match self.lines.next()? {
                None => return Ok(()),
                Some(Line::Text(text)) if text.trim().is_empty() => {}
                Some(Line::Text(text)) if text.starts_with('@') => {
                    self.header = Some(text.to_owned());
                    return Ok(());
                }
                Some(_) => {
                    let number = self.lines.number();
                    let problem = format!(
                        "is not FASTQ: line {number} should begin with `@` and the name of a read"
                    );
                    return Err(Error::file(self.lines.path(), problem));
                }
            }
        }
    }
}
