//! Which facts does a text name, and are they true of the record? Facts are the names that a row carries beside its text
//! (`facts`: class, roles, groups, family …). How the text came about is not known here.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::eval::metrics::words;
use crate::eval::text::porter::stem;

/// A name said right behind one of these is denied, not claimed.
const DENIALS: [&str; 4] = ["no", "not", "without", "nor"];

/// The names that a row says are true of its record, as they are compared: stems of words, lower case.
pub type Facts = BTreeSet<Name>;
/// A name as stems.
pub type Name = Vec<String>;

/// All strings in `facts`, lists and objects within it included; numbers and truth values are no names. Nothing where the
/// row has no such field.
pub fn of(row: &serde_json::Map<String, Value>) -> Option<Facts> {
    let mut facts = Facts::new();
    collect(row.get("facts")?, &mut facts);
    Some(facts)
}

fn collect(value: &Value, into: &mut Facts) {
    match value {
        Value::String(text) => {
            let name = stems(text);
            if !name.is_empty() {
                into.insert(name);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
        Value::Object(fields) => fields.values().for_each(|value| collect(value, into)),
        _ => {}
    }
}

fn stems(text: &str) -> Name {
    words(text).iter().map(|word| stem(word)).collect()
}

/// Names that texts of this kind use.
#[derive(Debug, Default)]
pub struct Vocabulary {
    /// By first stem, the longest first.
    names: BTreeMap<String, Vec<Name>>,
}

impl Vocabulary {
    /// Those facts that at least one reference names of its own record: what no text ever says (a formula, an identifier)
    /// cannot be asked of a description.
    pub fn of<'a>(rows: impl Iterator<Item = (&'a Facts, &'a str)> + Clone) -> Self {
        let all = rows.clone().flat_map(|(facts, _)| facts);
        let all = Self::new(all.cloned().collect());
        let said = rows.flat_map(|(facts, text)| {
            let named = all.named(text).into_iter();
            named.filter(|name| facts.contains(name)).collect::<Facts>()
        });
        Self::new(said.collect())
    }

    fn new(names: Facts) -> Self {
        let mut by_first: BTreeMap<String, Vec<Name>> = BTreeMap::new();
        for name in names {
            if let Some(first) = name.first() {
                by_first.entry(first.clone()).or_default().push(name);
            }
        }
        for names in by_first.values_mut() {
            names.sort_by_key(|name| std::cmp::Reverse(name.len()));
        }
        Self { names: by_first }
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.names.values().map(Vec::len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Facts that count.
    pub fn known(&self, facts: &Facts) -> Facts {
        let known = |name: &&Name| {
            let names = name.first().and_then(|first| self.names.get(first));
            names.is_some_and(|names| names.contains(name))
        };
        facts.iter().filter(known).cloned().collect()
    }

    /// The names in a text. Of names that begin at the same word the longest counts, and words of one name are not part of
    /// another ("human metabolite" is not "metabolite"); a name behind `no`, `not`, `without` or `nor` is left out.
    pub fn named(&self, text: &str) -> Facts {
        let plain = words(text);
        let stems: Vec<String> = plain.iter().map(|word| stem(word)).collect();
        let mut found = Facts::new();
        let mut at = 0;
        while at < stems.len() {
            let here = self.names.get(&stems[at]);
            let name = here.and_then(|names| names.iter().find(|n| stems[at..].starts_with(n)));
            let denied = at > 0 && DENIALS.contains(&plain[at - 1].as_str());
            match name {
                Some(name) => {
                    if !denied {
                        found.insert(name.clone());
                    }
                    at += name.len();
                }
                None => at += 1,
            }
        }
        found
    }
}

/// How well what was named agrees with what is true.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Agreement {
    /// Names that are true.
    pub right: usize,
    /// Names.
    pub named: usize,
    /// Facts that could have been named.
    pub due: usize,
}

impl Agreement {
    /// Between names in a text and facts of its record.
    pub fn between(named: &Facts, due: &Facts) -> Self {
        Self {
            right: named.intersection(due).count(),
            named: named.len(),
            due: due.len(),
        }
    }

    /// Share of the names that are true; 0 without names.
    pub fn precision(&self) -> f64 {
        self.right as f64 / self.named.max(1) as f64
    }

    /// Share of the facts that are named; 0 without facts.
    pub fn recall(&self) -> f64 {
        self.right as f64 / self.due.max(1) as f64
    }

    /// Harmonic mean of both.
    pub fn f1(&self) -> f64 {
        2.0 * self.right as f64 / (self.named + self.due).max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use serde_json::json;

    fn facts(value: Value) -> Facts {
        of(json!({ "facts": value }).as_object().unwrap()).unwrap()
    }

    #[test]
    fn names_are_found_whatever_their_number_and_longest_first() {
        let row = facts(json!({
            "class": "fatty acid", "roles": ["human metabolite", "metabolite"], "rings": 0,
            "groups": ["carboxylic acid", "ketone"], "formula": "C5H8O3", "empty": ""
        }));
        assert_eq!(row.len(), 6, "numbers and empty names are none");
        let text = "A fatty acid with two carboxylic acids and no ketone; a human metabolite.";
        let vocabulary = Vocabulary::of([(&row, text)].into_iter());
        let named = vocabulary.named(text);
        assert_eq!(
            named,
            facts(json!(["fatty acid", "carboxylic acid", "human metabolite"]))
        );
        assert_eq!(
            vocabulary.len(),
            3,
            "only what some text names of its record"
        );
        assert_eq!(vocabulary.known(&row).len(), 3);
    }

    #[test]
    fn agreement_by_hand() {
        let due = facts(json!(["amide", "ester", "ketone", "phenol"]));
        let named = facts(json!(["amide", "ether"]));
        let got = Agreement::between(&named, &due);
        assert_eq!((got.precision(), got.recall()), (0.5, 0.25));
        assert!((got.f1() - 1.0 / 3.0).abs() < 1e-12);
        let silent = Agreement::between(&Facts::new(), &due);
        assert_eq!(
            (silent.precision(), silent.recall(), silent.f1()),
            (0.0, 0.0, 0.0)
        );
    }

    #[test]
    fn rows_without_facts_have_none() {
        assert!(of(json!({"text": "x"}).as_object().unwrap()).is_none());
    }
}
