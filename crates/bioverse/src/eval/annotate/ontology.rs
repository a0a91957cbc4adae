//! An ontology as a graph of `is_a`: which term a label is, and how near two terms are. It knows no model and no modality.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::path::Path;

use serde_json::Value;

use super::labels::Label;
use crate::{
    data::{read_rows, rows::row_error},
    error::{Error, Result},
};

/// Words that a label may leave out.
const FILLERS: [&str; 5] = ["cell", "the", "a", "an", "positive"];
/// What labels of cells are shortened to.
const SHORT: [(&str, &str); 8] = [
    ("mono", "monocyte"),
    ("dc", "dendritic"),
    ("nk", "natural killer"),
    ("treg", "regulatory t"),
    ("mk", "megakaryocyte"),
    ("lymphocyte", "cell"),
    ("thrombocyte", "platelet"),
    ("fcgr3a", "cd16"),
];

/// A term.
#[derive(Debug, Clone)]
struct Term {
    id: String,
    names: Vec<String>,
    definition: String,
    parents: Vec<usize>,
}

/// Terms and what they are kinds of.
#[derive(Debug)]
pub struct Ontology {
    terms: Vec<Term>,
    ids: HashMap<String, usize>,
    /// Of each term itself and everything it is a kind of.
    above: Vec<HashSet<usize>>,
}

impl Ontology {
    /// Reads rows with `id`, `name`, `synonyms`, `is_a` and perhaps `text`, the definition.
    ///
    /// # Errors
    /// A file that cannot be read; a row without `id` or `name`; no `is_a` at all; a cycle.
    pub fn read(path: &Path) -> Result<Self> {
        let rows = read_rows(path)?;
        let mut terms = vec![];
        let mut parents: Vec<Vec<String>> = vec![];
        for (number, row) in rows {
            let word = |name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
            let (Some(id), Some(name)) = (word("id"), word("name")) else {
                let problem =
                    "has no `id` and `name`; an ontology has rows `id`, `name`, `synonyms`, `is_a`";
                return Err(row_error(path, number, problem));
            };
            let mut names = vec![name];
            names.extend(list(row.get("synonyms")));
            parents.push(list(row.get("is_a")));
            terms.push(Term {
                id,
                names,
                definition: word("text").unwrap_or_default(),
                parents: vec![],
            });
        }
        let of = |problem: &str| Error::Input(format!("{}: {problem}", path.display()));
        Self::of(terms, &parents).map_err(of)
    }

