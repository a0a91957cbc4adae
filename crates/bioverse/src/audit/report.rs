//! What an audit found: `audit.json`, the table for people, the verdict in words. Knows no model.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::choice::{Choice, records_of};
use super::score::Scored;
use super::verdict::{Effect, Verdict, effect, material, verdict};
use crate::error::{Error, Result};
use crate::eval::table::Table;
use crate::files;

/// Which rows were audited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// Rows the model was not trained on.
    HeldOut,
    /// Rows it was trained on, because nothing (or too little) is held out.
    Training,
}

/// The four ways in which records are shown to the model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Conditions<T> {
    /// The row's own records.
    #[serde(rename = "true")]
    pub own: T,
    /// Those of other rows.
    pub shuffled: T,
    /// The mean of the training records' soft tokens.
    pub mean: T,
    /// Soft tokens of zeros.
    pub zeroed: T,
}

/// Means over rows.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Measured {
    /// Nats per answer token.
    pub loss: f64,
    /// Share of the answer tokens that are the most probable one at their place, everything before them being right.
    pub accuracy: f64,
    /// Share of the rows where all are.
    pub exact: f64,
}

/// What changed records do.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Effects {
    /// Those of other rows: this one decides.
    pub shuffled: Effect,
    /// The mean record.
    pub mean: Effect,
    /// None.
    pub zeroed: Effect,
}

/// One modality.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModalityReport {
    /// Rows audited.
    pub rows: usize,
    /// Where they are from.
    pub side: Side,
    /// Different records among them.
    pub records: usize,
    /// What was measured, unless nothing could be told from so few.
    pub conditions: Option<Conditions<Measured>>,
    /// What follows from it.
    pub effects: Option<Effects>,
    /// Whether the model uses the records; `None` = cannot be told.
    pub uses_records: Option<bool>,
    /// The same in words; in capital letters if it does not.
    pub verdict: String,
}

/// The whole audit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Rows audited, each counted once for every modality it has.
    pub rows: usize,
    /// Means over these.
    pub conditions: Option<Conditions<Measured>>,
    /// Whether the model uses the records of all modalities; `None` = it ignores none, but not all could be told.
    pub uses_records: Option<bool>,
    /// The verdicts, one sentence after the other.
    pub verdict: String,
    /// Modality by modality.
    pub modalities: BTreeMap<String, ModalityReport>,
}

impl Measured {
    fn of(rows: &[Scored]) -> Self {
        let sum = |value: &dyn Fn(&Scored) -> f64| rows.iter().map(value).sum::<f64>();
        let tokens = sum(&|row| row.tokens as f64).max(1.0);
        let whole = |row: &Scored| f64::from(u8::from(row.right == row.tokens));
        Self {
            loss: sum(&|row| row.loss) / tokens,
            accuracy: sum(&|row| row.right as f64) / tokens,
            exact: sum(&whole) / rows.len().max(1) as f64,
        }
    }
}

impl<T> Conditions<T> {
    fn map<U>(&self, f: impl Fn(&T) -> U) -> Conditions<U> {
        Conditions {
            own: f(&self.own),
            shuffled: f(&self.shuffled),
            mean: f(&self.mean),
            zeroed: f(&self.zeroed),
        }
    }

    fn named(&self) -> [(&'static str, &T); 4] {
        [
            ("true records", &self.own),
            ("shuffled", &self.shuffled),
            ("mean record", &self.mean),
            ("zeroed", &self.zeroed),
        ]
    }
}

impl ModalityReport {
    pub(super) fn of(choice: &Choice<'_>, scored: &Conditions<Vec<Scored>>, seed: u64) -> Self {
        let conditions = scored.map(|rows| Measured::of(rows));
        let of = |changed: &[Scored]| effect(&scored.own, changed, seed);
        let effects = Effects {
            shuffled: of(&scored.shuffled),
            mean: of(&scored.mean),
            zeroed: of(&scored.zeroed),
        };
        let found = verdict(conditions.own.loss, &effects.shuffled, choice.rows.len());
        let mut report = Self::empty(choice);
        report.verdict = told(&choice.modality, &conditions, &effects, found);
        report.conditions = Some(conditions);
        report.effects = Some(effects);
        report.uses_records = match found {
            Verdict::Uses => Some(true),
            Verdict::Ignores => Some(false),
            Verdict::Open => None,
        };
        report
    }

    /// A modality of whose rows nothing can be said.
    pub(super) fn untold(choice: &Choice<'_>, why: &str) -> Self {
        let mut report = Self::empty(choice);
        let (rows, name) = (report.rows, &choice.modality);
        report.verdict = format!(
            "Whether the model uses the {name} records cannot be told: the rows with one are {rows}, and {why}; audit it with \
             `bioverse audit --data FILE`."
        );
        report
    }

    fn empty(choice: &Choice<'_>) -> Self {
        let records = choice
            .prompts()
            .flat_map(|prompt| records_of(prompt, &choice.modality));
        let distinct: std::collections::BTreeSet<String> =
            records.map(ToString::to_string).collect();
        Self {
            rows: choice.rows.len(),
            side: choice.side,
            records: distinct.len(),
            conditions: None,
            effects: None,
            uses_records: None,
            verdict: String::new(),
        }
    }

