//! The result of one folder, printable.

use std::collections::BTreeSet;
use std::fmt;

/// Names, or how many under each first part when there are too many to read.
pub fn summary(names: &BTreeSet<String>) -> String {
    if names.len() <= 20 {
        return names.iter().cloned().collect::<Vec<_>>().join(", ");
    }
    let mut groups: Vec<(&str, usize)> = vec![];
    for name in names {
        let first = name
            .split_once(".fc")
            .or_else(|| name.split_once(".ln"))
            .map_or(name.as_str(), |(first, _)| first);
        let first = first
            .split_once(".base_model")
            .map_or(first, |(first, _)| first);
        match groups.last_mut() {
            Some((group, count)) if *group == first => *count += 1,
            _ => groups.push((first, 1)),
        }
    }
    let groups: Vec<String> = groups
        .iter()
        .map(|(group, count)| {
            if *count > 1 {
                format!("{group} ×{count}")
            } else {
                (*group).into()
            }
        })
        .collect();
    groups.join(", ")
}

/// The result of one folder.
pub struct Outcome {
    pub name: String,
    pub compared: String,
    pub inputs: usize,
    pub facts: usize,
    pub worst: (f64, String),
    pub failures: Vec<String>,
}

impl Outcome {
    /// A folder that could not be run at all.
    pub fn broken(name: String, problem: String) -> Self {
        Self {
            name,
            compared: String::new(),
            inputs: 0,
            facts: 0,
            worst: (0.0, "nothing".into()),
            failures: vec![problem],
        }
    }

    pub fn failed(&self) -> bool {
        !self.failures.is_empty()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.failed() { "FAIL" } else { "ok  " };
        write!(
            f,
            "{mark} {:<16} {:.4} of the tolerance at worst ({})",
            self.name, self.worst.0, self.worst.1
        )?;
        write!(
            f,
            "\n       compared {}; {} inputs, {} exact facts",
            self.compared, self.inputs, self.facts
        )?;
        for failure in self.failures.iter().take(12) {
            write!(
                f,
                "\n       - {}",
                failure.chars().take(600).collect::<String>()
            )?;
        }
        if self.failures.len() > 12 {
            write!(f, "\n       - and {} more", self.failures.len() - 12)?;
        }
        Ok(())
    }
}