    fn of(mut terms: Vec<Term>, parents: &[Vec<String>]) -> Result<Self, &'static str> {
        let ids: HashMap<String, usize> = terms
            .iter()
            .enumerate()
            .map(|(at, term)| (term.id.clone(), at))
            .collect();
        for (term, parents) in terms.iter_mut().zip(parents) {
            term.parents = parents
                .iter()
                .filter_map(|id| ids.get(id).copied())
                .collect();
        }
        if terms.iter().all(|term| term.parents.is_empty()) {
            return Err(
                "no term `is_a` another one, so there are no distances; give rows with `is_a`",
            );
        }
        let above = (0..terms.len())
            .map(|at| ancestors(&terms, at))
            .collect::<Vec<_>>();
        let cyclic =
            (0..terms.len()).any(|at| terms[at].parents.iter().any(|p| above[*p].contains(&at)));
        match cyclic {
            true => Err("a term is a kind of itself; correct `is_a`"),
            false => Ok(Self { terms, ids, above }),
        }
    }

    /// Gives labels their terms, by the id that the rows name or by name, with the term's names; which got none.
    pub fn name(&self, labels: &mut [Label]) -> Vec<String> {
        let mut missing = vec![];
        for label in labels {
            let known = label.term.as_ref().and_then(|id| self.ids.get(id));
            match known.copied().or_else(|| self.find(label)) {
                Some(at) => {
                    label.term = Some(self.terms[at].id.clone());
                    let more = self.terms[at].names.iter();
                    let more: Vec<String> = more
                        .filter(|name| !label.names.contains(name))
                        .cloned()
                        .collect();
                    label.names.extend(more);
                }
                None => missing.push(label.name.clone()),
            }
        }
        missing
    }

    /// The definition of a label's term.
    pub fn definition(&self, label: &Label) -> Option<&str> {
        let at = self.ids.get(label.term.as_ref()?)?;
        Some(self.terms[*at].definition.as_str()).filter(|text| !text.is_empty())
    }

    /// The term with the same words in its name, else in a synonym, whatever their order; fillers do not count.
    fn find(&self, label: &Label) -> Option<usize> {
        let wanted: Vec<BTreeSet<String>> = label.names.iter().map(|name| core(name)).collect();
        let same = |name: &String| {
            let words = core(name);
            !words.is_empty() && wanted.contains(&words)
        };
        let by_name = self
            .terms
            .iter()
            .position(|term| term.names.first().is_some_and(same));
        by_name.or_else(|| {
            self.terms
                .iter()
                .position(|term| term.names.iter().any(same))
        })
    }

    /// How near the labels of a set are to each other; labels without a term are near to themselves only.
    pub fn nearness(&self, labels: &[Label]) -> Nearness {
        let at: Vec<Option<usize>> = labels
            .iter()
            .map(|label| self.ids.get(label.term.as_ref()?).copied())
            .collect();
        let ways: Vec<Option<Vec<usize>>> = at
            .iter()
            .map(|at| at.map(|at| self.distances(at)))
            .collect();
        let depths = self.depths();
        let distance = |i: usize, j: usize| {
            let steps = ways[i].as_ref()?.get(at[j]?)?;
            (*steps < usize::MAX).then_some(*steps as f64)
        };
        let n = labels.len();
        let pairs = || (0..n).flat_map(|i| (0..n).map(move |j| (i, j)));
        let longest = pairs()
            .filter_map(|(i, j)| distance(i, j))
            .fold(1.0, f64::max);
        let table = |score: &dyn Fn(usize, usize) -> Option<f64>| -> Vec<Vec<f64>> {
            let one = |i: usize, j: usize| {
                if i == j {
                    1.0
                } else {
                    score(i, j).unwrap_or(0.0)
                }
            };
            (0..n)
                .map(|i| (0..n).map(|j| one(i, j)).collect())
                .collect()
        };
        Nearness {
            known: at.iter().map(Option::is_some).collect(),
            tables: vec![
                (
                    "ontology_path",
                    table(&|i, j| Some(1.0 - distance(i, j)? / longest)),
                ),
                (
                    "ontology_lin",
                    table(&|i, j| Some(self.lin(at[i]?, at[j]?))),
                ),
                (
                    "ontology_wu_palmer",
                    table(&|i, j| Some(self.wu_palmer(&depths, at[i]?, at[j]?))),
                ),
            ],
        }
    }

    /// Edges from a term to every other, up and down.
    fn distances(&self, from: usize) -> Vec<usize> {
        let mut near: Vec<Vec<usize>> =
            self.terms.iter().map(|term| term.parents.clone()).collect();
        for (child, term) in self.terms.iter().enumerate() {
            for parent in &term.parents {
                near[*parent].push(child);
            }
        }
        let mut steps = vec![usize::MAX; near.len()];
        steps[from] = 0;
        let mut waiting = VecDeque::from([from]);
        while let Some(at) = waiting.pop_front() {
            for next in &near[at] {
                if steps[*next] == usize::MAX {
                    steps[*next] = steps[at] + 1;
                    waiting.push_back(*next);
                }
            }
        }
        steps
    }

    /// Terms on the shortest way to a root, itself and the root included.
    fn depths(&self) -> Vec<usize> {
        let mut depths = vec![0; self.terms.len()];
        let mut below: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (child, term) in self.terms.iter().enumerate() {
            for parent in &term.parents {
                below.entry(*parent).or_default().push(child);
            }
        }
        let roots = (0..self.terms.len()).filter(|at| self.terms[*at].parents.is_empty());
        let mut waiting: VecDeque<(usize, usize)> = roots.map(|root| (root, 1)).collect();
        while let Some((at, depth)) = waiting.pop_front() {
            if depths[at] == 0 {
                depths[at] = depth;
                let next = below.get(&at).into_iter().flatten();
                waiting.extend(next.map(|child| (*child, depth + 1)));
            }
        }
        depths
    }

    fn content(&self, at: usize) -> f64 {
        let below = self
            .above
            .iter()
            .filter(|above| above.contains(&at))
            .count();
        1.0 - (below as f64).ln() / (self.terms.len() as f64).ln()
    }

    fn lin(&self, a: usize, b: usize) -> f64 {
        let common = self.above[a].intersection(&self.above[b]);
        let shared = common.map(|at| self.content(*at)).fold(0.0, f64::max);
        let sum = self.content(a) + self.content(b);
        if sum > 0.0 { 2.0 * shared / sum } else { 0.0 }
    }

    fn wu_palmer(&self, depths: &[usize], a: usize, b: usize) -> f64 {
        let common = self.above[a].intersection(&self.above[b]);
        let deepest = common.map(|at| depths[*at]).max().unwrap_or(0);
        2.0 * deepest as f64 / (depths[a] + depths[b]).max(1) as f64
    }
}

