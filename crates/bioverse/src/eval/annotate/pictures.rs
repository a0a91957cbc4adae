//! Labels as pictures: what is taken for what, whether confidence means what it says, what is gained by abstaining, and where
//! records lie. Numbers are computed elsewhere.

use serde::Serialize;

use super::Answers;
use super::labels::Closed;
use super::measure::{Said, Truth};
use super::rows::Labelled;
use super::tables::confusion;
use crate::error::Result;
use crate::eval::{calibration, findings::Picture, linear::Matrix};
use crate::report::chart::{Across, Plot, Scale, Series};
use crate::report::numbers::spread;
use crate::report::{map, projection, templates};

/// Sets with more labels have no readable matrix.
const LABELS: usize = 30;
/// Width of a cell.
const SIDE: f64 = 34.0;
/// Characters of a label that are drawn.
const LONGEST: usize = 22;
/// Width of a character.
const LETTER: f64 = 6.6;
/// Colours of the page's palette; beyond them shapes differ.
const COLOURS: usize = 7;
/// Methods whose curves are drawn beside the model's.
const CURVES: [&str; 5] = [
    "model",
    "similarity",
    "logistic_pca50",
    "linear_head",
    "knn_15",
];
/// Points of a curve.
const POINTS: usize = 60;

/// All of them.
pub fn all(
    modality: &str,
    eval: &[Labelled],
    truth: &Truth,
    answers: &Answers,
    closed: &Closed,
) -> Result<Vec<Picture>> {
    let id = map::anchor(modality);
    let mut pictures = vec![];
    if closed.labels.len() <= LABELS {
        pictures.push(matrix(&id, truth, &answers.said[0], closed)?);
    }
    let drawn = answers
        .said
        .iter()
        .filter(|said| CURVES.contains(&said.name));
    let drawn: Vec<&Said> = drawn.collect();
    pictures.extend(Picture::chart(reliability(&id, truth, &drawn))?);
    pictures.extend(Picture::chart(abstention(&id, truth, &drawn))?);
    if let Some(aligned) = &answers.aligned {
        pictures.extend(maps(
            &id,
            eval,
            truth,
            &answers.said[0],
            &aligned.records,
            closed,
        )?);
    }
    Ok(pictures)
}

#[derive(Debug, Serialize)]
struct Heat {
    id: String,
    summary: String,
    width: f64,
    height: f64,
    left: f64,
    top: f64,
    side: f64,
    cells: Vec<Cell>,
    rows: Vec<Name>,
    columns: Vec<Name>,
}

#[derive(Debug, Serialize)]
struct Cell {
    x: f64,
    y: f64,
    shade: f64,
    text: String,
    title: String,
}

#[derive(Debug, Serialize)]
struct Name {
    at: f64,
    label: String,
}

fn short(name: &str) -> String {
    name.chars().take(LONGEST).collect()
}

/// References down, predictions across; the shade is the share of a row.
fn matrix(id: &str, truth: &Truth, model: &Said, closed: &Closed) -> Result<Picture> {
    let counts = confusion(truth, model);
    let names = closed.names();
    let n = names.len();
    let longest = names.iter().map(|name| short(name).chars().count()).max();
    let room = longest.unwrap_or(0) as f64 * LETTER + 14.0;
    let top = room * 0.75 + 12.0;
    let cell = |(row, column): (usize, usize)| {
        let all: usize = counts[row].iter().sum();
        let count = counts[row][column];
        let share = count as f64 / all.max(1) as f64;
        Cell {
            x: room + column as f64 * SIDE,
            y: top + row as f64 * SIDE,
            // Darker shades would hide the number in them.
            shade: (60.0 * share).round() / 100.0,
            text: if count > 0 {
                count.to_string()
            } else {
                String::new()
            },
            title: format!(
                "{} taken for {}: {count} of {all}",
                names[row], names[column]
            ),
        }
    };
    let places = (0..n).flat_map(|row| (0..n).map(move |column| (row, column)));
    let middle = |at: usize| (at as f64 + 0.5) * SIDE;
    let name = |start: f64| {
        let each = names.iter().enumerate();
        each.map(|(at, name)| Name {
            at: start + middle(at),
            label: short(name),
        })
        .collect()
    };
    let right: usize = (0..n).map(|at| counts[at][at]).sum();
    let all: usize = counts.iter().flatten().sum();
    let heat = Heat {
        id: format!("confusion-{id}"),
        summary: format!("Confusion matrix: {right} of {all} rows are on the diagonal."),
        width: room + n as f64 * SIDE + room * 0.75,
        height: top + n as f64 * SIDE + 6.0,
        left: room,
        top,
        side: SIDE,
        cells: places.map(cell).collect(),
        rows: name(top),
        columns: name(room),
    };
    Ok(Picture {
        title: "What is taken for what".into(),
        caption: "Rows: reference. Columns: what the model says. Shade: share of the row; number: records.".into(),
        svg: templates::drawing("confusion.html", &heat)?,
    })
}

