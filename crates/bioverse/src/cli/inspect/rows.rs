//! Data files of every format: fields, how often they are filled, sides and kinds, names that occur twice, rows that cannot
//! be read and rows that no stage would take. It reads a row at a time.

mod field;

use std::{collections::HashMap, path::Path};

use bioverse_core::{Example, Registry};
use bioverse_formats::{Format, Object, Options};
use serde_json::Value;

use self::field::Field;
use super::{Findings, counted, grouped};
use crate::{error::Result, files};

/// Problems that are listed one by one.
const SHOWN: usize = 5;
/// Rows that are looked at.
const ROWS: usize = 100_000;

/// A data file.
pub fn look(file: &Path, registry: &Registry, findings: &mut Findings) -> Result<()> {
    let rows = bioverse_formats::open(file, &Options::default())?;
    let (format, hint) = (rows.format(), rows.len_hint());
    let mut seen = Seen::default();
    let names = registry.names();
    for row in rows.take(ROWS) {
        match row {
            Ok(row) => seen.row(file, format, row.number, &row.object, &names),
            Err(error) if error.is_row() => seen.problem(error.to_string()),
            Err(error) => {
                seen.problem(error.to_string());
                break;
            }
        }
    }
    findings.fact("data", file.display());
    findings.fact("format", format.name());
    if file.is_file() {
        findings.fact("sha256", files::sha256(file)?);
    }
    seen.tell(file, format, hint, findings);
    Ok(())
}

/// What was seen of a file so far.
#[derive(Default)]
struct Seen {
    rows: usize,
    /// In the order of their first appearance.
    fields: Vec<(String, Field)>,
    /// Hash of a name → the row it was first seen in.
    ids: HashMap<u64, usize>,
    /// How many names occurred before, and the first of them.
    again: (usize, Option<String>),
    instructions: usize,
    problems: Vec<String>,
    bad: usize,
}

impl Seen {
    fn problem(&mut self, problem: String) {
        self.bad += 1;
        if self.bad <= SHOWN {
            self.problems.push(problem);
        }
    }

    fn row(&mut self, file: &Path, format: Format, number: usize, row: &Object, names: &[&str]) {
        self.rows += 1;
        for (name, value) in row {
            let at = self.fields.iter().position(|(known, _)| known == name);
            let at = at.unwrap_or_else(|| {
                self.fields.push((name.clone(), Field::default()));
                self.fields.len() - 1
            });
            if let Some((_, field)) = self.fields.get_mut(at) {
                field.add(value);
            }
        }
        if let Some(id) = row.get(format.id_field().unwrap_or("id")) {
            self.id(number, id);
        }
        if row.contains_key("messages") {
            self.instructions += 1;
            if let Err(problem) = check(row, names) {
                self.problem(format!("{} row {number}: {problem}", file.display()));
            }
        }
    }

    fn id(&mut self, number: usize, id: &Value) {
        let first = *self.ids.entry(field::hash(id)).or_insert(number);
        if first != number {
            let (count, example) = &mut self.again;
            *count += 1;
            example.get_or_insert_with(|| format!("{id} in rows {first} and {number}"));
        }
    }

    fn tell(self, file: &Path, format: Format, hint: Option<usize>, findings: &mut Findings) {
        let all = self.rows + self.bad < ROWS;
        match (all, hint) {
            (true, _) => findings.fact("rows", self.rows),
            (false, Some(total)) => findings.fact(
                "rows",
                format!("{total}, of which the first {ROWS} were looked at"),
            ),
            (false, None) => findings.fact(
                "rows",
                format!("more than {}, which were looked at", grouped(ROWS as u64)),
            ),
        }
        if self.rows == 0 && self.bad == 0 {
            findings.problem(format!("{} holds no row", file.display()));
        }
        for (name, field) in &self.fields {
            let line = format!("  {name:<16} {}", field.summary(self.rows));
            findings.lines.push(line);
        }
        if let (count @ 1.., Some(example)) = self.again {
            findings.fact("same id", format!("{}: {example}", counted(count, "row")));
        }
        findings.fact("form", form(format, self.instructions > 0));
        for problem in self.problems {
            findings.problem(problem);
        }
        if self.bad > SHOWN {
            findings.fact(
                "bad rows",
                format!("{}, of which {SHOWN} are shown", self.bad),
            );
        }
    }
}

/// What the rows are good for.
fn form(format: Format, instructions: bool) -> String {
    match (instructions, format.record_field()) {
        (true, _) => "instruction rows".into(),
        (false, Some(field)) => {
            format!("records in `{field}`; name the text that belongs to them with data.text_field")
        }
        (false, None) => {
            "plain rows; name the record and its text with data.input_field and data.text_field"
                .into()
        }
    }
}

/// Whether a stage would take an instruction row.
fn check(row: &Object, names: &[&str]) -> std::result::Result<(), String> {
    let example = crate::data::shape::instruction(row)?;
    Example::check(&example, names).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn of(name: &str, content: &str) -> Findings {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        let mut findings = Findings::default();
        look(&path, &Registry::new(), &mut findings).unwrap();
        findings
    }

    #[test]
    fn a_file_is_told_by_format_fields_and_problems() {
        let findings = of("a.fasta", ">a x\nMKT\n>b\n>a\nMA\n");
        let text = findings.lines.join("\n");
        for expected in [
            "format       FASTA",
            "rows         2",
            "id               text",
            "same id      1 row: \"a\" in rows 1 and 3",
            "records in `sequence`",
        ] {
            assert!(
                text.contains(expected),
                "{text}\nshould contain: {expected}"
            );
        }
        assert_eq!(findings.problems.len(), 1);
        assert!(
            findings.problems[0].contains("row 2: (`b`) has no sequence"),
            "{findings:?}"
        );
        assert!(of("a.csv", "a,b\n").problems[0].contains("holds no row"));
    }

    #[test]
    fn rows_that_no_stage_takes_are_named() {
        let row = |text: &str| {
            serde_json::json!({"messages": [{"role": "user", "content": text}]}).to_string()
        };
        let findings = of(
            "q.jsonl",
            &format!("{}\n{}\n", row("plain"), row("what is <molecule>?")),
        );
        assert_eq!(findings.problems.len(), 1, "{findings:?}");
        assert!(
            findings.problems[0].contains("q.jsonl row 2: "),
            "{findings:?}"
        );
        let findings = of("q.jsonl", &"{}\nx\n".repeat(8));
        assert_eq!(findings.problems.len(), SHOWN);
        let said = findings.lines.join("\n");
        assert!(said.contains("8, of which 5 are shown"), "{said}");
    }
}