/// How near labels are to each other, by several measures.
#[derive(Debug, Clone)]
pub struct Nearness {
    known: Vec<bool>,
    tables: Vec<(&'static str, Vec<Vec<f64>>)>,
}

impl Nearness {
    /// The scores of rows whose label has a term, by measure.
    pub fn scores(
        &self,
        truth: &[Option<usize>],
        chosen: &[Option<usize>],
    ) -> Vec<(&'static str, Vec<f64>)> {
        let each = self.tables.iter().map(|(name, table)| {
            let rows = truth.iter().zip(chosen);
            let scores = rows.filter_map(|(truth, chosen)| {
                let truth = truth.filter(|label| self.known[*label])?;
                Some(chosen.map_or(0.0, |chosen| table[truth][chosen]))
            });
            (*name, scores.collect())
        });
        each.collect()
    }
}

/// A term itself and everything it is a kind of.
fn ancestors(terms: &[Term], of: usize) -> HashSet<usize> {
    let mut found = HashSet::from([of]);
    let mut waiting = vec![of];
    while let Some(at) = waiting.pop() {
        for parent in &terms[at].parents {
            if found.insert(*parent) {
                waiting.push(*parent);
            }
        }
    }
    found
}

/// A list of words, or words divided by `|`.
fn list(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Array(items)) => items
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        Some(Value::String(text)) => text
            .split('|')
            .filter(|w| !w.is_empty())
            .map(str::to_owned)
            .collect(),
        _ => vec![],
    }
}

/// The words that tell a name from another one.
fn core(name: &str) -> BTreeSet<String> {
    // The usual kind of T cell; alone, the two letters tell cells of the pancreas apart.
    let lower = name.to_lowercase().replace("alpha-beta", " ");
    let words = lower
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty());
    let long = words.flat_map(|word| {
        let word = SHORT
            .iter()
            .find(|(short, _)| *short == word)
            .map_or(word, |(_, long)| long);
        word.split(' ').map(singular).collect::<Vec<_>>()
    });
    long.filter(|word| !FILLERS.contains(&word.as_str()))
        .collect()
}

