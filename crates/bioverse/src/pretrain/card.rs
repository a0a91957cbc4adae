//! The model card: what was trained, on what, how, and what it can and cannot do, from measured values.

use std::fmt::Write;

use super::config::{CorpusSection, PretrainConfig};

/// (name, value).
pub(super) type Lines = Vec<(&'static str, String)>;
/// (what, value, value of the baselines).
pub(super) type Quality = Vec<(String, String, String)>;

/// Everything a card tells beyond the configuration.
pub(super) struct Facts<'a> {
    /// One paragraph: what the model is.
    pub summary: String,
    /// Architecture and size.
    pub architecture: Lines,
    /// Rows used of each corpus.
    pub rows: &'a [usize],
    /// What was learnt from and held out, in a sentence.
    pub amounts: String,
    /// How it was trained, in a paragraph.
    pub recipe: String,
    /// Seconds of training.
    pub seconds: f64,
    /// Measured on held-out data.
    pub quality: Quality,
    /// What the baselines are, in a sentence.
    pub baselines: String,
    /// What it must not be used for, in a paragraph.
    pub limits: String,
    /// How to make it again.
    pub command: String,
}

/// The card as Markdown with the front matter the Hugging Face Hub reads.
pub(super) fn card(config: &PretrainConfig, facts: &Facts<'_>) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_card(&mut text, config, facts);
    text
}

fn write_card(out: &mut String, config: &PretrainConfig, facts: &Facts<'_>) -> std::fmt::Result {
    writeln!(
        out,
        "---\nlicense: cc-by-4.0\nlibrary_name: bioverse\n---\n"
    )?;
    writeln!(out, "# {}\n\n{}\n", config.title, facts.summary)?;
    writeln!(out, "| | |\n|---|---|")?;
    for (name, value) in &facts.architecture {
        writeln!(out, "| {name} | {value} |")?;
    }
    writeln!(out, "\n## Data\n\n{}\n", facts.amounts)?;
    writeln!(out, "| source | rows used | licence |\n|---|---|---|")?;
    for (source, license, rows) in sources(&config.corpus, facts.rows) {
        writeln!(out, "| {source} | {rows} | {license} |")?;
    }
    writeln!(out, "\n## Recipe\n\n{}\n", facts.recipe)?;
    writeln!(
        out,
        "Seed {}, {} steps, {:.0} minutes of wall-clock time on {}. Made by:\n\n```sh\n{}\n```\n",
        config.seed,
        config.train.steps,
        facts.seconds / 60.0,
        hardware(),
        facts.command
    )?;
    writeln!(out, "## Quality on held-out data\n")?;
    writeln!(out, "| | this model | baselines |\n|---|---|---|")?;
    for (name, value, baseline) in &facts.quality {
        writeln!(out, "| {name} | {value} | {baseline} |")?;
    }
    writeln!(
        out,
        "\n{}\n\n## Limits\n\n{}",
        facts.baselines, facts.limits
    )
}

/// One line per source, however many sections read it.
fn sources(corpus: &[CorpusSection], rows: &[usize]) -> Vec<(String, String, usize)> {
    let mut found: Vec<(String, String, usize)> = Vec::new();
    for (section, rows) in corpus.iter().zip(rows) {
        match found
            .iter_mut()
            .find(|(source, ..)| *source == section.source)
        {
            Some((.., sum)) => *sum += rows,
            None => found.push((section.source.clone(), section.license.clone(), *rows)),
        }
    }
    found
}

/// Threads in use and the processor as the system names it.
fn hardware() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unnamed", |(_, name)| name.trim());
    match rayon::current_num_threads() {
        1 => format!("one thread of a CPU ({name})"),
        threads => format!("{threads} threads of a CPU ({name})"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn sections_of_one_source_share_a_line() {
        let section = |source: &str| -> CorpusSection {
            toml::from_str(&format!("path='p'\nsource='{source}'\nlicense='MIT'")).unwrap()
        };
        let lines = sources(&[section("a"), section("b"), section("a")], &[1, 20, 300]);
        let expected = [("a", 301), ("b", 20)].map(|(s, n)| (s.to_string(), "MIT".to_string(), n));
        assert_eq!(lines, expected);
    }
}
