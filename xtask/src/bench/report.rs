//! Results of a benchmark as a table for people and as JSON for programs, with what they were measured on.

use std::process::Command;

use super::measured::{Measured, median};

/// Rows and where they were measured.
pub struct Report {
    machine: String,
    build: String,
    date: String,
    peer: Option<String>,
    rows: Vec<Row>,
}

/// One row: medians over the processes of either side.
struct Row {
    name: &'static str,
    ours: Figures,
    theirs: Option<Figures>,
}

struct Figures {
    runs: usize,
    median_ms: f64,
    min_ms: f64,
    peak_mib: f64,
}

impl Figures {
    fn of(runs: &[Measured]) -> Option<Self> {
        let middle = |value: fn(&Measured) -> f64| median(runs.iter().map(value));
        Some(Self {
            runs: runs.len(),
            median_ms: middle(|run| run.median_ms)?,
            min_ms: runs
                .iter()
                .map(|run| run.min_ms)
                .fold(f64::INFINITY, f64::min),
            peak_mib: middle(|run| run.peak_mib)?,
        })
    }

    fn json(&self) -> String {
        format!(
            r#"{{"runs": {}, "median_ms": {:.4}, "min_ms": {:.4}, "peak_mib": {:.1}}}"#,
            self.runs, self.median_ms, self.min_ms, self.peak_mib
        )
    }
}

impl Report {
    /// Without rows.
    pub fn new(threads: usize, features: &[String]) -> Self {
        let features = match features {
            [] => "default features".to_owned(),
            features => format!("features {}", features.join(", ")),
        };
        Self {
            machine: format!("{}, {threads} threads", processor()),
            build: format!("bioverse {}, {features}", env!("CARGO_PKG_VERSION")),
            date: today(),
            peer: None,
            rows: vec![],
        }
    }

    /// Adds a row and says it in a line.
    pub fn add(
        &mut self,
        name: &'static str,
        ours: Vec<Measured>,
        theirs: Vec<Measured>,
    ) -> String {
        self.peer = theirs
            .iter()
            .find_map(|run| run.with.clone())
            .or(self.peer.take());
        let Some(ours) = Figures::of(&ours) else {
            return format!("{name}: nothing was measured");
        };
        let row = Row {
            name,
            ours,
            theirs: Figures::of(&theirs),
        };
        let line = row.line();
        self.rows.push(row);
        line
    }

    /// Markdown, as docs/benchmarks.md has it.
    pub fn table(&self) -> String {
        let peer = self.peer.as_deref().unwrap_or("no peer");
        let head = format!(
            "{}; {}; {}; {peer}\n\n| row | ours, ms a step | peer | ratio | ours, peak MiB | peer | ratio |\n\
             |---|---|---|---|---|---|---|\n",
            self.date, self.machine, self.build
        );
        let rows = self.rows.iter().map(Row::line);
        head + &rows.collect::<Vec<_>>().join("\n")
    }

    /// One object.
    pub fn json(&self) -> String {
        let rows = self.rows.iter().map(|row| {
            let theirs = row.theirs.as_ref().map_or("null".to_owned(), Figures::json);
            let ours = row.ours.json();
            format!(
                "    {{\"row\": {:?}, \"ours\": {ours}, \"peer\": {theirs}}}",
                row.name
            )
        });
        let peer = self
            .peer
            .as_ref()
            .map_or("null".to_owned(), |peer| format!("{peer:?}"));
        format!(
            "{{\n  \"date\": {:?},\n  \"machine\": {:?},\n  \"build\": {:?},\n  \"peer\": {peer},\n  \"rows\": [\n{}\n  ]\n}}\n",
            self.date,
            self.machine,
            self.build,
            rows.collect::<Vec<_>>().join(",\n")
        )
    }
}

impl Row {
    fn line(&self) -> String {
        let ours = &self.ours;
        let (theirs, time, memory, peak) = match &self.theirs {
            None => (
                "–".to_owned(),
                "–".to_owned(),
                "–".to_owned(),
                "–".to_owned(),
            ),
            Some(theirs) => (
                format!("{:.1} (fastest {:.1})", theirs.median_ms, theirs.min_ms),
                format!("{:.2}", ours.median_ms / theirs.median_ms),
                format!("{:.2}", ours.peak_mib / theirs.peak_mib),
                format!("{:.0}", theirs.peak_mib),
            ),
        };
        format!(
            "| {} | {:.1} (fastest {:.1}) | {theirs} | {time} | {:.0} | {peak} | {memory} |",
            self.name, ours.median_ms, ours.min_ms, ours.peak_mib
        )
    }
}

/// The processor's name, where the system tells it.
fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let name = name.and_then(|rest| rest.split_once(": "));
    name.map_or(std::env::consts::ARCH, |(_, name)| name)
        .to_owned()
}

fn today() -> String {
    let date = Command::new("date").args(["-u", "+%Y-%m-%d"]).output();
    let date = date.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    date.unwrap_or_else(|_| "date unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(ms: f64, peak_mib: f64) -> Measured {
        Measured {
            median_ms: ms,
            min_ms: ms / 2.0,
            peak_mib,
            ..Measured::default()
        }
    }

    #[test]
    fn ratios_are_ours_over_theirs_and_medians_of_runs() {
        let mut report = Report::new(2, &[]);
        let ours = vec![run(10.0, 100.0), run(30.0, 100.0), run(20.0, 100.0)];
        let line = report.add("stage 1", ours, vec![run(40.0, 50.0)]);
        assert_eq!(
            line,
            "| stage 1 | 20.0 (fastest 5.0) | 40.0 (fastest 20.0) | 0.50 | 100 | 50 | 2.00 |"
        );
        assert!(report.table().ends_with(&line));
        assert!(report.json().contains(r#""median_ms": 20.0000"#));
    }

    #[test]
    fn without_a_peer_there_is_no_ratio() {
        let mut report = Report::new(2, &["wgpu".to_owned()]);
        let line = report.add("stage 1", vec![run(10.0, 100.0)], vec![]);
        assert!(line.ends_with("| – | – | 100 | – | – |"), "{line}");
        assert!(report.json().contains(r#""peer": null"#));
    }
}
