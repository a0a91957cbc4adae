//! What runs of a sweep are compared by: which number of `metrics.jsonl` it is, whether more of it is better, and what it was
//! for the projector or adapter that a run kept.

use super::plan::{Stage, Trial};
use crate::align::more_is_better;
use crate::config::suggest;
use crate::error::{Error, Result};
use crate::eval::metrics::mean;
pub use crate::report::kept::higher_is_better;
use crate::report::kept::{HELD_OUT, Kept};
use crate::report::metrics::Training;

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

/// What a run reached: the mean over its trainings (one for each modality in stage 1); `None` where it was not measured.
pub fn reached(trainings: &[Training], metric: &str, trial: &Trial) -> Option<f64> {
    let kept = Kept::from(&trial.config);
    let values: Vec<f64> = trainings
        .iter()
        .filter_map(|training| kept.get(training, metric))
        .collect();
    (!values.is_empty()).then(|| mean(values.iter().copied()))
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
}
