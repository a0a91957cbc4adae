//! What is measured on held-out pairs while a projector is being aligned, under which names, and which of it says how good
//! the projector is. How vectors are measured is for [`diagnose`](super::diagnose) to know.

use bioverse_core::Projector;
use burn::module::Module;
use burn::prelude::*;

use super::diagnose::{Diagnosis, NEIGHBOURS, Numbers, cka, diagnose, mutual_knn};
use super::raw;
use super::target::Target;
use super::train::vectors;
use crate::config::{RunConfig, suggest};
use crate::error::{Error, Result};
use crate::eval::metrics::Retrieval;
use crate::telemetry::Fields;
use crate::train::Observation;

/// Chooses the best projector where `align.early_stopping` names nothing else.
const DEFAULT: &str = "mrr";

/// What `align.early_stopping` may name, and whether more of it is better.
const METRICS: [(&str, bool); 20] = [
    ("mrr", true),
    ("mrr_to_text", true),
    ("mrr_to_bio", true),
    ("r1", true),
    ("r1_to_text", true),
    ("r1_to_bio", true),
    ("r5", true),
    ("r5_to_text", true),
    ("r5_to_bio", true),
    ("r10", true),
    ("r10_to_text", true),
    ("r10_to_bio", true),
    ("cka", true),
    ("mutual_knn", true),
    ("loss", false),
    ("modality_gap", false),
    ("foscttm", false),
    ("alignment", false),
    ("uniformity_bio", false),
    ("uniformity_text", false),
];

/// Whether more of a measurement is better, by its name without `held_out_`; `None` for what is not measured.
pub fn more_is_better(name: &str) -> Option<bool> {
    let found = METRICS.into_iter().find(|(known, _)| *known == name);
    found.map(|(_, more)| more)
}

/// Everything that is measured on held-out pairs.
pub fn measured() -> impl Iterator<Item = &'static str> {
    METRICS.into_iter().map(|(name, _)| name)
}

/// Refuses an `align.early_stopping` that nothing is measured under, or a run that measures nothing. `held_out` gives the
/// held-out pairs of each modality.
pub(super) fn check<'a>(
    config: &RunConfig,
    held_out: impl Iterator<Item = (&'a str, usize)>,
) -> Result<()> {
    let Some(name) = &config.align.early_stopping else {
        return Ok(());
    };
    let known = METRICS.map(|(name, _)| name);
    if !known.contains(&name.as_str()) {
        let (near, all) = (suggest::nearest(name, known), suggest::quoted(&known));
        let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        return Err(Error::Input(format!(
            "`align.early_stopping` names `{name}`, which is not measured on held-out pairs (measured are {all}){near}"
        )));
    }
    match held_out.into_iter().find(|(_, pairs)| *pairs < 2) {
        Some((modality, _)) => Err(Error::Input(format!(
            "`align.early_stopping` is `{name}`, but fewer than two `{modality}` pairs are held out to measure it on; give \
             some with `data.split_by`, `data.split_field` or `data.eval`, or leave `align.early_stopping` out"
        ))),
        None => Ok(()),
    }
}

/// Measures the held-out pairs, if there are any; before the first step the raw encoder too.
pub(super) fn measure(
    target: &Target,
    projector: &Projector,
    step: usize,
    config: &RunConfig,
    device: &Device,
) -> Result<Option<Observation>> {
    let pairs = &target.held_out;
    if pairs.records.is_empty() {
        return Ok(None);
    }
    let rows: Vec<usize> = (0..pairs.records.len()).collect();
    let (bio, text) = vectors(target, &projector.valid(), pairs, &rows, device)?;
    let numbers = Numbers {
        texts: &pairs.text_numbers,
        records: &pairs.record_numbers,
    };
    let found = diagnose(bio.clone(), text.clone(), numbers, config.align.temperature);
    let mut fields = Fields::new();
    fill(&mut fields, &found);
    put(&mut fields, "held_out_cka", cka(bio.clone(), text.clone()));
    put(
        &mut fields,
        "held_out_mutual_knn",
        mutual_knn(bio, text, NEIGHBOURS),
    );
    if step == 0 {
        fields.extend(raw::measure(target, numbers, device)?);
    }
    Ok(Some(Observation {
        message: format!(
            "held-out R@1 {:.1}/{:.1} % · MRR {:.3}/{:.3} of {}",
            100.0 * found.to_text.r1,
            100.0 * found.to_bio.r1,
            found.to_text.mrr,
            found.to_bio.mrr,
            found.texts
        ),
        score: score(&fields, config),
        fields,
    }))
}