    fn table(&self, name: &str) -> String {
        let side = match self.side {
            Side::HeldOut => "held-out rows",
            Side::Training => "training rows (too little is held out)",
        };
        let title = format!(
            "audit of {name}: {} {side}, {} different records\n",
            self.rows, self.records
        );
        let (Some(conditions), Some(effects)) = (&self.conditions, &self.effects) else {
            return title;
        };
        let mut table = Table::new(
            1,
            [
                "records",
                "loss",
                "rise",
                "98 % interval",
                "token accuracy",
                "whole answers",
                "other tokens",
            ],
        );
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let effects = [
            None,
            Some(effects.shuffled),
            Some(effects.mean),
            Some(effects.zeroed),
        ];
        for ((label, measured), effect) in conditions.named().into_iter().zip(effects) {
            let of =
                |value: &dyn Fn(&Effect) -> String| effect.as_ref().map_or(String::new(), value);
            let cells = [
                format!("{:.4}", measured.loss),
                of(&|effect| format!("{:+.4}", effect.rise)),
                of(&|effect| format!("{:+.4} … {:+.4}", effect.low, effect.high)),
                percent(measured.accuracy),
                percent(measured.exact),
                of(&|effect| percent(effect.changed)),
            ];
            table.row(label, cells);
        }
        format!("{title}{table}")
    }
}

/// The verdict as a sentence.
fn told(
    name: &str,
    measured: &Conditions<Measured>,
    effects: &Effects,
    verdict: Verdict,
) -> String {
    let Effect {
        rise, low, high, ..
    } = effects.shuffled;
    let numbers = format!(
        "with the records of other rows its loss goes from {:.4} to {:.4} nats per answer token ({rise:+.4}, 98 % interval \
         {low:+.4} to {high:+.4}) and its token accuracy from {:.1} % to {:.1} %",
        measured.own.loss,
        measured.shuffled.loss,
        100.0 * measured.own.accuracy,
        100.0 * measured.shuffled.accuracy
    );
    match verdict {
        Verdict::Uses => format!("The model uses the {name} records: {numbers}."),
        Verdict::Open => format!(
            "Whether the model uses the {name} records cannot be told from so few rows: {numbers}; audit more of them with \
             `bioverse audit --data FILE`."
        ),
        Verdict::Ignores => {
            let enough = material(measured.own.loss);
            format!(
                "THE MODEL IGNORES THE {name} RECORDS: {numbers}; a rise of {enough:.4} would count. It answers from the \
                 question alone: check that the answers depend on the records, align the projector first, or train it longer."
            )
            .to_uppercase()
        }
    }
}

impl Report {
    pub(super) fn of(modalities: BTreeMap<String, ModalityReport>) -> Self {
        let all: Vec<&ModalityReport> = modalities.values().collect();
        let verdicts: Vec<&str> = all.iter().map(|report| report.verdict.as_str()).collect();
        let used: Vec<Option<bool>> = all.iter().map(|report| report.uses_records).collect();
        let uses_records = if used.contains(&Some(false)) {
            Some(false)
        } else {
            (!used.is_empty() && !used.contains(&None)).then_some(true)
        };
        let verdict = match verdicts.is_empty() {
            true => "No row has a record, so there is nothing to audit.".into(),
            false => verdicts.join(" "),
        };
        Self {
            rows: all.iter().map(|report| report.rows).sum(),
            conditions: pooled(&all),
            uses_records,
            verdict,
            modalities,
        }
    }

    /// Modalities that the model ignores.
    pub fn ignored(&self) -> impl Iterator<Item = &ModalityReport> {
        let all = self.modalities.values();
        all.filter(|report| report.uses_records == Some(false))
    }

    /// The tables and verdicts, for people.
    pub fn tables(&self) -> String {
        if self.modalities.is_empty() {
            return format!("{}\n", self.verdict);
        }
        let tables = self
            .modalities
            .iter()
            .map(|(name, report)| format!("{}{}\n", report.table(name), report.verdict));
        tables.collect::<Vec<_>>().join("\n")
    }

    /// As JSON.
    pub fn json(&self) -> Result<String> {
        let text = serde_json::to_string_pretty(self);
        text.map_err(|error| Error::Run(format!("the audit cannot be written: {error}")))
    }

    /// Writes it to `file`.
    pub fn write(&self, file: &Path) -> Result<()> {
        files::write_atomic(file, (self.json()? + "\n").as_bytes())
    }

    /// Reads what [`write`](Self::write) wrote.
    pub fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file).map_err(|error| Error::io(file, error))?;
        serde_json::from_str(&text).map_err(|error| {
            Error::Input(format!(
                "{}: is no audit ({error}); make it again with `bioverse audit`",
                file.display()
            ))
        })
    }
}

/// Means over all rows of all modalities.
fn pooled(all: &[&ModalityReport]) -> Option<Conditions<Measured>> {
    let measured: Vec<(f64, &Conditions<Measured>)> = all
        .iter()
        .filter_map(|report| Some((report.rows as f64, report.conditions.as_ref()?)))
        .collect();
    let rows: f64 = measured.iter().map(|(rows, _)| rows).sum();
    let mean = |of: &dyn Fn(&Conditions<Measured>) -> Measured| {
        let over = |value: &dyn Fn(&Measured) -> f64| {
            let sum: f64 = measured
                .iter()
                .map(|(rows, found)| rows * value(&of(found)))
                .sum();
            sum / rows
        };
        Measured {
            loss: over(&|one| one.loss),
            accuracy: over(&|one| one.accuracy),
            exact: over(&|one| one.exact),
        }
    };
    (!measured.is_empty()).then(|| Conditions {
        own: mean(&|found| found.own),
        shuffled: mean(&|found| found.shuffled),
        mean: mean(&|found| found.mean),
        zeroed: mean(&|found| found.zeroed),
    })
}
