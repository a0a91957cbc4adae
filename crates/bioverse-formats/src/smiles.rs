//! SMILES files: one molecule a line, then optionally its name. A molecule is checked for syntax, and kept as it is written.

use std::path::Path;

use serde_json::Value;

use crate::{
    Format, Object, Options, Result, Row, Rows,
    lines::{self, Line, Lines},
    source,
};

/// First words of headers, in lower case.
const HEADERS: [&str; 8] = [
    "smiles",
    "canonical_smiles",
    "isomeric_smiles",
    "canonicalsmiles",
    "isosmiles",
    "smi",
    "structure",
    "molecule",
];

/// The molecules of a file; a row's number is that of its line.
pub(crate) fn rows(path: &Path, options: &Options) -> Result<Rows> {
    let header = match options.header {
        Some(header) => header,
        None => has_header(&source::peek(path)?),
    };
    let mut reader = Reader {
        lines: Lines::open(path)?,
        header,
        columns: vec![],
    };
    let next = move || reader.next().transpose();
    Ok(Rows::new(
        path,
        Format::Smiles,
        None,
        std::iter::from_fn(next),
    ))
}

/// Whether a line is the header of a SMILES file.
pub(crate) fn is_header(line: &str) -> bool {
    let word = line.split([' ', '\t', ',']).next().unwrap_or_default();
    let word = word.trim_matches(['"', '#']).to_lowercase();
    HEADERS.contains(&word.as_str())
}

/// Whether a word is a SMILES string, as far as its syntax goes.
pub(crate) fn parses(word: &str) -> bool {
    // The parser is only asked about words of a molecule's length.
    !word.is_empty() && word.len() <= 10_000 && chematic::smiles::parse(word).is_ok()
}

/// Whether a word has what molecules have and names do not: a bond, a branch, a bracket, a ring.
pub(crate) fn has_structure(word: &str) -> bool {
    word.len() > 2
        && word
            .bytes()
            .any(|byte| byte.is_ascii_digit() || b"()[]=#@/\\.".contains(&byte))
}

/// Whether the first line names columns: by a word for it, or as it is no molecule, but the next line is one.
fn has_header(head: &[u8]) -> bool {
    let head = String::from_utf8_lossy(head);
    let lines = head.trim_start_matches('\u{feff}').lines();
    let mut lines = lines
        .map(str::trim)
        .filter(|line| !line.is_empty() && !is_comment(line));
    let (Some(first), second) = (lines.next(), lines.next()) else {
        return false;
    };
    let molecule = |line: &str| parses(split(line).0);
    is_header(first) || (!molecule(first) && second.is_some_and(molecule))
}

/// `#` begins a comment; in a molecule it is a bond, which stands behind an atom.
fn is_comment(line: &str) -> bool {
    line.starts_with('#')
}

/// The molecule and its name.
fn split(line: &str) -> (&str, &str) {
    match line.split_once([' ', '\t']) {
        Some((smiles, name)) => (smiles, name.trim()),
        None => (line, ""),
    }
}

/// A molecule, its name, and what further columns of the header hold.
fn molecule(line: &str, columns: &[String]) -> Object {
    let fields: Vec<&str> = line.split('\t').map(str::trim).collect();
    let (smiles, name, rest) = match fields.as_slice() {
        [smiles, name, rest @ ..] if columns.len() > 1 => (*smiles, *name, rest),
        _ => {
            let (smiles, name) = split(line);
            (smiles, name, [].as_slice())
        }
    };
    let mut object = Object::new();
    object.insert("smiles".into(), Value::String(smiles.into()));
    if !name.is_empty() {
        object.insert("id".into(), Value::String(name.into()));
    }
    for (column, &field) in columns.iter().skip(2).zip(rest) {
        if !column.is_empty() && !object.contains_key(column) {
            object.insert(column.clone(), Value::String(field.into()));
        }
    }
    object
}

struct Reader {
    lines: Lines,
    /// Whether the first line that is no comment is still to be left out.
    header: bool,
    /// What a header with tabs calls its columns; none where there is no such header.
    columns: Vec<String>,
}

impl Reader {
    fn next(&mut self) -> Result<Option<Row>> {
        loop {
            let problem = match self.lines.next()? {
                None => return Ok(None),
                Some(Line::Text(text))
                    if text.trim().is_empty() || is_comment(text.trim_start()) =>
                {
                    continue;
                }
                Some(line) if std::mem::take(&mut self.header) => {
                    if let Line::Text(text) = line
                        && text.contains('\t')
                    {
                        self.columns = text.split('\t').map(|name| name.trim().into()).collect();
                    }
                    continue;
                }
                Some(Line::Text(text)) => {
                    let object = molecule(text.trim(), &self.columns);
                    let number = self.lines.number();
                    return Ok(Some(Row { number, object }));
                }
                Some(Line::Binary) => lines::NOT_TEXT.to_owned(),
                Some(Line::Long) => lines::too_long(),
            };
            return Err(self.lines.row(self.lines.number(), problem));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn read(text: &str, header: Option<bool>) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.smi");
        std::fs::write(&path, text).unwrap();
        let options = Options {
            header,
            ..Options::default()
        };
        let rows = rows(&path, &options).unwrap().map(|row| {
            let row = row.unwrap();
            let id = row.object.get("id").map_or("-", |id| id.as_str().unwrap());
            format!(
                "{} {} {id}",
                row.number,
                row.object["smiles"].as_str().unwrap()
            )
        });
        rows.collect()
    }

    #[test]
    fn molecules_and_their_names() {
        assert_eq!(
            read("CCO ethanol, the drink\r\nC#N\tHCN\nO\n", None),
            ["1 CCO ethanol, the drink", "2 C#N HCN", "3 O -"]
        );
        assert_eq!(
            read("# made by hand\n\nCCO\n# more\nC\n", None),
            ["3 CCO -", "5 C -"]
        );
        assert!(read("", None).is_empty());
    }

    #[test]
    fn columns_of_a_header_with_tabs_are_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.smi");
        std::fs::write(
            &path,
            "SMILES\tName\tlp\tnote\nCCO\tan alcohol\t0.5\t\nC x y\n",
        )
        .unwrap();
        let rows = rows(&path, &Options::default()).unwrap();
        let rows: Vec<Value> = rows.map(|row| Value::Object(row.unwrap().object)).collect();
        assert_eq!(
            rows[0],
            serde_json::json!({"smiles": "CCO", "id": "an alcohol", "lp": "0.5"})
        );
        assert_eq!(rows[1], serde_json::json!({"smiles": "C", "id": "x y"}));
    }

    #[test]
    fn a_header_is_found_or_told() {
        for header in [
            "smiles name",
            "SMILES",
            "canonical_smiles\tid",
            "SMILES\tName\tx",
            "Compound ID",
        ] {
            assert_eq!(
                read(&format!("{header}\nCCO x\n"), None),
                ["2 CCO x"],
                "{header}"
            );
        }
        assert_eq!(
            read("Xx what\nCCO x\n", Some(false)),
            ["1 Xx what", "2 CCO x"]
        );
        assert_eq!(read("CCO a\nCCN b\n", Some(true)), ["2 CCN b"]);
        assert_eq!(
            read("not a molecule\nnor this\n", None).len(),
            2,
            "two bad lines are no header"
        );
    }
}
