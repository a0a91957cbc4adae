//! One field of many rows: what kinds of values it has, how often which, in memory that does not grow with the rows.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
};

use serde_json::Value;

/// Fields with at most so many values are taken for categories.
const CATEGORIES: usize = 12;
/// Most distinct values that are told apart.
const DISTINCT: usize = 1 << 20;

/// What was seen of a field.
#[derive(Debug, Default)]
pub(super) struct Field {
    filled: usize,
    kinds: BTreeSet<&'static str>,
    /// How often each value came, while they are few.
    counts: BTreeMap<String, usize>,
    distinct: HashSet<u64>,
    /// Least and most entries of lists, and of the lists of objects (the genes of a cell).
    entries: Option<(usize, usize)>,
}

impl Field {
    /// Adds the value of a row.
    pub fn add(&mut self, value: &Value) {
        if value.is_null() || value.as_str() == Some("") {
            return;
        }
        self.filled += 1;
        self.kinds.insert(kind(value));
        if let Some(n) = entries(value) {
            let (least, most) = self.entries.unwrap_or((n, n));
            self.entries = Some((least.min(n), most.max(n)));
            return;
        }
        if self.distinct.len() < DISTINCT {
            self.distinct.insert(hash(value));
        }
        if self.counts.len() <= CATEGORIES {
            let shown: String = text(value).chars().take(200).collect();
            *self.counts.entry(shown).or_default() += 1;
        }
    }

    /// One line about it, `rows` being how many rows there are.
    pub fn summary(&self, rows: usize) -> String {
        let kinds: Vec<&str> = self.kinds.iter().copied().collect();
        let missing = match rows.saturating_sub(self.filled) {
            0 => String::new(),
            n => format!(", missing in {n}"),
        };
        let distinct = self.distinct.len();
        let values = match self.entries {
            Some((least, most)) if least == most => format!("{most} entries each"),
            Some((least, most)) => format!("{least} to {most} entries"),
            None if self.counts.len() <= CATEGORIES && distinct < self.filled => {
                let each = self.counts.iter().map(|(value, n)| {
                    let value = value.chars().take(24);
                    let value: String = value
                        .map(|c| if c.is_control() { ' ' } else { c })
                        .collect();
                    format!("{value} × {n}")
                });
                each.collect::<Vec<_>>().join(", ")
            }
            None if distinct >= DISTINCT => format!("more than {DISTINCT} distinct"),
            None => format!("{distinct} distinct"),
        };
        format!("{}: {values}{missing}", kinds.join(" or "))
    }
}

/// A number that is the same for equal values.
pub(super) fn hash(value: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    text(value).hash(&mut hasher);
    hasher.finish()
}

fn text(value: &Value) -> std::borrow::Cow<'_, str> {
    match value {
        Value::String(text) => text.into(),
        other => other.to_string().into(),
    }
}

/// How many entries a list has, or the first list of an object.
fn entries(value: &Value) -> Option<usize> {
    match value {
        Value::Array(items) => Some(items.len()),
        Value::Object(fields) => Some(
            fields
                .values()
                .find_map(Value::as_array)
                .map_or(fields.len(), Vec::len),
        ),
        _ => None,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use serde_json::json;

    fn summary(values: &[Value], rows: usize) -> String {
        let mut field = Field::default();
        values.iter().for_each(|value| field.add(value));
        field.summary(rows)
    }

    #[test]
    fn fields_are_summarised() {
        let sides = [json!("train"), json!("test"), json!("train"), json!("")];
        assert_eq!(
            summary(&sides, 4),
            "text: test × 1, train × 2, missing in 1"
        );
        assert_eq!(summary(&[json!("a\nb"), json!("a\nb")], 2), "text: a b × 2");
        assert_eq!(
            summary(&[json!(1), json!("y")], 2),
            "number or text: 2 distinct"
        );
        let cells = [
            json!({"genes": ["A"], "values": [1]}),
            json!({"genes": ["A", "B"], "values": [1, 2]}),
        ];
        assert_eq!(summary(&cells, 2), "object: 1 to 2 entries");
        let many: Vec<Value> = (0..50).map(|i| json!(i % 40)).collect();
        assert_eq!(summary(&many, 50), "number: 40 distinct");
    }
}
