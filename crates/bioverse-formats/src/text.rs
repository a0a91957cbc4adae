//! Plain text: one record a line. Blank lines count, but hold none.

use std::path::Path;

use serde_json::Value;

use crate::{
    Format, Object, Result, Row, Rows,
    lines::{self, Line, Lines},
};

/// The lines of a file.
pub(crate) fn rows(path: &Path) -> Result<Rows> {
    let mut lines = Lines::open(path)?;
    let next = move || next(&mut lines).transpose();
    Ok(Rows::new(
        path,
        Format::Text,
        None,
        std::iter::from_fn(next),
    ))
}

fn next(lines: &mut Lines) -> Result<Option<Row>> {
    loop {
        let problem = match lines.next()? {
            None => return Ok(None),
            Some(Line::Text(text)) if text.trim().is_empty() => continue,
            Some(Line::Text(text)) => {
                let text = Value::String(text.trim().to_owned());
                return Ok(Some(Row {
                    object: Object::from_iter([("text".to_owned(), text)]),
                    number: lines.number(),
                }));
            }
            Some(Line::Binary) => lines::NOT_TEXT.to_owned(),
            Some(Line::Long) => lines::too_long(),
        };
        return Err(lines.row(lines.number(), problem));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_bad_line_does_not_hide_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        std::fs::write(&path, b"one \n\n\xff\nfour").unwrap();
        let rows: Vec<Result<Row>> = rows(&path).unwrap().collect();
        let shown: Vec<String> = rows
            .iter()
            .map(|row| match row {
                Ok(row) => format!("{} {}", row.number, row.object["text"]),
                Err(error) => error.to_string(),
            })
            .collect();
        assert_eq!(shown[0], "1 \"one\"");
        assert!(
            shown[1].contains("a.txt row 3: is not UTF-8 text"),
            "{}",
            shown[1]
        );
        assert_eq!(shown[2], "4 \"four\"");
        assert_eq!(shown.len(), 3);
    }
}
