//! The columns of a matrix by name, and the entries of a cell as a record.

use std::collections::HashSet;

use serde_json::{Value, json};

/// Names of the columns. A name may stand at several columns; then it stands several times in a record.
#[derive(Debug)]
pub(crate) struct Genes {
    names: Vec<String>,
    /// Columns that count; all, where it is empty.
    kept: Vec<bool>,
    /// Whether values are whole numbers.
    integer: bool,
}

/// The largest whole number up to which every one is a float.
const EXACT: f64 = 9_007_199_254_740_992.0;

impl Genes {
    /// Columns named `names`, of which those in `kept` count (all, where it is empty).
    pub(crate) fn new(names: Vec<String>, kept: Vec<bool>, integer: bool) -> Self {
        Self {
            names,
            kept,
            integer,
        }
    }

    /// How many names occur at more than one column that counts.
    pub(crate) fn repeated(&self) -> usize {
        let mut seen = HashSet::new();
        let names = self.names.iter().enumerate();
        let counted = names.filter(|(column, _)| self.kept.get(*column).copied().unwrap_or(true));
        counted
            .filter(|(_, name)| !seen.insert(name.as_str()))
            .count()
    }

    /// The record of a cell: its non-zero entries in the order of the columns; entries of one column are added up.
    pub(crate) fn record(&self, columns: &[i64], values: &[f64]) -> Result<Value, String> {
        let sorted = columns.is_sorted_by(|a, b| a < b);
        match sorted {
            true => self.listed(columns.iter().copied().zip(values.iter().copied())),
            false => self.listed(summed(columns, values).into_iter()),
        }
    }

    fn listed(&self, entries: impl Iterator<Item = (i64, f64)>) -> Result<Value, String> {
        let (mut genes, mut counts) = (vec![], vec![]);
        for (column, value) in entries {
            let place = usize::try_from(column).ok();
            let Some((place, name)) = place.and_then(|at| Some((at, self.names.get(at)?))) else {
                return Err(format!(
                    "an entry is at column {column} of a matrix with {} genes (columns count from 0); write the file again",
                    self.names.len()
                ));
            };
            if value == 0.0 || !self.kept.get(place).copied().unwrap_or(true) {
                continue;
            }
            if !value.is_finite() {
                return Err(format!(
                    "the value of gene `{name}` is {value}, which is no count; set such values to 0, or choose another layer"
                ));
            }
            genes.push(Value::String(name.clone()));
            counts.push(self.number(value));
        }
        Ok(json!({"genes": genes, "values": counts}))
    }

    #[expect(clippy::cast_possible_truncation, reason = "within ±2^53, and whole")]
    fn number(&self, value: f64) -> Value {
        match self.integer && value.abs() <= EXACT {
            true => Value::from(value as i64),
            false => Value::from(value),
        }
    }
}

fn summed(columns: &[i64], values: &[f64]) -> Vec<(i64, f64)> {
    let mut entries: Vec<(i64, f64)> = columns
        .iter()
        .copied()
        .zip(values.iter().copied())
        .collect();
    entries.sort_by_key(|entry| entry.0);
    let mut all: Vec<(i64, f64)> = Vec::with_capacity(entries.len());
    for (column, value) in entries {
        match all.last_mut() {
            Some(last) if last.0 == column => last.1 += value,
            _ => all.push((column, value)),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn genes(kept: &[bool], integer: bool) -> Genes {
        let names = ["CD3D", "MS4A1", "NKG7"].map(String::from).to_vec();
        Genes::new(names, kept.to_vec(), integer)
    }

    #[test]
    fn zeros_are_left_out_and_order_is_that_of_the_columns() {
        let record = genes(&[], true).record(&[2, 0, 1], &[3.0, 1.0, 0.0]);
        let expected = json!({"genes": ["CD3D", "NKG7"], "values": [1, 3]});
        assert_eq!(record.unwrap(), expected);
    }

    #[test]
    fn entries_of_one_column_are_added() {
        let record = genes(&[], false).record(&[1, 1, 0], &[0.5, 0.25, 1.0]);
        let expected = json!({"genes": ["CD3D", "MS4A1"], "values": [1.0, 0.75]});
        assert_eq!(record.unwrap(), expected);
    }

    #[test]
    fn columns_that_do_not_count_are_left_out() {
        let genes = genes(&[true, false, true], true);
        let record = genes.record(&[0, 1, 2], &[1.0, 2.0, 3.0]).unwrap();
        assert_eq!(record, json!({"genes": ["CD3D", "NKG7"], "values": [1, 3]}));
    }

    #[test]
    fn bad_entries_name_the_gene_or_the_column() {
        let genes = genes(&[], false);
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let problem = genes.record(&[1], &[value]).unwrap_err();
            assert!(problem.contains("MS4A1"), "{problem}");
        }
        for column in [-1, 3, i64::MAX] {
            let problem = genes.record(&[column], &[1.0]).unwrap_err();
            assert!(problem.contains(&column.to_string()), "{problem}");
        }
        assert_eq!(
            genes.record(&[], &[]).unwrap(),
            json!({"genes": [], "values": []})
        );
    }

    #[test]
    fn repeated_names_are_counted() {
        let names = ["A", "B", "A", "A"].map(String::from).to_vec();
        assert_eq!(Genes::new(names.clone(), vec![], true).repeated(), 2);
        let kept = vec![true, true, false, false];
        assert_eq!(Genes::new(names, kept, true).repeated(), 0);
    }
}
