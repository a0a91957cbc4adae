//! Does the model use the records it is given? Losses and accuracies of answers with the true records, with those of other
//! rows, with the mean record and with none, and a verdict. A model can learn to answer from the question alone and look
//! well trained, so nothing else would tell.
//!
//! | module | what it holds |
//! |---|---|
//! | [`mod@bundle`] | a bundle opened and audited |
//! | `choice` | which rows |
//! | `exchange` | prompts with the records of other rows |
//! | `score` | losses and predicted tokens of prompts, each distinct one once |
//! | `verdict` | bootstrap and rule |
//! | [`report`] | `audit.json` and the table |
//!
//! It trains nothing, generates nothing and knows no data file.

pub mod bundle;
mod choice;
mod exchange;
pub mod report;
mod score;
mod verdict;

use std::collections::BTreeMap;
use std::path::Path;

use bioverse_core::{Prompt, Segment};
use burn::prelude::*;

pub use report::Report;

use crate::config::RunConfig;
use crate::data::EncodedStore;
use crate::error::Result;
use crate::files;
use crate::instructions::Rows;
use crate::model::Bioverse;
use crate::train::seed::mix_name;
use choice::{Choice, mean_records};
use report::{Conditions, ModalityReport};
pub(crate) use score::mean_soft;
use score::{Constant, Scorer};

/// Most rows that are measured, if nobody says otherwise.
pub const ROWS: usize = 512;

/// The file in a run's folder.
pub const FILE: &str = "audit.json";

/// What is audited.
pub(crate) struct Subject<'a> {
    /// The model as it will be used: no autodiff, no dropout.
    pub model: &'a Bioverse,
    /// Rows it was trained on, if they are at hand.
    pub train: Option<&'a Rows>,
    /// Rows it was not trained on, if there are any.
    pub held_out: Option<&'a Rows>,
    /// Encodings of all records of both.
    pub encoded: &'a BTreeMap<String, EncodedStore>,
    /// Rows at a time.
    pub batch_size: usize,
    /// Most rows, over all modalities.
    pub limit: usize,
    /// Decides the bootstrap.
    pub seed: u64,
    /// Where to compute.
    pub device: &'a Device,
}

/// Audits what stage 2 has trained and writes `audit.json`, if `finetune.audit` asks for it. What an earlier run in the same
/// folder found goes, for it is about another bundle.
pub(crate) fn after_training(
    config: &RunConfig,
    model: &Bioverse,
    (train, held_out): (&Rows, Option<&Rows>),
    encoded: &BTreeMap<String, EncodedStore>,
    device: &Device,
) -> Result<()> {
    forget(&config.run.dir)?;
    if !config.finetune.audit {
        return Ok(());
    }
    let report = run(&Subject {
        model,
        train: Some(train),
        held_out,
        encoded,
        batch_size: config.finetune.batch_size,
        limit: ROWS.min(config.finetune.eval_rows.max(choice::FEW)),
        seed: config.run.seed,
        device,
    })?;
    report.write(&config.run.dir.join(FILE))
}

/// Removes what was found about an earlier run in the same folder.
pub(crate) fn forget(run: &Path) -> Result<()> {
    files::forget(&run.join(FILE))
}

/// Audits every modality that rows have records of.
pub(crate) fn run(subject: &Subject<'_>) -> Result<Report> {
    let sides = (subject.train, subject.held_out);
    let chosen = choice::choose(subject.model.names(), sides, subject.limit);
    let mut scorer = Scorer::new(subject, chosen.iter().map(|choice| choice.rows.len()).sum());
    let mut modalities = BTreeMap::new();
    for choice in &chosen {
        let report = modality(subject, choice, &mut scorer)?;
        modalities.insert(choice.modality.clone(), report);
    }
    scorer.finish();
    Ok(Report::of(modalities))
}

fn modality(
    subject: &Subject<'_>,
    choice: &Choice<'_>,
    scorer: &mut Scorer<'_>,
) -> Result<ModalityReport> {
    let name = &choice.modality;
    let own: Vec<Prompt> = choice.prompts().cloned().collect();
    let Some(other) = exchange::exchanged(&own, name) else {
        return Ok(ModalityReport::untold(
            choice,
            "they all have the same record",
        ));
    };
    if own.len() < choice::FEW {
        return Ok(ModalityReport::untold(choice, "that is too few to tell"));
    }
    let mean = mean_soft(
        subject.model,
        subject.encoded,
        name,
        &mean_records(subject.train, choice),
        subject.device,
    )?;
    let mut constant = |what, tokens| {
        let modality = name.as_str();
        let constant = Constant {
            what,
            modality,
            tokens,
        };
        scorer.rows(choice.of, &own, Some(&constant))
    };
    let (zeroed, mean) = (
        constant("zeroed", mean.zeros_like())?,
        constant("mean", mean)?,
    );
    let scored = Conditions {
        own: scorer.rows(choice.of, &own, None)?,
        shuffled: scorer.rows(choice.of, &other, None)?,
        zeroed,
        mean,
    };
    let seed = mix_name(mix_name(subject.seed, "audit"), name);
    Ok(ModalityReport::of(choice, &scored, seed))
}

/// Text of a prompt, with the names of modalities where records stand; only what is learnt, or only what is not.
fn text_of(prompt: &Prompt, learnt: bool) -> String {
    let parts = prompt.segments.iter().map(|segment| match segment {
        Segment::Text { text, loss } if *loss == learnt => text.clone(),
        Segment::Text { .. } => String::new(),
        Segment::Soft { modality, .. } => format!("<{modality}>"),
    });
    parts.collect()
}
