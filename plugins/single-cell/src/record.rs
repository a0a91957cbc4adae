//! One cell as a data file holds it: names of genes and their values. No vocabulary and no model is known here.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

use crate::error::CellError;

/// Larger than any measurement, and small enough that a million of them add up in f32.
const LARGEST: f32 = 1e30;

/// `{"genes": ["CD3D", …], "values": [3, …]}`: the genes with a value above 0 and their values, in any order. Genes with the
/// value 0 may be there; they change nothing.
///
/// ```
/// use bioverse_single_cell::CellRecord;
///
/// let cell: CellRecord = serde_json::from_str(r#"{"genes": ["CD3D", "LYZ"], "values": [3, 1.5]}"#)?;
/// assert_eq!(cell.entries().collect::<Vec<_>>(), [("CD3D", 3.0), ("LYZ", 1.5)]);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a cell, which is written {\"genes\": [names], \"values\": [numbers]}"
)]
pub struct CellRecord {
    /// Names.
    pub genes: GeneNames,
    /// A value for every name.
    #[serde(deserialize_with = "numbers")]
    pub values: Vec<f32>,
}

impl CellRecord {
    /// Names with their values, as far as there are both.
    pub fn entries(&self) -> impl Iterator<Item = (&str, f32)> + Clone {
        self.genes.iter().zip(self.values.iter().copied())
    }

    /// The names that have a value above 0, with their values.
    ///
    /// # Errors
    /// Names and values of different number, a value that is negative or no finite number, a cell in which nothing is above
    /// 0.
    pub fn expressed(&self) -> Result<Vec<(&str, f32)>, CellError> {
        let (genes, values) = (self.genes.len(), self.values.len());
        if genes != values {
            return Err(CellError::Lengths { genes, values });
        }
        let mut expressed = Vec::with_capacity(values);
        for (gene, value) in self.entries() {
            if value < 0.0 {
                let gene = gene.to_owned();
                return Err(CellError::Negative { gene, value });
            }
            // NaN is not in the range either.
            if !(0.0..LARGEST).contains(&value) {
                return Err(CellError::NotFinite(gene.to_owned()));
            }
            if value > 0.0 {
                expressed.push((gene, value));
            }
        }
        match expressed.is_empty() {
            true => Err(CellError::Empty),
            false => Ok(expressed),
        }
    }
}

/// Names one behind the other: a cell has thousands, and a string each would be thousands of allocations.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GeneNames {
    text: String,
    ends: Vec<usize>,
}

impl GeneNames {
    /// How many.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Appends a name.
    pub fn push(&mut self, name: &str) {
        self.text.push_str(name);
        self.ends.push(self.text.len());
    }

    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = &str> + Clone {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let spans = starts.zip(self.ends.iter().copied());
        spans.map(|(start, end)| self.text.get(start..end).unwrap_or_default())
    }
}

impl<'a> FromIterator<&'a str> for GeneNames {
    fn from_iter<I: IntoIterator<Item = &'a str>>(names: I) -> Self {
        let mut all = Self::default();
        names.into_iter().for_each(|name| all.push(name));
        all
    }
}

impl<'de> Deserialize<'de> for GeneNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Names)
    }
}

struct Names;

impl<'de> Visitor<'de> for Names {
    type Value = GeneNames;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of gene names")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<GeneNames, A::Error> {
        let mut all = GeneNames::default();
        while names.next_element_seed(Append(&mut all))?.is_some() {}
        Ok(all)
    }
}

/// Appends the name it reads.
struct Append<'a>(&'a mut GeneNames);

impl<'de> DeserializeSeed<'de> for Append<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Append<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a gene, a string")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<(), E> {
        self.0.push(name);
        Ok(())
    }
}

/// A number as it may be written: whole or not, or `null`, which is what JSON makes of NaN.
struct Number(f32);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyNumber)
    }
}

struct AnyNumber;

impl Visitor<'_> for AnyNumber {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Number, E> {
        Ok(Number(value as f32))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Number, E> {
        Ok(Number(value as f32))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Number, E> {
        Ok(Number(value as f32))
    }

    fn visit_unit<E: Error>(self) -> Result<Number, E> {
        Ok(Number(f32::NAN))
    }
}

fn numbers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f32>, D::Error> {
    let numbers = Vec::<Number>::deserialize(deserializer)?;
    Ok(numbers.into_iter().map(|number| number.0).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn parsed(record: Value) -> Result<CellRecord, serde_json::Error> {
        CellRecord::deserialize(&record)
    }

    #[test]
    fn numbers_may_be_whole_or_not_and_zeros_are_left_out() {
        let cell = parsed(json!({"genes": ["B", "A", "", "C"], "values": [3, 0.5, 7, 0.0]}));
        let cell = cell.unwrap();
        assert_eq!(cell.genes.len(), 4);
        assert_eq!(
            cell.expressed().unwrap(),
            [("B", 3.0), ("A", 0.5), ("", 7.0)]
        );
    }

    #[test]
    fn what_is_no_cell_is_refused_in_one_sentence() {
        for (record, wanted) in [
            (
                json!({"genes": ["A"], "values": [1, 2]}),
                "1 gene but 2 values",
            ),
            (
                json!({"genes": ["A", "B"], "values": []}),
                "2 genes but 0 values",
            ),
            (
                json!({"genes": [], "values": []}),
                "no gene has a value above 0",
            ),
            (
                json!({"genes": ["A"], "values": [0]}),
                "no gene has a value above 0",
            ),
            (
                json!({"genes": ["A", "B"], "values": [1, -0.25]}),
                "the value of `B` is -0.25",
            ),
            (
                json!({"genes": ["A"], "values": [null]}),
                "the value of `A` is not a finite number",
            ),
            (
                json!({"genes": ["A"], "values": [1e300]}),
                "the value of `A` is not a finite number",
            ),
            (
                json!({"genes": ["A"], "values": ["3"]}),
                "invalid type: string \"3\", expected a number",
            ),
            (
                json!({"genes": [7157], "values": [3]}),
                "expected the name of a gene, a string",
            ),
            (
                json!({"genes": "A", "values": [3]}),
                "expected a list of gene names",
            ),
            (json!({"genes": ["A"]}), "missing field `values`"),
            (
                json!({"genes": ["A"], "values": [1], "layer": "x"}),
                "unknown field `layer`",
            ),
            (
                json!("MKT"),
                "expected a cell, which is written {\"genes\": [names]",
            ),
            (Value::Null, "expected a cell"),
        ] {
            let refused = match parsed(record.clone()) {
                Ok(cell) => cell.expressed().unwrap_err().to_string(),
                Err(error) => error.to_string(),
            };
            assert!(refused.contains(wanted), "{record}: {refused}");
            assert!(!refused.contains('\n'));
        }
    }

    proptest! {
        /// Whatever the numbers are, a cell is refused or every value of it is finite and above 0.
        #[test]
        fn no_value_slips_through(genes in prop::collection::vec(".{0,6}", 0..6), values in prop::collection::vec(any::<f64>(), 0..6)) {
            let cell = parsed(json!({"genes": genes, "values": values})).unwrap();
            prop_assert_eq!(cell.genes.iter().collect::<Vec<_>>(), genes);
            if let Ok(expressed) = cell.expressed() {
                prop_assert!(expressed.iter().all(|(_, value)| value.is_finite() && *value > 0.0));
                prop_assert!(!expressed.is_empty());
            }
        }
    }
}
