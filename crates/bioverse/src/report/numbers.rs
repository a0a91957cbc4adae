//! The table behind a chart, and how its numbers are written. It knows nothing of positions.

use serde::Serialize;

use super::axis::{number, percent};
use super::chart::{Scale, Series};

/// Rows of a table.
pub(super) const ROWS: usize = 60;

/// The numbers behind a chart.
#[derive(Debug, Clone, Serialize)]
pub struct Numbers {
    columns: Vec<String>,
    pub(super) rows: Vec<Row>,
    /// Lines that are in the file and not in the table.
    pub(super) left_out: usize,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    pub(super) step: String,
    pub(super) cells: Vec<Cell>,
}

/// A number: exactly, and as people read it. Empty where there is none.
#[derive(Debug, Clone, Serialize)]
pub struct Cell {
    /// With every digit.
    pub exact: Option<f64>,
    /// Rounded.
    pub text: String,
}

impl Cell {
    /// With about four digits.
    pub fn number(value: Option<f64>) -> Self {
        Self {
            exact: value,
            text: value.map_or(String::new(), number),
        }
    }

    /// With three decimals, so that a column lines up.
    pub fn fixed(value: Option<f64>) -> Self {
        Self {
            exact: value,
            text: value.map_or(String::new(), |value| format!("{value:.3}")),
        }
    }

    /// A share, as a percentage.
    pub fn percent(value: Option<f64>) -> Self {
        Self {
            exact: value,
            text: value.map_or(String::new(), percent),
        }
    }
}

impl Numbers {
    /// Of lines, evenly spread where they have more points than a table has rows.
    pub fn of(series: &[Series], scale: Scale) -> Self {
        let points = series.iter().flat_map(|s| &s.points);
        let mut steps: Vec<f64> = points.map(|(x, _)| *x).collect();
        steps.sort_by(f64::total_cmp);
        steps.dedup();
        let kept = spread(steps.len(), ROWS);
        let left_out = steps.len() - kept.len();
        let cell = |series: &Series, step: f64| {
            let found = series.points.iter().find(|(x, _)| *x == step);
            let value = found.map(|(_, value)| *value);
            match scale {
                Scale::Share => Cell::percent(value),
                _ => Cell::number(value),
            }
        };
        let shown = |step: f64| match step.fract() == 0.0 {
            true => format!("{step}"),
            false => number(step),
        };
        let row = |index: usize| Row {
            step: shown(steps[index]),
            cells: series.iter().map(|one| cell(one, steps[index])).collect(),
        };
        Self {
            columns: series.iter().map(|one| one.name.clone()).collect(),
            rows: kept.into_iter().map(row).collect(),
            left_out,
        }
    }
}

/// At most `most` of `0..n`, evenly spread, the first and the last among them.
pub fn spread(n: usize, most: usize) -> Vec<usize> {
    if n <= most {
        return (0..n).collect();
    }
    let step = (n - 1) as f64 / (most - 1).max(1) as f64;
    (0..most)
        .map(|i| (i as f64 * step).round() as usize)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evenly_spread_with_both_ends() {
        assert_eq!(spread(3, 5), [0, 1, 2]);
        assert_eq!(spread(11, 3), [0, 5, 10]);
    }
}
