//! An explanation as text of 80 columns: the record as a heat line where there are colours, and tables with bars that need none.
//! It writes to no terminal.

use super::occlusion::Method;
use super::{Baseline, Explanation, Part, Run, page};

/// Widest line.
const COLUMNS: usize = 80;
/// Tokens of a record that are listed.
const LISTED: usize = 12;
/// Widest bar.
const BAR: usize = 16;
/// Widest label.
const LABEL: usize = 16;
/// Backgrounds of the 256-colour palette from faint to strong: what carried the answer, and what spoke against it.
const FOR: [u8; 5] = [224, 217, 210, 203, 196];
const AGAINST: [u8; 5] = [189, 153, 117, 75, 33];

/// The whole explanation, line by line.
pub fn draw(explanation: &Explanation, colours: bool) -> String {
    let mut lines = head(explanation);
    let mut seen = std::collections::BTreeMap::new();
    for part in &explanation.records {
        let number = seen.entry(part.modality.as_str()).or_insert(0);
        *number += 1;
        let several = explanation.records.len() > 1;
        let name = match several {
            true => format!("{} {number}", part.modality),
            false => part.modality.clone(),
        };
        lines.push(String::new());
        lines.extend(record(part, &name, colours));
    }
    lines.join("\n") + "\n"
}

fn head(explanation: &Explanation) -> Vec<String> {
    let baseline = match explanation.baseline {
        Baseline::Zero => "zeros",
        Baseline::Mean => "the mean of training records",
    };
    let tokens = match explanation.answer_tokens {
        1 => "1 token".into(),
        n => format!("{n} tokens"),
    };
    let mut lines = wrapped(&format!(
        "What carried the answer: {}",
        one_line(&explanation.answer)
    ));
    lines.extend(wrapped(&format!(
        "Its log-probability is {} nats ({tokens}). A soft token is taken away by putting {baseline} in its place; positive: \
         the answer is less likely without it.",
        page::signed(explanation.log_probability)
    )));
    lines
}

fn record(part: &Part, name: &str, colours: bool) -> Vec<String> {
    let mut lines = wrapped(&format!("{name}: {}", one_line(&part.record)));
    lines.extend(wrapped(&page::whole(part)));
    lines.push(String::new());
    let soft = part.soft.iter().enumerate();
    let rows = soft.map(|(i, soft)| Line {
        label: format!("soft token {}", i + 1),
        at: String::new(),
        values: [soft.occlusion, soft.gradient],
    });
    lines.extend(table(&rows.collect::<Vec<_>>(), ["", ""]));
    if part.tokens.is_empty() {
        return lines;
    }
    lines.push(String::new());
    if colours {
        lines.extend(heat(part));
        lines.push(String::new());
    }
    lines.extend(strongest(part));
    lines
}

/// The tokens that matter most by occlusion, with a sentence about the others.
fn strongest(part: &Part) -> Vec<String> {
    let order = page::strongest(&part.tokens);
    let (listed, others) = order.split_at(order.len().min(LISTED));
    let rows = listed.iter().map(|run| Line {
        label: page::label(run),
        at: run.at.to_string(),
        values: [run.occlusion, run.gradient],
    });
    let mut lines = table(&rows.collect::<Vec<_>>(), ["token", "at"]);
    if let Some(next) = others.first() {
        lines.push(format!(
            "and {} more, each within ±{} nats by occlusion",
            others.len(),
            page::signed(next.occlusion.abs()).trim_start_matches('+')
        ));
    }
    lines.extend(wrapped(&page::told(part)));
    lines
}

struct Line {
    label: String,
    at: String,
    values: [f64; 2],
}

/// Two columns of values, each with bars of its own scale.
fn table(rows: &[Line], [label, at]: [&str; 2]) -> Vec<String> {
    let scale = |column: usize| {
        let sizes = rows.iter().map(|row| row.values[column].abs());
        sizes.fold(page::FLOOR, f64::max)
    };
    let scales = [scale(0), scale(1)];
    let width = rows.iter().map(|row| row.label.chars().count()).max();
    let width = width.unwrap_or(0).clamp(5, LABEL);
    let head = format!(
        "{label:<width$} {at:>4}  {:<w$}  {}",
        "occlusion",
        "gradient × input",
        w = 9 + BAR
    );
    let mut lines = vec![head];
    for row in rows {
        let name: String = row.label.chars().take(width).collect();
        let [occlusion, gradient] = [0, 1].map(|column| {
            let value = row.values[column];
            (page::signed(value), bar(value, scales[column]))
        });
        let line = format!(
            "{name:<width$} {:>4}  {:>8} {:<BAR$}  {:>8} {}",
            row.at, occlusion.0, occlusion.1, gradient.0, gradient.1
        );
        lines.push(line.trim_end().to_owned());
    }
    lines
}

