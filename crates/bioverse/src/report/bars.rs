//! Shares as bars with intervals, positions and words; the template makes the markup. It knows no metric.

use serde::Serialize;

use super::axis::{Axis, percent};
use super::chart::Tick;
use super::templates;
use crate::error::Result;

/// Size of the drawing, in its units.
const WIDTH: f64 = 460.0;
const THICK: f64 = 16.0;
const STEP: f64 = 24.0;
const TOP: f64 = 6.0;
const RIGHT: f64 = 14.0;
/// Width of a character of a name.
const LETTER: f64 = 6.6;

/// One bar.
#[derive(Debug, Clone)]
pub struct Bar {
    /// What it is of.
    pub name: String,
    /// From 0 to 1.
    pub value: f64,
    /// Its interval.
    pub interval: Option<[f64; 2]>,
    /// Colour of the page's palette.
    pub slot: usize,
}

#[derive(Debug, Serialize)]
struct Drawing {
    id: String,
    summary: String,
    width: f64,
    height: f64,
    left: f64,
    top: f64,
    bottom: f64,
    thick: f64,
    ticks: Vec<Tick>,
    bars: Vec<Drawn>,
}

#[derive(Debug, Serialize)]
struct Drawn {
    name: String,
    title: String,
    y: f64,
    length: f64,
    whisker: Option<[f64; 2]>,
    slot: usize,
}

/// The `<svg>`; `id` is unique on the page.
pub fn draw(id: &str, bars: &[Bar]) -> Result<String> {
    templates::fill(
        "bars.html",
        &std::collections::BTreeMap::from([("drawing", drawing(id, bars))]),
    )
}

fn drawing(id: &str, bars: &[Bar]) -> Drawing {
    let longest = bars.iter().map(|bar| bar.name.chars().count()).max();
    let left = longest.unwrap_or(0) as f64 * LETTER + 14.0;
    let axis = Axis::unit([left, WIDTH - RIGHT]);
    let bottom = TOP + bars.len() as f64 * STEP;
    let title = |bar: &Bar| {
        let interval = bar
            .interval
            .map(|[low, high]| format!(" (95 % interval {} to {})", percent(low), percent(high)));
        format!(
            "{}: {}{}",
            bar.name,
            percent(bar.value),
            interval.unwrap_or_default()
        )
    };
    let drawn = bars.iter().enumerate().map(|(at, bar)| Drawn {
        name: bar.name.clone(),
        title: title(bar),
        y: TOP + at as f64 * STEP,
        length: axis.at(bar.value) - axis.at(0.0),
        whisker: bar.interval.map(|ends| ends.map(|end| axis.at(end))),
        slot: bar.slot,
    });
    let ticks = axis.ticks.iter().map(|tick| Tick {
        at: axis.at(*tick),
        label: format!("{:.0} %", 100.0 * tick),
    });
    Drawing {
        id: id.into(),
        summary: bars.iter().map(title).collect::<Vec<_>>().join("; "),
        width: WIDTH,
        height: bottom + 24.0,
        left,
        top: TOP,
        bottom,
        thick: THICK,
        ticks: ticks.collect(),
        bars: drawn.collect(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_shares_and_names_are_escaped() {
        let bar = |name: &str, value| Bar {
            name: name.into(),
            value,
            interval: Some([value - 0.1, value + 0.1]),
            slot: 0,
        };
        let bars = [bar("a<b", 0.5), bar("c", 0.25)];
        let got = drawing("x", &bars);
        let whole = WIDTH - RIGHT - got.left;
        assert!((got.bars[0].length - whole / 2.0).abs() < 0.2);
        assert!(got.bars[0].length > got.bars[1].length);
        let svg = draw("x", &bars).unwrap();
        assert!(
            svg.contains("a&lt;b: 50.0 % (95 % interval 40.0 % to 60.0 %)"),
            "{svg}"
        );
    }
}
