//! Columns of measured properties, as MoleculeNet ships them, as questions: 0 and 1 become no and yes, other numbers are
//! compared with their median, words are choices. Knows no model.

use std::collections::BTreeSet;

use bioverse_core::Record;

use super::item::{Item, Set, user};
use crate::config::DataSection;
use crate::data::Split;
use crate::error::{Error, Result};
use crate::eval::bench::Bench;
use crate::eval::rows::text_of;

/// More labels than this are no closed set.
const MOST: usize = 64;

/// One labelled record.
struct Labelled {
    id: String,
    modality: String,
    record: Record,
    label: String,
}

/// What a column holds.
#[derive(Debug, PartialEq)]
enum Column {
    /// 0 and 1, or words for them.
    Truth,
    /// Other numbers, with the median they are compared with.
    Above(f64),
    /// Words, sorted.
    Words(Vec<String>),
}

/// Both sides of a file with a column of labels.
///
/// # Errors
/// A column without two values, or with too many words; whatever reading the rows may say.
pub fn read(bench: &Bench<'_>, data: &DataSection) -> Result<Set> {
    let name = data.label_field.clone().unwrap_or_default();
    let eval = side(bench, data, Split::Eval)?;
    let train = match data.split_field {
        Some(_) => side(bench, data, Split::Train)?,
        None => vec![],
    };
    let labels = if train.is_empty() { &eval } else { &train };
    let every = eval.iter().chain(&train).map(|row| row.label.as_str());
    let learnt = labels.iter().map(|row| row.label.as_str());
    let column = Column::of(every, learnt)
        .map_err(|why| Error::Input(format!("{}: column `{name}` {why}", data.train.display())))?;
    let own = bench.request.question.as_deref();
    let item = |row: Labelled| column.item(row, &name, own);
    let mut set = Set {
        modality: eval.first().map(|row| row.modality.clone()),
        eval: eval.into_iter().map(item).collect(),
        train: train.into_iter().map(item).collect(),
        classes: column.classes(),
        common: true,
        positive: 0,
        notes: vec![],
    };
    set.eval.truncate(bench.request.limit.unwrap_or(usize::MAX));
    if let Column::Above(median) = column {
        set.notes.push(format!(
            "`{name}` is a number, so the question is whether it is above {median}, the median of the rows to learn from \
             (without --split-field, of all rows)."
        ));
    }
    Ok(set)
}

fn side(bench: &Bench<'_>, data: &DataSection, split: Split) -> Result<Vec<Labelled>> {
    let rows = bench.read(data, split)?;
    let labelled = rows.into_iter().filter_map(|row| {
        let label = row.example.answer();
        let (modality, record) = row.example.records.into_iter().next()?;
        let id = row.extra.get("id").or_else(|| row.extra.get("mol_id"));
        Some(Labelled {
            id: id.map_or_else(|| format!("row {}", row.number), text_of),
            modality,
            record,
            label,
        })
    });
    Ok(labelled.collect())
}

/// What words and numbers for yes and no mean.
fn truth(label: &str) -> Option<bool> {
    match label.trim().to_lowercase().as_str() {
        "1" | "1.0" | "yes" | "true" | "active" | "positive" => Some(true),
        "0" | "0.0" | "no" | "false" | "inactive" | "negative" => Some(false),
        _ => None,
    }
}

