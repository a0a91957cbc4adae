//! SD files: each molecule (V2000 or V3000) as SMILES, with its data items. Positions of atoms serve stereochemistry only.

#[cfg(test)]
mod tests;

use std::path::Path;

use chematic::{
    chem::remove_hydrogens,
    mol::{parse_mol, parse_mol_v3000},
    smiles::{RdkitSmilesError, canonical_smiles, rdkit_canonical_smiles},
};
use serde_json::Value;

use crate::{
    Format, Object, Result, Row, Rows, guard,
    lines::{self, LIMIT, Line, Lines},
};

/// Most lines of a molecule. What is larger is no small molecule, and canonical numbering takes time that grows with the square
/// of the atoms.
const LINES: usize = 20_000;
/// The line that ends a record.
const END: &str = "$$$$";
/// The line that ends the molecule of a record.
const MOLECULE_END: &str = "M  END";

/// The molecules of a file.
pub(crate) fn rows(path: &Path) -> Result<Rows> {
    let mut lines = Lines::open(path)?;
    let mut number = 0;
    let next = move || next(&mut lines, &mut number).transpose();
    Ok(Rows::new(path, Format::Sdf, None, std::iter::from_fn(next)))
}

fn next(lines: &mut Lines, number: &mut usize) -> Result<Option<Row>> {
    let Some(record) = record(lines)? else {
        return Ok(None);
    };
    *number += 1;
    let number = *number;
    let text = record.map_err(|problem| lines.row(number, problem))?;
    // The library that reads molecules is not ours.
    let object = guard::guarded(lines.path(), || object(&text));
    let object = object.unwrap_or_else(|_| Err("has a molecule that cannot be read".into()));
    let object = object.map_err(|problem| {
        let title: String = title(&text).chars().take(60).collect();
        lines.row(number, format!("(`{title}`) {problem}"))
    })?;
    Ok(Some(Row { number, object }))
}

/// The lines of the next record, or what is wrong with it. Blank lines behind the last one are no record.
fn record(lines: &mut Lines) -> Result<Option<Result<String, String>>> {
    let mut text = String::new();
    let mut problem = None;
    loop {
        match lines.next()? {
            None if problem.is_none() && text.trim().is_empty() => return Ok(None),
            None => break,
            Some(Line::Text(line)) if line.trim_end() == END => break,
            Some(Line::Text(line)) if text.len() + line.len() < LIMIT => {
                text.push_str(line);
                text.push('\n');
            }
            Some(Line::Text(_) | Line::Long) => problem = Some(lines::too_long()),
            Some(Line::Binary) => problem = Some(lines::NOT_TEXT.into()),
        }
        if problem.is_some() {
            text.clear();
        }
    }
    Ok(Some(match problem {
        Some(problem) => Err(problem),
        None => Ok(text),
    }))
}

/// The first line names the molecule.
fn title(text: &str) -> &str {
    text.lines().next().unwrap_or_default().trim()
}

fn object(text: &str) -> Result<Object, String> {
    let (molecule, items) = split(text)?;
    let mut object = Object::new();
    let mut put = |name: &str, value: String| object.insert(name.to_owned(), Value::String(value));
    let title = title(text);
    if !title.is_empty() {
        put("id", title.into());
    }
    put("smiles", smiles(molecule)?);
    for (name, value) in data_items(items) {
        match name {
            // Two fields are ours; a data item of such a name is kept beside them.
            "id" if title.is_empty() => put("id", value),
            "id" | "smiles" => put(&format!("item_{name}"), value),
            name => put(name, value),
        };
    }
    Ok(object)
}

/// The molecule with its last line, and what follows.
fn split(text: &str) -> Result<(&str, &str), String> {
    let mut at = 0;
    for (i, line) in text.split_inclusive('\n').enumerate() {
        at += line.len();
        if i >= LINES {
            return Err(format!(
                "has a molecule of more than {LINES} lines; remove it"
            ));
        }
        if i >= 4 && line.trim() == MOLECULE_END {
            return Ok(text.split_at(at));
        }
    }
    Err(format!(
        "has no line `{MOLECULE_END}`, which ends a molecule; it may be cut short"
    ))
}

fn smiles(molecule: &str) -> Result<String, String> {
    let counts = molecule.lines().nth(3).unwrap_or_default().trim_end();
    let read = match counts.ends_with("V3000") {
        true => parse_mol_v3000(molecule),
        false => parse_mol(molecule),
    };
    let (graph, _) =
        read.map_err(|error| format!("has a molecule that cannot be read: {error}"))?;
    // Files with coordinates in space have every hydrogen as an atom.
    let graph = remove_hydrogens(&graph);
    match rdkit_canonical_smiles(&graph) {
        Ok(smiles) if smiles.is_empty() => Err("has a molecule without atoms".into()),
        Ok(smiles) => Ok(smiles),
        Err(RdkitSmilesError::Sanitization(why)) => {
            Err(format!("has a molecule that is not sound: {why}"))
        }
        // Sound, but outside of what that form is defined for.
        Err(RdkitSmilesError::Unsupported(_)) => Ok(canonical_smiles(&graph)),
    }
}

/// `> <NAME>`, then lines up to a blank one.
fn data_items(text: &str) -> Vec<(&str, String)> {
    let mut items: Vec<(&str, String)> = vec![];
    let mut open = false;
    for line in text.lines() {
        match (open, items.last_mut()) {
            (true, _) if line.trim().is_empty() => open = false,
            (true, Some((_, value))) => {
                if !value.is_empty() {
                    value.push('\n');
                }
                value.push_str(line);
            }
            _ => {
                if let Some(name) = item_name(line) {
                    items.push((name, String::new()));
                    open = true;
                }
            }
        }
    }
    items
}

/// The name in a line such as `> 25 <MELTING.POINT> (1)`; also without brackets, by its field number (`> DT12`).
fn item_name(line: &str) -> Option<&str> {
    let rest = line.strip_prefix('>')?;
    let bracketed = rest
        .split_once('<')
        .and_then(|(_, rest)| rest.rsplit_once('>'));
    let name = match bracketed {
        Some((name, _)) => name.trim(),
        None => rest
            .split_whitespace()
            .find(|word| word.starts_with("DT"))?,
    };
    (!name.is_empty()).then_some(name)
}
