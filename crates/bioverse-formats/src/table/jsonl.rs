//! JSONL: one JSON object a line. Blank lines count, but hold none.

use std::path::Path;

use crate::{
    Error, Format, Object, Result, Row, Rows,
    lines::{self, Line, Lines},
};

/// The objects of a file; a row's number is that of its line.
pub(crate) fn rows(path: &Path) -> Result<Rows> {
    let mut lines = Lines::open(path)?;
    let mut first = true;
    let next = move || next(&mut lines, &mut first).transpose();
    Ok(Rows::new(
        path,
        Format::Jsonl,
        None,
        std::iter::from_fn(next),
    ))
}

fn next(lines: &mut Lines, first: &mut bool) -> Result<Option<Row>> {
    loop {
        let problem = match lines.next()? {
            None => return Ok(None),
            Some(Line::Text(text)) if text.trim().is_empty() => continue,
            Some(Line::Text(text)) if *first && text.trim_start().starts_with('[') => {
                return Err(Error::file(
                    lines.path(),
                    "is one JSON array; write one object per line instead, JSONL (`jq -c '.[]' FILE > FILE.jsonl`)",
                ));
            }
            Some(Line::Text(text)) => {
                *first = false;
                match serde_json::from_str::<Object>(text) {
                    Ok(object) => {
                        return Ok(Some(Row {
                            object,
                            number: lines.number(),
                        }));
                    }
                    Err(error) => format!("is not a JSON object on one line ({error})"),
                }
            }
            Some(Line::Binary) => lines::NOT_TEXT.to_owned(),
            Some(Line::Long) => lines::too_long(),
        };
        return Err(lines.row(lines.number(), problem));
    }
}