impl Column {
    /// Of all its values, and of those that may be learnt from.
    fn of<'a>(
        every: impl Iterator<Item = &'a str> + Clone,
        learnt: impl Iterator<Item = &'a str>,
    ) -> Result<Self, String> {
        let values: BTreeSet<&str> = every.clone().collect();
        if values.len() < 2 {
            return Err("has fewer than two values, so there is nothing to ask".into());
        }
        if every.clone().all(|label| truth(label).is_some()) {
            return Ok(Self::Truth);
        }
        let number = |label: &str| label.trim().parse::<f64>().ok().filter(|x| x.is_finite());
        if every.clone().all(|label| number(label).is_some()) {
            let mut numbers: Vec<f64> = learnt.filter_map(number).collect();
            numbers.sort_by(f64::total_cmp);
            let (low, high) = ((numbers.len().max(1) - 1) / 2, numbers.len() / 2);
            let median = (numbers[low] + numbers[high]) / 2.0;
            return Ok(Self::Above(median));
        }
        match values.len() > MOST {
            true => Err(format!(
                "holds {} different words, more than {MOST}; name a column with few labels, or with 0 and 1",
                values.len()
            )),
            false => Ok(Self::Words(values.into_iter().map(str::to_owned).collect())),
        }
    }

    fn classes(&self) -> Vec<String> {
        match self {
            Self::Truth | Self::Above(_) => vec!["yes".into(), "no".into()],
            Self::Words(words) => words.clone(),
        }
    }

    /// Place of a label among the classes.
    fn class(&self, label: &str) -> usize {
        let yes = match self {
            Self::Truth => truth(label) == Some(true),
            Self::Above(median) => label.trim().parse::<f64>().is_ok_and(|x| x > *median),
            Self::Words(words) => return words.iter().position(|w| w == label).unwrap_or_default(),
        };
        usize::from(!yes)
    }

    fn question(&self, name: &str) -> String {
        match self {
            Self::Truth => format!("Is {{}} active in {name}? Answer yes or no."),
            Self::Above(median) => format!("Is {name} of {{}} above {median}? Answer yes or no."),
            Self::Words(_) => format!("What is {name} of {{}}?"),
        }
    }

    /// As a question; `own` is asked in place of the usual one.
    fn item(&self, row: Labelled, name: &str, own: Option<&str>) -> Item {
        let question = own.map_or_else(|| self.question(name), str::to_owned);
        let placeholder = format!("<{}>", row.modality);
        let content = match question.contains("{}") {
            true => question.replacen("{}", &placeholder, 1),
            false => format!("{placeholder} {question}"),
        };
        let options = self.classes();
        Item {
            id: row.id,
            kind: name.into(),
            example: user(content, vec![(row.modality, row.record)]),
            passage: None,
            classes: (0..options.len()).collect(),
            answer: self.class(&row.label),
            options,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn of(labels: &[&str]) -> Result<Column, String> {
        Column::of(labels.iter().copied(), labels.iter().copied())
    }

    #[test]
    fn columns_are_recognised() {
        assert_eq!(of(&["1", "0", "1.0"]).unwrap(), Column::Truth);
        assert_eq!(of(&["-3", "1", "2", "4"]).unwrap(), Column::Above(1.5));
        assert_eq!(of(&["-3", "1", "7"]).unwrap(), Column::Above(1.0));
        let words = of(&["kinase", "channel", "kinase"]).unwrap();
        assert_eq!(words.classes(), ["channel", "kinase"]);
        assert_eq!(words.class("kinase"), 1);
        assert!(of(&["1", "1"]).unwrap_err().contains("fewer than two"));
        let many: Vec<String> = (0..100).map(|i| format!("w{i}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(of(&many).unwrap_err().contains("more than 64"));
    }

    #[test]
    fn a_label_becomes_a_question() {
        let row = |label: &str| Labelled {
            id: "m".into(),
            modality: "molecule".into(),
            record: "CCO".into(),
            label: label.into(),
        };
        let item = Column::Truth.item(row("0"), "NR-AR", None);
        let content = "Is <molecule> active in NR-AR? Answer yes or no.";
        assert_eq!(item.example.messages[0].content, content);
        assert_eq!(item.reference(), "no");
        let item = Column::Above(0.5).item(row("0.7"), "log P", Some("Is {} greasy?"));
        assert_eq!(item.example.messages[0].content, "Is <molecule> greasy?");
        assert_eq!(item.reference(), "yes");
    }
}
