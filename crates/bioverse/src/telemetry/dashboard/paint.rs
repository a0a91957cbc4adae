//! A dashboard as lines of text: ratatui lays it out in a buffer, and the buffer is written with as few escape sequences as
//! there are changes of style. It knows no terminal.

use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::Marker;
use ratatui::widgets::{Axis, Block, Chart, Dataset, GraphType, LineGauge, Paragraph, Widget};

use super::{Curve, Dashboard};
use crate::telemetry::screen;

/// Wider than this, curves say no more.
const WIDEST: u16 = 110;
/// Rows of the whole picture, and of the one without curves.
const TALL: u16 = 12;
const FLAT: u16 = 3;
/// Columns below which curves say nothing.
const NARROWEST: u16 = 50;
/// Rows of the terminal that stay free for what is said.
const FREE: u16 = 4;

/// What is to be drawn in a terminal of this size, each line with its visible columns.
pub(super) fn lines(board: &Dashboard, columns: u16, rows: u16) -> Vec<(String, usize)> {
    let roomy = rows >= TALL + FREE && columns >= NARROWEST;
    let height = if roomy { TALL } else { FLAT };
    let area = Rect::new(0, 0, columns.min(WIDEST), height.min(rows.max(1)));
    let mut buffer = Buffer::empty(area);
    paint(board, area, &mut buffer);
    let colours = screen::colours();
    (0..area.height)
        .map(|row| line(&buffer, row, colours))
        .collect()
}

fn paint(board: &Dashboard, area: Rect, buffer: &mut Buffer) {
    let [head, curves, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(2),
    ])
    .areas(area);
    progress(board, head, buffer);
    if curves.height > 2 {
        let halves = [Constraint::Percentage(50), Constraint::Percentage(50)];
        let [left, right] = Layout::horizontal(halves).areas(curves);
        chart("loss", &board.loss, board.total, Color::Cyan, left, buffer);
        match &board.measured {
            Some((name, curve)) => chart(name, curve, board.total, Color::Yellow, right, buffer),
            None => Block::bordered()
                .border_style(Style::new().fg(Color::DarkGray))
                .title("nothing measured yet")
                .render(right, buffer),
        }
    }
    Paragraph::new(vec![numbers(board).into(), board.message.as_str().into()]).render(foot, buffer);
}

fn progress(board: &Dashboard, area: Rect, buffer: &mut Buffer) {
    let (step, total) = (board.moment.step, board.total);
    let left = board
        .left()
        .map_or_else(String::new, |left| format!(" · {} left", clock(left)));
    let told = format!(
        " {step}/{total} · {:.0} rows/s{left}",
        board.moment.rows_per_s
    );
    let label = format!("{} ", board.label);
    let widths = [&label, &told].map(|text| Constraint::Length(text.chars().count() as u16));
    let [name, bar, end] =
        Layout::horizontal([widths[0], Constraint::Min(8), widths[1]]).areas(area);
    Paragraph::new(label)
        .style(Modifier::BOLD)
        .render(name, buffer);
    let ratio = step as f64 / total.max(1) as f64;
    LineGauge::default()
        .ratio(ratio.clamp(0.0, 1.0))
        .filled_style(Style::new().fg(Color::Green))
        .unfilled_style(Style::new().fg(Color::DarkGray))
        .render(bar, buffer);
    Paragraph::new(told).render(end, buffer);
}

fn chart(name: &str, curve: &Curve, total: usize, color: Color, area: Rect, buffer: &mut Buffer) {
    let [low, high] = curve.bounds();
    let data = Dataset::default()
        .marker(Marker::Braille)
        .graph_type(GraphType::Line)
        .style(Style::new().fg(color))
        .data(curve.points());
    let faint = Style::new().fg(Color::DarkGray);
    let (bottom, top) = (format!("{low:.3}"), format!("{high:.3}"));
    let steps = Axis::default()
        .bounds([0.0, total as f64])
        .labels(["0".to_string(), total.to_string()])
        .style(faint);
    let values = Axis::default()
        .bounds([low, high])
        .labels([bottom, top])
        .style(faint);
    let last = curve.last();
    Chart::new(vec![data])
        .block(
            Block::bordered()
                .border_style(faint)
                .title(format!("{name} {last:.4}")),
        )
        .x_axis(steps)
        .y_axis(values)
        .render(area, buffer);
}

