//! A knowledge graph as yes/no questions: nodes with records, edges between them. It knows no model; which pairs are no edge
//! is for [`negatives`](super::negatives) to say.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use bioverse_core::{Example, Message, Record};
use serde_json::Value;

use super::negatives::negatives;
use super::wording::Wording;
use crate::config::DataSection;
use crate::data::rows::{Object, read_rows, row_error};
use crate::data::{Split, spread};
use crate::error::{Error, Result};
use crate::eval::rows::Row;

/// The same graph gives the same questions, whichever bundle is asked.
const SEED: u64 = 20_251_122;
/// Fields in which nodes carry the record of a modality, besides the one named like it; of several records the first counts.
const FIELDS: [(&str, &[&str]); 5] = [
    ("molecule", &["smiles"]),
    ("protein", &["seq", "sequence"]),
    ("dna", &["dna"]),
    ("cell", &["cell"]),
    ("text", &["text"]),
];

/// Edges whose two ends have records that the bundle reads.
pub struct Graph {
    /// Ids of the nodes in use.
    ids: Vec<String>,
    /// Modality and record of each.
    ends: Vec<(String, Record)>,
    edges: Vec<Edge>,
    /// Pairs with any relation, either way.
    known: HashSet<(usize, usize)>,
    /// Edges left out because an end has no record.
    pub left_out: usize,
}

struct Edge {
    source: usize,
    relation: String,
    target: usize,
    /// What the split field says, where there is one.
    side: Option<String>,
}

/// Questions, and what was not asked.
pub struct Questions {
    /// Yes and no in turn.
    pub rows: Vec<Row>,
    /// Edges for which no negative was found; they are not asked about.
    pub unmatched: usize,
    /// Edges on this side.
    pub edges: usize,
}

impl Graph {
    /// Reads both files; `modalities` are those of the bundle, `data` names the edges and their split.
    ///
    /// # Errors
    /// A file that cannot be read, a row without `id`, `source`, `relation` or `target`, a graph of which no edge can be asked.
    pub fn read(nodes: &Path, data: &DataSection, modalities: &[String]) -> Result<Self> {
        let mut graph = Self {
            ids: vec![],
            ends: vec![],
            edges: vec![],
            known: HashSet::new(),
            left_out: 0,
        };
        let mut places = HashMap::new();
        for (number, row) in read_rows(nodes)? {
            let id = name(nodes, number, &row, "id")?;
            if let Some(end) = record_of(&row, modalities) {
                places.insert(id.clone(), graph.ends.len());
                graph.ids.push(id);
                graph.ends.push(end);
            }
        }
        let file = &data.train;
        for (number, row) in read_rows(file)? {
            let side = data.split_field.as_ref();
            let side = side
                .map(|field| name(file, number, &row, field))
                .transpose()?;
            let of = |field| name(file, number, &row, field);
            let (source, relation, target) = (of("source")?, of("relation")?, of("target")?);
            match (places.get(&source), places.get(&target)) {
                (Some(source), Some(target)) => graph.add(*source, relation, *target, side),
                _ => graph.left_out += 1,
            }
        }
        match graph.edges.is_empty() {
            true => Err(Error::Input(format!(
                "{}: no edge has records of the bundle's modalities ({}) at both ends; nodes carry them in `smiles`, `seq`, \
                 `text` or a field named like the modality ({})",
                file.display(),
                modalities.join(", "),
                nodes.display()
            ))),
            false => Ok(graph),
        }
    }

    fn add(&mut self, source: usize, relation: String, target: usize, side: Option<String>) {
        self.known.extend([(source, target), (target, source)]);
        self.edges.push(Edge {
            source,
            relation,
            target,
            side,
        });
    }

    /// The questions of one side, at most `limit` spread evenly over its edges; their words are those of `wording`.
    pub fn questions(
        &self,
        data: &DataSection,
        split: Split,
        limit: usize,
        wording: &Wording,
    ) -> Questions {
        let wanted = match split {
            Split::Train => &data.train_split,
            Split::Eval => &data.eval_split,
        };
        let here = self.edges.iter().filter(|edge| match &edge.side {
            Some(side) => side == wanted,
            None => true,
        });
        let here: Vec<&Edge> = here.collect();
        let chosen = spread(here.len(), limit.div_ceil(2)).into_iter();
        // Only ends of one kind can take each other's place.
        let mut alike: BTreeMap<(&str, &str, &str), Vec<&Edge>> = BTreeMap::new();
        for edge in chosen.map(|at| here[at]) {
            let kind = (
                edge.relation.as_str(),
                self.ends[edge.source].0.as_str(),
                self.ends[edge.target].0.as_str(),
            );
            alike.entry(kind).or_default().push(edge);
        }
        let (mut rows, mut unmatched) = (vec![], 0);
        for ((relation, ..), edges) in alike {
            let pairs: Vec<(usize, usize)> = edges
                .iter()
                .map(|edge| (edge.source, edge.target))
                .collect();
            for (pair, negative) in pairs.iter().zip(negatives(&pairs, &self.known, SEED)) {
                let Some(negative) = negative else {
                    unmatched += 1;
                    continue;
                };
                rows.push(self.row(relation, *pair, true, wording));
                rows.push(self.row(relation, negative, false, wording));
            }
        }
        Questions {
            rows,
            unmatched,
            edges: here.len(),
        }
    }