fn across(name: &str) -> Across {
    Across {
        name: name.into(),
        logarithmic: false,
        whole: false,
    }
}

/// Accuracy of each bin over its mean confidence.
fn reliability(id: &str, truth: &Truth, drawn: &[&Said]) -> Plot {
    let inside = truth.inside();
    let curve = |said: &&Said| {
        let confidence = said.confidence()?;
        let bins = calibration::bins(&confidence, &truth.right(said), &inside);
        let points = bins.into_iter().filter(|bin| bin.rows > 0);
        Some(Series {
            name: said.name.replace('_', " "),
            points: points.map(|bin| (bin.confidence, bin.accuracy)).collect(),
        })
    };
    let even = Series {
        name: "confidence = accuracy".into(),
        points: vec![(0.0, 0.0), (1.0, 1.0)],
    };
    Plot {
        id: format!("reliability-{id}"),
        title: "Does confidence mean what it says?".into(),
        note: "Reliability: accuracy of the rows in each of 15 bins of confidence (empty ones left out) over their mean \
               confidence. Below the straight line a method is too sure of itself."
            .into(),
        across: across("mean confidence"),
        series: drawn.iter().filter_map(curve).chain([even]).collect(),
        levels: vec![],
        scale: Scale::Share,
    }
}

/// Accuracy over the share of rows that are answered.
fn abstention(id: &str, truth: &Truth, drawn: &[&Said]) -> Plot {
    let inside = truth.inside();
    let curve = |said: &&Said| {
        let confidence = said.confidence()?;
        let curve = calibration::coverage(&confidence, &truth.right(said), &inside);
        let kept = spread(curve.len(), POINTS).into_iter().map(|at| curve[at]);
        Some(Series {
            name: said.name.replace('_', " "),
            points: kept.collect(),
        })
    };
    Plot {
        id: format!("abstention-{id}"),
        title: "What is gained by abstaining?".into(),
        note: "Accuracy of what is answered when only the most confident share of the rows is."
            .into(),
        across: across("share of rows answered"),
        series: drawn.iter().filter_map(curve).collect(),
        levels: vec![],
        scale: Scale::Share,
    }
}

#[derive(Debug, Serialize)]
struct Drawing {
    id: String,
    title: String,
    summary: String,
    size: f64,
    groups: Vec<Group>,
}

#[derive(Debug, Serialize)]
struct Group {
    name: String,
    colour: usize,
    shape: usize,
    points: Vec<Point>,
}

#[derive(Debug, Serialize)]
struct Point {
    x: f64,
    y: f64,
    title: String,
    wrong: bool,
}

/// Records in the aligned space by principal components and by t-SNE, coloured by reference.
fn maps(
    id: &str,
    eval: &[Labelled],
    truth: &Truth,
    model: &Said,
    records: &Matrix,
    closed: &Closed,
) -> Result<Vec<Picture>> {
    let inside = truth.inside();
    let chosen: Vec<usize> = spread(inside.len(), map::PAIRS)
        .into_iter()
        .map(|at| inside[at])
        .collect();
    let rows: Vec<Vec<f32>> = chosen
        .iter()
        .map(|row| records.row(*row).to_vec())
        .collect();
    let vectors = projection::unit(&rows);
    let plane = projection::principal(&vectors);
    let near = projection::neighbours(&vectors, &plane);
    let planes = [
        ("pca", "Records by label, principal components", Some(plane)),
        ("tsne", "Records by label, t-SNE", near),
    ];
    let mut pictures = vec![];
    for (kind, title, plane) in planes {
        let Some(plane) = plane else { continue };
        let places = map::placed(&plane.points);
        let point = |(at, row): (usize, &usize)| {
            let said =
                model.chosen[*row].map_or("nothing", |label| closed.labels[label].name.as_str());
            let wrong = model.chosen[*row] != truth.labels[*row];
            Point {
                x: places[at][0],
                y: places[at][1],
                title: format!(
                    "{}: {}, the model says {said}",
                    eval[*row].id, eval[*row].label
                ),
                wrong,
            }
        };
        let groups = closed.labels.iter().enumerate().map(|(label, of)| {
            let own = chosen.iter().enumerate();
            let own = own.filter(|(_, row)| truth.labels[**row] == Some(label));
            Group {
                name: of.name.clone(),
                colour: label % COLOURS,
                shape: label / COLOURS % 3,
                points: own.map(point).collect(),
            }
        });
        let drawing = Drawing {
            id: format!("labels-{id}-{kind}"),
            title: title.into(),
            summary: format!("{} records in the aligned space, by label.", chosen.len()),
            size: map::SIZE,
            groups: groups.collect(),
        };
        pictures.push(Picture {
            title: title.into(),
            caption: format!(
                "Soft vectors of {} of {} records as the LLM gets them; colour and shape: reference; a ring: the model's \
                 answer is another one.",
                chosen.len(),
                inside.len()
            ),
            svg: templates::drawing("labelled.html", &drawing)?,
        });
    }
    Ok(pictures)
}
