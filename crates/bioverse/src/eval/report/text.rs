//! Findings as plain tables: short for a terminal of 80 columns, complete for Markdown.

use super::super::{
    bootstrap::{self, Contest},
    findings::{Findings, Method, Sheet},
    table::Table,
};
use super::Report;

/// Columns of a terminal.
const WIDTH: usize = 80;
/// Characters of a hash that tell it from others.
const SHORT: usize = 12;

/// What is printed.
pub fn terminal(report: &Report) -> String {
    let mut text = String::new();
    for findings in &report.findings {
        text += &format!("{}\n", wrapped(&heading(findings)));
        for sheet in sheets(findings) {
            text += &format!("\n{}\n\n{}", wrapped(&sheet.title), fitting(&sheet.table));
            text += &after(&sheet.legend);
        }
        for (metric, table) in contests(report, findings, true) {
            let table = fitting(&table);
            text += &format!("\nmodel against the others, {metric}\n\n{table}");
        }
        for note in &findings.notes {
            text += &format!("\n{}\n", wrapped(note));
        }
        text.push('\n');
    }
    for left_out in &report.left_out {
        let line = format!("{} was left out: {}", left_out.suite, left_out.why);
        text += &format!("{}\n", wrapped(&line));
    }
    text
}

/// `report.md`.
pub fn markdown(report: &Report) -> String {
    let what = match report.compared {
        Some(_) => "Comparison",
        None => "Evaluation",
    };
    let mut text = format!("# {what} of `{}`\n", report.bundle);
    for findings in &report.findings {
        text += &format!("\n## {}\n", heading(findings));
        for sheet in sheets(findings) {
            text += &format!("\n### {}\n\n{}", sheet.title, sheet.table);
            text += &after(&sheet.legend);
        }
        for (metric, table) in contests(report, findings, false) {
            text += &format!("\n### model against the others, {metric}\n\n{table}");
        }
        text += &format!("\n### Every number\n\n{}", numbers(findings));
        text += &format!("\n{}\n", bootstrap::METHOD);
        for note in &findings.notes {
            text += &format!("\n{note}\n");
        }
        if !findings.definitions.is_empty() {
            text += "\n### Definitions\n\n";
        }
        for (metric, definition) in &findings.definitions {
            text += &format!("- `{metric}`: {definition}\n");
        }
    }
    for left_out in &report.left_out {
        text += &format!("\n`{}` was left out: {}\n", left_out.suite, left_out.why);
    }
    text
}

/// `annotate, cell: 527 rows (split 3f5a…), 1584 to learn from`.
pub fn heading(findings: &Findings) -> String {
    let name = match &findings.modality {
        Some(modality) => format!("{}, {modality}", findings.suite),
        None => findings.suite.to_owned(),
    };
    let hash: String = findings.split_sha256.chars().take(SHORT).collect();
    let learnt = match findings.train_rows {
        0 => String::new(),
        n => format!("; baselines learnt from {n} others"),
    };
    format!("{name}: {} rows (split {hash}){learnt}", findings.rows)
}

/// The suite's own tables, or where it has none, all its numbers.
pub fn sheets(findings: &Findings) -> Vec<Sheet> {
    if !findings.sheets.is_empty() {
        return findings.sheets.clone();
    }
    vec![Sheet {
        title: "numbers with 95 % intervals".into(),
        table: numbers(findings),
        legend: String::new(),
    }]
}

/// Every number of every method with its interval.
pub fn numbers(findings: &Findings) -> Table {
    let mut table = Table::new(2, ["method", "metric", "value", "95 % interval"]);
    for Method { name, numbers, .. } in &findings.methods {
        for (metric, number) in numbers {
            let interval = number.interval.map_or(String::new(), between);
            table.row(name, [metric.clone(), fixed(number.value), interval]);
        }
    }
    table
}

/// The tables of contests of a report; of two bundles the suite's own table says it all.
pub fn contests(report: &Report, findings: &Findings, headline: bool) -> Vec<(String, Table)> {
    match report.compared {
        Some(_) => vec![],
        None => contest_tables(findings, headline),
    }
}

/// One table per metric: the model against each other method. Only of the headline metrics, or of all.
fn contest_tables(findings: &Findings, headline: bool) -> Vec<(String, Table)> {
    let contests = findings.contests();
    let mut metrics: Vec<&str> = vec![];
    for (_, metric, _) in &contests {
        let wanted = !headline || findings.is_headline(metric);
        if wanted && !metrics.contains(metric) {
            metrics.push(metric);
        }
    }
    let table = |metric: &str| {
        let mut table = Table::new(1, CONTEST);
        for (method, of, contest) in &contests {
            if *of == metric {
                table.row(method, contest_cells(contest));
            }
        }
        (metric.to_owned(), table)
    };
    metrics.into_iter().map(table).collect()
}

/// Columns of a table of contests.
pub const CONTEST: [&str; 5] = [
    "against",
    "difference",
    "95 % interval",
    "wins/ties/losses",
    "result",
];

/// A contest as cells, but for the first.
pub fn contest_cells(contest: &Contest) -> [String; 4] {
    [
        format!("{:+.3}", contest.difference),
        between(contest.interval),
        format!("{}/{}/{}", contest.wins, contest.ties, contest.losses),
        contest.verdict().to_owned(),
    ]
}

/// `0.123 to 0.456`.
pub fn between([low, high]: [f64; 2]) -> String {
    format!("{} to {}", fixed(low), fixed(high))
}

/// Three decimals.
pub fn fixed(value: f64) -> String {
    format!("{value:.3}")
}

/// A table that is too wide for the terminal is broken into one that says the same in more lines.
fn fitting(table: &Table) -> String {
    let text = table.to_string();
    if text.lines().all(|line| line.chars().count() <= WIDTH) {
        return text;
    }
    table.folded(WIDTH)
}

fn after(legend: &str) -> String {
    match legend.trim() {
        "" => String::new(),
        legend => format!("\n{}\n", wrapped(legend)),
    }
}

/// Lines of at most 80 characters, broken between words; a longer word stands alone and is cut.
fn wrapped(text: &str) -> String {
    let mut lines: Vec<String> = vec![];
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            let pieces: Vec<char> = word.chars().collect();
            for piece in pieces.chunks(WIDTH) {
                if !line.is_empty() && line.chars().count() + 1 + piece.len() > WIDTH {
                    lines.push(std::mem::take(&mut line));
                }
                if !line.is_empty() {
                    line.push(' ');
                }
                line.extend(piece);
            }
        }
        lines.push(line);
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words() {
        let text = wrapped(&"word ".repeat(40));
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH));
        assert_eq!(text.split_whitespace().count(), 40);
        assert_eq!(wrapped(&"x".repeat(100)).lines().count(), 2);
    }
}
