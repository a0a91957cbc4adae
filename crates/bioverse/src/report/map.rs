//! Alignment maps: records and texts as points of the plane, each record joined to its text, before training and after it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::numbers::spread;
use super::projection::{self, Plane};
use super::vectors::{Pairs, Vectors};

/// Width and height of a map.
pub const SIZE: f64 = 420.0;
const MARGIN: f64 = 16.0;
/// More pairs than this are a blot.
pub const PAIRS: usize = 400;

/// The maps of one modality.
#[derive(Debug, Clone, Serialize)]
pub struct Maps {
    id: String,
    modality: String,
    pairs: usize,
    of: usize,
    maps: Vec<Map>,
    table: Vec<NamedPair>,
}

/// One map.
#[derive(Debug, Clone, Serialize)]
pub struct Map {
    id: String,
    title: String,
    summary: String,
    size: f64,
    axes: Option<[String; 2]>,
    pairs: Vec<Pair>,
    texts: Vec<[f64; 2]>,
}

#[derive(Debug, Clone, Serialize)]
struct Pair {
    record: [f64; 2],
    text: [f64; 2],
    name: String,
}

/// A pair and how near its two sides are.
#[derive(Debug, Clone, Serialize)]
struct NamedPair {
    name: String,
    before: Option<f64>,
    after: Option<f64>,
}

impl Map {
    /// Heading.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// How to read its axes.
    pub fn caption(&self) -> String {
        self.axes.as_ref().map_or_else(
            || "Neighbourhoods are kept; distances between groups mean little.".into(),
            |[x, y]| format!("Across: {x}. Up: {y}."),
        )
    }
}

/// Maps of pairs of vectors as they are now, by principal components and, where there are enough, by t-SNE. Pairs with equal
/// `text_numbers` have one text.
pub fn of_pairs(
    id: &str,
    records: &[Vec<f32>],
    texts: &[Vec<f32>],
    text_numbers: &[i64],
    names: &[String],
) -> Vec<Map> {
    let pairs = Pairs {
        records: records.to_vec(),
        texts: texts.to_vec(),
    };
    let all: Vec<usize> = (0..records.len()).collect();
    let cloud = Cloud::of(&pairs, text_numbers, &all);
    let plane = projection::principal(&cloud.vectors);
    let near = projection::neighbours(&cloud.vectors, &plane);
    let first = cloud.map(
        format!("{id}-pca"),
        "Principal components".into(),
        &plane,
        names,
    );
    let second = near.map(|near| cloud.map(format!("{id}-tsne"), "t-SNE".into(), &near, names));
    std::iter::once(first).chain(second).collect()
}

/// Both moments, by principal components and by t-SNE.
pub fn maps(vectors: &Vectors) -> Maps {
    of_most(vectors, PAIRS)
}

/// Of at most so many pairs.
fn of_most(vectors: &Vectors, most: usize) -> Maps {
    let n = vectors.text_numbers.len();
    let chosen = spread(n, most);
    let name = |row: usize| match vectors.names.get(row) {
        Some(name) => name.clone(),
        None => format!("held-out pair {}", row + 1),
    };
    let names: Vec<String> = chosen.iter().map(|row| name(*row)).collect();
    let moments = [("before", &vectors.before), ("after", &vectors.after)];
    let mut maps: Vec<Map> = vec![];
    let mut layouts = vec![];
    for (moment, pairs) in moments {
        let Some(pairs) = pairs else { continue };
        let cloud = Cloud::of(pairs, &vectors.text_numbers, &chosen);
        let plane = projection::principal(&cloud.vectors);
        let near = projection::neighbours(&cloud.vectors, &plane);
        layouts.push((moment, cloud, plane, near));
    }
    let base =
        |kind: &str, moment: &str| format!("map-{}-{kind}-{moment}", anchor(&vectors.modality));
    for (moment, cloud, plane, _) in &layouts {
        let title = format!("Principal components, {moment} training");
        maps.push(cloud.map(base("pca", moment), title, plane, &names));
    }
    for (moment, cloud, _, near) in &layouts {
        if let Some(near) = near {
            let title = format!("t-SNE, {moment} training");
            maps.push(cloud.map(base("tsne", moment), title, near, &names));
        }
    }
    let cosine = |moment: &str, i: usize| {
        let found = layouts.iter().find(|(name, ..)| *name == moment);
        found.map(|(_, cloud, ..)| cloud.cosine(i))
    };
    let table = names.iter().enumerate().map(|(i, name)| NamedPair {
        name: name.clone(),
        before: cosine("before", i),
        after: cosine("after", i),
    });
    Maps {
        id: format!("maps-{}", anchor(&vectors.modality)),
        modality: vectors.modality.clone(),
        pairs: chosen.len(),
        of: n,
        table: table.collect(),
        maps,
    }
}

/// A word that can be part of an id.
pub fn anchor(text: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    text.chars().map(plain).collect()
}

