//! Which step of a training its bundle holds: the last, or with early stopping the best. Says nothing about why a run stopped,
//! and reads no parameters.

use super::metrics::{Line, Training};
use super::provenance::Config;
use crate::align::more_is_better;
use crate::config::RunConfig;

/// What the names of measurements on held-out rows begin with.
pub const HELD_OUT: &str = "held_out_";

/// What decides which step of a run is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// `align.early_stopping`.
    pub align: Option<String>,
    /// `finetune.early_stopping`.
    pub finetune: bool,
}

impl From<&RunConfig> for Kept {
    fn from(config: &RunConfig) -> Self {
        Self {
            align: config.align.early_stopping.clone(),
            finetune: config.finetune.early_stopping,
        }
    }
}

impl Kept {
    /// As the configuration of a run says; without one it is the last step.
    pub fn of(config: Option<&Config>) -> Self {
        config.map_or_else(Self::default, |config| Self {
            align: config.text("align.early_stopping").map(str::to_owned),
            finetune: config
                .get("finetune.early_stopping")
                .and_then(toml::Value::as_bool)
                .unwrap_or(false),
        })
    }

    /// The key by which the best step of a training is chosen; `None` where the last one is kept.
    fn by(&self, training: &Training) -> Option<String> {
        let name = match training.name.starts_with("finetune") {
            true => self.finetune.then_some("loss"),
            false => self.align.as_deref(),
        };
        name.map(|name| format!("{HELD_OUT}{name}"))
    }

    /// A number at the step whose parameters are kept.
    pub fn get(&self, training: &Training, key: &str) -> Option<f64> {
        match self.by(training) {
            None => training.last(key),
            Some(by) => best(training, &by)?.get(key),
        }
    }

    /// The best line, where not the last step is kept but that one.
    pub fn line<'a>(&self, training: &'a Training) -> Option<&'a Line> {
        let best = best(training, &self.by(training)?)?;
        (best.step != training.last_step()).then_some(best)
    }
}

/// Whether the larger value of a metric is the better one.
pub fn higher_is_better(metric: &str) -> bool {
    let name = metric.strip_prefix(HELD_OUT).unwrap_or(metric);
    more_is_better(name).unwrap_or_else(|| {
        !["loss", "perplexity", "norm", "seconds", "bytes"]
            .iter()
            .any(|word| name.contains(word))
    })
}

fn best<'a>(training: &'a Training, by: &str) -> Option<&'a Line> {
    let sign = if higher_is_better(by) { 1.0 } else { -1.0 };
    let value = |line: &Line| line.get(by).map_or(f64::NEG_INFINITY, |value| sign * value);
    // What was measured before the first step, a line without a loss, is not compared.
    let trained = training
        .lines
        .iter()
        .filter(|line| line.get("loss").is_some());
    let measured = trained.filter(|line| line.get(by).is_some());
    // Of equals the first, as the loop keeps it.
    measured.reduce(|best, line| {
        if value(line) > value(best) {
            line
        } else {
            best
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn training(name: &str) -> Training {
        let line = |step, value| Line {
            step,
            values: vec![("held_out_loss".into(), value), ("loss".into(), 9.0)],
        };
        Training {
            name: name.into(),
            lines: vec![
                Line {
                    step: 0,
                    values: vec![("held_out_loss".into(), 0.5)],
                },
                line(1, 2.0),
                line(2, 1.0),
                line(3, 1.0),
                line(4, 3.0),
            ],
        }
    }

    #[test]
    fn the_best_line_is_the_first_of_the_best() {
        let training = training("finetune");
        assert_eq!(best(&training, "held_out_loss").unwrap().step, 2);
        assert!(best(&training, "held_out_mrr").is_none());
    }

    #[test]
    fn what_is_kept_is_as_the_file_of_the_run_says() {
        let dir = tempfile::tempdir().unwrap();
        let kept = |text: &str| {
            std::fs::write(dir.path().join("config.toml"), text).unwrap();
            Kept::of(Config::find(dir.path()).as_ref())
        };
        let (first, second) = (training("align molecule"), training("finetune"));
        let last = kept("[align]\nlr = 1.0\n");
        assert_eq!(last, Kept::from(&RunConfig::default()));
        assert_eq!(last.get(&second, "held_out_loss"), Some(3.0));
        assert!(last.line(&second).is_none());
        let stage_2 = kept("[finetune]\nearly_stopping = true\n");
        assert_eq!(stage_2.line(&second).map(|line| line.step), Some(2));
        assert_eq!(stage_2.get(&first, "held_out_loss"), Some(3.0));
        let stage_1 = kept("[align]\nearly_stopping = \"loss\"\n");
        assert_eq!(stage_1.get(&first, "held_out_loss"), Some(1.0));
        assert!(stage_1.line(&second).is_none());
    }
}
