//! The closed set of labels: what each is called, which answer stands for it, and how it is asked for. Found in the rows,
//! not written here: a column whose values go with the labels one to one holds other names of them, or their terms in an
//! ontology. Numbers are no names, whatever they go with: clusters are counted in most files.

use std::collections::{BTreeMap, BTreeSet};

use bioverse_core::placeholder::unescape;

use super::mapping::Names;
use super::rows::{self, Labelled, Sides};
use crate::{
    config::DataSection,
    data::{Row, Split, read_split},
    eval::{Bench, rows as named},
};

/// A label.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    /// As the measured file has it.
    pub name: String,
    /// All its names, this one first.
    pub names: Vec<String>,
    /// Its term in an ontology (`CL:0000236`).
    pub term: Option<String>,
    /// The answer that stands for it.
    pub answer: String,
}

/// What is asked and what may be answered.
#[derive(Debug, Clone)]
pub struct Closed {
    /// The set, sorted by name.
    pub labels: Vec<Label>,
    /// The user's turn, with the placeholder.
    pub question: String,
    /// Where question and answers are from.
    pub origin: String,
}

impl Closed {
    /// Which label a row has.
    pub fn place(&self, name: &str) -> Option<usize> {
        let found = self
            .labels
            .binary_search_by(|label| label.name.as_str().cmp(name));
        found.ok()
    }

    /// The names of the set.
    pub fn names(&self) -> Vec<String> {
        self.labels.iter().map(|label| label.name.clone()).collect()
    }
}

/// The labels of the rows to learn from; where none of the measured rows has one of those, the labels of the measured rows.
fn set(sides: &Sides) -> Vec<String> {
    let of = |rows: &[Labelled]| -> BTreeSet<String> {
        rows.iter().map(|row| row.label.clone()).collect()
    };
    let (train, eval) = (of(&sides.train), of(&sides.eval));
    let chosen = match train.is_disjoint(&eval) {
        true => eval,
        false => train,
    };
    chosen.into_iter().collect()
}

/// The set with its wording.
pub fn close(bench: &Bench<'_>, modality: &str, sides: &Sides) -> crate::error::Result<Closed> {
    let mut labels = named_labels(&set(sides), sides);
    let mut tuned = Tuned::default();
    let names = Names::of(&labels);
    if let Some(section) = rows::tuned_with(&bench.session.bundle)? {
        for (source, _) in section.sources() {
            tuned.read(bench, &source, modality, &names);
        }
    }
    let word = tuned.word(&mut labels);
    let placeholder = format!("<{modality}>");
    let (question, from) = match (&bench.request.question, tuned.question()) {
        (Some(given), _) if given.contains(&placeholder) => (given.clone(), "as given"),
        (Some(given), _) if given.contains("{}") => {
            (given.replacen("{}", &placeholder, 1), "as given")
        }
        (Some(given), _) => (format!("{placeholder} {given}"), "as given"),
        (None, Some(tuned)) => (tuned, "the most frequent one the bundle was tuned with"),
        (None, None) => (
            format!("What is the type of {placeholder}?"),
            "one it was not tuned with",
        ),
    };
    let words = match word {
        0 => "no answer of its tuning names a label, so the labels themselves are scored".into(),
        n => format!(
            "{n} of {} labels are scored as the answers of its tuning name them",
            labels.len()
        ),
    };
    Ok(Closed {
        origin: format!("Asked: \"{question}\" ({from}); {words}."),
        labels,
        question,
    })
}

/// Labels with what the rows say about them.
fn named_labels(names: &[String], sides: &Sides) -> Vec<Label> {
    let rows = || sides.train.iter().chain(&sides.eval);
    let fields: BTreeSet<&String> = rows().flat_map(|row| row.fields.keys()).collect();
    let columns: Vec<BTreeMap<&str, &str>> = fields
        .iter()
        .filter_map(|field| beside(names, rows(), field))
        .collect();
    let label = |name: &String| {
        let values = columns
            .iter()
            .filter_map(|column| column.get(name.as_str()).copied());
        let values: Vec<String> = values.map(str::to_owned).collect();
        let (terms, others): (Vec<String>, Vec<String>) =
            values.into_iter().partition(|value| is_term(value));
        let others = others.into_iter().filter(|other| other != name);
        let mut names = vec![name.clone()];
        names.extend(others.filter(|other| other.chars().any(char::is_alphabetic)));
        Label {
            name: name.clone(),
            answer: spelled_out(&names).to_owned(),
            names,
            term: terms.into_iter().next(),
        }
    };
    names.iter().map(label).collect()
}

