//! What runs of a sweep are compared by: which number of `metrics.jsonl` it is, whether more of it is better, and what it was
//! for the projector or adapter that a run kept.

use super::plan::{Stage, Trial};
use crate::align::more_is_better;
use crate::config::suggest;
use crate::error::{Error, Result};
use crate::eval::metrics::mean;
use crate::report::metrics::{Line, Training};

const HELD_OUT: &str = "held_out_";

/// The metric of a sweep: the one that is named, or held-out MRR for stage 1 and held-out loss for stage 2.
///
/// # Errors
/// When stage 1 measures nothing of that name.
pub fn chosen(stage: Stage, named: Option<&str>) -> Result<String> {
    let Some(name) = named else {
        let usual = if stage == Stage::Align {
            "held_out_mrr"
        } else {
            "held_out_loss"
        };
        return Ok(usual.into());
    };
    let known = name
        .strip_prefix(HELD_OUT)
        .is_none_or(|metric| more_is_better(metric).is_some());
    if stage == Stage::Finetune || known {
        return Ok(name.into());
    }
    let all: Vec<String> = crate::align::measured()
        .map(|metric| format!("{HELD_OUT}{metric}"))
        .collect();
    let hint = suggest::hint(name, all.iter().map(String::as_str));
    Err(Error::Input(format!(
        "--metric {name}: stage 1 measures nothing of that name{hint}"
    )))
}

/// Whether the larger value is the better one.
pub fn higher_is_better(metric: &str) -> bool {
    let name = metric.strip_prefix(HELD_OUT).unwrap_or(metric);
    more_is_better(name).unwrap_or_else(|| {
        !["loss", "perplexity", "norm", "seconds", "bytes"]
            .iter()
            .any(|word| name.contains(word))
    })
}

/// What a run reached: the mean over its trainings (one for each modality in stage 1); `None` where it was not measured.
pub fn reached(trainings: &[Training], metric: &str, trial: &Trial) -> Option<f64> {
    let values: Vec<f64> = trainings
        .iter()
        .filter_map(|training| of(training, metric, trial))
        .collect();
    (!values.is_empty()).then(|| mean(values.iter().copied()))
}

/// Of one training: at the step whose parameters were kept.
fn of(training: &Training, metric: &str, trial: &Trial) -> Option<f64> {
    let stopped = match training.name.starts_with("finetune") {
        true => trial.config.finetune.early_stopping.then_some("loss"),
        false => trial.config.align.early_stopping.as_deref(),
    };
    match stopped {
        None => training.last(metric),
        Some(name) => best(training, &format!("{HELD_OUT}{name}"))?.get(metric),
    }
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

    #[test]
    fn a_metric_has_a_direction_and_a_mistyped_one_is_refused() {
        assert!(higher_is_better("held_out_mrr_to_text") && !higher_is_better("held_out_foscttm"));
        assert!(
            !higher_is_better("held_out_loss")
                && !higher_is_better("grad_norm")
                && higher_is_better("rows_per_s")
        );
        assert_eq!(chosen(Stage::Align, None).unwrap(), "held_out_mrr");
        assert_eq!(chosen(Stage::Finetune, None).unwrap(), "held_out_loss");
        assert_eq!(chosen(Stage::Align, Some("loss")).unwrap(), "loss");
        let error = chosen(Stage::Align, Some("held_out_mmr")).unwrap_err();
        assert!(
            error.to_string().contains("did you mean `held_out_mrr`?"),
            "{error}"
        );
    }

    #[test]
    fn the_best_line_is_the_first_of_the_best() {
        let line = |step, value| Line {
            step,
            values: vec![("held_out_loss".into(), value), ("loss".into(), 9.0)],
        };
        let training = Training {
            name: "finetune".into(),
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
        };
        assert_eq!(best(&training, "held_out_loss").unwrap().step, 2);
        assert!(best(&training, "held_out_mrr").is_none());
    }
}
