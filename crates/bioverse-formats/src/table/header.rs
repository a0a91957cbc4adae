//! Names of columns: from the first line, or numbers where it holds none.

use std::{collections::BTreeMap, sync::Arc};

use crate::smiles;

/// The fewest letters that make a word of capitals a sequence rather than a name.
const SEQUENCE: usize = 20;

/// Whether a first line names columns. It is taken for a row only where it certainly is one: a field is a molecule or a
/// sequence, or a number beside something that may be a molecule.
pub(super) fn is_one(first: &csv::StringRecord) -> bool {
    let fields = || {
        first
            .iter()
            .map(str::trim)
            .filter(|field| !field.is_empty())
    };
    let sequence = |field: &str| {
        field.len() >= SEQUENCE
            && field
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte == b'*')
    };
    let molecule = |field: &str| smiles::has_structure(field) && smiles::parses(field);
    let number = |field: &str| field.parse::<f64>().is_ok_and(f64::is_finite);
    let certain = fields().any(|field| sequence(field) || molecule(field));
    let mixed =
        fields().any(number) && fields().any(|field| !number(field) && smiles::parses(field));
    !(certain || mixed)
}

/// The names of a header. A column without a name is called after its place.
pub(super) fn names(first: &csv::StringRecord) -> Result<Arc<[String]>, String> {
    let mut seen = BTreeMap::new();
    let mut names = vec![];
    for (i, field) in first.iter().enumerate() {
        let name = match field.trim() {
            "" => place(i),
            name => name.to_owned(),
        };
        if seen.insert(name.clone(), i).is_some() {
            return Err(format!("has two columns called `{name}`; rename one"));
        }
        names.push(name);
    }
    Ok(names.into())
}

/// `column_1`, `column_2`, …
pub(super) fn numbered(columns: usize) -> Arc<[String]> {
    (0..columns).map(place).collect()
}

fn place(i: usize) -> String {
    format!("column_{}", i + 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_first_line_is_a_row_only_where_it_certainly_is_one() {
        let is = |fields: &[&str]| is_one(&csv::StringRecord::from(fields.to_vec()));
        for header in [
            &["smiles", "label"][..],
            &["", "smiles", "0", "1", "2"],
            &["name", "pIC50 (nM)", "C"],
            &["N", "CO", "I"],
            &["id"],
            &["SMILES", "ACTIVITY_COMMENT"],
            &["a", "b"],
            &["PROTEIN_SEQUENCE_IN_FULL"],
        ] {
            assert!(is(header), "{header:?}");
        }
        for row in [
            &["CC(=O)O", "acid"][..],
            &["CCO", "1"],
            &["0.5", "c1ccccc1"],
            &["MKTAYIAKQRQISFVKSHFSRQ", "kinase"],
        ] {
            assert!(!is(row), "{row:?}");
        }
    }

    #[test]
    fn nameless_columns_are_numbered_and_two_of_a_name_are_refused() {
        let of = |fields: &[&str]| names(&csv::StringRecord::from(fields.to_vec()));
        assert_eq!(of(&["", " b "]).unwrap()[..], ["column_1", "b"]);
        assert!(of(&["a", "a"]).unwrap_err().contains("`a`"));
        assert!(of(&["", "column_1"]).unwrap_err().contains("`column_1`"));
    }
}