/// The name that says most to a reader of prose: the first one that has the label in it and more (`B cell` for `B`); else the
/// label itself, since another column may call it anything.
fn spelled_out(names: &[String]) -> &str {
    let [name, others @ ..] = names else {
        return "";
    };
    let longer = others
        .iter()
        .find(|other| other.to_lowercase().contains(&name.to_lowercase()));
    longer.unwrap_or(name)
}

/// Label → value of a column, where every label has exactly one value and no two have the same.
fn beside<'a>(
    names: &[String],
    rows: impl Iterator<Item = &'a Labelled>,
    field: &str,
) -> Option<BTreeMap<&'a str, &'a str>> {
    let mut found: BTreeMap<&str, &str> = BTreeMap::new();
    for row in rows.filter(|row| names.contains(&row.label)) {
        let value = row.fields.get(field)?;
        if *found.entry(&row.label).or_insert(value) != value {
            return None;
        }
    }
    let values: BTreeSet<&&str> = found.values().collect();
    // One label alone goes with every column that is the same everywhere.
    (found.len() > 1 && values.len() == found.len()).then_some(found)
}

/// `CL:0000236`
fn is_term(value: &str) -> bool {
    value.split_once(':').is_some_and(|(space, number)| {
        !space.is_empty()
            && space.chars().all(|c| c.is_ascii_alphabetic())
            && !number.is_empty()
            && number.chars().all(|c| c.is_ascii_digit())
    })
}

/// Questions that ask for labels, and their answers, as the bundle was tuned with.
#[derive(Default)]
struct Tuned {
    questions: BTreeMap<String, usize>,
    answers: BTreeMap<String, usize>,
}

impl Tuned {
    /// Counts the rows of one source that ask for labels: instruction rows of a kind that does, and plain pairs whose every
    /// text names one. A source that cannot be read any more tells nothing.
    fn read(&mut self, bench: &Bench<'_>, source: &DataSection, modality: &str, names: &Names) {
        let modalities = bench.plan.names();
        let Ok(rows) = read_split(source, Split::Train, &modalities, bench.registry) else {
            return;
        };
        let about =
            |row: &Row| matches!(row.example.records.as_slice(), [(name, _)] if name == modality);
        let mut rows: Vec<Row> = rows.into_iter().filter(about).collect();
        if is_pairs(source) {
            if rows.iter().any(|row| names.map(&answer(row)).is_none()) {
                return;
            }
        } else {
            let wanted = bench.request.data.as_ref();
            let field = wanted.and_then(|data| data.label_field.as_deref());
            let kind = rows::kind(&rows, field);
            rows.retain(|row| Some(named::kind_of(&row.extra)) == kind);
        }
        self.count(&rows);
    }

    fn count(&mut self, rows: &[Row]) {
        for row in rows {
            if let [question, ..] = row.example.messages.as_slice()
                && question.role == "user"
            {
                *self.questions.entry(question.content.clone()).or_default() += 1;
                *self.answers.entry(answer(row)).or_default() += 1;
            }
        }
    }

    /// The most frequent question; ties go to the first in alphabetical order.
    fn question(&self) -> Option<String> {
        most(&self.questions)
    }

    /// Gives labels the answers that name them; how many got one. The others are worded like the most frequent one.
    fn word(&self, labels: &mut [Label]) -> usize {
        let names = Names::of(labels);
        let mut answers: Vec<BTreeMap<String, usize>> = vec![BTreeMap::new(); labels.len()];
        for (answer, count) in &self.answers {
            if let Some(place) = names.map(answer) {
                answers[place].insert(answer.clone(), *count);
            }
        }
        let mut worded = 0;
        let mut frame: BTreeMap<(String, String), usize> = BTreeMap::new();
        for (label, answers) in labels.iter_mut().zip(&answers) {
            let Some(answer) = most(answers) else {
                continue;
            };
            worded += 1;
            // "B cell" before "B", which would leave "cell" to the frame.
            let mut names: Vec<&String> = label.names.iter().collect();
            names.sort_by_key(|name| std::cmp::Reverse(name.len()));
            for name in names {
                if let Some((before, after)) = answer.split_once(name.as_str()) {
                    *frame.entry((before.into(), after.into())).or_default() += 1;
                    break;
                }
            }
            label.answer = answer;
        }
        let frame = frame.into_iter().max_by_key(|(_, count)| *count);
        if let Some(((before, after), _)) = frame {
            let rest = labels.iter_mut().zip(&answers);
            for (label, _) in rest.filter(|(_, answers)| answers.is_empty()) {
                label.answer = format!("{before}{}{after}", label.answer);
            }
        }
        worded
    }
}