fn singular(word: &str) -> String {
    match word.strip_suffix('s') {
        Some(stem) if stem.len() > 2 && !stem.ends_with('s') => stem.into(),
        _ => word.into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    /// cell ─ lymphocyte ─ T cell ─ CD4 T cell, CD8 T cell; cell ─ lymphocyte ─ B cell; cell ─ monocyte
    fn ontology() -> Ontology {
        let rows = [
            ("CL:0", "cell", "", ""),
            ("CL:1", "leukocyte", "white blood cell", "CL:0"),
            ("CL:2", "T cell", "T-lymphocyte", "CL:1"),
            ("CL:3", "CD4-positive, alpha-beta T cell", "helper", "CL:2"),
            ("CL:4", "CD8-positive, alpha-beta T cell", "", "CL:2"),
            ("CL:5", "B cell", "", "CL:1"),
            ("CL:6", "monocyte", "", "CL:0"),
            ("CL:7", "natural killer cell", "NK cell", "CL:1"),
        ];
        let term = |(id, name, synonym, _): &(&str, &str, &str, &str)| Term {
            id: (*id).into(),
            names: vec![(*name).into(), (*synonym).into()],
            definition: String::new(),
            parents: vec![],
        };
        let parents: Vec<Vec<String>> = rows
            .iter()
            .map(|(.., parent)| list(Some(&(*parent).into())))
            .collect();
        Ontology::of(rows.iter().map(term).collect(), &parents).unwrap()
    }

    fn labels(names: &[&str]) -> Vec<Label> {
        let label = |name: &&str| Label {
            name: (*name).into(),
            names: vec![(*name).into()],
            term: None,
            answer: String::new(),
        };
        names.iter().map(label).collect()
    }

    #[test]
    fn labels_find_their_terms() {
        let mut labels = labels(&["CD4 T", "CD8+ T cells", "B", "NK", "Mono", "Tumour"]);
        let missing = ontology().name(&mut labels);
        let terms: Vec<Option<&str>> = labels.iter().map(|label| label.term.as_deref()).collect();
        assert_eq!(
            terms,
            [
                Some("CL:3"),
                Some("CL:4"),
                Some("CL:5"),
                Some("CL:7"),
                Some("CL:6"),
                None
            ]
        );
        assert_eq!(missing, ["Tumour"]);
        assert!(labels[3].names.contains(&"natural killer cell".into()));
    }

    #[test]
    fn distances_by_hand() {
        let ontology = ontology();
        let mut labels = labels(&["CD4 T", "CD8 T", "B", "Mono", "Tumour"]);
        ontology.name(&mut labels);
        let near = ontology.nearness(&labels);
        let truth = [Some(0); 5].to_vec();
        let chosen = [Some(0), Some(1), Some(2), Some(3), None].to_vec();
        let scores: BTreeMap<&str, Vec<f64>> = near.scores(&truth, &chosen).into_iter().collect();
        // Ways of 0, 2, 3 and 4 edges; the last is the longest of the set.
        assert_eq!(scores["ontology_path"], [1.0, 0.5, 0.25, 0.0, 0.0]);
        // Depths: CD4 and CD8 4, T 3, B 3, leukocyte 2, monocyte 2, cell 1.
        let wu_palmer = [1.0, 6.0 / 8.0, 4.0 / 7.0, 2.0 / 6.0, 0.0];
        for (got, expected) in scores["ontology_wu_palmer"].iter().zip(wu_palmer) {
            assert!((got - expected).abs() < 1e-12);
        }
        // T has itself and two kinds below, of eight terms; CD4, CD8 and B are leaves, so their content is 1.
        let t = 1.0 - 3f64.ln() / 8f64.ln();
        assert!((scores["ontology_lin"][1] - t).abs() < 1e-12);
        // All but the root and the monocyte are leukocytes; the root has content 0.
        let leukocyte = 1.0 - 6f64.ln() / 8f64.ln();
        assert!((scores["ontology_lin"][2] - leukocyte).abs() < 1e-12);
        assert_eq!(scores["ontology_lin"][3], 0.0);
        // A row whose label has no term is not scored.
        assert!(near.scores(&[Some(4)], &[Some(0)])[0].1.is_empty());
    }

    #[test]
    fn what_is_no_ontology_is_refused() {
        let term = |id: &str| Term {
            id: id.into(),
            names: vec![id.into()],
            definition: String::new(),
            parents: vec![],
        };
        let of = |parents: [&[String]; 2]| {
            Ontology::of(vec![term("a"), term("b")], &parents.map(<[String]>::to_vec))
        };
        assert!(of([&[], &[]]).is_err());
        assert!(of([&["b".into()], &["a".into()]]).is_err_and(|e| e.contains("itself")));
        assert!(of([&[], &["a".into()]]).is_ok());
    }
}
