//! A line chart as positions and words: what the page draws. It knows no colour, no markup, and not what the lines mean.

use serde::Serialize;

use super::axis::{Axis, number, percent};
use super::numbers::Numbers;

/// Size of the drawing and the room around the plot, in units of the drawing.
const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 40.0;
/// More points than this are not to be seen in a drawing of this width.
const POINTS: usize = 400;
/// A series of at most so many points shows each as a dot.
const DOTS: usize = 24;

/// Named values along the horizontal axis.
#[derive(Debug, Clone)]
pub struct Series {
    /// For legend and table.
    pub name: String,
    /// (where, value), from left to right.
    pub points: Vec<(f64, f64)>,
}

/// A value that does not change, drawn across.
#[derive(Debug, Clone)]
pub struct Level {
    /// For legend and table.
    pub name: String,
    /// The value.
    pub value: f64,
}

/// How the values are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// As they are.
    Linear,
    /// In powers of ten, where they span at least two.
    Wide,
    /// Shares, as percentages from 0 to 100.
    Share,
}

/// What stands along the horizontal axis.
#[derive(Debug, Clone)]
pub struct Across {
    /// Its name.
    pub name: String,
    /// In powers of ten.
    pub logarithmic: bool,
    /// There is nothing between whole numbers: ticks stand at those only.
    pub whole: bool,
}

impl Across {
    /// The steps of a training.
    pub fn steps() -> Self {
        Self {
            name: "step".into(),
            logarithmic: false,
            whole: true,
        }
    }
}

/// What is to be drawn.
#[derive(Debug, Clone)]
pub struct Plot {
    /// Unique on the page.
    pub id: String,
    /// Heading.
    pub title: String,
    /// One sentence on how to read it.
    pub note: String,
    /// The horizontal axis.
    pub across: Across,
    /// Lines.
    pub series: Vec<Series>,
    /// Reference values.
    pub levels: Vec<Level>,
    /// Of the values.
    pub scale: Scale,
}

/// A drawing.
#[derive(Debug, Clone, Serialize)]
pub struct Chart {
    id: String,
    title: String,
    note: String,
    summary: String,
    across: String,
    width: f64,
    height: f64,
    /// Left, right, top, bottom of the plot.
    frame: [f64; 4],
    x_ticks: Vec<Tick>,
    y_ticks: Vec<Tick>,
    lines: Vec<Drawn>,
    levels: Vec<DrawnLevel>,
    table: Numbers,
}

impl Chart {
    /// Heading.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// How to read it.
    pub fn note(&self) -> &str {
        &self.note
    }
}

/// A tick.
#[derive(Debug, Clone, Serialize)]
pub struct Tick {
    /// Position.
    pub at: f64,
    /// Text.
    pub label: String,
}

#[derive(Debug, Clone, Serialize)]
struct Drawn {
    name: String,
    slot: usize,
    path: String,
    dots: Vec<Dot>,
}

#[derive(Debug, Clone, Serialize)]
struct Dot {
    x: f64,
    y: f64,
    title: String,
}

#[derive(Debug, Clone, Serialize)]
struct DrawnLevel {
    name: String,
    slot: usize,
    y: f64,
}

impl Plot {
    /// The drawing; `None` when there is nothing to draw.
    pub fn draw(mut self) -> Option<Chart> {
        self.series.retain(|series| !series.points.is_empty());
        if self.series.is_empty() {
            return None;
        }
        let steps = self.series.iter().flat_map(|s| &s.points).map(|(x, _)| *x);
        let place = [LEFT, WIDTH - RIGHT];
        let x = match self.across.logarithmic {
            true => Axis::powers(steps.clone(), place),
            false => None,
        };
        let x = x.unwrap_or_else(|| Axis::exact(steps, place, 5));
        let y = self.vertical();
        let whole = self.across.whole;
        let x_ticks = x.ticks.iter();
        let x_ticks = x_ticks.filter(|tick| !whole || tick.fract() == 0.0);
        let x_ticks = x_ticks.map(|tick| Tick {
            at: x.at(*tick),
            label: if whole { number(*tick) } else { x.label(*tick) },
        });
        let y_ticks = y.ticks.iter().map(|tick| Tick {
            at: y.at(*tick),
            label: match self.scale {
                Scale::Share => format!("{:.0} %", 100.0 * tick),
                _ => y.label(*tick),
            },
        });
        let lines = self.series.iter().enumerate();
        let levels = self.levels.iter().enumerate();
        Some(Chart {
            summary: self.summary(),
            width: WIDTH,
            height: HEIGHT,
            frame: [LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM],
            x_ticks: x_ticks.collect(),
            y_ticks: y_ticks.collect(),
            lines: lines
                .map(|(slot, series)| self.line(slot, series, &x, &y))
                .collect(),
            levels: levels
                .map(|(slot, level)| DrawnLevel {
                    name: format!("{} ({})", level.name, self.show(level.value)),
                    slot,
                    y: y.at(level.value),
                })
                .collect(),
            table: Numbers::of(&self.series, self.scale),
            across: self.across.name,
            id: self.id,
            title: self.title,
            note: self.note,
        })
    }

    fn vertical(&self) -> Axis {
        let place = [HEIGHT - BOTTOM, TOP];
        let lines = self.series.iter().flat_map(|s| &s.points).map(|(_, y)| *y);
        let values: Vec<f64> = lines
            .chain(self.levels.iter().map(|level| level.value))
            .collect();
        let share = values.iter().all(|value| (0.0..=1.0).contains(value));
        let spread = |axis: &Axis| axis.ticks.len() >= 3;
        match self.scale {
            Scale::Share if share => Axis::unit(place),
            Scale::Wide => Axis::logarithmic(&values, place)
                .filter(spread)
                .unwrap_or_else(|| Axis::round(values.into_iter(), place, 5)),
            _ => Axis::round(values.into_iter(), place, 5),
        }
    }