/// Records first, then distinct texts, as unit vectors.
struct Cloud {
    vectors: Vec<Vec<f64>>,
    /// Of each record, where its text is among `vectors`.
    text_of: Vec<usize>,
}

impl Cloud {
    fn of(pairs: &Pairs, text_numbers: &[i64], chosen: &[usize]) -> Self {
        let mut rows: Vec<Vec<f32>> = chosen
            .iter()
            .map(|row| pairs.records[*row].clone())
            .collect();
        let mut seen: BTreeMap<i64, usize> = BTreeMap::new();
        let mut text_of = vec![];
        for row in chosen {
            let at = *seen.entry(text_numbers[*row]).or_insert_with(|| {
                rows.push(pairs.texts[*row].clone());
                rows.len() - 1
            });
            text_of.push(at);
        }
        Self {
            vectors: projection::unit(&rows),
            text_of,
        }
    }

    fn cosine(&self, record: usize) -> f64 {
        let (a, b) = (&self.vectors[record], &self.vectors[self.text_of[record]]);
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    fn map(&self, id: String, title: String, plane: &Plane, names: &[String]) -> Map {
        let at = placed(&plane.points);
        let n = self.text_of.len();
        let pairs = (0..n).map(|i| Pair {
            record: at[i],
            text: at[self.text_of[i]],
            name: names[i].clone(),
        });
        let mean = crate::eval::metrics::mean((0..n).map(|i| self.cosine(i)));
        let texts = at[n..].to_vec();
        Map {
            summary: format!(
                "{n} records (circles) and {} texts (squares), each record joined to its text; the mean cosine of a pair is {mean:.3}.",
                texts.len()
            ),
            axes: plane.explained.map(|[x, y]| {
                let axis = |k: usize, share: f64| {
                    format!("component {k}: {:.0} % of the variance", 100.0 * share)
                };
                [axis(1, x), axis(2, y)]
            }),
            size: SIZE,
            pairs: pairs.collect(),
            texts,
            id,
            title,
        }
    }
}

/// Positions in the drawing; one unit is as long across as it is up.
pub fn placed(points: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let range = |k: usize| {
        let values = points.iter().map(|p| p[k]);
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| {
            (l.min(x), h.max(x))
        });
        ((low + high) / 2.0, high - low)
    };
    let ((x, width), (y, height)) = (range(0), range(1));
    let scale = (SIZE - 2.0 * MARGIN) / width.max(height).max(1e-12);
    let tenth = |value: f64| (value * 10.0).round() / 10.0;
    let place = |p: &[f64; 2]| {
        [
            tenth(SIZE / 2.0 + (p[0] - x) * scale),
            tenth(SIZE / 2.0 - (p[1] - y) * scale),
        ]
    };
    points.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn vectors(n: usize) -> Vectors {
        let row = |i: usize, turn: f32| {
            vec![
                (i as f32 * 0.7 + turn).cos(),
                (i as f32 * 0.7 + turn).sin(),
                0.1,
            ]
        };
        let pairs = |turn: f32| Pairs {
            records: (0..n).map(|i| row(i, turn)).collect(),
            texts: (0..n).map(|i| row(i, 0.0)).collect(),
        };
        Vectors {
            modality: "My Cell".into(),
            before: Some(pairs(1.5)),
            after: Some(pairs(0.0)),
            text_numbers: (0..n as i64).map(|i| i / 2 * 2).collect(),
            names: vec![],
        }
    }

    #[test]
    fn each_record_is_joined_to_its_text_and_equal_texts_are_one_point() {
        let maps = maps(&vectors(16));
        let ids: Vec<&str> = maps.maps.iter().map(|map| map.id.as_str()).collect();
        assert_eq!(ids[0], "map-my-cell-pca-before");
        assert_eq!(ids.len(), 4);
        let after = &maps.maps[1];
        assert_eq!((after.pairs.len(), after.texts.len()), (16, 8));
        assert_eq!(
            after.pairs[2].record, after.pairs[2].text,
            "aligned pairs coincide"
        );
        assert_eq!(after.pairs[2].text, after.pairs[3].text);
        assert!((maps.table[4].after.unwrap() - 1.0).abs() < 1e-6);
        assert!(maps.table[4].before.unwrap() < 0.2);
        assert_eq!(maps.table[0].name, "held-out pair 1");
    }

    #[test]
    fn all_points_are_inside_the_drawing() {
        for map in maps(&vectors(40)).maps {
            let inside = |p: &[f64; 2]| p.iter().all(|x| (MARGIN..=SIZE - MARGIN).contains(x));
            assert!(
                map.pairs.iter().all(|pair| inside(&pair.record)),
                "{}",
                map.title
            );
            assert!(map.texts.iter().all(inside));
        }
    }

    #[test]
    fn large_sets_are_thinned_and_it_is_said() {
        let maps = of_most(&vectors(20), 8);
        assert_eq!((maps.pairs, maps.of), (8, 20));
        assert_eq!(
            (maps.table[0].name.as_str(), maps.table[7].name.as_str()),
            ("held-out pair 1", "held-out pair 20")
        );
    }
}