    fn row(
        &self,
        relation: &str,
        (source, target): (usize, usize),
        yes: bool,
        wording: &Wording,
    ) -> Row {
        let ends = [&self.ends[source], &self.ends[target]];
        let (messages, records) = wording.ask(relation, ends, yes);
        Row {
            id: format!("{} {relation} {}", self.ids[source], self.ids[target]),
            kind: relation.to_owned(),
            example: Example {
                messages,
                records,
                group: None,
            },
        }
    }
}

/// The first record of a node that the bundle reads.
fn record_of(row: &Object, modalities: &[String]) -> Option<(String, Record)> {
    let filled = |field: &str| row.get(field).filter(|value| !is_empty(value)).cloned();
    let known = FIELDS
        .iter()
        .filter(|(name, _)| modalities.iter().any(|own| own == name));
    let known = known.flat_map(|(name, fields)| fields.iter().map(move |field| (*name, *field)));
    let own = modalities.iter().map(|name| (name.as_str(), name.as_str()));
    // The record in a field named like its modality is meant to be it.
    let own = own.filter(|(name, _)| *name != "text");
    own.chain(known)
        .find_map(|(modality, field)| Some((modality.to_owned(), filled(field)?)))
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty())
}

fn name(file: &Path, number: usize, row: &Object, field: &str) -> Result<String> {
    let found = row.get(field).and_then(Value::as_str).map(str::trim);
    found
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
        .ok_or_else(|| {
            let there: Vec<&str> = row.keys().map(String::as_str).collect();
            let problem = format!(
                "field `{field}` has no text (there are: {})",
                there.join(", ")
            );
            row_error(file, number, problem)
        })
}

/// A user's turn and the answer to it.
pub(super) fn conversation(question: &str, answer: &str) -> Vec<Message> {
    let turn = |role: &str, content: &str| Message {
        role: role.into(),
        content: content.into(),
    };
    vec![turn("user", question), turn("assistant", answer)]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn written(nodes: &[String], edges: &str) -> (tempfile::TempDir, Result<Graph>) {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("nodes.jsonl"), dir.path().join("edges.tsv"));
        std::fs::write(&a, nodes.join("\n")).unwrap();
        std::fs::write(&b, edges).unwrap();
        let data = section(&b);
        let graph = Graph::read(&a, &data, &["molecule".into(), "protein".into()]);
        (dir, graph)
    }

    fn section(file: &Path) -> DataSection {
        DataSection {
            train: file.to_owned(),
            split_field: Some("split".into()),
            ..DataSection::default()
        }
    }

    #[test]
    fn edges_become_as_many_questions_with_yes_as_with_no() {
        let mut nodes: Vec<String> = (0..6)
            .map(|i| format!(r#"{{"id":"m{i}","smiles":"{}"}}"#, "C".repeat(i + 1)))
            .collect();
        nodes.extend(
            (0..6).map(|i| format!(r#"{{"id":"p{i}","seq":"M{}","text":"x"}}"#, "A".repeat(i))),
        );
        nodes.push(r#"{"id":"d","text":"a disease"}"#.into());
        let mut edges = "source\trelation\ttarget\tsplit\n".to_owned();
        for i in 0..6 {
            let split = if i < 2 { "train" } else { "test" };
            edges += &format!("m{i}\tbinds\tp{i}\t{split}\n");
        }
        edges += "m0\ttreats\td\ttest\n";
        let (_dir, graph) = written(&nodes, &edges);
        let graph = graph.unwrap();
        assert_eq!(graph.left_out, 1);
        let data = section(Path::new("x"));
        let wording = Wording::of(&[], None);
        let asked = graph.questions(&data, Split::Eval, usize::MAX, &wording);
        assert_eq!((asked.rows.len(), asked.edges, asked.unmatched), (8, 4, 0));
        let yes = asked
            .rows
            .iter()
            .filter(|row| row.example.answer() == "Yes.");
        assert_eq!(yes.count(), 4);
        let first = &asked.rows[0];
        assert_eq!(
            (first.id.as_str(), first.kind.as_str()),
            ("m2 binds p2", "binds")
        );
        assert_eq!(
            first.example.messages[0].content,
            "Does <molecule> bind <protein>?"
        );
        assert_eq!(first.example.records[1], ("protein".into(), "MAA".into()));
        let few = graph.questions(&data, Split::Eval, 4, &wording);
        assert_eq!(few.rows.len(), 4);
    }

    #[test]
    fn what_cannot_be_asked_is_said() {
        let nodes = [r#"{"id":"d","text":"a disease"}"#.to_owned()];
        let (_dir, graph) = written(
            &nodes,
            "source\trelation\ttarget\tsplit\nd\ttreats\td\ttest\n",
        );
        assert!(
            graph
                .err()
                .unwrap()
                .to_string()
                .contains("no edge has records")
        );
        let (_dir, graph) = written(&nodes, "source\ttarget\tsplit\nd\td\ttest\n");
        let error = graph.err().unwrap().to_string();
        assert!(
            error.contains("edges.tsv row 1: field `relation`"),
            "{error}"
        );
    }
}
