//! Plain tables that are Markdown too. Numbers only become text here.

/// A table with a header; the first columns are text, the others are right-aligned.
#[derive(Debug, Clone)]
pub struct Table {
    rows: Vec<Vec<String>>,
    text_columns: usize,
}

impl Table {
    /// With the names of the columns, of which the first `text_columns` hold text.
    pub fn new<const N: usize>(text_columns: usize, header: [&str; N]) -> Self {
        Self::of(text_columns, header.map(str::to_owned).to_vec())
    }

    /// As [`new`](Self::new), for columns that are not known beforehand.
    pub fn of(text_columns: usize, header: Vec<String>) -> Self {
        Self {
            rows: vec![header],
            text_columns,
        }
    }

    /// Adds a row.
    pub fn cells(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Adds a row with a label.
    pub fn row(&mut self, label: &str, cells: impl IntoIterator<Item = String>) {
        self.cells(std::iter::once(label.to_owned()).chain(cells).collect());
    }
}

impl Table {
    /// Names of the columns.
    pub fn header(&self) -> &[String] {
        self.rows.first().map_or(&[], Vec::as_slice)
    }

    /// The other rows.
    pub fn body(&self) -> &[Vec<String>] {
        self.rows.get(1..).unwrap_or_default()
    }

    /// How many of the first columns hold text.
    pub fn text_columns(&self) -> usize {
        self.text_columns
    }

    /// The same in at most `width` columns: the columns of numbers are spread over several tables, each with the columns of
    /// text. Where even one does not fit, cells of text are cut.
    pub fn folded(&self, width: usize) -> String {
        let label = 2
            + (0..self.text_columns)
                .map(|c| self.width(c) + 3)
                .sum::<usize>();
        let (mut parts, mut part, mut used) = (vec![], vec![], label);
        for column in self.text_columns..self.header().len() {
            let more = self.width(column) + 3;
            if !part.is_empty() && used + more > width {
                parts.push(std::mem::take(&mut part));
                used = label;
            }
            part.push(column);
            used += more;
        }
        parts.push(part);
        let tables = parts
            .iter()
            .map(|part| self.cut_to(part, width).to_string());
        tables.collect::<Vec<_>>().join("\n")
    }

    /// The columns of text and those of `numbers`; cells of text are cut where the table is wider than `width`.
    fn cut_to(&self, numbers: &[usize], width: usize) -> Self {
        let texts: Vec<usize> = (0..self.text_columns).collect();
        let rest: usize = numbers.iter().map(|c| self.width(*c) + 3).sum();
        let room = width.saturating_sub(1 + rest) / texts.len().max(1);
        let total: usize = texts.iter().map(|c| self.width(*c) + 3).sum();
        let room = if 1 + rest + total > width {
            room.saturating_sub(3)
        } else {
            usize::MAX
        };
        let row = |row: &Vec<String>| {
            let cell = |c: &usize| row.get(*c).cloned().unwrap_or_default();
            let texts = texts.iter().map(cell).map(|text| cut(&text, room));
            texts.chain(numbers.iter().map(cell)).collect()
        };
        Self {
            rows: self.rows.iter().map(row).collect(),
            text_columns: self.text_columns,
        }
    }

    fn width(&self, c: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(c));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    }

    /// The line below the header, which tells Markdown how columns are aligned.
    fn rule(&self, widths: &[usize]) -> String {
        let column = |(c, width): (usize, &usize)| {
            let colon = if c < self.text_columns { "-" } else { ":" };
            format!("-{}{colon}|", "-".repeat(*width))
        };
        let columns = widths.iter().enumerate().map(column);
        format!("|{}", columns.collect::<String>())
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let columns = self.header().len();
        let widths: Vec<usize> = (0..columns).map(|c| self.width(c)).collect();
        for (i, row) in self.rows.iter().enumerate() {
            write!(f, "|")?;
            for (c, width) in widths.iter().enumerate() {
                let cell = row.get(c).map_or("", String::as_str);
                if c < self.text_columns {
                    write!(f, " {cell:<width$} |")?;
                } else {
                    write!(f, " {cell:>width$} |")?;
                }
            }
            writeln!(f)?;
            if i == 0 {
                writeln!(f, "{}", self.rule(&widths))?;
            }
        }
        Ok(())
    }
}

/// At most `room` characters, the last of them an ellipsis where something is missing.
fn cut(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let kept: String = text.chars().take(room.saturating_sub(1)).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn columns_line_up_and_markdown_reads_it() {
        let mut table = Table::new(1, ["method", "R@1", "MRR"]);
        table.row("chance", ["0.3".into(), "1.6".into()]);
        let text = table.to_string();
        assert_eq!(
            text,
            "| method | R@1 | MRR |\n|--------|----:|----:|\n| chance | 0.3 | 1.6 |\n"
        );
        assert!(text.lines().all(|line| line.len() == 22));
    }

    #[test]
    fn wide_tables_are_folded_and_nothing_but_labels_is_cut() {
        let names: Vec<String> = (0..9).map(|i| format!("metric number {i}")).collect();
        let mut table = Table::of(1, [vec!["method".into()], names].concat());
        table.row(&"long name ".repeat(9), (0..9).map(|i| i.to_string()));
        let text = table.folded(80);
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
        assert!(
            (0..9).all(|i| text.contains(&format!("metric number {i} |"))),
            "{text}"
        );
        assert!(text.contains("long n"), "{text}");
    }
}
