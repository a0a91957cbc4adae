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
        let columns = self.rows.first().map_or(0, Vec::len);
        let width = |c: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(c));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
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
}
