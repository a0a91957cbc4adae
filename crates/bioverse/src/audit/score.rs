//! What a model says to prompts, teacher-forced: the loss of each answer token and the token it would have said. Prompts
//! that are equal to the model go through it once. Knows no verdict.

use std::collections::{BTreeMap, HashMap, HashSet};

use bioverse_core::{Layout, Prompt, Record, Segment, SoftTokens};
use burn::prelude::*;

use super::Subject;
use crate::data::EncodedStore;
use crate::error::{Error, Result};
use crate::instructions::Rows;
use crate::interrupt;
use crate::model::Bioverse;
use crate::telemetry::Progress;

/// Records that go through a projector at a time.
const RECORDS: usize = 64;
/// Conditions under which each row is seen.
const CONDITIONS: usize = 4;

/// The answer tokens of one row.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Scored {
    /// Sum of their losses in nats.
    pub loss: f64,
    /// How many there are.
    pub tokens: usize,
    /// How many are the most probable one at their place.
    pub right: usize,
    /// The most probable ones.
    pub said: Vec<u32>,
}

/// The same soft tokens for every record of a modality.
pub(super) struct Constant<'a> {
    /// What they are called.
    pub what: &'static str,
    pub modality: &'a str,
    /// `[1, soft_len, d_model]`
    pub tokens: Tensor<3>,
}

/// Scores prompts and remembers them.
pub(super) struct Scorer<'a> {
    subject: &'a Subject<'a>,
    known: HashMap<String, Scored>,
    progress: Progress,
    done: usize,
}

impl<'a> Scorer<'a> {
    /// `rows` is how many there will be, for the progress bar.
    pub fn new(subject: &'a Subject<'a>, rows: usize) -> Self {
        Self {
            subject,
            known: HashMap::new(),
            progress: Progress::new("audit", rows * CONDITIONS),
            done: 0,
        }
    }

    /// Ends the progress bar.
    pub fn finish(&mut self) {
        self.progress.finish("");
    }

    /// What the model says to each prompt; their texts are those of `rows`. With `constant`, those are the soft tokens.
    pub fn rows(
        &mut self,
        rows: &Rows,
        prompts: &[Prompt],
        constant: Option<&Constant<'_>>,
    ) -> Result<Vec<Scored>> {
        let keys: Vec<String> = prompts.iter().map(|prompt| key(prompt, constant)).collect();
        let mut new: Vec<(usize, &str, &Prompt)> = vec![];
        let mut listed = HashSet::new();
        for (key, prompt) in keys.iter().zip(prompts) {
            if !self.known.contains_key(key) && listed.insert(key) {
                let width = rows.lay_out(std::slice::from_ref(prompt))?.width();
                new.push((width, key, prompt));
            }
        }
        self.done += prompts.len() - new.len();
        // Rows of like length stand together, which saves padding.
        new.sort_by_key(|(width, key, _)| (*width, *key));
        for batch in new.chunks(self.subject.batch_size.max(1)) {
            if interrupt::requested() {
                return Err(Error::Run(
                    "the audit was interrupted; the bundle is whole, and `bioverse audit` makes up for it".into(),
                ));
            }
            let prompts: Vec<Prompt> = batch.iter().map(|(.., prompt)| (*prompt).clone()).collect();
            let scored = self.batch(&rows.lay_out(&prompts)?, constant)?;
            for ((_, key, _), scored) in batch.iter().zip(scored) {
                self.known.insert((*key).to_owned(), scored);
            }
            self.done += batch.len();
            self.progress.set(self.done, "");
        }
        let of = |key: &String| self.known.get(key).cloned().unwrap_or_default();
        Ok(keys.iter().map(of).collect())
    }

    fn batch(&self, layout: &Layout, constant: Option<&Constant<'_>>) -> Result<Vec<Scored>> {
        let Subject {
            model,
            encoded,
            device,
            ..
        } = self.subject;
        let mut soft = model.soft_tokens(layout, encoded, device)?;
        if let Some(constant) = constant {
            for (group, soft) in layout.groups.iter().zip(&mut soft) {
                if group.modality == constant.modality {
                    let embeds = constant.tokens.clone().repeat_dim(0, group.records.len());
                    *soft = SoftTokens { embeds };
                }
            }
        }
        let embeds = model.inputs_embeds_with(layout, soft, device);
        let hidden = model.read(layout, embeds, device);
        let width = layout.width();
        let mut rows = vec![Scored::default(); layout.rows.len()];
        let targets = layout.targets();
        for ((at, _), score) in targets.iter().zip(model.scores_at(hidden, &targets)) {
            let row = &mut rows[at / width];
            row.loss += score.loss;
            row.tokens += 1;
            row.right += usize::from(score.right);
            row.said.push(score.said);
        }
        Ok(rows)
    }
}

/// Mean soft tokens of records, `[1, soft_len, d_model]`.
pub(crate) fn mean_soft(
    model: &Bioverse,
    encoded: &BTreeMap<String, EncodedStore>,
    modality: &str,
    records: &[Record],
    device: &Device,
) -> Result<Tensor<3>> {
    let projector = model.projector(modality)?;
    let store = encoded
        .get(modality)
        .ok_or_else(|| Error::Run(format!("no `{modality}` record was encoded")))?;
    let mut sum = Tensor::zeros([1, projector.soft_len(), projector.d_model()], device);
    for records in records.chunks(RECORDS) {
        let soft = projector.project(store.get(records, device)?);
        sum = sum + soft.embeds.sum_dim(0);
    }
    Ok(sum / records.len().max(1) as f64)
}

/// What the model would see: equal keys give equal scores.
fn key(prompt: &Prompt, constant: Option<&Constant<'_>>) -> String {
    let parts = prompt.segments.iter().map(|segment| match segment {
        Segment::Text { text, loss } => format!("{loss} {text:?}\n"),
        Segment::Soft { modality, record } => match constant {
            Some(constant) if constant.modality == modality => {
                format!("{} <{modality}>\n", constant.what)
            }
            _ => format!("<{modality}> {record}\n"),
        },
    });
    parts.collect()
}
