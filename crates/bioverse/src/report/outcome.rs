//! What came out of a run, in sentences and in the few numbers that are looked for first. Curves and tables are made elsewhere.

use serde::Serialize;

use super::axis::{duration, number, percent};
use super::evidence::Audit;
use super::kept::Kept;
use super::metrics::Training;
use super::progress::{Progress, State};
use super::retrieval;

/// A number that is looked for first.
#[derive(Debug, Serialize)]
pub(super) struct Tile {
    label: String,
    value: String,
    note: String,
}

impl Tile {
    /// Nothing without a value.
    fn of(label: String, value: Option<String>, note: String) -> Option<Self> {
        value.map(|value| Self { label, value, note })
    }
}

/// What came out, in sentences; the first is the headline.
pub(super) fn outcome(
    (trainings, kept): (&[Training], &Kept),
    progress: &Progress,
    audits: &[Audit],
    verb: &str,
) -> Vec<String> {
    let mut told: Vec<String> = vec![];
    if progress.state() == State::Unfinished {
        let of = progress.planned.map_or(String::new(), |planned| {
            format!(" of {}", number(planned as f64))
        });
        told.push(match trainings.is_empty() {
            true => "This run has not come to its first step: nothing was logged yet.".into(),
            false => format!(
                "This run is at step {}{of}: it is still going, or it was stopped and goes on with bioverse {verb} … --resume.",
                number(progress.done as f64)
            ),
        });
    }
    told.extend(
        trainings
            .iter()
            .filter_map(|training| sentence(training, kept)),
    );
    // The whole verdict stands in its section.
    let short = |audit: &Audit| audit.verdict.split(':').next().map(str::to_owned);
    let verdicts = audits.iter().filter_map(short);
    let verdicts = verdicts.filter(|verdict| !verdict.is_empty());
    told.extend(verdicts.map(|verdict| format!("{}.", verdict.trim_end_matches('.'))));
    told
}

/// The result of one training, at the step whose parameters are kept.
fn sentence(training: &Training, kept: &Kept) -> Option<String> {
    let best = kept.line(training);
    let of = best.map_or(String::new(), |line| {
        format!(
            "; these are of step {}, the best, which is kept",
            number(line.step as f64)
        )
    });
    if let (Some(r1), Some(mrr), Some(chance)) = (
        kept.get(training, "held_out_r1"),
        kept.get(training, "held_out_mrr"),
        retrieval::chance(training),
    ) {
        let texts = number(training.last("held_out_texts").unwrap_or_default());
        let subject = training
            .name
            .strip_prefix("align ")
            .unwrap_or(&training.name);
        return Some(format!(
            "{subject}: the right partner comes first for {} of the held-out pairs among {texts} texts (chance {}), with an MRR of {} (chance {}){of}.",
            percent(r1),
            percent(chance.r1),
            percent(mrr),
            percent(chance.mrr)
        ));
    }
    let (first, last) = (training.first("loss")?, kept.get(training, "loss")?);
    let step = best.map_or(training.last_step(), |line| line.step);
    let steps = number(step as f64);
    let held_out = kept
        .get(training, "held_out_loss")
        .map_or(String::new(), |loss| {
            format!("; on held-out rows it is {}", number(loss))
        });
    Some(format!(
        "{}: the loss went from {} to {} by step {steps}{}{held_out}.",
        training.name,
        number(first),
        number(last),
        best.map_or("", |_| ", the best, which is kept")
    ))
}

/// The numbers of a run that are looked for first.
pub(super) fn tiles(trainings: &[Training], progress: &Progress, kept: &Kept) -> Vec<Tile> {
    let planned = progress.planned.map_or(String::new(), |planned| {
        format!("of {} planned", number(planned as f64))
    });
    let done = (!trainings.is_empty()).then(|| number(progress.done as f64));
    let of = |training: &Training| match trainings.len() {
        1 => String::new(),
        _ => format!(", {}", training.name.trim_start_matches("align ")),
    };
    let seconds: f64 = trainings
        .iter()
        .filter_map(|training| training.last("seconds"))
        .sum();
    let time = (seconds > 0.0).then(|| duration(seconds));
    let mut tiles = vec![Tile::of("steps".into(), done, planned)];
    tiles.extend(
        trainings
            .iter()
            .flat_map(|one| reached(one, kept, &of(one))),
    );
    tiles.push(Tile::of("time".into(), time, "in training".into()));
    tiles.into_iter().flatten().collect()
}

/// What one training reached, beside where it began; `of` tells its numbers from those of others.
fn reached(training: &Training, kept: &Kept, of: &str) -> Vec<Option<Tile>> {
    let at = kept.line(training).map_or(String::new(), |line| {
        format!(", at step {}", number(line.step as f64))
    });
    let tile = |label: &str, key: &str, show: fn(f64) -> String| {
        let first = training.first(key);
        let from = first.map_or(String::new(), |value| format!("from {}{at}", show(value)));
        Tile::of(
            format!("{label}{of}"),
            kept.get(training, key).map(show),
            from,
        )
    };
    let mut tiles = vec![
        tile("loss", "loss", number),
        tile("held-out R@1", "held_out_r1", percent),
        tile("held-out MRR", "held_out_mrr", percent),
    ];
    if training.last("held_out_mrr").is_none() {
        tiles.push(tile("held-out loss", "held_out_loss", number));
    }
    tiles
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::super::metrics::Line;
    use super::*;

    #[test]
    fn what_is_told_first_is_of_the_step_that_is_kept() {
        let line = |step, loss, mrr| Line {
            step,
            values: [
                ("loss", loss),
                ("held_out_loss", loss),
                ("held_out_r1", mrr),
                ("held_out_mrr", mrr),
                ("held_out_texts", 10.0),
            ]
            .map(|(key, value)| (key.to_owned(), value))
            .to_vec(),
        };
        let mut training = Training {
            name: "align molecule".into(),
            lines: vec![line(1, 3.0, 0.1), line(5, 1.0, 0.6), line(9, 2.0, 0.5)],
        };
        let progress = Progress {
            done: 9,
            planned: None,
            bundle: true,
            settled: true,
        };
        let value = |training: &Training, kept: &Kept, label: &str| {
            let tiles = tiles(std::slice::from_ref(training), &progress, kept);
            let tile = tiles.into_iter().find(|tile| tile.label == label).unwrap();
            (tile.value, tile.note)
        };
        let (last, best) = (
            Kept::default(),
            Kept {
                align: Some("mrr".into()),
                finetune: true,
            },
        );
        assert!(sentence(&training, &last).unwrap().contains("50.0 %"));
        let said = sentence(&training, &best).unwrap();
        assert!(
            said.contains("60.0 %") && said.contains("of step 5"),
            "{said}"
        );
        assert_eq!(value(&training, &last, "held-out MRR").0, percent(0.5));
        let (shown, note) = value(&training, &best, "held-out MRR");
        assert!(
            shown == percent(0.6) && note.ends_with("at step 5"),
            "{shown} {note}"
        );
        training.name = "finetune".into();
        for line in &mut training.lines {
            line.values.truncate(2);
        }
        let said = sentence(&training, &best).unwrap();
        assert!(
            said.contains("to 1 by step 5, the best, which is kept; on held-out rows it is 1."),
            "{said}"
        );
        assert_eq!(value(&training, &best, "held-out loss").0, number(1.0));
        assert_eq!(value(&training, &last, "held-out loss").0, number(2.0));
    }
}