    fn line(&self, slot: usize, series: &Series, x: &Axis, y: &Axis) -> Drawn {
        let shown = thinned(&series.points);
        let mut path = String::new();
        for (i, (step, value)) in shown.iter().enumerate() {
            let verb = if i == 0 { "M" } else { "L" };
            path += &format!("{verb}{} {}", x.at(*step), y.at(*value));
        }
        let dots = if shown.len() <= DOTS {
            &shown[..]
        } else {
            &shown[shown.len() - 1..]
        };
        let dot = |(step, value): &(f64, f64)| Dot {
            x: x.at(*step),
            y: y.at(*value),
            title: format!(
                "{}, {} {}: {}",
                series.name,
                self.across.name,
                number(*step),
                self.show(*value)
            ),
        };
        Drawn {
            name: series.name.clone(),
            slot,
            path,
            dots: dots.iter().map(dot).collect(),
        }
    }

    fn show(&self, value: f64) -> String {
        match self.scale {
            Scale::Share => percent(value),
            _ => number(value),
        }
    }

    /// What somebody who cannot see the drawing is told.
    fn summary(&self) -> String {
        let across = &self.across.name;
        let told = self.series.iter().filter_map(|series| {
            let ((from, first), (to, last)) = (series.points.first()?, series.points.last()?);
            let name = &series.name;
            Some(if series.points.len() == 1 {
                format!(
                    "{name}: {} at {across} {}",
                    self.show(*first),
                    number(*from)
                )
            } else {
                let (first, last) = (self.show(*first), self.show(*last));
                format!(
                    "{name}: from {first} at {across} {} to {last} at {across} {}",
                    number(*from),
                    number(*to)
                )
            })
        });
        let levels = self
            .levels
            .iter()
            .map(|level| format!("{}: {}", level.name, self.show(level.value)));
        told.chain(levels).collect::<Vec<_>>().join("; ") + "."
    }
}

/// At most [`POINTS`] points: of each stretch the smallest and the largest, so that no spike is lost.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= POINTS {
        return points.to_vec();
    }
    let stretch = points.len().div_ceil(POINTS / 2);
    let mut kept = vec![];
    for chunk in points.chunks(stretch) {
        let by_value = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let ends = [chunk.iter().min_by(by_value), chunk.iter().max_by(by_value)];
        let mut ends: Vec<(f64, f64)> = ends.into_iter().flatten().copied().collect();
        ends.sort_by(|a, b| a.0.total_cmp(&b.0));
        ends.dedup();
        kept.extend(ends);
    }
    // Where a line begins and ends is what is read off it first.
    let (first, last) = (points[0], points[points.len() - 1]);
    kept.retain(|point| point.0 > first.0 && point.0 < last.0);
    kept.insert(0, first);
    kept.push(last);
    kept
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::super::numbers::ROWS;
    use super::*;

    fn plot(points: Vec<(f64, f64)>, scale: Scale) -> Plot {
        Plot {
            id: "loss".into(),
            title: "Loss".into(),
            note: String::new(),
            across: Across::steps(),
            series: vec![Series {
                name: "loss".into(),
                points,
            }],
            levels: vec![],
            scale,
        }
    }

    #[test]
    fn a_line_starts_and_ends_where_its_numbers_do() {
        let chart = plot(vec![(0.0, 0.0), (10.0, 1.0)], Scale::Share)
            .draw()
            .unwrap();
        assert_eq!(chart.lines[0].path, "M58 220L446 12");
        assert_eq!(
            chart.summary,
            "loss: from 0.0 % at step 0 to 100.0 % at step 10."
        );
        assert_eq!(chart.table.rows[1].cells[0].exact, Some(1.0));
    }

    #[test]
    fn long_lines_are_thinned_but_keep_their_spikes_and_ends() {
        let mut points: Vec<(f64, f64)> = (0..5000)
            .map(|i| (f64::from(i), 1.0 / f64::from(i + 1)))
            .collect();
        points[2345].1 = 9.0;
        let shown = thinned(&points);
        assert!(shown.len() <= POINTS + 2);
        assert!(shown.contains(&(2345.0, 9.0)));
        assert_eq!(
            (shown[0], shown[shown.len() - 1]),
            (points[0], points[4999])
        );
        assert!(shown.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let chart = plot(points, Scale::Linear).draw().unwrap();
        assert_eq!(
            (chart.table.rows.len(), chart.table.left_out),
            (ROWS, 5000 - ROWS)
        );
        assert_eq!(
            [&chart.table.rows[0].step, &chart.table.rows[ROWS - 1].step],
            ["0", "4999"]
        );
    }

    #[test]
    fn powers_of_ten_stand_evenly_apart() {
        let mut plot = plot(vec![(1.0, 0.1), (10.0, 0.4), (100.0, 1.0)], Scale::Share);
        plot.across = Across {
            name: "k".into(),
            logarithmic: true,
            whole: true,
        };
        let chart = plot.draw().unwrap();
        let ticks: Vec<(f64, &str)> = chart
            .x_ticks
            .iter()
            .map(|tick| (tick.at, tick.label.as_str()))
            .collect();
        assert_eq!(ticks, [(58.0, "1"), (252.0, "10"), (446.0, "100")]);
        assert_eq!(chart.lines[0].dots[1].title, "loss, k 10: 40.0 %");
    }

    #[test]
    fn nothing_is_not_drawn_and_one_point_is() {
        assert!(plot(vec![], Scale::Linear).draw().is_none());
        let chart = plot(vec![(3.0, 2.0)], Scale::Wide).draw().unwrap();
        assert_eq!(chart.lines[0].dots.len(), 1);
    }
}