/// A bar of at most [`BAR`] columns; hollow for what is negative.
fn bar(value: f64, scale: f64) -> String {
    let length = (value.abs() / scale * BAR as f64).round() as usize;
    let block = if value < 0.0 { "░" } else { "█" };
    block.repeat(length.min(BAR))
}

/// The record's tokens behind one another on a ground as dark as their occlusion is large.
fn heat(part: &Part) -> Vec<String> {
    let scale = part.tokens.iter().map(|run| run.occlusion.abs());
    let scale = scale.fold(page::FLOOR, f64::max);
    let gap = if page::apart(&part.tokens) { " " } else { "" };
    let (mut lines, mut line, mut used) = (vec![], String::new(), 0);
    for (label, run) in part
        .tokens
        .iter()
        .flat_map(|run| run.labels.iter().map(move |label| (label, run)))
    {
        let text = one_line(label);
        let width = text.chars().count() + gap.len();
        if used + width > COLUMNS && used > 0 {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
        line.push_str(&painted(&text, run, scale));
        line.push_str(gap);
        used += width;
    }
    lines.push(line);
    lines
}

fn painted(text: &str, run: &Run, scale: f64) -> String {
    let share = run.occlusion.abs() / scale;
    // What is below a tenth of the largest is left unpainted.
    let step = (share * FOR.len() as f64).ceil() as usize;
    let palette = if run.occlusion < 0.0 { AGAINST } else { FOR };
    match palette.get(step.saturating_sub(1)).filter(|_| share >= 0.1) {
        Some(colour) => format!("\u{1b}[38;5;16;48;5;{colour}m{text}\u{1b}[0m"),
        None => text.to_owned(),
    }
}

/// Control characters must not reach a terminal, whoever wrote them.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// A sentence in lines of at most [`COLUMNS`]; a word longer than that is cut into pieces.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let letters: Vec<char> = word.chars().collect();
        for piece in letters
            .chunks(COLUMNS)
            .map(|piece| piece.iter().collect::<String>())
        {
            let used = lines.last().map_or(0, |line| line.chars().count());
            match lines.last_mut() {
                Some(line) if used == 0 => line.push_str(&piece),
                Some(line) if used + 1 + piece.chars().count() <= COLUMNS => {
                    line.push(' ');
                    line.push_str(&piece);
                }
                _ => lines.push(piece),
            }
        }
    }
    lines
}

/// How the tokens were taken away, for a sentence.
pub(super) fn method(part: &Part) -> &'static str {
    match part.method {
        Method::Encoded => "taken out of the record, which was encoded again",
        Method::Pooled => "left out when the encoder's states were pooled",
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::example;
    use super::*;

    #[test]
    fn no_line_is_wider_than_a_terminal_and_the_strongest_come_first() {
        let text = draw(&example(), false);
        let widest = text.lines().map(|line| line.chars().count()).max();
        assert!(widest.is_some_and(|widest| widest <= COLUMNS), "{text}");
        assert!(!text.contains('\u{1b}'), "no colours were asked for");
        let at = |needle: &str| text.find(needle).unwrap_or(usize::MAX);
        assert!(at("Br") < at("and 2 more"), "{text}");
        assert!(text.contains("and 2 more"), "{text}");
        assert!(text.contains("+2.000 ████████████████"), "{text}");
        assert!(text.contains("-1.000 ░░░░░░░░"), "{text}");
    }

    #[test]
    fn the_heat_line_paints_what_matters_and_shows_the_whole_record() {
        let text = draw(&example(), true);
        assert!(
            text.contains("\u{1b}[38;5;16;48;5;196mBr\u{1b}[0m"),
            "{text:?}"
        );
        assert!(
            text.contains("\u{1b}[38;5;16;48;5;117mC\u{1b}[0m"),
            "{text:?}"
        );
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let mut explanation = example();
        explanation.answer = "a\u{1b}[2Jb".into();
        assert!(!draw(&explanation, false).contains('\u{1b}'));
    }
}