/// What has no curve.
fn numbers(board: &Dashboard) -> String {
    const GB: f64 = 1e9;
    let moment = &board.moment;
    let mut text = format!("lr {:.2e} · gradient {:.3}", moment.lr, moment.grad_norm);
    if let Some(bytes) = moment.memory.process {
        text += &format!(" · memory {:.2} GB", bytes as f64 / GB);
    }
    if let Some((used, all)) = moment.memory.gpu {
        text += &format!(
            " · GPU {:.1} of {:.0} GB",
            used as f64 / GB,
            all as f64 / GB
        );
    }
    text += &format!(" · {}", clock(board.start.elapsed().as_secs_f64()));
    text
}

/// `1:02:03`, `2:03`.
fn clock(seconds: f64) -> String {
    let all = seconds.max(0.0).round() as u64;
    let (hours, minutes, seconds) = (all / 3600, all / 60 % 60, all % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// One row of the buffer, without the blanks at its end.
fn line(buffer: &Buffer, row: u16, colours: bool) -> (String, usize) {
    let cells: Vec<&Cell> = (0..buffer.area.width).map(|x| &buffer[(x, row)]).collect();
    let width = cells
        .iter()
        .rposition(|cell| cell.symbol() != " ")
        .map_or(0, |last| last + 1);
    let mut text = String::new();
    let mut style = String::new();
    for cell in &cells[..width] {
        let wanted = if colours {
            sequence(cell)
        } else {
            String::new()
        };
        if wanted != style {
            text += "\x1b[0m";
            text += &wanted;
            style = wanted;
        }
        text += cell.symbol();
    }
    if !style.is_empty() {
        text += "\x1b[0m";
    }
    (text, width)
}

/// The escape sequence of a cell's style; only what is used above.
fn sequence(cell: &Cell) -> String {
    let code = match cell.fg {
        Color::Green => "\x1b[32m",
        Color::Yellow => "\x1b[33m",
        Color::Cyan => "\x1b[36m",
        Color::DarkGray => "\x1b[90m",
        _ => "",
    };
    let bold = if cell.modifier.contains(Modifier::BOLD) {
        "\x1b[1m"
    } else {
        ""
    };
    format!("{code}{bold}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{Memory, Moment};

    fn board() -> Dashboard {
        let mut loss = Curve::default();
        (1..=50).for_each(|step| loss.push(step, 1.0 / step as f64));
        let mut measured = Curve::default();
        measured.push(25, 0.25);
        measured.push(50, 0.5);
        Dashboard {
            label: "align molecule".into(),
            total: 100,
            first: 0,
            start: std::time::Instant::now(),
            loss,
            measured: Some(("held_out_mrr".into(), measured)),
            message: "held-out MRR 0.500".into(),
            moment: Moment {
                step: 50,
                loss: 0.02,
                lr: 1e-3,
                grad_norm: 0.5,
                rows_per_s: 1234.0,
                memory: Memory {
                    process: Some(312_000_000),
                    gpu: Some((3_100_000_000, 80_000_000_000)),
                },
            },
            drawn: None,
        }
    }

    #[test]
    fn everything_is_in_it_and_nothing_is_wider_than_the_terminal() {
        let drawn = lines(&board(), 79, 40);
        assert_eq!(drawn.len(), TALL as usize);
        assert!(drawn.iter().all(|(_, width)| *width <= 79));
        let all: String = drawn.into_iter().map(|(line, _)| line + "\n").collect();
        for part in [
            "align molecule",
            "50/100 · 1234 rows/s",
            "loss 0.0200",
            "held_out_mrr 0.5000",
            "lr 1.00e-3",
            "memory 0.31 GB",
            "GPU 3.1 of 80 GB",
            "held-out MRR 0.500",
        ] {
            assert!(all.contains(part), "{part}:\n{all}");
        }
        assert!(
            all.contains('\u{2801}') || all.chars().any(|c| ('\u{2800}'..'\u{28ff}').contains(&c))
        );
    }

    #[test]
    fn a_low_terminal_gets_no_curves_and_a_tiny_one_a_line() {
        assert_eq!(lines(&board(), 79, 10).len(), FLAT as usize);
        assert_eq!(lines(&board(), 59, 1).len(), 1);
    }

    #[test]
    fn without_colours_there_is_no_escape_sequence() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 60, 3));
        paint(&board(), buffer.area, &mut buffer);
        let plain = line(&buffer, 0, false);
        assert!(!plain.0.contains('\x1b'), "{}", plain.0);
        let coloured = line(&buffer, 0, true);
        assert!(
            coloured.0.contains("\x1b[32m") && coloured.0.ends_with(|c: char| c.is_alphanumeric()),
            "{:?}",
            coloured.0
        );
        assert_eq!(plain.1, coloured.1);
    }

    #[test]
    fn times_are_read_as_on_a_clock() {
        assert_eq!(["0:00", "2:03", "1:02:03"], [0.4, 123.0, 3723.0].map(clock));
    }
}