/// Whether the rows of a source are a record and a text each.
fn is_pairs(source: &DataSection) -> bool {
    source.text_field.is_some() || source.label_field.is_some()
}

/// What was to be answered, as it reads.
fn answer(row: &Row) -> String {
    unescape(&row.example.answer())
}

/// Of equally frequent ones the first in alphabetical order.
fn most(counts: &BTreeMap<String, usize>) -> Option<String> {
    let best = counts
        .iter()
        .reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.map(|(text, _)| text.clone())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn row(label: &str, fields: &[(&str, &str)]) -> Labelled {
        let fields = fields.iter();
        Labelled {
            id: String::new(),
            record: serde_json::Value::Null,
            label: label.into(),
            fields: fields
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect(),
        }
    }

    fn sides() -> Sides {
        let cell = |label: &str, name: &str, term: &str, id: &str| {
            row(
                label,
                &[
                    ("name", name),
                    ("ontology", term),
                    ("lineage", "x"),
                    ("id", id),
                ],
            )
        };
        Sides {
            train: vec![
                cell("NK", "natural killer cell", "CL:0000623", "1"),
                cell("B", "B cell", "CL:0000236", "2"),
                cell("B", "B cell", "CL:0000236", "3"),
            ],
            eval: vec![row(
                "NK",
                &[
                    ("name", "natural killer cell"),
                    ("ontology", "CL:0000623"),
                    ("id", "4"),
                    ("lineage", "x"),
                ],
            )],
            notes: vec![],
        }
    }

    #[test]
    fn columns_that_go_with_labels_are_names_and_terms() {
        let labels = named_labels(&set(&sides()), &sides());
        assert_eq!(labels[0].names, ["B", "B cell"]);
        assert_eq!(labels[1].names, ["NK", "natural killer cell"]);
        assert_eq!(labels[1].term.as_deref(), Some("CL:0000623"));
    }

    #[test]
    fn the_number_of_a_cluster_is_no_name() {
        let cell = |label: &str, cluster: &str, short: &str| {
            row(label, &[("seurat_clusters", cluster), ("short", short)])
        };
        let sides = Sides {
            train: vec![cell("B cells", "3", "Bc"), cell("NK cells", "6", "NKc")],
            eval: vec![cell("B cells", "3", "Bc")],
            notes: vec![],
        };
        let labels = named_labels(&set(&sides), &sides);
        assert_eq!(labels[0].names, ["B cells", "Bc"]);
        assert_eq!(labels[0].answer, "B cells");
        assert_eq!(labels[1].answer, "NK cells");
    }

    #[test]
    fn answers_of_the_tuning_word_the_labels() {
        let mut labels = named_labels(&set(&sides()), &sides());
        let mut tuned = Tuned::default();
        tuned
            .answers
            .insert("It is a natural killer cell.".into(), 3);
        assert_eq!(tuned.word(&mut labels), 1);
        assert_eq!(labels[1].answer, "It is a natural killer cell.");
        assert_eq!(labels[0].answer, "It is a B cell.");
        tuned.answers.clear();
        let mut labels = named_labels(&set(&sides()), &sides());
        assert_eq!(tuned.word(&mut labels), 0);
        assert_eq!(labels[0].answer, "B cell");
    }

    #[test]
    fn labels_nobody_learnt_are_a_set_of_their_own() {
        let mut sides = sides();
        sides.eval[0].label = "T".into();
        assert_eq!(set(&sides), ["T"]);
        sides.eval.push(row("B", &[]));
        assert_eq!(set(&sides), ["B", "NK"]);
    }
}