/// What `align.early_stopping` names, turned so that higher is better.
fn score(fields: &Fields, config: &RunConfig) -> Option<f64> {
    let name = config.align.early_stopping.as_deref().unwrap_or(DEFAULT);
    let (_, more_is_better) = METRICS.into_iter().find(|(known, _)| *known == name)?;
    let value = fields.get(&format!("held_out_{name}"))?.as_f64()?;
    Some(if more_is_better { value } else { -value })
}

/// Everything of a diagnosis as `held_out_<metric>`.
fn fill(fields: &mut Fields, found: &Diagnosis) {
    retrieval(fields, "held_out", &found.to_text, &found.to_bio);
    for (name, value) in [
        ("loss", found.loss),
        ("modality_gap", found.modality_gap),
        ("foscttm", found.foscttm),
        ("alignment", found.alignment),
        ("uniformity_bio", found.uniformity_bio),
        ("uniformity_text", found.uniformity_text),
    ] {
        put(fields, &format!("held_out_{name}"), value);
    }
    fields.insert("held_out_texts".into(), found.texts.into());
}

/// Both directions of a retrieval and their means.
pub(super) fn retrieval(fields: &mut Fields, prefix: &str, text: &Retrieval, bio: &Retrieval) {
    for (name, text, bio) in [
        ("r1", text.r1, bio.r1),
        ("r5", text.r5, bio.r5),
        ("r10", text.r10, bio.r10),
        ("mrr", text.mrr, bio.mrr),
    ] {
        put(fields, &format!("{prefix}_{name}_to_text"), text);
        put(fields, &format!("{prefix}_{name}_to_bio"), bio);
        put(fields, &format!("{prefix}_{name}"), (text + bio) / 2.0);
    }
}

/// A number under a name.
pub(super) fn put(fields: &mut Fields, name: &str, value: f64) {
    fields.insert(name.into(), value.into());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn config(name: Option<&str>) -> RunConfig {
        let mut config = RunConfig::default();
        config.align.early_stopping = name.map(str::to_owned);
        config
    }

    fn diagnosis() -> Diagnosis {
        let ranks = |ranks: &[f64]| Retrieval::from_ranks(ranks);
        Diagnosis {
            to_text: ranks(&[1.0, 2.0]),
            to_bio: ranks(&[1.0, 4.0]),
            loss: 1.5,
            modality_gap: 0.3,
            foscttm: 0.2,
            alignment: 0.7,
            uniformity_bio: -2.0,
            uniformity_text: -1.0,
            texts: 2,
        }
    }

    #[test]
    fn every_name_that_may_be_chosen_is_measured_and_knows_its_direction() {
        let mut fields = Fields::new();
        fill(&mut fields, &diagnosis());
        put(&mut fields, "held_out_cka", 0.5);
        put(&mut fields, "held_out_mutual_knn", 0.5);
        for (name, more_is_better) in METRICS {
            check(&config(Some(name)), [("dna", 9)].into_iter()).unwrap();
            let value = fields[&format!("held_out_{name}")].as_f64().unwrap();
            let expected = if more_is_better { value } else { -value };
            assert_eq!(
                score(&fields, &config(Some(name))),
                Some(expected),
                "{name}"
            );
        }
        assert_eq!(score(&fields, &config(None)), Some((0.75 + 0.625) / 2.0));
    }

    #[test]
    fn what_is_not_measured_is_refused() {
        let say = |name, pairs| {
            let error = check(
                &config(Some(name)),
                [("dna", 9), ("rna", pairs)].into_iter(),
            );
            error.unwrap_err().to_string()
        };
        let unknown = say("mmr", 9);
        assert!(unknown.contains("did you mean `mrr`?"), "{unknown}");
        assert!(unknown.contains("`foscttm`"), "{unknown}");
        assert!(say("texts", 9).contains("not measured"));
        let none = say("mrr", 0);
        assert!(none.contains("fewer than two `rna` pairs"), "{none}");
        assert!(check(&config(None), [("rna", 0)].into_iter()).is_ok());
    }
}
